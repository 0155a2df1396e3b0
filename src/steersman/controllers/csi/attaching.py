"""Attaches volumes of CSI drivers to nodes and detaches them, as external-attacher does; for
drivers that opt in (see `opting`)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from steersman.client.interface import Views
from steersman.controllers.attach_plan import volume_of
from steersman.controllers.csi.opting import node_id, socket_of
from steersman.model.kinds.csidriver import CSIDRIVER, CSIDriver
from steersman.model.kinds.csinode import CSINODE, CSINode
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.volumeattachment import VOLUMEATTACHMENT, VolumeAttachment
from steersman.model.ref import Ref
from steersman.model.times import rfc3339
from steersman.reconcile.actions import Patch, act, status
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

if TYPE_CHECKING:
    from steersman.controllers.csi.asking import ControllerService


def finalizer_of(driver: str) -> str:
    """Returns the mark of an attachment that a driver has to take back."""
    return f"external-attacher/{driver.replace('.', '-').replace('/', '-').lower()}"


def is_due(attachment: VolumeAttachment) -> bool:
    """Says whether something is to be done for an attachment."""
    if attachment.metadata.deletion_timestamp is not None:
        return finalizer_of(attachment.spec.attacher) in attachment.metadata.finalizers
    return not attachment.status.attached


def _of_attachment(
    _views: Views, old: VolumeAttachment | None, new: VolumeAttachment | None
) -> Iterable[Ref]:
    """Maps an attachment that waits to itself."""
    return (VOLUMEATTACHMENT.ref(*new.key),) if new is not None and is_due(new) else ()


def _of_driver(views: Views, old: CSIDriver | None, new: CSIDriver | None) -> Iterable[Ref]:
    """Maps a driver to the attachments that wait for it."""
    name = new.metadata.name if new is not None else ""
    found = views.of(VOLUMEATTACHMENT).list()
    return [VOLUMEATTACHMENT.ref(*it.key) for it in found if it.spec.attacher == name]


def _of_csi_node(views: Views, old: CSINode | None, new: CSINode | None) -> Iterable[Ref]:
    """Maps a node whose drivers have changed to its attachments."""
    name = new.metadata.name if new is not None else ""
    found = views.of(VOLUMEATTACHMENT).list()
    return [VOLUMEATTACHMENT.ref(*it.key) for it in found if it.spec.node_name == name]


class CSIAttacher:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "csi-attacher"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(VOLUMEATTACHMENT, _of_attachment),
        Watch(CSIDRIVER, _of_driver),
        Watch(CSINODE, _of_csi_node),
        Watch(PERSISTENTVOLUME, lambda *_: ()),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("storage.k8s.io", ("volumeattachments", "volumeattachments/status"), ("patch",)),
        Rule("", ("secrets",), ("get",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        views = given.views
        self._attachments = views.of(VOLUMEATTACHMENT)
        self._volumes = views.of(PERSISTENTVOLUME)
        self._drivers = views.of(CSIDRIVER)
        self._csi_nodes = views.of(CSINODE)

    async def reconcile(self, ref: Ref) -> Done:
        """Attaches or detaches one volume."""
        found: VolumeAttachment | None = self._attachments.get(ref)
        if found is None or not is_due(found):
            return Done()
        socket = socket_of(self._drivers, found.spec.attacher)
        volume = volume_of(found, self._volumes.get)
        if socket is not None and volume is not None:
            await self._carry_out(found, volume, socket)
        return Done()

    async def _carry_out(
        self, attachment: VolumeAttachment, volume: PersistentVolume, socket: Path
    ) -> None:
        from steersman.controllers.csi import asking, requests  # with the first attachment
        from steersman.wire.http2.grpc import Failed

        leaves = attachment.metadata.deletion_timestamp is not None
        try:
            async with asking.calling(socket, self._given.world) as driver:
                work = self._detach if leaves else self._attach
                await work(attachment, volume, driver)
        except (Failed, requests.BadParameters) as error:
            now = rfc3339(self._given.world.now())
            field = "detachError" if leaves else "attachError"
            told = {field: {"time": now, "message": str(error)}}
            ref = VOLUMEATTACHMENT.ref(*attachment.key)
            await act(
                self._given.client,
                self._given.events,
                [status(ref, told, uid=attachment.metadata.uid)],
            )
            raise

    async def _attach(
        self, attachment: VolumeAttachment, volume: PersistentVolume, driver: ControllerService
    ) -> None:
        from steersman.controllers.csi import asking, requests
        from steersman.wire.rpc import csi

        ref, uid = VOLUMEATTACHMENT.ref(*attachment.key), attachment.metadata.uid
        abilities = await driver.abilities()
        context: dict[str, str] = {}
        if csi.PUBLISH_UNPUBLISH_VOLUME in abilities:
            node = self._node(attachment)
            mark = finalizer_of(attachment.spec.attacher)
            others = [it for it in attachment.metadata.finalizers if it != mark]
            # Marked first: what is attached has to be detached, whatever happens here
            marks = {"metadata": {"finalizers": [*others, mark]}}
            client, events = self._given.client, self._given.events
            await act(client, events, [Patch(ref, marks, uid=uid)])
            source = volume.spec.csi or {}
            secret = requests.secret_in(volume, "controllerPublishSecretRef")
            message = csi.ControllerPublishVolume(
                source.get("volumeHandle", ""),
                node,
                requests.capability_of(volume, abilities),
                bool(source.get("readOnly")),
                await asking.read_secret(client, secret),
                source.get("volumeAttributes") or {},
            )
            answer = await driver.call(csi.CONTROLLER_PUBLISH_VOLUME, message)
            context = dict(answer.publish_context)
        done = {"attached": True, "attachmentMetadata": context or None, "attachError": None}
        await act(self._given.client, self._given.events, [status(ref, done, uid=uid)])

    async def _detach(
        self, attachment: VolumeAttachment, volume: PersistentVolume, driver: ControllerService
    ) -> None:
        from steersman.controllers.csi import asking, requests
        from steersman.wire.rpc import csi

        secret = requests.secret_in(volume, "controllerPublishSecretRef")
        message = csi.ControllerUnpublishVolume(
            (volume.spec.csi or {}).get("volumeHandle", ""),
            self._node(attachment),
            await asking.read_secret(self._given.client, secret),
        )
        await driver.call(csi.CONTROLLER_UNPUBLISH_VOLUME, message)
        mark = finalizer_of(attachment.spec.attacher)
        others = [it for it in attachment.metadata.finalizers if it != mark]
        patch = Patch(
            VOLUMEATTACHMENT.ref(*attachment.key),
            {"metadata": {"finalizers": others}},
            uid=attachment.metadata.uid,
        )
        await act(self._given.client, self._given.events, [patch])

    def _node(self, attachment: VolumeAttachment) -> str:
        from steersman.controllers.csi.requests import BadParameters

        driver, node = attachment.spec.attacher, attachment.spec.node_name
        if (found := node_id(driver, self._csi_nodes, node)) is None:
            raise BadParameters(f"CSINode {node} does not contain driver {driver}")
        return found
