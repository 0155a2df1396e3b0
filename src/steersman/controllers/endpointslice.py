"""EndpointSlices of services with a selector: which pods answer, on which ports, in what state.

At most 100 endpoints per slice; slices that need no change keep theirs. Follows
k8s.io/endpointslice.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec

from steersman.client.interface import Views
from steersman.controllers import endpoint_pods, ownership, pods
from steersman.model.errors import APIError
from steersman.model.kind import Document
from steersman.model.kinds.endpointslice import ENDPOINTSLICE, EndpointSlice
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.service import SERVICE, Service
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, Create, Delete, Patch, act
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

MAX_ENDPOINTS = 100  # upstream's default of --max-endpoints-per-slice
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"
BY_SERVICE = "service"  # index: our slices by namespace/service


class Group(msgspec.Struct, frozen=True):
    """Endpoints of one address family with the same ports."""

    family: str
    ports: tuple[Document, ...]
    endpoints: tuple[Document, ...]


def plan(
    service: Service,
    behind: Iterable[Pod],
    slices: Sequence[EndpointSlice],
    zones: Mapping[str, str],
) -> list[Action]:
    """Returns what makes the slices right; `zones` are those of the nodes, by name."""
    groups = _groups(service, behind, zones)
    actions: list[Action] = []
    left = {found.metadata.uid: found for found in slices}
    for group in groups:
        fitting = [
            found
            for found in left.values()
            if found.address_type == group.family and _ports(found) == group.ports
        ]
        for found in fitting:
            del left[found.metadata.uid]
        actions += _fill(service, group, fitting)
    return actions + [_deletion(found) for found in left.values()]


def _groups(service: Service, behind: Iterable[Pod], zones: Mapping[str, str]) -> list[Group]:
    families = service.spec.ip_families or ("IPv4",)
    found: dict[tuple[str, bytes], tuple[tuple[Document, ...], list[Document]]] = {}
    for pod in behind:
        ports = _ports_of(service, pod)
        for family in families:
            own = [text for text in endpoint_pods.addresses(pod) if _family(text) == family]
            if not own:
                continue
            key = (family, msgspec.json.encode(ports))
            made = _endpoint(service, pod, own[0], zones.get(pod.spec.node_name, ""))
            found.setdefault(key, (ports, []))[1].append(made)
    groups = [
        Group(family, ports, tuple(endpoints)) for (family, _), (ports, endpoints) in found.items()
    ]
    have = {group.family for group in groups}
    # a family without endpoints keeps one empty slice, so that its absence is no state
    return groups + [Group(family, (), ()) for family in families if family not in have]


def _family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"


def _ports_of(service: Service, pod: Pod) -> tuple[Document, ...]:
    ports = []
    for port in service.spec.ports:
        number = endpoint_pods.port_number(port, pod)
        if number is not None:
            made: Document = {"name": port.name, "protocol": port.protocol, "port": number}
            ports.append(
                {**made, **({"appProtocol": port.app_protocol} if port.app_protocol else {})}
            )
    return tuple(ports)


def _endpoint(service: Service, pod: Pod, address: str, zone: str) -> Document:
    serving, terminating = pods.is_ready(pod), pods.is_terminating(pod)
    ready = service.spec.publish_not_ready_addresses or (serving and not terminating)
    made: Document = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": endpoint_pods.target(pod),
    }
    if pod.spec.node_name:
        made["nodeName"] = pod.spec.node_name
    if zone:
        made["zone"] = zone
    if hostname := endpoint_pods.hostname(service, pod):
        made["hostname"] = hostname
    return made


def _fill(service: Service, group: Group, fitting: Sequence[EndpointSlice]) -> list[Action]:
    """Returns the changes that put a group's endpoints into slices with its ports."""
    wanted = {_identity(endpoint): endpoint for endpoint in group.endpoints}
    kept: list[tuple[EndpointSlice, list[Document]]] = []
    for found in fitting:
        ours = [wanted.pop(key) for key in map(_identity, _endpoints(found)) if key in wanted]
        kept.append((found, ours))
    rest = list(wanted.values())
    for _, ours in sorted(kept, key=lambda item: -len(item[1])):  # the fullest first
        while rest and len(ours) < MAX_ENDPOINTS:
            ours.append(rest.pop(0))
    actions: list[Action] = []
    spare = not group.endpoints
    for found, ours in kept:
        if not ours and not spare:
            actions.append(_deletion(found))
            continue
        spare = False
        if patch := _update(service, found, ours):
            actions.append(patch)
    parts = [rest[at : at + MAX_ENDPOINTS] for at in range(0, len(rest), MAX_ENDPOINTS)]
    parts += [[]] if spare else []
    return actions + [_creation(service, group, part) for part in parts]


def _identity(endpoint: Document) -> tuple[str, str]:
    uid = (endpoint.get("targetRef") or {}).get("uid", "")
    return (uid, endpoint["addresses"][0])


