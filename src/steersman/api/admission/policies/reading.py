"""Whoever has a policy read parameters must be able to read them: the check on writes of policies
and their bindings.

Follows authz.go of pkg/registry/admissionregistration's policies and bindings, which ask it last of
a sound object.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from steersman.api.access.authorization import MASTERS, Attributes, Authorizer
from steersman.api.admission.asking.configured import GROUP
from steersman.api.admission.chain import Change, Plugin
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model import causes, errors
from steersman.model.builtin import Registry
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.wire.message import User

_POLICIES: Final[Mapping[str, str]] = {
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicies",
}
_OF_ALL: Final = "permission for all groups, versions and resources"


class _Asked(NamedTuple):
    """Which resource must be readable; `*` where that cannot be told."""

    group: str = "*"
    version: str = "*"
    resource: str = "*"


class ParameterReading(Plugin):
    """An admission plugin; see the module."""

    name = "ParameterReading"
    about = frozenset(
        {
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        }
    )

    def __init__(self, cache: Cache, kinds: Registry, authorizer: Authorizer) -> None:
        self._cache = cache
        self._kinds = kinds
        self._authorizer = authorizer

    def check(self, change: Change) -> None:
        """Refuses parameters that the writer may not read."""
        call, new = change.call, change.new
        if call.kind.group != GROUP or new is None or call.subresource:
            return
        if MASTERS not in call.user.groups and (found := list(self._found(change, new))):
            name = new["metadata"].get("name", "")
            raise errors.invalid(GROUP, call.kind.name, name, found)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on nothing for other kinds."""
        return None if call.kind.group == GROUP else ()

    def _found(self, change: Change, new: Document) -> Iterator[Cause]:
        spec, user = new.get("spec") or {}, change.call.user
        if (wanted := spec.get("paramKind")) is not None:
            before = ((change.old or {}).get("spec") or {}).get("paramKind")
            if wanted != before and (why := self._unread_kind(user, wanted)):
                yield causes.forbidden("spec.paramKind", why)
        # upstream compares pointers here, and so asks anew at every update
        if change.call.kind.name in _POLICIES and spec.get("paramRef") is not None:
            why = self._unread_object(user, _POLICIES[change.call.kind.name], spec)
            if why:
                yield causes.forbidden("spec.paramRef", why)

    def _unread_kind(self, user: User, wanted: Mapping[str, Any]) -> str:
        asked = self._asked(wanted)
        attributes = Attributes("get", *asked, namespace="*", name="*")
        decision = self._authorizer.allowed(user, attributes)
        if decision.allowed:
            return ""
        kind, version = wanted.get("kind", ""), wanted.get("apiVersion", "")
        return decision.error or (
            f'user {_shown(user)} must have "get" permission on all objects of the referenced '
            f"paramKind (kind={kind}, apiVersion={version})"
        )

    def _unread_object(self, user: User, plural: str, spec: Document) -> str:
        policy, reference = spec.get("policyName") or "", spec["paramRef"]
        entry = self._cache.table(Resource(GROUP, plural)).get("", policy)
        wanted = None if entry is None else (entry.document().get("spec") or {}).get("paramKind")
        asked = _Asked() if wanted is None else self._asked(wanted)
        name, namespace = reference.get("name") or "", reference.get("namespace") or ""
        verb = "get" if name else "list"
        attributes = Attributes(verb, *asked, namespace=namespace, name=name)
        decision = self._authorizer.allowed(user, attributes)
        if decision.allowed:
            return ""
        if decision.error:
            return f"failed to authorize request: {decision.error}"
        lacks = f'user {_shown(user)} does not have "{verb}"'
        known = "to determine minimum required permissions"
        if entry is None:
            return f"unable to get policy {policy} {known} and {lacks} {_OF_ALL}"
        if wanted is not None and asked.resource == "*":
            kind = f"&{{{wanted.get('apiVersion', '')} {wanted.get('kind', '')}}}"
            return f"unable to resolve paramKind {kind} {known} and {lacks} {_OF_ALL}"
        return f"{lacks} permission on the object referenced by paramRef"

    def _asked(self, wanted: Mapping[str, Any]) -> _Asked:
        group, _slash, version = (wanted.get("apiVersion") or "").rpartition("/")
        kind = self._kinds.by_kind(group, version, wanted.get("kind") or "")
        return _Asked(group, version, "*" if kind is None else kind.plural)


def _shown(user: User) -> str:
    """Returns a user as `%v` prints one."""
    extra = " ".join(f"{key}:[{' '.join(user.extra[key])}]" for key in sorted(user.extra))
    return f"&{{{user.name} {user.uid} [{' '.join(user.groups)}] map[{extra}]}}"
