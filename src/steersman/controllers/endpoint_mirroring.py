"""Endpoints that somebody wrote by hand, copied into EndpointSlices, which is what proxies read.

Follows pkg/controller/endpointslicemirroring.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec

from steersman.client.interface import Views
from steersman.controllers import endpoint_slices
from steersman.controllers.endpoint_pods import SERVICE_NAME
from steersman.controllers.endpoint_slices import MANAGED_BY, Frame, Group
from steersman.controllers.ownership import reference
from steersman.model.kind import Document
from steersman.model.kinds.endpoints import (
    ENDPOINTS,
    EndpointAddress,
    Endpoints,
    EndpointSubset,
)
from steersman.model.kinds.endpointslice import ENDPOINTSLICE, EndpointSlice
from steersman.model.kinds.service import SERVICE, Service
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, Tell, act
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
# What concerns the Endpoints alone and is not copied
OWN_ANNOTATIONS = (
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
)
MAX_ADDRESSES = 1000  # of one subset; upstream's default of --mirroring-max-endpoints-per-subset
BY_ENDPOINTS = "endpoints"  # index: our slices by namespace/name of the Endpoints


def is_mirrored(endpoints: Endpoints | None, service: Service | None) -> bool:
    """Says whether slices are to be made of Endpoints: a Service of their name has no selector."""
    return (
        endpoints is not None
        and service is not None
        and endpoints.metadata.labels.get(SKIP) != "true"
        and LEADER not in endpoints.metadata.annotations
        and not service.spec.selector
    )


def plan(endpoints: Endpoints, slices: Sequence[EndpointSlice]) -> list[Action]:
    """Returns what makes the slices the same as the Endpoints, with a word on what was left out."""
    groups: list[Group] = []
    invalid = skipped = 0
    for ports, addresses in _by_ports(endpoints.subsets):
        made, bad, left_out = _groups(ports, addresses)
        groups += made
        invalid, skipped = invalid + bad, skipped + left_out
    told: list[Action] = []
    if invalid:
        note = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
        told.append(Tell(endpoints, "InvalidIPAddress", note, "Warning"))
    if skipped > invalid:
        note = (
            f"A max of {MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints "
            f"subset. {skipped} addresses were skipped"
        )
        told.append(Tell(endpoints, "TooManyAddressesToMirror", note, "Warning"))
    return [*endpoint_slices.plan(_frame(endpoints), groups, slices), *told]


_Addresses = list[tuple[EndpointAddress, bool]]  # each with whether it is ready
_Ports = tuple[Document, ...]


def _by_ports(subsets: Iterable[EndpointSubset]) -> Iterable[tuple[_Ports, _Addresses]]:
    """Returns addresses by their ports, those that are ready first (endpoints.RepackSubsets)."""
    found: dict[bytes, tuple[_Ports, _Addresses]] = {}
    for subset in subsets:
        ports = tuple(
            endpoint_slices.port(it.name, it.protocol, it.port, it.app_protocol)
            for it in subset.ports
        )
        _, addresses = found.setdefault(msgspec.json.encode(ports), (ports, []))
        addresses += ((it, True) for it in subset.addresses)
        addresses += ((it, False) for it in subset.not_ready_addresses)
    for _, addresses in found.values():
        addresses.sort(key=lambda item: not item[1])
    return found.values()


def _groups(ports: _Ports, addresses: _Addresses) -> tuple[list[Group], int, int]:
    """Returns the endpoints of each family, how many addresses are none, and how many were left
    out, those among them."""
    found: dict[str, list[Document]] = {}
    invalid = taken = 0
    for address, ready in addresses:
        if taken >= MAX_ADDRESSES:
            break
        try:
            family = endpoint_slices.family(address.ip)
        except ValueError:
            invalid += 1
        else:
            taken += 1
            found.setdefault(family, []).append(_endpoint(address, ready))
    groups = [Group(family, ports, tuple(endpoints)) for family, endpoints in found.items()]
    return groups, invalid, len(addresses) - taken


def _endpoint(address: EndpointAddress, ready: bool) -> Document:
    made: Document = {"addresses": [address.ip], "conditions": {"ready": ready}}
    if address.target_ref is not None:
        target = msgspec.to_builtins(address.target_ref)
        made["targetRef"] = {name: text for name, text in target.items() if text}
    if address.node_name:
        made["nodeName"] = address.node_name
    if address.hostname:
        made["hostname"] = address.hostname
    return made


def _frame(endpoints: Endpoints) -> Frame:
    metadata = endpoints.metadata
    notes = {key: it for key, it in metadata.annotations.items() if key not in OWN_ANNOTATIONS}
    labels = {**metadata.labels, SERVICE_NAME: metadata.name, MANAGED_BY: MANAGER}
    owner = reference(endpoints, ENDPOINTS)
    return Frame(metadata.namespace, metadata.name, labels, owner, notes, MAX_ADDRESSES)


_by_endpoints = partial(endpoint_slices.owner_key, MANAGER)
_of_slice = partial(endpoint_slices.to_owner, MANAGER, ENDPOINTS)


def _of_service(_views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
    """Maps a Service to the Endpoints of its name, where that may matter."""
    if old is not None and new is not None and bool(old.spec.selector) == bool(new.spec.selector):
        return ()
    found = new if new is not None else old
    return [ENDPOINTS.ref(*found.key)] if found is not None else ()


class EndpointMirroringController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "endpointslicemirroring-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(ENDPOINTS, partial(to_self, kind=ENDPOINTS)),
        Watch(SERVICE, _of_service),
        Watch(ENDPOINTSLICE, _of_slice, {BY_ENDPOINTS: _by_endpoints}),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("discovery.k8s.io", ("endpointslices",), ("create", "delete", "update", "patch")),
        Rule("", ("endpoints/finalizers", "services/finalizers"), ("update",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._endpoints = given.views.of(ENDPOINTS)
        self._services = given.views.of(SERVICE)
        self._slices = given.views.of(ENDPOINTSLICE)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the slices of one Endpoints object right."""
        endpoints: Endpoints | None = self._endpoints.get(ref)
        service: Service | None = self._services.get(SERVICE.ref(ref.namespace, ref.name))
        slices = list(self._slices.by(BY_ENDPOINTS, f"{ref.namespace}/{ref.name}"))
        if endpoints is None or not is_mirrored(endpoints, service):
            gone = map(endpoint_slices.deletion, slices)
            await act(self._given.client, self._given.events, gone)
            return Done()
        await act(self._given.client, self._given.events, plan(endpoints, slices))
        return Done()
