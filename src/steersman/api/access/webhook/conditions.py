"""Conditions in CEL under which a webhook is asked at all.

Follows apiserver's pkg/authorization/cel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from steersman.cel.environment import Environment, Program, WrongType
from steersman.cel.errors import BudgetExceeded, CompileError, EvaluationError
from steersman.cel.types import BOOL, STRING, list_of, map_of, object_of
from steersman.model.kind import Document

REQUEST: Final = "request"


_TEXTS: Final = list_of(STRING)
_REQUIREMENTS: Final = list_of(
    object_of("kubernetes.SelectorRequirement", key=STRING, operator=STRING, values=_TEXTS)
)
_RESOURCE: Final = object_of(
    "kubernetes.ResourceAttributes",
    namespace=STRING,
    verb=STRING,
    group=STRING,
    version=STRING,
    resource=STRING,
    subresource=STRING,
    name=STRING,
    fieldSelector=object_of(
        "kubernetes.FieldSelectorAttributes", rawSelector=STRING, requirements=_REQUIREMENTS
    ),
    labelSelector=object_of(
        "kubernetes.LabelSelectorAttributes", rawSelector=STRING, requirements=_REQUIREMENTS
    ),
)
_TYPE: Final = object_of(
    "kubernetes.SubjectAccessReviewSpec",
    resourceAttributes=_RESOURCE,
    nonResourceAttributes=object_of("kubernetes.NonResourceAttributes", path=STRING, verb=STRING),
    user=STRING,
    groups=_TEXTS,
    extra=map_of(STRING, _TEXTS),
    uid=STRING,
)
_TEXT_FIELDS: Final = (
    "namespace", "verb", "group", "version", "resource", "subresource", "name",
)  # fmt: skip


class Unclear(Exception):
    """No condition is false, and one has no value; the text says why."""


class Conditions:
    """Compiled conditions; raises ValueError where one is none."""

    def __init__(self, expressions: Sequence[str]) -> None:
        environment = Environment({REQUEST: _TYPE})
        self._programs = [_compiled(environment, text) for text in expressions]

    def hold(self, spec: Document) -> bool:
        """Says whether all hold of the spec of a review; raises Unclear."""
        if not self._programs:
            return True
        values = {REQUEST: whole(spec)}
        unclear = []
        for program in self._programs:
            try:
                if program.evaluate(values) is not True:
                    return False
            except (EvaluationError, BudgetExceeded) as error:
                said = f"expression '{program.text}' resulted in error: {error}"
                unclear.append(f"cel evaluation error: {said}")
        if unclear:
            raise Unclear(unclear[0] if len(unclear) == 1 else f"[{', '.join(unclear)}]")
        return True


def whole(spec: Document) -> Document:
    """Returns a spec with all its texts, those that are empty too."""
    found = {
        "user": spec.get("user", ""),
        "groups": spec.get("groups", []),
        "uid": spec.get("uid", ""),
        "extra": spec.get("extra", {}),
    }
    if (resource := spec.get("resourceAttributes")) is not None:
        texts = {name: resource.get(name, "") for name in _TEXT_FIELDS}
        found["resourceAttributes"] = {**texts, **resource}
    if (other := spec.get("nonResourceAttributes")) is not None:
        found["nonResourceAttributes"] = {"path": "", "verb": "", **other}
    return found


def _compiled(environment: Environment, text: str) -> Program:
    try:
        return environment.compile(text, BOOL)
    except CompileError as error:
        raise ValueError(f"compilation failed: {error}") from None
    except WrongType as error:
        raise ValueError(f"must evaluate to bool but got {error.found}") from None
