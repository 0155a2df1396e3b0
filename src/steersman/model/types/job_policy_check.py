"""What is checked of the policies of a Job: which failures of pods count, when it has succeeded
(validatePodFailurePolicy, validateSuccessPolicy in pkg/apis/batch/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    invalid,
    not_negative,
    not_supported,
    required,
    too_long,
    too_many,
    unshown,
)
from steersman.model.errors import Cause
from steersman.model.gotext import quote, struct
from steersman.model.kind import Document
from steersman.model.types import job_indexes

_MOST_RULES: Final = 20
_MOST_EXIT_CODES: Final = 255
_MOST_PATTERNS: Final = 20
_MOST_INDEXES_BYTES: Final = 64 * 1024
_ACTIONS: Final = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS: Final = ("In", "NotIn")
_STATUSES: Final = ("False", "True", "Unknown")
_REPLACEMENTS: Final = ("Failed", "TerminatingOrFailed")


def check_policies(spec: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the policies of a Job's spec."""
    if (failure := spec.get("podFailurePolicy")) is not None:
        yield from _check_failure(spec, failure, f"{path}.podFailurePolicy")
    if (success := spec.get("successPolicy")) is not None:
        where = f"{path}.successPolicy"
        if spec.get("completionMode") == "Indexed":
            yield from _check_success(spec, success, where)
        else:
            rules = [
                struct(rule, "SucceededIndexes", "SucceededCount")
                for rule in success.get("rules") or ()
            ]
            yield invalid(where, {"Rules": rules or None}, "requires indexed completion mode")
    replacement = spec.get("podReplacementPolicy")
    allowed = _REPLACEMENTS if failure is None else _REPLACEMENTS[:1]
    if replacement is not None and replacement not in allowed:
        yield not_supported(f"{path}.podReplacementPolicy", replacement, allowed)


def _check_failure(spec: Document, policy: Document, path: str) -> Iterator[Cause]:
    rules = policy.get("rules") or ()
    if len(rules) > _MOST_RULES:
        yield too_many(f"{path}.rules", len(rules), _MOST_RULES)
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = {
        container.get("name")
        for name in ("containers", "initContainers")
        for container in pod.get(name) or ()
    }
    for index, rule in enumerate(rules):
        where = f"{path}.rules[{index}]"
        yield from _check_action(spec, rule.get("action", ""), f"{where}.action")
        codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        if codes is not None:
            yield from _check_exit_codes(codes, f"{where}.onExitCodes", containers)
        yield from _check_patterns(patterns, f"{where}.onPodConditions")
        if codes is not None and patterns:
            yield unshown(where, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not patterns:
            yield unshown(where, "specifying one of OnExitCodes and OnPodConditions is required")


def _check_one_of(path: str, value: str, valid: Sequence[str]) -> Iterator[Cause]:
    if not value:
        yield required(path, f"valid values: [{' '.join(map(quote, valid))}]")
    elif value not in valid:
        yield not_supported(path, value, valid)


def _check_action(spec: Document, action: str, path: str) -> Iterator[Cause]:
    if action == "FailIndex":
        if spec.get("backoffLimitPerIndex") is None:
            yield invalid(path, action, "requires the backoffLimitPerIndex to be set")
    else:
        yield from _check_one_of(path, action, _ACTIONS)


def _check_exit_codes(codes: Document, path: str, containers: set[str]) -> Iterator[Cause]:
    operator, values = codes.get("operator", ""), codes.get("values") or []
    yield from _check_one_of(f"{path}.operator", operator, _OPERATORS)
    name = codes.get("containerName")
    if name is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        yield invalid(f"{path}.containerName", name, detail)
    where = f"{path}.values"
    if not values:
        yield invalid(where, codes.get("values"), "at least one value is required")
    elif len(values) > _MOST_EXIT_CODES:
        yield too_many(where, len(values), _MOST_EXIT_CODES)
    seen: set[int] = set()
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid(f"{where}[{index}]", value, "must not be 0 for the In operator")
        if value in seen:
            yield duplicate(f"{where}[{index}]", value)
        seen.add(value)
    if values != sorted(values):
        yield invalid(where, values, "must be ordered")


def _check_patterns(patterns: Sequence[Document], path: str) -> Iterator[Cause]:
    if len(patterns) > _MOST_PATTERNS:
        yield too_many(path, len(patterns), _MOST_PATTERNS)
    for index, pattern in enumerate(patterns):
        kind = pattern.get("type", "")
        yield from each(f"{path}[{index}].type", kind, names.qualified_name(kind))
        yield from _check_one_of(f"{path}[{index}].status", pattern.get("status", ""), _STATUSES)


def _check_success(spec: Document, policy: Document, path: str) -> Iterator[Cause]:
    rules = policy.get("rules") or ()
    if not rules:
        detail = "at least one rules must be specified when the successPolicy is specified"
        yield required(f"{path}.rules", detail)
    if len(rules) > _MOST_RULES:
        yield too_many(f"{path}.rules", len(rules), _MOST_RULES)
    for index, rule in enumerate(rules):
        yield from _check_success_rule(rule, f"{path}.rules[{index}]", spec.get("completions") or 0)


def _check_success_rule(rule: Document, path: str, completions: int) -> Iterator[Cause]:
    count, indexes, total = rule.get("succeededCount"), rule.get("succeededIndexes"), 0
    if count is None and indexes is None:
        detail = "at least one of succeededCount or succeededIndexes must be specified"
        yield required(path, detail)
    if indexes is not None:
        where = f"{path}.succeededIndexes"
        if len(indexes.encode()) > _MOST_INDEXES_BYTES:
            yield too_long(where, _MOST_INDEXES_BYTES)
        try:
            total = job_indexes.count(indexes, completions)
        except ValueError as error:
            yield invalid(where, indexes, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    where = f"{path}.succeededCount"
    yield from not_negative(where, count)
    if count > completions:
        detail = (
            f"must be less than or equal to {completions} (the number of specified completions)"
        )
        yield invalid(where, count, detail)
    if indexes is not None and count > total:
        which = "the number of indexes in the specified succeededIndexes field"
        yield invalid(where, count, f"must be less than or equal to {total} ({which})")
