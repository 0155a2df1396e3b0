"""ControllerRevisions of a DaemonSet: one per template it ever had, the newest is the present one.

Follows pkg/controller/daemon/update.go and pkg/controller/history.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from steersman.controllers import ownership
from steersman.controllers.daemonset_place import HASH_LABEL
from steersman.controllers.deployment_revision import template_hash
from steersman.model.kind import Document
from steersman.model.kinds.controllerrevision import CONTROLLERREVISION, ControllerRevision
from steersman.model.kinds.daemonset import DAEMONSET, DaemonSet
from steersman.reconcile.actions import Action, Create, Delete, Patch


def data_of(owner: DaemonSet) -> Document:
    """Returns what a revision stores: the patch that brings the template back."""
    template = msgspec.json.decode(owner.spec.template)
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def find_current(
    owner: DaemonSet, revisions: Iterable[ControllerRevision]
) -> ControllerRevision | None:
    """Returns the newest revision with the present template, None where there is none."""
    data = data_of(owner)
    same = [found for found in revisions if msgspec.json.decode(found.data) == data]
    return max(same, key=lambda found: found.revision, default=None)


def hash_of(revision: ControllerRevision) -> str:
    """Returns the hash by which pods name their revision."""
    return revision.metadata.labels.get(HASH_LABEL, "")


def plan(owner: DaemonSet, revisions: Sequence[ControllerRevision]) -> list[Action]:
    """Returns what makes the present template the newest revision."""
    current = find_current(owner, revisions)
    newest = max((found.revision for found in revisions), default=0)
    if current is None:
        return [_creation(owner, newest + 1)]
    if current.revision < newest:
        ref = CONTROLLERREVISION.ref(*current.key)
        return [Patch(ref, {"revision": newest + 1}, uid=current.metadata.uid)]
    return []


def _creation(owner: DaemonSet, number: int) -> Create:
    template = msgspec.json.decode(owner.spec.template)
    text = template_hash(template, owner.status.collision_count)
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: text}
    namespace = owner.metadata.namespace
    document: Document = {
        "apiVersion": CONTROLLERREVISION.api_version(),
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{owner.metadata.name}-{text}",
            "namespace": namespace,
            "labels": labels,
            "annotations": dict(owner.metadata.annotations),
            "ownerReferences": [ownership.reference(owner, DAEMONSET)],
        },
        "data": data_of(owner),
        "revision": number,
    }
    return Create(CONTROLLERREVISION, document, namespace)


def plan_cleanup(
    owner: DaemonSet,
    revisions: Sequence[ControllerRevision],
    current: ControllerRevision,
    used: set[str],
) -> list[Action]:
    """Returns the deletion of the oldest revisions above the limit that no pod uses."""
    old = sorted(
        (found for found in revisions if found is not current), key=lambda found: found.revision
    )
    extra = len(old) - owner.spec.revision_history_limit
    doomed = [found for found in old if hash_of(found) not in used][: max(0, extra)]
    refs = [(CONTROLLERREVISION.ref(*found.key), found.metadata.uid) for found in doomed]
    return [Delete(ref, uid) for ref, uid in refs]
