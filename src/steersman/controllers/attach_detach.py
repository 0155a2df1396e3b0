"""Attach and detach: VolumeAttachments for the volumes of CSI drivers that pods on a node need.

The driver's attacher carries them out. One node at a time, so that no volume is given to two at
once; see `attach_plan.py` for what is decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final

from steersman.client.interface import Views
from steersman.controllers import attach_plan, claims
from steersman.controllers.attach_plan import Rivals, Scene, Source, Wanted, source_of, volume_of
from steersman.controllers.node_lifecycle import BY_NODE, by_node
from steersman.model.errors import AlreadyExists, APIError, Conflict, InternalError, NotFound
from steersman.model.kinds.csidriver import CSIDRIVER, CSIDriver
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.volumeattachment import VOLUMEATTACHMENT, VolumeAttachment
from steersman.model.ref import Ref
from steersman.reconcile.actions import Create, Delete, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

BY_VOLUME: Final = "volume"  # index of attachments
BY_NODE_NAME: Final = "node"  # index of attachments


def _volumes(attachment: VolumeAttachment) -> tuple[str, ...]:
    name = volume_of(attachment)
    return (name,) if name else ()


def _node(attachment: VolumeAttachment) -> tuple[str, ...]:
    return (attachment.spec.node_name,)


def _nodes(names: Iterable[str]) -> list[Ref]:
    return [NODE.ref("", name) for name in dict.fromkeys(names) if name]


def _of_pod(_views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod with claims to its node."""
    either = [pod for pod in (old, new) if pod is not None and any(claims.names_of(pod))]
    return _nodes(pod.spec.node_name for pod in either) if either else ()


def _of_claim(
    views: Views, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
) -> Iterable[Ref]:
    """Maps a claim that is bound now to the nodes of its pods."""
    if new is None or (old is not None and old.status.phase == new.status.phase):
        return ()
    pods = views.of(POD).by(claims.BY_CLAIM, "/".join(new.key))
    return _nodes(pod.spec.node_name for pod in pods)


def _of_volume(
    views: Views, old: PersistentVolume | None, new: PersistentVolume | None
) -> Iterable[Ref]:
    """Maps a volume that came, or has another claim, to the nodes of the claim's pods."""
    if new is None or (old is not None and old.spec.claim_ref == new.spec.claim_ref):
        return ()
    return _nodes(pod.spec.node_name for pod in _pods_of(views, new))


def _pods_of(views: Views, volume: PersistentVolume | None) -> Iterable[Pod]:
    """Returns the pods that have the claim of a volume."""
    claim = volume.spec.claim_ref if volume is not None else None
    if claim is None:
        return ()
    found: Iterable[Pod] = views.of(POD).by(claims.BY_CLAIM, f"{claim.namespace}/{claim.name}")
    return found


def _of_attachment(
    views: Views, old: VolumeAttachment | None, new: VolumeAttachment | None
) -> Iterable[Ref]:
    """Maps an attachment to its node, and one that is gone to all who may have waited for it."""
    found = new or old
    if found is None:
        return ()
    names = [found.spec.node_name]
    if new is None:
        volume = views.of(PERSISTENTVOLUME).get(PERSISTENTVOLUME.ref("", volume_of(found)))
        names += [pod.spec.node_name for pod in _pods_of(views, volume)]
    return _nodes(names)


def _of_node(views: Views, old: Node | None, new: Node | None) -> Iterable[Ref]:
    """Maps a node with attachments, or one that came, to itself."""
    found = new or old
    if found is None:
        return ()
    name = found.metadata.name
    came = old is None or old.metadata.annotations != found.metadata.annotations
    concerned = came or views.of(VOLUMEATTACHMENT).by(BY_NODE_NAME, name)
    return _nodes([name]) if concerned or found.status.volumes_attached else ()


def _of_driver(views: Views, old: CSIDriver | None, new: CSIDriver | None) -> Iterable[Ref]:
    """Maps a driver that needs attaching now, or no more, to all nodes."""
    if old is not None and new is not None and old.spec == new.spec:
        return ()
    return _nodes(node.metadata.name for node in views.of(NODE).list())


