"""The identity of a StatefulSet's pods: ordinal, names, labels, claims. Pure.

Follows pkg/controller/statefulset/stateful_set_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steersman.controllers import ownership, pods
from steersman.model.kind import Document
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.statefulset import STATEFULSET, RetentionPolicy, StatefulSet
from steersman.model.view import Object, OwnerReference
from steersman.reconcile.actions import Create, Patch

REVISION = "controller-revision-hash"  # a pod's label: the name of its revision
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_DIGITS = 10  # of the largest 32-bit number


CLAIM = PERSISTENTVOLUMECLAIM


def ordinal_of(owner: StatefulSet, pod: Pod) -> int | None:
    """Returns a pod's ordinal, None where its name is not one of the set's."""
    name, _, text = pod.metadata.name.rpartition("-")
    if name != owner.metadata.name or not text.isdecimal() or len(text) > _DIGITS:
        return None
    return int(text)


def ordinals(owner: StatefulSet) -> range:
    """Returns the ordinals that a set shall have."""
    start = owner.spec.ordinals.start if owner.spec.ordinals is not None else 0
    return range(start, start + owner.spec.replicas)


def name_of(owner: StatefulSet, ordinal: int) -> str:
    """Returns the name of the pod of an ordinal."""
    return f"{owner.metadata.name}-{ordinal}"


def new_pod(owner: StatefulSet, ordinal: int, template: Document, revision: str) -> Create:
    """Returns the creation of the pod of an ordinal from the template of a revision."""
    name = name_of(owner, ordinal)
    spec = template.get("spec") or {}
    about = template.get("metadata") or {}
    labels = {**(about.get("labels") or {}), **_labels(name, ordinal), REVISION: revision}
    create = pods.from_template(
        {**template, "metadata": {**about, "labels": labels}},
        namespace=owner.metadata.namespace,
        prefix=f"{owner.metadata.name}-",
        owner=ownership.reference(owner, STATEFULSET),
        hostname=name,
        volumes=_volumes(owner, ordinal, spec.get("volumes") or ()),
    )
    if owner.spec.service_name:
        create.document["spec"]["subdomain"] = owner.spec.service_name
    metadata = create.document["metadata"]
    create.document["metadata"] = {
        "name": name,
        **{field: value for field, value in metadata.items() if field != "generateName"},
    }
    return create


def _labels(name: str, ordinal: int) -> dict[str, str]:
    return {POD_NAME: name, POD_INDEX: str(ordinal)}


def _volumes(owner: StatefulSet, ordinal: int, given: Iterable[Document]) -> list[Document]:
    """Returns the volumes of a pod; claims take the place of volumes of the same name."""
    claims = {
        _template_name(template): {"claimName": claim_name(owner, template, ordinal)}
        for template in owner.spec.volume_claim_templates
    }
    made = [{"name": name, "persistentVolumeClaim": it} for name, it in claims.items()]
    return [*made, *(volume for volume in given if volume.get("name") not in claims)]


def plan_identity(owner: StatefulSet, pod: Pod, ordinal: int) -> Patch | None:
    """Returns the labels that a pod lacks of its identity, None where it has them."""
    wanted = _labels(pod.metadata.name, ordinal)
    if wanted.items() <= pod.metadata.labels.items():
        return None
    metadata = {"labels": wanted}
    return Patch(POD.ref(*pod.key), {"metadata": metadata}, uid=pod.metadata.uid)


# Claims


def _template_name(template: Mapping[str, Any]) -> str:
    return str((template.get("metadata") or {}).get("name") or "")


def claim_name(owner: StatefulSet, template: Mapping[str, Any], ordinal: int) -> str:
    """Returns the name of the claim of an ordinal; volume binding counts on this form."""
    return f"{_template_name(template)}-{owner.metadata.name}-{ordinal}"


def claim_names(owner: StatefulSet, ordinal: int) -> list[str]:
    """Returns the names of all claims of an ordinal."""
    return [claim_name(owner, it, ordinal) for it in owner.spec.volume_claim_templates]


def new_claims(owner: StatefulSet, ordinal: int) -> list[Create]:
    """Returns the creations of the claims of an ordinal."""
    return [_new_claim(owner, it, ordinal) for it in owner.spec.volume_claim_templates]


def _new_claim(owner: StatefulSet, template: Mapping[str, Any], ordinal: int) -> Create:
    namespace, about = owner.metadata.namespace, template.get("metadata") or {}
    labels = {**(about.get("labels") or {}), **owner.spec.selector.match_labels}
    metadata: Document = {
        "name": claim_name(owner, template, ordinal),
        "namespace": namespace,
        "labels": labels,
    }
    if annotations := about.get("annotations"):
        metadata["annotations"] = annotations
    if owner.spec.persistent_volume_claim_retention_policy.when_deleted == "Delete":
        metadata["ownerReferences"] = [ownership.reference(owner, STATEFULSET)]
    document: Document = {
        "apiVersion": CLAIM.api_version(),
        "kind": CLAIM.name,
        "metadata": metadata,
        "spec": template.get("spec") or {},
    }
    return Create(CLAIM, document, namespace)


def is_stale(owner: StatefulSet, claim: Object, name: str) -> bool:
    """Says whether a claim goes with a pod that is gone, so that a new pod has to wait for it."""
    if owner.spec.persistent_volume_claim_retention_policy.when_scaled != "Delete":
        return False
    return any(it.kind == "Pod" and it.name == name for it in claim.metadata.owner_references)


def plan_retention(owner: StatefulSet, claim: Object, pod: Pod) -> Patch | None:
    """Returns the owners that a claim shall have (KEP-1847), None where it has them.

    A claim that another controller manages is left alone.
    """
    manager = claim.metadata.controller
    uids = (owner.metadata.uid, pod.metadata.uid)
    if manager is not None and manager.uid not in uids:
        return None
    kept = [it for it in claim.metadata.owner_references if it.uid not in uids]
    wanted = [_reference(it) for it in kept] + _retaining(owner, pod)
    present = [_reference(it) for it in claim.metadata.owner_references]
    if {it["uid"] for it in wanted} == {it["uid"] for it in present}:
        return None
    ref, metadata = CLAIM.ref(*claim.key), claim.metadata
    patch = {"metadata": {"ownerReferences": wanted}}
    return Patch(ref, patch, uid=metadata.uid, revision=metadata.revision)


def _retaining(owner: StatefulSet, pod: Pod) -> list[Document]:
    """Returns the owner with which a claim goes: the set, a pod that is scaled away, or none."""
    policy: RetentionPolicy = owner.spec.persistent_volume_claim_retention_policy
    condemned = ordinal_of(owner, pod) not in ordinals(owner)
    if policy.when_scaled == "Delete" and condemned:
        return [ownership.reference(pod, POD)]
    if policy.when_deleted == "Delete":
        return [ownership.reference(owner, STATEFULSET)]
    return []


def _reference(found: OwnerReference) -> Document:
    return {
        "apiVersion": found.api_version,
        "kind": found.kind,
        "name": found.name,
        "uid": found.uid,
        "controller": found.controller,
        "blockOwnerDeletion": found.block_owner_deletion,
    }
