"""What each metric of an autoscaler asks for: its samples read, held against its target, and its
status made. The words are those of pkg/controller/podautoscaler/horizontal.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from steersman.controllers import autoscaler_replicas as replicas
from steersman.controllers.autoscaler_metrics import Metrics, shown
from steersman.controllers.autoscaler_plan import Proposal, Refusal, Scale
from steersman.controllers.autoscaler_replicas import NoProposal, Situation
from steersman.model import selectors
from steersman.model.kind import Document
from steersman.model.quantity import of_milli, parse
from steersman.model.selectors import Selector, SelectorError

Spec = Mapping[str, Any]


class Asking(msgspec.Struct, frozen=True):
    """What the metrics of one autoscaler are asked about.

    resource_of: returns PLURAL.GROUP of a described object; raises NoProposal
    """

    metrics: Metrics
    namespace: str
    selector: Selector
    scale: Scale
    situation: Situation
    resource_of: Callable[[Spec], str]


Found = tuple[int, str, Document]


async def propose(asking: Asking, metric: Spec) -> Proposal | Refusal:
    """Returns what one metric asks for, or why it asks for nothing."""
    kind = metric.get("type", "")
    if kind not in _SOURCES:
        error = f'unknown metric source type "{kind}"'
        return Refusal("InvalidMetricSourceType", error, error)
    source, ask, failed = _SOURCES[kind]
    spec = metric.get(source) or {}
    try:
        found, name, status = await ask(asking, spec)
    except NoProposal as error:
        words = failed.format(name=spec.get("name", ""), container=spec.get("container", ""))
        words = words.replace("%metric", str((spec.get("metric") or {}).get("name", "")))
        return Refusal(f"FailedGet{kind}Metric", str(error), f"{words}: {error}")
    return Proposal(found, name, {"type": kind, source: status})


async def _resource(asking: Asking, spec: Spec) -> Found:
    name, container = spec["name"], spec.get("container", "")
    target = spec.get("target") or {}
    by_value = "averageValue" in target
    if not by_value and "averageUtilization" not in target:
        raise NoProposal(
            "invalid resource metric source: neither an average utilization target nor an average "
            "value (usage) target was set"
        )
    try:
        samples = await _samples(asking, name, container)
        if by_value:
            wanted = parse(target["averageValue"]).milli()
            found, average = replicas.by_average(asking.situation, samples, wanted, name)
            told, current = f"{name} resource", _average(average)
        else:
            of, percentage = asking.situation, target["averageUtilization"]
            found, percent, average = replicas.by_utilization(
                of, samples, percentage, name, container
            )
            told = f"{name} resource utilization (percentage of request)"
            current = {"averageUtilization": percent, **_average(average)}
    except NoProposal as error:
        what = "usage" if by_value else "utilization"
        raise NoProposal(f"failed to get {name} {what}: {error}") from None
    status: Document = {"name": name, "current": current}
    return found, told, {**status, "container": container} if container else status


async def _samples(asking: Asking, name: str, container: str) -> dict[str, replicas.Sample]:
    try:
        return await asking.metrics.of_resource(asking.namespace, asking.selector, name, container)
    except NoProposal as error:
        raise NoProposal(f"unable to get metrics for resource {name}: {error}") from None


async def _pods(asking: Asking, spec: Spec) -> Found:
    name, narrowed = _named(spec)
    try:
        samples = await asking.metrics.of_pods(asking.namespace, asking.selector, name, narrowed)
    except NoProposal as error:
        raise NoProposal(f"unable to get metric {name}: {error}") from None
    target = parse(spec["target"]["averageValue"]).milli()
    found, average = replicas.by_average(asking.situation, samples, target)
    return found, f"pods metric {name}", {"metric": spec["metric"], "current": _average(average)}


async def _object(asking: Asking, spec: Spec) -> Found:
    name, narrowed = _named(spec)
    target, described = spec.get("target") or {}, spec["describedObject"]
    if target.get("type") not in ("Value", "AverageValue") or not _amount(target):
        raise NoProposal(
            "invalid object metric source: neither a value target nor an average value target was "
            "set"
        )
    try:
        resource = asking.resource_of(described)
        place = (asking.namespace, resource, described["name"])
        value = await asking.metrics.of_object(*place, name, narrowed)
    except NoProposal as error:
        what = f"{described['kind']} on {asking.namespace} {described['name']}/{error}"
        raise NoProposal(f"unable to get metric {name}: {what}") from None
    found, current = _shared(asking, target, value)
    average = "averageValue" in current
    told = f"external metric {name}({shown(spec['metric'].get('selector'))})"
    told = told if average else f"{described['kind']} metric {name}"
    status = {"metric": spec["metric"], "current": current, "describedObject": described}
    return found, told, status


async def _external(asking: Asking, spec: Spec) -> Found:
    name, narrowed = _named(spec)
    target, selector = spec.get("target") or {}, shown(spec["metric"].get("selector"))
    if not _amount(target):
        raise NoProposal(
            "invalid external metric source: neither a value target nor an average value target "
            "was set"
        )
    try:
        value = await asking.metrics.external(asking.namespace, name, narrowed)
    except NoProposal as error:
        where = f"{asking.namespace}/{name}/{selector}"
        raise NoProposal(f"unable to get external metric {where}: {error}") from None
    found, current = _shared(asking, target, value)
    status = {"metric": spec["metric"], "current": current}
    return found, f"external metric {name}({selector})", status


def _amount(target: Spec) -> str:
    return str(target.get("averageValue") or target.get("value") or "")


def _shared(asking: Asking, target: Spec, value: int) -> tuple[int, Document]:
    """Returns the replicas for a metric that belongs to the target as a whole."""
    of, wanted = asking.situation, parse(_amount(target)).milli()
    if "averageValue" in target:
        found, share = replicas.by_share(of, asking.scale.running, value, wanted)
        return found, _average(share)
    return replicas.by_value(of, value, wanted), {"value": str(of_milli(value))}


def _average(value: int) -> Document:
    return {"averageValue": str(of_milli(value))}


def _named(spec: Spec) -> tuple[str, Selector]:
    """Returns the name of a metric and what narrows it."""
    metric = spec["metric"]
    selector = metric.get("selector")
    try:
        narrowed = selectors.everything() if selector is None else selectors.of_document(selector)
    except SelectorError as error:
        raise NoProposal(str(error)) from None
    return metric["name"], narrowed


_Ask = Callable[[Asking, Spec], Awaitable[Found]]
# type of a metric -> the field that describes it, who asks, and how a failure begins
_SOURCES: Mapping[str, tuple[str, _Ask, str]] = {
    "Resource": ("resource", _resource, "failed to get {name} resource metric value"),
    "ContainerResource": (
        "containerResource",
        _resource,
        "failed to get {container} container metric value",
    ),
    "Pods": ("pods", _pods, "failed to get pods metric value"),
    "Object": ("object", _object, "failed to get object metric value"),
    "External": ("external", _external, "failed to get %metric external metric value"),
}
