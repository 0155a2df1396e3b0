"""Follows the claims of volumes that pods have, so that a file system grows under a pod that runs.

The kubelet looks at all claims again and again; here one small watch per claim tells. What says
that a file system waits for its node is the condition FileSystemResizePending of the claim. What
fails is tried again, ever less often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import field

from steersman.client.client import APIClient
from steersman.client.errors import Unreachable
from steersman.client.view import FollowedView
from steersman.model.errors import APIError
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.ref import Ref
from steersman.model.types.condition import is_true
from steersman.node.objects import BadConfiguration
from steersman.world.interface import Tasks, World

PENDING: Final = "FileSystemResizePending"
# kubelet's exponentialbackoff of volumes
FIRST_RETRY_SECONDS: Final = 0.5
LAST_RETRY_SECONDS: Final = 122.0
# Lets the file system of one pod's volume grow, and says how that went
Grow = Callable[[], Awaitable[None]]


class _Followed(msgspec.Struct):
    """A claim, and by uid what lets its volume grow where a pod has it."""

    view: FollowedView
    changed: asyncio.Event
    pods: dict[str, Grow] = field(default_factory=dict)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)


class Growing:
    """See the module."""

    def __init__(self, client: APIClient, world: World, tasks: Tasks) -> None:
        self._client = client
        self._world = world
        self._tasks = tasks
        self._followed: dict[Ref, _Followed] = {}

    def follow(self, namespace: str, name: str, uid: str, grow: Grow) -> None:
        """Calls `grow` whenever the claim says that its file system is to grow, for as long as
        the pod has it. Repeatable: the last `grow` counts."""
        ref = PERSISTENTVOLUMECLAIM.ref(namespace, name)
        followed = self._followed.get(ref) or self._begin(ref)
        followed.pods[uid] = grow

    def leave(self, uid: str) -> None:
        """Stops following what only this pod had."""
        for ref, followed in list(self._followed.items()):
            followed.pods.pop(uid, None)
            if not followed.pods:
                for task in followed.tasks:
                    task.cancel()
                del self._followed[ref]

    def _begin(self, ref: Ref) -> _Followed:
        view = FollowedView(
            self._client,
            PERSISTENTVOLUMECLAIM,
            self._world,
            namespace=ref.namespace,
            fields=f"metadata.name={ref.name}",
        )
        followed = self._followed[ref] = _Followed(view, asyncio.Event())
        view.listen(lambda _old, _new: followed.changed.set())
        for work, what in ((view.follow(), "follows"), (self._keep(ref, followed), "grows")):
            followed.tasks.append(self._tasks.start(work, name=f"{what} {ref}"))
        return followed

    async def _keep(self, ref: Ref, followed: _Followed) -> None:
        wait = FIRST_RETRY_SECONDS
        while True:
            await followed.changed.wait()
            followed.changed.clear()
            claim: PersistentVolumeClaim | None = followed.view.get(ref)
            if claim is None or not is_true(claim.status.conditions, PENDING):
                wait = FIRST_RETRY_SECONDS
                continue
            try:
                await next(iter(followed.pods.values()))()
            except (APIError, BadConfiguration, OSError, Unreachable):  # `grow` told it
                await self._world.sleep(wait)
                wait = min(2 * wait, LAST_RETRY_SECONDS)
                followed.changed.set()
