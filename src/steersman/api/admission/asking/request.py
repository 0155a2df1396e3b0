"""An AdmissionRequest (admission.k8s.io/v1) of a change: what a webhook is sent and what the
variable `request` of expressions holds. Pure.

Follows apiserver's webhook/request/admissionreview.go and plugin/cel/condition.go.
"""

from __future__ import annotations

from typing import Final

from steersman.api.access.reviews import user_document
from steersman.api.admission.chain import Change
from steersman.model.kind import Document, Kind, Version

_OPTIONS: Final = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


def render(change: Change, kind: Kind, version: Version) -> Document:
    """Returns the request, as if it were for a kind in a version, without its objects and uid."""
    call = change.call
    own = (call.kind.group, call.version.name, call.kind.name)
    seen = (kind.group, version.name, kind.name)
    made: Document = {
        "kind": _kind(*(change.head or seen)),
        "resource": _resource(kind, version),
        "subResource": change.subresource,
        "requestKind": _kind(*(change.head or own)),
        "requestResource": _resource(call.kind, call.version),
        "requestSubResource": change.subresource,
        "name": change.name,
        "namespace": change.namespace,
        "operation": change.operation,
        "userInfo": user_document(call.user),
    }
    made = {name: value for name, value in made.items() if value}
    return {**made, "dryRun": is_dry(change), "options": options(change)}


def is_dry(change: Change) -> bool:
    """Says whether nothing of a change is to be stored."""
    return change.dry_run or change.call.dry_run


def options(change: Change) -> Document | None:
    """Returns what the writer asked for beside the object."""
    name = _OPTIONS.get(change.operation)
    if name is None:
        return None
    head = {"kind": name, "apiVersion": "meta.k8s.io/v1"}
    if change.options is not None:
        return {**head, **change.options}
    request = change.call.request
    given = {one: request.param(one) for one in ("fieldManager", "fieldValidation")}
    dry = {"dryRun": ["All"]} if is_dry(change) else {}
    return {**head, **dry, **{one: value for one, value in given.items() if value}}


def _kind(group: str, version: str, kind: str) -> Document:
    return {"group": group, "version": version, "kind": kind}


def _resource(kind: Kind, version: Version) -> Document:
    return {"group": kind.group, "version": version.name, "resource": kind.plural}
