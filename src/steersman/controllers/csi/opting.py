"""Which CSI drivers are driven from here: those whose CSIDriver names the socket of their
controller service. All others have sidecars of their own, which are left alone (record 26)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from steersman.client.interface import View
from steersman.model.kinds.csidriver import CSIDRIVER, CSIDriver
from steersman.model.kinds.csinode import CSINODE, CSINode
from steersman.model.kinds.node import NODE, Node

SOCKET: Final = "steersman.dev/csi-controller-socket"


def socket_of(drivers: View, name: str) -> Path | None:
    """Returns the socket of a driver that opts in, None for the others."""
    found: CSIDriver | None = drivers.get(CSIDRIVER.ref("", name))
    text = found.metadata.annotations.get(SOCKET, "") if found is not None else ""
    return Path(text) if text.startswith("/") else None


def topologies(
    driver: str, nodes: View, csi_nodes: View, chosen: str
) -> tuple[Mapping[str, str], ...]:
    """Returns where a volume may be: at the chosen node, or at any that has the driver."""
    names: Iterable[str] = [chosen] if chosen else [it.metadata.name for it in csi_nodes.list()]
    found = [_topology(driver, nodes, csi_nodes, name) for name in sorted(names)]
    return tuple({tuple(sorted(it.items())): it for it in found if it}.values())


def _topology(driver: str, nodes: View, csi_nodes: View, name: str) -> dict[str, str]:
    node: Node | None = nodes.get(NODE.ref("", name))
    listed: CSINode | None = csi_nodes.get(CSINODE.ref("", name))
    if node is None or listed is None:
        return {}
    keys = [key for it in listed.spec.drivers if it.name == driver for key in it.topology_keys]
    return {key: node.metadata.labels[key] for key in keys if key in node.metadata.labels}


def node_id(driver: str, csi_nodes: View, name: str) -> str | None:
    """Returns the id that a driver has for a node, None where it has none."""
    listed: CSINode | None = csi_nodes.get(CSINODE.ref("", name))
    drivers = listed.spec.drivers if listed is not None else ()
    return next((it.node_id for it in drivers if it.name == driver), None)
