"""What the scheduler hears: who waits, who has room, and whom a change could help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from scheduler_cluster import Cluster, HeldViews, asking, node, pod
from steersman.model.kinds.namespace import NAMESPACE
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD, Pod
from steersman.scheduler.decide import Unfit
from steersman.scheduler.following import Following
from steersman.scheduler.hints import Waits, blocked_by
from steersman.scheduler.queue import PodQueue
from steersman.world.interface import World
from steersman.world.simulated import simulate

GONE = "2026-01-01T00:00:00Z"


class Followed:
    """A cluster of nodes and pods that is followed into a snapshot and a queue."""

    def __init__(self, world: World, *there: Node | Pod) -> None:
        self.views = HeldViews()
        for one in there:
            self.put(one)
        self.cluster = Cluster()
        self.snapshot = self.cluster.snapshot
        self.queue = PodQueue(world)
        names = ("default-scheduler",)
        self.leave = Following(self.views, self.snapshot, self.queue, names).begin()

    def put(self, found: Node | Pod) -> None:
        self.views.of(NODE if isinstance(found, Node) else POD).put(found)

    def remove(self, found: Node | Pod) -> None:
        self.views.of(NODE if isinstance(found, Node) else POD).remove(found)

    async def refused(self, found: Pod) -> None:
        """Puts a pod that fits nowhere, and lets it wait past its back-off for what helps."""
        self.put(found)
        taken = await self.queue.take()
        assert taken is found
        ask, answer = self.cluster.ask(found), self.cluster.decide(found)
        assert isinstance(answer, Unfit)
        waits = Waits(ask.demand, ask.standing.rule, ask.hood, blocked_by(answer.blockers))
        self.queue.failed(found.metadata.uid, waits)

    def active(self) -> list[str]:
        return [it.metadata.name for it in self.queue.pods("active")]


def test_what_is_there_at_the_beginning_is_heard_and_nothing_after_the_end() -> None:
    async def main(world: World) -> None:
        held = Followed(world, node("n"), asking("1", name="new"), pod("old", nodeName="n"))
        assert held.active() == ["new"]
        placed = held.snapshot.placed("uid-old")
        assert placed is not None and placed.state.name == "n"
        for out in held.leave:
            out()
        held.put(pod("later"))
        assert held.active() == ["new"]

    simulate(1, main)


@pytest.mark.parametrize(
    "after",
    [
        {"nodeName": "n"},
        {"metadata": {"deletionTimestamp": GONE}},
        {"status": {"phase": "Failed"}},
        {"schedulingGates": [{"name": "g"}]},
    ],
)
def test_a_pod_that_need_not_be_placed_any_more_waits_no_longer(after: Any) -> None:
    async def main(world: World) -> None:
        held = Followed(world, node("n"), pod("a"))
        assert held.queue.knows("uid-a")
        held.put(pod("a", **after))
        assert not held.queue.knows("uid-a")

    simulate(1, main)


def test_a_pod_that_is_gone_or_another_by_its_name_waits_no_longer() -> None:
    async def main(world: World) -> None:
        held = Followed(world, node("n"), pod("a"), pod("b"))
        held.remove(pod("a"))
        held.put(pod("b", metadata={"uid": "other"}))
        assert [held.queue.knows(uid) for uid in ("uid-a", "uid-b", "other")] == [
            False,
            False,
            True,
        ]

    simulate(1, main)


def freed(held: Followed, full: Pod) -> None:
    held.remove(full)


def ended(held: Followed, full: Pod) -> None:
    held.put(asking("4", name="full", nodeName="n", status={"phase": "Succeeded"}))


def replaced(held: Followed, full: Pod) -> None:
    held.put(asking("1", name="full", nodeName="n", metadata={"uid": "other"}))


def grown(held: Followed, full: Pod) -> None:
    held.put(node("n", room={"cpu": "8", "memory": "8Gi", "pods": "10"}))


def another(held: Followed, full: Pod) -> None:
    held.put(node("m"))


@pytest.mark.parametrize("help", [freed, ended, replaced, grown, another])
def test_room_that_comes_is_told_to_who_waits_for_it(
    help: Callable[[Followed, Pod], None],
) -> None:
    async def main(world: World) -> None:
        full = asking("4", name="full", nodeName="n")
        held = Followed(world, node("n"), full)
        await held.refused(asking("2", name="waits"))
        await world.sleep(2)
        held.put(node("n", images=[{"names": ["i:1"], "sizeBytes": 1}]))
        assert held.active() == []  # no room came with that
        help(held, full)
        assert held.active() == ["waits"]

    simulate(1, main)


def test_a_node_that_says_later_what_it_can_do_is_told_to_who_needs_it() -> None:
    async def main(world: World) -> None:
        rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
        held = Followed(world, node("n"))
        await held.refused(pod("waits", container={"restartPolicyRules": [rule]}))
        await world.sleep(2)
        plain = node("n")
        features = ("RestartAllContainersOnContainerExits",)
        held.put(replace(plain, status=replace(plain.status, declared_features=features)))
        assert held.active() == ["waits"]

    simulate(1, main)


def test_a_friend_that_came_is_told_to_who_waits_for_it() -> None:
    near = {"topologyKey": "rack", "labelSelector": {"matchLabels": {"app": "x"}}}
    rules = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}

    async def main(world: World) -> None:
        held = Followed(world, node("n", labels={"rack": "r"}))
        await held.refused(pod("waits", affinity=rules))
        await world.sleep(2)
        held.put(pod("stranger", nodeName="n"))
        assert held.active() == []
        held.put(pod("friend", nodeName="n", labels={"app": "y"}))
        assert held.active() == []
        held.put(pod("friend", nodeName="n", labels={"app": "x"}))
        assert held.active() == ["waits"]

    simulate(1, main)


def test_a_nomination_from_before_is_taken_over_and_ends_with_its_pod() -> None:
    async def main(world: World) -> None:
        nominated = pod("a", status={"nominatedNodeName": "n"})
        held = Followed(world, node("n"), nominated)
        assert held.snapshot.nominated("uid-a") == "n"
        held.snapshot.nominate(nominated, "")  # what the scheduler has decided since then counts
        held.put(pod("a", status={"nominatedNodeName": "n"}, labels={"x": "y"}))
        assert held.snapshot.nominated("uid-a") == ""
        held.snapshot.nominate(nominated, "n")
        held.remove(nominated)
        assert held.snapshot.nominated("uid-a") == ""

    simulate(1, main)


def test_the_labels_of_namespaces_are_known_as_they_are_now() -> None:
    def space(name: str, **labels: str) -> Any:
        return msgspec.convert({"metadata": {"name": name, "labels": labels}}, NAMESPACE.view)

    async def main(world: World) -> None:
        held = Followed(world)
        view = held.views.of(NAMESPACE)
        view.put(space("d", team="a"))
        assert held.snapshot.namespaces["d"] == {"team": "a"}
        view.put(space("d", team="b"))
        assert held.snapshot.namespaces["d"] == {"team": "b"}
        view.remove(space("d"))
        assert "d" not in held.snapshot.namespaces

    simulate(1, main)


def test_pods_alike_of_a_node_that_is_gone_go_one_by_one_and_count_where_it_comes_back() -> None:
    async def main(world: World) -> None:
        held = Followed(world, node("n"), node("other"))
        alike = [pod(f"p-{number}", nodeName="n", labels={"a": "b"}) for number in range(3)]
        for one in alike:
            held.put(one)
        held.remove(node("n"))
        held.remove(alike[0])
        (flock,) = held.snapshot.flocks["default"].values()
        assert flock.places == {}
        later = pod("later", nodeName="other", labels={"a": "b"})
        held.put(later)
        assert list(held.snapshot.flocks["default"].values()) == [flock]
        held.remove(alike[1])
        held.put(node("n"))
        assert sum(flock.places.values()) == 2
        held.remove(alike[2])
        held.remove(later)
        assert held.snapshot.flocks == {}

    simulate(1, main)


def test_a_pod_that_is_seen_where_it_was_assumed_to_be_has_nothing_worked_out_anew() -> None:
    async def main(world: World) -> None:
        held = Followed(world, node("n"), asking("1"))
        found = await held.queue.take()
        held.snapshot.put(found, "n", assumed=True)
        before, demand = held.snapshot.logged, held.snapshot.shapes.of(found)
        held.put(asking("1", nodeName="n"))
        placed = held.snapshot.placed("uid-p")
        assert placed is not None and not placed.assumed
        assert held.snapshot.logged == before
        assert placed.demand is demand

    simulate(1, main)
