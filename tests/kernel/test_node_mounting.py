"""The volumes of a pod as the node makes them: modes, and when tokens are due again."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from test_runtime_rig import needs_root

from steersman.cluster.plugins import Plugins
from steersman.node.credentials.certificates import PodCertificates
from steersman.node.objects import Objects
from steersman.node.paths import Paths
from steersman.node.render.downward import Machine
from steersman.node.volumes import memory, mounting, sharing
from steersman.node.volumes.claims import Claims
from steersman.node.volumes.mounting import Volumes
from steersman.node.volumes.tokens import Tokens
from steersman.world.real import RealWorld
from unit.node.node_documents import UID, pod

pytestmark = needs_root
GROUP = 4711


class Issuer:
    """The part of a client that gives tokens, each good for as long as was asked."""

    async def post(self, ref: Any, subresource: str, document: Any) -> Any:
        """Returns a token."""
        life = timedelta(seconds=document["spec"]["expirationSeconds"])
        ends = datetime.now(UTC) + life
        return {"status": {"token": "t", "expirationTimestamp": ends.isoformat()}}


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    paths = Paths(tmp_path)
    yield paths
    mounting.release(paths, UID)


def token(name: str, seconds: int) -> dict[str, Any]:
    asked = {"path": name, "expirationSeconds": seconds}
    return {"name": name, "projected": {"sources": [{"serviceAccountToken": asked}]}}


def prepare(paths: Paths, *volumes: dict[str, Any], **spec: Any) -> tuple[float, list[float]]:
    """Prepares volumes; returns when this is to be done again, and when each token is due."""
    client, world = cast(Any, Issuer()), RealWorld()
    machine, tokens = Machine({}), Tokens(client, world)
    plugins = Plugins(client, tokens, paths.root, "vm", world, cast(Any, None))
    certificates = PodCertificates(client, world, cast(Any, None), "vm")
    made = Volumes(paths, tokens, Claims(client), certificates, machine, world, plugins, node="vm")
    mine = pod(spec={"volumes": list(volumes), **spec})

    async def scenario() -> tuple[float, list[float]]:
        objects = Objects("default", lambda ref: None)
        renew_at = (await made.prepare(mine, objects, lambda: None)).renew_at
        asked = [it.projected.sources[0] for it in mine.spec.volumes if it.projected is not None]
        projections = [it.service_account_token for it in asked]
        known = [await tokens.get(mine, it) for it in projections if it is not None]
        return renew_at, [it.renew_at for it in known]

    return asyncio.run(scenario())


EMPTY = {"name": "empty", "emptyDir": {}}


def test_volumes_are_prepared_anew_when_the_first_of_their_tokens_is_due(paths: Paths) -> None:
    assert prepare(paths, EMPTY) == (0.0, [])
    renew_at, due = prepare(paths, token("a", 1000), EMPTY)
    assert [renew_at] == due
    renew_at, due = prepare(paths, EMPTY, token("b", 1000), token("c", 2000))
    assert renew_at == due[0] < due[1]
    renew_at, due = prepare(paths, token("d", 2000), token("e", 1000))
    assert renew_at == due[1] < due[0]


@pytest.mark.parametrize(("volume", "mode"), [(EMPTY, 0o777), (token("token", 1000), 0o1777)])
def test_a_volume_is_open_to_all_of_the_pod_whatever_the_node_may_by_default(
    paths: Paths, volume: dict[str, Any], mode: int
) -> None:
    mask = os.umask(0o077)
    try:
        prepare(paths, volume)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(paths.volume(UID, volume["name"]).stat().st_mode) == mode


def test_what_is_made_in_a_volume_belongs_to_the_pods_group(paths: Paths) -> None:
    prepare(paths, EMPTY, securityContext={"fsGroup": GROUP})
    made = paths.volume(UID, "empty")
    assert stat.S_IMODE(made.stat().st_mode) == 0o2777
    (made / "file").touch()
    assert (made / "file").stat().st_gid == GROUP


def test_a_directory_is_shared_unless_that_would_hide_what_is_mounted_there(tmp_path: Path) -> None:
    here, below = tmp_path / "here with a space", tmp_path / "here with a space" / "below"
    before = sharing.is_shared(tmp_path)
    below.mkdir(parents=True)
    memory.mount(below)
    try:
        assert sharing.share(here) == before
        memory.unmount(below)
        assert sharing.share(here)
        assert sharing.share(here)
        assert sharing.is_shared(here)
        assert sharing.is_shared(tmp_path) == before
        memory.mount(below)
    finally:
        sharing.unshare(here)
    assert not [it for it in memory.mounts() if it.place.is_relative_to(tmp_path)]


def test_a_mount_is_read_with_its_peers_and_its_odd_names() -> None:
    line = r"43 27 254:3 / /a\040b rw,relatime {}- ext4 /dev/vda rw"
    disk = os.makedev(254, 3)
    assert memory.parse_mount(line.format("shared:1 ")) == (Path("/a b"), True, disk)
    assert memory.parse_mount(line.format("master:1 ")) == (Path("/a b"), False, disk)
    assert memory.parse_mount(line.format("shared:2 master:1 ")) == (Path("/a b"), True, disk)
    assert memory.parse_mount(line.format("")) == (Path("/a b"), False, disk)
