"""Attach and detach: VolumeAttachments for the volumes of CSI drivers that pods on a node need.

The driver's attacher carries them out. One node at a time, so that no volume is given to two at
once; see `attach_plan.py` for what is decided. What was of upstream's tree is a volume of a driver
where the node leaves it to one, and has that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final

from msgspec.structs import replace

from steersman.client.interface import Views
from steersman.controllers import attach_plan, claims
from steersman.controllers.attach_plan import Rivals, Scene, Source, Wanted, source_of
from steersman.controllers.node_lifecycle import BY_NODE, by_node
from steersman.model.csi_sources import Untranslatable
from steersman.model.csi_translation import (
    handle_of_inline,
    migrated,
    of_driver,
    plugin_of,
    translated_inline,
)
from steersman.model.errors import AlreadyExists, APIError, Conflict, InternalError, NotFound
from steersman.model.kinds.csidriver import CSIDRIVER, CSIDriver
from steersman.model.kinds.csinode import CSINODE, CSINode
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

BY_VOLUME: Final = "volume"  # index of attachments: by PersistentVolume, or by source inside a pod
BY_NODE_NAME: Final = "node"  # index of attachments
BY_SOURCE: Final = "source"  # index of volumes, and of pods that name some themselves


def _volumes(attachment: VolumeAttachment) -> tuple[str, ...]:
    given = attachment.spec.source
    name, inside = given.persistent_volume_name, source_of(given.inline_volume_spec)
    return (name,) if name else (inside.name,) if inside is not None else ()


def _source(views: Views, attachment: VolumeAttachment) -> Source | None:
    """Returns the volume of an attachment, None where that is gone."""
    found = attach_plan.volume_of(attachment, views.of(PERSISTENTVOLUME).get)
    return source_of(found.spec) if found is not None else None


def _by_source(volume: PersistentVolume) -> tuple[str, ...]:
    found = of_driver(volume)
    source = source_of(found.spec) if found is not None else None
    return (source.name,) if source is not None else ()


def _inline_sources(pod: Pod) -> tuple[str, ...]:
    """Returns which volumes a pod names itself that drivers have."""
    found = (handle_of_inline(it, pod.metadata.namespace) for it in pod.spec.volumes)
    return tuple(Source(it.driver, it.volume).name for it in found if it is not None)


def _node(attachment: VolumeAttachment) -> tuple[str, ...]:
    return (attachment.spec.node_name,)


def _nodes(names: Iterable[str]) -> list[Ref]:
    return [NODE.ref("", name) for name in dict.fromkeys(names) if name]


def _of_pod(_views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod with volumes that may be attached to its node."""
    either = [pod for pod in (old, new) if pod is not None and _has_volumes(pod)]
    return _nodes(pod.spec.node_name for pod in either) if either else ()


def _has_volumes(pod: Pod) -> bool:
    return any(claims.names_of(pod)) or any(plugin_of(it) for it in pod.spec.volumes)


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


def _users(views: Views, name: str) -> Iterator[Pod]:
    """Yields the pods that have a volume, by the name under which nodes know it."""
    for volume in views.of(PERSISTENTVOLUME).by(BY_SOURCE, name):
        yield from _pods_of(views, volume)
    yield from views.of(POD).by(BY_SOURCE, name)


def _of_attachment(
    views: Views, old: VolumeAttachment | None, new: VolumeAttachment | None
) -> Iterable[Ref]:
    """Maps an attachment to its node, and one that is gone to all who may have waited for it."""
    found = new or old
    if found is None:
        return ()
    names = [found.spec.node_name]
    if new is None and (source := _source(views, found)) is not None:
        names += [pod.spec.node_name for pod in _users(views, source.name)]
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


def _of_csi_node(_views: Views, old: CSINode | None, new: CSINode | None) -> Iterable[Ref]:
    """Maps a node that has other drivers now, or leaves other plugins to them, to itself."""
    if new is None or (old is not None and (old.spec, migrated(old)) == (new.spec, migrated(new))):
        return ()
    return _nodes([new.metadata.name])


