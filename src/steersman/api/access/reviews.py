"""Reviews: questions that a client may put to the authenticator and the authorizer.

A review is answered and never stored. Follows upstream's pkg/registry/authentication and
pkg/registry/authorization with their validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from steersman.api.access.authorization import Attributes, Union, Unresolved
from steersman.api.access.rules import Rule, document
from steersman.api.access.tokens import InvalidToken
from steersman.api.tokens.bearers import Bearers
from steersman.model import errors
from steersman.model.causes import invalid, required
from steersman.model.errors import BadRequest, Cause, UnknownPath
from steersman.model.kind import Document
from steersman.model.times import rfc3339
from steersman.model.types.selector import check_requirement
from steersman.wire.message import User

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
_ACCESS = ("SubjectAccessReview", "SelfSubjectAccessReview", "LocalSubjectAccessReview")
KINDS = (*_ACCESS, "SelfSubjectRulesReview", "SelfSubjectReview", "TokenReview")
# operators of a review's requirements, as they stand in a selector's text
_FIELD_TERMS = {"In": "{}={}", "NotIn": "{}!={}"}
_LABEL_TERMS = {"In": "{} in ({})", "NotIn": "{} notin ({})", "Exists": "{}", "DoesNotExist": "!{}"}
_RESOURCE_FIELDS = ("verb", "group", "version", "resource", "subresource", "namespace", "name")


@runtime_checkable
class Resolver(Protocol):
    """An authorizer that says by which rules it decides, or that it cannot."""

    def rules_of(self, user: User, namespace: str) -> Iterable[Rule]:
        """Returns the rules that hold for a user in a namespace; raises Unresolved."""


class Reviews:
    """Answers reviews by what is in memory."""

    def __init__(self, authorizer: Union, tokens: Bearers, now: Callable[[], float]) -> None:
        self._authorizer = authorizer
        self._tokens = tokens
        self._now = now

    def create(self, kind: str, review: Document, user: User, namespace: str = "") -> Document:
        """Returns the review with its status; the argument is not changed.

        `namespace` is that of the path (LocalSubjectAccessReview). Raises Invalid, BadRequest,
        UnknownPath for a kind that is no review.
        """
        if kind in _ACCESS:
            return self._access(kind, review, user, namespace)
        if kind == "SelfSubjectRulesReview":
            return self._rules(review, user)
        if kind == "SelfSubjectReview":
            made = {"metadata": {"creationTimestamp": rfc3339(self._now())}}
            return _answered(kind, AUTHENTICATION, made, {"userInfo": user_document(user)})
        if kind == "TokenReview":
            return self._token(review)
        raise UnknownPath(is_routed=True)

    def _access(self, kind: str, review: Document, user: User, namespace: str) -> Document:
        spec = review.get("spec") or {}
        causes = check_access(kind, spec, namespace)
        causes += _check_metadata(kind, review.get("metadata") or {})
        if causes:
            # upstream takes the kind from a form that has none
            raise errors.invalid(AUTHORIZATION, "", "", causes)
        subject = user if kind == "SelfSubjectAccessReview" else _subject(spec)
        decision = self._authorizer.allowed(subject, attributes_of(spec))
        status: Document = {"allowed": decision.allowed}
        if decision.denied:
            status["denied"] = True
        if decision.reason:
            status["reason"] = decision.reason
        if decision.error:
            status["evaluationError"] = decision.error
        return _answered(kind, AUTHORIZATION, review, status)

    def _rules(self, review: Document, user: User) -> Document:
        namespace = (review.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise BadRequest("no namespace on request")
        rules: list[Rule] = []
        unknown = []
        for one in self._authorizer.authorizers:
            try:
                rules += one.rules_of(user, namespace) if isinstance(one, Resolver) else ()
            except Unresolved as error:
                unknown.append(str(error))
        status = {**rules_status(rules), "incomplete": bool(unknown)}
        if unknown:
            shown = unknown[0] if len(unknown) == 1 else f"[{', '.join(unknown)}]"
            status["evaluationError"] = shown
        return _answered("SelfSubjectRulesReview", AUTHORIZATION, review, status)

    def _token(self, review: Document) -> Document:
        spec = review.get("spec") or {}
        if not spec.get("token"):
            raise BadRequest("token is required for TokenReview in authentication")
        return _answered("TokenReview", AUTHENTICATION, review, self._token_status(spec))

    def _token_status(self, spec: Document) -> Document:
        wanted = tuple(spec.get("audiences") or self._tokens.audiences)
        try:
            found = self._tokens.verify(spec["token"], wanted)
        except InvalidToken as error:
            why = f"[invalid bearer token, {error}]" if str(error) else "invalid bearer token"
            return {"user": {}, "error": why}
        return {
            "authenticated": True,
            "user": user_document(found.user),
            "audiences": list(found.audiences),
        }


def check_access(kind: str, spec: Document, namespace: str) -> list[Cause]:
    """Says what is wrong with the spec of an access review
    (pkg/apis/authorization/validation)."""
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    causes = []
    if (resource is None) == (other is None):
        what = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(invalid("spec", None if other is None else _shown(other), what))
    if kind != "SelfSubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
        causes.append(invalid("spec.user", "", "at least one of user or group must be specified"))
    for name in ("fieldSelector", "labelSelector"):
        causes += _check_selector((resource or {}).get(name), f"spec.resourceAttributes.{name}")
    if kind == "LocalSubjectAccessReview":
        causes += _check_local(resource, other, namespace)
    return causes


def _check_metadata(kind: str, metadata: Document) -> Iterable[Cause]:
    is_local = kind == "LocalSubjectAccessReview"
    allowed = ("managedFields", "namespace") if is_local else ("managedFields",)
    if any(value for name, value in metadata.items() if name not in allowed):
        what = "must be empty except for namespace" if is_local else "must be empty"
        yield invalid("metadata", metadata, what)


def _check_selector(selector: Document | None, path: str) -> Iterable[Cause]:
    if selector is None:
        return
    raw, listed = selector.get("rawSelector") or "", selector.get("requirements") or ()
    if raw and listed:
        detail = "may not specified at the same time as requirements"
        yield invalid(f"{path}.rawSelector", raw, detail)
    if not raw and not listed:
        detail = f"when {path} is specified, requirements or rawSelector is required"
        yield required(f"{path}.requirements", detail)
    of_labels = path.endswith("labelSelector")
    for index, one in enumerate(listed):
        place = f"{path}.requirements[{index}]"
        if not of_labels and not one.get("key"):
            yield required(f"{place}.key", "must be specified")
        yield from check_requirement(one, place, of_labels=of_labels, known=False)


def _check_local(resource: Document | None, other: Any, namespace: str) -> Iterable[Cause]:
    found = (resource or {}).get("namespace", "")
    if resource is not None and found != namespace:
        what = "must match metadata.namespace"
        yield invalid("spec.resourceAttributes.namespace", found, what)
    if other is not None:
        what = "disallowed on this kind of request"
        yield invalid("spec.nonResourceAttributes", _shown(other), what)


def _shown(other: Document) -> Document:
    """Returns a path that is asked about as a message shows upstream's internal type."""
    return {"Path": other.get("path", ""), "Verb": other.get("verb", "")}


