"""Extended resources that devices meet: a class gives them a name, and a pod that asks for it gets
a claim of its own, which names what the pod's node does not have by itself (KEP-5004). Pure.

Follows plugins/dynamicresources/extendeddynamicresources.go and extendedresourcecache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from steersman.model.kind import Document
from steersman.model.kinds.deviceclass import DeviceClass
from steersman.model.kinds.pod import ExtendedResourceRequest, Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, ResourceClaim
from steersman.model.resource_claims import EXTENDED_ANNOTATION, FINALIZER
from steersman.model.types.container import Container
from steersman.model.types.device import ClaimSpec, DeviceClaim, DeviceRequest, ExactRequest
from steersman.model.types.podspec import PodSpec
from steersman.model.types.resource_check import OF_DEVICE_CLASS
from steersman.model.view import Meta
from steersman.scheduler.state.demand import amount, requested

# What a claim is called until it is made; no claim can have this name
UNMADE: Final = "<extended-resources>"

Asked = tuple[DeviceRequest | None, list[ExtendedResourceRequest]]


def classes_by_resource(classes: Iterable[DeviceClass]) -> dict[str, str]:
    """Returns the class that meets each resource: of several that give the same name the one that
    was made last, of those the first by its name."""
    ordered = sorted(classes, key=lambda it: it.metadata.name, reverse=True)
    ordered.sort(key=lambda it: str(it.metadata.creation_timestamp))
    named = {
        it.spec.extended_resource_name: it.metadata.name
        for it in ordered
        if it.spec.extended_resource_name is not None
    }
    return {**named, **{OF_DEVICE_CLASS + it.metadata.name: it.metadata.name for it in ordered}}


class Variant(NamedTuple):
    """The claim of a pod for nodes that lack the same resources, and which container gets what."""

    claim: ResourceClaim
    mappings: tuple[ExtendedResourceRequest, ...]


class Extended:
    """What one pod asks for that classes meet; `names` are the resources."""

    def __init__(self, pod: Pod, names: frozenset[str], classes: Mapping[str, str]) -> None:
        self.names = names
        self._pod = pod
        self._classes = classes
        self._variants: dict[frozenset[str], Variant] = {}

    def without(self, allocatable: Mapping[str, int]) -> Variant | None:
        """Returns what devices must give on a node, None where it has all by itself."""
        lacking = frozenset(name for name in self.names if not allocatable.get(name))
        if not lacking:
            return None
        if (found := self._variants.get(lacking)) is None:
            found = self._variants[lacking] = variant(self._pod, lacking, self._classes)
        return found


def extended_of(pod: Pod, classes: Mapping[str, str]) -> Extended | None:
    """Returns what of a pod's requests is met by classes, None where nothing is."""
    names = frozenset(name for name, count in requested(pod.spec).items() if count)
    names = names.intersection(classes)
    return Extended(pod, names, classes) if names else None


def variant(pod: Pod, names: Iterable[str], classes: Mapping[str, str]) -> Variant:
    """Returns the claim for some of the resources."""
    requests: list[DeviceRequest] = []
    mappings: list[ExtendedResourceRequest] = []
    for name in sorted(names):
        more, told = _of_resource(pod.spec, name, classes[name])
        requests += more
        mappings += told
    metadata = pod.metadata
    meta = Meta(
        name=UNMADE,
        namespace=metadata.namespace,
        uid=f"{metadata.uid}-extended-resources",  # nobody else's
        annotations={EXTENDED_ANNOTATION: "true"},
    )
    requests.sort(key=lambda it: it.name)
    spec = ClaimSpec(DeviceClaim(tuple(requests)))
    return Variant(ResourceClaim(metadata=meta, spec=spec), tuple(mappings))


def _of_resource(
    spec: PodSpec, name: str, device_class: str
) -> tuple[list[DeviceRequest], list[ExtendedResourceRequest]]:
    """Returns what all containers ask for of a resource. Those that initialize have what others
    have later, and of what is missing the most that one of them wants."""
    containers = (*spec.init_containers, *spec.containers)
    passing = [
        number < len(spec.init_containers) and it.restart_policy != "Always"
        for number, it in enumerate(containers)
    ]
    lasting: list[DeviceRequest | None] = [None] * len(containers)
    mappings: list[ExtendedResourceRequest] = []
    for number, container in enumerate(containers):
        if not passing[number]:
            lasting[number], told = _of_container(number, container, name, device_class)
            mappings += told
    wanted: list[DeviceRequest] = []
    early: list[ExtendedResourceRequest] = []
    for number, container in enumerate(containers):
        if passing[number]:
            later = [it for it in lasting[number:] if it is not None]
            request, told = _of_container(number, container, name, device_class, later)
            wanted += [request] if request is not None else []
            early += told
    most = max(wanted, key=_count, default=None)
    names = {it.name for it in wanted}
    shown = (_renamed(it, most.name) if most and it.request_name in names else it for it in early)
    found = [it for it in (most, *lasting) if it is not None]
    return found, [*mappings, *shown]


def _of_container(
    number: int,
    container: Container,
    name: str,
    device_class: str,
    later: Sequence[DeviceRequest] = (),
) -> Asked:
    """Returns what a container asks for beyond what it may use of others, and by which requests it
    gets it."""
    wanted = container.resources.requests
    missing = amount(name, wanted[name]) if name in wanted else 0
    mappings: list[ExtendedResourceRequest] = []
    if not missing:
        return None, mappings
    for other in later:
        missing -= _count(other)
        mappings.append(ExtendedResourceRequest(container.name, name, other.name))
        if missing <= 0:
            return None, mappings
    request = f"container-{number}-request-{sorted(wanted).index(name)}"
    mappings.append(ExtendedResourceRequest(container.name, name, request))
    wish = ExactRequest(device_class_name=device_class, count=missing)
    return DeviceRequest(request, wish), mappings


def _count(request: DeviceRequest) -> int:
    return request.exactly.count if request.exactly is not None else 0


def _renamed(mapping: ExtendedResourceRequest, request: str) -> ExtendedResourceRequest:
    return msgspec.structs.replace(mapping, request_name=request)


def document_of(pod: Pod, claim: ResourceClaim) -> Document:
    """Returns the claim as it is made."""
    metadata = pod.metadata
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata.name, "uid": metadata.uid}
    return {
        "apiVersion": RESOURCECLAIM.api_version(),
        "kind": RESOURCECLAIM.name,
        "metadata": {
            "generateName": f"{metadata.name}-extended-resources-",
            "namespace": metadata.namespace,
            "ownerReferences": [{**owner, "controller": True}],
            "annotations": {EXTENDED_ANNOTATION: "true"},
            "finalizers": [FINALIZER],
        },
        "spec": {"devices": {"requests": list(_requests(claim))}},
    }


def _requests(claim: ResourceClaim) -> Iterator[Document]:
    for request in claim.spec.devices.requests:
        assert request.exactly is not None
        wish = {"deviceClassName": request.exactly.device_class_name}
        exactly = {**wish, "allocationMode": "ExactCount", "count": request.exactly.count}
        yield {"name": request.name, "exactly": exactly}


def status_of(claim: ResourceClaim, mappings: Iterable[ExtendedResourceRequest]) -> Document:
    """Returns what a pod's status says of its claim."""
    listed = [msgspec.to_builtins(mapping) for mapping in mappings]
    named = {"resourceClaimName": claim.metadata.name, "requestMappings": listed}
    return {"status": {"extendedResourceClaimStatus": named}}
