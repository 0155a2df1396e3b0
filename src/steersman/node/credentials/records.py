"""By whom the images of this node were pulled, on disk (KEP-2535, KubeletEnsureSecretPulledImages).

An image that came with a login is for who can show the same secret, or the same login, and for
everybody where nobody's login was needed. One without a record was loaded by hand, and is for all
(NeverVerifyPreloadedImages, upstream's default). Passwords are kept as keyed hashes alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from steersman.images.credentials import Login
from steersman.images.references import parse as parse_reference
from steersman.listen.certificates import write_private
from steersman.node.credentials.access import Access, Source

MOST_SOURCES = 100  # of one image; the oldest go, and are asked for anew


class Record(msgspec.Struct, frozen=True):
    """How one image was had: `free` by anybody, else by these logins (hash) and secrets (uid)."""

    free: bool = False
    hashes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


class _Table(msgspec.Struct, frozen=True):
    key: bytes
    images: Mapping[str, Record]


def key_of(image: str, digest: str) -> str:
    """Returns under which name an image has its record: its repository and its manifest's digest,
    since the same content may have been loaded by hand under another name."""
    return f"{parse_reference(image).name}@{digest}"


class PullRecords:
    """The records of a node, by `key_of`; written with each change.

    `draw` gives a text that nobody can guess; the first ones are the key of the hashes.
    """

    def __init__(self, path: Path, draw: Callable[[], str]) -> None:
        self._path = path
        self._draw = draw
        self._table: _Table | None = None
        self._writing = asyncio.Lock()

    def may_have(self, key: str, access: Access) -> bool:
        """Whether a pod may run an image that is here without asking the registry."""
        table = self._load()
        record = table.images.get(key)
        if record is None or record.free:
            return True
        for offer in access.offers:
            known = offer.source.uid and offer.source.uid in record.secrets
            if known or self._hash(table, offer.login) in record.hashes:
                return True
        return False

    def pulled(self) -> set[str]:
        """Returns the digests of the images that the node has pulled itself."""
        return {key.split("@")[1] for key in self._load().images}

    async def note(self, key: str, login: Login | None, source: Source) -> None:
        """Notes that an image was pulled by a login, or by nobody's."""
        table = self._load()
        before = table.images.get(key, Record())
        if login is None or not source.uid:  # anybody, or the node for all of its pods
            record = Record(free=True)
        else:
            hashes = dict.fromkeys((*before.hashes, self._hash(table, login)))
            secrets = dict.fromkeys((*before.secrets, source.uid))
            kept = slice(-MOST_SOURCES, None)
            record = Record(before.free, tuple(hashes)[kept], tuple(secrets)[kept])
        if record != before:
            await self._save(_Table(table.key, {**table.images, key: record}))

    async def forget(self, digests: frozenset[str]) -> None:
        """Forgets images that are not here any more."""
        table = self._load()
        kept = {key: it for key, it in table.images.items() if key.split("@")[1] not in digests}
        if len(kept) != len(table.images):
            await self._save(_Table(table.key, kept))

    @staticmethod
    def _hash(table: _Table, login: Login) -> str:
        return hmac.new(table.key, login.header().encode(), hashlib.sha256).hexdigest()

    def _load(self) -> _Table:
        """Returns the table; raises ValueError for one that is damaged, since what is not known
        of an image would make it everybody's."""
        if self._table is None:
            try:
                self._table = msgspec.json.decode(self._path.read_bytes(), type=_Table)
            except FileNotFoundError:
                self._table = _Table((self._draw() + self._draw()).encode(), {})
            except msgspec.DecodeError as error:
                raise ValueError(f"{self._path} is damaged: {error}") from None
        return self._table

    async def _save(self, table: _Table) -> None:
        """Takes a table over and writes it, one after the other, before it is relied on."""
        self._table = table
        async with self._writing:
            await asyncio.to_thread(write_private, self._path, msgspec.json.encode(self._table))
