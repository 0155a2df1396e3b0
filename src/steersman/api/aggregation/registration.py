"""The APIServices of what this server serves itself: built-in groups, and those of definitions.

Follows kube-aggregator's autoregister and controlplane's crdregistration: whatever bears the label
is kept as it must be, an APIService without it is somebody's own and is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from steersman.api.bootstrap.keeping import Keeping
from steersman.api.bootstrap.writing import send
from steersman.api.cache import Cache, Event, Table
from steersman.api.server import Api
from steersman.model.kind import Document
from steersman.model.kinds.apiservice import APISERVICE
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION
from steersman.model.pack import NUMBER
from steersman.world.interface import Tasks, World

PATH: Final = "/apis/apiregistration.k8s.io/v1/apiservices"
LABEL: Final = "kube-aggregator.kubernetes.io/automanaged"
AT_START: Final = "onstart"
ALWAYS: Final = "true"
# crdregistration's: behind all that is built in
CUSTOM_PRIORITIES: Final = (1000, 100)
# (group, version) -> priorities of both (DefaultGenericAPIServicePriorities and controlplane's)
PRIORITIES: Final[Mapping[tuple[str, str], tuple[int, int]]] = {
    ("", "v1"): (18000, 1),
    ("apps", "v1"): (17800, 15),
    ("events.k8s.io", "v1"): (17750, 15),
    ("authentication.k8s.io", "v1"): (17700, 15),
    ("authorization.k8s.io", "v1"): (17600, 15),
    ("autoscaling", "v1"): (17500, 15),
    ("autoscaling", "v2"): (17500, 30),
    ("batch", "v1"): (17400, 15),
    ("certificates.k8s.io", "v1"): (17300, 15),
    ("networking.k8s.io", "v1"): (17200, 15),
    ("policy", "v1"): (17100, 15),
    ("rbac.authorization.k8s.io", "v1"): (17000, 15),
    ("storage.k8s.io", "v1"): (16800, 15),
    ("apiextensions.k8s.io", "v1"): (16700, 15),
    ("admissionregistration.k8s.io", "v1"): (16700, 15),
    ("scheduling.k8s.io", "v1"): (16600, 15),
    ("coordination.k8s.io", "v1"): (16500, 15),
    ("node.k8s.io", "v1"): (16300, 15),
    ("discovery.k8s.io", "v1"): (16200, 15),
    ("flowcontrol.apiserver.k8s.io", "v1"): (16100, 21),
    ("resource.k8s.io", "v1"): (15900, 15),
    ("storagemigration.k8s.io", "v1"): (15800, 15),
}

# The minor in which a group was first served by default, where 1.30 had none of it
SINCE: Final[Mapping[str, int]] = {"resource.k8s.io": 34, "storagemigration.k8s.io": 37}


def name_of(group: str, version: str) -> str:
    """Returns the name of the APIService of a group and version."""
    return f"{version}.{group}"


def local(group: str, version: str, priorities: tuple[int, int], managed: str = "") -> Document:
    """Returns the APIService of what this server serves itself, with a mark of how it is managed,
    none where it is left to whoever wants it."""
    marked = {"labels": {LABEL: managed}} if managed else {}
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name_of(group, version), **marked},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": priorities[0],
            "versionPriority": priorities[1],
        },
    }


def built_in(minor: int = NUMBER) -> dict[str, Document]:
    """Returns the APIServices of the groups that a minor has built in, by name."""
    return {
        name_of(group, version): local(group, version, priorities, AT_START)
        for (group, version), priorities in PRIORITIES.items()
        if SINCE.get(group, 0) <= minor
    }


def custom(definition: Document) -> dict[str, Document]:
    """Returns the APIServices of the versions that a definition serves."""
    spec = definition["spec"]
    served = [one["name"] for one in spec["versions"] if one.get("served")]
    return {
        name_of(spec["group"], version): local(spec["group"], version, CUSTOM_PRIORITIES, ALWAYS)
        for version in served
    }


def plan(live: Document | None, wanted: Document | None) -> tuple[str, Document] | None:
    """Returns the method and the document that bring an APIService to what is wanted, None where
    nothing is to be done."""
    if live is None:
        return None if wanted is None else ("POST", wanted)
    if not (live["metadata"].get("labels") or {}).get(LABEL):
        return None
    if wanted is None:
        return ("DELETE", {"preconditions": {"uid": live["metadata"]["uid"]}})
    if all(live["spec"].get(key) == value for key, value in wanted["spec"].items()):
        return None
    return ("PUT", {**live, "spec": wanted["spec"]})


class Registration:
    """See the module."""

    def __init__(self, cache: Cache, api: Api, world: World, minor: int = NUMBER) -> None:
        self._services: Table = cache.table(APISERVICE.resource)
        self._definitions: Table = cache.table(CUSTOMRESOURCEDEFINITION.resource)
        self._api = api
        self._keeping = Keeping(world, self._keep)
        self._of: dict[str, dict[str, Document]] = {}  # definition -> its APIServices
        self._built_in = built_in(minor)

    async def begin(self) -> None:
        """Registers what is there, all at once so that all share one write to the disk."""
        for entry in self._definitions.ordered():
            self._of[entry.name] = custom(entry.document())
        names = {*self._built_in, *(entry.name for entry in self._services.ordered())}
        for made in self._of.values():
            names.update(made)
        self._definitions.watch("", self._hear_definition)
        self._services.watch("", self._hear_service)
        await asyncio.gather(*(self._keep(name) for name in sorted(names)))

    async def run(self, tasks: Tasks) -> None:
        """Follows definitions for ever."""
        await self._keeping.run(tasks)

    def _hear_definition(self, event: Event) -> None:
        entry = event.new or event.old
        assert entry is not None
        before = self._of.pop(entry.name, {})
        if event.new is not None:
            self._of[entry.name] = custom(entry.document())
        for name in {*before, *self._of.get(entry.name, {})}:
            self._keeping.note(name)

    def _hear_service(self, event: Event) -> None:
        """What was removed by somebody comes back, as upstream's does."""
        entry = event.new or event.old
        assert entry is not None
        self._keeping.note(entry.name)

    def _wanted(self, name: str) -> Document | None:
        if (found := self._built_in.get(name)) is not None:
            return found
        return next((made[name] for made in self._of.values() if name in made), None)

    async def _keep(self, name: str) -> None:
        entry = self._services.get("", name)
        live = entry.document() if entry is not None else None
        if live is not None and entry is not None:
            live["metadata"]["resourceVersion"] = str(entry.revision)
        if (todo := plan(live, self._wanted(name))) is not None:
            method, document = todo
            path = PATH if method == "POST" else f"{PATH}/{name}"
            await send(self._api, method, path, document)
        self._keeping.settle(name)
