"""Lets volumes of CSI drivers grow to what their claims ask for, as external-resizer does; for
drivers that opt in (see `opting`). The file system grows on the node."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from steersman.client.interface import Views
from steersman.controllers.csi.opting import socket_of
from steersman.model.csi_translation import of_driver
from steersman.model.kinds.csidriver import CSIDRIVER
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.quantity import of_bytes
from steersman.model.ref import Ref
from steersman.model.times import rfc3339
from steersman.model.volume_binding import asked, size, wants_to_grow
from steersman.reconcile.actions import Action, Patch, Tell, act, status
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

PENDING = "FileSystemResizePending"
_WAITS = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


def _of_claim(
    _views: Views, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
) -> Iterable[Ref]:
    """Maps a claim that may grow to itself."""
    if new is None or not wants_to_grow(new):
        return ()
    return (PERSISTENTVOLUMECLAIM.ref(*new.key),)


def is_due(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    """Says whether a driver is to be asked: also where a volume has its size and the claim was not
    told, for only the driver knows whether the node has to do something too."""
    if not wants_to_grow(claim):
        return False
    on_node = any(it.type == PENDING and it.status == "True" for it in claim.status.conditions)
    return size(volume) < asked(claim) or not on_node


def plan_result(
    claim: PersistentVolumeClaim,
    volume: PersistentVolume,
    has: int,
    *,
    on_node: bool,
    now: float,
) -> list[Action]:
    """Returns what tells that a driver has made a volume larger, and how many bytes it has."""
    capacity = {"capacity": {"storage": str(of_bytes(has))}}
    ref = PERSISTENTVOLUMECLAIM.ref(*claim.key)
    grown = Patch(
        PERSISTENTVOLUME.ref("", volume.metadata.name),
        {"spec": capacity},
        uid=volume.metadata.uid,
    )
    if not on_node:
        done = status(ref, capacity, uid=claim.metadata.uid)
        return [grown, done, Tell(claim, "VolumeResizeSuccessful", "Resize volume succeeded")]
    told = rfc3339(now)
    pending = {
        "type": PENDING,
        "status": "True",
        "lastTransitionTime": told,
        "message": _WAITS,
    }
    text = "Require file system resize of volume on node"
    return [
        grown,
        status(ref, {"conditions": [pending]}, uid=claim.metadata.uid),
        Tell(claim, "FileSystemResizeRequired", text),
    ]


class CSIResizer:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "csi-resizer"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(PERSISTENTVOLUMECLAIM, _of_claim),
        Watch(PERSISTENTVOLUME, lambda *_: ()),
        Watch(CSIDRIVER, lambda *_: ()),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("persistentvolumes",), ("patch",)),
        Rule("", ("persistentvolumeclaims/status",), ("patch",)),
        Rule("", ("secrets",), ("get",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._claims = given.views.of(PERSISTENTVOLUMECLAIM)
        self._volumes = given.views.of(PERSISTENTVOLUME)
        self._drivers = given.views.of(CSIDRIVER)

    async def reconcile(self, ref: Ref) -> Done:
        """Lets one volume grow."""
        claim: PersistentVolumeClaim | None = self._claims.get(ref)
        if claim is None:
            return Done()
        name = claim.spec.volume_name
        volume = of_driver(self._volumes.get(PERSISTENTVOLUME.ref("", name)))
        if volume is None or volume.spec.csi is None or not is_due(claim, volume):
            return Done()
        socket = socket_of(self._drivers, volume.spec.csi.get("driver", ""))
        if socket is not None:
            await self._grow(claim, volume, socket)
        return Done()

    async def _grow(
        self, claim: PersistentVolumeClaim, volume: PersistentVolume, socket: Path
    ) -> None:
        from steersman.controllers.csi import asking, requests  # with the first volume that grows
        from steersman.wire.http2.grpc import Failed
        from steersman.wire.rpc import csi

        name, source = volume.metadata.name, volume.spec.csi or {}
        client, events = self._given.client, self._given.events
        try:
            async with asking.calling(socket, self._given.world) as driver:
                abilities = await driver.abilities()
                if csi.EXPAND_VOLUME not in abilities:
                    return
                events.normal(claim, "Resizing", f"External resizer is resizing volume {name}")
                secret = requests.secret_in(volume, "controllerExpandSecretRef")
                message = csi.ControllerExpandVolume(
                    source.get("volumeHandle", ""),
                    csi.CapacityRange(asked(claim)),
                    await asking.read_secret(client, secret),
                    requests.capability_of(volume, abilities),
                )
                answer = await driver.call(csi.CONTROLLER_EXPAND_VOLUME, message)
        except (Failed, requests.BadParameters) as error:
            start = f'resize volume "{name}" by resizer "{source.get("driver", "")}" failed: '
            events.warning(claim, "VolumeResizeFailed", f"{start}{error}")
            raise
        on_node, now = answer.node_expansion_required, self._given.world.now()
        has = answer.capacity_bytes or asked(claim)
        await act(client, events, plan_result(claim, volume, has, on_node=on_node, now=now))
