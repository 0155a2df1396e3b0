"""Snapshots of volumes of CSI drivers, as snapshot-controller and external-snapshotter make them;
for drivers that opt in (see `opting`), where the definitions of snapshots are installed.

Kinds of `snapshot.storage.k8s.io` are custom resources, which are followed by their metadata and
read as documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from steersman.client.interface import Views
from steersman.controllers.csi.opting import socket_of
from steersman.model.errors import AlreadyExists, NotFound
from steersman.model.kind import Document, Kind
from steersman.model.kinds.csidriver import CSIDRIVER
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.ref import Ref, Resource
from steersman.model.times import rfc3339
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

GROUP: Final = "snapshot.storage.k8s.io"
SNAPSHOTS: Final = Resource(GROUP, "volumesnapshots")
CONTENTS: Final = Resource(GROUP, "volumesnapshotcontents")
_BASE: Final = f"/apis/{GROUP}/v1"
_BOUND: Final = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
_KEPT: Final = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"
NOT_READY_SECONDS: Final = 5.0  # a driver that still copies is asked again, as by the sidecar


def _watch(kind: Kind) -> Watch | None:
    if kind.resource not in (SNAPSHOTS, CONTENTS):
        return None

    def to(_views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
        found = new or old
        refs = [Ref(kind.resource, *found.key)] if found is not None else []
        if kind.resource == CONTENTS and new is None and found is not None:
            refs += _snapshot_of(found)
        return refs

    return Watch(kind, to, metadata=True)


def _snapshot_of(content: Any) -> list[Ref]:
    """Returns the snapshot of a content that is gone, by what the content bore of it."""
    key = content.metadata.annotations.get(_SNAPSHOT, "")
    namespace, _, name = key.partition("/")
    return [Ref(SNAPSHOTS, namespace, name)] if name else []


_SNAPSHOT: Final = "steersman.dev/volumesnapshot"  # of a content: namespace/name of its snapshot


def render_content(snapshot: Document, found: Document, volume: PersistentVolume) -> Document:
    """Returns the content of a snapshot, for its class and the volume that it is of."""
    metadata = snapshot["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    reference = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "VolumeSnapshot",
        "namespace": namespace,
        "name": name,
        "uid": metadata["uid"],
    }
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "VolumeSnapshotContent",
        "metadata": {
            "name": f"snapcontent-{metadata['uid']}",
            "finalizers": [_KEPT],
            "annotations": {_SNAPSHOT: f"{namespace}/{name}"},
        },
        "spec": {
            "volumeSnapshotRef": reference,
            "volumeSnapshotClassName": found["metadata"]["name"],
            "deletionPolicy": found["deletionPolicy"],
            "driver": found["driver"],
            "source": {"volumeHandle": (volume.spec.csi or {}).get("volumeHandle", "")},
        },
    }


class CSISnapshotter:
    """See `reconcile.loop.Controller`."""

    custom = staticmethod(_watch)

    name: ClassVar[str] = "csi-snapshotter"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(PERSISTENTVOLUMECLAIM, lambda *_: ()),
        Watch(PERSISTENTVOLUME, lambda *_: ()),
        Watch(CSIDRIVER, lambda *_: ()),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule(GROUP, ("volumesnapshots", "volumesnapshotclasses"), ("get", "patch")),
        Rule(GROUP, ("volumesnapshotcontents",), ("create", "delete", "get", "patch")),
        Rule(GROUP, ("volumesnapshots/status", "volumesnapshotcontents/status"), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._claims = given.views.of(PERSISTENTVOLUMECLAIM)
        self._volumes = given.views.of(PERSISTENTVOLUME)
        self._drivers = given.views.of(CSIDRIVER)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes one snapshot or one content right."""
        if (found := await self._read(ref)) is None:
            return Done()
        leaves = "deletionTimestamp" in found["metadata"]
        if ref.kind == CONTENTS:
            driver = found["spec"]["driver"]
            if (socket := socket_of(self._drivers, driver)) is None:
                return Done()
            work = self._forget if leaves else self._take
            return Done(await work(ref, found, socket))
        if leaves:
            await self._release(ref, found)
        elif not (found.get("status") or {}).get("boundVolumeSnapshotContentName"):
            return Done(await self._bind(ref, found))
        return Done()

    # Snapshots

    async def _bind(self, ref: Ref, snapshot: Document) -> float | None:
        """Makes the content of a snapshot whose driver opts in; returns when to look again for a
        claim that is not bound yet."""
        name = snapshot["spec"]["source"].get("persistentVolumeClaimName")
        chosen = snapshot["spec"].get("volumeSnapshotClassName")
        if not chosen or not name:
            return None
        found = await self._read(Ref(Resource(GROUP, "volumesnapshotclasses"), "", chosen))
        if found is None or socket_of(self._drivers, found["driver"]) is None:
            return None
        volume = self._volume(ref.namespace, name)
        if volume is None:
            return NOT_READY_SECONDS
        if (volume.spec.csi or {}).get("driver") != found["driver"]:
            return None
        await self._mark(ref, snapshot, _BOUND)
        document = render_content(snapshot, found, volume)
        try:
            await self._given.client.create(self._kind(CONTENTS), document)
        except AlreadyExists:
            return None
        return None

    def _volume(self, namespace: str, name: str) -> PersistentVolume | None:
        claim: PersistentVolumeClaim | None = self._claims.get(
            PERSISTENTVOLUMECLAIM.ref(namespace, name)
        )
        if claim is None or claim.status.phase != "Bound":
            return None
        found: PersistentVolume | None = self._volumes.get(
            PERSISTENTVOLUME.ref("", claim.spec.volume_name)
        )
        return found

    async def _release(self, ref: Ref, snapshot: Document) -> None:
        """Has the content go, where its policy says so, and then lets the snapshot go."""
        if _BOUND not in snapshot["metadata"].get("finalizers", ()):
            return
        content = Ref(CONTENTS, "", f"snapcontent-{snapshot['metadata']['uid']}")
        found = await self._read(content)
        if found is not None and found["spec"]["deletionPolicy"] == "Delete":
            if "deletionTimestamp" not in found["metadata"]:
                await self._given.client.delete(content, uid=found["metadata"]["uid"])
            return  # its end brings this one further
        await self._unmark(ref, snapshot, _BOUND)

    # Contents

    async def _take(self, ref: Ref, content: Document, socket: Any) -> float | None:
        """Has a driver take a snapshot; returns when to ask again."""
        from steersman.controllers.csi import asking  # loaded with the first snapshot
        from steersman.wire.http2.grpc import Failed
        from steersman.wire.rpc import csi

        handle = content["spec"]["source"].get("volumeHandle")
        if not handle or (content.get("status") or {}).get("readyToUse"):
            return None
        uid = content["spec"]["volumeSnapshotRef"]["uid"]
        parameters = await self._parameters(content)
        message = csi.CreateSnapshot(handle, f"snapshot-{uid}", {}, parameters)
        try:
            async with asking.calling(socket, self._given.world) as driver:
                answer = await driver.call(csi.CREATE_SNAPSHOT, message)
        except Failed as error:
            now = rfc3339(self._given.world.now())
            text = f"Failed to check and update snapshot content: {error}"
            await self._tell(ref, content, {"error": {"time": now, "message": text}})
            raise
        made = answer.snapshot or csi.Snapshot()
        nanos = 0
        if made.creation_time is not None:
            nanos = made.creation_time.seconds * 10**9 + made.creation_time.nanos
        status = {
            "snapshotHandle": made.snapshot_id,
            "creationTime": nanos,
            "restoreSize": made.size_bytes,
            "readyToUse": made.ready_to_use,
            "error": None,
        }
        await self._tell(ref, content, status)
        return None if made.ready_to_use else NOT_READY_SECONDS

    async def _parameters(self, content: Document) -> dict[str, str]:
        name = content["spec"].get("volumeSnapshotClassName", "")
        found = await self._read(Ref(Resource(GROUP, "volumesnapshotclasses"), "", name))
        parameters: Mapping[str, str] = (found or {}).get("parameters") or {}
        return {k: v for k, v in parameters.items() if not k.startswith("csi.storage.k8s.io/")}

    async def _tell(self, ref: Ref, content: Document, status: Document) -> None:
        """Writes what became of it, to the content and to its snapshot."""
        client, reference = self._given.client, content["spec"]["volumeSnapshotRef"]
        shown: Document = {key: status[key] for key in ("readyToUse", "error") if key in status}
        if "creationTime" in status:
            shown["creationTime"] = rfc3339(status["creationTime"] / 1e9)
            shown["restoreSize"] = str(status["restoreSize"])
            shown["boundVolumeSnapshotContentName"] = ref.name
        await client.patch(ref, {"status": status}, subresource="status")
        snapshot = Ref(SNAPSHOTS, reference["namespace"], reference["name"])
        await client.patch(snapshot, {"status": shown}, subresource="status", uid=reference["uid"])

    async def _forget(self, ref: Ref, content: Document, socket: Any) -> None:
        """Has a driver remove a snapshot, where the policy says so, and lets the content go."""
        from steersman.controllers.csi import asking
        from steersman.wire.rpc import csi

        if _KEPT not in content["metadata"].get("finalizers", ()):
            return
        handle = (content.get("status") or {}).get("snapshotHandle")
        if handle and content["spec"]["deletionPolicy"] == "Delete":
            async with asking.calling(socket, self._given.world) as driver:
                await driver.call(csi.DELETE_SNAPSHOT, csi.DeleteSnapshot(handle))
        await self._unmark(ref, content, _KEPT)

    # Reading and marking

    def _kind(self, resource: Resource) -> Kind:
        return self._given.views.custom()[resource]

    async def _read(self, ref: Ref) -> Document | None:
        place = f"namespaces/{ref.namespace}/" if ref.namespace else ""
        try:
            return await self._given.client.read(f"{_BASE}/{place}{ref.kind.plural}/{ref.name}")
        except NotFound:
            return None

    async def _mark(self, ref: Ref, found: Document, mark: str) -> None:
        marks = found["metadata"].get("finalizers") or []
        if mark not in marks:
            patch = {"metadata": {"finalizers": [*marks, mark]}}
            await self._given.client.patch(ref, patch, uid=found["metadata"]["uid"])

    async def _unmark(self, ref: Ref, found: Document, mark: str) -> None:
        others = [it for it in found["metadata"].get("finalizers", ()) if it != mark]
        patch = {"metadata": {"finalizers": others}}
        await self._given.client.patch(ref, patch, uid=found["metadata"]["uid"])
