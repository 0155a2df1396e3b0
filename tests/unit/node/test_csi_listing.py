"""Which CSI drivers a node says that it has: entries of its CSINode, marks of its Node."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import csi_driver
from steersman.client.errors import Unreachable
from steersman.model.kinds.csinode import NodeDriver, VolumeLimit
from steersman.model.kinds.node import Node
from steersman.node.csi.csi_node import render_csi_node
from steersman.node.csi.drivers import Driver, Drivers, is_final
from steersman.node.csi.listing import (
    MAX_COUNT,
    NODE_IDS,
    merge_driver,
    render_driver,
    render_marks,
)
from steersman.node.plugins.folder import Plugin, Refused
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import csi
from steersman.world.real import RealWorld

ZONE = {"zone": "a", "rack": "1"}


def node(**metadata: Any) -> Node:
    document = {"metadata": {"name": "n", "uid": "u", **metadata}}
    return msgspec.convert(document, Node)


def driver(limit: int = 0, topology: dict[str, str] | None = None) -> Driver:
    place = None if topology is None else csi.Topology(topology)
    return Driver("d", Path("/d.sock"), csi.NodeInfo("id", limit, place))


def test_an_entry_says_id_places_and_limit() -> None:
    assert render_driver(driver()) == {"name": "d", "nodeID": "id", "topologyKeys": []}
    full = render_driver(driver(3, ZONE))
    assert full["topologyKeys"] == ["rack", "zone"]
    assert full["allocatable"] == {"count": 3}
    assert render_driver(driver(2**40))["allocatable"] == {"count": MAX_COUNT}
    assert "allocatable" not in render_driver(driver(-1))


def test_an_entry_takes_the_place_of_the_drivers_own_alone() -> None:
    known = (
        NodeDriver("other", "o", ("zone",), VolumeLimit(5)),
        NodeDriver("d", "old"),
    )
    other = {"name": "other", "nodeID": "o", "topologyKeys": ["zone"], "allocatable": {"count": 5}}
    entry = render_driver(driver())
    assert merge_driver(known, "d", entry) == [other, entry]
    assert merge_driver(known, "d", None) == [other]
    assert merge_driver((), "d", None) == []


def test_a_node_says_ids_and_where_it_stands_only_when_they_change() -> None:
    assert render_marks(node(), "d", driver(topology=ZONE)) == {
        "annotations": {NODE_IDS: '{"d":"id"}'},
        "labels": ZONE,
    }
    known = {"annotations": {NODE_IDS: '{"d":"id"}'}, "labels": ZONE}
    assert render_marks(node(**known), "d", driver(topology=ZONE)) == {}
    assert render_marks(node(**known), "d", None) == {"annotations": {NODE_IDS: None}}
    two = {"annotations": {NODE_IDS: '{"d":"id","e":"x"}'}}
    text = render_marks(node(**two), "d", None)["annotations"][NODE_IDS]
    assert json.loads(text) == {"e": "x"}
    assert render_marks(node(), "d", None) == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"d": 1}'])
def test_ids_that_cannot_be_read_are_a_refusal(text: str) -> None:
    broken = node(annotations={NODE_IDS: text})
    for given in (driver(), None):
        with pytest.raises(Refused, match=r"failed to parse node's .* annotation value"):
            render_marks(broken, "d", given)


class Listed:
    """The names that are listed, by an API that is away once when it is told so."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.away = False

    async def add(self, driver: Driver) -> None:
        """See `drivers.Listing`."""
        self.names.append(driver.name)

    async def remove(self, name: str) -> None:
        """See `drivers.Listing`."""
        if self.away:
            self.away = False
            raise Unreachable("away")
        self.names.remove(name)


def test_a_driver_that_could_not_be_taken_from_the_list_is_at_the_next_try(tmp_path: Path) -> None:
    async def main() -> None:
        made, listed = csi_driver.Driver("d", tmp_path), Listed()
        known = Drivers(RealWorld(), listed)
        plugin = Plugin("CSIPlugin", "d", made.socket, ("1.0.0",))
        async with made.listening():
            await known.register(plugin)
        assert listed.names == ["d"]
        other = msgspec.structs.replace(plugin, endpoint=tmp_path / "other.sock")
        await known.unregister(other)
        assert listed.names == ["d"]
        listed.away = True
        with pytest.raises(Unreachable):
            await known.unregister(plugin)
        await known.unregister(plugin)
        assert listed.names == []

    asyncio.run(main())


def test_a_csi_node_goes_with_its_node() -> None:
    made = render_csi_node(node())
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Node", "n", "u")
    assert made["spec"] == {"drivers": []}


def test_a_csi_node_says_which_plugins_are_left_to_drivers() -> None:
    names = ("aws-ebs", "azure-disk", "azure-file", "cinder", "gce-pd")
    names += ("portworx-volume", "vsphere-volume")
    assert render_csi_node(node())["metadata"]["annotations"] == {
        "storage.alpha.kubernetes.io/migrated-plugins": ",".join(
            f"kubernetes.io/{name}" for name in names
        )
    }


def test_after_some_errors_a_driver_may_still_be_at_work() -> None:
    final = {code for code in range(17) if is_final(Failed(code))}
    still = {
        grpc.CANCELED,
        grpc.DEADLINE_EXCEEDED,
        grpc.UNAVAILABLE,
        grpc.RESOURCE_EXHAUSTED,
        grpc.ABORTED,
    }
    assert final == set(range(17)) - still
    assert not is_final(OSError())
