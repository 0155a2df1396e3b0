"""Upstream's words for why a pod is not scheduled (framework/types.go FitError)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from steersman.scheduler.decide import Unfit
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.state.bits import Bits

NO_NODES = "no nodes available to schedule pods"
NO_CLAIMS = "no new claims to deallocate"
HAS_CLAIMS = "still not schedulable"
DEALLOCATED = "deallocation of ResourceClaim completed"
DELETED = "deletion of ResourceClaim completed"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


def fit_error(unfit: Unfit, preemption: str = "", claims: str = NO_CLAIMS) -> str:
    """Returns the message of an attempt: reasons with their counts, then what the plugins say that
    could have made room: DynamicResources, which comes first (`claims`), and preemption."""
    if not unfit.nodes:
        return NO_NODES
    if unfit.early:  # DynamicResources misses what it would have noted, and ends the matter
        return f"0/{unfit.nodes} nodes are available: {unfit.early}. not found"
    reasons = counted(unfit.refused)
    text = f"0/{unfit.nodes} nodes are available:" + (f" {reasons}." if reasons else "")
    return f"{text} {claims}, preemption: {preemption}" if preemption else text


def counted(refused: Mapping[Refusal, Bits]) -> str:
    """Returns reasons with how many nodes have them, in the order of their texts."""
    counts: Counter[str] = Counter()
    for refusal, bits in refused.items():
        for reason in refusal.reasons:
            counts[reason] += bits.bit_count()
    return listed(counts)


def listed(counts: Mapping[str, int]) -> str:
    """Returns counted texts in a line."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))


def unhelpful(nodes: int, counts: Mapping[str, int], tried: int) -> str:
    """Returns what preemption says when it found no candidate: what the nodes tried came to, and
    that it could not have helped on the others."""
    counts = {**counts, NOT_HELPFUL: nodes - tried} if nodes > tried else counts
    return f"0/{nodes} nodes are available: {listed(counts)}."
