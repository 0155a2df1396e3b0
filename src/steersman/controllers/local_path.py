"""The provisioner of volumes that are directories of a node: makes the volume where the scheduler
chose a node, lets it grow, and removes it where no node can.

Acts as the binder, as upstream's provisioners inside of the tree do. Its one rule: it never
touches a disk; the node makes the directory with the first pod, and removes it with the volume.
Texts follow sig-storage-lib-external-provisioner and external-resizer.
"""

from __future__ import annotations

from collections.abc import Iterable
from posixpath import join
from typing import ClassVar

from steersman.client.interface import Views
from steersman.model import local_path
from steersman.model.errors import AlreadyExists
from steersman.model.kind import Document
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.storageclass import STORAGECLASS, StorageClass
from steersman.model.ref import Ref
from steersman.model.volume_binding import (
    PROVISIONERS,
    SELECTED_NODE,
    asked,
    class_of,
    is_reclaimed,
    size,
    wants_to_grow,
)
from steersman.reconcile.actions import Action, Create, Delete, Patch, Tell, act, status
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

# Where volumes of nodes without a disk are said to be
NOWHERE = "/var/lib/steersman/local-path"
_MOST_NAME = 255  # NAME_MAX
_HOSTNAME = "kubernetes.io/hostname"
_MODES = ({"ReadWriteOnce"}, {"ReadWriteOncePod"})


class Refused(Exception):
    """Why no volume can be made."""


def is_ours(claim: PersistentVolumeClaim) -> bool:
    """Says whether a claim waits for a volume of ours."""
    annotations = claim.metadata.annotations
    named = any(annotations.get(name) == local_path.PROVISIONER for name in PROVISIONERS)
    going = claim.metadata.deletion_timestamp is not None
    return named and not claim.spec.volume_name and not going


def volume_name(claim: PersistentVolumeClaim) -> str:
    """Returns the name of a claim's volume: one, however often it is asked for."""
    return f"{local_path.PREFIX}{claim.metadata.uid}"


def directory_name(claim: PersistentVolumeClaim) -> str:
    """Returns the name of a claim's directory; the part that is for people may be cut."""
    namespace, name = claim.key
    return f"{volume_name(claim)}_{namespace}_{name}"[:_MOST_NAME]


def plan(
    claim: PersistentVolumeClaim, found: StorageClass | None, node: Node | None
) -> list[Action]:
    """Returns what provides a claim with its volume, or tells why that is impossible."""
    namespace, name = claim.key
    try:
        create = render(claim, found, node)
    except Refused as error:
        start = f'failed to provision volume with StorageClass "{class_of(claim)}": '
        return [Tell(claim, "ProvisioningFailed", f"{start}{error}", "Warning")]
    text = f'External provisioner is provisioning volume for claim "{namespace}/{name}"'
    done = f"Successfully provisioned volume {volume_name(claim)}"
    return [
        Tell(claim, "Provisioning", text),
        create,
        Tell(claim, "ProvisioningSucceeded", done),
    ]


def render(claim: PersistentVolumeClaim, found: StorageClass | None, node: Node | None) -> Create:
    """Returns the volume of a claim on a node; raises Refused."""
    if found is None or found.provisioner != local_path.PROVISIONER:
        raise Refused(f'storageclass "{class_of(claim)}" is not of {local_path.PROVISIONER}')
    if node is None:
        raise Refused("configuration error, no node was specified")
    check_claim(claim)
    directory = node.metadata.annotations.get(local_path.DIRECTORY, "")
    if local_path.SIMULATED in node.metadata.labels:
        directory = NOWHERE
    if not directory:
        raise Refused(f'node "{node.metadata.name}" has no directory for volumes')
    path = join(directory, directory_name(claim))
    document = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim),
            "annotations": {
                local_path.PROVISIONED_BY: local_path.PROVISIONER,
                local_path.NODE_OF: node.metadata.name,
            },
        },
        "spec": {**_spec(claim, found), **_place(node, path)},
    }
    return Create(PERSISTENTVOLUME, document)


def check_claim(claim: PersistentVolumeClaim) -> None:
    """Raises Refused for what a directory of a node cannot be."""
    if claim.spec.selector is not None:
        raise Refused("claim.Spec.Selector is not supported")
    if set(claim.spec.access_modes) not in _MODES:
        text = "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes"
        raise Refused(text)
    if claim.spec.volume_mode != "Filesystem":
        raise Refused(f"volumeMode {claim.spec.volume_mode} is not supported")
    if claim.spec.data_source is not None:
        raise Refused("claim.Spec.DataSource is not supported")


def _spec(claim: PersistentVolumeClaim, found: StorageClass) -> Document:
    namespace, name = claim.key
    metadata = claim.metadata
    return {
        "capacity": {"storage": claim.spec.resources.requests["storage"]},
        "accessModes": list(claim.spec.access_modes),
        "persistentVolumeReclaimPolicy": found.reclaim_policy,
        "storageClassName": found.metadata.name,
        "volumeMode": claim.spec.volume_mode,
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": namespace,
            "name": name,
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        },
    }


