"""The seam for validation rules (x-kubernetes-validations): what compiled rules fulfil.

The model knows no expressions; whoever serves custom resources gives `Shape` a `Compile`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from steersman.model.errors import Cause

Raw = Mapping[str, Any]

RULES: Final = "x-kubernetes-validations"


class Rule(Protocol):
    """One compiled rule of one place in a schema."""

    def check(self, new: Any, old: Any) -> Iterable[Cause]:
        """Yields what is wrong with an object as a whole, in the place of an old one or of none.

        Not asked where the schema itself was broken (`blocks`).
        """


# Returns the rules of a schema, those of its root and of all below
Compile = Callable[[Raw], tuple[Rule, ...]]

# After these a rule may meet what its types exclude (hasBlockingErr)
_BLOCKING: Final = (
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
)


def has_rules(raw: Raw) -> bool:
    """Says whether a schema has rules, at its root or anywhere below."""
    if raw.get(RULES) or any(map(has_rules, raw.get("allOf") or ())):
        return True
    below = [*(raw.get("properties") or {}).values(), raw.get("items"),
             raw.get("additionalProperties")]  # fmt: skip
    return any(has_rules(one) for one in below if isinstance(one, Mapping))


def none(_raw: Raw) -> tuple[Rule, ...]:
    """Compiles no rules: the shape stands alone, for documents that were checked before."""
    return ()


def blocks(causes: Iterable[Cause]) -> bool:
    """Says whether rules are not to be asked after these causes."""
    return any(cause.reason in _BLOCKING for cause in causes)
