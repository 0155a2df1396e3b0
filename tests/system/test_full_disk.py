"""A disk that fills up: writes are refused in plain sight, reads go on; with room writes do too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_durability import PATH, Api

from clusters import Cluster, running
from disks import small_disk

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a small file system"),
]
DISK_BYTES = 48 << 20
# What somebody else has on the same disk, and removes
BALLAST_BYTES = 16 << 20
OBJECT_BYTES = 400_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A directory that holds little."""
    with small_disk(tmp_path / "disk", DISK_BYTES) as place:
        yield place


@pytest.fixture
def cluster(disk: Path, tmp_path: Path) -> Iterator[Cluster]:
    with running(disk / "data", tmp_path / "kubeconfig") as made:
        yield made


def create(api: Api, name: str) -> tuple[int, Any]:
    return api.ask("POST", PATH, {"metadata": {"name": name}, "data": {"k": "x" * OBJECT_BYTES}})


def names(api: Api) -> set[str]:
    code, listed = api.ask("GET", PATH)
    assert code == 200
    return {item["metadata"]["name"] for item in listed["items"]}


def test_a_full_disk_refuses_writes_serves_reads_and_takes_writes_again_with_room(
    cluster: Cluster, disk: Path
) -> None:
    api, kept = Api(cluster), set()
    (disk / "ballast").write_bytes(bytes(BALLAST_BYTES))
    process = cluster.server()
    number = 0
    while (answer := create(api, f"full-{number}"))[0] == 201:
        kept.add(f"full-{number}")
        number += 1
        assert number * OBJECT_BYTES < DISK_BYTES
    code, status = answer
    assert (code, status["kind"], status["reason"]) == (507, "Status", "InsufficientStorage")
    assert status["message"] == "there is no room for the write"
    assert create(api, "refused")[0] == 507
    assert kept <= names(api)
    assert not {f"full-{number}", "refused"} & names(api)
    (disk / "ballast").unlink()
    assert create(api, "after")[0] == 201
    assert cluster.server() == process, "the server has lived through it"
    kept.add("after")
    assert cluster.down().code == 0
    assert cluster.up().code == 0
    assert kept <= names(api)
    assert not {f"full-{number}", "refused"} & names(api)
