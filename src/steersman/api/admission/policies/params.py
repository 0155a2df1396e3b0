"""The parameters of a policy's binding: objects of one kind, found by name or by labels.

Follows apiserver's policy/generic/policy_dispatcher.go (CollectParams).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.api import keys
from steersman.api.cache import Cache, Entry
from steersman.api.custom import conversion
from steersman.api.form import Form
from steersman.model import selectors
from steersman.model.builtin import Registry
from steersman.model.kind import Document, Kind


class Misconfigured(Exception):
    """A policy or its binding cannot be used as it is; its failure policy decides."""


class Params:
    """Finds parameters in the cache."""

    def __init__(self, cache: Cache, kinds: Registry) -> None:
        self._cache = cache
        self._kinds = kinds

    def kind(self, wanted: Mapping[str, Any]) -> Form:
        """Returns the form of a `paramKind`; raises Misconfigured where it is not served."""
        given, name = wanted.get("apiVersion") or "", wanted.get("kind") or ""
        group, _, version = given.rpartition("/")
        kind = self._kinds.by_kind(group, version, name)
        if kind is None:
            told = f"'{given}, Kind={name}'"
            raise Misconfigured(f"failed to find resource referenced by paramKind: {told}")
        return Form(kind, version)

    async def collect(
        self, form: Form | None, reference: Mapping[str, Any] | None, namespace: str
    ) -> Sequence[Document | None]:
        """Returns the parameters of a binding, one None where it has none; raises Misconfigured."""
        if form is None or reference is None:
            return (None,)
        place = _place(form.kind, reference, namespace)
        table = self._cache.table(keys.table_of(form.kind))
        found: list[Entry] = []
        if name := reference.get("name"):
            entry = table.get(place, name)
            found = [entry] if entry is not None else []
        elif (selector := reference.get("selector")) is not None:
            wanted = selectors.of_document(selector)
            found = [entry for entry in table.ordered(place) if wanted(entry.labels)]
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise Misconfigured(
                "no params found for policy binding with `Deny` parameterNotFoundAction"
            )
        await conversion.ready(form, found)
        return [form.document(entry) for entry in found]


def _place(kind: Kind, reference: Mapping[str, Any], namespace: str) -> str:
    """Returns the namespace of parameters; raises Misconfigured."""
    wanted: str = reference.get("namespace") or ""
    if not kind.namespaced:
        if wanted:
            raise Misconfigured(
                "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
            )
        return ""
    if not wanted and not namespace:
        raise Misconfigured(
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        )
    return wanted or namespace
