"""Role-based access control: answers from Role, ClusterRole and their bindings.

Compiled once after each change of any of these objects, then read from dictionaries. Grants only;
it never denies. Follows upstream's plugin/pkg/auth/authorizer/rbac and pkg/registry/rbac.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from steersman.api.access.authorization import NO_OPINION, Attributes, Decision, quoted
from steersman.api.access.rules import Rule, matches_resource, matches_url, parse_all
from steersman.model.errors import not_found
from steersman.model.gotext import aggregate
from steersman.model.kind import Document
from steersman.wire.message import User

GROUP = "rbac.authorization.k8s.io"
PLURALS = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
SERVICE_ACCOUNT = "system:serviceaccount:"

# Answers kept: 64 identities that each ask a thousand different things; the name of an object is
# not part of a question, so that the number of objects does not matter.
CACHE_SIZE = 65_536


class Objects(Protocol):
    """Where the stored objects of a resource come from."""

    def each(self, group: str, plural: str) -> Iterable[Document]:
        """Yields all objects of one resource."""


class Grant(NamedTuple):
    """One role bound to one subject."""

    rules: tuple[Rule, ...]
    reason: str
    error: str = ""


class _Binding(NamedTuple):
    role: tuple[str, str]  # namespace ("" for a ClusterRole), name
    reason: str


class _Answer(NamedTuple):
    """What a subject may for any name (`whole`) and for single names."""

    whole: Decision
    names: Mapping[str, Decision]


_Subject = tuple[str, str]  # "User" or "Group", name
_Question = tuple[str, tuple[str, ...], str, str, str, str, str, str]


class RBAC:
    """Answers from the stored roles and bindings; `changed()` must follow every change."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._stale = True
        self.generation = 0
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._bindings: dict[str, dict[_Subject, list[_Binding]]] = {}
        self._answers: dict[_Question, _Answer] = {}

    def changed(self) -> None:
        """Forgets all answers; the next question compiles the rules again."""
        self.generation += 1
        self._stale = True
        self._answers.clear()

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Says whether a rule allows the request; the reason names the binding, or says which
        bound role does not exist."""
        verb, group, _, resource, subresource, namespace, name, path, asks, fields, _ = attributes
        path = "" if asks else path  # that of a resource names the object, and so another each time
        question = (user.name, user.groups, verb, group, resource, subresource, namespace, path)
        answer = self._answers.get(question)
        if answer is None:
            answer = self._answer(user, attributes)
            if len(self._answers) >= CACHE_SIZE:
                self._answers.clear()
            self._answers[question] = answer
        if answer.whole.allowed or not answer.names:
            return answer.whole
        return answer.names.get(attributes.object_name if fields else name, answer.whole)

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """Yields the roles bound to a user, cluster-wide first, then in the namespace."""
        self._compile()
        scopes = ("", namespace) if namespace else ("",)
        for scope in scopes:
            bindings = self._bindings.get(scope)
            if bindings is None:
                continue
            for subject in _subjects(user):
                for binding in bindings.get(subject, ()):
                    yield self._grant(binding)

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """Returns every rule that holds for a user in a namespace."""
        return [rule for grant in self.grants(user, namespace) for rule in grant.rules]

    def role(self, namespace: str, name: str) -> tuple[Rule, ...]:
        """Returns the rules of a Role, or of a ClusterRole where the namespace is empty.

        Raises NotFound.
        """
        self._compile()
        rules = self._roles.get((namespace, name))
        if rules is None:
            raise not_found(GROUP, "roles" if namespace else "clusterroles", name)
        return rules

    def _answer(self, user: User, attributes: Attributes) -> _Answer:
        names: dict[str, Decision] = {}
        errors: list[str] = []
        for grant in self.grants(user, attributes.namespace):
            if grant.error:
                errors.append(grant.error)
            decision = Decision(True, grant.reason)
            for rule in grant.rules:
                if not _matches(rule, attributes):
                    continue
                if not rule.names or not attributes.is_resource:
                    return _Answer(decision, {})
                for name in rule.names:
                    names.setdefault(name, decision)
        return _Answer(_refusal(errors), names)

    def _grant(self, binding: _Binding) -> Grant:
        rules = self._roles.get(binding.role)
        if rules is not None:
            return Grant(rules, binding.reason)
        namespace, name = binding.role
        kind = "role" if namespace else "clusterrole"
        return Grant((), binding.reason, f"{kind}.{GROUP} {quoted(name)} not found")

    def _compile(self) -> None:
        if not self._stale:
            return
        self._stale = False
        self._roles = {}
        for plural in ("roles", "clusterroles"):
            for document in self._objects.each(GROUP, plural):
                key = (_namespace(document), document["metadata"]["name"])
                self._roles[key] = parse_all(document.get("rules"))
        self._bindings = {}
        for plural in ("clusterrolebindings", "rolebindings"):
            for document in self._objects.each(GROUP, plural):
                self._bind(document)

    def _bind(self, document: Document) -> None:
        namespace = _namespace(document)
        bindings = self._bindings.setdefault(namespace, {})
        reference = document.get("roleRef") or {}
        scope = namespace if reference.get("kind") == "Role" else ""
        role = (scope, reference.get("name", ""))
        for subject in document.get("subjects") or ():
            if key := subject_key(subject, namespace):
                reason = _reason(document, subject)
                bindings.setdefault(key, []).append(_Binding(role, reason))


def _matches(rule: Rule, attributes: Attributes) -> bool:
    if attributes.is_resource:
        return matches_resource(rule, attributes)
    verbs = rule.verbs
    return (attributes.verb in verbs or "*" in verbs) and matches_url(rule, attributes.path)


def _refusal(errors: Sequence[str]) -> Decision:
    if not errors:
        return NO_OPINION
    return Decision(False, f"RBAC: {aggregate(errors)}")


def _namespace(document: Document) -> str:
    return str(document["metadata"].get("namespace") or "")


def _subjects(user: User) -> Iterator[_Subject]:
    yield ("User", user.name)
    for group in user.groups:
        yield ("Group", group)


def subject_key(subject: Document, namespace: str) -> _Subject | None:
    """Returns the user or group a binding's subject stands for, None for a subject of an unknown
    kind or a service account without a namespace."""
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        home = subject.get("namespace") or namespace
        return ("User", f"{SERVICE_ACCOUNT}{home}:{name}") if home else None
    return (kind, name) if kind in ("User", "Group") else None


def _reason(binding: Document, subject: Document) -> str:
    """Words the reason as upstream's RoleBinding and subject describers do."""
    name, namespace = binding["metadata"]["name"], _namespace(binding)
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    shown = quoted(f"{name}/{namespace}" if namespace else name)
    reference = binding.get("roleRef") or {}
    role = f"{reference.get('kind', '')} {quoted(reference.get('name', ''))}"
    whom = subject.get("name", "")
    if subject.get("kind") == "ServiceAccount":
        whom = f"{whom}/{subject.get('namespace') or namespace}"
    return f"RBAC: allowed by {kind} {shown} of {role} to {subject.get('kind')} {quoted(whom)}"
