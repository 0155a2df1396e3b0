"""Stages and publishes volumes through their CSI drivers, and takes that back.

Follows the kubelet's pkg/volume/csi. Repeatable: drivers answer the same call the same way. What
is on disk alone says what has to be taken back, whoever began it; nothing is removed while
something is mounted there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from steersman.client.interface import Client
from steersman.model.errors import APIError, NotFound
from steersman.model.kinds.csidriver import CSIDRIVER, CSIDriver
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME, PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import (
    PERSISTENTVOLUMECLAIM,
    PersistentVolumeClaim,
)
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.secret import SECRET, Secret
from steersman.model.quantity import parse
from steersman.model.types.reference import SecretReference
from steersman.model.types.volume import ServiceAccountTokenProjection, Volume
from steersman.node.csi import request
from steersman.node.csi.attachments import Attachments
from steersman.node.csi.drivers import Drivers, Node, NotRegistered, is_final
from steersman.node.csi.growing import Growing
from steersman.node.csi.layout import DATA, EPHEMERAL, Layout, Record
from steersman.node.csi.request import Wanted
from steersman.node.objects import BadConfiguration
from steersman.node.volumes import ownership
from steersman.node.volumes.claims import Unusable
from steersman.node.volumes.mounting import Published
from steersman.node.volumes.tokens import Tokens
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import csi
from steersman.world.interface import World

# Between publishing again for drivers that ask for it: the kubelet's syncFrequency
REPUBLISH_SECONDS: Final = 60.0
_DEFAULT_TOKEN_SECONDS: Final = 3600
_NAME: Final = "kubernetes.io/csi: "
# Tells an event about a pod: its kind, reason and note
Say = Callable[[Pod, str, str, str], None]


class _Scene(msgspec.Struct, frozen=True):
    """What is known while one volume is prepared."""

    pod: Pod
    wanted: Wanted
    driver: CSIDriver | None
    record: Record
    context: Mapping[str, str] = {}


class CSIVolumes:
    """The volumes of CSI drivers of one node."""

    def __init__(
        self,
        client: Client,
        tokens: Tokens,
        drivers: Drivers,
        attachments: Attachments,
        layout: Layout,
        world: World,
        node: str,
        growing: Growing,
        say: Say,
    ) -> None:
        self._client = client
        self._tokens = tokens
        self._drivers = drivers
        self._attachments = attachments
        self._layout = layout
        self._world = world
        self._node = node
        self._growing = growing
        self._say = say
        # What this agent has seen done: a new one asks drivers again
        self._published: dict[tuple[str, str], Published] = {}
        self._staged: set[tuple[str, str]] = set()
        # Whose turn it is with a volume, and how many want it
        self._turns: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    def known(self, uid: str, label: str) -> Published | None:
        """Returns a volume of a pod that is published and needs nothing now."""
        found = self._published.get((uid, label))
        due = found is not None and found.again_at and self._world.now() >= found.again_at
        return None if due else found

    # Preparing

    async def prepare(self, pod: Pod, volume: Volume, behind: PersistentVolume | None) -> Published:
        """Publishes a volume for a pod; raises Unusable, BadConfiguration, the API's errors."""
        wanted = request.render_wanted(pod, volume, behind)
        driver = await self._driver(wanted.driver)
        try:
            request.check_lifecycle(wanted, driver)
        except BadConfiguration as error:
            start = f'MountVolume.NewMounter initialization failed for volume "{wanted.name}" : '
            raise Unusable(f"{start}{error}") from error
        uid, attached = pod.metadata.uid, request.is_attached(wanted, driver)
        attachment = wanted.attachment(self._node) if attached else ""
        record = wanted.record(self._node, attachment)
        async with self._turn(record):
            # Noted first: another pod that leaves the volume must not take it away meanwhile
            self._layout.save(uid, wanted.name, record)
            context: Mapping[str, str] = {}
            if attached:
                context = await self._attachments.use(wanted, record, uid, volume.name)
            scene = _Scene(pod, wanted, driver, record, context)
            staging = "" if wanted.ephemeral else await self._stage(scene)
            published = await self._publish(scene, staging)
        self._published[uid, volume.name] = published
        return published

    async def _driver(self, name: str) -> CSIDriver | None:
        try:
            found: CSIDriver = await self._client.get(CSIDRIVER.ref("", name))
        except NotFound:
            return None
        return found

    @asynccontextmanager
    async def _turn(self, record: Record) -> AsyncIterator[None]:
        """One thing at a time for one volume."""
        lock, count = self._turns.get(record.key, (asyncio.Lock(), 0))
        self._turns[record.key] = lock, count + 1
        try:
            async with lock:
                yield
        finally:
            lock, count = self._turns.pop(record.key)
            if count > 1:
                self._turns[record.key] = lock, count - 1

    async def _stage(self, scene: _Scene) -> str:
        """Has a volume staged once for all pods; returns where, empty where its driver does not
        stage. Raises Unusable."""
        wanted, start = scene.wanted, f"{_NAME}attacher.MountDevice failed"
        place = self._layout.staging(scene.record)
        try:
            async with self._drivers.node(wanted.driver) as node:
                abilities = await node.abilities()
                if csi.STAGE_UNSTAGE_VOLUME not in abilities:
                    return ""
                if scene.record.key not in self._staged:
                    await self._stage_at(scene, place, node, abilities)
        except NotRegistered as error:
            text = f"{start} to create newCsiDriverClient: {error}"
            raise _unusable("MountDevice", wanted, text) from error
        except (Failed, BadConfiguration, OSError) as error:
            raise _unusable("MountDevice", wanted, str(error)) from error
        self._staged.add(scene.record.key)
        return str(place)

    async def _stage_at(
        self, scene: _Scene, place: Path, node: Node, abilities: Collection[int]
    ) -> None:
        wanted = scene.wanted
        secrets = await self._secrets(wanted.stage_secret, "NodeStageSecretRef")
        self._layout.save_staged(scene.record)
        place.mkdir(mode=0o750, parents=True, exist_ok=True)
        group = scene.pod.spec.security_context.fs_group
        message = csi.NodeStageVolume(
            wanted.handle,
            scene.context,
            str(place),
            request.render_capability(wanted, abilities, group),
            secrets,
            wanted.attributes,
        )
        try:
            await node.call(csi.NODE_STAGE_VOLUME, message)
        except Failed as error:
            if is_final(error):
                _remove_if_free(place)
            raise

    async def _publish(self, scene: _Scene, staging: str) -> Published:
        """Has a volume published for a pod; raises Unusable."""
        wanted, uid = scene.wanted, scene.pod.metadata.uid
        place = self._layout.target(uid, wanted.name, block=wanted.block)
        place.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            secrets = await self._secrets(wanted.publish_secret, "NodePublishSecretRef")
            tokens, again_at = await self._ask_tokens(scene)
            async with self._drivers.node(wanted.driver) as node:
                abilities = await node.abilities()
                group = scene.pod.spec.security_context.fs_group
                message = csi.NodePublishVolume(
                    wanted.handle,
                    scene.context,
                    staging,
                    str(place),
                    request.render_capability(wanted, abilities, group),
                    wanted.read_only,
                    secrets,
                    {
                        **wanted.attributes,
                        **request.render_pod_info(wanted, scene.pod, scene.driver),
                        **tokens,
                    },
                )
                await self._call_publish(node, message, place)
                if csi.NODE_EXPAND_VOLUME in abilities and not wanted.read_only:
                    await self._grow(scene, node, message)
                    if wanted.claim is not None:
                        grow = partial(self._grow_running, scene, message)
                        self._growing.follow(*wanted.claim, uid, grow)
            if request.is_group_given(wanted, scene.driver, abilities, group):
                policy = scene.pod.spec.security_context.fs_group_change_policy
                assert group is not None
                await asyncio.to_thread(ownership.give, place, group, policy)
        except NotRegistered as error:
            text = f"{_NAME}mounter.SetUpAt failed to get CSI client: {error}"
            raise _unusable("SetUp", wanted, text) from error
        except (Failed, BadConfiguration, OSError) as error:
            raise _unusable("SetUp", wanted, str(error)) from error
        return Published(place, again_at)

    async def _call_publish(self, node: Node, message: csi.NodePublishVolume, place: Path) -> None:
        try:
            await node.call(csi.NODE_PUBLISH_VOLUME, message)
        except Failed as error:
            if is_final(error):
                _remove_if_free(place)
            raise

    async def _grow_running(self, scene: _Scene, published: csi.NodePublishVolume) -> None:
        """Lets a file system grow under a pod that runs, and tells the pod how that went; raises
        BadConfiguration, the API's errors."""
        wanted = scene.wanted
        try:
            behind = await self._client.get(PERSISTENTVOLUME.ref("", wanted.name))
            capacity = behind.spec.capacity.get("storage", "0")
            now = replace(scene, wanted=replace(wanted, capacity=capacity))
            async with self._turn(scene.record), self._drivers.node(wanted.driver) as node:
                grown = await self._grow(now, node, published)
        except (NotRegistered, Failed) as error:
            start = f"NodeExpandVolume.NodeExpandVolume failed for volume {wanted.name} : "
            self._say(scene.pod, "Warning", "VolumeResizeFailed", f"{start}{error}")
            raise BadConfiguration(f"{start}{error}") from error
        except BadConfiguration as error:
            self._say(scene.pod, "Warning", "VolumeResizeFailed", str(error))
            raise
        if grown:
            text = f'MountVolume.NodeExpandVolume succeeded for volume "{wanted.name}" {self._node}'
            self._say(scene.pod, "Normal", "FileSystemResizeSuccessful", text)

    async def _grow(self, scene: _Scene, node: Node, published: csi.NodePublishVolume) -> bool:
        """Lets a file system grow that is smaller than its volume, and tells its claim so; says
        whether it was."""
        wanted = scene.wanted
        if wanted.claim is None:
            return False
        ref = PERSISTENTVOLUMECLAIM.ref(*wanted.claim)
        claim: PersistentVolumeClaim = await self._client.get(ref)
        has = parse(claim.status.capacity.get("storage", "0")).value()
        size = parse(wanted.capacity).value()
        if size <= has:
            return False
        secrets = await self._secrets(wanted.expand_secret, "NodeExpandSecretRef")
        message = csi.NodeExpandVolume(
            wanted.handle,
            published.target_path,
            csi.CapacityRange(size),
            published.staging_target_path,
            published.volume_capability,
            secrets,
        )
        try:
            await node.call(csi.NODE_EXPAND_VOLUME_CALL, message)
        except Failed as error:
            start = f"NodeExpandVolume.NodeExpandVolume failed for volume {wanted.name}"
            raise BadConfiguration(f"{start} : Expander.NodeExpand failed: {error}") from error
        status = {"capacity": {"storage": wanted.capacity}, "conditions": None}
        await self._client.patch(ref, {"status": status}, subresource="status")
        return True

    async def _ask_tokens(self, scene: _Scene) -> tuple[dict[str, str], float]:
        """Returns the tokens that a driver wants, and when it is to be asked again."""
        if scene.driver is None:
            return {}, 0.0
        found = {}
        for wanted in scene.driver.spec.token_requests:
            asked = ServiceAccountTokenProjection(
                audience=wanted.audience,
                expiration_seconds=wanted.expiration_seconds or _DEFAULT_TOKEN_SECONDS,
                path=f"csi:{scene.wanted.driver}",
            )
            token = await self._tokens.get(scene.pod, asked)
            found[wanted.audience] = {"token": token.text, "expirationTimestamp": token.expires}
        again = scene.driver.spec.requires_republish
        return request.render_tokens(found), self._world.now() + REPUBLISH_SECONDS if again else 0.0

    async def _secrets(self, name: SecretReference | None, what: str) -> dict[str, str]:
        """Returns a Secret's texts; raises BadConfiguration."""
        if name is None:
            return {}
        start = f"fetching {what} {name.namespace}/{name.name} failed: "
        try:
            found: Secret = await self._client.get(SECRET.ref(name.namespace, name.name))
            return {key: data.decode() for key, data in found.data.items()}
        except APIError as error:
            raise BadConfiguration(f"{start}{error.message}") from error
        except UnicodeDecodeError as error:
            raise BadConfiguration(f"{start}it holds bytes that are no text") from error

    # Taking back

    async def release(self, uid: str) -> None:
        """Takes back all that a pod has; raises BadConfiguration while something cannot be."""
        for name, record in self._layout.of_pod(uid).items():
            place = self._layout.volumes(uid) / name
            if record is None:  # the agent ended before it was noted: no driver was asked
                _remove(place / "mount")
                continue
            async with self._turn(record):
                await self._unpublish(uid, name, record)
                await self._unstage(uid, record)
            _remove_record(place)
            if record.attachment_id:
                self._attachments.leave(record.unique_name, uid)
        self._growing.leave(uid)
        for key in [key for key in self._published if key[0] == uid]:
            del self._published[key]

    async def _unpublish(self, uid: str, name: str, record: Record) -> None:
        target = self._layout.target(uid, name, block=record.block)
        message = csi.NodeUnpublishVolume(record.volume_handle, str(target))
        try:
            async with self._drivers.node(record.driver_name) as node:
                await node.call(csi.NODE_UNPUBLISH_VOLUME, message)
            _remove(target)
            if record.block:
                _remove_if_free(target.parent)  # other pods may have the volume too
        except (NotRegistered, Failed, OSError) as error:
            start = f'UnmountVolume.TearDown failed for volume "{name}" : '
            raise BadConfiguration(f"{start}{_NAME}Unmounter.TearDownAt failed: {error}") from error

    async def _unstage(self, uid: str, record: Record) -> None:
        """Has a volume unstaged that no other pod has."""
        place = self._layout.staging(record)
        if record.volume_lifecycle_mode == EPHEMERAL or self._is_used(record, but=uid):
            return
        if place.exists():
            message = csi.NodeUnstageVolume(record.volume_handle, str(place))
            try:
                async with self._drivers.node(record.driver_name) as node:
                    await node.call(csi.NODE_UNSTAGE_VOLUME, message)
                _remove(place)
            except (NotRegistered, Failed, OSError) as error:
                start = f'UnmountDevice failed for volume "{record.spec_vol_id}" : '
                text = f"{start}{_NAME}attacher.UnmountDevice failed: {error}"
                raise BadConfiguration(text) from error
        self._layout.forget_staged(record)
        self._staged.discard(record.key)

    def _is_used(self, record: Record, but: str = "") -> bool:
        return any(it.key == record.key for uid, it in self._layout.all() if uid != but)


def _unusable(step: str, wanted: Wanted, text: str) -> Unusable:
    return Unusable(f'MountVolume.{step} failed for volume "{wanted.name}" : {text}')


def _remove(place: Path) -> None:
    """Removes where something was mounted; raises OSError where it is still, or holds files."""
    with suppress(FileNotFoundError):
        if place.is_dir():
            place.rmdir()
        else:
            place.unlink()


def _remove_if_free(place: Path) -> None:
    """Removes where nothing came to be mounted; what is mounted after all stays."""
    with suppress(OSError):
        _remove(place)


def _remove_record(place: Path) -> None:
    """Removes a volume's record and the directory around it."""
    (place / DATA).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        place.rmdir()
