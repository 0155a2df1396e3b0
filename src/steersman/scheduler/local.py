"""What is asked of nodes for one pod alone: its volumes and its devices, as one rule."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Container
from functools import reduce
from operator import and_

from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.memory import Local
from steersman.scheduler.scores.allocation import Devices
from steersman.scheduler.state.bits import Bits
from steersman.scheduler.state.node import NodeState


class Locals:
    """Several rules of a pod; see `memory.Local`."""

    def __init__(self, *rules: Local) -> None:
        self._rules = rules

    def possible(self) -> Bits:
        """Returns the nodes that are possible for all of them."""
        return reduce(and_, (rule.possible() for rule in self._rules))

    def refuse(self, node: NodeState, gone: Container[str] = ()) -> Refusal | None:
        """Returns the first refusal."""
        for rule in self._rules:
            if (refusal := rule.refuse(node, gone)) is not None:
                return refusal
        return None

    def devices(self, node: NodeState, names: Collection[str]) -> Devices:
        """Returns what all of them say."""
        return dict(ChainMap(*(dict(rule.devices(node, names)) for rule in self._rules)))


def joined(*rules: Local | str | None) -> Local | None:
    """Returns rules as one, None where there is none; a text is the other answer of who makes
    them and counts as none."""
    found = [rule for rule in rules if rule is not None and not isinstance(rule, str)]
    if len(found) < 2:
        return found[0] if found else None
    return Locals(*found)
