"""Puts controllers and scheduler together: in the server's process, or in one of their own.

The same code either way; what differs is how a client reaches the API. Processes of their own
elect who works by a Lease, so that of several one acts at a time.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from steersman.client.client import APIClient
from steersman.client.counted import CountedTransport, Figures
from steersman.client.http import HTTPTransport, Pool, Target
from steersman.client.interface import Views
from steersman.client.view import FollowedViews
from steersman.cluster import telling
from steersman.cluster.process import Report, settle, stop_signal
from steersman.controllers.choice import ACCOUNTS, Choice
from steersman.controllers.registry import Facts, controllers
from steersman.listen.certificates import Certificates
from steersman.listen.serve import Server
from steersman.listen.signing import Authority
from steersman.model import builtin
from steersman.model.figures import Sources
from steersman.model.kind import Kind
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.model.ref import Resource
from steersman.node.simulated.nodes import SimulatedNodes
from steersman.reconcile import loop
from steersman.reconcile.leader import Candidate
from steersman.scheduler import service as scheduler
from steersman.scheduler.configuration import DEFAULT, SchedulerConfiguration
from steersman.world.interface import Tasks, World

# What follows everything for all controllers of a process, and what each of them is
MANAGER = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"
ACCOUNT = "system:serviceaccount:kube-system:"
NODE = "system:node:"
GROUPS: Mapping[str, tuple[str, ...]] = {
    ACCOUNT: ("system:serviceaccounts", "system:serviceaccounts:kube-system"),
    NODE: ("system:nodes",),
}
AUTHENTICATED = "system:authenticated"
# Who leads what, by upstream's names
LEASES = {MANAGER: "kube-controller-manager", SCHEDULER: "kube-scheduler"}
# And what they call themselves in events
COMPONENTS = {MANAGER: "kube-controller-manager", SCHEDULER: "default-scheduler"}
# What clients call the server that they reach over its socket, or in its process
HOST = "localhost"
# The default ServiceAccount is there some milliseconds after the controllers
READY_SECONDS = 30.0

ClientFor = Callable[[str], APIClient]
Work = Callable[[], Coroutine[Any, Any, None]]
Chosen = tuple[type[loop.Controller], ...]


class ControlSettings(msgspec.Struct, frozen=True):
    """What `steer control` was told; `name` says in Leases who works."""

    name: str
    socket: Path
    certificates: Path
    service_cidr: str
    pod_cidr: str
    simulated_nodes: int = 0
    scheduling: SchedulerConfiguration | None = None
    choice: Choice = Choice()


def groups_of(name: str) -> tuple[str, ...]:
    """Returns the groups of a part's identity."""
    found = next((groups for start, groups in GROUPS.items() if name.startswith(start)), ())
    return (*found, AUTHENTICATED)


def facts(files: Certificates, services: str, pods: str, choice: Choice, world: World) -> Facts:
    """Returns what controllers know of a cluster; certificates are signed in wire time."""
    signer = Authority(files, world.wire_now)
    return Facts(files.ca.read_text(), services, signer, choice, pods)


async def run_control(settings: ControlSettings, world: World, report: Report) -> None:
    """Runs controllers and scheduler against a server until SIGTERM or SIGINT.

    Raises Lost, in a group, where another may work now.
    """
    stop = stop_signal()
    # Renewed certificates are none of its business: it speaks over the socket
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    files = Certificates(settings.certificates)
    chosen = controllers(
        facts(files, settings.service_cidr, settings.pod_cidr, settings.choice, world)
    )
    clients: dict[str, APIClient] = {}
    requests, sources, shared = Figures(HOST), Sources(), Pool()
    sources.add(requests.families)
    sources.add(partial(telling.of_process, world.wire_now()))

    def client_for(name: str) -> APIClient:
        if name not in clients:
            target = Target(socket=str(settings.socket), user=name, groups=groups_of(name))
            pool = shared if name.startswith(NODE) else None
            transport = HTTPTransport(target, identity=name, pool=pool)
            counted = CountedTransport(transport, requests, world)
            clients[name] = APIClient(counted, world, find=find)
        return clients[name]

    def find(resource: Resource) -> Kind | None:
        return builtin.registry().of(resource) or views.custom().get(resource)

    async with world.tasks() as tasks:
        views = FollowedViews(client_for(MANAGER), world, tasks)
        work: dict[str, Work] = {
            MANAGER: lambda: _manage(settings, client_for, views, chosen, world, sources),
            SCHEDULER: lambda: scheduler.run(
                client_for(SCHEDULER),
                views,
                world,
                settings.scheduling or DEFAULT,
                sources=sources,
            ),
        }
        posts = [
            Post(
                Candidate(client_for(user), world, LEASES[user], settings.name, COMPONENTS[user]),
                run,
                world,
            )
            for user, run in work.items()
        ]
        for post in posts:
            post.start(tasks)
        if settings.choice.has(ACCOUNTS):
            await _default_account(views)
        async with Server(telling.answers(sources), world) as server:
            telling.listen(server, settings.socket.parent)
            settle()
            report({"state": "ready"})
            await stop.wait()
        for post in posts:
            await post.leave()
        tasks.stop()
    for client in clients.values():
        await client.close()


