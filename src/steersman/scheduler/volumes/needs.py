"""What a pod needs of its claims before a node can be chosen (volumebinding PreFilter)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.kinds.pod import Pod
from steersman.model.types.volume import Volume
from steersman.model.volume_binding import WAITS, class_of, is_bound
from steersman.scheduler.volumes.storage import Storage

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"


class Needs(msgspec.Struct, frozen=True):
    """The claims of a pod: with a volume (None where that does not exist), and those for which
    the node is chosen first."""

    bound: tuple[tuple[PersistentVolumeClaim, PersistentVolume | None], ...] = ()
    waiting: tuple[PersistentVolumeClaim, ...] = ()

    @property
    def claims(self) -> tuple[PersistentVolumeClaim, ...]:
        """All of them."""
        return (*(claim for claim, _ in self.bound), *self.waiting)


def claim_names(pod: Pod) -> Iterator[tuple[Volume, str]]:
    """Yields the volumes of a pod that are claims, and the claims' names."""
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield volume, volume.persistent_volume_claim.claim_name
        elif volume.ephemeral is not None:
            yield volume, f"{pod.metadata.name}-{volume.name}"


def needs_of(pod: Pod, storage: Storage) -> Needs | str:
    """Returns what a pod needs, or why it can run nowhere yet."""
    bound, waiting = [], []
    unbound = False
    for volume, name in claim_names(pod):
        claim = storage.claim(pod.metadata.namespace, name)
        if claim is None or (why := trouble(pod, volume, claim)):
            return missing(volume, name) if claim is None else why
        if is_bound(claim):
            bound.append((claim, storage.volume(claim.spec.volume_name)))
        elif waits(claim, storage):
            waiting.append(claim)
        else:
            unbound = True
    return UNBOUND if unbound else Needs(tuple(bound), tuple(waiting))


def waits(claim: PersistentVolumeClaim, storage: Storage) -> bool:
    """Says whether a claim waits for a node; one that names its volume does not."""
    found = storage.storage_class(class_of(claim))
    chosen = bool(claim.spec.volume_name)
    return found is not None and found.volume_binding_mode == WAITS and not chosen


def missing(volume: Volume, name: str) -> str:
    """Returns what is said of a claim that does not exist."""
    if volume.ephemeral is not None:
        text = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
        return f'{text} "{name}"'
    return f'persistentvolumeclaim "{name}" not found'


def trouble(pod: Pod, volume: Volume, claim: PersistentVolumeClaim) -> str:
    """Returns why a claim cannot be used, empty where it can."""
    name = claim.metadata.name
    if claim.status.phase == "Lost":
        volume_name = claim.spec.volume_name
        return (
            f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume_name}"'
        )
    if claim.metadata.deletion_timestamp is not None:
        return f'persistentvolumeclaim "{name}" is being deleted'
    owner = claim.metadata.controller
    if volume.ephemeral is not None and (owner is None or owner.uid != pod.metadata.uid):
        namespace = pod.metadata.namespace
        whose = f"for pod {namespace}/{pod.metadata.name} (pod is not owner)"
        return f"PVC {namespace}/{name} was not created {whose}"
    return ""
