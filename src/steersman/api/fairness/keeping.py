"""Keeps the FlowSchemas and PriorityLevelConfigurations that a cluster comes with.

Follows kubernetes' registry/flowcontrol/ensurer: the mandatory ones are always as they should be,
the suggested ones while nobody says otherwise (`apf.kubernetes.io/autoupdate-spec`); what carries
that annotation and is none of them is from an older server, and goes.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from steersman.api.bootstrap import flow
from steersman.api.bootstrap.keeping import Keeping
from steersman.api.bootstrap.writing import send
from steersman.api.cache import Cache, Event
from steersman.api.server import Api
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.world.interface import Tasks, World

SCHEMAS: Final = Resource(flow.GROUP, "flowschemas")
LEVELS: Final = Resource(flow.GROUP, "prioritylevelconfigurations")
PATH: Final = f"/apis/{flow.GROUP}/v1"
MANDATORY: Final = ("exempt", "catch-all")
# Somebody else may want another spec as stubbornly as we do: each gets its way once a minute
# (upstream looks once a minute)
AGAIN_SECONDS: Final = 60.0
_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")


class Step(NamedTuple):
    """What to do about an object: a method and the document that goes with it."""

    method: str
    document: Document | None = None


def parse_flag(text: str) -> bool | None:
    """Returns what an annotation says, as strconv.ParseBool reads it; None for anything else."""
    return True if text in _TRUE else False if text in _FALSE else None


def plan(live: Document | None, wanted: Document | None) -> Step | None:
    """Returns what has to be done so that an object is as it should be, None for nothing."""
    if live is None:
        return Step("POST", wanted) if wanted is not None else None
    annotations = live["metadata"].get("annotations") or {}
    said = parse_flag(annotations.get(flow.AUTOUPDATE, ""))
    if wanted is None:
        return Step("DELETE") if said else None
    updates = said if said is not None else live["metadata"].get("generation") == 1
    updates = updates or wanted["metadata"]["name"] in MANDATORY
    made = {**live, "metadata": {**live["metadata"]}}
    if said is not updates:
        told = "true" if updates else "false"
        made["metadata"]["annotations"] = {**annotations, flow.AUTOUPDATE: told}
    if updates:
        made["spec"] = wanted["spec"]
    return Step("PUT", made) if made != live else None


class Keeper:
    """See the module."""

    def __init__(self, cache: Cache, api: Api, world: World) -> None:
        self._cache = cache
        self._api = api
        self._world = world
        self._keeping = Keeping(world, self._keep)
        self._done: dict[str, float] = {}  # when something was put right last
        self._wanted = {
            **{_key(LEVELS, one["metadata"]["name"]): one for one in flow.level_documents()},
            **{_key(SCHEMAS, one["metadata"]["name"]): one for one in flow.flow_documents()},
        }

    async def run(self, tasks: Tasks) -> None:
        """Looks at everything once, then at what changes, for ever."""
        for resource in (LEVELS, SCHEMAS):
            table = self._cache.table(resource)
            for entry in table.ordered():
                self._keeping.note(_key(resource, entry.name))
            table.watch("", partial(self._hear, resource))
        for key in self._wanted:
            self._keeping.note(key)
        await self._keeping.run(tasks)

    def _hear(self, resource: Resource, event: Event) -> None:
        entry = event.new or event.old
        assert entry is not None
        self._keeping.note(_key(resource, entry.name))

    async def _keep(self, key: str) -> None:
        plural, _, name = key.partition("/")
        entry = self._cache.table(Resource(flow.GROUP, plural)).get("", name)
        step = plan(entry.document() if entry else None, self._wanted.get(key))
        if step is None:
            self._keeping.settle(key)
            return
        now = self._world.monotonic()
        if (wait := self._done.get(key, -AGAIN_SECONDS) + AGAIN_SECONDS - now) > 0:
            self._keeping.later(key, wait)
            return
        self._done = {one: at for one, at in self._done.items() if now - at < AGAIN_SECONDS}
        self._done[key] = now
        path = f"{PATH}/{plural}" if step.method == "POST" else f"{PATH}/{key}"
        document = step.document
        if document is not None and entry is not None:
            version = {"resourceVersion": str(entry.revision)}
            document = {**document, "metadata": {**document["metadata"], **version}}
        await send(self._api, step.method, path, document or {})
        self._keeping.settle(key)


def _key(resource: Resource, name: str) -> str:
    return f"{resource.plural}/{name}"
