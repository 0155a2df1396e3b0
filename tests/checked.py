"""What a kind's check says of a document that came in over the API, as (field, message) pairs."""

from __future__ import annotations

import copy
from typing import Any

from steersman.model import builtin, decode
from steersman.model.kind import Kind

Causes = list[tuple[str, str]]
NEGATIVE = "Invalid value: -1: must be greater than or equal to 0"
IMMUTABLE = "field is immutable"


def kind_of(group: str, plural: str) -> Kind:
    """Returns a kind in its preferred version."""
    kind = builtin.registry().of((group, plural))
    assert kind is not None
    return kind


def admitted(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    """Returns a document decoded and with its defaults, named x where it has no name."""
    metadata = {"name": "x", "namespace": "n"} if kind.namespaced else {"name": "x"}
    whole = {**copy.deepcopy(document), "metadata": {**metadata, **document.get("metadata", {})}}
    found = decode.admit(kind.versions[0].definition, whole, kind.name, "v1")
    assert found.unknown == ()
    return found.document


def causes(
    group: str,
    plural: str,
    new: dict[str, Any],
    old: dict[str, Any] | None = None,
    subresource: str = "",
) -> Causes:
    """Returns what is wrong with a new or changed object."""
    kind = kind_of(group, plural)
    before = None if old is None else admitted(kind, old)
    found = kind.check(admitted(kind, new), before, subresource)
    return [(cause.field, cause.message) for cause in found]
