"""How long a node may keep ConfigMaps and Secrets of its pods, by the size of the cluster: an
annotation of the node (pkg/controller/ttl).

Between two sizes both answers count, so that a node more or less does not change all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

import msgspec

from steersman.client.interface import Views
from steersman.model.kinds.node import NODE, Node
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.reconcile.actions import Patch, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

ANNOTATION: Final = "node.alpha.kubernetes.io/ttl"


# Nodes of a cluster that starts come one after another: each is annotated once they have come
YOUNG_SECONDS: Final = 10.0


class Step(msgspec.Struct, frozen=True):
    """For clusters from `least` to `most` nodes."""

    least: int
    most: int
    seconds: int


STEPS: Final = (
    Step(0, 100, 0),
    Step(90, 500, 15),
    Step(450, 1000, 30),
    Step(900, 2000, 60),
    Step(1800, 2**31 - 1, 300),
)
# A cluster of so many nodes has come from one step to another
_RISEN: Final = frozenset(step.most + 1 for step in STEPS)
_FALLEN: Final = frozenset(step.least - 1 for step in STEPS)


def decide(count: int, place: int) -> int:
    """Returns the step of a cluster of so many nodes that was at the step `place`."""
    while count > STEPS[place].most:
        place += 1
    while count < STEPS[place].least:
        place -= 1
    return place


def young_for(node: Node, now: float) -> float:
    """Returns for how many seconds a node is not annotated yet."""
    return seconds(node.metadata.creation_timestamp) + YOUNG_SECONDS - now


def plan(node: Node, ttl_seconds: int) -> Patch | None:
    """Returns what annotates a node, None where it is."""
    if node.metadata.annotations.get(ANNOTATION) == str(ttl_seconds):
        return None
    metadata = {"annotations": {ANNOTATION: str(ttl_seconds)}}
    return Patch(NODE.ref(*node.key), {"metadata": metadata}, uid=node.metadata.uid)


def _of_node(views: Views, old: Node | None, new: Node | None) -> Iterable[Ref]:
    """Maps a node that came or is annotated otherwise to itself, and one that came or went to all
    where it may have changed the step. Nodes report often, and that says nothing here."""
    if old is not None and new is not None:
        if old.metadata.annotations != new.metadata.annotations:
            yield NODE.ref(*new.key)
        return
    yield from to_self(views, old, new, kind=NODE)
    nodes = tuple(views.of(NODE).list())
    if len(nodes) in (_RISEN if old is None else _FALLEN):
        yield from (NODE.ref(*node.key) for node in nodes)


class NodeTTLController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "ttl-controller"
    watches: ClassVar[tuple[Watch, ...]] = (Watch(NODE, _of_node),)
    writes: ClassVar[tuple[Rule, ...]] = (Rule("", ("nodes",), ("patch",)),)

    def __init__(self, given: Given) -> None:
        self._given = given
        self._nodes = given.views.of(NODE)
        self._place = 0

    async def reconcile(self, ref: Ref) -> Done:
        """Annotates one node."""
        node: Node | None = self._nodes.get(ref)
        if node is None:
            return Done()
        left = young_for(node, self._given.world.now())
        if left > 0:
            return Done(left)
        self._place = decide(len(tuple(self._nodes.list())), self._place)
        patch = plan(node, STEPS[self._place].seconds)
        if patch is not None:
            await act_one(self._given.client, self._given.events, patch)
        return Done()
