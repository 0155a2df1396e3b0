"""Mirror pods: one in the API for each static pod, so that people see it and its status.

Level-triggered: what is missing is made, what mirrors another content or nothing any more is
removed, whoever changed it. Follows kubelet's pod/mirror_client.go and tryReconcileMirrorPods.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.client.view import FollowedView
from steersman.model.errors import AlreadyExists, APIError, Conflict, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.node.static import marks
from steersman.node.static.manifests import Static
from steersman.node.static.source import Source
from steersman.world.interface import World

RETRY_SECONDS = 10.0  # an API that refuses or is away; upstream tries at the pod's next sync
Key = tuple[str, str]
log = logging.getLogger(__name__)


class Create(msgspec.Struct, frozen=True):
    """Show a static pod."""

    static: Static


class Remove(msgspec.Struct, frozen=True):
    """Remove a mirror that shows nothing, or something else."""

    key: Key
    uid: str


def plan_mirrors(
    statics: Iterable[Static], pods: Iterable[Pod], ending: Collection[Key]
) -> Iterator[Create | Remove]:
    """Yields what makes the mirrors true. While a static pod of a name ends, its mirror stays."""
    known = {pod.key: pod for pod in pods}
    wanted = {static.key: static for static in statics if static.key not in ending}
    for key, static in wanted.items():
        if key not in known:
            yield Create(static)
    for key, pod in known.items():
        if marks.is_mirror(pod) and key not in ending and not _shows(pod, wanted.get(key)):
            yield Remove(key, pod.metadata.uid)


def _shows(mirror: Pod, static: Static | None) -> bool:
    if static is None or mirror.metadata.deletion_timestamp is not None:
        return False
    shown = mirror.metadata.annotations.get(marks.MIRROR)
    return shown == static.pod.metadata.annotations[marks.HASH]


def render_mirror(static: Static, node: str, node_uid: str) -> Document:
    """Returns the document of a static pod's mirror."""
    document = static.document
    metadata = dict(document["metadata"])
    shown = metadata["annotations"]
    metadata["annotations"] = {**shown, marks.MIRROR: shown[marks.HASH]}
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": True}
    metadata["ownerReferences"] = [owner]
    metadata.pop("uid")
    return {**document, "metadata": metadata}


class Owner(Protocol):
    """The Node object, once it is there."""

    uid: str
    registered: asyncio.Event


class Pods(Protocol):
    """What the agent says of static pods."""

    def ending_statics(self) -> Collection[Key]:
        """Returns the names of those that end."""

    @property
    def complete(self) -> bool:
        """Whether all that are here are known."""


class Mirrors:
    """The mirrors of one node."""

    def __init__(
        self,
        client: Client,
        world: World,
        node: str,
        owner: Owner,
        statics: Source,
        pods: FollowedView,
        agent: Pods,
    ) -> None:
        self._client = client
        self._world = world
        self._node = node
        self._owner = owner
        self._statics = statics
        self._pods = pods
        self._agent = agent
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Looks at everything again soon."""
        self._wake.set()

    async def run(self) -> None:
        """Works for ever; view and statics must be followed.

        Before all sources have been read a mirror may show what is in another (upstream's
        sourcesReady), and what an agent before this one left may have yet to end: until then none
        is removed.
        """
        await self._owner.registered.wait()
        await self._pods.synced()
        self._pods.listen(self._hear)
        self._statics.listen(self.wake)
        self.wake()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self._reconcile():
                await self._world.sleep(RETRY_SECONDS)
                self.wake()

    def _hear(self, old: Pod | None, new: Pod | None) -> None:
        if marks.is_mirror(new or old or Pod()):
            self.wake()

    async def _reconcile(self) -> bool:
        """Makes the mirrors true, each for itself; says whether all are."""
        is_good = True
        plan = plan_mirrors(
            self._statics.pods.values(), self._pods.list(), self._agent.ending_statics()
        )
        for step in list(plan):
            key = step.static.key if isinstance(step, Create) else step.key
            try:
                if isinstance(step, Create):
                    await self._create(step.static)
                elif self._statics.known and self._agent.complete:
                    await self._remove(step)
            except (APIError, Unreachable) as error:
                log.warning("the mirror pod %s/%s is not as it should be: %s", *key, error)
                is_good = False
        return is_good

    async def _create(self, static: Static) -> None:
        document = render_mirror(static, self._node, self._owner.uid)
        try:
            made = await self._client.create(POD, document, namespace=static.key[0])
        except AlreadyExists:
            return  # the view is behind; it wakes this when it has caught up
        await self._pods.reached(made.metadata.revision)

    async def _remove(self, step: Remove) -> None:
        try:
            await self._client.delete(POD.ref(*step.key), uid=step.uid, grace_seconds=0)
        except (NotFound, Conflict):
            return  # gone already, or another one bears the name
