"""Puts the server together: store, API, controllers, scheduler.

Nothing here decides anything: it opens the store, builds the API around it, hands every part a
client of its own identity, and ends them in order.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from steersman.api import keys
from steersman.api.access.front_proxy import FrontProxy
from steersman.api.access.settings import AccessSettings
from steersman.api.admission.plugins.registry import AdmissionSettings
from steersman.api.assembly import Assembly, Configuration
from steersman.api.cache import Cache
from steersman.api.edge.edge import Edge
from steersman.api.edge.settings import EdgeSettings
from steersman.api.encryption.configuration import NO_ENCRYPTION, Encryption
from steersman.api.encryption.sealed_store import SealedStore
from steersman.api.fairness.settings import FlowSettings
from steersman.api.published.reloads import AUTHENTICATION, AUTHORIZATION, ENCRYPTION
from steersman.api.retention.events import TTL_SECONDS
from steersman.client.client import APIClient
from steersman.client.counted import CountedTransport, Figures
from steersman.client.local import LocalTransport
from steersman.client.view import FollowedViews
from steersman.cluster import telling
from steersman.cluster.kms_plugins import CHECK, KMSPlugins
from steersman.cluster.process import Report, first_address, reload_on_hangup, settle, stop_signal
from steersman.controllers.choice import ACCOUNTS, Choice
from steersman.listen.certificates import FRONT_PROXY, KUBELET_CLIENT, SERVER, Certificates
from steersman.listen.serve import Server, tls_context
from steersman.model import schema
from steersman.model.pack import NUMBER
from steersman.model.service_range import DNS_LISTENS
from steersman.store.memory import MemoryStore
from steersman.store.sqlite import open_sqlite
from steersman.wire.message import User
from steersman.world.interface import Tasks, World

if TYPE_CHECKING:  # loaded with the control's parts, after the server serves, or where asked for
    from steersman.api.audit.settings import AuditSettings
    from steersman.cluster.reloading import Reload
    from steersman.scheduler.configuration import SchedulerConfiguration
    from steersman.world.clock import Clock


class ServerSettings(msgspec.Struct, frozen=True):
    """What `steer server` was told.

    node:  this machine is a node, which answers for names
    clock: cluster time, where it is virtual
    """

    store_directory: Path | None
    certificates: Path
    socket: Path
    port: int
    service_cidr: str
    pod_cidr: str
    controllers: bool = True
    simulated_nodes: int = 0
    scheduling: SchedulerConfiguration | None = None
    node: bool = True
    access: AccessSettings = AccessSettings()
    event_seconds: float = TTL_SECONDS
    edge: EdgeSettings = EdgeSettings()
    flow: FlowSettings = FlowSettings()
    admission: AdmissionSettings = AdmissionSettings()
    choice: Choice = Choice()
    audit: AuditSettings | None = None
    encryption: Encryption | None = None
    minor: int = NUMBER
    clock: Clock | None = None
    reloads: tuple[Reload, ...] = ()
    flags: Mapping[str, str] = msgspec.field(default_factory=dict)


def fatal(error: BaseException) -> None:
    """Ends the process at once: after a failed fsync nothing that it knows can be trusted."""
    print(f"the store failed, the server ends: {error}", file=sys.stderr, flush=True)
    os._exit(70)  # EX_SOFTWARE


async def open_store(settings: ServerSettings, world: World) -> SealedStore:
    """Opens the store; None as its directory means memory."""
    if settings.store_directory is None:
        return SealedStore(MemoryStore(world), settings.encryption or NO_ENCRYPTION)
    clock = settings.clock
    store = await open_sqlite(
        settings.store_directory,
        world=world,
        on_fatal=fatal,
        put_off=clock.advances if clock is not None else None,
    )
    if clock is not None:
        clock.settle = store.sync
    return SealedStore(store, settings.encryption or NO_ENCRYPTION)


async def serve(
    settings: ServerSettings, world: World, report: Report, stop: asyncio.Event | None = None
) -> None:
    """Runs a server until SIGTERM or SIGINT.

    As a guest in a process that is not its own it is given `stop` and runs until that is set: it
    listens on loopback alone, and leaves signals and the garbage collector as they are.
    """
    guest = stop is not None
    stop = stop or stop_signal()
    schema.serve(settings.minor)
    store = await open_store(settings, world)
    try:
        await _serve(settings, store, world, report, stop, guest=guest)
    finally:
        await store.close()


def serve_virtually(settings: ServerSettings, path: Path, report: Report) -> None:
    """Runs a server whose cluster time is virtual, and kept in a file; raises Damaged."""
    from steersman.cluster.virtual import open_clock
    from steersman.world.virtual import VirtualLoop, VirtualWorld

    clock = open_clock(path)
    try:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
            runner.run(serve(replace(settings, clock=clock), VirtualWorld(clock), report))
    finally:
        clock.save()


async def _serve(
    settings: ServerSettings,
    store: SealedStore,
    world: World,
    report: Report,
    stop: asyncio.Event,
    *,
    guest: bool,
) -> None:
    files = Certificates(settings.certificates)
    plugins = KMSPlugins(store, settings.encryption, world)
    sealed = settings.encryption is not None and bool(settings.encryption.plugins)
    sealed = sealed or any(one.what == ENCRYPTION for one in settings.reloads)
    configuration = Configuration(
        settings.service_cidr,
        files.service_account_key.read_bytes(),
        settings.port,
        first_address(settings.pod_cidr),
        kubelet_tls=partial(kubelet_context, files),
        dns=(first_address(settings.pod_cidr) if settings.node else "", DNS_LISTENS),
        authority=files.ca.read_text(),
        access=settings.access,
        event_seconds=settings.event_seconds,
        flow=settings.flow,
        admission=settings.admission,
        audit=settings.audit,
        front_proxy=FrontProxy(files.front_proxy_ca.read_text(), partial(show_front_proxy, files)),
        minor=settings.minor,
        flags=settings.flags,
        clock=settings.clock,
        controls=settings.controllers,
        checks={CHECK: plugins.health} if sealed else {},
    )
    cache = Cache(store, world, stale=store.stale, unreadable=store.unreadable)
    assembly = Assembly(cache, configuration, world)
    if settings.store_directory is not None:
        assembly.figures.add(partial(telling.of_store, settings.store_directory))
    if settings.clock is not None:
        settings.clock.busy = lambda: assembly.busy
    await plugins.begin()
    started = asyncio.Event()
    tls = tls_context(files.certificate(), files.key(), files.ca, files.front_proxy_ca)
    if not guest:
        reload_on_hangup(files, (SERVER, tls))
    async with world.tasks() as tasks:
        tasks.start(assembly.run(started.set), name="api")
        await started.wait()
        kept = partial(_kept, assembly)
        plugins.follow(tasks, kept)
        if settings.reloads:
            from steersman.cluster import reloading

            use = partial(use_again, assembly, lambda found: plugins.use(found, tasks, kept))
            again = reloading.follow(settings.reloads, use, assembly.reloads, world)
            tasks.start(again, name="configuration")
        edge = Edge(assembly.api.handle, settings.edge, world)
        async with Server(edge.handle, world) as server:
            await server.listen("127.0.0.1", settings.port, tls)
            if not guest:
                await _listen_to_own(server, settings, tls)
            report({"state": "serving"})
            if settings.controllers:
                await _control(settings, assembly, files, world, tasks)
            if not guest:
                settle()
            report({"state": "ready"})
            await stop.wait()
            assembly.watches.end_all()
        tasks.stop()
    plugins.close()


def use_again(
    assembly: Assembly, seal: Callable[[Encryption], None], what: str, found: Any
) -> None:
    """Has the server use a configuration that was read again."""
    if what == AUTHENTICATION:
        assembly.trust(found)
    elif what == AUTHORIZATION:
        assembly.authorize(found)
    else:
        seal(found)


def _kept(assembly: Assembly) -> Iterator[str]:
    """Yields the keys of all objects."""
    for table in assembly.cache.tables():
        for entry in table.ordered():
            yield keys.key_of(table.resource, entry.namespace, entry.name)


async def _listen_to_own(server: Server, settings: ServerSettings, tls: ssl.SSLContext) -> None:
    """Listens to pods, and to the cluster's other processes."""
    await server.listen(first_address(settings.pod_cidr), settings.port, tls, early=True)
    settings.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    server.listen_unix(settings.socket)


