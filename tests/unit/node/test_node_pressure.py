"""Pressure: when thresholds are met, who goes first, what is told, and which images go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from node_documents import NOW, exited, observed, pod, running

from steersman.images.credentials import Login
from steersman.images.documents import (
    OCI_CONFIG,
    OCI_MANIFEST,
    Config,
    Descriptor,
    Manifest,
    RootFS,
    host_platform,
    render,
)
from steersman.images.references import parse
from steersman.images.store import Store
from steersman.model.kinds.pod import Pod
from steersman.node.credentials.access import Access
from steersman.node.credentials.access import Source as Puller
from steersman.node.credentials.records import PullRecords, key_of
from steersman.node.csi.layout import Layout
from steersman.node.machine import Facts
from steersman.node.observed import Observed, Seen
from steersman.node.paths import Paths
from steersman.node.plan import KillContainer, plan
from steersman.node.pressure import images as gone
from steersman.node.pressure import ranking
from steersman.node.pressure.images import Bounds, ImageCollector, OwnImages
from steersman.node.pressure.monitor import Monitor, Options
from steersman.node.pressure.ranking import Use, exceeded, message, rank
from steersman.node.pressure.reading import SignalSource
from steersman.node.pressure.thresholds import (
    BadThreshold,
    Level,
    Signals,
    Threshold,
    Watch,
    parse_thresholds,
)
from steersman.node.register import Place
from steersman.node.register import render_status as render_node_status
from steersman.node.status import render_status
from steersman.world.interface import World
from steersman.world.real import RealWorld
from steersman.world.simulated import simulate

MIB = 1 << 20
MEMORY, DISK = "memory.available", "nodefs.available"


# Thresholds


def test_thresholds_are_amounts_or_shares() -> None:
    hard = parse_thresholds("memory.available<100Mi, nodefs.available<10%")
    assert hard == (Threshold(MEMORY, 100 * MIB), Threshold(DISK, percent=10.0))
    (soft,) = parse_thresholds("", "memory.available<1Gi", "memory.available=1.5m")
    assert soft == Threshold(MEMORY, 1024 * MIB, grace_seconds=90.0, hard=False)
    (soft,) = parse_thresholds("", "memory.available<1Gi", "memory.available=1m30s")
    assert soft.grace_seconds == 90.0
    assert parse_thresholds("") == ()


def test_what_is_freed_at_least_is_an_amount_or_a_share_of_each_signal() -> None:
    hard = "memory.available<100Mi,nodefs.available<10%"
    memory, disk = parse_thresholds(hard, "", "", "nodefs.available=5%,memory.available=1Mi")
    assert (memory.reclaim, memory.reclaim_percent) == (MIB, 0.0)
    assert (disk.reclaim, disk.reclaim_percent) == (0, 5.0)
    for text, why in (
        ("memory.available", "invalid eviction minimum reclaim syntax: memory.available, expected"),
        ("memory=1", "unsupported eviction signal memory"),
        ("memory.available=-1", "negative eviction minimum reclaim specified for memory.available"),
        ("memory.available=-1%", "negative eviction minimum reclaim specified for"),
        ("memory.available=x", "'x' is no quantity"),
    ):
        with pytest.raises(BadThreshold) as refused:
            parse_thresholds(hard, "", "", text)
        assert why in str(refused.value)


def test_a_threshold_that_was_met_is_until_more_is_there() -> None:
    amount = Threshold(MEMORY, 100, reclaim=50)
    share = Threshold(DISK, percent=10.0, reclaim_percent=5.0)
    watch = Watch([amount, share])

    def look(memory: int, disk: int, now: float) -> list[Threshold]:
        return watch.look({MEMORY: Level(memory, 1000), DISK: Level(disk, 1000)}, now)

    assert look(149, 149, 0.0) == []
    assert look(99, 99, 1.0) == [amount, share]
    assert look(149, 149, 2.0) == [amount, share]
    assert look(150, 150, 3.0) == []
    assert look(149, 149, 4.0) == []


@pytest.mark.parametrize(
    ("hard", "soft", "graces", "why"),
    [
        ("memory<1", "", "", "invalid eviction threshold syntax memory<1, expected"),
        ("memory.available=1", "", "", "invalid eviction threshold syntax"),
        ("memory.available<101%", "", "", "must be >= 0% and <= 100%"),
        ("memory.available<x", "", "", "is no quantity"),
        ("memory.available<x%", "", "", "is no quantity"),
        ("memory.available<-1", "", "", "must be positive: -1"),
        ("", "memory.available<1", "", "grace period must be specified"),
        ("", "memory.available<1", "memory.available=1", "invalid eviction grace period syntax"),
        ("", "memory.available<1", "memory.available", "invalid eviction grace period syntax"),
    ],
)
def test_options_that_cannot_be_are_refused(hard: str, soft: str, graces: str, why: str) -> None:
    with pytest.raises(BadThreshold) as refused:
        parse_thresholds(hard, soft, graces)
    assert why in str(refused.value)


def test_a_threshold_is_met_below_it_and_not_at_it() -> None:
    amount, share = Threshold(MEMORY, 100), Threshold(DISK, percent=10.0)
    assert not amount.is_met({MEMORY: Level(100, 1000)})
    assert amount.is_met({MEMORY: Level(99, 1000)})
    assert not share.is_met({DISK: Level(100, 1000)})
    assert share.is_met({DISK: Level(99, 1000)})
    assert not share.is_met({})


def test_a_soft_threshold_counts_after_its_grace_and_a_condition_outlives_its_reason() -> None:
    soft = Threshold(MEMORY, 100, grace_seconds=30.0, hard=False)
    watch = Watch([soft])
    low, fine = {MEMORY: Level(1, 1000)}, {MEMORY: Level(500, 1000)}
    assert watch.look(low, 0.0) == []
    assert watch.conditions(0.0) == frozenset()
    assert watch.look(fine, 20.0) == []
    assert watch.look(low, 29.0) == []  # it begins anew
    assert watch.look(low, 59.0) == [soft]
    assert watch.conditions(59.0) == {"MemoryPressure"}
    assert watch.look(fine, 60.0) == []
    assert watch.conditions(358.0) == {"MemoryPressure"}
    assert watch.conditions(359.0) == frozenset()


def test_memory_is_freed_before_disks_and_by_hard_thresholds_before_soft_ones() -> None:
    disk, hard = Threshold(DISK, 100), Threshold(MEMORY, 50)
    soft = Threshold(MEMORY, 100, hard=False)
    signals = {DISK: Level(1, 1000), MEMORY: Level(1, 1000)}
    assert Watch([disk, soft, hard]).look(signals, 0.0) == [hard, soft, disk]


# Ranking


def named(name: str, memory: str = "0", priority: int = 0, **spec: Any) -> Pod:
    resources = {"requests": {"memory": memory}}
    metadata = {"name": name, "uid": f"uid-{name}"}
    return pod(resources=resources, metadata=metadata, spec={"priority": priority, **spec})


def test_who_uses_more_than_it_asked_for_goes_first_then_who_matters_less() -> None:
    pods = [
        (named("within", "100Mi"), Use(90 * MIB)),
        (named("over", "10Mi"), Use(20 * MIB)),
        (named("far", "10Mi"), Use(80 * MIB)),
        (named("vital", "10Mi", priority=9), Use(500 * MIB)),
        (named("idle", "100Mi"), Use(1 * MIB)),
    ]
    assert [it.metadata.name for it, _ in rank("memory", pods)] == [
        "far",
        "over",
        "vital",
        "within",
        "idle",
    ]


def test_processes_are_ranked_by_priority_and_number_alone() -> None:
    pods = [
        (named("few"), Use(processes=2)),
        (named("vital", priority=9), Use(processes=900)),
        (named("many"), Use(processes=50)),
    ]
    assert [it.metadata.name for it, _ in rank("pids", pods)] == ["many", "few", "vital"]


def test_static_pods_and_those_of_the_system_are_never_evicted() -> None:
    assert ranking.is_critical(named("a", priority=2_000_001_000))
    of_a_file = {"annotations": {"kubernetes.io/config.source": "file"}}
    assert ranking.is_critical(pod(metadata=of_a_file))
    claims = pod(metadata={**of_a_file, "resourceVersion": "7"})
    assert not ranking.is_critical(claims), "anybody may write annotations"
    assert not ranking.is_critical(named("b", priority=1_000_000_000))


def test_the_message_names_what_was_low_and_the_containers_that_used_more() -> None:
    use = Use(64 * MIB, containers={"app": (64 * MIB, 0)})
    text = message(Threshold(MEMORY, 100 * MIB), Level(MIB, 1 << 30), named("a", "32Mi"), use)
    assert text == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 1Mi. "
        "Container app was using 64Mi, request is 32Mi, has larger consumption of memory. "
    )
    use = Use(disk=5, containers={"app": (64 * MIB, 0)})
    text = message(Threshold("nodefs.inodesFree", 7), Level(3, 9), named("a"), use)
    assert text == "The node was low on resource: inodes. Threshold quantity: 7, available: 3. "


def test_bounds_of_a_pod_of_its_own_are_looked_at_one_after_the_other() -> None:
    volumes = [{"name": "d", "emptyDir": {"sizeLimit": "1Mi"}}]
    limits = {"limits": {"ephemeral-storage": "2Mi"}}
    given = pod(spec={"volumes": volumes}, resources=limits)
    assert ranking.has_bounds(given)
    assert exceeded(given, Use(), {"d": MIB}) == ""
    text = 'Usage of EmptyDir volume "d" exceeds the limit "1Mi". '
    assert exceeded(given, Use(), {"d": MIB + 1}) == text
    text = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
    assert exceeded(given, Use(disk=2 * MIB + 1), {}) == text
    two = [{"name": "a", "image": "i", "resources": limits}, {"name": "b", "image": "i"}]
    given = pod(spec={"containers": two})
    # What a container without a limit uses counts towards the limits of the others
    text = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
    assert exceeded(given, Use(disk=2 * MIB + 1, containers={"b": (0, MIB)}), {}) == text
    text = 'Container a exceeded its local ephemeral storage limit "2Mi". '
    assert exceeded(given, Use(disk=2 * MIB, containers={"a": (0, 2 * MIB + 1)}), {}) == text
    assert exceeded(given, Use(disk=2 * MIB, containers={"a": (0, 2 * MIB)}), {}) == ""
    assert not ranking.has_bounds(pod(spec={"volumes": [{"name": "d", "emptyDir": {}}]}))
    assert ranking.bound_of(text) == "ephemeralcontainerfs.limit"
    assert ranking.bound_of('Usage of EmptyDir volume "d"') == "emptydirfs.limit"


def test_what_drivers_have_mounted_for_a_pod_is_not_counted_as_its_disk(tmp_path: Path) -> None:
    own = Paths(tmp_path).volume("uid", "room")
    theirs = Layout(tmp_path).target("uid", "pv", block=False)
    for place in (own, theirs):
        place.mkdir(parents=True)
        (place / "file").write_bytes(b"x" * 100_000)
    source = SignalSource(cast(Any, None), Paths(tmp_path), tmp_path)
    assert source.volumes("uid").keys() == {"room"}
    assert source.volumes("other") == {}


# The monitor


class Cared:
    """A pod that runs; notes why it is given up."""

    def __init__(self, given: Pod, **fields: Any) -> None:
        self.pod = given
        meta = given.metadata
        self.seen = Observed(meta.namespace, meta.name, meta.uid, NOW, **fields)
        self.gone: list[tuple[str, float]] = []

    def evict(self, reason: str, text: str, grace_seconds: float) -> None:
        assert reason == "Evicted"
        self.gone.append((text, grace_seconds))
        self.seen = Observed("default", "x", self.pod.metadata.uid, NOW, ended=(reason, text))


class Source:
    """Signals as a test sets them."""

    def __init__(self, **uses: Use) -> None:
        self.now: dict[str, Level] = {}
        self.uses = {f"uid-{name}": it for name, it in uses.items()}

    def signals(self) -> Signals:
        return self.now

    async def groups(self) -> dict[str, Use]:
        return self.uses

    def volumes(self, _uid: str) -> dict[str, int]:
        return {}

    def disk(self, seen: Observed, _volumes: int) -> Use:
        return self.uses.get(seen.uid, Use())


class Node:
    """A monitor with its surroundings."""

    def __init__(self, world: World, options: Options, source: Source, *cared: Cared) -> None:
        self.told: list[str] = []
        self.reclaimed = 0
        self.changes: list[frozenset[str]] = []
        self.reclaim: Callable[[], None] = lambda: None
        self.monitor = Monitor(
            source, options, lambda: cared, self._reclaim, self._say, "vm", world
        )
        self.monitor.changed = lambda: self.changes.append(self.monitor.conditions)
        self.signals: list[str] = []
        self.monitor.evicted = self.signals.append

    def _say(self, kind: str, reason: str, note: str) -> None:
        self.told.append(f"{kind} {reason}: {note}")

    async def _reclaim(self) -> None:
        self.reclaimed += 1
        self.reclaim()


def options(*thresholds: Threshold) -> Options:
    return Options(thresholds, 5.0)


def test_one_pod_goes_at_a_time_and_the_node_tells_of_its_condition() -> None:
    small, large = Cared(named("small")), Cared(named("large"))
    source = Source(small=Use(10 * MIB), large=Use(50 * MIB))

    async def main(world: World) -> Node:
        node = Node(world, options(Threshold(MEMORY, 100 * MIB)), source, small, large)
        async with world.tasks() as tasks:
            tasks.start(node.monitor.run(), name="monitor")
            source.now = {MEMORY: Level(MIB, 1 << 30)}
            await world.sleep(5)
            assert (len(large.gone), len(small.gone)) == (1, 0)
            source.now = {MEMORY: Level(900 * MIB, 1 << 30)}
            await world.sleep(320)
            assert (len(large.gone), len(small.gone)) == (1, 0)
            tasks.stop()
        return node

    node = simulate(1, main)
    assert large.gone[0][1] == 1.0
    assert large.gone[0][0].startswith("The node was low on resource: memory. ")
    assert node.changes == [{"MemoryPressure"}, frozenset()]
    assert node.told == [
        "Normal NodeHasInsufficientMemory: Node vm status is now: NodeHasInsufficientMemory",
        "Warning EvictionThresholdMet: Attempting to reclaim memory",
        "Normal NodeHasSufficientMemory: Node vm status is now: NodeHasSufficientMemory",
    ]
    assert node.reclaimed == 0
    assert node.signals == [MEMORY]


def run(work: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    world = RealWorld()
    asyncio.run(work(world))


def test_on_a_full_disk_what_nobody_needs_goes_before_any_pod() -> None:
    cared = Cared(named("a"))
    source = Source(a=Use(disk=9 * MIB))
    source.now = {DISK: Level(1, 1000)}

    async def main(world: World) -> None:
        node = Node(world, options(Threshold(DISK, percent=10.0)), source, cared)
        node.reclaim = lambda: source.now.update({DISK: Level(500, 1000)})
        await node.monitor.look()
        assert (node.reclaimed, cared.gone) == (1, [])
        assert node.monitor.conditions == {"DiskPressure"}
        other = Cared(named("a"))
        more = Node(world, options(Threshold(DISK, percent=10.0, reclaim=401)), source, other)
        source.now = {DISK: Level(1, 1000)}
        more.reclaim = lambda: source.now.update({DISK: Level(500, 1000)})
        await more.monitor.look()
        assert len(other.gone) == 1, "less than 401 beyond the threshold was freed"
        source.now = {DISK: Level(1, 1000)}
        node.reclaim = lambda: None
        await node.monitor.look()
        assert node.reclaimed == 2
        assert cared.gone[0][0].startswith("The node was low on resource: ephemeral-storage. ")

    run(main)


@pytest.mark.parametrize(("own", "grace"), [(3, 3.0), (30, 5.0)])
def test_a_soft_threshold_gives_the_lesser_of_two_graces(own: int, grace: float) -> None:
    cared = Cared(named("a", terminationGracePeriodSeconds=own))
    source = Source(a=Use(MIB))
    source.now = {MEMORY: Level(1, 1000)}

    async def main(world: World) -> None:
        node = Node(world, options(Threshold(MEMORY, 100, hard=False)), source, cared)
        await node.monitor.look()

    run(main)
    assert cared.gone[0][1] == grace


def test_a_pod_beyond_its_own_bound_goes_without_any_pressure() -> None:
    limits = {"limits": {"ephemeral-storage": "1Mi"}}
    metadata = {"name": "a", "uid": "uid-a"}
    cared = Cared(pod(resources=limits, metadata=metadata))
    critical = Cared(pod(resources=limits, metadata=metadata, spec={"priority": 2_000_000_000}))
    source = Source(a=Use(disk=2 * MIB))

    async def main(world: World) -> None:
        node = Node(world, options(), source, cared, critical)
        await node.monitor.look()
        await node.monitor.look()
        assert node.signals == ["ephemeralpodfs.limit"]

    run(main)
    assert len(cared.gone) == 1
    assert critical.gone == []


def test_pods_that_are_over_or_critical_are_not_chosen() -> None:
    over = Cared(named("over"), ended=("Evicted", "x"))
    vital = Cared(named("vital", priority=2_000_000_000))
    done = Cared(pod(status={"phase": "Succeeded"}))
    source = Source(over=Use(MIB), vital=Use(MIB))
    source.now = {MEMORY: Level(1, 1000)}

    async def main(world: World) -> None:
        node = Node(world, options(Threshold(MEMORY, 100)), source, over, vital, done)
        await node.monitor.look()

    run(main)
    assert over.gone == vital.gone == done.gone == []


def test_a_node_under_pressure_refuses_pods_that_would_add_to_it() -> None:
    best = pod(status={"qosClass": "BestEffort"})
    burst = pod(status={"qosClass": "Burstable"})

    async def main(world: World) -> None:
        node = Node(world, options(), Source())
        assert node.monitor.refusal(best) is None
        node.monitor.conditions = frozenset({"MemoryPressure"})
        text = "The node had condition: [MemoryPressure]. "
        assert node.monitor.refusal(best) == ("Evicted", text)
        assert node.monitor.refusal(burst) is None
        node.monitor.conditions = frozenset({"DiskPressure", "MemoryPressure"})
        text = "The node had condition: [DiskPressure MemoryPressure]. "
        assert node.monitor.refusal(burst) == ("Evicted", text)
        assert node.monitor.refusal(named("vital", priority=2_000_000_000)) is None

    run(main)


def test_an_evicted_pod_fails_with_its_reason_and_has_little_time() -> None:
    seen = observed(ready=True, ended=("Evicted", "why"), grace=1.0, containers={"app": running()})
    (kill,) = plan(pod(), seen, NOW)
    assert isinstance(kill, KillContainer)
    assert kill.grace_seconds == 1.0
    status = render_status(pod(), seen, "10.0.0.1", NOW)
    assert (status["phase"], status.get("reason")) == ("Running", None)  # what it has is not free
    seen = seen.having("app", exited())
    status = render_status(pod(), seen, "10.0.0.1", NOW)
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Evicted", "why")
    (target,) = [it for it in status["conditions"] if it["type"] == "DisruptionTarget"]
    assert (target["status"], target["reason"], target["message"]) == (
        "True",
        "TerminationByKubelet",
        "why",
    )


def test_the_status_of_a_node_tells_of_its_pressures() -> None:
    facts = Facts(4, 8 << 30, 100 << 30, "m", "u", "b", "6.1", "Debian", "amd64")
    place = Place("vm", "10.0.0.1", 10250, "0.1")
    status = render_node_status(place, facts, None, NOW, {"PIDPressure"})
    told = {it["type"]: (it["status"], it["reason"]) for it in status["conditions"]}
    assert told == {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure"),
        "PIDPressure": ("True", "KubeletHasInsufficientPID"),
        "Ready": ("True", "KubeletReady"),
    }


# Images


def add_image(store: Store, *names: str, salt: str) -> str:
    """Stores an image without layers; returns its manifest's digest."""
    here = host_platform()
    config = render(Config(here.architecture, here.os, RootFS("layers", ()), created=salt))
    told = Descriptor(OCI_CONFIG, store.blobs.add(config), len(config))
    manifest = Manifest(2, told, (), OCI_MANIFEST)
    return store.add_image(manifest, *map(parse, names)).digest