def _endpoints(found: EndpointSlice) -> list[Document]:
    documents: list[Document] = [_bare(msgspec.to_builtins(it)) for it in found.endpoints]
    return documents


def _bare(endpoint: Document) -> Document:
    """Returns an endpoint as one is made here: without what is unset, its addresses as a list; in
    its reference without empty texts."""
    found = {name: value for name, value in endpoint.items() if value not in (None, {}, "")}
    found["addresses"] = list(found["addresses"])
    if target := found.get("targetRef"):
        found["targetRef"] = {name: text for name, text in target.items() if text}
    return found


def _ports(found: EndpointSlice) -> tuple[Document, ...]:
    made = []
    for port in found.ports:
        document: Document = {"name": port.name, "protocol": port.protocol, "port": port.port}
        made.append(
            {**document, **({"appProtocol": port.app_protocol} if port.app_protocol else {})}
        )
    return tuple(made)


def labels(service: Service) -> dict[str, str]:
    """Returns the labels of a service's slices."""
    managed = {endpoint_pods.SERVICE_NAME: service.metadata.name, MANAGED_BY: MANAGER}
    return endpoint_pods.labels(service, managed)


def _creation(service: Service, group: Group, endpoints: list[Document]) -> Create:
    namespace = service.metadata.namespace
    document: Document = {
        "apiVersion": ENDPOINTSLICE.api_version(),
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{service.metadata.name}-",
            "namespace": namespace,
            "labels": labels(service),
            "ownerReferences": [ownership.reference(service, SERVICE)],
        },
        "addressType": group.family,
        "endpoints": endpoints,
        "ports": list(group.ports),
    }
    return Create(ENDPOINTSLICE, document, namespace)


def _update(service: Service, found: EndpointSlice, endpoints: list[Document]) -> Patch | None:
    patch: Document = {}
    if _endpoints(found) != endpoints:
        patch["endpoints"] = endpoints
    wanted = labels(service)
    if dict(found.metadata.labels) != wanted:
        gone = {name: None for name in found.metadata.labels if name not in wanted}
        patch["metadata"] = {"labels": {**gone, **wanted}}
    if not patch:
        return None
    ref, metadata = ENDPOINTSLICE.ref(*found.key), found.metadata
    return Patch(ref, patch, uid=metadata.uid, revision=metadata.revision)


def _deletion(found: EndpointSlice) -> Delete:
    return Delete(ENDPOINTSLICE.ref(*found.key), found.metadata.uid)


def _by_service(found: EndpointSlice) -> tuple[str, ...]:
    name = found.metadata.labels.get(endpoint_pods.SERVICE_NAME, "")
    ours = name and found.metadata.labels.get(MANAGED_BY) == MANAGER
    return (f"{found.metadata.namespace}/{name}",) if ours else ()


def _of_slice(_views: Views, old: EndpointSlice | None, new: EndpointSlice | None) -> Iterable[Ref]:
    """Maps a change of our slices to their service."""
    keys = {key for found in (old, new) if found is not None for key in _by_service(found)}
    return [SERVICE.ref(*key.split("/", 1)) for key in sorted(keys)]


def _nobody(_views: Views, _old: Any | None, _new: Any | None) -> Iterable[Ref]:
    return ()


class EndpointSliceController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "endpointslice-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(SERVICE, partial(to_self, kind=SERVICE)),
        Watch(POD, endpoint_pods.to_services),
        Watch(ENDPOINTSLICE, _of_slice, {BY_SERVICE: _by_service}),
        Watch(NODE, _nobody),  # read for the zones of endpoints
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("discovery.k8s.io", ("endpointslices",), ("create", "delete", "update", "patch")),
        Rule("", ("services/finalizers",), ("update",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._services = given.views.of(SERVICE)
        self._slices = given.views.of(ENDPOINTSLICE)
        self._nodes = given.views.of(NODE)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the slices of one service right."""
        service: Service | None = self._services.get(ref)
        if service is None or not endpoint_pods.wants(service):
            return Done()  # slices go with their owner; without a selector they are the user's
        candidates = endpoint_pods.of_service(self._given.views, service)
        behind = endpoint_pods.behind(service, candidates, terminating=True)
        slices = list(self._slices.by(BY_SERVICE, f"{ref.namespace}/{ref.name}"))
        names = {pod.spec.node_name for pod in behind}
        found = (self._nodes.get(NODE.ref("", name)) for name in names)
        zones = {it.metadata.name: it.metadata.labels.get(ZONE, "") for it in found if it}
        try:
            actions = plan(service, behind, slices, zones)
            await act(self._given.client, self._given.events, actions)
        except APIError as error:
            text = "Error updating Endpoint Slices for Service"
            text = f"{text} {ref.namespace}/{ref.name}: {error.message}"
            self._given.events.warning(service, "FailedToUpdateEndpointSlices", text)
            raise
        return Done()
