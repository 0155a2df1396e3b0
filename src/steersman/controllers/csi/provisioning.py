"""Makes volumes of CSI drivers for claims, and removes them, as external-provisioner does; for
drivers that opt in (see `opting`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from steersman.client.interface import Views
from steersman.controllers.csi.opting import socket_of, topologies
from steersman.model.errors import AlreadyExists, NotFound
from steersman.model.kinds.csidriver import CSIDRIVER, CSIDriver
from steersman.model.kinds.csinode import CSINODE
from steersman.model.kinds.node import NODE
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.storageclass import STORAGECLASS, StorageClass
from steersman.model.local_path import PROVISIONED_BY
from steersman.model.ref import Ref
from steersman.model.volume_binding import (
    PROVISIONER_FINALIZER,
    PROVISIONERS,
    SELECTED_NODE,
    class_of,
    is_reclaimed,
)
from steersman.reconcile.actions import Action, Create, Delete, Patch, Tell, act
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

if TYPE_CHECKING:
    from steersman.wire.rpc import csi

SNAPSHOT_GROUP = "snapshot.storage.k8s.io"


def provisioner_of(claim: PersistentVolumeClaim) -> str:
    """Returns whose volume a claim waits for, empty where it waits for none."""
    annotations = claim.metadata.annotations
    if claim.spec.volume_name or claim.metadata.deletion_timestamp is not None:
        return ""
    return next((annotations[it] for it in PROVISIONERS if it in annotations), "")


def is_leaving(volume: PersistentVolume) -> bool:
    """Says whether a volume is to go with its data now."""
    if PROVISIONER_FINALIZER not in volume.metadata.finalizers:
        return False
    deleted = volume.metadata.deletion_timestamp is not None
    policy = volume.spec.persistent_volume_reclaim_policy
    return is_reclaimed(volume) or (
        deleted and policy == "Delete" and volume.status.phase != "Bound"
    )


def _of_claim(
    _views: Views, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
) -> Iterable[Ref]:
    """Maps a claim that waits to itself."""
    if new is None or not provisioner_of(new):
        return ()
    return (PERSISTENTVOLUMECLAIM.ref(*new.key),)


def _of_volume(
    _views: Views, old: PersistentVolume | None, new: PersistentVolume | None
) -> Iterable[Ref]:
    """Maps a volume that leaves to itself."""
    if new is None or not is_leaving(new):
        return ()
    return (PERSISTENTVOLUME.ref("", new.metadata.name),)


def _of_driver(views: Views, old: CSIDriver | None, new: CSIDriver | None) -> Iterable[Ref]:
    """Maps a driver that opts in to what waits for it."""
    if new is None:
        return ()
    name = new.metadata.name
    claims = [it for it in views.of(PERSISTENTVOLUMECLAIM).list() if provisioner_of(it) == name]
    volumes = [
        it
        for it in views.of(PERSISTENTVOLUME).list()
        if it.metadata.annotations.get(PROVISIONED_BY) == name and is_leaving(it)
    ]
    return [
        *(PERSISTENTVOLUMECLAIM.ref(*it.key) for it in claims),
        *(PERSISTENTVOLUME.ref("", it.metadata.name) for it in volumes),
    ]


class CSIProvisioner:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "csi-provisioner"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(PERSISTENTVOLUMECLAIM, _of_claim),
        Watch(PERSISTENTVOLUME, _of_volume),
        Watch(CSIDRIVER, _of_driver),
        Watch(STORAGECLASS, lambda *_: ()),
        Watch(CSINODE, lambda *_: ()),
        Watch(NODE, lambda *_: ()),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("persistentvolumes",), ("create", "patch", "delete")),
        Rule("", ("secrets",), ("get",)),
        Rule(SNAPSHOT_GROUP, ("volumesnapshots", "volumesnapshotcontents"), ("get",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        views = given.views
        self._claims = views.of(PERSISTENTVOLUMECLAIM)
        self._volumes = views.of(PERSISTENTVOLUME)
        self._classes = views.of(STORAGECLASS)
        self._drivers = views.of(CSIDRIVER)
        self._nodes = views.of(NODE)
        self._csi_nodes = views.of(CSINODE)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the volume of a claim, or removes a volume."""
        if ref.kind == PERSISTENTVOLUME.resource:
            volume: PersistentVolume | None = self._volumes.get(ref)
            if volume is not None and is_leaving(volume):
                driver = volume.metadata.annotations.get(PROVISIONED_BY, "")
                if (socket := socket_of(self._drivers, driver)) is not None:
                    await self._remove(volume, socket)
            return Done()
        claim: PersistentVolumeClaim | None = self._claims.get(ref)
        if claim is not None and (driver := provisioner_of(claim)):
            found: StorageClass | None = self._classes.get(STORAGECLASS.ref("", class_of(claim)))
            socket = socket_of(self._drivers, driver)
            if socket is not None and found is not None and found.provisioner == driver:
                await self._make(claim, found, socket)
        return Done()

    async def _make(self, claim: PersistentVolumeClaim, found: StorageClass, socket: Path) -> None:
        from steersman.controllers.csi import asking, requests  # with the first volume
        from steersman.wire.http2.grpc import Failed
        from steersman.wire.rpc import csi

        namespace, name = claim.key
        start = f'External provisioner is provisioning volume for claim "{namespace}/{name}"'
        self._given.events.normal(claim, "Provisioning", start)
        try:
            secret = requests.secret_of(found, claim, "provisioner-secret")
            secrets = await asking.read_secret(self._given.client, secret)
            async with asking.calling(socket, self._given.world) as driver:
                places: tuple[Mapping[str, str], ...] = ()
                if await driver.knows_places():
                    chosen = claim.metadata.annotations.get(SELECTED_NODE, "")
                    places = topologies(found.provisioner, self._nodes, self._csi_nodes, chosen)
                abilities = await driver.abilities()
                source = await self._source(claim, found.provisioner)
                message = requests.render_create(claim, found, places, secrets, abilities, source)
                answer = await driver.call(csi.CREATE_VOLUME, message)
            made = answer.volume or csi.Volume()
            document = requests.render_volume(claim, found, made, secret)
        except (Failed, requests.BadParameters) as error:
            note = f'failed to provision volume with StorageClass "{class_of(claim)}": {error}'
            self._given.events.warning(claim, "ProvisioningFailed", note)
            raise
        done = f"Successfully provisioned volume {requests.volume_name(claim)}"
        actions: list[Action] = [
            Create(PERSISTENTVOLUME, document),
            Tell(claim, "ProvisioningSucceeded", done),
        ]
        try:
            await act(self._given.client, self._given.events, actions)
        except AlreadyExists:  # the volume's own change brings the claim further
            return

    async def _source(self, claim: PersistentVolumeClaim, driver: str) -> csi.ContentSource | None:
        """Returns the snapshot or the volume that a claim's is to be made from."""
        from steersman.controllers.csi.requests import BadParameters
        from steersman.wire.rpc import csi

        data = claim.spec.data_source
        if data is None:
            return None
        namespace, name = claim.metadata.namespace, data.get("name", "")
        if data.get("kind") == "PersistentVolumeClaim":
            ref = PERSISTENTVOLUMECLAIM.ref(namespace, name)
            other: PersistentVolumeClaim | None = self._claims.get(ref)
            bound = other.spec.volume_name if other is not None else ""
            volume: PersistentVolume | None = self._volumes.get(PERSISTENTVOLUME.ref("", bound))
            if volume is None or (volume.spec.csi or {}).get("driver") != driver:
                raise BadParameters(f"the volume of claim {name} is not there, or not of {driver}")
            handle = (volume.spec.csi or {}).get("volumeHandle", "")
            return csi.ContentSource(volume=csi.VolumeSource(handle))
        if (data.get("kind"), data.get("apiGroup")) != ("VolumeSnapshot", SNAPSHOT_GROUP):
            raise BadParameters(f"the DataSource {data.get('kind')} is not supported")
        base = f"/apis/{SNAPSHOT_GROUP}/v1"
        try:
            path = f"{base}/namespaces/{namespace}/volumesnapshots/{name}"
            status = (await self._given.client.read(path)).get("status") or {}
            if not status.get("readyToUse"):
                raise BadParameters(f"snapshot {name} is not Ready")
            bound = status["boundVolumeSnapshotContentName"]
            content = await self._given.client.read(f"{base}/volumesnapshotcontents/{bound}")
        except NotFound as error:
            raise BadParameters(
                f"error getting snapshot {name} from api server: {error}"
            ) from error
        handle = content["status"]["snapshotHandle"]
        return csi.ContentSource(snapshot=csi.SnapshotSource(handle))

    async def _remove(self, volume: PersistentVolume, socket: Path) -> None:
        from steersman.controllers.csi import asking, requests
        from steersman.wire.http2.grpc import Failed
        from steersman.wire.rpc import csi

        name, source = volume.metadata.name, volume.spec.csi or {}
        try:
            secrets = await asking.read_secret(self._given.client, requests.deletion_secret(volume))
            async with asking.calling(socket, self._given.world) as driver:
                message = csi.DeleteVolume(source.get("volumeHandle", ""), secrets)
                await driver.call(csi.DELETE_VOLUME, message)
        except (Failed, requests.BadParameters) as error:
            self._given.events.warning(volume, "VolumeFailedDelete", str(error))
            raise
        ref, uid = PERSISTENTVOLUME.ref("", name), volume.metadata.uid
        others = [it for it in volume.metadata.finalizers if it != PROVISIONER_FINALIZER]
        patch = {"metadata": {"finalizers": others}}
        # Deleted first: once the mark is gone, nobody would remove the object
        actions: list[Action] = [Delete(ref, uid), Patch(ref, patch, uid=uid)]
        await act(self._given.client, self._given.events, actions)
