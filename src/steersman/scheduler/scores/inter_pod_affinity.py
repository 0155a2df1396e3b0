"""InterPodAffinity: nodes near liked pods and far from disliked ones are better, also by the
likes of pods that are there (interpodaffinity/scoring.go)."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.scheduler.neighbourhood import Neighbourhood
from steersman.scheduler.scores.partition import Part
from steersman.scheduler.state.bits import Bits


def parts(hood: Neighbourhood, fit: Bits) -> Sequence[Part]:
    """Returns the fitting nodes by their score, 0 to 100: the span from the worst to the best."""
    raw: dict[int, Bits] = {0: fit}
    for tally in hood.scored.values():
        finer: dict[int, Bits] = {}
        for total, nodes in raw.items():
            if rest := nodes & ~tally.topology.all:
                finer[total] = finer.get(total, 0) | rest
            for amount, bits in tally.filed.items():
                if both := nodes & bits:
                    finer[total + amount] = finer.get(total + amount, 0) | both
        raw = finer
    least, most = min(raw), max(raw)
    if least == most:
        return ((0, fit),)
    return [(int(100 * ((total - least) / (most - least))), bits) for total, bits in raw.items()]