def _place(node: Node, path: str) -> Document:
    hostname = node.metadata.labels.get(_HOSTNAME, node.metadata.name)
    term = {"key": _HOSTNAME, "operator": "In", "values": [hostname]}
    terms = [{"matchExpressions": [term]}]
    return {
        "local": {"path": path},
        "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
    }


def plan_growth(claim: PersistentVolumeClaim, volume: PersistentVolume) -> list[Action]:
    """Returns what lets a bound volume grow to what its claim asks for; none where it has it. A
    claim that asks for less than it did before gets what its volume has by then (KEP-1790)."""
    if not wants_to_grow(claim) or not local_path.node_of(volume.metadata.annotations):
        return []
    actions: list[Action] = []
    metadata, name = volume.metadata, volume.metadata.name
    has = volume.spec.capacity["storage"]
    if size(volume) < asked(claim):
        has = claim.spec.resources.requests["storage"]
        text = f"External resizer is resizing volume {name}"
        ref, patch = PERSISTENTVOLUME.ref("", name), {"spec": {"capacity": {"storage": has}}}
        actions += [
            Tell(claim, "Resizing", text),
            Patch(ref, patch, uid=metadata.uid, revision=metadata.revision),
        ]
    ref = PERSISTENTVOLUMECLAIM.ref(*claim.key)
    return [
        *actions,
        status(ref, {"capacity": {"storage": has}}, uid=claim.metadata.uid),
        Tell(claim, "VolumeResizeSuccessful", "Resize volume succeeded"),
    ]


def plan_removal(volume: PersistentVolume, node: Node | None) -> list[Action]:
    """Returns what removes a released volume that has no directory; one that has goes with it,
    by its node."""
    simulated = node is not None and local_path.SIMULATED in node.metadata.labels
    if not simulated or not is_reclaimed(volume):
        return []
    return [Delete(PERSISTENTVOLUME.ref("", volume.metadata.name), volume.metadata.uid)]


def _of_claim(
    _views: Views, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
) -> Iterable[Ref]:
    """Maps a claim that waits for a volume, or that may grow, to itself."""
    return () if new is None else (PERSISTENTVOLUMECLAIM.ref(*new.key),)


def _of_volume(
    _views: Views, old: PersistentVolume | None, new: PersistentVolume | None
) -> Iterable[Ref]:
    """Maps a volume of ours to itself."""
    if new is None or not local_path.node_of(new.metadata.annotations):
        return ()
    return (PERSISTENTVOLUME.ref("", new.metadata.name),)


def _of_node(views: Views, old: Node | None, new: Node | None) -> Iterable[Ref]:
    """Maps a node that comes, or that says anew where its volumes are, to the claims for it."""
    if new is None or (old is not None and _place_of(old) == _place_of(new)):
        return ()
    waiting = filter(is_ours, views.of(PERSISTENTVOLUMECLAIM).list())
    name = new.metadata.name
    chosen = [it for it in waiting if it.metadata.annotations.get(SELECTED_NODE) == name]
    return [PERSISTENTVOLUMECLAIM.ref(*it.key) for it in chosen]


def _place_of(node: Node) -> str:
    return node.metadata.annotations.get(local_path.DIRECTORY, "")


class LocalPathController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "local-path-provisioner"
    account: ClassVar[str] = "persistent-volume-binder"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(PERSISTENTVOLUMECLAIM, _of_claim),
        Watch(PERSISTENTVOLUME, _of_volume),
        Watch(NODE, _of_node),
        Watch(STORAGECLASS, lambda *_: ()),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("persistentvolumes",), ("create", "patch", "delete")),
        Rule("", ("persistentvolumeclaims/status",), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._claims = given.views.of(PERSISTENTVOLUMECLAIM)
        self._volumes = given.views.of(PERSISTENTVOLUME)
        self._nodes = given.views.of(NODE)
        self._classes = given.views.of(STORAGECLASS)

    async def reconcile(self, ref: Ref) -> Done:
        """Provides one claim with its volume, or removes one volume."""
        if ref.kind == PERSISTENTVOLUME.resource:
            volume: PersistentVolume | None = self._volumes.get(ref)
            node = local_path.node_of(volume.metadata.annotations) if volume is not None else ""
            actions = plan_removal(volume, self._node(node)) if volume is not None else []
        else:
            claim: PersistentVolumeClaim | None = self._claims.get(ref)
            actions = self._plan(claim) if claim is not None else []
        try:
            await act(self._given.client, self._given.events, actions)
        except AlreadyExists:  # the volume's own change brings the claim further
            return Done()
        return Done()

    def _plan(self, claim: PersistentVolumeClaim) -> list[Action]:
        named = claim.spec.volume_name or volume_name(claim)
        volume: PersistentVolume | None = self._volumes.get(PERSISTENTVOLUME.ref("", named))
        if volume is not None:
            return plan_growth(claim, volume)
        if not is_ours(claim):
            return []
        found: StorageClass | None = self._classes.get(STORAGECLASS.ref("", class_of(claim)))
        return plan(claim, found, self._node(claim.metadata.annotations.get(SELECTED_NODE, "")))

    def _node(self, name: str) -> Node | None:
        found: Node | None = self._nodes.get(NODE.ref("", name)) if name else None
        return found
