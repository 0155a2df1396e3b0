"""What is checked of workloads: selectors, strategies, counts (pkg/apis/apps/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import (
    each,
    forbidden,
    immutable,
    invalid,
    not_negative,
    not_supported,
    required,
)
from steersman.model.errors import Cause
from steersman.model.gotext import struct
from steersman.model.kind import Document
from steersman.model.selectors import Selector
from steersman.model.types.podspec_check import check_restarting_template, check_template
from steersman.model.types.selector import check_selector, compiled, is_empty

UNMATCHED: Final = "`selector` does not match template `labels`"
_MOST_DIGITS: Final = 19  # of what Go reads as a number: more are too many in any case
_TOO_MUCH: Final = "must not be greater than 100%"


def check_numbers(spec: Document, *fields: str) -> Iterator[Cause]:
    """Yields the fields of a spec that are negative."""
    for name in fields:
        yield from not_negative(f"spec.{name}", spec.get(name))


def check_selection(spec: Document, empty: str) -> Iterator[Cause]:
    """Yields what is wrong with a workload's selector; `empty` is said of an empty one."""
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
        return
    yield from check_selector(selector, "spec.selector")
    if is_empty(selector):
        yield invalid("spec.selector", selector, empty)


def check_matching(spec: Document) -> Iterator[Cause]:
    """Yields whether the selector does not match the template's labels."""
    selector = compiled(spec.get("selector"))
    if selector is not None:
        yield from _check_matched(selector, spec)


def _check_matched(selector: Selector, spec: Document) -> Iterator[Cause]:
    if selector.empty:
        return
    labels = _template_labels(spec)
    if not selector(labels or {}):
        yield invalid("spec.template.metadata.labels", labels, UNMATCHED)


def template_of(document: Document | None) -> Document | None:
    """Returns the pod template of a workload."""
    return ((document or {}).get("spec") or {}).get("template")


def _template_labels(spec: Document) -> dict[str, str] | None:
    return ((spec.get("template") or {}).get("metadata") or {}).get("labels")


def check_replicated(spec: Document, old: Document | None) -> Iterator[Cause]:
    """Yields what is wrong with the selector and template of ReplicaSets and Deployments; `old` is
    the object from before an update."""
    yield from check_selection(spec, "empty selector is invalid for deployment")
    selector = compiled(spec.get("selector"))
    if selector is None:
        yield invalid("spec.selector", spec.get("selector"), "invalid label selector")
        return
    yield from _check_matched(selector, spec)
    template = spec.get("template") or {}
    yield from check_template(template, "spec.template", template_of(old))
    yield from check_restarting_template(template, "spec.template", "ReplicaSet")


def check_selector_kept(new: Document, old: Document) -> Iterator[Cause]:
    """Yields whether an update changes the selector."""
    now, then = (document.get("spec") or {} for document in (new, old))
    yield from immutable("spec.selector", now.get("selector"), then.get("selector"))


def check_share(value: Any, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a number or percentage (ValidatePositiveIntOrPercent)."""
    if isinstance(value, str):
        yield from each(path, value, names.percent(value))
    else:
        yield from not_negative(path, value)


def check_not_over(value: Any, path: str) -> Iterator[Cause]:
    """Yields whether a percentage is over 100 (IsNotMoreThan100Percent)."""
    if isinstance(value, str) and not names.percent(value) and _number(value[:-1]) > 100:
        yield invalid(path, value, _TOO_MUCH)


def is_zero(value: Any) -> bool:
    """Tells whether a number or percentage is nothing; a text that is neither is."""
    return _number(value.removesuffix("%")) == 0 if isinstance(value, str) else not value


def _number(text: str) -> int:
    return int(text[:_MOST_DIGITS]) if re.fullmatch("[-+]?[0-9]+", text) else 0


def shown_strategy(strategy: Document, **bounds: Any) -> Document:
    """Returns a strategy as Go's internal type prints it, with bounds that were not given."""
    rolling = strategy.get("rollingUpdate")
    return {
        "Type": strategy.get("type", ""),
        "RollingUpdate": None if rolling is None else shown_bounds(rolling, **bounds),
    }


def shown_bounds(rolling: Document, **bounds: Any) -> Document:
    """Returns the bounds of a rolling update as Go's internal type prints them."""
    fields = [name[0].upper() + name[1:] for name in bounds]
    return struct({**bounds, **rolling}, *fields)


def check_deployment_strategy(strategy: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the strategy of a Deployment."""
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            yield forbidden(f"{path}.rollingUpdate", detail)
        return
    if kind != "RollingUpdate":
        shown = shown_strategy(strategy, maxUnavailable=0, maxSurge=0)
        yield not_supported(path, shown, ("Recreate", "RollingUpdate"))
        return
    if rolling is None:
        detail = "this should be defaulted and never be nil"
        yield required(f"{path}.rollingUpdate", detail)
        return
    where = f"{path}.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    yield from check_share(unavailable, f"{where}.maxUnavailable")
    yield from check_share(surge, f"{where}.maxSurge")
    if is_zero(unavailable) and is_zero(surge):
        detail = "may not be 0 when `maxSurge` is 0"
        yield invalid(f"{where}.maxUnavailable", unavailable, detail)
    yield from check_not_over(unavailable, f"{where}.maxUnavailable")


def check_daemon_strategy(strategy: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the update strategy of a DaemonSet."""
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        shown = shown_strategy(strategy, maxUnavailable=0, maxSurge=0)
        yield not_supported(path, shown, ("RollingUpdate", "OnDelete"))
        return
    if rolling is None:
        yield required(f"{path}.rollingUpdate")
        return
    where = f"{path}.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from check_share(value, f"{where}.{name}")
        yield from check_not_over(value, f"{where}.{name}")
    if not is_zero(unavailable) and not is_zero(surge):
        detail = "may not be set when maxUnavailable is non-zero"
        yield invalid(f"{where}.maxSurge", surge, detail)
    if is_zero(unavailable) and is_zero(surge):
        yield required(f"{where}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def check_counts(
    status: Document,
    fields: Sequence[str],
    bounded: Sequence[str],
    ready: str = "readyReplicas",
) -> Iterator[Cause]:
    """Yields the counts of a status that are negative or over the count of replicas; `ready` is how
    the count of ready ones is called where fewer are ready than available."""
    for name in fields:
        yield from not_negative(f"status.{name}", status.get(name))
    replicas = status.get("replicas") or 0
    for name in bounded:
        if (status.get(name) or 0) > replicas:
            detail = "cannot be greater than status.replicas"
            yield invalid(f"status.{name}", status[name], detail)
    if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        detail = f"cannot be greater than {ready}"
        yield invalid("status.availableReplicas", status["availableReplicas"], detail)


def check_collisions(new: Document, old: Document | None) -> Iterator[Cause]:
    """Yields whether the update of a status forgets collisions of names."""
    now, then = ((one or {}).get("status") or {} for one in (new, old))
    before = then.get("collisionCount")
    count = now.get("collisionCount")
    if before is not None and (count is None or count < before):
        yield invalid("status.collisionCount", count or 0, "cannot be decremented")
