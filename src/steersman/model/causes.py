"""The reasons why an object is invalid, in upstream's words (apimachinery util/validation/field).

A check yields these; a path is a text such as `spec.containers[0].name`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from steersman.model.errors import Cause
from steersman.model.gotext import quote, shown

IMMUTABLE: Final = "field is immutable"
NOT_NEGATIVE: Final = "must be greater than or equal to 0"


def required(path: str, detail: str = "") -> Cause:
    """Says that a value must be given."""
    return Cause("FieldValueRequired", _with("Required value", detail), path)


def invalid(path: str, value: Any, detail: str) -> Cause:
    """Says that a value is malformed."""
    return Cause("FieldValueInvalid", f"Invalid value: {_value(value)}: {detail}", path)


def unshown(path: str, detail: str) -> Cause:
    """Says that a value is malformed without showing it (field.OmitValueType)."""
    return Cause("FieldValueInvalid", f"Invalid value: {detail}", path)


def duplicate(path: str, value: Any, detail: str = "") -> Cause:
    """Says that a value must be unique and is not."""
    return Cause("FieldValueDuplicate", _with(f"Duplicate value: {_value(value)}", detail), path)


def not_supported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    """Says which values a field can have."""
    listed = ", ".join(quote(one) for one in supported)
    message = f"Unsupported value: {_value(value)}: supported values: {listed}"
    return Cause("FieldValueNotSupported", message, path)


def not_found(path: str, value: Any, detail: str = "") -> Cause:
    """Says that what a field names is not there."""
    return Cause("FieldValueNotFound", _with(f"Not found: {_value(value)}", detail), path)


def forbidden(path: str, detail: str) -> Cause:
    """Says that a value is not permitted here."""
    return Cause("FieldValueForbidden", _with("Forbidden", detail), path)


def too_long(path: str, most_bytes: int) -> Cause:
    """Says that a value has too many bytes."""
    message = f"Too long: may not be more than {most_bytes} bytes"
    return Cause("FieldValueTooLong", message, path)


def too_many_characters(path: str, most: int) -> Cause:
    """Says that a value has too many characters, as what a type declares counts them."""
    message = f"Too long: may not be more than {most} characters"
    return Cause("FieldValueTooLong", message, path)


def too_many(path: str, count: int, most: int) -> Cause:
    """Says that a list has too many items."""
    items = "item" if most == 1 else "items"
    message = f"Too many: {count}: must have at most {most} {items}"
    return Cause("FieldValueTooMany", message, path)


def each(path: str, value: Any, problems: Sequence[str]) -> Sequence[Cause]:
    """Returns a cause for each problem that a function of `names` found with a value."""
    return [invalid(path, value, problem) for problem in problems] if problems else ()


def not_negative(path: str, value: int | None) -> Sequence[Cause]:
    """Checks that a number is zero or more; absent counts as zero."""
    return (invalid(path, value, NOT_NEGATIVE),) if value is not None and value < 0 else ()


def one_of(path: str, value: str | None, supported: Collection[str]) -> Sequence[Cause]:
    """Checks that a value is given and one of the supported."""
    if value in supported:
        return ()
    return (not_supported(path, value, supported) if value else required(path),)


def immutable(path: str, new: Any, old: Any) -> Sequence[Cause]:
    """Checks that a value is as it was; absent and empty are the same."""
    return (invalid(path, new, IMMUTABLE),) if new != old and (new or old) else ()


def declared_immutable(path: str, new: Any, old: Any) -> Sequence[Cause]:
    """Checks the same where upstream's type declares it, and so shows no value."""
    return (invalid(path, None, IMMUTABLE),) if new != old and (new or old) else ()


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def _value(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else shown(value)
