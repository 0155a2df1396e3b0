"""The SubjectAccessReview that asks whether somebody may do something, and what an answer says.

Pure. Follows apiserver's plugin/pkg/authorizer/webhook.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from steersman.api.access.authorization import Attributes, Decision
from steersman.model import selectors
from steersman.model.kind import Document
from steersman.wire.message import User

GROUP: Final = "authorization.k8s.io"
BOTH: Final = "webhook subject access review returned both allow and deny response"
_IN: Final = {"=": "In", "==": "In", "in": "In", "!=": "NotIn", "notin": "NotIn"}
_LABELS: Final = {**_IN, "exists": "Exists", "!": "DoesNotExist"}


def spec_of(user: User, asked: Attributes) -> Document:
    """Returns the spec of a review; what is empty is left out."""
    extra = {key: list(values) for key, values in user.extra.items()}
    about = {"user": user.name, "groups": list(user.groups), "extra": extra, "uid": user.uid}
    whose = {name: value for name, value in about.items() if value}
    if not asked.is_resource:
        path = {"path": asked.path, "verb": asked.verb}
        return {"nonResourceAttributes": _given(path), **whose}
    fields: Document = {
        "namespace": asked.namespace,
        "verb": asked.verb,
        "group": asked.group,
        "version": asked.version,
        "resource": asked.resource,
        "subresource": asked.subresource,
        "name": asked.object_name,
        "fieldSelector": _selector(asked.fields, selectors.parse_fields, _IN),
        "labelSelector": _selector(asked.labels, selectors.parse, _LABELS),
    }
    return {"resourceAttributes": _given(fields), **whose}


def _given(fields: Document) -> Document:
    return {name: value for name, value in fields.items() if value}


def _selector(
    text: str, parse: Callable[[str], selectors.Selector], operators: dict[str, str]
) -> Document | None:
    """Returns a selector as a review has it. What cannot be read, or has no place in it, is left
    out: who may see more may see less."""
    if not text:
        return None
    try:
        found = parse(text).requirements
    except selectors.SelectorError:
        return None
    requirements = [
        {"key": one.key, "operator": operators[one.operator]}
        | ({"values": list(one.values)} if one.values else {})
        for one in found
        if one.operator in operators
    ]
    return {"requirements": requirements} if requirements else None


def document_of(spec: Document, version: str) -> Document:
    """Returns the whole review; v1beta1 calls the groups `group`."""
    if version == "v1beta1":
        spec = {("group" if name == "groups" else name): value for name, value in spec.items()}
    return {
        "kind": "SubjectAccessReview",
        "apiVersion": f"{GROUP}/{version}",
        "metadata": {},
        "spec": spec,
        "status": {"allowed": False},
    }


def decide(review: Any) -> Decision:
    """Returns what an answered review says; raises ValueError where it is none."""
    status = review.get("status") if isinstance(review, dict) else None
    if not isinstance(status, dict):
        raise ValueError("the authorization webhook answers no SubjectAccessReview")
    allowed, denied = status.get("allowed") is True, status.get("denied") is True
    reason = status.get("reason")
    text = reason if isinstance(reason, str) else ""
    if denied:
        return Decision(False, text, denied=True, error=BOTH if allowed else "")
    return Decision(allowed, text)
