"""One cluster with a real node for all tests here, and a namespace of its own for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from steered import FLUENTD, NGINX, TOOLS, Cluster, make_context

from steersman.images import demo_image

NEEDED = ("kubectl", "nft", "ip", "busybox")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    missing = [name for name in NEEDED if shutil.which(name) is None]
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        item.add_marker(pytest.mark.system)
        item.add_marker(pytest.mark.xdist_group("system"))
        if os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: real containers"))
        elif missing:
            item.add_marker(pytest.mark.skip(reason=f"{missing[0]} is not installed here"))


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the images of these tests are built of."""
    return make_context(tmp_path_factory.mktemp("image") / "context")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, context: Path) -> Iterator[Cluster]:
    """The shared cluster; after all tests nothing of it is left on the machine."""
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    found.up()
    for name in (TOOLS, NGINX, FLUENTD):
        found.steer("build", "-t", name, str(context))
    yield found
    found.steer("down")
    assert not any(found.traces().values()), found.traces()


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new namespace, with its default account; removed behind the test's back."""
    name = f"test-{os.urandom(4).hex()}"
    cluster.kubectl("create", "namespace", name)
    cluster.wait("serviceaccount/default", "create", "-n", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that the test starts itself; nothing of it is left on the machine."""
    found = Cluster(tmp_path)
    yield found
    if not (found.data / "cluster.json").exists():
        return
    found.try_steer("down")
    assert not any(found.traces().values()), found.traces()


@pytest.fixture(scope="session")
def python_image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with this Python, whose ssl can check the API server's certificate."""
    folder: Path = tmp_path_factory.mktemp("python")
    demo_image.make_context(folder, None)
    cluster.steer("build", "-t", "python:1", str(folder))
    return "python:1"
