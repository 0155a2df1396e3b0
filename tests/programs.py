"""Programs that use clients from PyPI, unmodified: each a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

PROGRAMS = Path(__file__).parent / "system" / "clients" / "programs"
CLIENTS = ("kubernetes", "kr8s", "lightkube", "kopf")
SECONDS = 120


def needs_clients() -> pytest.MarkDecorator:
    """Returns the mark of tests that cannot be where these clients are not."""
    missing = [name for name in CLIENTS if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)}: not installed here")


def environment(kubeconfig: Path, scratch: str) -> dict[str, str]:
    """Returns the environment of a program; what it leaves (certificates, in files) is in a
    directory of the test's."""
    return {**os.environ, "KUBECONFIG": str(kubeconfig), "TMPDIR": scratch}


def run(program: str, kubeconfig: Path, *words: str) -> list[str]:
    """Runs a program to its end; returns the lines that it printed."""
    with TemporaryDirectory() as scratch:
        done = subprocess.run(
            [sys.executable, str(PROGRAMS / program), *words],
            env=environment(kubeconfig, scratch),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()
