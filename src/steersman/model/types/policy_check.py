"""What is checked of ValidatingAdmissionPolicies, MutatingAdmissionPolicies and their bindings
(pkg/apis/admissionregistration/validation). Expressions are not compiled here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    forbidden,
    invalid,
    not_supported,
    one_of,
    required,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.admission_check import (
    FAILURE_POLICIES,
    OPERATIONS,
    check_choice,
    check_conditions,
    check_match,
)
from steersman.model.types.selector import check_selector

_MOST_ANNOTATIONS: Final = 20
_MOST_ANNOTATION_BYTES: Final = 5 * 1024
_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ACTIONS: Final = ("Audit", "Deny", "Warn")
_MISSING_ACTIONS: Final = ("Deny", "Allow")
_REINVOCATIONS: Final = ("IfNeeded", "Never")
MUTATING_OPERATIONS: Final = tuple(one for one in OPERATIONS if one != "DELETE")
# type of a patch -> the field that holds its expression
_PATCHES: Final[Mapping[str, str]] = {
    "ApplyConfiguration": "applyConfiguration",
    "JSONPatch": "jsonPatch",
}
_IDENTIFIER: Final = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
_WORDS: Final = names.CEL_RESERVED | names.CEL_KEYWORDS
_ONE_OF_BOTH: Final = "validations or auditAnnotations must contain at least one item"
_EXCLUSIVE: Final = "name and selector are mutually exclusive"
_TWICE: Final = (
    "must not contain both Deny and Warn (repeating the same validation failure information in "
    "the API response and headers serves no purpose)"
)


def check_validating(spec: Document, name: str, old: Document | None) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a ValidatingAdmissionPolicy of a name."""
    yield from _check_beginning(spec, old)
    validations, annotations = (
        spec.get(field) or () for field in ("validations", "auditAnnotations")
    )
    if not validations and not annotations:
        for field in ("validations", "auditAnnotations"):
            yield required(f"spec.{field}", _ONE_OF_BOTH)
    for index, one in enumerate(validations):
        yield from _check_validation(one, f"spec.validations[{index}]")
    if len(annotations) > _MOST_ANNOTATIONS:
        detail = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        yield invalid("spec.auditAnnotations", _internal(annotations), detail)
    seen: set[str] = set()
    for index, one in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{index}]", one.get("key", "")
        yield from _check_annotation(one, name, path)
        if key in seen:
            yield duplicate(f"{path}.key", key)
        seen.add(key)


def _internal(annotations: Sequence[Document]) -> list[Document]:
    return [
        {"Key": one.get("key", ""), "ValueExpression": one.get("valueExpression", "")}
        for one in annotations
    ]


