"""Keeps definitions: gives them names, establishes them, and removes their objects before they go.

Upstream runs these loops inside of the API server, and so does this one, as the server itself. It
hears of every change and asks nobody periodically. Follows apiextensions' controllers naming,
establish and finalizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from steersman.api.bootstrap.keeping import Keeping
from steersman.api.bootstrap.writing import send
from steersman.api.cache import Cache, Event
from steersman.api.custom.definitions import Definitions, resource_of
from steersman.api.custom.naming import Taken, plan
from steersman.api.server import Api
from steersman.model.errors import APIError
from steersman.model.kind import Document
from steersman.model.kinds.customresourcedefinition import CLEANUP, GROUP, with_condition
from steersman.model.structural.definition_check import is_true
from steersman.model.times import rfc3339
from steersman.world.interface import Tasks, World

# How long a removal that failed waits before it is tried again (upstream's back-off begins at 5 ms
# and ends at 1,000 s; what makes one fail is a webhook that does not answer)
RETRY_SECONDS: Final = 5.0
_PATH: Final = f"/apis/{GROUP}/v1/customresourcedefinitions"


class Keeper:
    """See the module. `is_good` says whether a conversion's certificates can be read."""

    def __init__(
        self,
        definitions: Definitions,
        cache: Cache,
        api: Api,
        world: World,
        is_good: Callable[[Document], bool],
    ) -> None:
        self._definitions = definitions
        self._cache = cache
        self._api = api
        self._world = world
        self._is_good = is_good
        self._unnamed: set[str] = set()  # whose names are not all free
        self._awaited: dict[str, Callable[[], None]] = {}
        self._keeping = Keeping(world, self._keep, RETRY_SECONDS, RETRY_SECONDS)

    async def run(self, tasks: Tasks) -> None:
        """Works for ever: what is there first, then what comes."""
        for entry in self._definitions.table.ordered():
            self._keeping.note(entry.name)
        self._definitions.table.watch("", self._hear)
        await self._keeping.run(tasks)

    def _hear(self, event: Event) -> None:
        entry = event.new or event.old
        assert entry is not None
        self._keeping.note(entry.name)
        if event.new is None:
            self._unnamed.discard(entry.name)
            if (leave := self._awaited.pop(entry.name, None)) is not None:
                leave()
        group = resource_of(entry.name).group
        for name in self._unnamed:  # a name may have come free
            if name != entry.name and resource_of(name).group == group:
                self._keeping.note(name)

    async def _keep(self, name: str) -> None:
        entry = self._definitions.table.get("", name)
        if entry is None:
            self._keeping.settle(name)
            return
        definition = entry.document()
        definition["metadata"]["resourceVersion"] = str(entry.revision)
        if not definition["metadata"].get("deletionTimestamp"):
            await self._name(definition)
        elif CLEANUP in (definition["metadata"].get("finalizers") or ()):
            await self._remove(definition)

    async def _name(self, definition: Document) -> None:
        name = definition["metadata"]["name"]
        good = self._is_good(definition)
        others = self._definitions.others(resource_of(name))
        made = plan(definition, lambda: Taken.by(others), self._now(), good_bundle=good)
        self._unnamed.discard(name)
        if not is_true(made or definition, "NamesAccepted"):
            self._unnamed.add(name)
        if made is not None:
            await self._write(made)

    async def _remove(self, definition: Document) -> None:
        """Removes the objects of a definition, and then lets it go."""
        name = definition["metadata"]["name"]
        if not is_true(definition, "Established"):
            why = "resource was never established"
            await self._let_go(definition, "NeverEstablished", why)
            return
        table = self._cache.table(resource_of(name))
        if not len(table):
            await self._let_go(definition, "InstanceDeletionCompleted", "removed all instances")
            return
        if name not in self._awaited:
            self._awaited[name] = table.watch("", lambda _event: self._keeping.note(name))
            why = "CustomResource deletion is in progress"
            await self._say(definition, "InstanceDeletionInProgress", why)
        await self._delete_all(definition)

    async def _delete_all(self, definition: Document) -> None:
        name = definition["metadata"]["name"]
        group, plural = resource_of(name)
        kind = self._definitions.kind(resource_of(name))
        if kind is None:
            return  # it comes here again when it is served
        version = kind.versions[0].name
        entries = self._cache.table(resource_of(name)).ordered()
        left = [one for one in entries if not one.document()["metadata"].get("deletionTimestamp")]
        for namespace in dict.fromkeys(entry.namespace for entry in left):
            place = f"/namespaces/{namespace}" if namespace else ""
            try:
                await send(self._api, "DELETE", f"/apis/{group}/{version}{place}/{plural}", {})
            except APIError as error:
                why = f"could not issue all deletes: {error}"
                self._keeping.again(name)
                await self._say(definition, "InstanceDeletionFailed", why)
                return

    async def _say(self, definition: Document, reason: str, message: str) -> None:
        made = with_condition(definition, "Terminating", "True", reason, message, self._now())
        if made["status"] != definition["status"]:
            await self._write(made)

    async def _let_go(self, definition: Document, reason: str, message: str) -> None:
        made = with_condition(definition, "Terminating", "False", reason, message, self._now())
        meta = made["metadata"]
        kept = [one for one in meta["finalizers"] if one != CLEANUP]
        await self._write({**made, "metadata": {**meta, "finalizers": kept}})

    async def _write(self, definition: Document) -> None:
        name = definition["metadata"]["name"]
        await send(self._api, "PUT", f"{_PATH}/{name}/status", definition)

    def _now(self) -> str:
        return rfc3339(self._world.now())
