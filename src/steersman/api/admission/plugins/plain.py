"""What most small plugins share: what a change is about, and how it is refused."""

from __future__ import annotations

from typing import Any

from steersman.api.admission.chain import Change, Plugin
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.errors import Forbidden
from steersman.model.kind import Document


class AlwaysAdmit(Plugin):
    """Admits everything, which is what happens without it too."""

    name = "AlwaysAdmit"


class Gated(Plugin):
    """A plugin that is on by default and whose feature gate is not (1.37): it can be named, and
    does what upstream's does then, which is nothing. The kinds that it is about are not served."""

    def __init__(self, name: str) -> None:
        self.name = name


def is_of(call: Call, group: str, kind: str) -> bool:
    """Says whether a call is about objects of a kind, under whatever group they are asked for, and
    about no subresource."""
    own = call.kind.name == kind and call.table.resource.group == group
    return own and not call.subresource


def is_pod(change: Change) -> bool:
    """Says whether a whole pod is created or changed."""
    return change.new is not None and is_of(change.call, "", "Pod")


def spec_of(document: Document | None) -> Document:
    """Returns the spec of an object, empty where there is none."""
    return (document or {}).get("spec") or {}


def annotations_of(document: Document) -> dict[str, Any]:
    """Returns the annotations of an object."""
    return (document.get("metadata") or {}).get("annotations") or {}


def refused(change: Change, why: str) -> Forbidden:
    """Returns the refusal of a change (admission.NewForbidden)."""
    kind, meta = change.call.kind, (change.new or change.old or {}).get("metadata") or {}
    name = change.name or meta.get("name") or meta.get("generateName") or ""
    return errors.forbidden(kind.group, kind.plural, name, why)
