"""ControllerRevisions of an owner: one per template it ever had, the newest is the present one.

Follows pkg/controller/history, and update.go of DaemonSets, whose label has another name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from steersman.controllers import ownership
from steersman.controllers.deployment_revision import template_hash
from steersman.model.kind import Document, Kind
from steersman.model.kinds.controllerrevision import CONTROLLERREVISION, ControllerRevision
from steersman.reconcile.actions import Action, Create, Delete, Patch


class Revised(msgspec.Struct, frozen=True):
    """A kind of owner that has revisions, and the label under which they bear their hash."""

    kind: Kind
    label: str

    def hash_of(self, revision: ControllerRevision) -> str:
        """Returns the hash of a revision's template."""
        return revision.metadata.labels.get(self.label, "")

    def plan(self, owner: Any, revisions: Sequence[ControllerRevision]) -> list[Action]:
        """Returns what makes the present template the newest revision."""
        current = find_current(owner, revisions)
        newest = max((found.revision for found in revisions), default=0)
        if current is None:
            return [self._creation(owner, newest + 1)]
        if current.revision < newest:
            ref = CONTROLLERREVISION.ref(*current.key)
            return [Patch(ref, {"revision": newest + 1}, uid=current.metadata.uid)]
        return []

    def _creation(self, owner: Any, number: int) -> Create:
        template = msgspec.json.decode(owner.spec.template)
        text = template_hash(template, owner.status.collision_count)
        labels = (template.get("metadata") or {}).get("labels") or {}
        namespace = owner.metadata.namespace
        document: Document = {
            "apiVersion": CONTROLLERREVISION.api_version(),
            "kind": "ControllerRevision",
            "metadata": {
                "name": f"{owner.metadata.name}-{text}",
                "namespace": namespace,
                "labels": {**labels, self.label: text},
                "annotations": dict(owner.metadata.annotations),
                "ownerReferences": [ownership.reference(owner, self.kind)],
            },
            "data": data_of(owner),
            "revision": number,
        }
        return Create(CONTROLLERREVISION, document, namespace)


def data_of(owner: Any) -> Document:
    """Returns what a revision stores: the patch that brings the template back."""
    template = msgspec.json.decode(owner.spec.template)
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def template_of(revision: ControllerRevision) -> Document:
    """Returns the template that a revision stores."""
    data: Document = msgspec.json.decode(revision.data)
    template = (data.get("spec") or {}).get("template") or {}
    return {name: value for name, value in template.items() if name != "$patch"}


def find_current(owner: Any, revisions: Iterable[ControllerRevision]) -> ControllerRevision | None:
    """Returns the newest revision with the present template, None where there is none."""
    data = data_of(owner)
    same = [found for found in revisions if msgspec.json.decode(found.data) == data]
    return max(same, key=lambda found: found.revision, default=None)


def plan_cleanup(
    old: Iterable[ControllerRevision], limit: int, used: Collection[str]
) -> list[Action]:
    """Returns the deletion of the oldest of some revisions above a limit; those that are named as
    used stay."""
    ordered = sorted(old, key=lambda found: found.revision)
    extra = max(0, len(ordered) - limit)
    doomed = [found for found in ordered if found.metadata.name not in used][:extra]
    return [Delete(CONTROLLERREVISION.ref(*it.key), it.metadata.uid) for it in doomed]
