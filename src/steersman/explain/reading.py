"""Reads from an API server what a question needs; of some kinds the metadata alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from urllib.parse import urlencode

from steersman.client.client import path_of, whole
from steersman.client.interface import Transport
from steersman.explain.objects import Objects
from steersman.model.errors import APIError
from steersman.model.kind import Document, Kind
from steersman.model.ref import Resource
from steersman.wire.message import Request
from steersman.wire.status import from_body

PAGE: int = 500  # client-go's page size
# Of one kind; a cluster beyond it is answered from what was read, and the answer says so
MOST_OBJECTS: int = 200_000
AT_ONCE: int = 8  # requests under way
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


async def read(
    transport: Transport, kinds: Iterable[Kind], named: Iterable[Kind], *, now: float
) -> Objects:
    """Returns the objects of the kinds, of the `named` ones their metadata; kinds that the server
    does not let us read are noted. Raises Unreachable."""
    reading = Reading(transport)
    await reading.read_all(kinds, named)
    return Objects(reading.found, now=now, unread=reading.unread)


class Reading:
    """The lists as they come in; `revision` is that of which all of them are, empty: of now."""

    def __init__(self, transport: Transport, revision: str = "") -> None:
        self._exact = {"resourceVersion": revision, "resourceVersionMatch": "Exact"}
        if not revision:
            self._exact = {}
        self.found: dict[Resource, list[Document]] = {}
        self.unread: dict[Resource, str] = {}
        self._transport = transport
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def read_all(self, kinds: Iterable[Kind], named: Iterable[Kind]) -> None:
        """Reads the objects of the kinds, and the metadata of the `named` ones."""
        await asyncio.gather(
            *(self.read(kind, "application/json") for kind in kinds),
            *(self.read(kind, _METADATA) for kind in named),
        )

    async def read(self, kind: Kind, accept: str) -> None:
        """Reads all objects of a kind, in pages."""
        async with self._slots:
            try:
                self.found[kind.resource] = await self._list(kind, accept)
            except APIError as error:
                self.unread[kind.resource] = str(error)

    async def _list(self, kind: Kind, accept: str) -> list[Document]:
        items: list[Document] = []
        query = {"limit": str(PAGE)}
        begin = self._exact
        while True:
            page = await self._get(f"{path_of(kind)}", {**query, **begin}, accept)
            begin = {}
            items += page.get("items") or ()
            goes_on = (page.get("metadata") or {}).get("continue")
            if not goes_on:
                return items
            if len(items) >= MOST_OBJECTS:
                self.unread[kind.resource] = f"only the first {len(items)} were read"
                return items
            query = {**query, "continue": goes_on}

    async def _get(self, path: str, query: dict[str, str], accept: str) -> Document:
        headers = {"accept": accept, "user-agent": "steer"}
        request = Request("GET", path, urlencode(query), headers)
        response = await self._transport.send(request)
        body = await whole(response)
        if response.status >= 400:
            raise from_body(response.status, body)
        document: Document = json.loads(body)
        return document
