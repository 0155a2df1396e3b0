"""What devices there are and what of them is taken: pools made of slices, taints, counters. Pure.

Of a pool only the slices of the highest generation count; a pool of which some are missing is
waited for, one with a name twice is not used (structured/internal/stable/pools_stable.go).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import msgspec

from steersman.cel.devices import SelectorError, compile_selector, value_of
from steersman.model.kinds.deviceclass import DeviceClass
from steersman.model.kinds.devicetaintrule import DeviceTaintRule, is_for
from steersman.model.kinds.resourceclaim import AllocatedDevice, Allocation
from steersman.model.kinds.resourceslice import Amount, Device, ResourceSlice, ResourceSliceSpec
from steersman.model.quantity import parse
from steersman.model.types.device import DeviceTaint
from steersman.model.types.scheduling import NodeSelector
from steersman.scheduler.filters.node_affinity import selects
from steersman.scheduler.state.node import NodeState

DeviceID = tuple[str, str, str]  # driver, pool, name
PoolID = tuple[str, str]
Amounts = dict[tuple[str, str], int]  # nanos by counter set and counter
_SELECTORS_KEPT: Final = 1024  # each is asked about every node, so it is understood once


@lru_cache(_SELECTORS_KEPT)
def _selector(text: bytes) -> NodeSelector:
    return msgspec.json.decode(text, type=NodeSelector)


def reaches(selector: Mapping[str, Any], node: NodeState) -> bool:
    """Tells whether the node selector of a slice, device or allocation takes in a node."""
    understood = _selector(msgspec.json.encode(selector))
    return selects(understood, node.node.metadata.labels, node.name)


@dataclass(slots=True)
class Pool:
    """A pool in its newest generation."""

    complete: bool = True
    valid: bool = True
    counters: Amounts = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether devices of it may be allocated."""
        return self.complete and self.valid


@dataclass(slots=True, eq=False)
class Candidate:
    """A device with what is known of it; `matches` remembers the answers of selectors."""

    spec: ResourceSliceSpec
    device: Device
    pool: Pool
    taints: tuple[DeviceTaint, ...]
    value: Mapping[str, Any] | None = None
    answers: dict[str, bool | str] = field(default_factory=dict)

    @property
    def id(self) -> DeviceID:
        """Driver, pool and name."""
        return (self.spec.driver, self.spec.pool.name, self.device.name)

    @property
    def node_name(self) -> str:
        """The one node from which the device can be reached, empty where there may be more."""
        holder = self.device if self.spec.per_device_node_selection else self.spec
        return holder.node_name or ""

    @property
    def node_selector(self) -> Mapping[str, Any] | None:
        """The nodes from which the device can be reached, None for one or for all."""
        holder = self.device if self.spec.per_device_node_selection else self.spec
        return holder.node_selector

    def reached_from(self, node: NodeState) -> bool:
        """Tells whether the device can be reached from a node."""
        if name := self.node_name:
            return name == node.name
        if (selector := self.node_selector) is not None:
            return reaches(selector, node)
        holder = self.device if self.spec.per_device_node_selection else self.spec
        return holder.all_nodes

    def matches(self, expression: str) -> bool:
        """Tells whether a selector selects the device; raises SelectorError."""
        found = self.answers.get(expression)
        if found is None:
            found = self.answers[expression] = self._ask(expression)
        if isinstance(found, str):
            raise SelectorError(found)
        return found

    def _ask(self, expression: str) -> bool | str:
        try:
            if self.value is None:
                self.value = value_of(self.spec.driver, self.device)
            return compile_selector(expression).matches(self.value)
        except SelectorError as error:
            return str(error)

    def attribute(self, name: str) -> tuple[str, Any] | None:
        """Returns the type and value of an attribute by its full name; None where it has none."""
        found = self.device.attributes.get(name)
        domain, _, identifier = name.partition("/")
        if found is None and domain == self.spec.driver:
            found = self.device.attributes.get(identifier)
        if found is None:
            return None
        values = (
            ("int", found.int_value),
            ("bool", found.bool_value),
            ("string", found.string),
            ("version", found.version),
        )
        return next(((kind, value) for kind, value in values if value is not None), None)


@dataclass(slots=True)
class Taken:
    """What allocations take: whole devices, shares of others, counters of pools."""

    devices: set[DeviceID] = field(default_factory=set)
    shares: dict[DeviceID, dict[str, int]] = field(default_factory=dict)
    counters: dict[PoolID, Amounts] = field(default_factory=dict)


