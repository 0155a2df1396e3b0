"""PodDisruptionBudget: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from steersman.model import names
from steersman.model.causes import invalid, not_negative, not_supported
from steersman.model.errors import Cause
from steersman.model.gotext import struct
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, Value, at, field, number
from steersman.model.kinds.subresources import STATUS
from steersman.model.removed import Life, removed
from steersman.model.types.condition import Condition, check_conditions
from steersman.model.types.metadata import check_around
from steersman.model.types.selector import LabelSelector, check_selector
from steersman.model.types.workload_check import check_not_over, check_share
from steersman.model.view import Object, View


class DisruptionBudgetSpec(View, frozen=True):
    """How many of the selected pods must stay, or may be away; numbers or percentages."""

    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: str | None = None


class DisruptionBudgetStatus(View, frozen=True):
    """What is known of the pods; `disrupted_pods` are those whose eviction was granted."""

    observed_generation: int = 0
    disrupted_pods: Mapping[str, datetime] = {}
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    conditions: tuple[Condition, ...] = ()


class PodDisruptionBudget(Object, frozen=True):
    """policy/v1 PodDisruptionBudget."""

    spec: DisruptionBudgetSpec = DisruptionBudgetSpec()
    status: DisruptionBudgetStatus = DisruptionBudgetStatus()


_INTERNAL = ("MinAvailable", "Selector", "MaxUnavailable", "UnhealthyPodEvictionPolicy")
_EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    if subresource == "status":
        found = _check_status(new.get("status") or {})
    else:
        found = _check_spec(new.get("spec") or {}, (old or {}).get("spec") or {})
    return check_around(new, old, found)


def _check_spec(spec: Document, before: Document) -> Iterator[Cause]:
    bounds = {name: spec.get(name) for name in ("minAvailable", "maxUnavailable")}
    if None not in bounds.values():
        detail = "minAvailable and maxUnavailable cannot be both set"
        yield invalid("spec", struct(spec, *_INTERNAL), detail)
    for name, value in bounds.items():
        yield from check_share(value, f"spec.{name}")
        yield from check_not_over(value, f"spec.{name}")
    yield from check_selector(spec.get("selector"), "spec.selector", old=before.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _EVICTION_POLICIES:
        yield not_supported("spec.unhealthyPodEvictionPolicy", policy, _EVICTION_POLICIES)


def _check_status(status: Document) -> Iterator[Cause]:
    yield from check_conditions(status.get("conditions") or (), "status.conditions")
    for name in _COUNTS:
        yield from not_negative(f"status.{name}", status.get(name))


def _bound(name: str) -> Value:
    found = field("spec", name, default="N/A")
    return lambda budget, now: str(found(budget, now))


_COLUMNS = (
    NAME,
    Column("Min Available", _bound("minAvailable")),
    Column("Max Unavailable", _bound("maxUnavailable")),
    number("Allowed Disruptions", "status", "disruptionsAllowed"),
    AGE,
)

# In v1beta1 the empty selector matched no pod, in v1 it matches all; one requirement says the other
# (pkg/apis/policy/helper.go)
_KEY = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"
_NONE: Document = {"matchExpressions": [{"key": _KEY, "operator": "Exists"}]}
_ALL: Document = {"matchExpressions": [{"key": _KEY, "operator": "DoesNotExist"}]}


def _from_v1beta1(budget: Document) -> Document:
    selector = at(budget, "spec", "selector")
    if selector == {}:
        return _selecting(budget, _NONE)
    return _selecting(budget, {}) if selector == _ALL else budget


def _to_v1beta1(budget: Document) -> Document:
    selector = at(budget, "spec", "selector")
    if selector == {}:
        return _selecting(budget, _ALL)
    return _selecting(budget, {}) if selector == _NONE else budget


def _selecting(budget: Document, selector: Document) -> Document:
    return {**budget, "spec": {**budget["spec"], "selector": selector}}


_V1BETA1 = removed(
    "policy/v1beta1",
    "policy.v1beta1.PodDisruptionBudget",
    Life(21, 25, "policy/v1"),
    _from_v1beta1,
    _to_v1beta1,
)

PODDISRUPTIONBUDGET = Kind(
    group="policy",
    name="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.policy.v1.PodDisruptionBudget"),),
    storage="v1",
    former=(_V1BETA1,),
    short_names=("pdb",),
    columns=_COLUMNS,
    check=_check,
    name_check=names.path_segment,
    view=PodDisruptionBudget,
    prepare=preparer(status=dict.fromkeys(_COUNTS, 0)),
    subresources=(STATUS,),
    spec_fields=("spec",),
    conditional=True,
    complete=True,
)
