"""The authorizer of the mode ABAC: a file with a policy in each line, read once.

Follows pkg/auth/authorizer/abac: of lines without a version, what is left out means all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from steersman.api.access.authorization import ALLOWED, Attributes, Decision
from steersman.api.access.rules import Rule
from steersman.api.tokens.bearers import AUTHENTICATED
from steersman.wire.message import User

VERSION: Final = "abac.authorization.kubernetes.io/v1beta1"
MOST_POLICIES: Final = 10_000  # all are looked at for each request that none allows
NO_MATCH: Final = Decision(False, "No policy matched.")
_READING: Final = ("get", "list", "watch")
_ALL: Final = "*"


class Policy(msgspec.Struct, frozen=True, rename="camel"):
    """Whom it is for, and what they may; a verb that writes unless it is `readonly`."""

    user: str = ""
    group: str = ""
    readonly: bool = False
    api_group: str = ""
    resource: str = ""
    namespace: str = ""
    non_resource_path: str = ""


class _Line(Policy, frozen=True, rename="camel"):
    """A line: of version 1beta1 with a `spec`, else (v0) the policy itself."""

    kind: str = ""
    api_version: str = ""
    spec: Policy = Policy()


def parse(text: str) -> Sequence[Policy]:
    """Returns the policies of a file; raises ValueError with the number of the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not (line := line.strip()) or line.startswith("#"):
            continue
        try:
            found.append(_policy(msgspec.json.decode(line, type=_Line)))
        except ValueError as error:  # msgspec's errors are ValueErrors
            raise ValueError(f"line {number}: {error}") from None
    if len(found) > MOST_POLICIES:
        raise ValueError(f"{len(found)} policies, {MOST_POLICIES} at most")
    return tuple(found)


def _policy(line: _Line) -> Policy:
    if not (line.kind or line.api_version):
        return _unversioned(line)
    if (line.kind, line.api_version) != ("Policy", VERSION):
        raise ValueError(f"it is no Policy of {VERSION}")
    return _for_all(line.spec)


def _unversioned(line: Policy) -> Policy:
    for_all = _ALL in (line.user, line.group) or not (line.user or line.group)
    return Policy(
        "" if for_all else line.user,
        AUTHENTICATED if for_all else line.group,
        line.readonly,
        _ALL,
        line.resource or _ALL,
        line.namespace or _ALL,
        "" if line.resource or line.namespace else _ALL,
    )


def _for_all(policy: Policy) -> Policy:
    """Returns a policy in which a star for a user or group is everybody who is known."""
    if _ALL not in (policy.user, policy.group):
        return policy
    return msgspec.structs.replace(policy, user="", group=AUTHENTICATED)


class AttributeBased:
    """Allows what one of its policies allows; of all else it has no opinion."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = policies

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Looks for a policy."""
        for policy in self._policies:
            if _is_for(policy, user) and _covers(policy, attributes):
                return ALLOWED
        return NO_MATCH

    def rules_of(self, user: User, namespace: str) -> Iterator[Rule]:
        """Yields the rules that hold for a user in a namespace (PolicyList.RulesFor)."""
        for policy in self._policies:
            if not _is_for(policy, user) or policy.namespace not in (_ALL, namespace):
                continue
            verbs = _READING if policy.readonly else (_ALL,)
            if policy.resource:
                yield Rule(verbs, (policy.api_group,), (policy.resource,))
            if policy.non_resource_path:
                yield Rule(verbs, urls=(policy.non_resource_path,))


def _is_for(policy: Policy, user: User) -> bool:
    if not (policy.user or policy.group):
        return False
    named = policy.user in ("", user.name)
    return named and (not policy.group or policy.group in user.groups)


def _covers(policy: Policy, asked: Attributes) -> bool:
    if policy.readonly and asked.verb not in _READING:
        return False
    if asked.is_resource:
        pairs = (
            (policy.namespace, asked.namespace),
            (policy.resource, asked.resource),
            (policy.api_group, asked.group),
        )
        return all(wanted in (_ALL, given) for wanted, given in pairs)
    path = policy.non_resource_path
    if path.endswith(_ALL):
        return asked.path.startswith(path.rstrip(_ALL))
    return path == asked.path
