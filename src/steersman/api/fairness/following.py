"""Follows what is stored of fairness: takes it over, and says of FlowSchemas whether their level
is there (condition Dangling).

Follows apiserver's apf_controller.go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import orjson

from steersman.api.bootstrap import flow
from steersman.api.bootstrap.writing import SERVER
from steersman.api.cache import Cache
from steersman.api.fairness.fairness import Fairness
from steersman.api.fairness.keeping import LEVELS, PATH, SCHEMAS
from steersman.api.server import Api
from steersman.model.errors import APIError
from steersman.model.kind import Document
from steersman.model.times import rfc3339
from steersman.wire.message import Request, Response
from steersman.world.interface import World

MANAGER: Final = "api-priority-and-fairness-config-consumer-v1"
DANGLING: Final = "Dangling"
# A condition is put right so often in a minute; whoever changes it back wins then for a while
MOST_UPDATES: Final = 6
MINUTE: Final = 60.0
# The pause after that, up to 75 s, and the one after the store has failed
PAUSE_SECONDS: Final = 30.0
PAUSE_JITTER: Final = 1.5
RETRY_SECONDS: Final = 1.0


def condition_of(schema: Document, levels: set[str]) -> Document | None:
    """Returns the condition that a FlowSchema lacks, without a time; None where it has it."""
    level = schema["spec"]["priorityLevelConfiguration"]["name"]
    refers = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    if level in levels:
        status, reason, message = "False", "Found", f"{refers} and it exists"
    else:
        status, reason, message = "True", "NotFound", f"{refers} but there is no such object"
    wanted = {"type": DANGLING, "status": status, "reason": reason, "message": message}
    for one in (schema.get("status") or {}).get("conditions") or ():
        if {name: one.get(name) for name in wanted} == wanted:
            return None
    return wanted


class Following:
    """See the module."""

    def __init__(self, cache: Cache, fairness: Fairness, api: Api, world: World) -> None:
        self._levels = cache.table(LEVELS)
        self._schemas = cache.table(SCHEMAS)
        self._fairness = fairness
        self._api = api
        self._world = world
        self._changed = asyncio.Event()
        self._updates: dict[str, deque[float]] = {}
        fairness.changed = self._changed.set

    def begin(self) -> None:
        """Takes over what is stored, and hears of changes from now on."""
        for table in (self._levels, self._schemas):
            table.watch("", lambda _event: self._changed.set())
        self.digest()

    def digest(self) -> list[Document]:
        """Takes over what is stored; returns the FlowSchemas."""
        levels = [entry.document() for entry in self._levels.ordered()]
        schemas = [entry.document() for entry in self._schemas.ordered()]
        self._fairness.digest(levels, schemas)
        return schemas

    async def settle(self) -> float:
        """Says of every FlowSchema whether its level is there, where that is not said; returns
        after how many seconds to try again what could not be written, 0 for nothing."""
        schemas = self.digest()
        levels = {entry.name for entry in self._levels.ordered()}
        wanted = {one["metadata"]["name"]: condition_of(one, levels) for one in schemas}
        self._updates = {name: one for name, one in self._updates.items() if name in wanted}
        pauses = await asyncio.gather(
            *(self._tell(name, one) for name, one in wanted.items() if one is not None)
        )
        return max(pauses, default=0.0)

    async def run(self) -> None:
        """Works for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if pause := await self.settle():
                await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        """Waits until a pause is over or something changes; then everything is looked at."""
        try:
            async with self._world.wire_timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            self._changed.set()

    async def _tell(self, name: str, condition: Document) -> float:
        """Writes a condition; returns after how many seconds to try again, 0 for not at all."""
        now = self._world.monotonic()
        times = self._updates.setdefault(name, deque(maxlen=MOST_UPDATES))
        if len(times) == MOST_UPDATES and now - times[0] < MINUTE:
            return self._world.jitter(PAUSE_SECONDS, PAUSE_JITTER)
        times.append(now)
        try:
            await self._apply(name, condition)
        except APIError as error:
            return 0.0 if error.code == 404 else RETRY_SECONDS
        return 0.0

    async def _apply(self, name: str, condition: Document) -> None:
        at = {"lastTransitionTime": rfc3339(self._world.now())}
        body: dict[str, Any] = {
            "apiVersion": f"{flow.GROUP}/v1",
            "kind": "FlowSchema",
            "metadata": {"name": name},
            "status": {"conditions": [{**condition, **at}]},
        }
        headers = {"user-agent": "kube-apiserver", "content-type": "application/apply-patch+yaml"}
        path, query = f"{PATH}/flowschemas/{name}/status", f"fieldManager={MANAGER}&force=true"
        data = orjson.dumps(body)
        answer = self._api.handle(Request("PATCH", path, query, headers, data, user=SERVER))
        if not isinstance(answer, Response):
            await answer
