"""ServiceCIDRs are ready for Services, and stay while an address of theirs would have no range.

Follows pkg/controller/servicecidrs. The server takes addresses out of the ranges that are ready.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from typing import ClassVar, Final

from steersman.client.interface import Views
from steersman.controllers import conditions
from steersman.model.kind import Document
from steersman.model.kinds.ipaddress import IPADDRESS, IPAddress
from steersman.model.kinds.servicecidr import SERVICECIDR, ServiceCIDR
from steersman.model.ref import Ref
from steersman.model.service_range import Address, Network
from steersman.model.times import rfc3339, seconds
from steersman.model.types.condition import condition
from steersman.reconcile.actions import Action, Patch, act, status
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

FINALIZER: Final = "networking.k8s.io/service-cidr-finalizer"
MANAGED_BY: Final = "ipaddress.kubernetes.io/managed-by"
ALLOCATOR: Final = "ipallocator.k8s.io"
READY: Final = "Ready"
# A server that has not heard of the deletion may still take an address
GRACE_SECONDS: Final = 10.0
_TERMINATING: Final = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new "
    "ServiceCIDR"
)


def networks(found: ServiceCIDR) -> list[Network]:
    """Returns the ranges of a ServiceCIDR, which were checked when it was made."""
    return [ip_network(text) for text in found.spec.cidrs]


def contains(found: ServiceCIDR, inner: Network | Address) -> bool:
    """Says whether a ServiceCIDR contains a whole range or an address."""
    first, last = (inner[0], inner[-1]) if isinstance(inner, Network) else (inner, inner)
    return any(first in outer and last in outer for outer in networks(found))


def may_go(found: ServiceCIDR, others: Sequence[ServiceCIDR], addresses: Iterable[Address]) -> bool:
    """Says whether every address has a range when a ServiceCIDR is gone; `others` are the rest."""
    own = networks(found)
    if all(any(contains(other, network) for other in others) for network in own):
        return True
    return all(
        any(contains(other, address) for other in others)
        for address in addresses
        if contains(found, address)
    )


def plan(found: ServiceCIDR, free: bool, now: float) -> tuple[list[Action], float | None]:
    """Returns what makes a ServiceCIDR right, and in how many seconds it is looked at again;
    `free`: nothing needs it."""
    metadata = found.metadata
    ref = SERVICECIDR.ref(*found.key)
    if metadata.deletion_timestamp is None:
        return [*_with_finalizer(found, ref), *_with_condition(found, ref, True, now)], None
    if not free:
        return _with_condition(found, ref, False, now), None
    left = GRACE_SECONDS - (now - seconds(metadata.deletion_timestamp))
    if left > 0:
        return [], left
    kept = [name for name in metadata.finalizers if name != FINALIZER]
    if len(kept) == len(metadata.finalizers):
        return [], None
    fields = {"metadata": {"finalizers": kept or None}}
    return [Patch(ref, fields, uid=metadata.uid, revision=metadata.revision)], None


def _with_finalizer(found: ServiceCIDR, ref: Ref) -> list[Action]:
    metadata = found.metadata
    if FINALIZER in metadata.finalizers:
        return []
    fields = {"metadata": {"finalizers": [*metadata.finalizers, FINALIZER]}}
    return [Patch(ref, fields, uid=metadata.uid, revision=metadata.revision)]


def _with_condition(found: ServiceCIDR, ref: Ref, ready: bool, now: float) -> list[Action]:
    """Says whether a ServiceCIDR is ready, unless that is said; the words of who said it stay."""
    word = str(ready)
    before = condition(found.status.conditions, READY)
    if before is not None and before.status == word:
        return []
    new: Document = {
        "type": READY,
        "status": word,
        "reason": "" if ready else "Terminating",
        "message": "Kubernetes Service CIDR is ready" if ready else _TERMINATING,
        "lastTransitionTime": rfc3339(now),
    }
    others = [it for it in found.status.conditions if it.type != READY]
    fields = {"conditions": [*conditions.documents(others), new]}
    return [status(ref, fields, uid=found.metadata.uid)]


def _of_range(views: Views, old: ServiceCIDR | None, new: ServiceCIDR | None) -> Iterable[Ref]:
    """Maps a ServiceCIDR to itself, and one that comes or goes to those that it overlaps."""
    yield from to_self(views, old, new, kind=SERVICECIDR)
    found = new or old
    if found is None or (old is not None and new is not None):
        return
    own = networks(found)
    for other in views.of(SERVICECIDR).list():
        theirs = networks(other)
        if any(a.version == b.version and a.overlaps(b) for a in own for b in theirs):
            yield SERVICECIDR.ref(*other.key)


def _of_address(views: Views, old: IPAddress | None, new: IPAddress | None) -> Iterable[Ref]:
    """Maps an address that comes or goes to the ServiceCIDRs that contain it."""
    found = new or old
    if found is None or (old is not None and new is not None) or not _is_managed(found):
        return
    address = ip_address(found.metadata.name)
    for it in views.of(SERVICECIDR).list():
        if it.metadata.deletion_timestamp is not None and contains(it, address):
            yield SERVICECIDR.ref(*it.key)


def _is_managed(address: IPAddress) -> bool:
    return address.metadata.labels.get(MANAGED_BY) == ALLOCATOR


class ServiceCIDRController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "service-cidr-controller"
    account: ClassVar[str] = "service-cidrs-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(SERVICECIDR, _of_range),
        Watch(IPADDRESS, _of_address),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("networking.k8s.io", ("servicecidrs", "servicecidrs/status"), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._ranges = given.views.of(SERVICECIDR)
        self._addresses = given.views.of(IPADDRESS)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes one ServiceCIDR ready, or lets it go."""
        found: ServiceCIDR | None = self._ranges.get(ref)
        if found is None:
            return Done()
        going = found.metadata.deletion_timestamp is not None
        actions, again = plan(found, going and self._is_free(found), self._given.world.now())
        await act(self._given.client, self._given.events, actions)
        return Done(again)

    def _is_free(self, found: ServiceCIDR) -> bool:
        others = [it for it in self._ranges.list() if it.key != found.key]
        managed = filter(_is_managed, self._addresses.list())
        return may_go(found, others, (ip_address(it.metadata.name) for it in managed))
