"""What a claim on devices uses of a quota (pkg/quota/v1/evaluator/core/resource_claims).

Of alternatives the one counts, for each class, that asks for most.
"""

from __future__ import annotations

from typing import Final

from steersman.model.kinds.resourceclaim import ResourceClaim
from steersman.model.quantity import NANO, Quantity
from steersman.model.types.device import DeviceRequest, DeviceWish
from steersman.model.types.resources import Amounts, add, raise_to

COUNT: Final = "count/resourceclaims.resource.k8s.io"
_OF_CLASS: Final = ".deviceclass.resource.k8s.io/devices"
# What `All` may come to at most (AllocationResultsMaxSize)
_ALL: Final = 32


def measures(name: str) -> bool:
    """Says whether a bound of this name is one on claims on devices."""
    return name == COUNT or name.endswith(_OF_CLASS)


def usage(claim: ResourceClaim) -> Amounts:
    """Returns what a claim uses: itself and the devices of each class that it may get."""
    used: Amounts = {COUNT: Quantity(NANO)}
    for request in claim.spec.devices.requests:
        add(used, _most(request))
    return used


def _most(request: DeviceRequest) -> Amounts:
    most: Amounts = {}
    wishes = request.first_available or (() if request.exactly is None else (request.exactly,))
    for wish in wishes:
        raise_to(most, {f"{wish.device_class_name}{_OF_CLASS}": _devices(wish)})
    return most


def _devices(wish: DeviceWish) -> Quantity:
    """Returns how many devices a wish may take; one of an unknown mode takes none."""
    known = {"ExactCount": wish.count, "All": _ALL}
    return Quantity(known.get(wish.allocation_mode, 0) * NANO)
