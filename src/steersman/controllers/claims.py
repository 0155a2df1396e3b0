"""Which claims a pod has, and how claims and pods are found by each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.kinds.pod import Pod

BY_CLAIM = "claim"  # index: pods by NAMESPACE/NAME of their claims


def names_of(pod: Pod) -> Iterator[str]:
    """Yields the names of a pod's claims; an ephemeral volume's is POD-VOLUME (KEP-1698)."""
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield volume.persistent_volume_claim.claim_name
        elif volume.ephemeral is not None:
            yield f"{pod.metadata.name}-{volume.name}"


def by_claim(pod: Any) -> tuple[str, ...]:
    """Index values: the claims of a pod."""
    return tuple(f"{pod.metadata.namespace}/{name}" for name in names_of(pod))


def is_owned(claim: PersistentVolumeClaim, pod: Pod) -> bool:
    """Says whether a claim was made for a pod's ephemeral volume."""
    owner = claim.metadata.controller
    return owner is not None and owner.uid == pod.metadata.uid