class Disk:
    """The image disk of a test, and who is told of it."""

    def __init__(self, tmp_path: Path, world: World, having: Iterable[Any], bounds: Bounds) -> None:
        self.store = Store(tmp_path / "images")
        self.level = Level(100, 1000)
        self.told: list[str] = []
        self.records = PullRecords(tmp_path / "pulls.json", lambda: "drawn")
        self.collector = ImageCollector(
            OwnImages(self.store),
            self.records,
            lambda: self.level,
            lambda: having,
            bounds,
            self._say,
            world,
        )

    def _say(self, _kind: str, reason: str, note: str) -> None:
        self.told.append(f"{reason}: {note}")

    async def add(self, name: str, *, pulled: bool = True) -> str:
        """Adds an image, as if the node had pulled it."""
        digest = add_image(self.store, name, salt=name)
        if pulled:
            await self.records.note(key_of(name, digest), None, Puller())
        return digest

    def names(self) -> set[str]:
        return {name.familiar for it in self.store.images() for name in it.references}


class Clock(RealWorld):
    """A world whose time a test sets."""

    time = NOW

    def now(self) -> float:
        return self.time


def having(image: str, known: str = "") -> Any:
    seen = observed(containers={"app": Seen(image=known or image, image_id="x")})
    return SimpleNamespace(pod=pod(image=image), seen=seen)


