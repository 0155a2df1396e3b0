"""Endpoints, the older form of EndpointSlices, for clients that still read it.

At most 1,000 addresses per object. Follows pkg/controller/endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

import msgspec

from steersman.client.interface import Views
from steersman.controllers import endpoint_pods, pods
from steersman.model.errors import AlreadyExists, APIError
from steersman.model.kind import Document
from steersman.model.kinds.endpoints import ENDPOINTS, Endpoints
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.service import SERVICE, Service
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, Create, Delete, Patch, act
from steersman.reconcile.loop import Done, Given, rest_after
from steersman.reconcile.rules import Rule, Watch, to_self

MAX_ADDRESSES = 1000  # upstream maxCapacity
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"

_Port = tuple[str, str, int, str]  # name, protocol, number, application protocol


def plan(service: Service, behind: Iterable[Pod], present: Endpoints | None) -> list[Action]:
    """Returns what makes the Endpoints object right."""
    chosen, truncated = _within_capacity(list(behind))
    subsets = _subsets(service, chosen)
    labels = endpoint_pods.labels(service, {MANAGED_BY: MANAGER})
    annotations = {OVER_CAPACITY: "truncated"} if truncated else {}
    namespace, name = service.key
    if present is None:
        metadata: Document = {"name": name, "namespace": namespace, "labels": labels}
        if annotations:
            metadata["annotations"] = annotations
        document: Document = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
        return [Create(ENDPOINTS, {**document, "subsets": subsets}, namespace)]
    patch: Document = {}
    if _present_subsets(present) != subsets:
        patch["subsets"] = subsets
    old = present.metadata
    change = {key: labels.get(key) for key in {**old.labels, **labels}}
    change = {key: text for key, text in change.items() if old.labels.get(key) != text}
    metadata = {"labels": change} if change else {}
    if (OVER_CAPACITY in old.annotations) != truncated:
        metadata["annotations"] = annotations or {OVER_CAPACITY: None}
    if metadata:
        patch["metadata"] = metadata
    ref = ENDPOINTS.ref(namespace, name)
    return [Patch(ref, patch, uid=old.uid, revision=old.revision)] if patch else []


def _within_capacity(behind: list[Pod]) -> tuple[list[Pod], bool]:
    """Returns at most as many pods as an object holds, ready ones first."""
    if len(behind) <= MAX_ADDRESSES:
        return behind, False
    return sorted(behind, key=lambda pod: not pods.is_ready(pod))[:MAX_ADDRESSES], True


def _subsets(service: Service, chosen: Iterable[Pod]) -> list[Document]:
    """Returns addresses by ports: ports with the same addresses share a subset
    (endpoints.RepackSubsets)."""
    by_port: dict[_Port | None, dict[str, Pod]] = {}
    found: dict[str, Pod] = {}
    for pod in chosen:
        address = endpoint_pods.addresses(pod)[0]
        found[address] = pod
        for port in _ports(service, pod):
            by_port.setdefault(port, {})[address] = pod
    if not service.spec.ports and endpoint_pods.is_headless(service) and found:
        by_port[None] = found
    together: dict[tuple[str, ...], list[_Port]] = {}
    for key, holders in by_port.items():
        together.setdefault(tuple(sorted(holders)), []).extend([key] if key else [])
    made = [_subset(service, found, held, ports) for held, ports in together.items()]
    return sorted(made, key=lambda subset: msgspec.json.encode(subset, order="sorted"))


def _ports(service: Service, pod: Pod) -> Iterable[_Port]:
    for port in service.spec.ports:
        number = endpoint_pods.port_number(port, pod)
        if number is not None:
            yield (port.name, port.protocol, number, port.app_protocol or "")


def _subset(
    service: Service, found: dict[str, Pod], held: tuple[str, ...], ports: list[_Port]
) -> Document:
    subset: Document = {}
    for address in held:
        pod = found[address]
        ready = pods.is_ready(pod) or service.spec.publish_not_ready_addresses
        place = "addresses" if ready else "notReadyAddresses"
        subset.setdefault(place, []).append(_address(service, pod, address))
    if ports:
        subset["ports"] = [_port(port) for port in sorted(ports)]
    return subset


def _address(service: Service, pod: Pod, address: str) -> Document:
    made: Document = {"ip": address, "targetRef": endpoint_pods.target(pod)}
    if pod.spec.node_name:
        made["nodeName"] = pod.spec.node_name
    if hostname := endpoint_pods.hostname(service, pod):
        made["hostname"] = hostname
    return made


def _port(port: _Port) -> Document:
    name, protocol, number, application = port
    made: Document = {"port": number, "protocol": protocol}
    if name:
        made["name"] = name
    if application:
        made["appProtocol"] = application
    return made


def _present_subsets(present: Endpoints) -> list[Document]:
    found = [_bare(msgspec.to_builtins(subset)) for subset in present.subsets]
    return sorted(found, key=lambda subset: msgspec.json.encode(subset, order="sorted"))


def _bare(value: object) -> Document:
    assert isinstance(value, dict)
    found: Document = {}
    for name, field in value.items():
        if field in (None, "", [], ()):
            continue
        if isinstance(field, dict):
            field = _bare(field)
        elif isinstance(field, list | tuple):
            field = [_bare(item) for item in field]
        found[name] = field
    return found


def _of_endpoints(_views: Views, old: Endpoints | None, new: Endpoints | None) -> Iterable[Ref]:
    """Maps a change of an Endpoints object to the service of its name."""
    found = new if new is not None else old
    return (SERVICE.ref(*found.key),) if found is not None else ()


class EndpointsController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "endpoint-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(SERVICE, partial(to_self, kind=SERVICE)),
        Watch(POD, endpoint_pods.to_services),
        Watch(ENDPOINTS, _of_endpoints),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("endpoints",), ("create", "delete", "update", "patch")),
        Rule("", ("endpoints/restricted",), ("create",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._services = given.views.of(SERVICE)
        self._endpoints = given.views.of(ENDPOINTS)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the Endpoints of one service right, or removes those of one that is gone."""
        service: Service | None = self._services.get(ref)
        present: Endpoints | None = self._endpoints.get(ENDPOINTS.ref(ref.namespace, ref.name))
        if service is None:
            await self._forget(present)
            return Done()
        if not endpoint_pods.wants(service):
            return Done()
        candidates = endpoint_pods.of_service(self._given.views, service)
        unready_too = service.spec.publish_not_ready_addresses
        behind = endpoint_pods.behind(service, candidates, terminating=unready_too)
        try:
            actions = plan(service, behind, present)
            await act(self._given.client, self._given.events, actions)
        except AlreadyExists:  # it came meanwhile; its change brings us here again
            return Done()
        except APIError as error:
            about = present if present is not None else service
            self._given.events.warning(
                about,
                "FailedToUpdateEndpoint" if present is not None else "FailedToCreateEndpoint",
                f"Failed to {'update' if present is not None else 'create'} endpoint "
                f"{ref.namespace}/{ref.name}: {error.message}",
            )
            raise
        return Done(rest=rest_after(len(behind)))

    async def _forget(self, present: Endpoints | None) -> None:
        if present is None or present.metadata.labels.get(MANAGED_BY) != MANAGER:
            return
        ref = ENDPOINTS.ref(*present.key)
        delete = Delete(ref, present.metadata.uid)
        await act(self._given.client, self._given.events, (delete,))
