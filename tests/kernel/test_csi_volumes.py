"""What the node asks of a CSI driver when, and what it keeps of it: with a real driver and real
mounts, an API of the test's own, and without a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from test_runtime_rig import needs_root

from csi_driver import Driver
from registrar import HANG
from steersman.model.errors import APIError, NotFound
from steersman.model.kinds.csidriver import CSIDRIVER
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.node.csi import attachments, drivers
from steersman.node.csi.attachments import Attachments
from steersman.node.csi.drivers import Drivers
from steersman.node.csi.layout import Layout
from steersman.node.csi.volumes import REPUBLISH_SECONDS, CSIVolumes
from steersman.node.objects import BadConfiguration
from steersman.node.plugins.folder import Plugin
from steersman.node.volumes import memory
from steersman.node.volumes.claims import Unusable
from steersman.node.volumes.mounting import Published
from steersman.node.volumes.tokens import Tokens
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import csi
from steersman.world.real import RealWorld
from unit.node.node_documents import UID, pod

pytestmark = needs_root

NAME = "csi.test.example"
CLAIMED = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}


class API:
    """Objects by the plural of their kind and their name; what is written is noted."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Any] = {}
        self.patches: list[tuple[str, Any]] = []
        self.fails = False
        self.patched = asyncio.Event()

    async def get(self, ref: Any) -> Any:
        if (found := self.objects.get((ref.kind.plural, ref.name))) is None:
            raise NotFound(f'{ref.kind.plural} "{ref.name}" not found')
        return found

    async def patch(self, ref: Any, patch: Any, **_: Any) -> None:
        if self.fails:
            raise APIError("not now")
        self.patches.append((ref.name, patch))
        self.patched.set()

    def put(self, kind: Any, document: dict[str, Any]) -> None:
        found = msgspec.convert(document, kind.view)
        self.objects[kind.plural, document["metadata"]["name"]] = found


class Listing:
    """Lists nothing."""

    async def add(self, driver: Any) -> None:
        """See `drivers.Listing`."""

    async def remove(self, name: str) -> None:
        """See `drivers.Listing`."""


class Node:
    """The volumes of drivers of one node; `anew` is the next agent's."""

    def __init__(self, root: Path, tasks: Any) -> None:
        self.api, self.layout, self.tasks = API(), Layout(root), tasks
        self.world = RealWorld()
        self.drivers = Drivers(self.world, Listing())
        self.followed: dict[str, tuple[str, str]] = {}
        self.volumes = self.anew()

    def anew(self) -> CSIVolumes:
        client = cast(Any, self.api)
        used = ((uid, it.unique_name) for uid, it in self.layout.all() if it.attachment_id)
        self.attachments = Attachments(client, self.world, self.tasks, "vm", used)
        tokens = Tokens(client, self.world)
        self.volumes = CSIVolumes(
            client,
            tokens,
            self.drivers,
            self.attachments,
            self.layout,
            self.world,
            "vm",
            cast(Any, self),
            lambda *_: None,
        )
        return self.volumes

    def follow(self, namespace: str, name: str, uid: str, _grow: Any) -> None:
        """See `growing.Growing`."""
        self.followed[uid] = (namespace, name)

    def leave(self, uid: str) -> None:
        """See `growing.Growing`."""
        self.followed.pop(uid, None)

    async def prepare(self, uid: str = UID, **spec: Any) -> Published:
        mine = pod(metadata={"uid": uid}, spec={"volumes": [CLAIMED], **spec})
        return await self.volumes.prepare(mine, mine.spec.volumes[0], volume())

    def left(self) -> list[str]:
        return [str(it.relative_to(self.layout.root)) for it in self.layout.root.rglob("*.json")]


def volume(**source: Any) -> PersistentVolume:
    document = {
        "metadata": {"name": "pv"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": "default", "name": "data"},
            "csi": {"driver": NAME, "volumeHandle": "h", "fsType": "ext4", **source},
        },
    }
    return msgspec.convert(document, PersistentVolume)


