"""Plugins by which a namespace decides about what is in it: whether it is there, is made, where its
pods run and what they tolerate."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Mapping
from functools import partial
from typing import Any, Final

import orjson

from steersman.api.access.awaiting import Awaiting, fetched
from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.plugins import tolerations
from steersman.api.admission.plugins.plain import (
    annotations_of,
    is_of,
    is_pod,
    refused,
    spec_of,
)
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.errors import Denied
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.model.types.resources import qos_class

NAMESPACES: Final = Resource("", "namespaces")
SELECTOR: Final = "scheduler.alpha.kubernetes.io/node-selector"
DEFAULT_TOLERATIONS: Final = "scheduler.alpha.kubernetes.io/defaultTolerations"
ALLOWED_TOLERATIONS: Final = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
EVERYWHERE: Final = "clusterDefaultNodeSelector"
_CONFLICT: Final = "pod node label selector conflicts with its namespace node label selector"
_NOT_LISTED: Final = "pod node label selector labels conflict with its namespace whitelist"
_NOT_TOLERATED: Final = (
    "pod tolerations (possibly merged with namespace default tolerations) conflict with its "
    "namespace whitelist"
)
_MEMORY_PRESSURE: Final = {
    "key": "node.kubernetes.io/memory-pressure",
    "operator": "Exists",
    "effect": "NoSchedule",
}


class _OfNamespaces(Plugin):
    """Knows the namespace of what is written."""

    def __init__(self, cache: Cache) -> None:
        self._namespaces = cache.table(NAMESPACES)

    def _annotations(self, change: Change) -> dict[str, Any]:
        """Returns the annotations of a namespace; raises NotFound."""
        entry = self._namespaces.get("", change.namespace)
        if entry is None:
            raise errors.not_found("", "namespaces", change.namespace)
        return annotations_of(entry.document())

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the namespace as it is."""
        entry = self._namespaces.get("", call.namespace)
        return entry.revision if entry else None


class NamespaceExists(_OfNamespaces):
    """Nothing is written in a namespace that is not there."""

    name = "NamespaceExists"

    def admit(self, change: Change) -> Document | None:
        """Refuses; changes nothing."""
        self.check(change)
        return None

    def check(self, change: Change) -> None:
        """Refuses what is in no namespace."""
        call = change.call
        if call.namespace and self._namespaces.get("", call.namespace) is None:
            raise errors.not_found("", "namespaces", call.namespace)


class NamespaceAutoProvision(_OfNamespaces):
    """A namespace is made when the first object comes into it. `create` makes one as the server."""

    name = "NamespaceAutoProvision"

    def __init__(self, cache: Cache, create: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        super().__init__(cache)
        self._create = create

    def admit(self, change: Change) -> Document | None:
        """Has the namespace made, and the write begin anew."""
        name = change.call.namespace
        if change.operation == "CREATE" and name and self._namespaces.get("", name) is None:
            if (why := fetched().get((self.name, name))) is not None:
                raise refused(change, why)
            raise Awaiting(partial(self._create, name))
        return None


def parse_labels(text: str) -> dict[str, str]:
    """Returns `a=b,c=d` as a map; raises ValueError (labels.ConvertSelectorToLabelsMap)."""
    found = {}
    for term in text.split(",") if text else ():
        key, equals, value = term.partition("=")
        if not equals or "=" in value:
            raise ValueError(f"invalid selector: {term}")
        found[key.strip()] = value.strip()
    return found


class PodNodeSelector(_OfNamespaces):
    """Pods run where their namespace says. `configured` has selectors by namespace, which bound
    what its pods may ask for, and one for namespaces that say nothing."""

    name = "PodNodeSelector"
    about = frozenset({"Pod"})

    def __init__(self, cache: Cache, configured: Mapping[str, str]) -> None:
        super().__init__(cache)
        self._listed = {name: parse_labels(text) for name, text in configured.items()}

    def admit(self, change: Change) -> Document | None:
        """Adds the namespace's selector."""
        if change.operation != "CREATE" or not is_pod(change):
            return None
        assert change.new is not None
        wanted, spec = self._wanted(change), spec_of(change.new)
        merged = {**wanted, **(spec.get("nodeSelector") or {})}
        moved = {**change.new, "spec": {**spec, "nodeSelector": merged}} if merged else change.new
        self._check(change, wanted, merged)
        return moved

    def check(self, change: Change) -> None:
        """Refuses a selector that the namespace does not allow."""
        if change.operation == "CREATE" and is_pod(change):
            own = spec_of(change.new).get("nodeSelector") or {}
            self._check(change, self._wanted(change), own)

    def _check(self, change: Change, wanted: Mapping[str, str], own: Mapping[str, str]) -> None:
        if any(own.get(key, value) != value for key, value in wanted.items()):
            raise refused(change, _CONFLICT)
        listed = self._listed.get(change.namespace)
        if listed and not own.items() <= listed.items():
            raise refused(change, _NOT_LISTED)

    def _wanted(self, change: Change) -> Mapping[str, str]:
        annotations = self._annotations(change)
        if SELECTOR not in annotations:
            return self._listed.get(EVERYWHERE, {})
        try:
            return parse_labels(annotations[SELECTOR])
        except ValueError as error:
            raise Denied(str(error), 500, "") from None


class PodTolerationRestriction(_OfNamespaces):
    """Pods tolerate what their namespace says. `configured` has `default` and `whitelist` for
    namespaces that say nothing."""

    name = "PodTolerationRestriction"
    about = frozenset({"Pod"})

    def __init__(self, cache: Cache, configured: Mapping[str, list[Document]]) -> None:
        super().__init__(cache)
        self._default = configured.get("default") or []
        self._allowed = configured.get("whitelist") or []

    def admit(self, change: Change) -> Document | None:
        """Adds the namespace's tolerations, and for who asked for memory one for its shortage."""
        if not is_pod(change):
            return None
        assert change.new is not None
        spec = spec_of(change.new)
        added: list[Document] = []
        if change.operation == "CREATE":
            found = _tolerations(self._annotations(change), DEFAULT_TOLERATIONS)
            added = list(self._default if found is None else found)
        if qos_class(spec) != "BestEffort":
            added.append(_MEMORY_PRESSURE)
        if not added:
            return None
        merged = tolerations.merge(spec.get("tolerations") or [], added)
        moved = {**change.new, "spec": {**spec, "tolerations": merged}}
        self._check(change, merged)
        return moved

    def check(self, change: Change) -> None:
        """Refuses tolerations that the namespace does not allow."""
        if is_pod(change) and change.operation in ("CREATE", "UPDATE"):
            self._check(change, spec_of(change.new).get("tolerations") or [])

    def _check(self, change: Change, own: list[Document]) -> None:
        found = _tolerations(self._annotations(change), ALLOWED_TOLERATIONS)
        allowed = self._allowed if found is None else found
        if not tolerations.all_covered(own, allowed):
            raise Denied(_NOT_TOLERATED, 500, "")

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the namespace of a pod."""
        return super().rests_on(call, meta) if is_of(call, "", "Pod") else ()


def _tolerations(annotations: dict[str, Any], key: str) -> list[Document] | None:
    """Returns what an annotation says, None where it is not there; raises Denied."""
    text = annotations.get(key)
    if text is None:
        return None
    try:
        found = orjson.loads(text) if text else []
    except orjson.JSONDecodeError as error:
        raise Denied(str(error), 500, "") from None
    return found if isinstance(found, list) else []