def attributes_of(spec: Document) -> Attributes:
    """Returns the question that an access review puts."""
    resource = spec.get("resourceAttributes")
    if resource is None:
        other = spec["nonResourceAttributes"]
        return Attributes(other.get("verb", ""), path=other.get("path", ""), is_resource=False)
    fields, labels = resource.get("fieldSelector") or {}, resource.get("labelSelector") or {}
    verb, group, version, plural, subresource, namespace, name = (
        str(resource.get(field) or "") for field in _RESOURCE_FIELDS
    )
    return Attributes(
        verb,
        group,
        version,
        plural,
        subresource,
        namespace,
        name,
        fields=_selector_text(fields, _FIELD_TERMS),
        labels=_selector_text(labels, _LABEL_TERMS),
    )


def _selector_text(selector: Document, terms: Mapping[str, str]) -> str:
    """Returns a review's selector as a request has it; what a request cannot ask is left out."""
    if "rawSelector" in selector:
        return str(selector["rawSelector"])
    found = []
    for one in selector.get("requirements") or ():  # each has a key, as was checked
        values = one.get("values") or ()
        term = terms.get(one.get("operator", ""))
        if term is not None and (terms is _LABEL_TERMS or len(values) == 1):
            found.append(term.format(one["key"], ",".join(values)))
    return ",".join(found)


def rules_status(rules: Iterable[Rule]) -> Document:
    """Returns rules as a SelfSubjectRulesReview lists them."""
    listed = list(rules)
    return {
        "resourceRules": [document(rule) for rule in listed if not rule.urls],
        "nonResourceRules": [
            {"verbs": list(rule.verbs), "nonResourceURLs": list(rule.urls)}
            for rule in listed
            if rule.urls
        ],
    }


def _subject(spec: Document) -> User:
    extra = {key.lower(): tuple(values) for key, values in (spec.get("extra") or {}).items()}
    groups = tuple(spec.get("groups") or ())
    return User(spec.get("user") or "", groups, spec.get("uid") or "", extra)


def user_document(user: User) -> Document:
    """Returns a user as authentication.k8s.io UserInfo; empty fields are left out."""
    fields: Document = {
        "username": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra.items()},
    }
    return {name: value for name, value in fields.items() if value}


def _answered(kind: str, group: str, review: Document, status: Document) -> Document:
    found: Document = {
        "kind": kind,
        "apiVersion": review.get("apiVersion") or f"{group}/v1",
        "metadata": review.get("metadata") or {},
    }
    if kind != "SelfSubjectReview":
        found["spec"] = review.get("spec") or {}
    return {**found, "status": status}
