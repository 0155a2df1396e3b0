"""Chooses what runs a node's pods: our own engine, or a runtime of others over the CRI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from steersman.images.http import StreamHttp
from steersman.images.pull import Puller
from steersman.images.store import Store
from steersman.node import record
from steersman.node.engine.interface import Engine, Images
from steersman.node.engine.own import Network, OwnEngine
from steersman.node.engine.runtimes import OURS, OCIRuntime
from steersman.node.id_ranges import IdRanges
from steersman.node.measure.measuring import Ask
from steersman.node.paths import Paths
from steersman.node.pressure.images import Kept, OwnImages
from steersman.node.render.resolution import Resolution
from steersman.node.warm import WarmParent
from steersman.runtime import engine as runtime
from steersman.runtime.kernel import cgroups
from steersman.world.interface import Tasks, World


class Chosen(msgspec.Struct, frozen=True):
    """What runs pods and keeps their images, the latter on a disk; `ask` asks what containers use,
    where control groups do not say; `trouble` gives why it cannot be used now, and
    `watch` begins to look after it, for whoever wants to know of a change."""

    engine: Engine
    images: Images
    ids: IdRanges
    kept: Kept
    disk: Path
    trouble: Callable[[], str] = str
    ask: Ask | None = None
    watch: Callable[[Callable[[], None], Tasks], None] = lambda changed, tasks: None


def choose_own(
    socket: Path,
    paths: Paths,
    network: Network,
    images: Path,
    group: str,
    domain: str,
    version: str,
    ids: IdRanges,
    world: World,
    runtimes: Mapping[str, OCIRuntime] = OURS,
) -> Chosen:
    """Returns our own engine: the warm parent at a socket, the node's bridge, its image store."""
    paths.endpoint.unlink(missing_ok=True)
    engine = OwnEngine(
        runtime.Engine(str(socket), str(paths.runtime)),
        WarmParent(socket, paths.runtime),
        network,
        group,
        domain,
        world,
        version,
        runtimes,
    )
    store = Store(images)
    return Chosen(engine, Puller(store, StreamHttp()), ids, OwnImages(store), images)


async def choose_runtime(
    endpoint: Path,
    paths: Paths,
    cluster: str,
    group: str,
    resolution: Resolution,
    ids: IdRanges,
    world: World,
) -> Chosen:
    """Returns the runtime that listens on a socket; raises EngineError where it cannot be used."""
    from steersman.cri.client.calls import Calls
    from steersman.cri.client.engine import CRIEngine
    from steersman.cri.client.groups import Groups
    from steersman.cri.client.images import KeptImages, RuntimeImages
    from steersman.cri.client.rotation import Rotation
    from steersman.cri.client.sandbox_config import Surroundings
    from steersman.cri.client.status import Health

    calls = Calls(endpoint, world)
    around = Surroundings(cluster, group, resolution)
    groups = Groups(cgroups.find_hierarchies(), group)
    engine = CRIEngine(calls, around, paths, ids.take, groups, world)
    await engine.prepare()
    record.replace_file(paths.endpoint, str(endpoint).encode())  # for whoever cleans up after us
    health, rotation = Health(calls, world), Rotation(engine, world)

    def watch(changed: Callable[[], None], tasks: Tasks) -> None:
        health.changed = changed
        tasks.start(engine.follow(), name="runtime")
        tasks.start(health.run(), name="health of the runtime")
        tasks.start(rotation.run(), name="rotation of logs")

    def trouble() -> str:
        return health.trouble

    images, kept = RuntimeImages(calls), KeptImages(calls)
    disk = await kept.disk() or paths.root
    return Chosen(engine, images, ids, kept, disk, trouble, engine.ask_all, watch)
