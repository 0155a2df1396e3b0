"""LimitRanger: what a namespace's LimitRanges give to new pods, and what they refuse.

Follows plugin/pkg/admission/limitranger with its texts. Pods are looked at when they are created,
claims also when they are updated.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from steersman.api.admission.chain import Change
from steersman.api.admission.plugins.plain import is_of, is_pod
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model import errors, quantity
from steersman.model.kind import Document
from steersman.model.quantity import Quantity
from steersman.model.ref import Resource

LIMIT_RANGES: Final = Resource("", "limitranges")
ANNOTATION: Final = "kubernetes.io/limit-ranger"

Amounts = Mapping[str, Any]


class LimitRanger:
    """See the module."""

    name = "LimitRanger"
    about = frozenset({"PersistentVolumeClaim", "Pod"})

    def __init__(self, cache: Cache) -> None:
        self._ranges = cache.table(LIMIT_RANGES)

    def admit(self, change: Change) -> Document | None:
        """Gives the containers of a new pod the requests and limits that they do not name."""
        if not _is_new_pod(change):
            return None
        document = change.new
        for limits in self._limits(change):
            document = with_defaults(document or {}, limits)
        return None if document is change.new else document

    def check(self, change: Change) -> None:
        """Refuses what is out of bounds, with all reasons."""
        if _is_new_pod(change):
            reasons = [
                reason
                for limits in self._limits(change)
                for reason in check_pod(change.new or {}, limits)
            ]
        elif _is_claim(change):
            reasons = [
                reason
                for limits in self._limits(change)
                for reason in check_claim(change.new or {}, limits)
            ]
        else:
            return
        if reasons:
            name = (change.new or {})["metadata"].get("name", "")
            listed = ", ".join(reasons)
            why = listed if len(reasons) == 1 else f"[{listed}]"
            raise errors.forbidden("", change.call.kind.plural, name, why)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the LimitRanges where the namespace has some: they note what they gave."""
        return None if self._ranges.entries.get(call.namespace) else ()

    def _limits(self, change: Change) -> Iterator[Sequence[Document]]:
        """Yields the limits of each LimitRange of the namespace, by name."""
        for entry in self._ranges.ordered(change.call.namespace):
            yield (entry.document().get("spec") or {}).get("limits") or ()


def _is_new_pod(change: Change) -> bool:
    return change.operation == "CREATE" and is_pod(change)


def _is_claim(change: Change) -> bool:
    return change.new is not None and is_of(change.call, "", "PersistentVolumeClaim")


def with_defaults(pod: Document, limits: Sequence[Document]) -> Document:
    """Returns a pod with the defaults of a LimitRange; the same one where it needs none."""
    requests: dict[str, Any] = {}
    most: dict[str, Any] = {}
    for limit in limits:
        if limit.get("type") == "Container":
            requests.update(limit.get("defaultRequest") or {})
            most.update(limit.get("default") or {})
    told: list[str] = []
    spec = dict(pod.get("spec") or {})
    for field, word in (("containers", "container"), ("initContainers", "init container")):
        if spec.get(field):
            spec[field] = [_filled(one, word, requests, most, told) for one in spec[field]]
    if not told:
        return pod
    meta = pod["metadata"]
    text = "LimitRanger plugin set: " + "; ".join(told)
    annotations = {**(meta.get("annotations") or {}), ANNOTATION: text}
    return {**pod, "metadata": {**meta, "annotations": annotations}, "spec": spec}


def _filled(
    container: Document, word: str, requests: Amounts, most: Amounts, told: list[str]
) -> Document:
    resources = dict(container.get("resources") or {})
    for field, defaults, shown in (("requests", requests, "request"), ("limits", most, "limit")):
        present = resources.get(field) or {}
        if added := {name: value for name, value in defaults.items() if name not in present}:
            resources[field] = {**present, **added}
            names = ", ".join(sorted(added))
            told.append(f"{names} {shown} for {word} {container.get('name', '')}")
    return {**container, "resources": resources} if resources else container


