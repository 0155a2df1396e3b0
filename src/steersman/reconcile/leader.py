"""Leader election by a Lease, as client-go's: of several candidates one works at a time.

Clocks of candidates need not agree: a lease has run out when its record has not changed for its
duration, as seen from here. Follows client-go tools/leaderelection.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.model.errors import AlreadyExists, APIError, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.lease import LEASE, Lease
from steersman.model.times import rfc3339_micro
from steersman.reconcile.events import Recorder, Said, about_ref
from steersman.world.interface import World

LEASE_SECONDS = 15  # the three of kube-controller-manager's flags
RENEW_SECONDS = 10.0
RETRY_SECONDS = 2.0
NAMESPACE = "kube-system"
JITTER = 1.2  # client-go JitterFactor


class Lost(Exception):
    """The lease could not be renewed in time: another may work now, so this one must not."""


class _Seen(msgspec.Struct):
    revision: int = -1
    at: float = 0.0
    uid: str = ""


class Candidate:
    """One process that would lead; `component` is what it calls itself in events (default: by the
    name of the lease)."""

    def __init__(
        self, client: Client, world: World, name: str, me: str, component: str = ""
    ) -> None:
        self._client = client
        self._world = world
        self._me = me
        self._ref = LEASE.ref(NAMESPACE, name)
        self._seen = _Seen()
        self._events = Recorder(client, world, component or name)

    async def lead(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Waits for the lease, works under it, and gives it up when the work ends.

        Raises Lost (after the work was cancelled) when it cannot be renewed in time.
        """
        while not await self._try():
            await self._world.sleep(self._world.jitter(RETRY_SECONDS, JITTER))
        try:
            async with self._world.tasks() as group:
                group.start(self._keep(), name=f"lease {self._ref.name}")
                group.start(self._events.run(), name=f"events {self._ref.name}")
                await group.start(work(), name=f"leading {self._ref.name}")
                group.stop()
        except BaseExceptionGroup as failed:
            if lost := failed.subgroup(Lost):
                raise Lost(str(self._ref)) from lost
            raise
        await self._release()

    async def _keep(self) -> None:
        while True:
            await self._world.sleep(RETRY_SECONDS)
            try:
                async with self._world.timeout(RENEW_SECONDS):
                    while not await self._try():
                        await self._world.sleep(RETRY_SECONDS)
            except TimeoutError as error:
                raise Lost(str(self._ref)) from error

    async def _try(self) -> bool:
        try:
            return await self._acquire()
        except (APIError, Unreachable):  # asked again after the retry period
            return False

    async def _acquire(self) -> bool:
        now = self._world.now()
        try:
            lease = await self._client.get(self._ref)
        except NotFound:
            return await self._create(now)
        if lease.metadata.revision != self._seen.revision:
            self._seen = _Seen(lease.metadata.revision, now)
        holder = lease.spec.holder_identity or ""
        length = lease.spec.lease_duration_seconds or LEASE_SECONDS
        if holder not in ("", self._me) and now < self._seen.at + length:
            return False
        transitions = lease.spec.lease_transitions or 0
        if holder == self._me and lease.spec.acquire_time is not None:
            spec = self._spec(now, lease.spec.acquire_time.timestamp(), transitions)
        else:
            spec = self._spec(now, now, transitions + 1)
        await self._update(lease, spec, now)
        if holder != self._me:
            self._tell()
        return True

    def _tell(self) -> None:
        """Says that this process leads from now on."""
        about = about_ref(LEASE, self._ref, self._seen.uid)
        self._events.say(Said(about, "Normal", "LeaderElection", f"{self._me} became leader"))

    async def _update(self, lease: Lease, spec: Document, now: float) -> None:
        """Replaces the lease as it was read; RBAC grants candidates update, not patch."""
        metadata = {
            "name": self._ref.name,
            "namespace": self._ref.namespace,
            "resourceVersion": lease.metadata.resource_version,
            "labels": dict(lease.metadata.labels),
            "annotations": dict(lease.metadata.annotations),
        }
        document = {"apiVersion": LEASE.api_version(), "kind": "Lease", "metadata": metadata}
        made = await self._client.update(self._ref, {**document, "spec": spec})
        self._seen = _Seen(made.metadata.revision, now, made.metadata.uid)

    async def _create(self, now: float) -> bool:
        document: Document = {
            "apiVersion": LEASE.api_version(),
            "kind": "Lease",
            "metadata": {"name": self._ref.name, "namespace": self._ref.namespace},
            "spec": self._spec(now, now, 0),
        }
        try:
            made = await self._client.create(LEASE, document, namespace=self._ref.namespace)
        except AlreadyExists:
            return False
        self._seen = _Seen(made.metadata.revision, now, made.metadata.uid)
        self._tell()
        return True

    def _spec(self, now: float, acquired: float, transitions: int) -> Document:
        return {
            "holderIdentity": self._me,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": rfc3339_micro(acquired),
            "renewTime": rfc3339_micro(now),
            "leaseTransitions": transitions,
        }

    async def _release(self) -> None:
        """Gives the lease up; its last renewal may have been cut off, so it is read first."""
        now = self._world.now()
        try:
            lease = await self._client.get(self._ref)
            if lease.spec.holder_identity == self._me:
                spec = self._spec(now, now, lease.spec.lease_transitions or 0)
                spec.update({"holderIdentity": "", "leaseDurationSeconds": 1})
                await self._update(lease, spec, now)
        except (APIError, Unreachable):  # it runs out by itself
            return
