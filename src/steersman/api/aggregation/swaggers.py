"""The OpenAPI documents of version 2 of servers behind this one: asked for when somebody wants the
whole, once a minute at most, and kept as last said.

Follows kube-aggregator's controllers/openapi/aggregator: who no longer answers is told of as before
until its APIService goes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Final

import orjson

from steersman.api.access.front_proxy import USER
from steersman.api.aggregation import merging
from steersman.api.aggregation.remote import Remote
from steersman.api.aggregation.verdict import is_available
from steersman.api.hooks.client import Unanswered, whole
from steersman.api.published.foreign import Swagger
from steersman.client.errors import Unreachable
from steersman.model.errors import ServiceUnavailable
from steersman.wire.message import Request
from steersman.world.interface import World

PATH: Final = "/openapi/v2"
# Who wants the whole waits no longer for any of them
ANSWER_SECONDS: Final = 5.0
OLD_SECONDS: Final = 60.0
_ASKS: Final = {"accept": "application/json", USER: "system:aggregator"}


class Swaggers:
    """Asks servers; each is asked by one at a time."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def of(self, remotes: Iterable[Remote]) -> list[Swagger]:
        """Returns what is known of servers, those of the highest priority first."""
        ordered = sorted(remotes, key=_rank)
        await asyncio.gather(*(self._refresh(one) for one in ordered if is_available(one.document)))
        return [one.swagger for one in ordered if one.swagger is not None]

    async def _refresh(self, remote: Remote) -> None:
        async with remote.asking:
            now, last = self._world.monotonic(), remote.swagger_asked
            if last is not None and now - last < OLD_SECONDS:
                return
            remote.swagger_asked = now
            try:
                async with self._world.wire_timeout(ANSWER_SECONDS):
                    remote.swagger = await self._asked(remote)
            except (Unanswered, Unreachable, ServiceUnavailable, TimeoutError, ValueError):
                return  # what it last said stays; availability tells why it cannot be reached

    async def _asked(self, remote: Remote) -> Swagger | None:
        known = remote.swagger
        headers = dict(_ASKS)
        if known is not None and known.etag:
            headers["if-none-match"] = known.etag
        transport = remote.transport(checked=True)
        answer = await transport.send(Request("GET", PATH, "", headers))
        body = await whole(answer.body)
        if answer.status != 200:  # unchanged, or it has none
            return known
        etag = (answer.headers or {}).get("etag", "")
        found = await asyncio.to_thread(_read, body, remote.root)
        return Swagger(etag, hashlib.sha256(found).hexdigest(), found)


def _read(body: bytes, root: str) -> bytes:
    return orjson.dumps(merging.read(body, root))


def _rank(remote: Remote) -> tuple[int, int, str]:
    spec = remote.spec
    return (-spec["groupPriorityMinimum"], -spec["versionPriority"], remote.name)
