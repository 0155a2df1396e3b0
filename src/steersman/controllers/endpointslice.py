"""EndpointSlices of services with a selector: which pods answer, on which ports, in what state.

How they are spread over slices is not said here (endpoint_slices.py). Follows
k8s.io/endpointslice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec

from steersman.client.interface import Views
from steersman.controllers import endpoint_pods, endpoint_slices, ownership, pods
from steersman.controllers.endpoint_slices import MANAGED_BY, Frame, Group
from steersman.model.errors import APIError
from steersman.model.kind import Document
from steersman.model.kinds.endpointslice import ENDPOINTSLICE, EndpointSlice
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.service import SERVICE, Service
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, act
from steersman.reconcile.loop import Done, Given, rest_after
from steersman.reconcile.rules import Rule, Watch, to_self

MANAGER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"
BY_SERVICE = "service"  # index: our slices by namespace/service


def plan(
    service: Service,
    behind: Iterable[Pod],
    slices: Sequence[EndpointSlice],
    zones: Mapping[str, str],
) -> list[Action]:
    """Returns what makes the slices right; `zones` are those of the nodes, by name."""
    namespace, name = service.key
    owner = ownership.reference(service, SERVICE)
    frame = Frame(namespace, name, labels(service), owner)
    return endpoint_slices.plan(frame, _groups(service, behind, zones), slices)


def _groups(service: Service, behind: Iterable[Pod], zones: Mapping[str, str]) -> list[Group]:
    families = service.spec.ip_families or ("IPv4",)
    found: dict[tuple[str, bytes], tuple[tuple[Document, ...], list[Document]]] = {}
    for pod in behind:
        ports = _ports_of(service, pod)
        for family in families:
            own = [
                text
                for text in endpoint_pods.addresses(pod)
                if endpoint_slices.family(text) == family
            ]
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


def _ports_of(service: Service, pod: Pod) -> tuple[Document, ...]:
    ports = [(port, endpoint_pods.port_number(port, pod)) for port in service.spec.ports]
    return tuple(
        endpoint_slices.port(port.name, port.protocol, number, port.app_protocol)
        for port, number in ports
        if number is not None
    )


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


def labels(service: Service) -> dict[str, str]:
    """Returns the labels of a service's slices."""
    managed = {endpoint_pods.SERVICE_NAME: service.metadata.name, MANAGED_BY: MANAGER}
    return endpoint_pods.labels(service, managed)


_by_service = partial(endpoint_slices.owner_key, MANAGER)
_of_slice = partial(endpoint_slices.to_owner, MANAGER, SERVICE)


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
        return Done(rest=rest_after(len(behind)))
