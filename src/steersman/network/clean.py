"""Removes what a cluster's node left in the kernel when its processes are gone: by name alone."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from steersman.network import firewall, forwarding, host_ports, rules
from steersman.network.bridge import DIGEST, bridge_name, link_prefix
from steersman.network.netlink import Netlink
from steersman.network.nft import Rules, Unavailable


def clean(cluster: str, place: Path) -> None:
    """Removes the rules, the links and the bridge of a cluster; what is not there is fine. The
    last cluster of a machine leaves forwarding as the first has found it, by the record in `place`.

    Needs root. Raises OSError, RulesRefused.
    """
    with forwarding.held(place) as record, Netlink() as link:
        for name in plan_links(cluster, [name for _, name in socket.if_nameindex()]):
            link.delete_link(name)
        forwarding.put_back(record)
    try:
        applied = Rules()
    except Unavailable:
        return  # without nftables the cluster had no rules
    with applied:
        applied.apply_now(rules.render_removal(cluster))
        applied.apply_now(host_ports.render(cluster, bridge_name(cluster), ()))
        firewall.close_for(applied, bridge_name(cluster))


def plan_links(cluster: str, names: Iterable[str]) -> list[str]:
    """Returns which links are a cluster's, its bridge among them, in the order of the names."""
    bridge, prefix = bridge_name(cluster), link_prefix(cluster)
    length = len(prefix) + DIGEST
    return [
        name
        for name in names
        if name == bridge or (name.startswith(prefix) and len(name) == length)
    ]
