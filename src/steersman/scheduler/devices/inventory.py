"""Claims, slices, classes and taints of devices as the scheduler reads them, with the allocations
that it made and that are not seen yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from steersman.client.interface import Views
from steersman.model.kinds.deviceclass import DEVICECLASS, DeviceClass
from steersman.model.kinds.devicetaintrule import DEVICETAINTRULE
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, Allocation, ResourceClaim
from steersman.model.kinds.resourceslice import RESOURCESLICE
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

    def listen(self, hear: Callable[[], None]) -> list[Callable[[], None]]:
        """Calls when anything here changes; returns the ways out."""

        def claimed(_old: Any | None, _new: Any | None) -> None:
            self._counted = False
            hear()

        def changed(_old: Any | None, _new: Any | None) -> None:
            self._stock = None
            hear()

        leave = [view.listen(changed) for view in (self._slices, self._rules)]
        return leave + [view.listen(claimed) for view in (self._claims, self._classes)]

    def claim(self, namespace: str, name: str) -> ResourceClaim | None:
        """Returns a claim."""
        return self._claims.get(RESOURCECLAIM.ref(namespace, name))

    def device_class(self, name: str) -> DeviceClass | None:
        """Returns a class."""
        return self._classes.get(DEVICECLASS.ref("", name)) if name else None

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
        for claim in self._claims.list():
            if claim.status.allocation is not None:
                yield claim.status.allocation
            elif (promised := self._promised.get(claim.metadata.uid)) is not None:
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
