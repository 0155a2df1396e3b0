"""Pod groups as the scheduler reads them: who belongs to one, how many count, what is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from scheduler_cluster import Held, pod
from steersman.model.kind import Kind
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.scheduler.gangs import groups as gang_groups
from steersman.scheduler.gangs.groups import (
    LABEL,
    PODGROUPS,
    READY_SECONDS,
    Gang,
    Groups,
    PodGroup,
    rejected,
    too_few,
    waiting,
)
from steersman.scheduler.hints import Alone
from steersman.world.simulated import SimulatedWorld, simulate
from steersman.world.virtual import VirtualWorld
from virtual_time import virtually

KIND = Kind(
    group=PODGROUPS.group,
    name="PodGroup",
    plural=PODGROUPS.plural,
    namespaced=True,
    versions=(),
    storage="v1alpha1",
)


class Indexed(Held):
    """A held view that files its objects when it is asked for some."""

    def index(self, _name: str, values: Callable[[Any], Any]) -> None:
        self.values = values

    def by(self, _name: str, value: str) -> list[Any]:
        return [it for it in self.list() if value in self.values(it)]


class Views:
    """Pods and PodGroups, whose kind comes and goes."""

    def __init__(self, *pods: Pod) -> None:
        self.pods, self.groups = Indexed(pods), Indexed()
        self.hear: Callable[[Kind, bool], None]

    def of(self, kind: Kind) -> Any:
        return self.pods if kind is POD else self.groups

    def on_custom(self, hear: Callable[[Kind, bool], None]) -> None:
        self.hear = hear


def put(views: Views, name: str, **spec: Any) -> PodGroup:
    metadata = {"name": name, "namespace": "default"}
    found = msgspec.convert({"metadata": metadata, "spec": spec}, PodGroup)
    views.groups.put(found)
    return found


def member(name: str, group: str = "g", **rest: Any) -> Pod:
    return pod(name, labels={LABEL: group}, **rest)


def gang(views: Views, one: Pod, *placed: str) -> Gang | str | None:
    groups = Groups(views)  # type: ignore[arg-type]
    groups.begin()
    views.hear(KIND, True)
    return groups.of(one, lambda uid: uid in placed)


def test_pods_that_live_count_for_their_group_the_important_first() -> None:
    gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    one, two = member("a"), member("b", priority=5)
    views = Views(
        one,
        two,
        member("other", group="h"),
        member("elsewhere", namespace="n"),
        member("done", status={"phase": "Succeeded"}),
        member("going", metadata=gone),
    )
    put(views, "g", minMember=3, scheduleTimeoutSeconds=10)
    found = gang(views, one, "uid-b")
    assert isinstance(found, Gang)
    assert (found.key, found.least, found.bound) == (("default", "g"), 3, 1)
    assert [it.metadata.name for it in found.pods] == ["b", "a"]
    assert not found.complete
    assert msgspec.structs.replace(found, bound=3).complete
    assert too_few(found, one, 2) == (
        "pre-filter pod a cannot find enough sibling pods, current pods number: 2, minMember of "
        "group: 3"
    )
    assert rejected(found, one) == (
        "PodGroup default/g gets rejected due to Pod a is unschedulable even after PostFilter"
    )


def test_without_label_or_kind_there_is_no_group_and_a_missing_one_is_told() -> None:
    one = member("a")
    views = Views(one)
    assert Groups(views).of(one, lambda _: False) is None  # type: ignore[arg-type]
    assert gang(views, pod("plain")) is None
    assert gang(views, member("empty", group="")) is None
    assert gang(views, one) == "PodGroup not found"


def test_a_least_number_that_is_none_is_one() -> None:
    for least in (0, -3, "3", None, 2.5):
        assert msgspec.convert({"spec": {"minMember": least}}, PodGroup).least == 1
    assert msgspec.convert({"spec": [1]}, PodGroup).least == 1
    assert msgspec.convert({}, PodGroup).least == 1


def test_who_waits_hears_of_their_own_group_until_the_kind_goes() -> None:
    one = member("a")
    views, heard = Views(one), []
    groups = Groups(views)  # type: ignore[arg-type]
    groups.begin()
    groups.listen(heard.append)
    views.hear(KIND, True)
    first = put(views, "g", minMember=2)
    put(views, "g", minMember=2)  # nothing that matters changed
    put(views, "g", minMember=1)
    views.groups.remove(first)
    assert heard == [waiting(one)] * 3
    assert waiting(one) != waiting(member("a", group="h"))
    assert isinstance(waiting(one), Alone)
    assert views.groups.get(Ref(PODGROUPS, "default", "g")) is None
    views.hear(msgspec.structs.replace(KIND, plural="others"), False)
    assert groups.of(one, lambda _: False) == "PodGroup not found"
    views.hear(KIND, False)
    assert groups.of(one, lambda _: False) is None


class Unsynced(Indexed):
    """A view whose first list comes, or never."""

    def __init__(self, readable: bool) -> None:
        super().__init__()
        self._readable = readable

    async def reached(self, _revision: int) -> None:
        if not self._readable:
            await asyncio.Event().wait()


@pytest.mark.parametrize("readable", [True, False])
def test_who_cannot_read_definitions_goes_on_without_groups(
    readable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(world: SimulatedWorld) -> float:
        views = Views(member("a"))
        views.groups = Unsynced(readable)
        groups = Groups(views)  # type: ignore[arg-type]
        groups.begin()
        began = world.now()
        await groups.ready(world)
        return world.now() - began

    assert simulate(1, main) == (0.0 if readable else READY_SECONDS)
    assert len(caplog.messages) == (0 if readable else 1)


def test_definitions_are_not_waited_for_though_the_clock_stands(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gang_groups, "READY_SECONDS", 0.01)

    async def main(world: VirtualWorld) -> None:
        views = Views(member("a"))
        views.groups = Unsynced(readable=False)
        groups = Groups(views)  # type: ignore[arg-type]
        await asyncio.wait_for(groups.ready(world), 10)

    virtually(main)
    assert len(caplog.messages) == 1
