"""Which CSI drivers a node says that it has: entries of its CSINode, marks of its Node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from steersman.model.kinds.csinode import NodeDriver, VolumeLimit
from steersman.model.kinds.node import Node
from steersman.node.csi.csi_node import render_csi_node
from steersman.node.csi.drivers import Driver, is_final
from steersman.node.csi.listing import (
    MAX_COUNT,
    NODE_IDS,
    merge_driver,
    render_driver,
    render_marks,
)
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import csi

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


def test_a_csi_node_goes_with_its_node() -> None:
    made = render_csi_node(node())
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Node", "n", "u")
    assert made["spec"] == {"drivers": []}


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