async def _default_account(views: Views) -> None:
    """Waits until pods can be created in the default namespace, through outages of the server."""
    view, there = views.of(SERVICEACCOUNT), asyncio.Event()

    def look(*_: object) -> None:
        if view.get(SERVICEACCOUNT.ref("default", "default")) is not None:
            there.set()

    leave = view.listen(look)
    look()
    await there.wait()
    leave()


class Post:
    """Work that one process at a time does."""

    def __init__(self, candidate: Candidate, work: Work, world: World) -> None:
        self._candidate = candidate
        self._work = work
        self._world = world
        self._over = asyncio.Event()
        self._leads = False
        self._task: asyncio.Task[None] | None = None

    def start(self, tasks: Tasks) -> None:
        """Stands for the post, and works when it is had."""
        self._task = tasks.start(self._candidate.lead(self._lead), name="post")

    async def _lead(self) -> None:
        self._leads = True
        async with self._world.tasks() as group:
            group.start(self._work(), name="work")
            await self._over.wait()
            group.stop()

    async def leave(self) -> None:
        """Ends the work and gives the post up, so that another has it at once."""
        assert self._task is not None
        self._over.set()
        if not self._leads:
            self._task.cancel()
        await asyncio.wait([self._task])


async def _manage(
    settings: ControlSettings,
    client_for: ClientFor,
    views: Views,
    chosen: Chosen,
    world: World,
    sources: Sources,
) -> None:
    """Runs the controllers, and the nodes without machines."""
    async with world.tasks() as tasks:
        start_controllers(client_for, views, chosen, world, tasks, sources)
        start_simulated_nodes(settings.simulated_nodes, client_for, views, world, tasks)


def start_control(
    client_for: ClientFor,
    views: Views,
    chosen: Chosen,
    world: World,
    tasks: Tasks,
    scheduling: SchedulerConfiguration | None = None,
    sources: Sources | None = None,
) -> None:
    """Starts the controllers and the scheduler; they share one followed copy of each kind."""
    start_controllers(client_for, views, chosen, world, tasks, sources)
    work = scheduler.run(
        client_for(SCHEDULER), views, world, scheduling or DEFAULT, sources=sources
    )
    tasks.start(work, name="scheduler")


def start_controllers(
    client_for: ClientFor,
    views: Views,
    chosen: Chosen,
    world: World,
    tasks: Tasks,
    sources: Sources | None = None,
) -> None:
    """Starts the controllers, each with its own rights."""
    running = loop.run(chosen, lambda name: client_for(ACCOUNT + name), views, world, sources)
    tasks.start(running, name="controllers")


def start_simulated_nodes(
    count: int,
    client_for: ClientFor,
    views: Views,
    world: World,
    tasks: Tasks,
    *,
    written: bool = True,
) -> None:
    """Starts nodes without machines, so many at first, each with the rights of a node; those that
    end with the server itself need not write their leases to renew them."""
    names = [f"simulated-{number}" for number in range(count)]
    nodes = SimulatedNodes(
        names, lambda name: client_for(NODE + name), views, world, written=written
    )
    tasks.start(nodes.run(), name="simulated nodes")


async def until_default_account(client: APIClient, world: World) -> None:
    """Waits until pods can be created in the default namespace."""
    account = SERVICEACCOUNT.ref("default", "default")
    async with world.wire_timeout(READY_SECONDS):
        listing = await client.list(SERVICEACCOUNT, "default")
        if any(found.metadata.name == account.name for found in listing.items):
            return
        async for changes in client.watch(SERVICEACCOUNT, "default", after=listing.revision):
            if any(getattr(change.object, "key", None) == account[1:] for change in changes):
                return
