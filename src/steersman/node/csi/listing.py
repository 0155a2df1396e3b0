"""The CSINode of the node, and what drivers say of it on the Node: its id and where it stands.

Follows the kubelet's nodeinfomanager. What a driver says is kept while it is registered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import msgspec

from steersman.client.interface import Client
from steersman.model.errors import AlreadyExists, Conflict, NotFound
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.kinds.csinode import CSINODE, CSINode, NodeDriver
from steersman.model.kinds.node import NODE, Node
from steersman.node.csi.csi_node import render_csi_node
from steersman.node.csi.drivers import Driver
from steersman.node.plugins.folder import Refused

NODE_IDS: Final = "csi.volume.kubernetes.io/nodeid"
# Tries of one change against other writers, as the kubelet's updateBackoff has steps
MOST_TRIES: Final = 4
MAX_COUNT: Final = 2**31 - 1  # of volumes: more is said to be as many as this


class CSINodeListing:
    """See `drivers.Listing`."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node

    async def add(self, driver: Driver) -> None:
        """Lists a driver; raises the API's errors, and Refused."""
        node: Node = await self._client.get(NODE.ref("", self._node))
        await self._change_node(node, driver.name, driver)
        await self._change(node, driver.name, render_driver(driver))

    async def remove(self, name: str) -> None:
        """Takes a driver from the list; raises the API's errors, and Refused."""
        node: Node = await self._client.get(NODE.ref("", self._node))
        await self._change(node, name, None)
        await self._change_node(node, name, None)

    async def _change(self, node: Node, name: str, entry: Document | None) -> None:
        for attempt in range(MOST_TRIES):
            try:
                await self._change_once(node, name, entry)
            except (Conflict, AlreadyExists):
                if attempt == MOST_TRIES - 1:
                    raise
            else:
                return

    async def _change_once(self, node: Node, name: str, entry: Document | None) -> None:
        try:
            found: CSINode = await self._client.get(CSINODE.ref("", self._node))
        except NotFound:
            if entry is not None:
                document = render_csi_node(node)
                document["spec"]["drivers"] = [entry]
                await self._client.create(CSINODE, document)
            return
        drivers = merge_driver(found.spec.drivers, name, entry)
        patch: Document = {
            "metadata": {"resourceVersion": str(found.metadata.revision)},
            "spec": {"drivers": drivers},
        }
        await self._client.patch(CSINODE.ref("", self._node), patch)

    async def _change_node(self, node: Node, name: str, driver: Driver | None) -> None:
        metadata = render_marks(node, name, driver)
        if metadata:
            await self._client.patch(NODE.ref("", self._node), {"metadata": metadata})


def render_driver(driver: Driver) -> Document:
    """Returns the entry of a driver."""
    topology = driver.info.accessible_topology
    keys = sorted(topology.segments) if topology is not None else []
    entry: Document = {"name": driver.name, "nodeID": driver.info.node_id, "topologyKeys": keys}
    if driver.info.max_volumes_per_node > 0:
        entry["allocatable"] = {"count": min(driver.info.max_volumes_per_node, MAX_COUNT)}
    return entry


def merge_driver(known: Sequence[NodeDriver], name: str, entry: Document | None) -> list[Document]:
    """Returns the entries of all drivers, with one put in the place of what it was, or none."""
    others = [_document(it) for it in known if it.name != name]
    return others if entry is None else [*others, entry]


def _document(driver: NodeDriver) -> Document:
    entry: Document = {
        "name": driver.name,
        "nodeID": driver.node_id,
        "topologyKeys": list(driver.topology_keys),
    }
    if driver.allocatable is not None:
        entry["allocatable"] = {"count": driver.allocatable.count}
    return entry


def render_marks(node: Node, name: str, driver: Driver | None) -> Document:
    """Returns what changes of a Node's metadata: the ids by drivers, and the labels of where it
    stands, which stay when the driver goes. Raises Refused where the ids cannot be read."""
    ids = _ids(node)
    labels: dict[str, str] = {}
    if driver is None:
        ids.pop(name, None)
    else:
        ids[name] = driver.info.node_id
        topology = driver.info.accessible_topology
        labels = dict(topology.segments) if topology is not None else {}
    text = json.dumps(ids, separators=(",", ":")) if ids else None
    metadata: Document = {}
    if text != node.metadata.annotations.get(NODE_IDS):
        metadata["annotations"] = {NODE_IDS: text}
    if any(node.metadata.labels.get(key) != value for key, value in labels.items()):
        metadata["labels"] = labels
    return metadata


def _ids(node: Node) -> dict[str, str]:
    text = node.metadata.annotations.get(NODE_IDS) or "{}"
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError as error:  # anybody may have written it who edits nodes
        start = f"failed to parse node's {quote(NODE_IDS)} annotation value"
        raise Refused(f"{start} ({quote(text)}) err={error}") from None
