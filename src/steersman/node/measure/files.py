"""Looks at what pods have on disks: the layers that containers wrote, their logs, volumes.

As the kubelet has it (stats/volume_stat_calculator.go): what was seen less than a minute ago is
told again. One look sees a bounded number of files and waits a bounded time for drivers; what was
not reached is told as before, and comes first in the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from steersman.model.csi_translation import plugin_of
from steersman.model.kinds.pod import Pod
from steersman.model.types.volume import Volume
from steersman.node.measure.measuring import read_disk
from steersman.node.measure.reading import Disk
from steersman.node.measure.trees import Tree, Walk
from steersman.node.observed import Observed, engine_name
from steersman.node.paths import Paths
from steersman.node.volumes.claims import name_of
from steersman.world.interface import World

FRESH_SECONDS: Final = 60.0  # kubelet's volumeStatsAggPeriod
# Some two seconds' worth; a tree that has more alone is never told
MOST_FILES: Final = 500_000
ANSWER_SECONDS: Final = 2.0  # for all drivers together: who scrapes waits ten, mostly


class Filled(msgspec.Struct, frozen=True):
    """How full something is, and the file system around it; None for what is not known."""

    time: float
    available_bytes: int
    capacity_bytes: int
    used_bytes: int
    inodes_free: int | None = None
    inodes: int | None = None
    inodes_used: int | None = None


class MeasuredVolume(msgspec.Struct, frozen=True):
    """A volume by its name in the pod; `claim` is that behind it, empty for none."""

    name: str
    claim: str
    filled: Filled


class MeasuredFiles(msgspec.Struct, frozen=True):
    """What one pod has.

    written, logs: by container
    whole:         all that goes with the pod, on the node's disk
    """

    time: float
    volumes: tuple[MeasuredVolume, ...] = ()
    written: Mapping[str, Filled] = {}
    logs: Mapping[str, Filled] = {}
    whole: Filled | None = None


class Cared(Protocol):
    """A pod, and what is observed of it."""

    pod: Pod
    seen: Observed


class Asks(Protocol):
    """Who asks drivers."""

    async def usage(self, uid: str, place: Path) -> Filled | None:
        """Returns how full a volume of a pod is, None where its driver does not say."""


class Files:
    """See the module; `places` gives where each volume of a pod is on the node."""

    def __init__(
        self,
        cared: Callable[[], Iterable[Cared]],
        paths: Paths,
        images: Path,
        places: Callable[[Pod], Mapping[str, Path]],
        asks: Asks,
        world: World,
    ) -> None:
        self._cared = cared
        self._paths = paths
        self._images = images
        self._places = places
        self._asks = asks
        self._world = world
        self._known: dict[str, MeasuredFiles] = {}
        self._turn = asyncio.Lock()

    async def look(self) -> Mapping[str, MeasuredFiles]:
        """Returns what the pods that run have, by uid."""
        async with self._turn:
            pods = [it for it in self._cared() if it.seen.sandbox and it.seen.volumes_ready]
            uids = {it.seen.uid for it in pods}
            self._known = {uid: it for uid, it in self._known.items() if uid in uids}
            due = self._due(pods)
            asked = await self._ask(due)
            found = await asyncio.to_thread(self._walk, due, asked)
            self._known |= found
            return self._known

    def _due(self, pods: Iterable[Cared]) -> list[Cared]:
        """Returns the pods to be looked at, those first of which the least is known."""
        times = {it.seen.uid: self._time(it) for it in pods}
        old = self._world.now() - FRESH_SECONDS
        return sorted(
            (it for it in pods if times[it.seen.uid] <= old), key=lambda it: times[it.seen.uid]
        )

    def _time(self, cared: Cared) -> float:
        known = self._known.get(cared.seen.uid)
        # A container that began since has not been looked at
        names = {name for name, it in cared.seen.containers.items() if it.running}
        return known.time if known is not None and names <= known.logs.keys() else 0.0

    async def _ask(self, due: Iterable[Cared]) -> dict[tuple[str, str], Filled]:
        """Asks drivers, all at once; who does not answer in time has said nothing."""
        asked: dict[tuple[str, str], Filled] = {}

        async def ask(uid: str, volume: str, place: Path) -> None:
            found = await self._asks.usage(uid, place)
            if found is not None:
                asked[uid, volume] = found

        async with self._world.tasks() as tasks:
            asking = [
                tasks.start(ask(it.seen.uid, name, place), name=f"usage of {place}")
                for it in due
                for name, place in self._published(it.pod)
            ]
            with suppress(TimeoutError):
                async with self._world.timeout(ANSWER_SECONDS):
                    await asyncio.gather(*asking)
        return asked

    def _published(self, pod: Pod) -> Iterable[tuple[str, Path]]:
        wanted = (
            it for it in pod.spec.volumes if it.csi is not None or plugin_of(it) or name_of(pod, it)
        )
        places = self._places(pod)
        return [(it.name, places[it.name]) for it in wanted]

    # Walking, in a thread

    def _walk(
        self, due: Sequence[Cared], asked: Mapping[tuple[str, str], Filled]
    ) -> dict[str, MeasuredFiles]:
        walk, now = Walk(MOST_FILES), self._world.now()
        disk, images = read_disk(self._paths.root), read_disk(self._images)
        found = {}
        for it in due:
            made = self._pod(it, walk, (disk, images), asked, now)
            if made is None:
                break  # the next look begins here
            found[it.seen.uid] = made
        return found

    def _pod(
        self,
        cared: Cared,
        walk: Walk,
        disks: tuple[Disk, Disk],
        asked: Mapping[tuple[str, str], Filled],
        now: float,
    ) -> MeasuredFiles | None:
        """Looks at one pod; None where that was more than may be seen together with others."""
        pod, seen, (disk, images) = cared.pod, cared.seen, disks
        alone = walk.left == MOST_FILES
        volumes, ephemeral = list[MeasuredVolume](), list[Tree]()
        written, logs = dict[str, Filled](), dict[str, Filled]()
        for volume, place in zip(pod.spec.volumes, self._places(pod).values(), strict=True):
            own = asked.get((seen.uid, volume.name))
            around = _disk_at(place) if own is None and self._is_nodes(pod, volume, place) else None
            if around is not None and (tree := walk.tree(place)) is not None:
                own = filled(around, tree, now)
                if is_ephemeral(volume):
                    ephemeral.append(tree)
            if own is not None:
                volumes.append(MeasuredVolume(volume.name, name_of(pod, volume), own))
        for name, directory, log in self._containers(seen):
            for place, on, told in ((directory, images, written), (log, disk, logs)):
                if (tree := walk.tree(place)) is not None:
                    told[name] = filled(on, tree, now)
                    ephemeral.append(tree)
        whole = None
        if walk.left is not None and walk.left >= 0:
            total = Tree(sum(it.bytes for it in ephemeral), sum(it.inodes for it in ephemeral))
            whole = filled(disk, total, now)
        elif not alone:
            return None
        return MeasuredFiles(now, tuple(volumes), written, logs, whole)

    def _is_nodes(self, pod: Pod, volume: Volume, place: Path) -> bool:
        """Whether a volume is a directory of the node's own; what is somebody else's is the
        machine's, an image, or mounted for a claim, and that may not answer."""
        others = (volume.host_path, volume.image, volume.nfs, volume.iscsi, volume.csi)
        if any(it is not None for it in others) or plugin_of(volume):
            return False
        return not name_of(pod, volume) or place.is_relative_to(self._paths.local_volumes)

    def _containers(self, seen: Observed) -> Iterable[tuple[str, Path, Path]]:
        pods = self._paths.runtime / "pods" / seen.uid / "containers"
        logs = self._paths.pod_logs(seen.namespace, seen.name, seen.uid)
        for name, known in sorted(seen.containers.items()):
            if known.run is not None and known.running:
                yield name, pods / engine_name(name, known.run.attempt) / "upper", logs / name


def is_ephemeral(volume: Volume) -> bool:
    """Whether a volume takes of the node's disk for as long as its pod lives
    (util.IsLocalEphemeralVolume)."""
    on_disk = volume.empty_dir is not None and volume.empty_dir.medium != "Memory"
    return on_disk or volume.config_map is not None


def _disk_at(place: Path) -> Disk | None:
    """Returns the file system around a volume, None where that went meanwhile."""
    try:
        return read_disk(place)
    except FileNotFoundError:
        return None


def filled(disk: Disk, tree: Tree, now: float) -> Filled:
    """Returns how full a tree is on its disk."""
    return Filled(
        now,
        disk.available_bytes,
        disk.capacity_bytes,
        tree.bytes,
        disk.inodes_free,
        disk.inodes,
        tree.inodes,
    )
