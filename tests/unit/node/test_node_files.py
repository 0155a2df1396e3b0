"""What pods have on disks: which volumes are looked at, how often, and how far one look goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from node_documents import UID, observed, pod, running

from steersman.model.kinds.pod import Pod
from steersman.node.csi.usage import parse_usage
from steersman.node.measure import files
from steersman.node.measure.files import Files, Filled
from steersman.node.measure.trees import Tree, Walk, size_of
from steersman.node.observed import Observed
from steersman.node.paths import Paths
from steersman.wire.rpc import csi
from steersman.world.real import RealWorld

KIBI = 1024
TOLD = Filled(5.0, 600, 1000, 400, 90, 100, 10)


class Clocked(RealWorld):
    """The real world, since threads look, with a clock that is set by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = 1_000_000.0

    def now(self) -> float:
        return self.clock


class Cared:
    """A pod with what is observed of it."""

    def __init__(self, given: Pod, seen: Observed) -> None:
        self.pod = given
        self.seen = seen


class Node:
    """A directory of a node with pods, and drivers that say what they were told to."""

    def __init__(self, root: Path, world: Clocked) -> None:
        self.paths = Paths(root / "node")
        self.images = root / "images"
        for directory in (self.paths.root, self.images):
            directory.mkdir()
        self.cared: list[Cared] = []
        self.asked: list[tuple[str, str]] = []
        self.answer: Callable[[], Coroutine[Any, Any, Filled | None]] | None = None
        self.world = world
        self.files = Files(lambda: self.cared, self.paths, self.images, self.places, self, world)

    def places(self, given: Pod) -> Mapping[str, Path]:
        found = {}
        for it in given.spec.volumes:
            own = self.paths.volume(given.metadata.uid, it.name)
            found[it.name] = own.readlink() if own.is_symlink() else own
        return found

    async def usage(self, uid: str, place: Path) -> Filled | None:
        self.asked.append((uid, place.name))
        return await self.answer() if self.answer is not None else None

    def add(self, uid: str = UID, *volumes: dict[str, Any], **spec: Any) -> Cared:
        """A pod with one container that runs; each volume and the layer and the log hold 4 KiB."""
        given = pod(metadata={"uid": uid}, spec={"volumes": list(volumes), **spec})
        seen = replace(observed(ready=True, containers={"app": running()}), uid=uid)
        for it in given.spec.volumes:
            fill(self.paths.volume(uid, it.name))
        fill(self.paths.runtime / "pods" / uid / "containers" / "app.0" / "upper")
        fill(self.paths.pod_logs("default", "web", uid) / "app")
        self.cared.append(Cared(given, seen))
        return self.cared[-1]


def fill(directory: Path, name: str = "file") -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(b"x" * 4 * KIBI)


