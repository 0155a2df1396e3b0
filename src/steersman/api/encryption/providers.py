"""The providers of a resource in their order: the first seals, all are tried to open.

Follows apiserver's storage/value/transformer.go. What was not sealed by the first key of the first
provider is stale: an update writes it anew, though nothing in it changes.
"""

from __future__ import annotations

from typing import Final

from steersman.api.encryption.ciphers import Cipher, Unreadable
from steersman.api.encryption.sealing import Opened, Plugin, Sealing

ENCRYPTED: Final = b"k8s:enc:"
UNMATCHED: Final = "no matching prefix found"


class Provider:
    """One provider and its keys; without keys it leaves values as they are (identity)."""

    def __init__(self, prefix: bytes, keys: tuple[tuple[str, Cipher], ...], missing: str) -> None:
        self._prefix = prefix
        self._keys = [(f"{name}:".encode(), cipher) for name, cipher in keys]
        self._missing = missing

    @property
    def is_identity(self) -> bool:
        """Whether values stay as they are."""
        return not self._keys

    def seal(self, value: bytes, name: bytes) -> bytes:
        """Returns the stored form."""
        if self.is_identity:
            return value
        label, cipher = self._keys[0]
        return self._prefix + label + cipher.seal(value, name)

    def takes(self, stored: bytes) -> bool:
        """Says whether a stored form may be its own."""
        return stored.startswith(self._prefix)

    def open(self, stored: bytes, name: bytes) -> Opened:
        """Returns the value; raises Unreadable."""
        if self.is_identity:
            if stored.startswith(ENCRYPTED):
                raise Unreadable("identity transformer tried to read encrypted data")
            return Opened(stored, False)
        rest, reasons = stored[len(self._prefix) :], []
        for index, (label, cipher) in enumerate(self._keys):
            if rest.startswith(label):
                try:
                    return Opened(cipher.open(rest[len(label) :], name), index > 0)
                except Unreadable as error:
                    reasons.append(str(error))
        raise Unreadable(_joined(reasons) or self._missing)


IDENTITY: Final = Provider(b"", (), "")


class Providers:
    """See the module."""

    def __init__(self, *providers: Sealing) -> None:
        self._providers = providers
        self._plugins = [one for one in providers if isinstance(one, Plugin)]
        self.seals = not providers[0].is_identity

    def seal(self, value: bytes, name: bytes) -> bytes:
        """Returns the stored form by the first."""
        return self._providers[0].seal(value, name)

    async def fetch(self, stored: bytes) -> None:
        """Has a plugin do what opening needs."""
        for plugin in self._plugins:
            if plugin.takes(stored):
                await plugin.fetch(stored)

    def open(self, stored: bytes, name: bytes) -> Opened:
        """Returns the value; raises Unreadable with upstream's reason."""
        reasons = []
        for index, provider in enumerate(self._providers):
            if not provider.takes(stored):
                continue
            try:
                value, stale = provider.open(stored, name)
            except Unreadable as error:
                if not provider.is_identity:
                    reasons.append(str(error))
                continue
            return Opened(value, stale or index > 0)
        raise Unreadable(_joined(reasons) or UNMATCHED)


PLAIN: Final = Providers(IDENTITY)


def _joined(reasons: list[str]) -> str:
    found = list(dict.fromkeys(reasons))
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]" if found else ""
