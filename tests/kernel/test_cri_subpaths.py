"""The subPaths that a container runtime is given: bound from within their volume, and taken away
without what is behind them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from test_runtime_rig import needs_root

from steersman.cri.client.subpaths import SubPaths
from steersman.node.engine.interface import Order
from steersman.node.objects import BadConfiguration
from steersman.node.paths import Paths
from unit.node.node_documents import UID, pod

pytestmark = needs_root


def order(volume: Path, *paths: str, attempt: int = 0) -> Order:
    mounts = [
        {"name": "v", "mountPath": f"/m{number}", "subPath": path}
        for number, path in enumerate(paths)
    ]
    given = pod(volumeMounts=mounts)
    ground = SimpleNamespace(volumes={"v": volume})
    (container,) = given.spec.containers
    made = SimpleNamespace(pod=given, container=container, attempt=attempt, ground=ground)
    made.variables = {}
    return cast(Order, made)


def mounted(directory: Path) -> int:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return sum(str(directory) in line for line in lines)


def test_subpaths_are_bound_and_go_with_their_run(tmp_path: Path) -> None:
    volume, subpaths = tmp_path / "v", SubPaths(Paths(tmp_path / "node"))
    (volume / "deep").mkdir(parents=True)
    (volume / "deep" / "file").write_text("kept")
    first = subpaths.prepare(order(volume, "deep/file", "made/here", "deep"))
    assert Path(first["/m0"]).read_text() == "kept"
    assert (volume / "made" / "here").is_dir()
    (Path(first["/m1"]) / "written").touch()
    assert (volume / "made" / "here" / "written").exists()
    assert subpaths.prepare(order(volume, "deep/file", "made/here", "deep")) == first
    assert mounted(tmp_path) == 3
    second = subpaths.prepare(order(volume, "deep", attempt=1))
    assert (Path(second["/m0"]) / "file").exists()
    subpaths.release(UID, "app.0")
    assert mounted(tmp_path) == 1
    subpaths.release(UID)
    subpaths.release(UID)
    assert mounted(tmp_path) == 0
    assert (volume / "deep" / "file").read_text() == "kept"
    assert (volume / "made" / "here" / "written").exists()


def test_no_link_leads_a_subpath_out_of_its_volume(tmp_path: Path) -> None:
    volume, subpaths = tmp_path / "v", SubPaths(Paths(tmp_path / "node"))
    outside = tmp_path / "outside"
    for directory in (volume, outside):
        directory.mkdir()
    (outside / "secret").touch()
    (volume / "absolute").symlink_to(outside)
    (volume / "upwards").symlink_to("../outside")
    (volume / "file").touch()
    # What the link names is there inside of the volume too: that is it
    inside = volume / outside.relative_to("/")
    inside.mkdir(parents=True)
    (inside / "own").touch()
    found = subpaths.prepare(order(volume, "absolute"))
    assert os.listdir(found["/m0"]) == ["own"]
    subpaths.release(UID)
    (inside / "own").unlink()
    inside.rmdir()
    for path in ("absolute", "upwards"):
        found = {}
        try:
            found = subpaths.prepare(order(volume, path))
        except (BadConfiguration, OSError):
            pass  # nothing is there inside of the volume
        assert all(not (Path(it) / "secret").exists() for it in found.values())
        subpaths.release(UID)
    with pytest.raises((BadConfiguration, OSError)):
        subpaths.prepare(order(volume, "file/below"))
    subpaths.release(UID)
    assert mounted(tmp_path) == 0
    assert os.listdir(outside) == ["secret"]