def run(tmp_path: Path, test: Callable[[Node, Driver], Awaitable[None]], **given: Any) -> None:
    async def main() -> None:
        made = Driver(NAME, tmp_path / "driver", abilities=(csi.STAGE_UNSTAGE_VOLUME,))
        world = RealWorld()
        async with asyncio.timeout(60), world.tasks() as tasks, made.listening():
            node = Node(tmp_path / "node", tasks)
            spec = {"attachRequired": False, **given}
            node.api.put(CSIDRIVER, {"metadata": {"name": NAME}, "spec": spec})
            await node.drivers.register(Plugin("CSIPlugin", NAME, made.socket, ("1.0",)))
            try:
                await test(node, made)
            finally:
                made.faults = {}
                for place in (tmp_path / "node" / "pods").glob("*"):
                    await node.volumes.release(place.name)
                tasks.stop()

    try:
        asyncio.run(main())
    finally:
        memory.unmount_below(tmp_path)  # whatever a test that failed could not take back


def test_a_driver_that_hangs_is_left_in_time_and_what_it_may_have_done_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "CALL_SECONDS", 0.2)

    async def test(node: Node, made: Driver) -> None:
        for method, step in (("NodeStageVolume", "MountDevice"), ("NodePublishVolume", "SetUp")):
            made.faults = {method: HANG}
            text = f'MountVolume.{step} failed for volume "pv" : rpc error: code = DeadlineExceeded'
            with pytest.raises(Unusable, match=text):
                await node.prepare()
        assert len(node.left()) == 2
        made.faults = {"NodeUnpublishVolume": HANG}
        with pytest.raises(BadConfiguration, match=r"UnmountVolume.TearDown failed .*Deadline"):
            await node.volumes.release(UID)
        made.faults = {"NodeUnstageVolume": Failed(grpc.INTERNAL, "no")}
        with pytest.raises(BadConfiguration, match=r"UnmountDevice failed .* desc = no"):
            await node.volumes.release(UID)
        made.faults = {}
        await node.volumes.release(UID)
        assert node.left() == []
        assert made.staged == made.published == {}

    run(tmp_path, test)


def test_a_final_error_leaves_nothing_where_something_was_to_be(tmp_path: Path) -> None:
    async def test(node: Node, made: Driver) -> None:
        made.faults = {"NodeStageVolume": Failed(grpc.INVALID_ARGUMENT, "never")}
        with pytest.raises(Unusable, match="desc = never"):
            await node.prepare()
        assert not list(tmp_path.rglob("globalmount"))
        made.faults = {"NodeStageVolume": Failed(grpc.UNAVAILABLE, "perhaps")}
        with pytest.raises(Unusable, match="desc = perhaps"):
            await node.prepare()
        assert list(tmp_path.rglob("globalmount"))
        made.faults = {}
        published = await node.prepare()
        assert published.place.is_dir()

    run(tmp_path, test)


def test_an_agent_asks_once_and_the_next_one_again(tmp_path: Path) -> None:
    async def test(node: Node, made: Driver) -> None:
        await node.prepare()
        assert node.volumes.known(UID, "v") is not None
        await node.prepare("other")
        assert made.methods() == ["NodeStageVolume", "NodePublishVolume", "NodePublishVolume"]
        node.anew()
        assert node.volumes.known(UID, "v") is None
        await node.prepare()
        assert made.methods()[3:] == ["NodeStageVolume", "NodePublishVolume"]
        await node.volumes.release(UID)
        assert made.methods()[5:] == ["NodeUnpublishVolume"]
        assert node.volumes.known(UID, "v") is None
        await node.volumes.release("other")
        assert made.methods()[6:] == ["NodeUnpublishVolume", "NodeUnstageVolume"]

    run(tmp_path, test)


def test_who_asks_for_it_is_asked_again_after_a_while(tmp_path: Path) -> None:
    async def test(node: Node, made: Driver) -> None:
        before = node.world.now()
        published = await node.prepare()
        assert before + REPUBLISH_SECONDS <= published.again_at
        assert published.again_at <= node.world.now() + REPUBLISH_SECONDS
        assert node.volumes.known(UID, "v") == published
        node.volumes._published[UID, "v"] = msgspec.structs.replace(published, again_at=before)
        assert node.volumes.known(UID, "v") is None

    run(tmp_path, test, requiresRepublish=True)


def test_without_asking_nobody_is_asked_again(tmp_path: Path) -> None:
    async def test(node: Node, made: Driver) -> None:
        assert (await node.prepare()).again_at == 0.0

    run(tmp_path, test)


