"""What is checked of a Job (ValidateJobSpec in pkg/apis/batch/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steersman.model.causes import (
    IMMUTABLE,
    immutable,
    invalid,
    not_supported,
    required,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.podspec_check import check_template
from steersman.model.types.selector import check_selector, compiled
from steersman.model.types.workload_check import check_matching, check_numbers

_NUMBERS: Final = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_MODES: Final = ("NonIndexed", "Indexed")
_MOST_INDEXED_PARALLELISM: Final = 100_000
_REPLACEMENTS: Final = ("Failed", "TerminatingOrFailed")
_FIXED: Final = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy")
# what may still change in the template of a job that was never started
_SCHEDULING: Final = ("affinity", "nodeSelector", "schedulingGates", "tolerations")


def check_spec(spec: Document) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a Job whose selector is set."""
    yield from check_template_spec(spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
        return
    yield from check_selector(selector, "spec.selector")
    if compiled(selector) is not None:
        yield from check_matching(spec)


def check_template_spec(spec: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a Job's spec, of a CronJob's template too."""
    for cause in check_numbers(spec, *_NUMBERS):
        yield Cause(cause.reason, cause.message, path + cause.field.removeprefix("spec"))
    yield from _check_mode(spec, path)
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None and replacement not in _REPLACEMENTS:
        yield not_supported(f"{path}.podReplacementPolicy", replacement, _REPLACEMENTS)
    template = spec.get("template") or {}
    yield from check_template(template, f"{path}.template")
    policy, where = (template.get("spec") or {}).get("restartPolicy"), f"{path}.template.spec"
    if policy not in ("OnFailure", "Never"):
        yield required(f"{where}.restartPolicy", 'valid values: "OnFailure", "Never"')
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        yield invalid(f"{where}.restartPolicy", policy, detail)


def _check_mode(spec: Document, path: str) -> Iterator[Cause]:
    mode = spec.get("completionMode")
    if mode is not None and mode not in _MODES:
        yield not_supported(f"{path}.completionMode", mode, _MODES)
    if mode != "Indexed":
        if spec.get("backoffLimitPerIndex") is not None:
            detail = "requires indexed completion mode"
            yield invalid(f"{path}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], detail)
        return
    if spec.get("completions") is None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    parallelism = spec.get("parallelism") or 0
    if parallelism > _MOST_INDEXED_PARALLELISM:
        detail = f"must be less than or equal to {_MOST_INDEXED_PARALLELISM} when completion mode"
        yield invalid(f"{path}.parallelism", parallelism, f"{detail} is Indexed")


def check_change(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what an update changes of a Job's spec and may not."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    yield from _check_completions(spec, before)
    yield from immutable("spec.selector", spec.get("selector"), before.get("selector"))
    started = (old.get("status") or {}).get("startTime")
    loose = bool(before.get("suspend")) and not started
    now, then = (_template(one, loose) for one in (spec, before))
    if now != then:
        yield invalid("spec.template", spec.get("template"), IMMUTABLE)
    for name in _FIXED:
        yield from immutable(f"spec.{name}", spec.get(name), before.get(name))


def _check_completions(spec: Document, before: Document) -> Iterator[Cause]:
    now, then = spec.get("completions"), before.get("completions")
    if now == then:
        return
    if spec.get("completionMode") != "Indexed":
        yield invalid("spec.completions", now, IMMUTABLE)
    elif now != spec.get("parallelism") or then != before.get("parallelism"):
        detail = "can only be modified in tandem with spec.parallelism"
        yield invalid("spec.completions", now, f"{IMMUTABLE}: {detail}")


def _template(spec: Document, loose: bool) -> Document:
    template = spec.get("template") or {}
    if not loose:
        return template
    pod = template.get("spec") or {}
    kept = {name: value for name, value in pod.items() if name not in _SCHEDULING}
    return {"spec": kept}
