"""Carries the choice of volumes out, and waits until the claims are bound; then the pod may be.

The volume controller completes what is begun here: this part names a volume's claim, or a claim's
node (volumebinding/binder.go BindPodVolumes).
"""

from __future__ import annotations

import asyncio

from steersman.client.interface import Client
from steersman.model.kind import Document
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.volume_binding import BY_CONTROLLER, SELECTED_NODE, is_bound
from steersman.scheduler.volumes.binding import Choice
from steersman.scheduler.volumes.storage import Storage
from steersman.world.interface import World


class NotBound(Exception):
    """A pod's claims were not bound; the message is upstream's."""


def plan_volume(claim: PersistentVolumeClaim) -> Document:
    """Returns the patch that gives a volume to a claim."""
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": claim.metadata.namespace,
        "name": claim.metadata.name,
        "uid": claim.metadata.uid,
        "resourceVersion": claim.metadata.resource_version,
    }
    annotations = {BY_CONTROLLER: "yes"}
    return {"metadata": {"annotations": annotations}, "spec": {"claimRef": reference}}


class Binder:
    """Acts for one scheduler."""

    def __init__(self, client: Client, world: World, storage: Storage) -> None:
        self._client = client
        self._world = world
        self._storage = storage

    def promise(self, choice: Choice) -> None:
        """Keeps the chosen volumes from others until `bind` has ended."""
        for claim, volume in choice.given:
            self._storage.promise(volume.metadata.name, claim.metadata.uid)

    def withdraw(self, choice: Choice) -> None:
        """Takes a promise back."""
        for _, volume in choice.given:
            self._storage.withdraw(volume.metadata.name)

    async def bind(self, choice: Choice, node: str, within_seconds: float) -> None:
        """Binds; raises NotBound, or what the API raises.

        In the end every claim is read anew: a set makes its pod and its claim again under their
        old names, and a view that is late still shows the old claim, bound.
        """
        try:
            for claim, volume in choice.given:
                await self._give(volume, claim)
            for claim in choice.made:
                await self._ask(claim, node)
            await self._wait(choice, node, within_seconds)
            for claim in (*choice.waiting, *choice.bound):
                await self._confirm(claim)
        finally:
            self.withdraw(choice)

    async def _give(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        if volume.spec.claim_ref is not None:
            return
        ref, metadata = PERSISTENTVOLUME.ref("", volume.metadata.name), volume.metadata
        revision = metadata.revision
        await self._client.patch(ref, plan_volume(claim), uid=metadata.uid, revision=revision)

    async def _ask(self, claim: PersistentVolumeClaim, node: str) -> None:
        if claim.metadata.annotations.get(SELECTED_NODE) == node:
            return
        ref = PERSISTENTVOLUMECLAIM.ref(*claim.key)
        patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
        await self._client.patch(ref, patch, uid=claim.metadata.uid)

    async def _wait(self, choice: Choice, node: str, within_seconds: float) -> None:
        changed = asyncio.Event()
        leave = self._storage.listen(changed.set)
        try:
            async with self._world.timeout(within_seconds):
                while not all(self._done(claim, node) for claim in choice.waiting):
                    changed.clear()
                    await changed.wait()
        except TimeoutError as error:
            raise NotBound("binding volumes: context deadline exceeded") from error
        finally:
            for out in leave:
                out()

    def _done(self, claim: PersistentVolumeClaim, node: str) -> bool:
        found = self._storage.claim(*claim.key)
        if found is None or found.metadata.uid != claim.metadata.uid:
            raise _missing(claim)
        selected = found.metadata.annotations.get(SELECTED_NODE, node)
        if selected != node:  # the provisioner gave the claim back
            raise NotBound(f'binding volumes: selectedNode annotation value "{selected}" not set')
        return is_bound(found)

    async def _confirm(self, claim: PersistentVolumeClaim) -> None:
        found: PersistentVolumeClaim = await self._client.get(PERSISTENTVOLUMECLAIM.ref(*claim.key))
        if found.metadata.uid != claim.metadata.uid:
            raise _missing(claim)
        if found.metadata.deletion_timestamp is not None:
            name = claim.metadata.name
            raise NotBound(f'binding volumes: persistentvolumeclaim "{name}" is being deleted')


def _missing(claim: PersistentVolumeClaim) -> NotBound:
    name = claim.metadata.name
    return NotBound(f'binding volumes: persistentvolumeclaim "{name}" not found')
