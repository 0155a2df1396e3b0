"""Amounts of resources that a pod asks for, summed over its containers, and its class of service.

Sources: component-helpers/resource/helpers.go, pkg/apis/core/helper/qos. Documents have canonical
quantities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from steersman.model.kind import Document
from steersman.model.quantity import Quantity, parse

Amounts = dict[str, Quantity]

ZERO: Final = Quantity(0)
_QOS_RESOURCES: Final = ("cpu", "memory")


def amounts(document: Mapping[str, str] | None) -> Amounts:
    """Returns a resource list as quantities."""
    return {name: parse(text) for name, text in document.items()} if document else {}


def add(total: Amounts, more: Mapping[str, Quantity]) -> None:
    """Adds amounts to a total, in place."""
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def requested(spec: Document, side: str = "requests") -> Amounts:
    """Returns what the containers of a pod ask for together.

    The sum of containers and sidecars, or what an init container needs with the sidecars started
    before it, whichever is greater.
    """
    total: Amounts = {}
    for container in spec.get("containers", ()):
        add(total, amounts(container.get("resources", {}).get(side)))
    sidecars: Amounts = {}
    highest: Amounts = {}
    for container in spec.get("initContainers", ()):
        needed = amounts(container.get("resources", {}).get(side))
        if container.get("restartPolicy") == "Always":
            add(total, needed)
            add(sidecars, needed)
            needed = sidecars
        else:
            add(needed, sidecars)
        _raise_to(highest, needed)
    _raise_to(total, highest)
    return total


def _raise_to(total: Amounts, least: Mapping[str, Quantity]) -> None:
    for name, amount in least.items():
        if name not in total or total[name] < amount:
            total[name] = amount


def qos_class(spec: Document) -> str:
    """Returns Guaranteed, Burstable or BestEffort (ComputePodQOS)."""
    pod_level = spec.get("resources") or {}
    if pod_level.get("requests") or pod_level.get("limits"):
        return _qos([pod_level])
    return _qos(
        container.get("resources") or {}
        for name in ("containers", "initContainers")
        for container in spec.get(name) or ()
    )


def _qos(resources: Iterable[Document]) -> str:
    requests: Amounts = {}
    limits: Amounts = {}
    guaranteed = True
    for found in resources:
        add(requests, _counted(found.get("requests")))
        own_limits = _counted(found.get("limits"))
        add(limits, own_limits)
        guaranteed = guaranteed and len(own_limits) == len(_QOS_RESOURCES)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"


def _counted(document: Mapping[str, str] | None) -> Amounts:
    if not document:
        return {}
    found = {name: parse(document[name]) for name in _QOS_RESOURCES if name in document}
    return {name: amount for name, amount in found.items() if amount > ZERO}
