"""Tolerations as sets: which covers which, and how two lists become one (pkg/util/tolerations).

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steersman.model.kind import Document


def merge(first: Sequence[Document], second: Sequence[Document]) -> list[Document]:
    """Returns the tolerations of both without those that others cover; of equals the first."""
    whole = [*first, *second]
    merged: list[Document] = []
    for index, one in enumerate(whole):
        if any(covers(other, one) for other in merged):
            continue
        if any(other != one and covers(other, one) for other in whole[index + 1 :]):
            continue
        merged.append(one)
    return merged


def covers(wide: Document, narrow: Document) -> bool:
    """Says whether one tolerates all that the other does."""
    if wide == narrow:
        return True
    operator = wide.get("operator", "")
    key, effect = wide.get("key", ""), wide.get("effect", "")
    if narrow.get("key", "") != key and (key or operator != "Exists"):
        return False
    if narrow.get("effect", "") != effect and effect:
        return False
    most, wanted = wide.get("tolerationSeconds"), narrow.get("tolerationSeconds")
    if effect == "NoExecute" and most is not None and (wanted is None or wanted > most):
        return False
    if operator in ("", "Equal"):
        equal = narrow.get("value", "") == wide.get("value", "")
        return bool(narrow.get("operator", "") == "Equal" and equal)
    return bool(operator == "Exists")


def all_covered(tolerations: Iterable[Document], allowed: Sequence[Document]) -> bool:
    """Says whether each toleration is covered by one that is allowed; all are where none is
    named."""
    return not allowed or all(any(covers(one, each) for one in allowed) for each in tolerations)
