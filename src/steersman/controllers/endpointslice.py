"""EndpointSlices of services with a selector: which pods answer, on which ports, in what state.

How they are spread over slices is not said here (endpoint_slices.py), nor from where each should
be used (endpoint_hints.py). Follows k8s.io/endpointslice.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from steersman.client.interface import Views
from steersman.controllers import (
    endpoint_hints,
    endpoint_pods,
    endpoint_slices,
    ownership,
    pods,
)
from steersman.controllers.endpoint_hints import NotShared, Shares
from steersman.controllers.endpoint_slices import MANAGED_BY, Frame, Group
from steersman.controllers.node_lifecycle import BY_NODE, by_node
from steersman.model.errors import APIError
from steersman.model.kind import Document
from steersman.model.kinds.endpointslice import ENDPOINTSLICE, EndpointSlice
from steersman.model.kinds.node import NODE, ZONE, Node
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.service import SERVICE, Service
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, Tell, act
from steersman.reconcile.loop import Done, Given, rest_after
from steersman.reconcile.rules import Rule, Watch, to_self

MANAGER = "endpointslice-controller.k8s.io"
BY_SERVICE = "service"  # index: our slices by namespace/service
SHARED = "shared out among zones"  # index: services that ask for it
WARNS = "TopologyAwareHintsDisabled"


def plan(
    service: Service,
    behind: Iterable[Pod],
    slices: Sequence[EndpointSlice],
    zones: Mapping[str, str],
    shares: Shares | None = None,
    *,
    shared: bool = False,
) -> list[Action]:
    """Returns what makes the slices right; `zones` are those of the nodes, by name, and `shares`
    those of the zones, for a service that asks for them; `shared` says whether it had them."""
    namespace, name = service.key
    owner = ownership.reference(service, SERVICE)
    frame = Frame(namespace, name, labels(service), owner)
    groups, told = _hinted(service, _groups(service, behind, zones), shares, shared=shared)
    return [*endpoint_slices.plan(frame, groups, slices), *told]


def _hinted(
    service: Service, groups: list[Group], shares: Shares | None, *, shared: bool
) -> tuple[list[Group], list[Tell]]:
    """Returns groups with the hints that a service asks for, and what is said of that."""
    families = tuple(dict.fromkeys(group.family for group in groups))
    if endpoint_hints.is_automatic(service):
        return _shared_out(service, groups, families, shares or {}, shared=shared)
    text = f"{endpoint_hints.DISABLED}, addressType: {families[0]}"
    told = [Tell(service, WARNS, text, "Warning")] if shared else []
    if not (wanted := service.spec.traffic_distribution):
        return groups, told
    return [
        replace(it, endpoints=tuple(endpoint_hints.prefer(wanted, one) for one in it.endpoints))
        for it in groups
    ], told


def _shared_out(
    service: Service,
    groups: list[Group],
    families: tuple[str, ...],
    shares: Shares,
    *,
    shared: bool,
) -> tuple[list[Group], list[Tell]]:
    """Shares the endpoints of each family out among zones, where that can be."""
    told: list[Tell] = []
    for family in families:
        mine = [at for at, group in enumerate(groups) if group.family == family]
        every = [endpoint for at in mine for endpoint in groups[at].endpoints]
        try:
            left = iter(endpoint_hints.share_out(every, shares))
        except NotShared as why:
            told.append(Tell(service, WARNS, f"{why}, addressType: {family}", "Warning"))
            continue
        for at in mine:
            groups[at] = replace(
                groups[at], endpoints=tuple(islice(left, len(groups[at].endpoints)))
            )
        if not shared:
            text = f"{endpoint_hints.ENABLED}, addressType: {family}"
            told.append(Tell(service, "TopologyAwareHintsEnabled", text))
            shared = True
    return groups, told


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


def _on_nodes(service: Service, behind: list[Pod], nodes: Container[str]) -> list[Pod]:
    """Returns pods without those whose node is gone, which nobody can ask: until they are removed,
    only a service that publishes what is not ready has them."""
    if service.spec.publish_not_ready_addresses:
        return behind
    return [pod for pod in behind if not pod.spec.node_name or pod.spec.node_name in nodes]


_by_service = partial(endpoint_slices.owner_key, MANAGER)
_of_slice = partial(endpoint_slices.to_owner, MANAGER, SERVICE)


def _shared(service: Service) -> tuple[str, ...]:
    return (SHARED,) if endpoint_hints.is_automatic(service) else ()


def _of_node(views: Views, old: Node | None, new: Node | None) -> Iterable[Ref]:
    """Maps a node that comes or goes to the services of its pods, and one whose zone or processors
    count otherwise than before to those whose endpoints are shared out among zones."""
    if (old is None) != (new is None):
        found = new if new is not None else old
        here = views.of(POD).by(BY_NODE, found.metadata.name) if found is not None else ()
        yield from (ref for pod in here for ref in endpoint_pods.to_services(views, None, pod))
    before, after = (endpoint_hints.terms(it) if it is not None else None for it in (old, new))
    if before != after:
        yield from (SERVICE.ref(*it.key) for it in views.of(SERVICE).by(SHARED, SHARED))


class EndpointSliceController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "endpointslice-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(SERVICE, partial(to_self, kind=SERVICE), {SHARED: _shared}),
        Watch(POD, endpoint_pods.to_services, {BY_NODE: by_node}),
        Watch(ENDPOINTSLICE, _of_slice, {BY_SERVICE: _by_service}),
        Watch(NODE, _of_node),
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
        self._shared: set[Ref] = set()  # services whose endpoints are shared out, since the start

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the slices of one service right."""
        service: Service | None = self._services.get(ref)
        if service is None or not endpoint_pods.wants(service):
            self._shared.discard(ref)
            return Done()  # slices go with their owner; without a selector they are the user's
        candidates = endpoint_pods.of_service(self._given.views, service)
        behind = endpoint_pods.behind(service, candidates, terminating=True)
        slices = list(self._slices.by(BY_SERVICE, f"{ref.namespace}/{ref.name}"))
        names = {pod.spec.node_name for pod in behind}
        found = (self._nodes.get(NODE.ref("", name)) for name in names)
        zones = {it.metadata.name: it.metadata.labels.get(ZONE, "") for it in found if it}
        behind = _on_nodes(service, behind, zones)
        asks = endpoint_hints.is_automatic(service)
        shares = endpoint_hints.shares(self._nodes.list()) if asks else None
        actions = plan(service, behind, slices, zones, shares, shared=ref in self._shared)
        try:
            await act(self._given.client, self._given.events, actions)
        except APIError as error:
            text = "Error updating Endpoint Slices for Service"
            text = f"{text} {ref.namespace}/{ref.name}: {error.message}"
            self._given.events.warning(service, "FailedToUpdateEndpointSlices", text)
            raise
        refused = any(isinstance(it, Tell) and it.reason == WARNS for it in actions)
        (self._shared.add if asks and not refused else self._shared.discard)(ref)
        return Done(rest=rest_after(len(behind)))
