"""Checks that the expressions of webhooks and policies compile and give what is wanted of them.

Follows pkg/apis/admissionregistration/validation; what was there before an update may stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from steersman.api.admission.asking.composition import Composition
from steersman.api.admission.asking.expressions import compile_expression
from steersman.api.admission.asking.variables import declared
from steersman.api.admission.policies.mutator import mutations
from steersman.cel.environment import Environment
from steersman.cel.types import BOOL, NULL, STRING, Type
from steersman.model import causes
from steersman.model.errors import Cause
from steersman.model.kind import Document

Raw = Mapping[str, Any]


def check_expression(
    environment: Environment, text: Any, path: str, *results: Type
) -> Iterator[Cause]:
    """Yields what is wrong with an expression; that one is absent is for others to say."""
    if not isinstance(text, str) or not text.strip():
        return
    found = compile_expression(environment, text, *results)
    if found.wrong:
        yield causes.invalid(path, text, found.wrong)


def _check_conditions(raw: Sequence[Raw], path: str, params: bool) -> Iterator[Cause]:
    environment = Environment(declared(params=params))
    for index, one in enumerate(raw):
        text = (one.get("expression") or "").strip()
        yield from check_expression(environment, text, f"{path}[{index}].expression", BOOL)


def check_webhooks(document: Document) -> Iterator[Cause]:
    """Yields what is wrong with the expressions of a configuration of webhooks."""
    for index, hook in enumerate(document.get("webhooks") or ()):
        path = f"webhooks[{index}].matchConditions"
        yield from _check_conditions(hook.get("matchConditions") or (), path, False)


def check_beginning(spec: Document, composition: Composition) -> Iterator[Cause]:
    """Yields what is wrong with what both kinds of policies have: conditions and variables."""
    conditions = spec.get("matchConditions") or ()
    params = spec.get("paramKind") is not None
    yield from _check_conditions(conditions, "spec.matchConditions", params)
    for index, one in enumerate(spec.get("variables") or ()):
        found = composition.expressions.get(one.get("name") or "")
        if found is not None and found.wrong and found.text.strip():
            path = f"spec.variables[{index}].expression"
            yield causes.invalid(path, found.text, found.wrong)


def check_validating(document: Document) -> Iterator[Cause]:
    """Yields what is wrong with the expressions of a ValidatingAdmissionPolicy."""
    spec = document.get("spec") or {}
    params = spec.get("paramKind") is not None
    composition = Composition(spec.get("variables") or (), params=params)
    yield from check_beginning(spec, composition)
    whole, undecided = composition.environment, composition.undecided
    for index, one in enumerate(spec.get("validations") or ()):
        path = f"spec.validations[{index}]"
        yield from check_expression(whole, one.get("expression"), f"{path}.expression", BOOL)
        text = one.get("messageExpression")
        yield from check_expression(undecided, text, f"{path}.messageExpression", STRING)
    for index, one in enumerate(spec.get("auditAnnotations") or ()):
        path = f"spec.auditAnnotations[{index}].valueExpression"
        yield from check_expression(whole, one.get("valueExpression"), path, STRING, NULL)


def check_mutating(document: Document) -> Iterator[Cause]:
    """Yields what is wrong with the expressions of a MutatingAdmissionPolicy."""
    spec = document.get("spec") or {}
    params = spec.get("paramKind") is not None
    composition = Composition(spec.get("variables") or (), params=params)
    yield from check_beginning(spec, composition)
    for index, (_, field, found) in enumerate(mutations(spec, composition)):
        if found.wrong:
            path = f"spec.mutations[{index}].{field}.expression"
            yield causes.invalid(path, found.text, found.wrong)


CHECKS: Final[Mapping[str, Callable[[Document], Iterator[Cause]]]] = {
    "ValidatingWebhookConfiguration": check_webhooks,
    "MutatingWebhookConfiguration": check_webhooks,
    "ValidatingAdmissionPolicy": check_validating,
    "MutatingAdmissionPolicy": check_mutating,
}
