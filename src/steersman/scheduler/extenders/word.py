"""What extenders said of the nodes for one pod: refusals and scores. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.bits import Bits, places
from steersman.scheduler.state.snapshot import Snapshot

PLUGIN: Final = "Extender"
# A node that an extender left out without a word; upstream counts no reason for it
SILENT: Final = Refusal(PLUGIN, ())


class Word(msgspec.Struct, frozen=True):
    """Which nodes passed, who was refused why, by which extenders, and scores to be added.

    A node about which nobody was asked has not passed: it fits only since then.
    """

    passed: frozenset[str] = frozenset()
    refused: Mapping[str, Refusal] = msgspec.field(default_factory=dict)
    refusers: tuple[str, ...] = ()
    scores: Mapping[str, int] = msgspec.field(default_factory=dict)

    def refusals(self, snapshot: Snapshot, nodes: Bits) -> Iterator[tuple[Refusal, Bits]]:
        """Yields those of some nodes that are out of the question, each once, with the reason."""
        found: dict[Refusal, Bits] = {}
        for place in places(nodes):
            name = snapshot.at(place).name
            if name not in self.passed:
                refusal = self.refused.get(name, SILENT)
                found[refusal] = found.get(refusal, 0) | 1 << place
        return iter(found.items())

    def parts(self, snapshot: Snapshot, nodes: Bits) -> Iterator[tuple[int, Bits]]:
        """Yields nodes by the score that was given to them."""
        if not self.scores:
            yield 0, nodes
            return
        found: dict[int, Bits] = {}
        for place in places(nodes):
            score = self.scores.get(snapshot.at(place).name, 0)
            found[score] = found.get(score, 0) | 1 << place
        yield from found.items()
