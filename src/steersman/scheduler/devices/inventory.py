"""Claims, slices, classes and taints of devices as the scheduler reads them, with the allocations
that it made and that are not seen yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from steersman.client.interface import Views
from steersman.model.kinds.deviceclass import DEVICECLASS, DeviceClass
from steersman.model.kinds.devicetaintrule import DEVICETAINTRULE
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, Allocation, ResourceClaim
from steersman.model.kinds.resourceslice import RESOURCESLICE
from steersman.model.resource_claims import is_extended
from steersman.scheduler.devices.extended import classes_by_resource
from steersman.scheduler.devices.stock import Stock


class Inventory:
    """The devices of a cluster, from followed copies."""

    def __init__(self, views: Views) -> None:
        self._claims = views.of(RESOURCECLAIM)
        self._slices = views.of(RESOURCESLICE)
        self._classes = views.of(DEVICECLASS)
        self._rules = views.of(DEVICETAINTRULE)
        self._promised: dict[str, Allocation] = {}  # by the uid of the claim
        self._stock: Stock | None = None
        self._counted = False
        self._resources: Mapping[str, str] | None = None

    def listen(self, hear: Callable[[], None]) -> list[Callable[[], None]]:
        """Calls when anything here changes; returns the ways out."""

        def claimed(_old: Any | None, _new: Any | None) -> None:
            self._counted = False
            hear()

        def classed(_old: Any | None, _new: Any | None) -> None:
            self._counted, self._resources = False, None
            hear()

        def changed(_old: Any | None, _new: Any | None) -> None:
            self._stock = None
            hear()

        leave = [view.listen(changed) for view in (self._slices, self._rules)]
        return [*leave, self._claims.listen(claimed), self._classes.listen(classed)]

    def claim(self, namespace: str, name: str) -> ResourceClaim | None:
        """Returns a claim."""
        return self._claims.get(RESOURCECLAIM.ref(namespace, name))

    async def reached(self, revision: int) -> None:
        """Waits until claims are seen as they were written at a revision."""
        await self._claims.reached(revision)

    def device_class(self, name: str) -> DeviceClass | None:
        """Returns a class."""
        return self._classes.get(DEVICECLASS.ref("", name)) if name else None

    def resources(self) -> Mapping[str, str]:
        """Returns the extended resources that devices meet, with their classes."""
        if self._resources is None:
            self._resources = classes_by_resource(self._classes.list())
        return self._resources

    def extended_claim(self, pod: Pod) -> ResourceClaim | None:
        """Returns the claim that was made for a pod's extended resources."""
        claim: ResourceClaim
        for claim in self._claims.list(pod.metadata.namespace):
            owner = claim.metadata.controller
            if is_extended(claim) and owner is not None and owner.uid == pod.metadata.uid:
                return claim
        return None

    def stock(self) -> Stock:
        """Returns what there is and what is taken now; made anew after a change of devices,
        counted anew after one of claims."""
        if self._stock is None:
            self._stock = Stock(self._slices.list(), self._rules.list())
            self._counted = False
        if not self._counted:
            self._stock.count(self._allocations())
            self._counted = True
        return self._stock

    def _allocations(self) -> Iterator[Allocation]:
        claim: ResourceClaim
        seen = set()
        for claim in self._claims.list():
            if claim.status.allocation is not None:
                seen.add(claim.metadata.uid)
                yield claim.status.allocation
        for uid, promised in self._promised.items():  # claims that are not made yet among them
            if uid not in seen:
                yield promised

    def is_promised(self, uid: str) -> bool:
        """Says whether an allocation of a claim is being written."""
        return uid in self._promised

    def promise(self, uid: str, allocation: Allocation) -> None:
        """Keeps devices for a claim until the view shows them."""
        self._promised[uid] = allocation
        self._counted = False

    def withdraw(self, uid: str) -> None:
        """Takes a promise back."""
        if self._promised.pop(uid, None) is not None:
            self._counted = False