def on_node(tmp_path: Path, scenario: Callable[[Node], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await scenario(Node(tmp_path, Clocked()))

    asyncio.run(main())


def room(name: str, **source: Any) -> dict[str, Any]:
    return {"name": name, **source}


def test_volumes_layers_and_logs_of_the_nodes_own_are_told(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        volumes = [
            room("empty", emptyDir={}),
            room("memory", emptyDir={"medium": "Memory"}),
            room("map", configMap={"name": "m"}),
            room("kept", secret={"secretName": "s"}),
            room("host", hostPath={"path": "/usr"}),
            room("picture", image={"reference": "i"}),
            room("net", nfs={"server": "s", "path": "/"}),
            room("unit", iscsi={"targetPortal": "s", "iqn": "iqn.2026-11.test:x", "lun": 0}),
            room("inline", csi={"driver": "d"}),
            room("claimed", persistentVolumeClaim={"claimName": "c"}),
            room("theirs", persistentVolumeClaim={"claimName": "d"}),
        ]
        cared = node.add(UID, *volumes)
        local = node.paths.local_volumes / "pv"
        fill(local)
        link = node.paths.volume(UID, "claimed")
        (link / "file").unlink()
        link.rmdir()
        link.symlink_to(local)
        found = (await node.files.look())[UID]
        told = {it.name: (it.claim, it.filled.used_bytes) for it in found.volumes}
        assert told == {
            "empty": ("", 4 * KIBI),
            "memory": ("", 4 * KIBI),
            "map": ("", 4 * KIBI),
            "kept": ("", 4 * KIBI),
            "claimed": ("c", 4 * KIBI),
        }
        assert {it.filled.inodes_used for it in found.volumes} == {1}
        assert found.written["app"].used_bytes == found.logs["app"].used_bytes == 4 * KIBI
        # the layer, the log, and what takes of the disk while the pod lives
        assert found.whole is not None
        assert found.whole.used_bytes == 16 * KIBI
        assert found.whole.inodes_used == 4
        assert found.whole.capacity_bytes == os.statvfs(tmp_path).f_blocks * KIBI * 4
        assert sorted(node.asked) == [(UID, "inline"), (UID, "pv"), (UID, "theirs")]
        assert cared.seen.uid == UID

    on_node(tmp_path, scenario)


def test_what_a_driver_says_is_told_of_its_volume(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        async def answer() -> Filled | None:
            return TOLD

        node.answer = answer
        node.add(UID, room("data", persistentVolumeClaim={"claimName": "c"}))
        (volume,) = (await node.files.look())[UID].volumes
        assert (volume.name, volume.claim, volume.filled) == ("data", "c", TOLD)

    on_node(tmp_path, scenario)


def test_a_driver_that_does_not_answer_holds_up_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ANSWER_SECONDS", 0.01)

    async def scenario(node: Node) -> None:
        async def never() -> Filled | None:
            await asyncio.Future()
            return None

        node.answer = never
        node.add(UID, room("data", csi={"driver": "d"}), room("empty", emptyDir={}))
        found = (await node.files.look())[UID]
        assert [it.name for it in found.volumes] == ["empty"]

    on_node(tmp_path, scenario)


def test_a_pod_is_looked_at_once_a_minute_and_when_a_container_began(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        cared = node.add(UID, room("empty", emptyDir={}))
        place = node.paths.volume(UID, "empty")

        async def used() -> int:
            return (await node.files.look())[UID].volumes[0].filled.used_bytes

        assert await used() == 4 * KIBI
        fill(place, "second")
        node.world.clock += files.FRESH_SECONDS / 2
        assert await used() == 4 * KIBI
        node.world.clock += files.FRESH_SECONDS / 2
        assert await used() == 8 * KIBI
        fill(place, "third")
        cared.seen = cared.seen.having("other", running())
        assert await used() == 12 * KIBI
        node.cared.clear()
        assert await node.files.look() == {}

    on_node(tmp_path, scenario)


def test_a_look_that_saw_too_much_goes_on_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 10)

    async def scenario(node: Node) -> None:
        for number in range(9):
            node.add(f"uid-{number}")  # two files each
        assert len(await node.files.look()) == 5
        assert len(await node.files.look()) == 9
        huge = node.paths.volume("huge", "empty")
        node.add("huge", room("empty", emptyDir={}))
        for number in range(20):
            fill(huge, str(number))
        found = (await node.files.look())["huge"]
        assert found.volumes == ()
        assert found.whole is None

    on_node(tmp_path, scenario)


def test_a_pod_that_goes_while_it_is_looked_at_has_nothing(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        node.add(UID, room("empty", emptyDir={}))
        place = node.paths.volume(UID, "empty")
        (place / "file").unlink()
        place.rmdir()
        assert (await node.files.look())[UID].volumes == ()

    on_node(tmp_path, scenario)


def test_a_tree_is_measured_without_what_its_links_lead_to(tmp_path: Path) -> None:
    fill(tmp_path / "deep" / "er")
    (tmp_path / "link").symlink_to("/usr")
    (tmp_path / "twin").hardlink_to(tmp_path / "deep" / "er" / "file")
    found = Walk().tree(tmp_path)
    assert found is not None
    assert found.inodes == 4
    assert 4 * KIBI <= found.bytes < 20 * KIBI
    assert size_of(tmp_path) == found.bytes
    assert size_of(tmp_path / "none") == size_of(tmp_path / "link" / "none") == 0
    assert size_of(tmp_path / "deep" / "er" / "file") == 0
    assert Walk(4).tree(tmp_path) is None
    assert Walk(5).tree(tmp_path) == found
    assert Walk().tree(tmp_path / "none") == Tree()


def test_bytes_and_inodes_of_a_driver_are_told_apart() -> None:
    usage = (csi.VolumeUsage(90, 100, 10, 2), csi.VolumeUsage(600, 1000, 400, 1))
    assert parse_usage(csi.VolumeStats(usage), 5.0) == TOLD
    alone = parse_usage(csi.VolumeStats(usage[1:]), 5.0)
    assert alone == Filled(5.0, 600, 1000, 400)
    assert parse_usage(csi.VolumeStats(usage[:1]), 5.0) is None
