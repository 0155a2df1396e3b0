"""Waits until the cluster has attached a volume to the node, and says which volumes are in use.

The node tells first that it has a volume in use, so that nobody detaches it under a pod, and
mounts it when its status says that it is attached; as the kubelet and its controller agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from steersman.client.client import APIClient
from steersman.client.errors import Unreachable
from steersman.client.view import FollowedView
from steersman.model.errors import APIError
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.volumeattachment import VOLUMEATTACHMENT, VolumeAttachment
from steersman.node.csi.layout import Record
from steersman.node.csi.request import Wanted
from steersman.node.objects import BadConfiguration
from steersman.node.volumes.claims import Unusable
from steersman.world.interface import Tasks, World

TELL_RETRY_SECONDS: Final = 1.0  # while the API is away
WAIT_SECONDS: Final = 123.0  # kubelet's podAttachAndMountTimeout


class Attachments:
    """The attached volumes of one node; its Node is followed from the first such volume on."""

    def __init__(
        self,
        client: APIClient,
        world: World,
        tasks: Tasks,
        node: str,
        used: Iterable[tuple[str, str]],
    ) -> None:
        self._client = client
        self._world = world
        self._tasks = tasks
        self._node = node
        self._used: dict[str, set[str]] = {}  # pods by the names of volumes
        self._told: frozenset[str] | None = None
        self._view: FollowedView | None = None
        self._turn = asyncio.Lock()
        for uid, name in used:
            self._used.setdefault(name, set()).add(uid)

    async def use(self, wanted: Wanted, record: Record, uid: str, label: str) -> Mapping[str, str]:
        """Returns what the attacher says of a volume once it is attached; raises Unusable after a
        while, and the API's errors. `label` is the volume's name in the pod."""
        self._used.setdefault(record.unique_name, set()).add(uid)
        await self._tell()
        try:
            async with self._world.timeout(WAIT_SECONDS):
                await self._attached(record.unique_name)
        except TimeoutError:
            raise Unusable(
                f"Unable to attach or mount volumes: unmounted volumes=[{label}], unattached "
                f"volumes=[{label}], failed to process volumes=[]: context deadline exceeded"
            ) from None
        return await self._context(wanted)

    def leave(self, name: str, uid: str) -> None:
        """Notes that a pod has a volume no more, and tells the cluster as soon as it listens."""
        pods = self._used.get(name, set())
        pods.discard(uid)
        if not pods and self._used.pop(name, None) is not None:
            self._tasks.start(self._tell_surely(), name=f"end of {name}")

    async def _tell_surely(self) -> None:
        while True:
            try:
                return await self._tell()
            except (APIError, Unreachable):
                await self._world.sleep(TELL_RETRY_SECONDS)

    async def _tell(self) -> None:
        async with self._turn:
            used = frozenset(self._used)
            if used != self._told:
                status = {"volumesInUse": sorted(used) or None}
                ref = NODE.ref("", self._node)
                await self._client.patch(
                    ref, {"status": status}, how="strategic", subresource="status"
                )
                self._told = used

    async def _attached(self, name: str) -> None:
        """Waits until the Node says that a volume is attached."""
        if self._view is None:
            fields = f"metadata.name={self._node}"
            self._view = FollowedView(self._client, NODE, self._world, fields=fields)
            self._tasks.start(self._view.follow(), name="attached volumes")
        view, changed = self._view, asyncio.Event()
        leave = view.listen(lambda old, new: changed.set())
        try:
            while not self._is_attached(view, name):
                await changed.wait()
                changed.clear()
        finally:
            leave()

    def _is_attached(self, view: FollowedView, name: str) -> bool:
        node: Node | None = view.get(NODE.ref("", self._node))
        return node is not None and any(it.name == name for it in node.status.volumes_attached)

    async def _context(self, wanted: Wanted) -> Mapping[str, str]:
        name = wanted.attachment(self._node)
        try:
            found: VolumeAttachment = await self._client.get(VOLUMEATTACHMENT.ref("", name))
        except APIError as error:
            text = "kubernetes.io/csi: attacher.MountDevice failed to fetch VolumeAttachment"
            raise BadConfiguration(f"{text}: {error.message}") from error
        return found.status.attachment_metadata