def test_images_that_nobody_has_go_when_the_disk_is_full_and_old_enough(tmp_path: Path) -> None:
    clock = Clock()

    async def main() -> None:
        disk = Disk(tmp_path, clock, [having("used:1", "before:1")], Bounds())
        for name in ("used:1", "before:1", "unused:1"):
            await disk.add(name)
        await disk.add("built:1", pulled=False)
        await disk.collector.look()
        assert "unused:1" in disk.names()  # too young
        assert disk.told[0].startswith("FreeDiskSpaceFailed: Failed to garbage collect required")
        clock.time += 121
        disk.level = Level(160, 1000)
        await disk.collector.look()
        assert len(disk.names()) == 4  # the disk is not full
        disk.level = Level(149, 1000)
        await disk.collector.look()
        assert disk.names() == {"used:1", "before:1", "built:1"}

    asyncio.run(main())


def test_no_more_images_go_than_must_and_that_used_longest_ago_first(tmp_path: Path) -> None:
    clock = Clock()
    users = [having("late:1")]

    async def main() -> None:
        disk = Disk(tmp_path, clock, users, Bounds(least_seconds=0.0))
        for name in ("early:1", "late:1"):
            await disk.add(name)
        disk.level = Level(900, 1000)
        await disk.collector.look()
        clock.time += 1
        await disk.collector.look()
        users.clear()
        assert await disk.collector.free(1) > 0
        assert disk.names() == {"late:1"}
        await disk.collector.free()
        assert disk.names() == set()

    asyncio.run(main())


