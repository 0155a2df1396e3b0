"""EndpointSlices filled with endpoints, at most so many in each; what needs no change is kept.

Not which endpoints there are (endpointslice.py, endpoint_mirroring.py). Follows
k8s.io/endpointslice.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from steersman.client.interface import Views
from steersman.controllers.endpoint_pods import SERVICE_NAME
from steersman.model.kind import Document, Kind
from steersman.model.kinds.endpointslice import ENDPOINTSLICE, EndpointSlice
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, Create, Delete, Patch

MAX_ENDPOINTS = 100  # upstream's default of --max-endpoints-per-slice
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


class Frame(msgspec.Struct, frozen=True):
    """What the slices of one owner have in common; annotations that are not given are let be.
    `most` endpoints are in one slice."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    owner: Document
    annotations: Mapping[str, str] | None = None
    most: int = MAX_ENDPOINTS


class Group(msgspec.Struct, frozen=True):
    """Endpoints of one address family with the same ports."""

    family: str
    ports: tuple[Document, ...]
    endpoints: tuple[Document, ...]


def plan(frame: Frame, groups: Iterable[Group], slices: Sequence[EndpointSlice]) -> list[Action]:
    """Returns what makes an owner's slices hold these groups."""
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
        actions += _fill(frame, group, fitting)
    return actions + [deletion(found) for found in left.values()]


def family(address: str) -> str:
    """Returns the address type of an address; raises ValueError."""
    return f"IPv{ipaddress.ip_address(address).version}"


def _fill(frame: Frame, group: Group, fitting: Sequence[EndpointSlice]) -> list[Action]:
    """Returns the changes that put a group's endpoints into slices with its ports."""
    wanted = {_identity(endpoint): endpoint for endpoint in group.endpoints}
    kept: list[tuple[EndpointSlice, list[Document]]] = []
    for found in fitting:
        ours = [wanted.pop(key) for key in map(_identity, _endpoints(found)) if key in wanted]
        kept.append((found, ours))
    rest = list(wanted.values())
    for _, ours in sorted(kept, key=lambda item: -len(item[1])):  # the fullest first
        while rest and len(ours) < frame.most:
            ours.append(rest.pop(0))
    actions: list[Action] = []
    spare = not group.endpoints
    for found, ours in kept:
        if not ours and not spare:
            actions.append(deletion(found))
            continue
        spare = False
        if patch := _update(frame, found, ours):
            actions.append(patch)
    parts = [rest[at : at + frame.most] for at in range(0, len(rest), frame.most)]
    parts += [[]] if spare else []
    return actions + [_creation(frame, group, part) for part in parts]


def _identity(endpoint: Document) -> tuple[str, str]:
    uid = (endpoint.get("targetRef") or {}).get("uid", "")
    return (uid, endpoint["addresses"][0])


def _endpoints(found: EndpointSlice) -> list[Document]:
    documents: list[Document] = [_bare(msgspec.to_builtins(it)) for it in found.endpoints]
    return documents


def _bare(endpoint: Document) -> Document:
    """Returns an endpoint as one is made here: without what is unset, its addresses and hints as
    lists; in its reference without empty texts."""
    found = {name: value for name, value in endpoint.items() if value not in (None, {}, "")}
    found["addresses"] = list(found["addresses"])
    if conditions := found.get("conditions"):
        found["conditions"] = {name: it for name, it in conditions.items() if it is not None}
    if hints := found.get("hints"):
        found["hints"] = {name: list(it) for name, it in hints.items() if it}
    if target := found.get("targetRef"):
        found["targetRef"] = {name: text for name, text in target.items() if text}
    return found


def port(name: str, protocol: str, number: int | None, application: str | None) -> Document:
    """Returns a port as it stands in a slice."""
    made: Document = {"name": name, "protocol": protocol, "port": number}
    return {**made, **({"appProtocol": application} if application else {})}


def _ports(found: EndpointSlice) -> tuple[Document, ...]:
    return tuple(port(it.name, it.protocol, it.port, it.app_protocol) for it in found.ports)


def _creation(frame: Frame, group: Group, endpoints: list[Document]) -> Create:
    metadata: Document = {
        "generateName": f"{frame.name}-",
        "namespace": frame.namespace,
        "labels": dict(frame.labels),
        "ownerReferences": [frame.owner],
    }
    if frame.annotations:
        metadata["annotations"] = dict(frame.annotations)
    document: Document = {
        "apiVersion": ENDPOINTSLICE.api_version(),
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": group.family,
        "endpoints": endpoints,
        "ports": list(group.ports),
    }
    return Create(ENDPOINTSLICE, document, frame.namespace)


def _update(frame: Frame, found: EndpointSlice, endpoints: list[Document]) -> Patch | None:
    patch: Document = {}
    if _endpoints(found) != endpoints:
        patch["endpoints"] = endpoints
    changed = {"labels": _changed(found.metadata.labels, frame.labels)}
    if frame.annotations is not None:
        changed["annotations"] = _changed(found.metadata.annotations, frame.annotations)
    if metadata := {name: change for name, change in changed.items() if change}:
        patch["metadata"] = metadata
    if not patch:
        return None
    ref, known = ENDPOINTSLICE.ref(*found.key), found.metadata
    return Patch(ref, patch, uid=known.uid, revision=known.revision)


def _changed(old: Mapping[str, str], wanted: Mapping[str, str]) -> Document:
    """Returns the merge patch from one map to another, empty where they are the same."""
    if dict(old) == dict(wanted):
        return {}
    return {**{key: None for key in old if key not in wanted}, **wanted}


def deletion(found: EndpointSlice) -> Delete:
    """Returns what removes a slice."""
    return Delete(ENDPOINTSLICE.ref(*found.key), found.metadata.uid)


def owner_key(manager: str, found: EndpointSlice) -> tuple[str, ...]:
    """Index values: namespace and name of whose slice it is, of this manager's alone; bind
    `manager` with functools.partial."""
    name = found.metadata.labels.get(SERVICE_NAME, "")
    ours = name and found.metadata.labels.get(MANAGED_BY) == manager
    return (f"{found.metadata.namespace}/{name}",) if ours else ()


def to_owner(
    manager: str,
    kind: Kind,
    _views: Views,
    old: EndpointSlice | None,
    new: EndpointSlice | None,
) -> Iterable[Ref]:
    """Maps a change of a manager's slices to whose they are; bind the first two."""
    either = [found for found in (old, new) if found is not None]
    keys = {key for found in either for key in owner_key(manager, found)}
    return [kind.ref(*key.split("/", 1)) for key in sorted(keys)]
