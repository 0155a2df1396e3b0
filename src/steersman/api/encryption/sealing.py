"""What every provider of encryption is: something that seals values and opens them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from steersman.api.encryption.kms_settings import KMSSettings
from steersman.world.interface import World


class Opened(NamedTuple):
    """A value, and whether it is to be sealed anew."""

    value: bytes
    stale: bool


class Sealing(Protocol):
    """One provider."""

    @property
    def is_identity(self) -> bool:
        """Whether values stay as they are."""

    def seal(self, value: bytes, name: bytes) -> bytes:
        """Returns the stored form; raises InternalError where there is no key at the moment."""

    def takes(self, stored: bytes) -> bool:
        """Says whether a stored form may be its own."""

    def open(self, stored: bytes, name: bytes) -> Opened:
        """Returns the value; raises Unreadable."""


@runtime_checkable
class Plugin(Sealing, Protocol):
    """A provider whose key somebody else keeps, who has to be asked."""

    settings: KMSSettings

    def begin(self, world: World) -> None:
        """Uses these clocks from now on."""

    async def fetch(self, stored: bytes) -> None:
        """Has done what opening a value needs; what fails is told where it is opened."""

    async def health(self) -> str:
        """Returns what is wrong, nothing where all is well."""

    async def run(self, rotated: Callable[[], None]) -> None:
        """Follows the plugin for ever; tells when it seals by another key."""

    def close(self) -> None:
        """Lets go of it."""
