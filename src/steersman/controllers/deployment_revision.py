"""Revisions of a deployment: which set is the new one, its name, its annotations, and clean-up.

Follows pkg/controller/deployment/util and sync.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from steersman.controllers import ownership
from steersman.controllers.deployment_bounds import max_surge
from steersman.model.kind import Document
from steersman.model.kinds.deployment import DEPLOYMENT, Deployment
from steersman.model.kinds.replicaset import REPLICASET, ReplicaSet
from steersman.model.times import seconds
from steersman.reconcile.actions import Create, Delete, Patch

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
_TEMPLATES: Final = 1024  # of deployments and their sets, compared again with each change of either
_NOT_COPIED = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MOST,
        "deprecated.deployment.rollback.to",
    )
)
SAFE = "bcdfghjklmnpqrstvwxz2456789"  # apimachinery rand.SafeEncodeString
LONGEST_NAME = 253 - 11  # upstream cuts the deployment's name so that "-" and a hash fit
LONGEST_HISTORY = 2000  # upstream maxRevHistoryLengthInChars
NO_LIMIT = 2**31 - 1  # how API clients spell "keep everything" and "no deadline"


def decoded(found: Deployment | ReplicaSet) -> Document:
    """Returns the pod template as a document."""
    template: Document = msgspec.json.decode(found.spec.template)
    return template


def same_template(one: Deployment | ReplicaSet, other: Deployment | ReplicaSet) -> bool:
    """Says whether two pod templates are the same but for the hash label (EqualIgnoreHash)."""
    return _digest(bytes(one.spec.template)) == _digest(bytes(other.spec.template))


@lru_cache(_TEMPLATES)
def _digest(encoded: bytes) -> bytes:
    template: Document = msgspec.json.decode(encoded)
    metadata = template.get("metadata") or {}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH_LABEL}
    metadata = {name: value for name, value in metadata.items() if value is not None}
    bare = {**template, "metadata": {**metadata, "labels": labels}}
    return hashlib.blake2b(msgspec.json.encode(bare, order="deterministic")).digest()


def template_hash(template: Document, collisions: int | None) -> str:
    """Returns a short name of a template: stable for ever, another one for each collision."""
    text = msgspec.json.encode(template, order="deterministic")
    if collisions is not None:
        text += collisions.to_bytes(8, "little")
    number = int.from_bytes(hashlib.blake2s(text, digest_size=4).digest(), "little")
    return "".join(SAFE[ord(digit) % len(SAFE)] for digit in str(number))


def oldest_first(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Returns sets by age; those of one second by name."""
    return sorted(sets, key=lambda it: (seconds(it.metadata.creation_timestamp), it.metadata.name))


def find_new(deployment: Deployment, sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """Returns the oldest set with the deployment's template, None where there is none."""
    return next((it for it in oldest_first(sets) if same_template(it, deployment)), None)


def revision(found: Any) -> int:
    """Returns an object's revision; 0 where it has none."""
    text = found.metadata.annotations.get(REVISION, "0")
    return int(text) if text.isdecimal() else 0


def newest_revision(old: Iterable[ReplicaSet]) -> int:
    """Returns the revision that comes after those of the old sets."""
    return max(map(revision, old), default=0) + 1


def size_annotations(deployment: Deployment) -> dict[str, str]:
    """Returns the annotations from which a scaling in the middle of a rollout is told."""
    replicas = deployment.spec.replicas
    return {DESIRED: str(replicas), MOST: str(replicas + max_surge(deployment))}


def new_set(deployment: Deployment, replicas: int, number: int) -> Create:
    """Returns the creation of the set for the deployment's present template."""
    template = decoded(deployment)
    text = template_hash(template, deployment.status.collision_count)
    metadata = template.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), HASH_LABEL: text}
    selector = msgspec.to_builtins(deployment.spec.selector)
    match_labels = {**selector.pop("matchLabels", {}), HASH_LABEL: text}
    expressions = selector.get("matchExpressions")
    namespace = deployment.metadata.namespace
    document: Document = {
        "apiVersion": REPLICASET.api_version(),
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment.metadata.name[:LONGEST_NAME]}-{text}",
            "namespace": namespace,
            "labels": labels,
            "annotations": {
                **copied(deployment),
                **size_annotations(deployment),
                REVISION: str(number),
            },
            "ownerReferences": [ownership.reference(deployment, DEPLOYMENT)],
        },
        "spec": {
            "replicas": replicas,
            "selector": {
                "matchLabels": match_labels,
                **({"matchExpressions": expressions} if expressions else {}),
            },
            "template": {**template, "metadata": {**metadata, "labels": labels}},
        },
    }
    if deployment.spec.min_ready_seconds:
        document["spec"]["minReadySeconds"] = deployment.spec.min_ready_seconds
    return Create(REPLICASET, document, namespace)


def copied(deployment: Deployment) -> dict[str, str]:
    """Returns the deployment's annotations that its new set gets too."""
    found = deployment.metadata.annotations.items()
    return {name: value for name, value in found if name not in _NOT_COPIED}


def brought_up(deployment: Deployment, new: ReplicaSet, number: int) -> Patch | None:
    """Returns what the new set lacks of the deployment's annotations, revision and minimum."""
    have = new.metadata.annotations
    change = {name: value for name, value in copied(deployment).items() if have.get(name) != value}
    if revision(new) < number:
        change[REVISION] = str(number)
        if before := have.get(REVISION):
            change[HISTORY] = _history(have.get(HISTORY, ""), before)
    patch: Document = {"metadata": {"annotations": change}} if change else {}
    if new.spec.min_ready_seconds != deployment.spec.min_ready_seconds:
        patch["spec"] = {"minReadySeconds": deployment.spec.min_ready_seconds}
    if not patch:
        return None
    return Patch(REPLICASET.ref(*new.key), patch, uid=new.metadata.uid)


def _history(history: str, before: str) -> str:
    entries = [*history.split(","), before] if history else [before]
    while len(",".join(entries)) > LONGEST_HISTORY:
        entries.pop(0)
    return ",".join(entries)


def plan_cleanup(deployment: Deployment, old: Sequence[ReplicaSet]) -> list[Delete]:
    """Returns the deletion of the oldest sets above the revision history limit."""
    if deployment.spec.revision_history_limit >= NO_LIMIT:
        return []
    kept = [found for found in old if found.metadata.deletion_timestamp is None]
    extra = len(kept) - deployment.spec.revision_history_limit
    oldest = sorted(kept, key=lambda found: (revision(found), *found.key))[: max(0, extra)]
    return [_deletion(found) for found in oldest if _empty(found)]


def _empty(found: ReplicaSet) -> bool:
    status = found.status
    observed = status.observed_generation >= found.metadata.generation
    return observed and not status.replicas and not found.spec.replicas


def _deletion(found: ReplicaSet) -> Delete:
    return Delete(REPLICASET.ref(*found.key), found.metadata.uid, propagation="Background")