class AttachDetachController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "attachdetach-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(NODE, _of_node),
        Watch(
            POD,
            _of_pod,
            {BY_NODE: by_node, claims.BY_CLAIM: claims.by_claim, BY_SOURCE: _inline_sources},
        ),
        Watch(PERSISTENTVOLUMECLAIM, _of_claim),
        Watch(PERSISTENTVOLUME, _of_volume, {BY_SOURCE: _by_source}),
        Watch(VOLUMEATTACHMENT, _of_attachment, {BY_VOLUME: _volumes, BY_NODE_NAME: _node}),
        Watch(CSIDRIVER, _of_driver),
        Watch(CSINODE, _of_csi_node),
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
        self._csi_nodes = views.of(CSINODE)
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
                    found = scene.wanted[action.document["metadata"]["name"]]
                    await self._attach(action, found.source)
                    continue
                if isinstance(action, Delete) and action.ref.name in made.unused:
                    await self._check_unused(ref, made.unused[action.ref.name])
                await act_one(self._given.client, self._given.events, action)
            return Done(made.again)

    async def _attach(self, action: Create, source: Source) -> None:
        """Makes an attachment; the next node's turn comes when it can be seen, or is known to be
        uncertain."""
        name, spec = action.document["metadata"]["name"], action.document["spec"]
        self._uncertain[name] = source.name, spec["nodeName"]
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
        unneeded = [it.metadata.name for it in here if it.metadata.name not in wanted]
        before = self._since.get(name, {})
        since = {it: before.get(it, now) for it in unneeded}
        self._remember(self._since, name, since)
        sources = {
            it.metadata.name: source
            for it in here
            if (source := _source(self._all, it)) is not None
        }
        return Scene(
            name,
            self._nodes.get(NODE.ref("", name)),
            wanted,
            here,
            sources,
            {key: self._rivals(name, found.source.name) for key, found in wanted.items()},
            since,
            self._told.get(name, frozenset()),
        )

    def _wanted(self, node: str) -> dict[str, Wanted]:
        """Returns what pods on a node need attached, by the names of attachments."""
        found: dict[str, Wanted] = {}
        for pod in self._pods.by(BY_NODE, node):
            if attach_plan.is_ended(pod):
                continue
            for volume, inline in self._volumes_of(pod, node):
                source = source_of(volume.spec)
                if source is None or not self._is_attached(source.driver):
                    continue
                name = source.attachment(node)
                known = found.get(name) or Wanted(volume, source, (), inline)
                found[name] = replace(known, pods=(*known.pods, pod))
        return found

    def _volumes_of(self, pod: Pod, node: str) -> Iterator[tuple[PersistentVolume, bool]]:
        """Yields the volumes that drivers have for a pod, and whether it names them itself."""
        for name in claims.names_of(pod):
            if (volume := self._claimed(pod, name)) is None:
                continue
            found = of_driver(volume)
            if found is not None and self._is_left_to_driver(plugin_of(volume.spec), found, node):
                yield found, False
        for inline in pod.spec.volumes:
            try:
                made = translated_inline(inline, pod.metadata.namespace)
            except Untranslatable:  # the node tells the pod
                continue
            if made is not None and self._is_left_to_driver(plugin_of(inline), made, node):
                yield made, True

    def _claimed(self, pod: Pod, name: str) -> PersistentVolume | None:
        """Returns the volume of a pod's claim, None while that is not bound to it."""
        ref = PERSISTENTVOLUMECLAIM.ref(pod.metadata.namespace, name)
        claim: PersistentVolumeClaim | None = self._claims.get(ref)
        if claim is None or claim.status.phase != "Bound":
            return None
        ref = PERSISTENTVOLUME.ref("", claim.spec.volume_name)
        volume: PersistentVolume | None = self._volumes.get(ref)
        owner = volume.spec.claim_ref if volume is not None else None
        return volume if owner is not None and owner.uid == claim.metadata.uid else None

    def _is_left_to_driver(self, plugin: str, volume: PersistentVolume, node: str) -> bool:
        """Says whether a node has a volume by a driver: it is of no plugin of upstream's tree, or
        the node leaves that to the driver and has it (isCSIMigrationSupportedOnNode). A driver
        that goes does not take along what is attached."""
        source = source_of(volume.spec)
        if not plugin or source is None:
            return not plugin
        found: CSINode | None = self._csi_nodes.get(CSINODE.ref("", node))
        if found is None or plugin not in migrated(found):
            return False
        if any(it.name == source.driver for it in found.spec.drivers):
            return True
        ref = VOLUMEATTACHMENT.ref("", source.attachment(node))
        return self._attachments.get(ref) is not None

    def _is_attached(self, driver: str) -> bool:
        """Says whether volumes of a driver are attached; one that says nothing needs it."""
        found: CSIDriver | None = self._drivers.get(CSIDRIVER.ref("", driver))
        return found is None or found.spec.attach_required

    def _rivals(self, node: str, name: str) -> Rivals:
        """Returns who has a volume elsewhere, by the name under which nodes know it."""
        volumes = (it.metadata.name for it in self._volumes.by(BY_SOURCE, name))
        others = {
            it.spec.node_name
            for key in (name, *volumes)
            for it in self._attachments.by(BY_VOLUME, key)
            if it.spec.node_name != node
        }
        places = (place for found, place in self._uncertain.values() if found == name)
        uncertain = any(place != node for place in places)
        if not others:
            return Rivals(uncertain=uncertain)
        pods = (
            pod.metadata.name
            for pod in _users(self._all, name)
            if pod.spec.node_name in others and not attach_plan.is_ended(pod)
        )
        return Rivals(True, tuple(sorted(pods)))
