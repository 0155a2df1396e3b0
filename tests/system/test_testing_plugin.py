"""The pytest plugin as its users have it: the example of the README, and clusters in a thread."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from steersman.client import kubeconfig
from steersman.client.client import APIClient
from steersman.client.http import HTTPTransport
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.testing.cluster import Cluster, running
from steersman.world.real import RealWorld

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
FILE = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```", re.M | re.S)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


def ask(cluster: Cluster, question: Any) -> Any:
    """Asks the cluster as its administrator."""
    import asyncio

    async def main() -> Any:
        client = APIClient(HTTPTransport(kubeconfig.read(cluster.kubeconfig)), RealWorld())
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(main())


def test_the_example_of_the_readme_passes(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here")
    files = dict(FILE.findall((ROOT / "README.md").read_text()))
    assert sorted(files) == ["conftest.py", "test_report.py"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'made'}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_two_clusters_live_side_by_side_each_in_its_own_time(
    tmp_path: Path, certificates: Path
) -> None:
    before = threading.active_count()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with (
        running(tmp_path / "one", certificates=certificates) as one,
        running(tmp_path / "two", nodes=2, certificates=certificates) as two,
    ):
        one.clock.freeze()
        now = one.clock.now()
        one.clock.advance("1d")
        one.clock.advance(timedelta(hours=1))
        one.clock.advance(30)
        assert one.clock.now() - now == timedelta(days=1, hours=1, seconds=30)
        assert abs(two.clock.now() - datetime.now(UTC)) < timedelta(minutes=5)

        async def nodes(client: APIClient) -> int:
            return len((await client.list(NODE)).items)

        assert (ask(one, nodes), ask(two, nodes)) == (1, 2)
        assert one.kubeconfig.stat().st_mode & 0o777 == 0o600
        with pytest.raises(ValueError, match="never goes back"):
            one.clock.advance_to(now)
        with pytest.raises(ValueError, match="is no duration"):
            one.clock.advance("soon")
        with pytest.raises(ValueError, match="has no time zone"):
            one.clock.advance_to(datetime(2100, 1, 1))
        one.clock.advance_to(now + timedelta(days=2))
        assert one.clock.now() == now + timedelta(days=2)
        one.clock.set_rate(3600)
        one.clock.resume()
        with pytest.raises(ValueError, match="greater than 0"):
            one.clock.set_rate(0)
    assert threading.active_count() == before


def test_what_does_not_hold_is_found(tmp_path: Path, certificates: Path) -> None:
    with running(tmp_path, certificates=certificates) as cluster:
        assert cluster.check() == []
        resources = {"requests": {"cpu": "33"}}
        spec: Any = {"nodeName": "simulated-0"}
        spec["containers"] = [{"name": "c", "image": "c:1", "resources": resources}]

        async def crowd(client: APIClient) -> None:
            await client.create(POD, {"metadata": {"name": "p"}, "spec": spec}, namespace="default")

        ask(cluster, crowd)
        (found,) = cluster.check()
        assert (found.path, found.rule) == ("/api/v1/nodes/simulated-0", "overcommitted")


def test_a_cluster_that_cannot_start_says_why(tmp_path: Path) -> None:
    class Broken(Exception):
        pass

    (tmp_path / "certificates").write_text("in the way")
    with pytest.raises(OSError, match="certificates"), running(tmp_path):
        raise Broken
