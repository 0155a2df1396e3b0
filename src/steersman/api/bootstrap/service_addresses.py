"""Keeps IPAddresses and Services of one mind: an address that a Service has is made again where
somebody deletes it, and one that no Service has goes.

Services take and give back their addresses in their own revision (effects/services.py), so that
only what others write has to be mended. Follows pkg/registry/core/service/ipallocator/controller.
"""

from __future__ import annotations

from typing import Final

from steersman.api.bootstrap.keeping import Keeping
from steersman.api.bootstrap.writing import send
from steersman.api.cache import Cache, Entry, Event
from steersman.api.effects.services import ALLOCATOR, IPADDRESSES, MANAGED_BY, render_address
from steersman.api.server import Api
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.model.times import rfc3339_micro, seconds_of
from steersman.world.interface import Tasks, World

GRACE_SECONDS: Final = 60.0
NAME: Final = "ipallocator-repair-controller"
_SERVICES: Final = Resource("", "services")
_PATH: Final = "/apis/networking.k8s.io/v1/ipaddresses"


class KeptAddresses:
    """See the module."""

    def __init__(self, cache: Cache, api: Api, world: World) -> None:
        self._addresses = cache.table(IPADDRESSES)
        self._services = cache.table(_SERVICES)
        self._api = api
        self._world = world
        self._lost: dict[str, Document] = {}  # addresses that were deleted, and whose they were
        self._keeping = Keeping(world, self._keep)

    async def run(self, tasks: Tasks) -> None:
        """Works for ever."""
        for entry in self._addresses.ordered():
            self._keeping.note(entry.name)
        self._addresses.watch("", self._hear)
        await self._keeping.run(tasks)

    def _hear(self, event: Event) -> None:
        entry = event.new or event.old
        if entry is None:
            return
        if event.new is None:
            self._lost[entry.name] = entry.document()
        self._keeping.note(entry.name)

    async def _keep(self, address: str) -> None:
        lost = self._lost.pop(address, None)
        if (entry := self._addresses.get("", address)) is not None:
            await self._judge(address, entry)
        elif lost is not None and (service := self._owner(lost)) is not None:
            await self._restore(address, service.document())
        self._keeping.settle(address)

    def _owner(self, document: Document) -> Entry | None:
        """Returns the Service that an IPAddress names where that has the address."""
        found = self._named(document)
        spec = (found.document().get("spec") or {}) if found is not None else {}
        return found if document["metadata"]["name"] in (spec.get("clusterIPs") or ()) else None

    def _named(self, document: Document) -> Entry | None:
        parent = document["spec"]["parentRef"]
        if parent.get("group") or parent.get("resource") != "services":
            return None
        return self._services.get(parent.get("namespace") or "", parent["name"])

    async def _restore(self, address: str, service: Document) -> None:
        family = "IPv6" if ":" in address else "IPv4"
        note = f"Cluster IP [{family}]: {address} is not allocated; repairing"
        metadata = service["metadata"]
        document = render_address(address, metadata["namespace"], metadata["name"])
        await send(self._api, "POST", _PATH, document)
        await self._tell("ClusterIPNotAllocated", "ClusterIPAllocation", note, service)

    async def _judge(self, address: str, entry: Entry) -> None:
        """Removes an address that nobody has."""
        document = entry.document()
        metadata, parent = document["metadata"], document["spec"]["parentRef"]
        labels = metadata.get("labels") or {}
        if labels.get(MANAGED_BY) != ALLOCATOR or self._owner(document) is not None:
            return
        reason, of = "IPAddressNotAllocated", f"{parent.get('namespace', '')}/{parent['name']}"
        if self._named(document) is not None:
            reason = "IPAddressWrongReference"
            why = f"IPAddress: {address} for Service {of} has a wrong reference; cleaning up"
        else:
            left = seconds_of(metadata["creationTimestamp"]) + GRACE_SECONDS - self._world.now()
            if left > 0:
                self._keeping.later(address, left)
                return
            why = f"IPAddress: {address} for Service {of} appears to have leaked: cleaning up"
        await self._tell(reason, "IPAddressAllocation", why, document)
        options = {"apiVersion": "v1", "kind": "DeleteOptions"}
        known = {**options, "preconditions": {"uid": metadata["uid"]}}
        await send(self._api, "DELETE", f"{_PATH}/{address}", known)

    async def _tell(self, reason: str, action: str, note: str, about: Document) -> None:
        now, metadata = self._world.now(), about["metadata"]
        namespace = metadata.get("namespace", "")
        regarding = {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            **({"namespace": namespace} if namespace else {}),
        }
        name = f"{metadata['name']}.{int(now * 1e9):x}{self._world.suffix(3)}"
        place = namespace or "default"
        document = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": place},
            "eventTime": rfc3339_micro(now),
            "reportingController": NAME,
            "reportingInstance": NAME,
            "action": action,
            "reason": reason,
            "regarding": regarding,
            "note": note,
            "type": "Warning",
        }
        await send(self._api, "POST", f"/apis/events.k8s.io/v1/namespaces/{place}/events", document)
