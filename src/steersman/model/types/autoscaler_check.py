"""What is checked of a HorizontalPodAutoscaler: bounds, metrics, behavior
(pkg/apis/autoscaling/validation)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from steersman.model import names
from steersman.model.causes import (
    NOT_NEGATIVE,
    each,
    forbidden,
    invalid,
    not_negative,
    not_supported,
    required,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.quantity import parse
from steersman.model.types.resource_check import check_container_resource_name
from steersman.model.types.resources import ZERO

_MOST_PERIOD_SECONDS: Final = 1800
_MOST_WINDOW_SECONDS: Final = 3600
_SELECT_POLICIES: Final = ("Disabled", "Max", "Min")
_POLICY_TYPES: Final = ("Percent", "Pods")
_TARGET_TYPES: Final = ("Utilization", "Value", "AverageValue")
# type of a metric -> the field that describes it, sorted by type
SOURCES: Final[Mapping[str, str]] = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_FROM_ZERO: Final = (
    "must specify at least one Object or External metric to support scaling to zero replicas"
)


def check_spec(spec: Document, old: Document | None) -> Iterator[Cause]:
    """Yields what is wrong with the spec of an autoscaler; `old` is the spec before an update."""
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and most < least:
        yield invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    yield from _check_reference(target, "spec.scaleTargetRef")
    if old is None or _kind_of(old.get("scaleTargetRef") or {}) != _kind_of(target):
        core = target.get("kind") == "ReplicationController"
        yield from _check_version(target, "spec.scaleTargetRef", core)
    metrics = spec.get("metrics") or ()
    loose = any(_problems_of_described(one) for one in (old or {}).get("metrics") or ())
    for index, metric in enumerate(metrics):
        yield from _check_metric(metric, f"spec.metrics[{index}]", loose)
    if least == 0 and not any(one.get("type") in ("Object", "External") for one in metrics):
        yield forbidden("spec.metrics", _FROM_ZERO)
    behavior = spec.get("behavior") or {}
    for name in ("scaleUp", "scaleDown"):
        if (rules := behavior.get(name)) is not None:
            yield from _check_rules(rules, f"spec.behavior.{name}")
    # declared by upstream's type: told last
    yield from not_negative("spec.minReplicas", least)
    if most == 0:
        yield required("spec.maxReplicas")
    elif most < 0:
        yield invalid("spec.maxReplicas", most, "must be greater than or equal to 1")


def _kind_of(reference: Document) -> tuple[str, str]:
    return reference.get("apiVersion", ""), reference.get("kind", "")


def _problems_of_described(metric: Document) -> list[Cause]:
    """Returns what is wrong with the version of the object that a metric describes; where an old
    one was wrong, new ones may be."""
    described = (metric.get("object") or {}).get("describedObject") or {}
    of_object = metric.get("type") == "Object"
    return list(_check_version(described, "", core=True)) if of_object else []


def _check_version(reference: Document, path: str, core: bool) -> Iterator[Cause]:
    """Checks group and version of a kind; `core`: it may be one without a group."""
    version: str = reference.get("apiVersion", "")
    if version.count("/") > 1:
        detail = f"unexpected GroupVersion string: {version}"
        yield invalid(f"{path}.apiVersion", version, detail)
    elif not core and not version.rpartition("/")[0]:
        yield invalid(f"{path}.apiVersion", version, "apiVersion must specify API group")


def _check_reference(reference: Document, path: str) -> Iterator[Cause]:
    for name in ("kind", "name"):
        value = reference.get(name, "")
        if not value:
            yield required(f"{path}.{name}")
        yield from each(f"{path}.{name}", value, names.path_segment(value))


def _check_rules(rules: Document, path: str) -> Iterator[Cause]:
    window, policy = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    where = f"{path}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        yield invalid(where, window, "must be greater than or equal to zero")
    if window is not None and window > _MOST_WINDOW_SECONDS:
        yield invalid(where, window, f"must be less than or equal to {_MOST_WINDOW_SECONDS}")
    if policy is not None and policy not in _SELECT_POLICIES:
        yield not_supported(f"{path}.selectPolicy", policy, _SELECT_POLICIES)
    policies: Sequence[Document] = rules.get("policies") or ()
    if not policies:
        yield required(f"{path}.policies", "must specify at least one Policy")
    for index, one in enumerate(policies):
        yield from _check_policy(one, f"{path}.policies[{index}]")
    tolerance = rules.get("tolerance")
    if tolerance is not None and parse(tolerance) < ZERO:
        yield invalid(f"{path}.tolerance", tolerance, NOT_NEGATIVE)


def _check_policy(policy: Document, path: str) -> Iterator[Cause]:
    kind, period = policy.get("type", ""), policy.get("periodSeconds", 0)
    if kind not in _POLICY_TYPES:
        yield not_supported(f"{path}.type", kind, _POLICY_TYPES)
    for name in ("value", "periodSeconds"):
        if policy.get(name, 0) <= 0:
            yield invalid(f"{path}.{name}", policy.get(name, 0), "must be greater than zero")
    if period > _MOST_PERIOD_SECONDS:
        detail = f"must be less than or equal to {_MOST_PERIOD_SECONDS}"
        yield invalid(f"{path}.periodSeconds", period, detail)


def _check_metric(metric: Document, path: str, loose: bool) -> Iterator[Cause]:
    kind = metric.get("type", "")
    if not kind:
        yield required(f"{path}.type", "must specify a metric source type")
    if kind not in SOURCES:
        yield not_supported(f"{path}.type", kind, tuple(SOURCES))
    given = [name for name in _CHECKS if metric.get(name) is not None]
    if given[:1] == ["object"]:  # upstream looks at the first alone
        yield from _check_object(metric["object"], f"{path}.object", loose)
    elif given:
        yield from _CHECKS[given[0]](metric[given[0]], f"{path}.{given[0]}")
    expected = SOURCES.get(kind, "")
    if not expected:
        yield not_supported(f"{path}.type", kind, tuple(SOURCES))
    elif expected not in given:
        detail = "must populate information for the given metric source"
        yield required(f"{path}.{expected}", detail)
    for name in given if len(given) > 1 else ():
        if name != expected:
            yield forbidden(f"{path}.{name}", "must populate the given metric source only")


def _check_name(source: Document, path: str) -> Iterator[Cause]:
    name = (source.get("metric") or {}).get("name", "")
    if not name:
        yield required(f"{path}.metric.name", "must specify a metric name")
    yield from each(f"{path}.metric.name", name, names.path_segment(name))


def _check_target(source: Document, path: str) -> Iterator[Cause]:
    target, where = source.get("target") or {}, f"{path}.target"
    kind = target.get("type", "")
    if not kind:
        yield required(f"{where}.type", "must specify a metric target type")
    if kind not in _TARGET_TYPES:
        detail = "must be either Utilization, Value, or AverageValue"
        yield invalid(f"{where}.type", kind, detail)
    for name in ("value", "averageValue"):
        if name in target and parse(target[name]) <= ZERO:
            yield invalid(f"{where}.{name}", target[name], "must be positive")
    used = target.get("averageUtilization")
    if used is not None and used < 1:
        yield invalid(f"{where}.averageUtilization", used, "must be greater than 0")


def _check_object(source: Document, path: str, loose: bool = False) -> Iterator[Cause]:
    described = source.get("describedObject") or {}
    yield from _check_reference(described, f"{path}.describedObject")
    if not loose:
        yield from _check_version(described, f"{path}.describedObject", core=True)
    yield from _check_name(source, path)
    yield from _check_target(source, path)
    if not source.get("target", {}).keys() & {"value", "averageValue"}:
        detail = "must set either a target value or averageValue"
        yield required(f"{path}.target.averageValue", detail)


def _check_external(source: Document, path: str) -> Iterator[Cause]:
    yield from _check_name(source, path)
    yield from _check_target(source, path)
    given = source.get("target", {}).keys() & {"value", "averageValue"}
    if not given:
        detail = "must set either a target value for metric or a per-pod target"
        yield required(f"{path}.target.averageValue", detail)
    if len(given) > 1:
        detail = "may not set both a target value for metric and a per-pod target"
        yield forbidden(f"{path}.target.value", detail)


def _check_pods(source: Document, path: str) -> Iterator[Cause]:
    yield from _check_name(source, path)
    yield from _check_target(source, path)
    if "averageValue" not in source.get("target", {}):
        detail = "must specify a positive target averageValue"
        yield required(f"{path}.target.averageValue", detail)


def _check_container(source: Document, path: str) -> Iterator[Cause]:
    name, container = source.get("name", ""), source.get("container", "")
    if not name:
        yield required(f"{path}.name", "must specify a resource name")
    else:
        yield from check_container_resource_name(name, f"{path}.name")
    if not container:
        yield required(f"{path}.container", "must specify a container")
    else:
        yield from each(f"{path}.container", container, names.dns1123_label(container))
    yield from _check_use(source, path)


def _check_resource(source: Document, path: str) -> Iterator[Cause]:
    if not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    yield from _check_use(source, path)


def _check_use(source: Document, path: str) -> Iterator[Cause]:
    yield from _check_target(source, path)
    given = source.get("target", {}).keys() & {"averageUtilization", "averageValue"}
    if not given:
        detail = "must set either a target raw value or a target utilization"
        yield required(f"{path}.target.averageUtilization", detail)
    if len(given) > 1:
        detail = "may not set both a target raw value and a target utilization"
        yield forbidden(f"{path}.target.averageValue", detail)


# in upstream's order, which decides what of several sources is looked at
_CHECKS: Final[Mapping[str, Callable[[Document, str], Iterator[Cause]]]] = {
    "object": _check_object,
    "external": _check_external,
    "pods": _check_pods,
    "resource": _check_resource,
    "containerResource": _check_container,
}