class Stock:
    """All devices, found by the node from which they can be reached."""

    def __init__(
        self,
        slices: Iterable[ResourceSlice],
        rules: Iterable[DeviceTaintRule],
        allocations: Iterable[Allocation] = (),
    ) -> None:
        self.pools: dict[PoolID, Pool] = {}
        self._by_node: dict[str, list[Candidate]] = defaultdict(list)
        self._wide: list[Candidate] = []
        self._all: dict[DeviceID, Candidate] = {}
        rules = sorted(rules, key=lambda rule: rule.metadata.name)
        for found in _pools(slices):
            self._add(found, rules)
        self.taken = Taken()
        self.count(allocations)

    def count(self, allocations: Iterable[Allocation]) -> None:
        """Counts anew what allocations take; what is known of devices stays."""
        self.taken = Taken()
        for allocation in allocations:
            for result in allocation.devices.results:
                self._take(result)

    def on(self, node: NodeState) -> Iterator[Candidate]:
        """Yields the devices that can be reached from a node, in a fixed order."""
        yield from self._by_node.get(node.name, ())
        for candidate in self._wide:
            if candidate.reached_from(node):
                yield candidate

    def numbers(self, node: NodeState, device_class: DeviceClass) -> tuple[int, int]:
        """Returns how many devices of a class are taken on a node, and how many there are; none
        where that cannot be said (noderesources calculateDRAResourceTotals)."""
        selectors = [one.cel.expression for one in device_class.spec.selectors]
        try:
            found = [it.id for it in self.on(node) if all(map(it.matches, selectors))]
        except SelectorError:
            return 0, 0
        taken = self.taken
        return sum(it in taken.devices or it in taken.shares for it in found), len(found)

    def _add(self, slices: list[ResourceSlice], rules: Iterable[DeviceTaintRule]) -> None:
        first = slices[0].spec
        pool = Pool(len(slices) == first.pool.resource_slice_count)
        self.pools[first.driver, first.pool.name] = pool
        for found in slices:
            for counters in found.spec.shared_counters:
                for name, counter in counters.counters.items():
                    pool.counters[counters.name, name] = nanos(counter.value)
            for device in found.spec.devices:
                self._add_device(found.spec, device, pool, rules)

    def _add_device(
        self,
        spec: ResourceSliceSpec,
        device: Device,
        pool: Pool,
        rules: Iterable[DeviceTaintRule],
    ) -> None:
        identity = (spec.driver, spec.pool.name, device.name)
        by_rule = (rule.spec.taint for rule in rules if is_for(rule, *identity))
        candidate = Candidate(spec, device, pool, (*device.taints, *by_rule))
        if candidate.id in self._all:
            pool.valid = False
            return
        self._all[candidate.id] = candidate
        if name := candidate.node_name:
            self._by_node[name].append(candidate)
        else:
            self._wide.append(candidate)

    def _take(self, result: AllocatedDevice) -> None:
        if result.admin_access:
            return
        identity = (result.driver, result.pool, result.device)
        candidate = self._all.get(identity)
        counted = identity in self.taken.shares or identity in self.taken.devices
        if result.share_id is not None:
            shares = self.taken.shares.setdefault(identity, {})
            for name, amount in result.consumed_capacity.items():
                shares[name] = shares.get(name, 0) + nanos(amount)
        else:
            self.taken.devices.add(identity)
        if candidate is not None and not counted:
            used = self.taken.counters.setdefault(identity[:2], {})
            for counter, amount in consumed(candidate.device).items():
                used[counter] = used.get(counter, 0) + amount


def _pools(slices: Iterable[ResourceSlice]) -> Iterator[list[ResourceSlice]]:
    """Yields the slices of each pool in its highest generation, in a fixed order."""
    found: dict[PoolID, list[ResourceSlice]] = {}
    for one in sorted(slices, key=lambda one: one.metadata.name):
        key, generation = (one.spec.driver, one.spec.pool.name), one.spec.pool.generation
        known = found.get(key)
        if known is None or known[0].spec.pool.generation < generation:
            found[key] = [one]
        elif known[0].spec.pool.generation == generation:
            known.append(one)
    return iter(found[key] for key in sorted(found))


def consumed(device: Device) -> Amounts:
    """Returns what a device uses of the counters of its pool."""
    return {
        (one.counter_set, name): nanos(counter.value)
        for one in device.consumes_counters
        for name, counter in one.counters.items()
    }


def nanos(amount: Amount) -> int:
    """Returns a quantity as a whole number of nanos."""
    return parse(amount).nanos