async def _control(
    settings: ServerSettings, assembly: Assembly, files: Certificates, world: World, tasks: Tasks
) -> None:
    """Starts controllers, scheduler and simulated nodes; returns when pods can be created."""
    # Loaded here, since the server answers without them
    from steersman.cluster import control
    from steersman.controllers.registry import controllers

    requests, sources = Figures(control.HOST), assembly.figures
    sources.add(requests.families)

    def client_for(name: str) -> APIClient:
        transport = LocalTransport(assembly.api.handle, User(name, control.groups_of(name)), tasks)
        counted = CountedTransport(transport, requests, world)
        return APIClient(counted, world, find=assembly.kind)

    views = FollowedViews(client_for(control.MANAGER), world, tasks)
    ranges = settings.service_cidr, settings.pod_cidr
    chosen = controllers(control.facts(files, *ranges, settings.choice, world))
    control.start_control(client_for, views, chosen, world, tasks, settings.scheduling, sources)
    control.start_simulated_nodes(
        settings.simulated_nodes, client_for, views, world, tasks, written=False
    )
    if settings.choice.has(ACCOUNTS):
        await control.until_default_account(client_for(control.MANAGER), world)


def kubelet_context(files: Certificates) -> ssl.SSLContext:
    """Returns what the server shows to kubelets, and by whom it knows them."""
    context = ssl.create_default_context(cafile=str(files.ca))
    own = KUBELET_CLIENT.file
    context.load_cert_chain(files.certificate(own), files.key(own))
    return context


def show_front_proxy(files: Certificates, context: ssl.SSLContext) -> None:
    """Has settings show this server to servers behind it."""
    own = FRONT_PROXY.file
    context.load_cert_chain(files.certificate(own), files.key(own))
