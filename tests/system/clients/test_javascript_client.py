"""The official JavaScript client does its work unmodified, on the machine's node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from clusters import Cluster
from programs import PROGRAMS, SECONDS

pytestmark = pytest.mark.system
PACKAGE = "@kubernetes/client-node@1.4.0"
INSTALL_SECONDS = 300


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The program beside the client, which npm fetches into the test's own directory."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node: not installed here")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    own = {**os.environ, "npm_config_cache": str(tmp_path / "cache")}
    done = subprocess.run(
        [*command, "--prefix", str(tmp_path), PACKAGE],
        env=own,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"{PACKAGE}: not installed here")
    return Path(shutil.copy(PROGRAMS / "official.mjs", tmp_path))


def test_the_official_javascript_client(cluster: Cluster, namespace: str, program: Path) -> None:
    done = subprocess.run(
        ["node", str(program), namespace],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "version v1.37.0",
        'data {"key":"one","other":"two"}',
        "refused 409 Conflict",
        "page 1 undefined",
        "applied 1",
        "watched DELETED",
        "deleted 404",
    ]
