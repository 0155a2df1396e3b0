"""One whole cluster for all system tests; at its end nothing is left."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator

import pytest

from clusters import Cluster
from ports import free_port


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that is up, and down again with nothing left when the tests are over."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here")
    home = tmp_path_factory.mktemp("cluster")
    made = Cluster(home / "data", home / "kubeconfig", free_port())
    started = made.up()
    assert started.code == 0, started.err
    try:
        yield made
    finally:
        stopped = made.down()
    assert stopped.code == 0, stopped.err
    assert made.supervisor() == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", made.port)) != 0, "somebody still listens"


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own; its emptying is not waited for."""
    name = f"t-{abs(hash(request.node.nodeid)) % 10**8}"
    cluster.ok("create", "namespace", name)
    yield name
    cluster.ok("delete", "namespace", name, "--wait=false")
