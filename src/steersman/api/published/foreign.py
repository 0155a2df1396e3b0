"""What documents tell of groups that other servers serve behind this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from steersman.model.kind import Document


class Foreign(NamedTuple):
    """One group and version: its resources as last heard, and whether that is current.

    `priorities` are those of the group and of the version in it, the highest first.
    """

    group: str
    version: str
    resources: Sequence[Document]
    fresh: bool
    priorities: tuple[int, int]

    def aggregated(self) -> Document:
        """Returns its APIVersionDiscovery."""
        freshness = "Current" if self.fresh else "Stale"
        return {"version": self.version, "resources": list(self.resources), "freshness": freshness}


class Swagger(NamedTuple):
    """What one of them says in OpenAPI version 2, as JSON; `tag` changes with it, `etag` is what
    its server calls it."""

    etag: str
    tag: str
    body: bytes


class Foreigners(Protocol):
    """All of them."""

    def told(self) -> Sequence[Foreign]:
        """Returns what is told in discovery."""

    def documents(self) -> Mapping[str, str]:
        """Returns the addresses of OpenAPI documents of version 3 by group and version."""

    async def swaggers(self) -> Sequence[Swagger]:
        """Returns what they say in OpenAPI version 2; the first counts more."""

    def refresh(self) -> None:
        """Has what is old asked for again, since somebody wants to know."""

    def on_change(self, hear: Callable[[], None]) -> None:
        """Calls `hear` after every change."""


class Nobody:
    """No other servers."""

    def told(self) -> Sequence[Foreign]:
        """Returns nothing."""
        return ()

    def documents(self) -> Mapping[str, str]:
        """Returns nothing."""
        return {}

    async def swaggers(self) -> Sequence[Swagger]:
        """Returns nothing."""
        return ()

    def refresh(self) -> None:
        """Does nothing: there is nobody to ask."""

    def on_change(self, hear: Callable[[], None]) -> None:
        """Never calls."""
