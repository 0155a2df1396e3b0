"""Which volumes a pod's waiting claims get on a node. Pure (volumebinding/binder.go).

A claim gets the smallest free volume that fits it and the node; for one that finds none, its
class makes one, if it can for that node.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.scheduler.state.node import NodeState
from steersman.scheduler.volumes.offers import NOT_FOUND, Wish


class Choice(msgspec.Struct, frozen=True):
    """Claims with the volumes they get, claims for which volumes are to be made, and claims that
    were bound before."""

    given: tuple[tuple[PersistentVolumeClaim, PersistentVolume], ...] = ()
    made: tuple[PersistentVolumeClaim, ...] = ()
    bound: tuple[PersistentVolumeClaim, ...] = ()

    @property
    def waiting(self) -> tuple[PersistentVolumeClaim, ...]:
        """Those that were not."""
        return (*(claim for claim, _ in self.given), *self.made)


def choose(wishes: Iterable[Wish], node: NodeState) -> Choice | str:
    """Returns what the claims get on a node, or why one of them gets nothing."""
    given: dict[str, tuple[PersistentVolumeClaim, PersistentVolume]] = {}
    made = []
    for wish in wishes:
        if wish.selected is not None:
            if wish.selected != node.name:
                return NOT_FOUND
            made.append(wish)
        elif (volume := wish.offers.smallest(node, given)) is not None:
            given[volume.metadata.name] = (wish.claim, volume)
        else:
            made.append(wish)
    for wish in made:
        if why := wish.maker.refuse(node):
            return why
    return Choice(tuple(given.values()), tuple(wish.claim for wish in made))
