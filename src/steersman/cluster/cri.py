"""Puts the CRI server together: runtime, images, network and the services on a socket.

Nothing here decides anything. Containers outlive it; the next one takes them up.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

import msgspec

from steersman.cluster.network import forget_flows
from steersman.cluster.node import cgroup_of, version, warm_socket
from steersman.cluster.process import Report, settle, stop_signal
from steersman.cri.known import Known
from steersman.cri.records import Records
from steersman.cri.service import follow, handlers, take_up
from steersman.cri.streaming import LOOPBACK, Streaming
from steersman.cri.tools import Tools
from steersman.images.http import StreamHttp
from steersman.images.pull import Puller
from steersman.images.store import Store
from steersman.listen.grpc import GRPCServer
from steersman.listen.serve import Server
from steersman.network import firewall
from steersman.network.bridge import Bridge
from steersman.network.nft import Rules, Unavailable
from steersman.network.pods import PodNetwork
from steersman.node.paths import Paths
from steersman.node.warm import WarmParent
from steersman.runtime.engine import Engine
from steersman.world.interface import World

MAX_MESSAGE_BYTES: Final = 16 << 20  # maxMsgSize of kubelet and containerd alike


class Settings(msgspec.Struct, frozen=True):
    """What `steer cri` was told.

    id:         names the bridge and the control groups
    directory:  of the runtime's state, of records and files
    run:        the sockets, on a short path
    socket:     where the services are
    pod_cidr:   the range of the sandboxes' addresses
    """

    id: str
    directory: Path
    images: Path
    run: Path
    socket: Path
    pod_cidr: str


async def run_cri(settings: Settings, world: World, report: Report) -> None:
    """Serves until SIGTERM or SIGINT; containers go on without it. Raises OSError, and ValueError
    for a record that is damaged."""
    stop = stop_signal()
    bridge = Bridge(settings.id, IPv4Network(settings.pod_cidr))
    bridge.set_up(settings.run.parent)
    rules = _rules()
    if rules is not None and (note := firewall.open_for(rules, bridge.name)):
        report({"note": note})
    network = PodNetwork(settings.id, bridge, rules, forget_flows)
    tools = _tools(settings, network, world)
    streams = Streaming(tools)
    services = handlers(tools, streams, version())
    await take_up(tools)
    async with (
        world.tasks() as tasks,
        Server(streams.handle, world) as server,
        GRPCServer(services, world, max_message_bytes=MAX_MESSAGE_BYTES) as listening,
    ):
        _, streams.port = await server.listen(LOOPBACK, 0, None)
        tasks.start(follow(tools), name="events of the runtime")
        settings.socket.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        await listening.listen_unix(settings.socket)
        settle()
        report({"state": "ready"})
        await stop.wait()
        tasks.stop()
    await tools.engine.close()
    if rules is not None:
        rules.close()


def _rules() -> Rules | None:
    """Returns who applies rules, None where nftables is not installed: then there is no firewall
    of it to open, and no host port."""
    try:
        return Rules()
    except Unavailable:
        return None


def _tools(settings: Settings, network: PodNetwork, world: World) -> Tools:
    paths = Paths(settings.directory.absolute())
    socket = warm_socket(settings.run)
    store = Store(settings.images)
    records = settings.directory / "records"
    return Tools(
        engine=Engine(str(socket), str(paths.runtime)),
        warm=WarmParent(socket, paths.runtime),
        network=network,
        puller=Puller(store, StreamHttp()),
        store=store,
        known=Known(Records(records), world),
        directory=settings.directory / "files",
        cgroup=cgroup_of(settings.id),
        world=world,
    )
