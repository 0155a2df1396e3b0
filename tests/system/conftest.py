"""One whole cluster for all system tests; at its end nothing is left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from client_tools import tool
from clusters import Cluster, running


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that is up, and down again with nothing left when the tests are over."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here")
    home = tmp_path_factory.mktemp("cluster")
    with running(home / "data", home / "kubeconfig") as made:
        yield made


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster for one test that ends processes of it."""
    with running(tmp_path / "data", tmp_path / "kubeconfig") as made:
        yield made


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own; its emptying is not waited for."""
    name = f"t-{abs(hash(request.node.nodeid)) % 10**8}"
    cluster.ok("create", "namespace", name)
    yield name
    cluster.ok("delete", "namespace", name, "--wait=false")


@pytest.fixture
def newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubectl that is run is that of 1.37."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "kubectl").symlink_to(tool("kubectl-1.37"))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
