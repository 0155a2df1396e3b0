"""From where each endpoint of a service should be used: hints for zones and nodes. Pure.

After `spec.trafficDistribution` (KEP-4444, KEP-3015) each endpoint is for its own zone or node.
The older annotation `topology-mode: Auto` (KEP-2433) shares endpoints out among zones by their
processors, and gives up where that is not even enough. Follows k8s.io/endpointslice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from steersman.model.kind import Document
from steersman.model.kinds.node import ZONE, Node
from steersman.model.kinds.service import Service
from steersman.model.quantity import parse
from steersman.model.types.condition import is_true

MODES: Final = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
DISTRIBUTIONS: Final = ("PreferClose", "PreferSameZone", "PreferSameNode")
CONTROL_PLANE: Final = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
OVERLOAD: Final = 0.2  # by how much more than its share an endpoint may have to bear

ENABLED: Final = "Topology Aware Hints has been enabled"
DISABLED: Final = "Topology Aware Hints has been disabled"
NO_NODE_INFO: Final = (
    "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
)
NO_ZONE: Final = "One or more endpoints do not have a zone specified"
TOO_FEW: Final = "Insufficient number of endpoints"
NOT_EVEN: Final = (
    "Unable to allocate minimum required endpoints to each zone without exceeding overload "
    "threshold"
)

Shares = Mapping[str, float]  # of all processors, by zone


class NotShared(Exception):
    """Endpoints cannot be shared out among zones, for a reason in upstream's words."""


def is_automatic(service: Service) -> bool:
    """Says whether a service asks for its endpoints to be shared out among zones."""
    given = (service.metadata.annotations.get(name) for name in MODES)
    return next((it for it in given if it is not None), "") in {"Auto", "auto"}


def terms(node: Node) -> tuple[str, str] | None:
    """Returns a node's zone and processors, which count where it is ready and no control plane;
    None where they do not."""
    labels = node.metadata.labels
    if any(name in labels for name in CONTROL_PLANE) or not is_true(
        node.status.conditions, "Ready"
    ):
        return None
    return labels.get(ZONE, ""), node.status.allocatable.get("cpu", "0")


def shares(nodes: Iterable[Node]) -> Shares:
    """Returns each zone's share of all processors; nothing where a node does not say its zone or
    processors, or where there are not two zones."""
    milli: Counter[str] = Counter()
    for zone, cpu in filter(None, map(terms, nodes)):
        amount = parse(cpu).milli()
        if not zone or not amount:
            return {}
        milli[zone] += amount
    if len(milli) < 2:
        return {}
    return {zone: amount / milli.total() for zone, amount in milli.items()}


def prefer(distribution: str, endpoint: Document) -> Document:
    """Returns an endpoint with the hints of a traffic distribution; one that is not ready has
    none."""
    if distribution not in DISTRIBUTIONS or not _is_ready(endpoint):
        return endpoint
    hints: Document = {}
    if zone := endpoint.get("zone"):
        hints["forZones"] = [{"name": zone}]
    if distribution == "PreferSameNode" and (node := endpoint.get("nodeName")):
        hints["forNodes"] = [{"name": node}]
    return {**endpoint, "hints": hints} if hints else endpoint


def share_out(endpoints: Sequence[Document], of: Shares) -> list[Document]:
    """Returns endpoints with hints so that each zone has about its share of those that are ready,
    as many as can of its own; raises NotShared."""
    ready = [it for it in endpoints if _is_ready(it)]
    wanted = _wanted(len(ready), of)
    if not all(it.get("zone") for it in ready):
        raise NotShared(NO_ZONE)
    giving, receiving = _moves(wanted, Counter(it["zone"] for it in ready))
    return [_for_zone(it, giving, receiving) if _is_ready(it) else it for it in endpoints]


def _for_zone(endpoint: Document, giving: Counter[str], receiving: Counter[str]) -> Document:
    zone = endpoint["zone"]
    if giving[zone] and (other := next(iter(sorted(+receiving)), "")):
        giving[zone] -= 1
        receiving[other] -= 1
        zone = other
    return {**endpoint, "hints": {"forZones": [{"name": zone}]}}


def _is_ready(endpoint: Document) -> bool:
    return bool(endpoint["conditions"].get("ready"))


def _wanted(count: int, of: Shares) -> dict[str, float]:
    """Returns how many endpoints each zone should have; raises NotShared."""
    if not of:
        raise NotShared(NO_NODE_INFO)
    counted = f"({count} endpoints, {len(of)} zones)"
    if len(of) > count:
        raise NotShared(f"{TOO_FEW} {counted}")
    least = {zone: math.ceil(share * count / (1 + OVERLOAD)) for zone, share in of.items()}
    if sum(least.values()) > count:
        raise NotShared(f"{NOT_EVEN} {counted}")
    return {zone: max(share * count, least[zone]) for zone, share in of.items()}


def _moves(wanted: Mapping[str, float], has: Counter[str]) -> tuple[Counter[str], Counter[str]]:
    """Returns how many endpoints zones give away, and how many they get of others."""
    spare = {zone: has[zone] - want for zone, want in wanted.items() if has[zone] > want}
    missing = {zone: want - has[zone] for zone, want in wanted.items() if has[zone] < want}
    giving: Counter[str] = Counter()
    receiving: Counter[str] = Counter()
    while spare and missing:
        giver, getter = (max(sorted(it), key=it.__getitem__) for it in (spare, missing))
        amounts = (spare[giver], missing[getter])
        if min(amounts) < 0.5 or max(amounts) < 1:
            break
        giving[giver] += 1
        receiving[getter] += 1
        spare[giver] -= 1
        missing[getter] -= 1
    return giving, receiving
