"""The options that stand in a request's query, checked as upstream checks them.

Pure. Wrong options are Invalid objects of their own (CreateOptions, ListOptions, ...), after
apimachinery's meta/v1/validation and meta/internalversion/validation.
"""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model import errors
from steersman.model.errors import BadRequest, Cause
from steersman.model.gotext import quote
from steersman.wire.message import Request

FIELD_VALIDATION = ("", "Ignore", "Strict", "Warn")
# metav1 FieldManagerMaxLength
MANAGER_LENGTH = 128
# More than an int64 has, few enough to be read
MOST_DIGITS = 1000
_NOT_OLDER = "NotOlderThan"
_MATCH = "resourceVersionMatch"


def whole(text: str) -> int:
    """Returns a number of the query, 0 for an empty text; raises BadRequest in Go's words
    (conversion's Convert_Slice_string_To_int64)."""
    if not text:
        return 0
    digits = text[text[:1] in "+-" :]
    if not (digits.isascii() and digits.isdigit()):
        raise BadRequest(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    if len(digits) > MOST_DIGITS or not -(1 << 63) <= int(text) < 1 << 63:
        raise BadRequest(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return int(text)


def unsigned(text: str) -> int:
    """Returns a number without a sign; raises ValueError in Go's words (strconv.ParseUint)."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    if len(text) > MOST_DIGITS or int(text) >= 1 << 64:
        raise ValueError(f"strconv.ParseUint: parsing {quote(text)}: value out of range")
    return int(text)


def check_write(request: Request, kind: str, *, apply: bool = False) -> None:
    """Refuses options of a write that mean nothing; `kind` is what they are called."""
    if not request.query and not apply:
        return
    causes = list(_force(request, apply)) if kind == "PatchOptions" else []
    causes += _manager(request.param("fieldManager"))
    causes += check_dry_run(request.params.get("dryRun", ()))
    wanted = request.param("fieldValidation")
    if wanted not in FIELD_VALIDATION:
        causes.append(unsupported("fieldValidation", wanted, FIELD_VALIDATION))
    refuse(kind, causes)


def check_list(request: Request) -> None:
    """Refuses list options that cannot be read, and combinations that mean nothing."""
    whole(request.param("timeoutSeconds"))
    match, revision = request.param(_MATCH), request.param("resourceVersion")
    causes = []
    if match and not revision:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        causes.append(forbidden(_MATCH, why))
    if match and request.param("continue"):
        causes.append(_forbidden_continue())
    if match and match not in ("Exact", _NOT_OLDER):
        causes.append(unsupported(_MATCH, match, ("Exact", _NOT_OLDER, "")))
    if match == "Exact" and revision == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        causes.append(forbidden(_MATCH, why))
    if request.param("sendInitialEvents"):
        causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    refuse("ListOptions", causes)


def check_watch(request: Request) -> None:
    """Refuses combinations of watch options that mean nothing."""
    match, initial = request.param(_MATCH), request.param("sendInitialEvents")
    causes = []
    if initial and match != _NOT_OLDER:
        why = f"sendInitialEvents requires setting resourceVersionMatch to {_NOT_OLDER}"
        causes.append(forbidden(_MATCH, why))
    if match and not initial:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        causes.append(forbidden(_MATCH, why))
    if match and match != _NOT_OLDER:
        causes.append(unsupported(_MATCH, match, (_NOT_OLDER,)))
    if match and request.param("continue"):
        causes.append(_forbidden_continue())
    refuse("ListOptions", causes)


def check_dry_run(values: object) -> list[Cause]:
    """Returns what is wrong with the values of dryRun."""
    given = list(values) if isinstance(values, (list, tuple)) else []
    if all(value == "All" for value in given):
        return []
    shown = "[" + ",".join(quote(str(value)) for value in given) + "]"
    text = f'Unsupported value: {shown}: supported values: "All"'
    return [_cause("NotSupported", "dryRun", text)]


def unsupported(field: str, value: str, supported: tuple[str, ...]) -> Cause:
    """Says that a value is none of those supported (field.NotSupported)."""
    listed = ", ".join(map(quote, supported))
    text = f"Unsupported value: {quote(value)}: supported values: {listed}"
    return _cause("NotSupported", field, text)


def forbidden(field: str, why: str) -> Cause:
    """Says that a field may not be given here (field.Forbidden)."""
    return _cause("Forbidden", field, f"Forbidden: {why}")


def refuse(kind: str, causes: list[Cause]) -> None:
    """Raises Invalid where anything is wrong."""
    if causes:
        raise errors.invalid("meta.k8s.io", kind, "", causes)


def _cause(reason: str, field: str, text: str) -> Cause:
    return Cause(f"FieldValue{reason}", text, field)


def _forbidden_continue() -> Cause:
    return forbidden(_MATCH, "resourceVersionMatch is forbidden when continue is provided")


def _force(request: Request, apply: bool) -> Iterator[Cause]:
    if apply and not request.param("fieldManager"):
        yield _cause("Required", "fieldManager", "Required value: is required for apply patch")
    if not apply and "force" in request.params:
        yield forbidden("force", "may not be specified for non-apply patch")


def _manager(name: str) -> Iterator[Cause]:
    if len(name.encode()) > MANAGER_LENGTH:
        text = f"Too long: may not be more than {MANAGER_LENGTH} bytes"
        yield _cause("TooLong", "fieldManager", text)
    if name.isprintable():
        return
    at = 0
    for sign in name:
        if not sign.isprintable():
            why = f"invalid character U+{ord(sign):04X} (at position {at})"
            yield _cause("Invalid", "fieldManager", f"Invalid value: {quote(name)}: {why}")
        at += len(sign.encode())
