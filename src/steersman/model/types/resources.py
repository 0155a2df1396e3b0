"""Amounts of resources that a pod asks for, summed over its containers, and its class of service.

Sources: component-helpers/resource/helpers.go, pkg/apis/core/helper/qos. Documents have canonical
quantities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """Returns what the containers of a pod ask for together."""

    def of(container: Document) -> Amounts:
        return amounts(container.get("resources", {}).get(side))

    init = spec.get("initContainers", ())
    return together(
        map(of, spec.get("containers", ())),
        ((of(one), one.get("restartPolicy") == "Always") for one in init),
    )


def together(main: Iterable[Amounts], init: Iterable[tuple[Amounts, bool]]) -> Amounts:
    """Returns the amounts of a pod's containers together; of init containers it is said whether
    they are sidecars.

    The sum of containers and sidecars, or what an init container needs with the sidecars started
    before it, whichever is greater.
    """
    total: Amounts = {}
    for needed in main:
        add(total, needed)
    sidecars: Amounts = {}
    highest: Amounts = {}
    for needed, sidecar in init:
        if sidecar:
            add(total, needed)
            add(sidecars, needed)
            raise_to(highest, sidecars)
        else:
            add(needed, sidecars)
            raise_to(highest, needed)
    raise_to(total, highest)
    return total


def raise_to(total: Amounts, least: Mapping[str, Quantity]) -> None:
    for name, amount in least.items():
        if name not in total or total[name] < amount:
            total[name] = amount


def qos_class(spec: Document) -> str:
    """Returns Guaranteed, Burstable or BestEffort (ComputePodQOS)."""
    pod_level = spec.get("resources") or {}
    if pod_level.get("requests") or pod_level.get("limits"):
        return _qos([pod_level])
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return _qos([container.get("resources") or {} for container in containers])


def _qos(all_resources: Sequence[Document]) -> str:
    asked, guaranteed = False, True
    for resources in all_resources:
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in _QOS_RESOURCES:
            request, limit = requests.get(name), limits.get(name)
            asked = asked or _is_positive(request) or _is_positive(limit)
            # requests never exceed limits, so the sums are equal where each pair is
            guaranteed = guaranteed and _is_positive(limit) and _is_same(request, limit)
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _is_positive(text: str | None) -> bool:
    return text is not None and text != "0" and text[0] != "-"


def _is_same(request: str | None, limit: str | None) -> bool:
    if request is None or limit is None:
        return False
    return request == limit or parse(request) == parse(limit)
