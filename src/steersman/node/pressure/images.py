"""Removes images that no pod has, oldest use first, when the disk is full or they are old.

Source: images/image_gc_manager.go. What is in use is never touched, by whatever name it was had,
nor what was built or loaded by hand, which no registry would give again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

import msgspec

from steersman.images.errors import ImageError, InvalidReference
from steersman.images.references import parse
from steersman.images.store import Image, Store
from steersman.model.kinds.pod import Pod
from steersman.node import containers
from steersman.node.credentials.records import PullRecords
from steersman.node.observed import Observed
from steersman.node.pressure.thresholds import Level
from steersman.world.interface import World

LOOK_SECONDS = 300.0  # kubelet's ImageGCPeriod
log = logging.getLogger(__name__)


class Bounds(msgspec.Struct, frozen=True):
    """When images go: above `high_percent` of the disk, down to `low_percent`; never before
    `least_seconds` of age, and unused for `most_seconds` in any case (0: never for age)."""

    high_percent: int = 85
    low_percent: int = 80
    least_seconds: float = 120.0
    most_seconds: float = 0.0


class Having(Protocol):
    """A pod that has images, or is about to."""

    pod: Pod
    seen: Observed


class Listed(Protocol):
    """An image that is here: its id, what its record has it by, its names and how much it has."""

    @property
    def id(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def references(self) -> Sequence[object]: ...

    @property
    def size_bytes(self) -> int: ...


class Kept(Protocol):
    """The images of an engine; raises ImageError, OSError."""

    async def images(self) -> Sequence[Listed]:
        """Returns all of them."""

    async def remove(
        self, images: Collection[Listed], names: Collection[str]
    ) -> tuple[int, frozenset[str]]:
        """Removes images, but for those that bear one of some names by now; returns the bytes
        freed, and the digests of the images that are gone."""


class OwnImages:
    """Those of our own store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def images(self) -> Sequence[Image]:
        """Reads the table of references."""
        return await asyncio.to_thread(self._store.images)

    async def remove(
        self, images: Collection[Listed], names: Collection[str]
    ) -> tuple[int, frozenset[str]]:
        """Takes names away, and collects what they led to."""
        return await asyncio.to_thread(self._remove, {it.digest for it in images}, names)

    def _remove(self, digests: set[str], names: Collection[str]) -> tuple[int, frozenset[str]]:
        here = self._store.images()
        in_use = used_digests(here, names)
        going = [it for it in here if it.digest in digests - in_use]
        for image in going:
            for reference in image.references:
                self._store.untag(reference)
        freed = self._store.collect(in_use).bytes
        return freed, frozenset(it.digest for it in going)


class _Known(msgspec.Struct):
    found_at: float
    used_at: float


class ImageCollector:
    """The images of one node; `level` reads the disk that they are on, `say` tells an event of the
    node: its kind, reason and note."""

    def __init__(
        self,
        kept: Kept,
        records: PullRecords,
        level: Callable[[], Level],
        having: Callable[[], Iterable[Having]],
        bounds: Bounds,
        say: Callable[[str, str, str], None],
        world: World,
    ) -> None:
        self._kept = kept
        self._records = records
        self._level = level
        self._having = having
        self._bounds = bounds
        self._say = say
        self._world = world
        self._known: dict[str, _Known] = {}
        self._collecting = asyncio.Lock()

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self._world.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (OSError, ImageError) as error:
                self._tell("ImageGCFailed", str(error))

    async def look(self) -> None:
        """Removes what is too old, and what must go for the disk's sake."""
        bounds = self._bounds
        images = await self._detect()
        if bounds.most_seconds:
            now = self._world.now()
            old = [
                it for it in images if now - self._known[it.digest].used_at > bounds.most_seconds
            ]
            await self._remove(old)
        level = await asyncio.to_thread(self._level)
        used = 100 - level.available * 100 // max(level.capacity, 1)
        if used < bounds.high_percent:
            return
        wanted = level.capacity * (100 - bounds.low_percent) // 100 - level.available
        freed = await self.free(wanted)
        if freed < wanted:
            text = "Failed to garbage collect required amount of images. Attempted to free "
            text += f"{wanted} bytes, but only found {freed} bytes eligible to free."
            self._tell("FreeDiskSpaceFailed", text)

    async def free(self, wanted_bytes: int | None = None) -> int:
        """Frees so many bytes, or all that can be; returns how many it has freed."""
        async with self._collecting:
            freed = 0
            for image in await self._detect():
                age = self._world.now() - self._known[image.digest].found_at
                if age >= self._bounds.least_seconds:
                    freed += await self._remove([image])
                if wanted_bytes is not None and freed >= wanted_bytes:
                    break
            return freed

    async def _detect(self) -> list[Listed]:
        """Returns the images that nobody has and that can be pulled again, that which was used
        longest ago first."""
        images = await self._kept.images()
        in_use, now = used_digests(images, used_names(self._having())), self._world.now()
        for image in images:
            known = self._known.setdefault(image.digest, _Known(now, now))
            if image.digest in in_use:
                known.used_at = now
        here = {it.digest for it in images}
        self._known = {digest: it for digest, it in self._known.items() if digest in here}
        removable = self._records.pulled() - in_use
        unused = [it for it in images if it.digest in removable]
        return sorted(unused, key=lambda it: (self._known[it.digest].used_at, it.digest))

    async def _remove(self, images: Collection[Listed]) -> int:
        """Removes images, but for one that a pod has taken meanwhile; returns the bytes freed."""
        if not images:
            return 0
        names = used_names(self._having())
        freed, gone = await self._kept.remove(images, names)
        await self._records.forget(gone)  # without its record an image that stays is everybody's
        return freed

    def _tell(self, reason: str, text: str) -> None:
        log.warning("%s: %s", reason, text)
        self._say("Warning", reason, text)


def used_names(having: Iterable[Having]) -> set[str]:
    """Returns the names of the images that pods have: by which they ask for them now, and what
    their statuses say, since a name may stand for another image by now."""
    names: set[str] = set()
    for one in having:
        names |= {_normal(it.image) for it in containers.all_containers(one.pod)}
        names |= {_normal(it.image.reference) for it in one.pod.spec.volumes if it.image}
        for known in one.seen.containers.values():
            names |= {known.image_id, _normal(known.image)}
    return names


def used_digests(images: Iterable[Listed], names: Collection[str]) -> set[str]:
    """Returns the manifests of the images that bear one of some names, or are one."""
    return {
        it.digest
        for it in images
        if it.id in names or any(str(reference) in names for reference in it.references)
    }


def _normal(image: str) -> str:
    try:
        return str(parse(image)) if image else ""
    except InvalidReference:
        return ""
