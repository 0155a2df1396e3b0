"""The CSINode object of the node: made when the node registers, without drivers as yet."""

from __future__ import annotations

from steersman.client.interface import Client
from steersman.model.errors import AlreadyExists
from steersman.model.kind import Document
from steersman.model.kinds.csinode import CSINODE
from steersman.model.kinds.node import NODE, Node


async def create_csi_node(client: Client, name: str) -> None:
    """Makes the object, where it is not there; raises the API's errors."""
    node: Node = await client.get(NODE.ref("", name))
    try:
        await client.create(CSINODE, render_csi_node(node))
    except AlreadyExists:
        return


def render_csi_node(node: Node) -> Document:
    """Returns a CSINode without drivers, which goes with its Node."""
    name = node.metadata.name
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid}
    metadata: Document = {"name": name, "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {"drivers": []}}