class AttachDetachController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "attachdetach-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(NODE, _of_node),
        Watch(POD, _of_pod, {BY_NODE: by_node, claims.BY_CLAIM: claims.by_claim}),
        Watch(PERSISTENTVOLUMECLAIM, _of_claim),
        Watch(PERSISTENTVOLUME, _of_volume),
        Watch(VOLUMEATTACHMENT, _of_attachment, {BY_VOLUME: _volumes, BY_NODE_NAME: _node}),
        Watch(CSIDRIVER, _of_driver),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("storage.k8s.io", ("volumeattachments",), ("create", "delete", "get")),
        Rule("", ("nodes",), ("get",)),
        Rule("", ("nodes/status",), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        views = given.views
        self._all = views
        self._nodes = views.of(NODE)
        self._pods = views.of(POD)
        self._claims = views.of(PERSISTENTVOLUMECLAIM)
        self._volumes = views.of(PERSISTENTVOLUME)
        self._attachments = views.of(VOLUMEATTACHMENT)
        self._drivers = views.of(CSIDRIVER)
        self._turn = asyncio.Lock()
        # Attachments asked for whose answer was lost, with volume and node, until they are seen
        self._uncertain: dict[str, tuple[str, str]] = {}
        # Kept by node, and forgotten with it; a restart begins the wait anew, as upstream's does
        self._since: dict[str, dict[str, float]] = {}
        self._told: dict[str, frozenset[str]] = {}

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the attachments of one node right."""
        async with self._turn:
            await self._settle(ref.name)
            now = self._given.world.now()
            scene = self._scene(ref.name, now)
            made = attach_plan.plan(scene, now)
            self._remember(self._told, ref.name, made.told)
            for action in made.actions:
                if isinstance(action, Create):
                    await self._attach(action)
                    continue
                if isinstance(action, Delete) and action.ref.name in made.unused:
                    await self._check_unused(ref, made.unused[action.ref.name])
                await act_one(self._given.client, self._given.events, action)
            return Done(made.again)

    async def _attach(self, action: Create) -> None:
        """Makes an attachment; the next node's turn comes when it can be seen, or is known to be
        uncertain."""
        name, spec = action.document["metadata"]["name"], action.document["spec"]
        volume = spec["source"]["persistentVolumeName"]
        self._uncertain[name] = volume, spec["nodeName"]
        try:
            written = await act_one(self._given.client, self._given.events, action)
        except AlreadyExists:  # the copy is behind; what is there comes with it
            return
        except APIError as error:
            if error.code < InternalError.code:
                del self._uncertain[name]  # refused: nothing was made
            raise
        await self._attachments.reached(written.metadata.revision)
        del self._uncertain[name]

    async def _settle(self, node: str) -> None:
        """Learns what became of attachments to a node whose answer was lost."""
        for name, (_, place) in list(self._uncertain.items()):
            ref = VOLUMEATTACHMENT.ref("", name)
            if place != node:
                continue
            if self._attachments.get(ref) is None:
                try:
                    found = await self._given.client.get(ref)
                    await self._attachments.reached(found.metadata.revision)
                except NotFound:
                    pass
            del self._uncertain[name]

    async def _check_unused(self, ref: Ref, volume: str) -> None:
        """Asks the API itself, since a copy may not show what a node has in use; raises Conflict
        so that it is tried again."""
        try:
            node: Node = await self._given.client.get(ref)
        except NotFound:
            return
        if volume in node.status.volumes_in_use:
            raise Conflict(
                f"volume {volume} is still in use by node {ref.name}, according to Node status"
            )

    @staticmethod
    def _remember(kept: dict[str, Any], name: str, found: Any) -> None:
        if found:
            kept[name] = found
        else:
            kept.pop(name, None)

    def _scene(self, name: str, now: float) -> Scene:
        here: Sequence[VolumeAttachment] = tuple(self._attachments.by(BY_NODE_NAME, name))
        wanted = self._wanted(name)
        unneeded = [it.metadata.name for it in here if volume_of(it) not in wanted]
        before = self._since.get(name, {})
        since = {it: before.get(it, now) for it in unneeded}
        self._remember(self._since, name, since)
        sources = {
            volume_of(it): source
            for it in here
            if (source := source_of(self._volume(volume_of(it)))) is not None
        }
        return Scene(
            name,
            self._nodes.get(NODE.ref("", name)),
            wanted,
            here,
            sources,
            {volume: self._rivals(name, volume) for volume in wanted},
            since,
            self._told.get(name, frozenset()),
        )

    def _wanted(self, node: str) -> dict[str, Wanted]:
        """Returns what pods on a node need attached, by the names of volumes."""
        found: dict[str, Wanted] = {}
        for pod in self._pods.by(BY_NODE, node):
            if attach_plan.is_ended(pod):
                continue
            for volume, source in self._attachable(pod):
                name = volume.metadata.name
                before = found[name].pods if name in found else ()
                found[name] = Wanted(volume, source, (*before, pod))
        return found

    def _attachable(self, pod: Pod) -> Iterator[tuple[PersistentVolume, Source]]:
        for name in claims.names_of(pod):
            claim: PersistentVolumeClaim | None = self._claims.get(
                PERSISTENTVOLUMECLAIM.ref(pod.metadata.namespace, name)
            )
            if claim is None or claim.status.phase != "Bound":
                continue
            volume = self._volume(claim.spec.volume_name)
            source = source_of(volume)
            if volume is None or source is None or not self._is_attached(source.driver):
                continue
            owner = volume.spec.claim_ref
            if owner is not None and owner.uid == claim.metadata.uid:
                yield volume, source

    def _volume(self, name: str) -> PersistentVolume | None:
        found: PersistentVolume | None = self._volumes.get(PERSISTENTVOLUME.ref("", name))
        return found

    def _is_attached(self, driver: str) -> bool:
        """Says whether volumes of a driver are attached; one that says nothing needs it."""
        found: CSIDriver | None = self._drivers.get(CSIDRIVER.ref("", driver))
        return found is None or found.spec.attach_required

    def _rivals(self, node: str, volume: str) -> Rivals:
        others = {
            it.spec.node_name
            for it in self._attachments.by(BY_VOLUME, volume)
            if it.spec.node_name != node
        }
        places = (place for found, place in self._uncertain.values() if found == volume)
        uncertain = any(place != node for place in places)
        if not others:
            return Rivals(uncertain=uncertain)
        pods = (
            pod.metadata.name
            for pod in _pods_of(self._all, self._volume(volume))
            if pod.spec.node_name in others and not attach_plan.is_ended(pod)
        )
        return Rivals(True, tuple(sorted(pods)))
