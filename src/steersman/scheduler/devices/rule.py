"""The DynamicResources filter for one pod: what `decide` asks of nodes because of its claims
(plugins/dynamicresources PreFilter and Filter)."""

from __future__ import annotations

from collections.abc import Collection, Container
from functools import partial
from typing import Final

import msgspec

from steersman.model import resource_claims
from steersman.model.kinds.pod import ExtendedResourceRequest, Pod
from steersman.model.kinds.resourceclaim import ResourceClaim
from steersman.model.resource_claims import NotCreated
from steersman.model.types.device import DeviceRequest
from steersman.scheduler.devices.allocator import Picks, Search, TooLong, wishes
from steersman.scheduler.devices.extended import Extended, Variant, extended_of
from steersman.scheduler.devices.inventory import Inventory
from steersman.scheduler.devices.stock import reaches
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.profile import Profile
from steersman.scheduler.scores.allocation import NO_DEVICES, Devices
from steersman.scheduler.state.bits import EVERYWHERE, Bits
from steersman.scheduler.state.node import NodeState

PLUGIN: Final = "DynamicResources"
# upstream answers UnschedulableAndUnresolvable: removing pods does not help
_ELSEWHERE: Final = Refusal(PLUGIN, ("resourceclaim not available on the node",))
_NOT_ENOUGH: Final = Refusal(PLUGIN, ("cannot allocate all claims",))
_STALE: Final = Refusal(PLUGIN, ("cannot schedule extended resource claim",))
_TOO_LONG: Final = Refusal(PLUGIN, ("timed out trying to allocate devices",))


class Claims(msgspec.Struct, frozen=True):
    """What a pod's claims get on its node; `ready` were allocated before, `mappings` say which
    container gets its extended resources by what."""

    ready: tuple[ResourceClaim, ...] = ()
    picks: Picks = ()
    mappings: tuple[ExtendedResourceRequest, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ready or self.picks)


class DeviceRule:
    """See `memory.Local`. `stale` is a claim that an earlier attempt made for extended resources
    and that must go before the next."""

    def __init__(
        self,
        ready: tuple[ResourceClaim, ...],
        waiting: tuple[ResourceClaim, ...],
        inventory: Inventory,
        extended: Extended | None = None,
        stale: ResourceClaim | None = None,
    ) -> None:
        self._ready = ready
        self._waiting = waiting
        self._inventory = inventory
        self._extended = extended
        self._stale = stale
        self._found: dict[str, Claims] = {}
        self._away: dict[str, ResourceClaim] = {}

    def possible(self) -> Bits:
        """Returns all nodes: which devices can be reached from where is asked of each."""
        return EVERYWHERE

    def refuse(self, node: NodeState, gone: Container[str] = ()) -> Refusal | None:
        """Refuses a node where a claim is not available, or not all can be allocated."""
        if self._stale is not None:
            return _STALE
        for claim in self._ready:
            allocation = claim.status.allocation
            selector = allocation.node_selector if allocation is not None else None
            if selector is not None and not reaches(selector, node):
                self._away[claim.metadata.uid] = claim
                return _ELSEWHERE
        own = self._extended
        extended = own.without(node.allocatable) if own is not None else None
        if not self._waiting and extended is None:
            return None
        try:
            picks = self._search(node, extended)
        except TooLong:
            return _TOO_LONG
        if picks is None:
            return _NOT_ENOUGH
        mappings = extended.mappings if extended is not None else ()
        self._found[node.name] = Claims(self._ready, picks, mappings)
        return None

    def devices(self, node: NodeState, names: Collection[str]) -> Devices:
        """See `memory.Local`: of devices those count that its class selects."""
        if self._extended is None:
            return NO_DEVICES
        found = {}
        for name in sorted(self._extended.names.intersection(names)):
            device_class = self._inventory.device_class(self._inventory.resources().get(name, ""))
            if not node.allocatable.get(name) and device_class is not None:
                taken, there = self._inventory.stock().numbers(node, device_class)
                if there:
                    found[name] = (taken, there)
        return found

    def _search(self, node: NodeState, extended: Variant | None) -> Picks | None:
        inventory = self._inventory
        claims = self._waiting if extended is None else (*self._waiting, extended.claim)
        return Search(claims, inventory.device_class, inventory.stock(), node).run()

    def movable(self, pod: Pod) -> ResourceClaim | None:
        """Returns a claim that kept nodes away and that nobody else has; None where none is."""
        if self._stale is not None:
            return self._stale
        for claim in self._away.values():
            if all(one.uid == pod.metadata.uid for one in claim.status.reserved_for):
                return claim
        return None

    def choice(self, node: NodeState) -> Claims:
        """Returns what the claims get on a node that was not refused."""
        return self._found.get(node.name) or Claims(self._ready)


def rule_of(pod: Pod, profile: Profile, inventory: Inventory) -> DeviceRule | str | None:
    """Returns the rule of a pod's claims: None where it has none, a text where the pod can run
    nowhere yet."""
    if PLUGIN not in profile.filters:
        return None
    extended = extended_of(pod, resources) if (resources := inventory.resources()) else None
    if not pod.spec.resource_claims and extended is None:
        return None
    ready: list[ResourceClaim] = []
    waiting: list[ResourceClaim] = []
    for named in pod.spec.resource_claims:
        try:
            name = resource_claims.name_of(pod, named)
        except NotCreated as error:
            return str(error)
        if not name:
            continue
        claim = inventory.claim(pod.metadata.namespace, name)
        if claim is None:
            return f'resourceclaim.resource.k8s.io "{name}" not found'
        made = bool(named.resource_claim_template_name)
        if why := _refused(pod, claim, made, inventory):
            return why
        (ready if claim.status.allocation is not None else waiting).append(claim)
    stale = inventory.extended_claim(pod) if extended is not None else None
    return DeviceRule(tuple(ready), tuple(waiting), inventory, extended, stale)


def _refused(pod: Pod, claim: ResourceClaim, made: bool, inventory: Inventory) -> str:
    """Returns why a pod cannot have a claim now, empty where it can."""
    if made and (why := resource_claims.check_owner(pod, claim)):
        return why
    if claim.metadata.deletion_timestamp is not None:
        return f'resourceclaim "{claim.metadata.name}" is being deleted'
    if inventory.is_promised(claim.metadata.uid):
        return "resource claim is in the process of being allocated"
    if claim.status.allocation is not None:
        full = len(claim.status.reserved_for) >= resource_claims.MOST_CONSUMERS
        in_use = full and not resource_claims.is_reserved(pod, claim)
        return "resourceclaim in use" if in_use else ""
    missing = partial(_missing_class, inventory)
    return next(filter(None, map(missing, claim.spec.devices.requests)), "")


def _missing_class(inventory: Inventory, request: DeviceRequest) -> str:
    for name, wish in wishes(request):
        if inventory.device_class(wish.device_class_name) is None:
            return f"request {name}: device class {wish.device_class_name} does not exist"
    return ""
