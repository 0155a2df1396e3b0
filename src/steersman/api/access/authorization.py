"""Who may do what: the question, the answer, and the union of those who answer.

Not the rules themselves (rbac.py, node_authorizer.py). The first authorizer that allows decides; a
webhook alone can deny on behalf of those behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from steersman.model.errors import Forbidden, InternalError
from steersman.wire.message import Notes, User

MASTERS = "system:masters"
# Under what the audit log keeps decisions (filters/authorization.go)
DECISION = "authorization.k8s.io/decision"
REASON = "authorization.k8s.io/reason"


class Attributes(NamedTuple):
    """One action as authorizers see it; `path` is set for non-resource requests only.

    A request for one namespace object carries its name as `namespace` too, as upstream's does.
    `fields` and `labels` are the raw selectors of a request for many objects.
    """

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    is_resource: bool = True
    fields: str = ""
    labels: str = ""

    @property
    def object_name(self) -> str:
        """The one object asked for: by its name, or, where many are read, by a field selector on
        metadata.name (RequestInfoFactory takes it for no other verb)."""
        if self.name or not self.fields or self.verb not in ("get", "list", "watch"):
            return self.name
        return self.selected("metadata.name")

    def selected(self, field: str) -> str:
        """Returns the value that the field selector demands of a field, empty for none."""
        for term in self.fields.split(","):
            name, equals, value = term.partition("=")
            if equals and name == field:
                return value.removeprefix("=")
        return ""

    @property
    def combined(self) -> str:
        """Resource and subresource as rules name them (`pods/log`)."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Decision(NamedTuple):
    """Whether, and why; the reason of a refusal may be empty.

    `denied` says that nobody else is to be asked, `error` what kept somebody from an answer.
    """

    allowed: bool
    reason: str = ""
    denied: bool = False
    error: str = ""


NO_OPINION = Decision(False)
ALLOWED = Decision(True)


class Authorizer(Protocol):
    """One who answers from what is in memory."""

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Says whether the user may; False means no opinion, unless it is denied."""


class Unresolved(Exception):
    """The rules by which an authorizer decides about a user cannot be listed; says why."""


class Masters:
    """Allows everything to members of system:masters, whatever the stored rules say."""

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Allows a member of system:masters."""
        return ALLOWED if MASTERS in user.groups else NO_OPINION


class Union:
    """Asks authorizers in order until one allows."""

    def __init__(self, *authorizers: Authorizer) -> None:
        self.authorizers = authorizers

    def ask(self, *authorizers: Authorizer) -> None:
        """Asks these from now on."""
        self.authorizers = authorizers

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Returns the first answer that allows or denies, or a refusal with all reasons, one a
        line."""
        reasons, errors = [], []
        for authorizer in self.authorizers:
            decision = authorizer.allowed(user, attributes)
            if decision.allowed or decision.denied:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
            if decision.error:
                errors.append(decision.error)
        if not (reasons or errors):
            return NO_OPINION
        error = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]" if errors else ""
        return Decision(False, "\n".join(reasons), error=error)

    def require(self, user: User, attributes: Attributes, notes: Notes | None = None) -> None:
        """Raises Forbidden, in upstream's words, unless the user may; InternalError where somebody
        who should have said so gave no answer. Has it noted either way."""
        enforce(self.allowed(user, attributes), user, attributes, notes)


def enforce(
    decision: Decision, user: User, attributes: Attributes, notes: Notes | None = None
) -> None:
    """Does what `Union.require` says, of a decision that was made."""
    if notes is not None:
        _note(notes, decision)
    if not decision.allowed:
        if decision.error:
            where = quoted(attributes.path)
            raise InternalError(f"Internal Server Error: {where}: {decision.error}")
        raise forbidden(user, attributes, decision.reason)


def _note(notes: Notes, decision: Decision) -> None:
    """Has the audit log keep a decision; of one that failed the reason alone."""
    if decision.error and not decision.allowed:
        notes.annotate(REASON, "internal error")
        return
    notes.annotate(DECISION, "allow" if decision.allowed else "forbid")
    notes.annotate(REASON, decision.reason)


def quoted(text: str) -> str:
    """Returns text as Go's %q prints it."""
    return json.dumps(text, ensure_ascii=False)


def quoted_list(texts: Iterable[str]) -> str:
    """Returns texts as Go's %q prints a slice: `["a" "b"]`."""
    return f"[{' '.join(quoted(text) for text in texts)}]"


def forbidden(user: User, attributes: Attributes, reason: str = "") -> Forbidden:
    """Returns the refusal of a request (apiserver's responsewriters.ForbiddenStatusError)."""
    refusal = refusal_of(user, attributes)
    why = f"{refusal}: {reason}" if reason else refusal
    if not attributes.is_resource or not attributes.resource:
        return Forbidden(f"forbidden: {why}")
    group, plural, name = attributes.group, attributes.resource, attributes.name
    subject = f"{plural}.{group}" if group else plural
    shown = f"{subject} {quoted(name)}" if name else subject
    details = {"name": name, "group": group, "kind": plural}
    return Forbidden(
        f"{shown} is forbidden: {why}",
        details={key: value for key, value in details.items() if value},
    )


def refusal_of(user: User, attributes: Attributes) -> str:
    """Returns the sentence that says who cannot do what; angle brackets and & are escaped."""
    who = f"User {quoted(user.name)} cannot {attributes.verb}"
    if attributes.is_resource:
        where = "at the cluster scope"
        if attributes.namespace:
            where = f"in the namespace {quoted(attributes.namespace)}"
        group = quoted(attributes.group)
        text = f"{who} resource {quoted(attributes.combined)} in API group {group} {where}"
    else:
        text = f"{who} path {quoted(attributes.path)}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
