"""The CSINode object of the node: made when the node registers, without drivers as yet."""

from __future__ import annotations

from steersman.client.interface import Client
from steersman.model.csi_translation import DRIVERS, MIGRATED
from steersman.model.errors import AlreadyExists
from steersman.model.kind import Document
from steersman.model.kinds.csinode import CSINODE
from steersman.model.kinds.node import NODE, Node


async def create_csi_node(client: Client, name: str) -> None:
    """Makes the object, or has one that is there say what is left to drivers; raises the API's
    errors."""
    node: Node = await client.get(NODE.ref("", name))
    document = render_csi_node(node)
    try:
        await client.create(CSINODE, document)
    except AlreadyExists:
        marks = {"metadata": {"annotations": document["metadata"]["annotations"]}}
        await client.patch(CSINODE.ref("", name), marks)


def render_csi_node(node: Node) -> Document:
    """Returns a CSINode without drivers, which goes with its Node; what was of upstream's tree is
    left to drivers, as every kubelet of 1.37 leaves it."""
    name = node.metadata.name
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid}
    annotations = {MIGRATED: ",".join(DRIVERS)}
    metadata: Document = {"name": name, "ownerReferences": [owner], "annotations": annotations}
    return {"metadata": metadata, "spec": {"drivers": []}}
