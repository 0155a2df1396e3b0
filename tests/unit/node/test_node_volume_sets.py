"""The volumes of a pod together: what fails is told by name, where each is, what is done once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from node_documents import UID, pod

from steersman.cluster.plugins import Plugins
from steersman.model.kinds.configmap import ConfigMap
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.pod import Pod
from steersman.node.credentials.certificates import PodCertificates
from steersman.node.objects import BadConfiguration, Objects
from steersman.node.paths import Paths
from steersman.node.render.downward import Machine
from steersman.node.volumes.claims import Claims, Unusable
from steersman.node.volumes.mounting import Prepared, Volumes
from steersman.node.volumes.tokens import Tokens
from steersman.world.real import RealWorld

MAP = {"name": "settings", "configMap": {"name": "settings"}}
ROOM = {"name": "room", "emptyDir": {}}
CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}


class Known(Claims):
    """Claims with one volume behind all of them, or none that can be used."""

    def __init__(self, behind: PersistentVolume | None) -> None:
        self.behind = behind
        self.asked = 0

    async def find(self, pod: Pod, volume: Any) -> PersistentVolume | None:
        """Returns the volume behind a claim."""
        if volume.persistent_volume_claim is None:
            return None
        self.asked += 1
        if self.behind is None:
            raise Unusable("it cannot be used yet")
        return self.behind


class Node:
    """The volumes of a node on a disk of the test's own."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        (root / "data").mkdir()
        document = {"metadata": {"name": "pv"}, "spec": {"hostPath": {"path": str(root / "data")}}}
        self.claims = Known(msgspec.convert(document, PersistentVolume))
        world, client = RealWorld(), cast(Any, None)
        tokens = Tokens(client, world)
        plugins = Plugins(client, tokens, root, "vm", world, client)
        self.volumes = Volumes(
            self.paths,
            tokens,
            self.claims,
            PodCertificates(client, world, cast(Any, None), "vm"),
            Machine({}),
            world,
            plugins,
            node="vm",
        )
        self.maps = {"settings": {"key": "value"}}

    def read(self, ref: Any) -> Any:
        """Returns a ConfigMap."""
        data = self.maps.get(ref.name)
        return None if data is None else msgspec.convert({"data": data}, ConfigMap)

    def prepare(self, *volumes: dict[str, Any]) -> tuple[Pod, Prepared]:
        """Prepares the volumes of a pod."""
        given = pod(spec={"volumes": list(volumes)})
        objects = Objects("default", self.read)
        made = asyncio.run(self.volumes.prepare(given, objects, lambda: None))
        return given, made


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_each_volume_is_made_and_found_where_it_is(node: Node) -> None:
    host = {"name": "host", "hostPath": {"path": "/etc"}}
    given, made = node.prepare(MAP, ROOM, CLAIM, host)
    places = node.volumes.places(given)
    assert (places["settings"] / "key").read_text() == "value"
    assert places["room"] == node.paths.volume(UID, "room") and places["room"].is_dir()
    assert places["data"] == node.paths.root / "data"
    assert places["host"] == Path("/etc")
    assert made == Prepared(0.0)


def test_prepared_again_a_volume_shows_what_its_object_says_now(node: Node) -> None:
    node.prepare(MAP)
    node.maps["settings"] = {"other": "new"}
    given, _ = node.prepare(MAP)
    place = node.volumes.places(given)["settings"]
    assert [it.name for it in place.iterdir() if not it.name.startswith("..")] == ["other"]


def test_what_is_behind_a_claim_is_looked_for_once(node: Node) -> None:
    """While the pod stays, the claim may be deleted and its volume with it."""
    node.prepare(CLAIM)
    node.claims.behind = None
    node.prepare(CLAIM)
    assert node.claims.asked == 1


def test_what_cannot_be_made_is_told_with_the_name_of_the_volume(node: Node) -> None:
    node.maps.clear()
    with pytest.raises(BadConfiguration) as caught:
        node.prepare(MAP)
    start = 'MountVolume.SetUp failed for volume "settings" : '
    assert str(caught.value) == f'{start}configmap "settings" not found'
    with pytest.raises(BadConfiguration, match="this kind of volume is not supported"):
        node.prepare({"name": "far", "rbd": {"image": "i"}})


def test_what_is_behind_a_claim_is_told_by_its_own_name(node: Node) -> None:
    (node.paths.root / "data").rmdir()
    (node.paths.root / "data").touch()
    behind = node.claims.behind
    assert behind is not None and behind.spec.host_path is not None
    directory = msgspec.structs.replace(behind.spec.host_path, type="Directory")
    spec = msgspec.structs.replace(behind.spec, host_path=directory)
    node.claims.behind = msgspec.structs.replace(behind, spec=spec)
    with pytest.raises(BadConfiguration, match='SetUp failed for volume "pv" : hostPath type'):
        node.prepare(CLAIM)


def test_a_claim_that_cannot_be_used_yet_says_so_in_its_own_words(node: Node) -> None:
    node.claims.behind = None
    with pytest.raises(Unusable) as caught:
        node.prepare(CLAIM)
    assert str(caught.value) == "it cannot be used yet"


def test_released_volumes_are_gone_and_what_they_led_to_is_not(node: Node) -> None:
    (node.paths.root / "data" / "kept").touch()
    node.prepare(MAP, ROOM, CLAIM)
    for _ in range(2):
        asyncio.run(node.volumes.release(UID))
    assert not node.paths.volume(UID, "room").parent.exists()
    assert (node.paths.root / "data" / "kept").exists()
