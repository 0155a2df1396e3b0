"""LabelSelector: its typed form and its check. Matching lives in `model.selectors`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from steersman.model import names, selectors
from steersman.model.causes import each, forbidden, invalid, required
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.selectors import Selector, SelectorError
from steersman.model.types.metadata import check_labels
from steersman.model.view import View

_CACHED: Final = 1024  # selectors of one cluster: each change to an owner asks for its own again
_CACHED_LABELS: Final = 16  # few have more; it bounds what is kept


class Requirement(View, frozen=True):
    """One expression of a label selector or a node selector; operators In, NotIn, Exists,
    DoesNotExist, and Gt and Lt for nodes."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class LabelSelector(View, frozen=True):
    """metav1.LabelSelector; empty matches everything, None (where allowed) nothing."""

    match_labels: Mapping[str, str] = {}
    match_expressions: tuple[Requirement, ...] = ()


_NEEDS_VALUES = "must be specified when `operator` is 'In' or 'NotIn'"
_TAKES_NO_VALUES = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"


def check_selector(
    selector: Document | None,
    path: str,
    *,
    old: Document | None = None,
    check_values: bool = True,
) -> Iterator[Cause]:
    """Yields what is wrong with a label selector (ValidateLabelSelector). Without `check_values`,
    or where that from before an update, `old`, was not sound, the values of its expressions may be
    anything (AllowInvalidLabelValueInSelector)."""
    if selector is None:
        return
    strict = check_values and (old is None or not any(check_selector(old, path)))
    yield from check_labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        yield from check_requirement(expression, where, check_values=strict)


def check_requirement(
    expression: Document,
    path: str,
    *,
    numeric: bool = False,
    check_values: bool = True,
    of_labels: bool = True,
    known: bool = True,
) -> Iterator[Cause]:
    """Yields what is wrong with one expression; `numeric` allows Gt and Lt (nodes), `known` no
    operator but those here; without `of_labels` key and values may be anything."""
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", _NEEDS_VALUES)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield forbidden(f"{path}.values", _TAKES_NO_VALUES)
    elif numeric and operator in ("Gt", "Lt"):
        if len(values) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            yield required(f"{path}.values", detail)
    elif known:
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    if not of_labels:
        return
    key = expression.get("key", "")
    yield from each(f"{path}.key", key, names.qualified_name(key))
    for index, value in enumerate(values if check_values else ()):
        yield from each(f"{path}.values[{index}]", value, names.label_value(value))


def is_empty(selector: Document) -> bool:
    """Tells whether a selector selects everything."""
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


def selector_of(given: LabelSelector | None) -> Selector:
    """Returns what a view's selector selects; None selects nothing. Raises SelectorError."""
    if given is None:
        return selectors.nothing()
    if given.match_expressions or len(given.match_labels) > _CACHED_LABELS:
        return selectors.of_document(msgspec.to_builtins(given))
    return _of_labels(tuple(given.match_labels.items()))


@lru_cache(_CACHED)
def _of_labels(labels: tuple[tuple[str, str], ...]) -> Selector:
    return selectors.of_document({"matchLabels": dict(labels)})


def compiled(selector: Document | None) -> Selector | None:
    """Returns the selector of a document, None where it is malformed."""
    try:
        return selectors.of_document(selector)
    except SelectorError:
        return None
