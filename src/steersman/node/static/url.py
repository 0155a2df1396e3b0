"""Static pods from a URL: one pod or a list, asked for every 20 seconds, as the kubelet does; a
server that speaks HTTP tells nobody that something has changed.

What cannot be had, or is no pod, is told once and changes nothing. Source: kubelet's
config/http.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from steersman.images.errors import Refused, Unreachable
from steersman.images.http import Http
from steersman.model.times import rfc3339_micro
from steersman.node.static import marks
from steersman.node.static.manifests import MAX_BYTES, BadManifest, Static, parse_manifests
from steersman.node.static.source import Kept
from steersman.world.interface import World

LOOK_SECONDS: Final = 20.0  # kubelet's httpCheckFrequency
_OK: Final = 200


class Url(Kept):
    """The static pods of a URL by uid; `tell` gets what is wrong, in one line."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        node: str,
        http: Http,
        world: World,
        tell: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._url = url
        self._headers = headers
        self._node = node
        self._http = http
        self._world = world
        self._tell = tell
        self._data = b""
        self._told = ""

    async def run(self) -> None:
        """Asks for ever."""
        while True:
            await self.look()
            await self._world.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Asks once."""
        try:
            data = await self._get()
            if data != self._data or not self.known:
                self._keep(await asyncio.to_thread(self._parse, data))
                self._data = data
        except (Unreachable, Refused, BadManifest) as error:
            if str(error) != self._told:
                self._tell(str(error))
            self._told = str(error)
        else:
            self._told = ""
        self._tried.set()

    async def _get(self) -> bytes:
        async with await self._http.get(self._url, self._headers) as response:
            if response.status != _OK:
                raise BadManifest(f"{self._url}: the server answers {response.status}")
            data = await response.read(MAX_BYTES)
        if not data:
            raise BadManifest(f"zero-length data received from {self._url}")
        return data

    def _parse(self, data: bytes) -> list[Static]:
        seen = rfc3339_micro(self._world.now())
        found = parse_manifests(data, self._url, self._node, seen, marks.HTTP)
        return [self._first_seen(it) for it in found]
