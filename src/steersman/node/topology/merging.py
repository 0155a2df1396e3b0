"""The one place for what several providers give a container: pure, over bit masks of NUMA nodes.

Follows the kubelet's cm/topologymanager (policy.go, numa_info.go). Of all ways to take one hint of
each resource the best is a least element of an order, so ways that come to the same are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from steersman.node.topology.providing import Hint

PolicyName = Literal["none", "best-effort", "restricted", "single-numa-node"]
ScopeName = Literal["container", "pod"]
ANYWHERE: Final = Hint(None, preferred=False)
_FREE: Final = Hint(None, preferred=True)


class Alignment(msgspec.Struct, frozen=True):
    """How pods are placed.

    scope:      whether each container has a place of its own, or the whole pod one
    closest:    of places with as many nodes that whose nodes are near is taken
                (prefer-closest-numa-nodes)
    nodes:      bit mask of the NUMA nodes of the machine
    distances:  from each of them to each, by number
    """

    policy: PolicyName = "none"
    scope: ScopeName = "container"
    closest: bool = False
    nodes: int = 1
    distances: Mapping[int, Mapping[int, int]] = {}


def bits(mask: int) -> list[int]:
    """Returns the numbers that a bit mask holds."""
    return [number for number in range(mask.bit_length()) if mask >> number & 1]


def mask_of(numbers: Iterable[int]) -> int:
    """Returns the bit mask of numbers."""
    found = 0
    for number in numbers:
        found |= 1 << number
    return found


def masks(nodes: Iterable[int]) -> list[int]:
    """Returns the masks of all sets of nodes but the empty one, small sets first."""
    found = [0]
    for node in nodes:
        found += [mask | mask_of((node,)) for mask in found]
    return sorted(found[1:], key=lambda it: (it.bit_count(), it))


def merge(
    alignment: Alignment, given: Iterable[Mapping[str, Sequence[Hint] | None]]
) -> Hint | None:
    """Returns the place from which all is given out, None where the policy takes none."""
    hints = [it for provider in given for it in _resources(provider)]
    if alignment.policy == "single-numa-node":
        return _merge_single(alignment, hints)
    found = _best(alignment, hints)
    if alignment.policy == "restricted" and not found.preferred:
        return None
    return found


def _resources(provider: Mapping[str, Sequence[Hint] | None]) -> list[Sequence[Hint]]:
    """Returns the hints of each resource of a provider; one that does not care takes any place,
    and what cannot be had at all makes every place a poor one."""
    if not provider:
        return [[_FREE]]
    return [[_FREE] if it is None else it or [ANYWHERE] for it in provider.values()]


def _merge_single(alignment: Alignment, hints: Iterable[Sequence[Hint]]) -> Hint | None:
    """Merges what lies on one node, or anywhere."""
    narrow = [
        [it for it in one if it.preferred and (it.nodes is None or it.nodes.bit_count() == 1)]
        for one in hints
    ]
    found = _best(alignment, narrow)
    if not found.preferred:
        return None
    return Hint(None, preferred=True) if found.nodes == alignment.nodes else found


def _best(alignment: Alignment, hints: Sequence[Sequence[Hint]]) -> Hint:
    width = max((_narrowest(one) for one in hints), default=0)
    ways = {_FREE}
    for one in hints:
        ways = {_both(way, hint) for way in ways for hint in one}
    merged = (Hint(_within(alignment, it), it.preferred) for it in ways)
    places = [it for it in merged if it.nodes]
    if not places:
        return Hint(alignment.nodes, preferred=False)
    return min(places, key=lambda it: _order(alignment, width, it))


def _within(alignment: Alignment, hint: Hint) -> int:
    return alignment.nodes if hint.nodes is None else hint.nodes & alignment.nodes


def _both(one: Hint, other: Hint) -> Hint:
    """Returns what two hints come to: preferred only where they are the same (mergePermutation)."""
    preferred = one.preferred and other.preferred
    if one.nodes is None or other.nodes is None:
        return Hint(other.nodes if one.nodes is None else one.nodes, preferred)
    return Hint(one.nodes & other.nodes, preferred and one.nodes == other.nodes)


def _narrowest(hints: Sequence[Hint]) -> int:
    """Returns with how many nodes a resource can do."""
    return min((it.nodes.bit_count() for it in hints if it.nodes is not None), default=0)


def _order(alignment: Alignment, width: int, hint: Hint) -> tuple[object, ...]:
    """Returns what the best place has least of (HintMerger.compare): narrow is good, but where
    none is preferred as many nodes are wanted as the widest resource needs at least."""
    assert hint.nodes is not None
    count = hint.nodes.bit_count()
    size = (False, count) if hint.preferred else (count > width, abs(count - width))
    far = average_distance(alignment, hint.nodes) if alignment.closest else 0.0
    return not hint.preferred, *size, far, hint.nodes


def average_distance(alignment: Alignment, nodes: int) -> float:
    """Returns how far the nodes of a mask are from each other, themselves counted."""
    numbers = bits(nodes)
    found = [alignment.distances[one][other] for one in numbers for other in numbers]
    return sum(found) / len(found)
