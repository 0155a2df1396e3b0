"""A pytest plugin: `cluster`, a Kubernetes cluster of its own for each test.

A conftest.py takes it with `pytest_plugins = ["steersman.testing.plugin"]`. The marker
`steersman(nodes=3)` says how many simulated nodes a test wants.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # loaded with the first test that asks for a cluster
    from steersman.testing.cluster import Cluster

MARKER = "steersman"


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line("markers", f"{MARKER}(nodes=1): what a test's cluster is made of")


@pytest.fixture(scope="session")
def steersman_certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the certificates of all clusters of a run are."""
    return tmp_path_factory.mktemp("steersman-certificates")


@pytest.fixture
def cluster(
    request: pytest.FixtureRequest, tmp_path: Path, steersman_certificates: Path
) -> Iterator[Cluster]:
    """A cluster that is ready, and gone when the test is over."""
    from steersman.testing.cluster import running

    marker = request.node.get_closest_marker(MARKER)
    wanted = dict(marker.kwargs) if marker is not None else {}
    with running(tmp_path, certificates=steersman_certificates, **wanted) as made:
        yield made
