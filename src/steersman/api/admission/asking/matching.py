"""Which requests a webhook or a policy is about: rules, match policy, selectors.

What depends on the resource and the operation alone is told apart from what depends on the object,
so that it is decided once. Follows apiserver's webhook/predicates, webhook/generic and
policy/matching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from steersman.api.admission.asking.versions import equivalents
from steersman.api.admission.chain import Change
from steersman.model import errors, selectors
from steersman.model.builtin import Registry
from steersman.model.kind import Document, Kind, Version
from steersman.model.ref import Ref, Resource
from steersman.model.selectors import Selector

NAMESPACES: Final = Resource("", "namespaces")

Find = Callable[[Ref], Document | None]


class Asked(NamedTuple):
    """What of a request its resource and its operation say."""

    operation: str
    kind: Kind
    version: Version
    subresource: str

    def covered(self, rule: Mapping[str, Any]) -> bool:
        """Says whether a rule covers the request."""
        return (
            self._in_scope(rule.get("scope") or "*")
            and _has(rule.get("operations"), self.operation)
            and _has(rule.get("apiGroups"), self.kind.group)
            and _has(rule.get("apiVersions"), self.version.name)
            and any(map(self._is_resource, rule.get("resources") or ()))
        )

    def _in_scope(self, scope: str) -> bool:
        if scope == "*":
            return True
        return self.kind.namespaced is (scope == "Namespaced")

    def _is_resource(self, named: str) -> bool:
        plural, _, subresource = named.partition("/")
        return plural in ("*", self.kind.plural) and subresource in ("*", self.subresource)


def _has(listed: Iterable[str] | None, wanted: str) -> bool:
    found = listed or ()
    return "*" in found or wanted in found


class Target(NamedTuple):
    """A version in which a request is covered, for objects of some names where any are given."""

    kind: Kind
    version: Version
    names: tuple[str, ...] = ()


def targets(
    rules: Sequence[Mapping[str, Any]], equivalent: bool, asked: Asked, kinds: Registry
) -> tuple[Target, ...]:
    """Returns how rules cover a request, the first that fits an object's name counts: as it is,
    or, where that is enough, as a request for the same object in another version."""
    found = [
        Target(asked.kind, asked.version, tuple(rule.get("resourceNames") or ()))
        for rule in rules
        if asked.covered(rule)
    ]
    if not equivalent:
        return tuple(found)
    others = list(equivalents(kinds, asked.kind, asked.version))
    for rule in rules:
        for kind, version in others:
            if Asked(asked.operation, kind, version, asked.subresource).covered(rule):
                found.append(Target(kind, version, tuple(rule.get("resourceNames") or ())))
    return tuple(found)


def for_name(found: Iterable[Target], name: str) -> Target | None:
    """Returns the first target that is about an object of a name."""
    return next((one for one in found if not one.names or name in one.names), None)


class Selectors:
    """The objects and namespaces that a webhook or policy is about; raises NotFound where the
    namespace that decides does not exist."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._namespaces = _selector(document.get("namespaceSelector"))
        self._objects = _selector(document.get("objectSelector"))

    def select(self, change: Change, find: Find) -> bool:
        """Says whether the object of a change, or what was there before, is selected."""
        if self._namespaces is not None and not self._in_namespace(change, find):
            return False
        if self._objects is None:
            return True
        documents = (change.new, change.old)
        return any(one is not None and self._objects(_labels(one)) for one in documents)

    def _in_namespace(self, change: Change, find: Find) -> bool:
        assert self._namespaces is not None
        kind, namespace = change.call.kind, change.namespace
        if not namespace and kind.resource != NAMESPACES:
            return True
        changed = change.operation in ("CREATE", "UPDATE") and change.new is not None
        if kind.resource == NAMESPACES and not change.subresource and changed:
            return self._namespaces(_labels(change.new or {}))
        found = find(Ref(NAMESPACES, "", namespace))
        if found is None:
            raise errors.not_found("", "namespaces", namespace)
        return self._namespaces(_labels(found))


def _selector(document: Document | None) -> Selector | None:
    """Returns a selector; None for one that is empty and selects everything."""
    return selectors.of_document(document) if document else None


def _labels(document: Document) -> Mapping[str, str]:
    return (document.get("metadata") or {}).get("labels") or {}


class Covered(NamedTuple):
    """How a request is covered by the rules of a policy or of its binding."""

    found: tuple[Target, ...]
    excluded: tuple[Target, ...]

    def target(self, name: str) -> Target | None:
        """Returns the version in which an object of a name is seen, None for none."""
        return None if for_name(self.excluded, name) else for_name(self.found, name)


class Criteria:
    """The requests that a policy or its binding is about (MatchResources)."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.selectors = Selectors(document)
        self._rules = document.get("resourceRules") or ()
        self._excluded = document.get("excludeResourceRules") or ()
        self._equivalent = document.get("matchPolicy") == "Equivalent"

    def covered(self, asked: Asked, kinds: Registry) -> Covered | None:
        """Returns how a request is covered; without rules every one is. None: it is not."""
        found: tuple[Target, ...] = (Target(asked.kind, asked.version),)
        if self._rules:
            found = targets(self._rules, self._equivalent, asked, kinds)
        if not found:
            return None
        return Covered(found, targets(self._excluded, self._equivalent, asked, kinds))

    def match(self, covered: Covered, change: Change, find: Find) -> Target | None:
        """Returns the version in which the object of a change is seen, None where it is not
        meant; raises NotFound."""
        target = covered.target(change.name)
        return target if target and self.selectors.select(change, find) else None