def test_images_go_that_nobody_has_used_for_too_long(tmp_path: Path) -> None:
    clock = Clock()

    async def main() -> None:
        disk = Disk(tmp_path, clock, [], Bounds(most_seconds=1000.0))
        digest = await disk.add("old:1")
        disk.level = Level(900, 1000)
        await disk.collector.look()
        clock.time += 1001
        await disk.collector.look()
        assert disk.names() == set()
        assert not disk.store.blobs.has(digest)

    asyncio.run(main())


class TakenLate:
    """Pods that are there from the second look on."""

    def __init__(self, *pods: Any) -> None:
        self._looks = iter(((), pods))

    def __iter__(self) -> Iterator[Any]:
        return iter(next(self._looks))


def test_an_image_that_a_pod_takes_meanwhile_stays_whose_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        pods = TakenLate(having("secret:1"))
        disk = Disk(tmp_path, Clock(), pods, Bounds(least_seconds=0.0))
        digest = await disk.add("secret:1", pulled=False)
        key = key_of("secret:1", digest)
        await disk.records.note(key, Login("ann", "hush"), Puller("default", "s", "uid-s"))
        assert await disk.collector.free() == 0
        assert disk.names() == {"secret:1"}
        assert not disk.records.may_have(key, Access()), "it came with a login"

    asyncio.run(main())


def test_an_image_is_in_use_by_whatever_name_a_pod_had_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = add_image(store, "moved:1", salt="a")
    by_digest = f"docker.io/library/other@{digest}"
    add_image(store, by_digest, salt="a")
    images = store.images()
    assert gone.used_digests(images, {by_digest}) == {digest}
    assert gone.used_digests(images, {images[0].id}) == {digest}
    assert gone.used_digests(images, gone.used_names([having("moved:1")])) == {digest}
    assert gone.used_digests(images, gone.used_names([having("UPPER", "none:1")])) == set()
