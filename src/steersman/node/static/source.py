"""Where static pods come from: what all sources have in common, and several as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from steersman.node.static.manifests import Static


class Source(Protocol):
    """A place of manifests that is followed."""

    @property
    def pods(self) -> Mapping[str, Static]:
        """Returns its pods by uid."""

    @property
    def known(self) -> bool:
        """Whether it has been read once: until then nobody can say what is not in it."""

    async def tried(self) -> None:
        """Waits until it has been read once, or could not be."""

    async def synced(self) -> None:
        """Waits until it has been read once."""

    def listen(self, hear: Callable[[], None]) -> None:
        """Calls `hear` whenever `pods` has changed."""


class Kept:
    """What a source keeps for whoever follows it; who reads the place inherits it."""

    def __init__(self) -> None:
        self.pods: Mapping[str, Static] = {}
        self._listeners: list[Callable[[], None]] = []
        self._tried = asyncio.Event()
        self._read = asyncio.Event()

    @property
    def known(self) -> bool:
        """Whether it has been read once."""
        return self._read.is_set()

    async def tried(self) -> None:
        """Waits until it has been read once, or could not be."""
        await self._tried.wait()

    async def synced(self) -> None:
        """Waits until it has been read once."""
        await self._read.wait()

    def listen(self, hear: Callable[[], None]) -> None:
        """Calls `hear` whenever `pods` has changed."""
        self._listeners.append(hear)

    def _keep(self, found: Iterable[Static]) -> None:
        """Takes over what has been read."""
        pods = {it.pod.metadata.uid: it for it in found}
        changed = pods.keys() != self.pods.keys()
        self.pods = pods
        self._tried.set()
        self._read.set()
        if changed:
            for hear in self._listeners:
                hear()

    def _first_seen(self, found: Static) -> Static:
        """Of what is the same the first sight counts."""
        return self.pods.get(found.pod.metadata.uid, found)


class Several:
    """Several sources as one; of two pods of one uid that of the first source counts."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)

    @property
    def pods(self) -> Mapping[str, Static]:
        """Returns the pods of all sources by uid."""
        found: dict[str, Static] = {}
        for source in reversed(self._sources):
            found |= source.pods
        return found

    @property
    def known(self) -> bool:
        """Whether all have been read once."""
        return all(it.known for it in self._sources)

    async def tried(self) -> None:
        """Waits until each has been read once, or could not be."""
        for source in self._sources:
            await source.tried()

    async def synced(self) -> None:
        """Waits until all have been read once."""
        for source in self._sources:
            await source.synced()

    def listen(self, hear: Callable[[], None]) -> None:
        """Calls `hear` whenever the pods of one have changed."""
        for source in self._sources:
            source.listen(hear)
