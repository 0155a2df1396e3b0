"""DaemonSet: its view and its life in the API."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Raw

from steersman.model.causes import invalid, not_negative
from steersman.model.errors import BadRequest, Cause
from steersman.model.gotext import quote
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.former_workloads import in_apps, in_extensions
from steersman.model.kinds.printing import (
    AGE,
    NAME,
    at,
    containers,
    labels,
    number,
    selector_column,
)
from steersman.model.kinds.subresources import STATUS
from steersman.model.removed import elsewhere
from steersman.model.types import workload_check
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.types.podspec_check import check_restarting_template, check_template
from steersman.model.types.selector import LabelSelector, check_selector, is_empty
from steersman.model.types.warnings import workload
from steersman.model.view import Object, View


class RollingUpdate(View, frozen=True):
    """Bounds of a rolling update: numbers or percentages."""

    max_unavailable: int | str = 1
    max_surge: int | str = 0


class UpdateStrategy(View, frozen=True):
    """How pods are replaced: OnDelete or RollingUpdate."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DaemonSetSpec(View, frozen=True):
    """What a daemon set shall be; the template stays raw."""

    selector: LabelSelector = LabelSelector()
    template: Raw = Raw(b"{}")
    update_strategy: UpdateStrategy = UpdateStrategy()
    min_ready_seconds: int = 0
    revision_history_limit: int = 10


class DaemonSetStatus(View, frozen=True):
    """What is known of a daemon set."""

    current_number_scheduled: int = 0
    number_misscheduled: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    observed_generation: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0
    number_unavailable: int = 0
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()


class DaemonSet(Object, frozen=True):
    """apps/v1 DaemonSet."""

    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


_ZERO = {
    "currentNumberScheduled": 0,
    "numberMisscheduled": 0,
    "desiredNumberScheduled": 0,
    "numberReady": 0,
}

_COLUMNS = (
    NAME,
    number("Desired", "status", "desiredNumberScheduled"),
    number("Current", "status", "currentNumberScheduled"),
    number("Ready", "status", "numberReady"),
    number("Up-to-date", "status", "updatedNumberScheduled"),
    number("Available", "status", "numberAvailable"),
    Column(
        "Node Selector",
        lambda found, _now: labels(at(found, "spec", "template", "spec", "nodeSelector")),
    ),
    AGE,
    *containers("spec", "template"),
    selector_column("spec", "selector"),
)

_COUNTS = (
    *_ZERO,
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
)


GENERATION = "deprecated.daemonset.template.generation"
_ANNOTATIONS = ("metadata", "annotations")


def _count_templates(new: Document, old: Document | None, subresource: str) -> Document:
    """Writes how often the template changed where upstream's conversion writes it."""
    given, before = ((at(one or {}, *_ANNOTATIONS) or {}).get(GENERATION) for one in (new, old))
    wanted, number = _number(given), _number(before)
    if old is None:
        number = max(wanted, 1)
    elif not subresource and workload_check.template_of(new) != workload_check.template_of(old):
        number += 1
    annotations = {**(at(new, *_ANNOTATIONS) or {}), GENERATION: str(number)}
    return {**new, "metadata": {**new["metadata"], "annotations": annotations}}


def _number(text: str | None) -> int:
    if text is None:
        return 0
    if re.fullmatch("[-+]?[0-9]{1,18}", text):
        return int(text)
    what = 'DaemonSet in version "v1" cannot be handled as a DaemonSet'
    raise BadRequest(f"{what}: strconv.ParseInt: parsing {quote(text)}: invalid syntax")


def _prepare(new: Document, old: Document | None, subresource: str) -> Document:
    if old is None:
        new = {**new, "status": _ZERO}
    return _count_templates(new, old, subresource)


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if subresource == "status":
        for name in _COUNTS:
            yield from not_negative(f"status.{name}", (new.get("status") or {}).get(name))
        yield from workload_check.check_collisions(new, old)
        return
    spec = new.get("spec") or {}
    selector, template = spec.get("selector"), spec.get("template") or {}
    yield from check_selector(selector, "spec.selector")
    yield from workload_check.check_matching(spec)
    if selector is not None and is_empty(selector):
        yield invalid("spec.selector", selector, "empty selector is invalid for daemonset")
    yield from check_template(template, "spec.template", workload_check.template_of(old))
    yield from check_restarting_template(template, "spec.template", "DaemonSet")
    yield from workload_check.check_numbers(spec, "minReadySeconds")
    strategy = spec.get("updateStrategy") or {}
    yield from workload_check.check_daemon_strategy(strategy, "spec.updateStrategy")
    yield from workload_check.check_numbers(spec, "revisionHistoryLimit")
    if old is not None:
        yield from workload_check.check_selector_kept(new, old)


DAEMONSET = Kind(
    group="apps",
    name="DaemonSet",
    plural="daemonsets",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.apps.v1.DaemonSet"),),
    storage="v1",
    former=in_apps("DaemonSet"),
    short_names=("ds",),
    categories=("all",),
    columns=_COLUMNS,
    check=_check,
    warn=workload(),
    view=DaemonSet,
    prepare=_prepare,
    subresources=(STATUS,),
    spec_fields=("spec",),
    complete=True,
)

EXTENSIONS_DAEMONSET = elsewhere(DAEMONSET, "extensions", in_extensions("DaemonSet"))