def check_pod(pod: Document, limits: Iterable[Document]) -> Iterator[str]:
    """Yields why a pod is out of bounds."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for limit in limits:
        if limit.get("type") == "Container":
            for container in containers:
                resources = container.get("resources") or {}
                requests = resources.get("requests") or {}
                yield from _check(limit, requests, resources.get("limits") or {})
        elif limit.get("type") == "Pod":
            yield from _check(limit, _total(spec, "requests"), _total(spec, "limits"))


def check_claim(claim: Document, limits: Iterable[Document]) -> Iterator[str]:
    """Yields why a claim asks for too little or too much."""
    resources = (claim.get("spec") or {}).get("resources") or {}
    requests = resources.get("requests") or {}
    for limit in limits:
        if limit.get("type") != "PersistentVolumeClaim":
            continue
        for name, bound in (limit.get("min") or {}).items():
            yield from _check_min("PersistentVolumeClaim", name, bound, requests, {})
        for name, bound in (limit.get("max") or {}).items():
            yield from _check_most(name, bound, requests)


def _check(limit: Document, requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = limit.get("type", "")
    for name, bound in (limit.get("min") or {}).items():
        yield from _check_min(kind, name, bound, requests, limits)
    for name, bound in (limit.get("max") or {}).items():
        yield from _check_max(kind, name, bound, requests, limits)
    for name, bound in (limit.get("maxLimitRequestRatio") or {}).items():
        yield from _check_ratio(kind, name, bound, requests, limits)


def _check_min(
    kind: str, name: str, bound: Any, requests: Amounts, limits: Amounts
) -> Iterator[str]:
    text = f"minimum {name} usage per {kind} is {_show(bound)}"
    if name not in requests:
        yield f"{text}.  No request is specified"
    elif _amount(requests[name]) < _amount(bound):
        yield f"{text}, but request is {_show(requests[name])}"
    elif name in limits and _amount(limits[name]) < _amount(bound):
        yield f"{text}, but limit is {_show(limits[name])}"


def _check_max(
    kind: str, name: str, bound: Any, requests: Amounts, limits: Amounts
) -> Iterator[str]:
    text = f"maximum {name} usage per {kind} is {_show(bound)}"
    if name not in limits:
        yield f"{text}.  No limit is specified"
    elif _amount(limits[name]) > _amount(bound):
        yield f"{text}, but limit is {_show(limits[name])}"
    elif name in requests and _amount(requests[name]) > _amount(bound):
        yield f"{text}, but request is {_show(requests[name])}"


def _check_most(name: str, bound: Any, requests: Amounts) -> Iterator[str]:
    text = f"maximum {name} usage per PersistentVolumeClaim is {_show(bound)}"
    if name not in requests:
        yield f"{text}.  No request is specified"
    elif _amount(requests[name]) > _amount(bound):
        yield f"{text}, but request is {_show(requests[name])}"


def _check_ratio(
    kind: str, name: str, bound: Any, requests: Amounts, limits: Amounts
) -> Iterator[str]:
    text = f"{name} max limit to request ratio per {kind} is {_show(bound)}, but"
    request, limit = requests.get(name), limits.get(name)
    if request is None or not _amount(request):
        yield f"{text} no request is specified or request is 0"
    elif limit is None or not _amount(limit):
        yield f"{text} no limit is specified or limit is 0"
    elif _amount(limit).nanos * quantity.NANO > _amount(bound).nanos * _amount(request).nanos:
        yield f"{text} provided ratio is {_amount(limit).nanos / _amount(request).nanos:f}"


def _total(spec: Document, field: str) -> dict[str, Quantity]:
    """Returns what a pod asks for of each resource that every container names: the sum over the
    containers, or what its largest init container asks for where that is more."""
    listed = [(one.get("resources") or {}).get(field) or {} for one in spec["containers"]]
    names = set(listed[0]).intersection(*listed) if listed else set()
    total = {name: sum((_amount(one[name]) for one in listed), Quantity(0)) for name in names}
    for container in spec.get("initContainers") or ():
        for name, amount in ((container.get("resources") or {}).get(field) or {}).items():
            total[name] = max(total.get(name, Quantity(0)), _amount(amount))
    return total


def _amount(value: Any) -> Quantity:
    return value if isinstance(value, Quantity) else quantity.parse(value)


def _show(value: Any) -> str:
    return str(_amount(value))
