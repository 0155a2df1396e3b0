"""Which devices the claims of a pod get on one node. Pure, and bounded in its steps.

Searches depth first, claim by claim, request by request, device by device, and takes the first
way in which everything fits (structured/internal/stable/allocator_stable.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from steersman.cel.devices import SelectorError
from steersman.model.kinds.deviceclass import DeviceClass
from steersman.model.kinds.resourceclaim import ResourceClaim
from steersman.model.types.device import (
    DeviceConstraint,
    DeviceRequest,
    DeviceWish,
    ExactRequest,
    tolerates,
)
from steersman.scheduler.devices.share import Share, has_enough, share_of
from steersman.scheduler.devices.stock import Candidate, DeviceID, Stock, consumed
from steersman.scheduler.state.node import NodeState

MOST_RESULTS: Final = 32  # AllocationResultsMaxSize, of one claim
# Devices tried on one node; upstream gives a node ten seconds (DRASchedulerFilterTimeout)
MOST_STEPS: Final = 20_000
_REPELS: Final = ("NoSchedule", "NoExecute")

Next = Callable[[], bool]


class TooLong(Exception):
    """The search took more steps than it may."""


class Pick(msgspec.Struct, frozen=True):
    """One device for one request; `share` is what it takes of one that others may have too."""

    request: str
    wish: DeviceWish
    candidate: Candidate
    share: Share | None = None

    @property
    def admin(self) -> bool:
        """Whether the device may be in use by others."""
        return isinstance(self.wish, ExactRequest) and self.wish.admin_access


Picks = tuple[tuple[ResourceClaim, tuple[Pick, ...]], ...]


@dataclass(slots=True)
class _Spent:
    """What the picks so far take, beyond what was taken before."""

    devices: dict[DeviceID, int] = field(default_factory=dict)
    shares: dict[DeviceID, dict[str, int]] = field(default_factory=dict)
    counters: dict[tuple[str, str], dict[tuple[str, str], int]] = field(default_factory=dict)


class Search:
    """One search on one node."""

    def __init__(
        self,
        claims: Sequence[ResourceClaim],
        classes: Callable[[str], DeviceClass | None],
        stock: Stock,
        node: NodeState,
    ) -> None:
        self._claims = claims
        self._classes = classes
        self._stock = stock
        self._devices = tuple(stock.on(node))
        self._spent = _Spent()
        self._picks: list[list[Pick]] = [[] for _ in claims]
        self._left = MOST_STEPS

    def run(self) -> Picks | None:
        """Returns what the claims get, None where they do not get it; raises TooLong."""
        if not self._claim(0):
            return None
        made = (tuple(picks) for picks in self._picks)
        return tuple(zip(self._claims, made, strict=True))

    def _claim(self, number: int) -> bool:
        if number == len(self._claims):
            return True
        return self._request(number, 0, lambda: self._claim(number + 1))

    def _request(self, claim: int, number: int, after: Next) -> bool:
        requests = self._claims[claim].spec.devices.requests
        if number == len(requests):
            return after()

        def on() -> bool:
            return self._request(claim, number + 1, after)

        return any(self._wish(claim, name, wish, on) for name, wish in wishes(requests[number]))

    def _wish(self, claim: int, name: str, wish: DeviceWish, after: Next) -> bool:
        try:
            fitting = [one for one in self._devices if self._suits(wish, one)]
        except SelectorError:
            return False
        picks = self._picks[claim]
        if wish.allocation_mode == "All":
            whole = [one for one in fitting if one.pool.valid]
            broken = len(whole) < len(fitting) or not all(one.pool.complete for one in fitting)
            if broken or not whole or len(picks) + len(whole) > MOST_RESULTS:
                return False
            return self._all(claim, name, wish, whole, 0, after)
        usable = [one for one in fitting if one.pool.usable]
        if len(picks) + wish.count > MOST_RESULTS:
            return False
        return self._some(claim, name, wish, usable, 0, wish.count, after)

    def _all(
        self,
        claim: int,
        name: str,
        wish: DeviceWish,
        devices: Sequence[Candidate],
        number: int,
        after: Next,
    ) -> bool:
        if number == len(devices):
            return after()

        def on() -> bool:
            return self._all(claim, name, wish, devices, number + 1, after)

        return self._try(claim, name, wish, devices[number], on)

    def _some(
        self,
        claim: int,
        name: str,
        wish: DeviceWish,
        devices: Sequence[Candidate],
        start: int,
        missing: int,
        after: Next,
    ) -> bool:
        """Picks as many as are missing, each no earlier than the one before: order plays no
        part."""
        if not missing:
            return after()
        for place in range(start, len(devices)):
            further = place if devices[place].device.allow_multiple_allocations else place + 1

            def on(further: int = further) -> bool:
                return self._some(claim, name, wish, devices, further, missing - 1, after)

            if self._try(claim, name, wish, devices[place], on):
                return True
        return False

    def _try(
        self, claim: int, name: str, wish: DeviceWish, candidate: Candidate, after: Next
    ) -> bool:
        """Takes a device if it is free and the constraints hold, and goes on; puts it back where
        that leads nowhere."""
        self._left -= 1
        if self._left < 0:
            raise TooLong
        pick = self._pick(name, wish, candidate)
        if pick is None or not self._constrained(claim, pick):
            return False
        self._count(pick, 1)
        self._picks[claim].append(pick)
        if after():
            return True
        self._picks[claim].pop()
        self._count(pick, -1)
        return False

    def _suits(self, wish: DeviceWish, candidate: Candidate) -> bool:
        device_class = self._classes(wish.device_class_name)
        selectors = (*(device_class.spec.selectors if device_class else ()), *wish.selectors)
        return all(candidate.matches(one.cel.expression) for one in selectors)

    def _pick(self, name: str, wish: DeviceWish, candidate: Candidate) -> Pick | None:
        for taint in candidate.taints:
            if taint.effect in _REPELS and not any(
                tolerates(toleration, taint) for toleration in wish.tolerations
            ):
                return None
        device, identity, taken = candidate.device, candidate.id, self._stock.taken
        pick = Pick(name, wish, candidate)
        if pick.admin:
            return pick if has_enough(device, wish.capacity) else None
        if device.allow_multiple_allocations:
            used = dict(taken.shares.get(identity, {}))
            for key, amount in self._spent.shares.get(identity, {}).items():
                used[key] = used.get(key, 0) + amount
            share = share_of(device, wish.capacity, used)
            if share is None:
                return None
            pick = Pick(name, wish, candidate, share)
        elif (
            identity in taken.devices
            or identity in self._spent.devices
            or not has_enough(device, wish.capacity)
        ):
            return None
        return pick if self._counted(candidate) else None

    def _counted(self, candidate: Candidate) -> bool:
        """Tells whether the counters of a pool have what a device uses of them."""
        identity = candidate.id
        if identity in self._stock.taken.shares or identity in self._spent.devices:
            return True  # they are used once, however many share the device
        pool = identity[:2]
        before = self._stock.taken.counters.get(pool, {})
        now = self._spent.counters.get(pool, {})
        return all(
            before.get(counter, 0) + now.get(counter, 0) + amount
            <= candidate.pool.counters.get(counter, 0)
            for counter, amount in consumed(candidate.device).items()
        )

    def _count(self, pick: Pick, sign: int) -> None:
        if pick.admin:
            return
        identity, spent = pick.candidate.id, self._spent
        before = spent.devices.get(identity, 0)
        if after := before + sign:
            spent.devices[identity] = after
        else:
            del spent.devices[identity]
        for name, amount in (pick.share or {}).items():
            shares = spent.shares.setdefault(identity, {})
            shares[name] = shares.get(name, 0) + sign * amount
        if identity in self._stock.taken.shares or min(before, after):
            return
        counters = spent.counters.setdefault(identity[:2], {})
        for counter, amount in consumed(pick.candidate.device).items():
            counters[counter] = counters.get(counter, 0) + sign * amount

    def _constrained(self, claim: int, pick: Pick) -> bool:
        """Tells whether the constraints of a claim hold with one more device."""
        picks = self._picks[claim]
        return all(
            _holds(constraint, pick, picks)
            for constraint in self._claims[claim].spec.devices.constraints
            if _covers(constraint, pick.request)
        )


def wishes(request: DeviceRequest) -> Iterator[tuple[str, DeviceWish]]:
    """Yields the ways in which a request can be met, each with the name that results have."""
    if request.exactly is not None:
        yield request.name, request.exactly
    for alternative in request.first_available:
        yield f"{request.name}/{alternative.name}", alternative


def _covers(constraint: DeviceConstraint, request: str) -> bool:
    names = constraint.requests
    return not names or request in names or request.partition("/")[0] in names


def _holds(constraint: DeviceConstraint, pick: Pick, picks: Sequence[Pick]) -> bool:
    name = constraint.match_attribute or constraint.distinct_attribute
    value = pick.candidate.attribute(name)
    if value is None:
        return False
    others: list[tuple[str, Any] | None] = [
        one.candidate.attribute(name) for one in picks if _covers(constraint, one.request)
    ]
    if constraint.match_attribute:
        return all(other == value for other in others)
    return value not in others
