"""What a claim on devices uses of a quota (pkg/quota/v1/evaluator/core/resource_claims).

Of alternatives the one counts, for each class, that asks for most. Devices of a class count as the
extended resources too that the class meets (KEP-5004), but for what the pod asks for for which the
claim was made.
"""

from __future__ import annotations

from typing import Final

from steersman.model.kinds.resourceclaim import ResourceClaim
from steersman.model.quantity import NANO, Quantity
from steersman.model.quota import pods
from steersman.model.quota.around import Around
from steersman.model.resource_claims import is_extended
from steersman.model.types.device import DeviceRequest, DeviceWish
from steersman.model.types.resource_check import OF_DEVICE_CLASS
from steersman.model.types.resources import ZERO, Amounts, add, raise_to
from steersman.model.view import OwnerReference

COUNT: Final = "count/resourceclaims.resource.k8s.io"
_OF_CLASS: Final = ".deviceclass.resource.k8s.io/devices"
# What `All` may come to at most (AllocationResultsMaxSize)
_ALL: Final = 32


def measures(name: str) -> bool:
    """Says whether a bound of this name is one on claims on devices."""
    return name == COUNT or name.endswith(_OF_CLASS) or pods.is_of_devices(name)


def usage(claim: ResourceClaim, around: Around) -> Amounts:
    """Returns what a claim uses: itself and the devices of each class that it may get."""
    used: Amounts = {COUNT: Quantity(NANO)}
    for request in claim.spec.devices.requests:
        add(used, _most(request))
    return {**used, **_extended(claim, used, around)}


def _extended(claim: ResourceClaim, used: Amounts, around: Around) -> Amounts:
    """Returns what the devices come to under the names of extended resources."""
    named: Amounts = {}
    for name, amount in used.items():
        kind = name.removesuffix(_OF_CLASS)
        if kind == name or (found := around.device_class(kind)) is None:
            continue
        named[f"requests.{OF_DEVICE_CLASS}{kind}"] = amount
        if found.spec.extended_resource_name:
            named[f"requests.{found.spec.extended_resource_name}"] = amount
    add(named, {name: -one for name, one in _of_pod(claim, around).items() if name in named})
    return {name: amount for name, amount in named.items() if amount > ZERO}


def _of_pod(claim: ResourceClaim, around: Around) -> Amounts:
    """Returns what the pod uses for whose extended resources a claim was made; nothing where the
    pod knows of another claim, or has an older one while it knows of none."""
    owner, namespace = _pod_of(claim), claim.metadata.namespace
    pod = around.pod(namespace, owner.name) if owner is not None else None
    if owner is None or pod is None or pod.metadata.uid != owner.uid:
        return {}
    known = pod.status.extended_resource_claim_status
    if known is None:
        others = around.extended_claims(namespace)
        of_pod = [it for it in others if (of := _pod_of(it)) is not None and of.uid == owner.uid]
        first = min(map(_age, of_pod), default=_age(claim)) >= _age(claim)
    else:
        first = known.resource_claim_name == claim.metadata.name
    return pods.usage(pod) if first else {}


def _pod_of(claim: ResourceClaim) -> OwnerReference | None:
    owner = claim.metadata.controller if is_extended(claim) else None
    is_pod = owner is not None and (owner.api_version, owner.kind) == ("v1", "Pod")
    return owner if is_pod else None


def _age(claim: ResourceClaim) -> tuple[str, str]:
    return (str(claim.metadata.creation_timestamp), claim.metadata.name)


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