def check_mutating(spec: Document, old: Document | None) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a MutatingAdmissionPolicy."""
    yield from _check_beginning(spec, old, MUTATING_OPERATIONS)
    mutations = spec.get("mutations") or ()
    if not mutations:
        yield required("spec.mutations", "mutations must contain at least one item")
    for index, one in enumerate(mutations):
        yield from _check_mutation(one, f"spec.mutations[{index}]")
    policy = spec.get("reinvocationPolicy", "")
    yield from one_of("spec.reinvocationPolicy", policy, _REINVOCATIONS)


def _check_beginning(
    spec: Document, old: Document | None, operations: Sequence[str] = ()
) -> Iterator[Cause]:
    if spec.get("failurePolicy") is None:
        yield required("spec.failurePolicy")
    yield from check_choice(spec, "failurePolicy", FAILURE_POLICIES, "spec")
    if (kind := spec.get("paramKind")) is not None:
        yield from _check_param_kind(kind, "spec.paramKind")
    if (match := spec.get("matchConstraints")) is None:
        yield required("spec.matchConstraints")
    else:
        yield from check_match(match, "spec.matchConstraints")
        if not match.get("resourceRules"):
            yield required("spec.matchConstraints.resourceRules")
        if operations:
            yield from _check_operations(match, operations, "spec.matchConstraints")
    kept = ("paramKind", "matchConditions")
    if old is None or any(spec.get(name) != old.get(name) for name in kept):
        yield from check_conditions(spec.get("matchConditions") or (), "spec.matchConditions")
    for index, variable in enumerate(spec.get("variables") or ()):
        yield from _check_variable(variable, f"spec.variables[{index}]")


def _check_operations(match: Document, supported: Sequence[str], path: str) -> Iterator[Cause]:
    for rule in match.get("resourceRules") or ():
        for operation in rule.get("operations") or ():
            if operation not in supported:
                yield not_supported(f"{path}.resourceRules.operations", operation, supported)


def _check_param_kind(param: Document, path: str) -> Iterator[Cause]:
    where, given = f"{path}.apiVersion", param.get("apiVersion", "")
    group, _slash, version = given.rpartition("/")
    if not given:
        yield required(where)
    elif given.count("/") > 1:
        yield invalid(where, given, f"unexpected GroupVersion string: {given}")
    else:
        if group and (problems := names.dns1123_subdomain(group)):
            yield invalid(where, group, ",".join(problems))
        if not version:
            yield invalid(where, given, "version must be specified")
        elif problems := names.dns1035_label(version):
            yield invalid(where, version, ",".join(problems))
    kind = param.get("kind", "")
    if not kind:
        yield required(f"{path}.kind")
    elif problems := names.dns1035_label(kind.lower()):
        detail = f"may have mixed case, but should otherwise match: {','.join(problems)}"
        yield invalid(f"{path}.kind", kind, detail)


def _check_variable(variable: Document, path: str) -> Iterator[Cause]:
    name = variable.get("name", "")
    if not name.strip():
        yield required(f"{path}.name", "name is not specified")
    elif not _IDENTIFIER.fullmatch(name) or name in _WORDS:
        yield invalid(f"{path}.name", name, "must be a valid CEL identifier")
    if not variable.get("expression", "").strip():
        yield required(f"{path}.expression", "expression is not specified")


def _check_validation(one: Document, path: str) -> Iterator[Cause]:
    if not one.get("expression", "").strip():
        yield required(f"{path}.expression", "expression is not specified")
    expression, message = one.get("messageExpression", ""), one.get("message", "")
    if expression and not expression.strip():
        yield invalid(f"{path}.messageExpression", expression, "must be non-empty if specified")
    if message and not message.strip():
        yield invalid(f"{path}.message", message, "must be non-empty if specified")
    elif "\n" in message.strip() or "\r" in message.strip():
        yield invalid(f"{path}.message", message, "must not contain line breaks")
    yield from check_choice(one, "reason", _REASONS, path)


def _check_annotation(one: Document, name: str, path: str) -> Iterator[Cause]:
    key, expression = one.get("key", ""), one.get("valueExpression", "").strip()
    if name:
        yield from each(f"{path}.key", f"{name}/{key}", names.qualified_name(f"{name}/{key}"))
    else:
        yield invalid(f"{path}.key", key, "requires metadata.name be non-empty")
    if not expression:
        yield required(f"{path}.valueExpression", "valueExpression is not specified")
    elif len(expression.encode()) > _MOST_ANNOTATION_BYTES:
        detail = f"must not exceed {_MOST_ANNOTATION_BYTES} bytes in length"
        yield required(f"{path}.valueExpression", detail)


def _check_mutation(one: Document, path: str) -> Iterator[Cause]:
    kind = one.get("patchType", "")
    yield from one_of(f"{path}.patchType", kind, tuple(_PATCHES))
    for other, field in _PATCHES.items() if kind in _PATCHES else ():
        found, where = one.get(field), f"{path}.{field}"
        if other != kind:
            if found is not None:
                detail = f"must not be specified when patchType is {kind}"
                yield invalid(where, f"{{{field}}}", detail)
        elif found is None:
            yield required(where, f"must be specified when patchType is {kind}")
        elif not found.get("expression", "").strip():
            yield required(f"{where}.expression")


def check_binding(spec: Document) -> Iterator[Cause]:
    """Yields what is wrong with what the bindings of both kinds of policies have in common."""
    name = spec.get("policyName", "")
    if not name:
        yield required("spec.policyName")
    else:
        yield from each("spec.policyName", name, names.dns1123_subdomain(name))
    if (reference := spec.get("paramRef")) is not None:
        yield from _check_param_ref(reference, "spec.paramRef")
    if (match := spec.get("matchResources")) is not None:
        yield from check_match(match, "spec.matchResources")


def check_mutating_match(spec: Document) -> Iterator[Cause]:
    """Yields which operations a binding names that cannot be mutated."""
    match = spec.get("matchResources") or {}
    yield from _check_operations(match, MUTATING_OPERATIONS, "spec.matchResources")


def _check_param_ref(reference: Document, path: str) -> Iterator[Cause]:
    name, selector = reference.get("name", ""), reference.get("selector")
    if name:
        yield from each(f"{path}.name", name, names.path_segment(name))
        if selector is not None:
            yield forbidden(f"{path}.name", _EXCLUSIVE)
    if selector is not None:
        yield from check_selector(selector, f"{path}.selector")
        if name:
            yield forbidden(f"{path}.selector", _EXCLUSIVE)
    if not name and selector is None:
        yield required(path, "one of name or selector must be specified")
    action = reference.get("parameterNotFoundAction")
    yield from one_of(f"{path}.parameterNotFoundAction", action, _MISSING_ACTIONS)


def check_actions(actions: list[str], path: str) -> Iterator[Cause]:
    """Yields what is wrong with what a binding does about what fails."""
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield not_supported(f"{path}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            yield duplicate(f"{path}[{index}]", action)
    if "Deny" in actions and "Warn" in actions:
        yield invalid(path, actions, _TWICE)
    if not actions:
        yield required(path)  # as upstream's type declares it


def check_warnings(checking: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the warnings about a policy's types."""
    for index, warning in enumerate(checking.get("expressionWarnings") or ()):
        where = f"{path}.expressionWarnings[{index}]"
        if not warning.get("warning"):
            yield required(f"{where}.warning")
        if not warning.get("fieldRef", "").strip():
            yield required(f"{where}.fieldRef")
