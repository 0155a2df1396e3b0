"""Removes the directories of volumes whose claims are gone, then the volumes.

A node follows the volumes that are its own directories, and nothing else of the kind. The one
rule: nothing is removed because it is not known; only a volume that says that it is released, and
that its policy is Delete, takes its directory along.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from steersman.client.errors import Unreachable
from steersman.client.interface import Client, View
from steersman.model import local_path
from steersman.model.errors import APIError, Conflict, NotFound
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.volume_binding import is_reclaimed
from steersman.node.volumes.local_path import remove
from steersman.reconcile.events import Said
from steersman.world.interface import World

RETRY_SECONDS = 10.0  # a full or broken disk, or an API that is away: nobody waits for this


class Events(Protocol):
    """Tells events."""

    def say(self, said: Said) -> None:
        """See `Recorder.say`."""


class Followed(View, Protocol):
    """A view that says when it holds what there is."""

    async def synced(self) -> None:
        """Returns once it does."""


class Reclaimer:
    """The released volumes of one node."""

    def __init__(
        self, client: Client, volumes: Followed, events: Events, directory: Path, world: World
    ) -> None:
        self._client = client
        self._volumes = volumes
        self._events = events
        self._directory = directory
        self._world = world
        self._released: dict[str, PersistentVolume] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Works for ever; the view must be followed."""
        await self._volumes.synced()
        self._volumes.listen(self._hear)
        for volume in self._volumes.list():
            self._hear(None, volume)
        while True:
            await self._wake.wait()
            self._wake.clear()
            for volume in list(self._released.values()):
                await self._remove(volume)
            if self._released:
                await self._world.sleep(RETRY_SECONDS)
                self._wake.set()

    def _hear(self, _old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        if new is not None and is_reclaimed(new):
            self._released[new.metadata.uid] = new
            self._wake.set()

    async def _remove(self, volume: PersistentVolume) -> None:
        """Removes one directory and its volume; what fails is tried again."""
        path = volume.spec.local.path if volume.spec.local is not None else ""
        name = local_path.directory_name(volume.metadata.name, path, str(self._directory))
        try:
            if name:
                await asyncio.to_thread(remove, self._directory, name)
            await self._delete(volume)
        except OSError as error:
            metadata = volume.metadata
            about = ("v1", PERSISTENTVOLUME.name, "", metadata.name, metadata.uid, "")
            self._events.say(Said(about, "Warning", "VolumeFailedDelete", str(error)))
        except (APIError, Unreachable):
            return  # tried again
        else:
            del self._released[volume.metadata.uid]

    async def _delete(self, volume: PersistentVolume) -> None:
        ref = PERSISTENTVOLUME.ref("", volume.metadata.name)
        try:
            await self._client.delete(ref, uid=volume.metadata.uid)
        except (NotFound, Conflict):
            return
        except APIError:
            if self._volumes.get(ref) is not None:  # what is gone is nobody's to delete
                raise
