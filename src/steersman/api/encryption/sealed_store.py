"""A store whose values are sealed where they are written and opened where they are read.

What is above it holds plain values, what is below never does. A value that cannot be opened is
left out and remembered with the reason, so that who asks for it can be told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from msgspec.structs import replace

from steersman.api import keys
from steersman.api.encryption.ciphers import Unreadable
from steersman.api.encryption.configuration import NO_ENCRYPTION, Encryption
from steersman.api.encryption.providers import Providers
from steersman.model.ref import Resource
from steersman.store.interface import Batch, Conflict, Page, Record, Store, Write


class SealedStore:
    """See `store.interface.Store`.

    unreadable: why keys cannot be opened
    stale:      keys that are to be written anew, though their values stay the same
    """

    def __init__(self, store: Store, encryption: Encryption) -> None:
        self._store = store
        self._encryption = encryption
        self._plain = encryption is NO_ENCRYPTION
        self._known: dict[Resource, Providers] = {}
        self.unreadable: dict[str, str] = {}
        self.stale: set[str] = set()

    def use(self, encryption: Encryption, kept: Iterable[str]) -> None:
        """Seals and opens by another configuration from now on. Of the keys that are `kept`, those
        whose resource has providers that seal, or had, are to be written anew."""
        before, self._encryption = self._encryption, encryption
        self._plain = encryption is NO_ENCRYPTION
        self._known = {}
        for key in kept:
            if self._providers(key).seals or before.of(keys.parse(key)[0]).seals:
                self.stale.add(key)

    def renew(self, kept: Iterable[str]) -> None:
        """Has what is sealed of the keys that are kept written anew: a plugin has another key."""
        self.stale.update(key for key in kept if self._providers(key).seals)

    async def revision(self) -> int:
        """See `Store.revision`."""
        return await self._store.revision()

    async def get(self, key: str, *, at: int | None = None) -> Record | None:
        """See `Store.get`."""
        record = await self._store.get(key, at=at)
        await self._fetch((record,) if record is not None else ())
        opened = self._opened((record,) if record is not None else (), noted=at is None)
        return opened[0] if opened else None

    async def list(
        self, prefix: str, *, at: int | None = None, after: str = "", limit: int = 0
    ) -> Page:
        """See `Store.list`."""
        page = await self._store.list(prefix, at=at, after=after, limit=limit)
        await self._fetch(page.records)
        return replace(page, records=self._opened(page.records, noted=at is None))

    async def commit(self, *writes: Write) -> int:
        """See `Store.commit`; raises InternalError where a plugin gives no key to seal with."""
        if self._plain and not self.unreadable:  # the common case, on every write's way
            return await self._store.commit(*writes)
        try:
            revision = await self._store.commit(*map(self._sealed, writes))
        except Conflict as error:
            if error.current is not None:
                await self._fetch((error.current,))
                found = self._opened((error.current,), noted=False)
                raise Conflict(error.key, found[0] if found else None) from error
            raise
        for write in writes:
            self.stale.discard(write.key)
            self.unreadable.pop(write.key, None)
        return revision

    async def follow(self, prefix: str, *, after: int) -> AsyncIterator[Batch]:
        """See `Store.follow`."""
        async for batch in self._store.follow(prefix, after=after):
            if self._plain and not self.unreadable:
                yield batch
                continue
            await self._fetch(batch.records)
            yield Batch(self._opened(batch.records, noted=False), batch.revision)

    async def compact(self, before: int) -> None:
        """See `Store.compact`."""
        await self._store.compact(before)

    async def close(self) -> None:
        """See `Store.close`."""
        await self._store.close()

    def _providers(self, key: str) -> Providers:
        resource = keys.parse(key)[0]
        if (found := self._known.get(resource)) is None:
            found = self._known[resource] = self._encryption.of(resource)
        return found

    async def _fetch(self, records: Iterable[Record]) -> None:
        """Has plugins do what opening these needs."""
        if not self._encryption.plugins:
            return
        for record in records:
            if record.value is not None:
                await self._providers(record.key).fetch(record.value)

    def _sealed(self, write: Write) -> Write:
        if write.value is None or not (providers := self._providers(write.key)).seals:
            return write
        return replace(write, value=providers.seal(write.value, write.key.encode()))

    def _opened(self, records: Iterable[Record], *, noted: bool) -> tuple[Record, ...]:
        """Returns what can be opened; `noted` says that these are the newest."""
        found = []
        for record in records:
            if record.value is None:
                found.append(record)
                continue
            try:
                providers = self._providers(record.key)
                value, stale = providers.open(record.value, record.key.encode())
            except Unreadable as error:
                if noted:
                    self.unreadable[record.key] = str(error)
                continue
            if noted and stale:
                self.stale.add(record.key)
            found.append(record if value is record.value else replace(record, value=value))
        return tuple(found)
