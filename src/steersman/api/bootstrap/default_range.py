"""The ServiceCIDR `kubernetes`: the range of Services that this server was told, kept while it
runs (pkg/controlplane/controller/defaultservicecidr)."""

from __future__ import annotations

from typing import Final

from steersman.api.bootstrap.keeping import Keeping
from steersman.api.bootstrap.writing import send
from steersman.api.cache import Cache, Event
from steersman.api.effects.services import DEFAULT_RANGE, RANGES
from steersman.api.server import Api
from steersman.model.kind import Document
from steersman.model.times import rfc3339
from steersman.world.interface import Tasks, World

NAME: Final = DEFAULT_RANGE
_PATH: Final = "/apis/networking.k8s.io/v1/servicecidrs"


def document(cidr: str) -> Document:
    """Returns the ServiceCIDR as it is made."""
    head: Document = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR"}
    return {**head, "metadata": {"name": NAME}, "spec": {"cidrs": [cidr]}}


def render_ready(present: Document, cidr: str, now: str) -> Document | None:
    """Returns the ServiceCIDR with what says that it is ready, None where something says so or
    not, where it goes, or where it is of another range."""
    status = present.get("status") or {}
    conditions = status.get("conditions") or []
    said = any(it.get("type") == "Ready" and it.get("status") != "Unknown" for it in conditions)
    other = present["spec"].get("cidrs") != [cidr]
    if said or other or present["metadata"].get("deletionTimestamp"):
        return None
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": now,
    }
    others = [it for it in conditions if it.get("type") != "Ready"]
    return {**present, "status": {**status, "conditions": [*others, ready]}}


class DefaultRange:
    """See the module."""

    def __init__(self, cache: Cache, api: Api, cidr: str, world: World) -> None:
        self._ranges = cache.table(RANGES)
        self._api = api
        self._cidr = cidr
        self._world = world
        self._keeping = Keeping(world, self._keep)

    async def begin(self) -> None:
        """Makes it, before anybody is served."""
        await self._keep(NAME)
        await self._keep(NAME)

    async def run(self, tasks: Tasks) -> None:
        """Works for ever."""
        self._ranges.watch("", self._hear)
        await self._keeping.run(tasks)

    def _hear(self, event: Event) -> None:
        entry = event.new or event.old
        if entry is not None and entry.name == NAME:
            self._keeping.note(NAME)

    async def _keep(self, name: str) -> None:
        entry = self._ranges.get("", name)
        if entry is None:
            await send(self._api, "POST", _PATH, document(self._cidr))
            return
        ready = render_ready(entry.document(), self._cidr, rfc3339(self._world.now()))
        if ready is not None:
            ready["metadata"]["resourceVersion"] = str(entry.revision)
            await send(self._api, "PUT", f"{_PATH}/{NAME}/status", ready)
        self._keeping.settle(name)