def test_a_driver_that_gives_files_to_groups_is_told_the_group(tmp_path: Path) -> None:
    async def test(node: Node, made: Driver) -> None:
        made.abilities = (csi.STAGE_UNSTAGE_VOLUME, csi.VOLUME_MOUNT_GROUP)
        await node.prepare(securityContext={"fsGroup": 4711})
        (stage,), (publish,) = made.asked("NodeStageVolume"), made.asked("NodePublishVolume")
        mounts = [it.volume_capability.mount.volume_mount_group for it in (stage, publish)]
        assert mounts == ["4711", "4711"]
        assert (made.directory / "volumes" / "h").stat().st_gid != 4711

    run(tmp_path, test)


def test_a_volume_that_nobody_attaches_is_given_up_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "WAIT_SECONDS", 0.1)

    class Still:
        """Follows nothing."""

        def __init__(self, *_: Any, **__: Any) -> None: ...

        async def follow(self) -> None: ...

        def listen(self, hear: Any) -> Callable[[], None]:
            return lambda: None

        def get(self, ref: Any) -> None: ...

    monkeypatch.setattr(attachments, "FollowedView", Still)

    async def test(node: Node, made: Driver) -> None:
        text = r"unmounted volumes=\[v\], unattached volumes=\[v\], .*: context deadline exceeded"
        with pytest.raises(Unusable, match=text):
            await node.prepare()
        unique = f"kubernetes.io/csi/{NAME}^h"
        assert node.api.patches == [("vm", {"status": {"volumesInUse": [unique]}})]
        assert made.methods() == []
        # What the agent before used is in use still, and told again when that ends
        node.anew()
        monkeypatch.setattr(attachments, "TELL_RETRY_SECONDS", 0.01)
        node.api.fails = True
        await node.volumes.release(UID)
        node.api.fails = False
        node.api.patched.clear()
        await node.api.patched.wait()
        assert node.api.patches[1] == ("vm", {"status": {"volumesInUse": None}})

    run(tmp_path, test, attachRequired=True)


def test_a_secret_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    async def test(node: Node, made: Driver) -> None:
        secret = {"namespace": "n", "name": "s"}
        mine = pod(spec={"volumes": [CLAIMED]})
        for field, name in (
            ("nodeStageSecretRef", "NodeStageSecretRef"),
            ("nodePublishSecretRef", "NodePublishSecretRef"),
        ):
            text = f'fetching {name} n/s failed: secrets "s" not found'
            with pytest.raises(Unusable, match=text):
                await node.volumes.prepare(mine, mine.spec.volumes[0], volume(**{field: secret}))

    run(tmp_path, test)


def test_pods_have_their_turns_with_one_volume(tmp_path: Path) -> None:
    async def test(node: Node, made: Driver) -> None:
        made.faults = {"NodeStageVolume": 0.2}
        uids = [f"pod-{number}" for number in range(5)]
        await asyncio.gather(*(node.prepare(uid) for uid in uids))
        assert made.methods() == ["NodeStageVolume", *["NodePublishVolume"] * 5]
        await asyncio.gather(*(node.volumes.release(uid) for uid in uids))
        assert made.methods()[6:] == [*["NodeUnpublishVolume"] * 5, "NodeUnstageVolume"]
        assert node.volumes._turns == {}

    run(tmp_path, test)


def test_what_was_begun_and_never_noted_is_nobodys_to_take_back(tmp_path: Path) -> None:
    async def test(node: Node, made: Driver) -> None:
        place = node.layout.volumes(UID) / "half" / "mount"
        place.mkdir(parents=True)
        await node.volumes.release(UID)
        assert made.calls[1:] == []
        assert not place.exists()

    run(tmp_path, test)


def test_the_claim_of_a_volume_that_can_grow_is_followed_while_a_pod_has_it(tmp_path: Path) -> None:
    async def test(node: Node, made: Driver) -> None:
        status = {"capacity": {"storage": "1Gi"}}
        node.api.put(PERSISTENTVOLUMECLAIM, {"metadata": {"name": "data"}, "status": status})
        await node.prepare()
        assert node.followed == {}  # its driver lets nothing grow
        made.abilities = (csi.STAGE_UNSTAGE_VOLUME, csi.NODE_EXPAND_VOLUME)
        node.anew()
        await node.prepare()
        await node.prepare("other")
        assert node.followed == {UID: ("default", "data"), "other": ("default", "data")}
        await node.volumes.release("other")
        assert node.followed.keys() == {UID}

    run(tmp_path, test)
