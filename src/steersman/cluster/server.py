"""Puts the server together: store, API, controllers, scheduler.

Nothing here decides anything: it opens the store, builds the API around it, hands every part a
client of its own identity, and ends them in order.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path

from steersman.api.assembly import Assembly, Configuration
from steersman.api.cache import Cache
from steersman.client.client import APIClient
from steersman.client.local import LocalTransport
from steersman.client.view import FollowedViews
from steersman.cluster.control import (
    MANAGER,
    groups_of,
    start_control,
    start_simulated_nodes,
    until_default_account,
)
from steersman.cluster.process import Report, reload_on_hangup, settle, stop_signal
from steersman.listen.certificates import KUBELET_CLIENT, SERVER, Certificates
from steersman.listen.serve import Server, tls_context
from steersman.store.interface import Store
from steersman.store.memory import MemoryStore
from steersman.store.sqlite import open_sqlite
from steersman.wire.message import User
from steersman.world.interface import Tasks, World


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What `steer server` was told."""

    store_directory: Path | None
    certificates: Path
    socket: Path
    port: int
    service_cidr: str
    pod_cidr: str
    controllers: bool = True
    simulated_nodes: int = 0


def fatal(error: BaseException) -> None:
    """Ends the process at once: after a failed fsync nothing that it knows can be trusted."""
    print(f"the store failed, the server ends: {error}", file=sys.stderr, flush=True)
    os._exit(70)  # EX_SOFTWARE


async def open_store(settings: ServerSettings, world: World) -> Store:
    """Opens the store; None as its directory means memory."""
    if settings.store_directory is None:
        return MemoryStore(world)
    return await open_sqlite(settings.store_directory, world=world, on_fatal=fatal)


async def serve(settings: ServerSettings, world: World, report: Report) -> None:
    """Runs a server until SIGTERM or SIGINT."""
    stop = stop_signal()
    store = await open_store(settings, world)
    try:
        await _serve(settings, store, world, report, stop)
    finally:
        await store.close()


async def _serve(
    settings: ServerSettings, store: Store, world: World, report: Report, stop: asyncio.Event
) -> None:
    files = Certificates(settings.certificates)
    configuration = Configuration(
        settings.service_cidr,
        files.service_account_key.read_bytes(),
        settings.port,
        first_address(settings.pod_cidr),
        kubelet_tls=partial(kubelet_context, files),
    )
    assembly = Assembly(Cache(store, world), configuration, world)
    started = asyncio.Event()
    tls = tls_context(files.certificate(), files.key(), files.ca)
    reload_on_hangup(files, (SERVER, tls))
    async with world.tasks() as tasks:
        tasks.start(assembly.run(started.set), name="api")
        await started.wait()
        async with Server(assembly.api.handle, world) as server:
            await server.listen("127.0.0.1", settings.port, tls)
            await server.listen(first_address(settings.pod_cidr), settings.port, tls, early=True)
            settings.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            server.listen_unix(settings.socket)
            report({"state": "serving"})
            if settings.controllers:
                bundle = files.ca.read_text()
                client_for = local_clients(assembly, world, tasks)
                views = FollowedViews(client_for(MANAGER), world, tasks)
                start_control(client_for, views, bundle, world, tasks)
                if settings.simulated_nodes:
                    count = settings.simulated_nodes
                    start_simulated_nodes(count, client_for, views, world, tasks)
                await until_default_account(client_for(MANAGER), world)
            settle()
            report({"state": "ready"})
            await stop.wait()
            assembly.watches.end_all()
        tasks.stop()


def kubelet_context(files: Certificates) -> ssl.SSLContext:
    """Returns what the server shows to kubelets, and by whom it knows them."""
    context = ssl.create_default_context(cafile=str(files.ca))
    own = KUBELET_CLIENT.file
    context.load_cert_chain(files.certificate(own), files.key(own))
    return context


def first_address(cidr: str) -> str:
    """Returns the first address of a range: the `kubernetes` Service's, or the bridge's."""
    return str(ip_network(cidr)[1])


def local_clients(assembly: Assembly, world: World, tasks: Tasks) -> Callable[[str], APIClient]:
    """Returns what makes clients in this process by user name."""

    def client_for(name: str) -> APIClient:
        transport = LocalTransport(assembly.api.handle, User(name, groups_of(name)), tasks)
        return APIClient(transport, world)

    return client_for
