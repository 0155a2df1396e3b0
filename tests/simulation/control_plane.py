"""A whole control plane in one simulated world: API on the memory store, controllers, scheduler,
simulated nodes; each part a process that can die and comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from served import Served
from steersman.api.assembly import Assembly, Configuration
from steersman.api.cache import Cache
from steersman.api.effects.services import NODE_PORTS
from steersman.client.client import APIClient
from steersman.client.interface import Transport
from steersman.client.local import LocalTransport
from steersman.client.view import FollowedViews
from steersman.cluster.control import AUTHENTICATED, GROUPS, MANAGER
from steersman.model.kind import Document
from steersman.model.kinds.rbac import CLUSTERROLEBINDING
from steersman.model.ref import Resource
from steersman.node.simulated.behaviour import Behaviour
from steersman.node.simulated.nodes import SimulatedNodes
from steersman.reconcile import loop
from steersman.reconcile.loop import Controller
from steersman.reconcile.rules import identity
from steersman.scheduler import service as scheduler
from steersman.scheduler.configuration import DEFAULT, SchedulerConfiguration
from steersman.scheduler.extenders.extender import Reach
from steersman.store.interface import Write
from steersman.store.memory import MemoryStore
from steersman.testing.invariants.lifetimes import Lifetimes
from steersman.testing.invariants.reading import read_state
from steersman.testing.invariants.state import check
from steersman.wire.message import User
from steersman.world.interface import World
from steersman.world.simulated import SimulatedWorld

from .collecting import COLLECTOR, JudgedTransport
from .faults import FaultyTransport, Weather

RESTART_SECONDS = 0.5
TESTER = "test-controller"  # the account of controllers that only tests have
See = Callable[[Resource, str, str, Document | None], None]


@cache
def signing_key() -> bytes:
    """Returns a key for tokens; made once, nothing depends on its value."""
    key = ec.generate_private_key(ec.SECP256R1())
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(*kinds, serialization.NoEncryption())


class Scheduling(msgspec.Struct, frozen=True):
    """What the scheduler is told, and how it reaches its extenders."""

    configuration: SchedulerConfiguration = DEFAULT
    reach: Callable[[SimulatedWorld], Reach] | None = None


class SeenStore(MemoryStore):
    """A store that shows every commit to somebody, in order."""

    def __init__(self, world: World, see: See) -> None:
        super().__init__(world)
        self._see = see

    async def commit(self, *writes: Write) -> int:
        """Commits, then shows what was written."""
        try:
            revision = await super().commit(*writes)
        except asyncio.CancelledError:  # who asked has died, but it was written before its turn
            self._show(writes)
            raise
        self._show(writes)
        return revision

    def _show(self, writes: tuple[Write, ...]) -> None:
        for write in writes:
            if write.key.count("/") < 4:
                continue
            _, group, plural, namespace, name = write.key.split("/", 4)
            if group == NODE_PORTS.group:
                continue  # no object: the key alone says that a port is taken
            resource = Resource("" if group == "core" else group, plural)
            document = None if write.value is None else msgspec.json.decode(write.value)
            self._see(resource, namespace, name, document)


class ControlPlane:
    """The API and the processes around it; made by `control_plane`."""

    def __init__(
        self,
        world: SimulatedWorld,
        tasks: Any,
        weather: Weather,
        see: See,
        collected: Callable[[Transport], Transport],
    ) -> None:
        self.world = world
        self.weather = weather
        self.crashes = 0
        self.nodes: SimulatedNodes
        self._tasks = tasks
        self._collected = collected
        store = SeenStore(world, see)
        self._assembly = Assembly(
            Cache(store, world),
            Configuration("10.96.0.0/16", signing_key(), 6443, "10.0.0.1"),
            world,
        )
        self.admin = self.client(User("admin", ("system:masters", "system:authenticated")))
        self.served = Served(self._assembly, store, world)

    def transport(self, user: User) -> LocalTransport:
        """Returns the way to the API without faults."""
        return LocalTransport(self._assembly.api.handle, user)

    def client(self, user: User) -> APIClient:
        """Returns a client without faults."""
        return APIClient(self.transport(user), self.world)

    async def violations(self) -> list[str]:
        """Returns what does not hold of the present state."""
        transport = self.transport(User("admin", ("system:masters", "system:authenticated")))
        read = await read_state(transport)
        assert not read.unread, read.unread
        return [f"{it.path}: {it.rule}: {it.message}" for it in check(read.state)]

    async def start(self) -> None:
        """Starts the API and grants the account that only tests have."""
        started = asyncio.Event()
        self._tasks.start(self._assembly.run(started.set), name="api")
        await started.wait()
        await self.admin.create(CLUSTERROLEBINDING, rights_of_tester())

    def run_controllers(self, chosen: Iterable[type[Controller]]) -> None:
        """Runs controllers as one process."""
        kinds = tuple(chosen)

        async def work(views: FollowedViews, client_for: Callable[[str], APIClient]) -> None:
            await loop.run(kinds, lambda name: client_for(identity(name)), views, self.world)

        self._process("controllers", work, MANAGER)

    def run_scheduler(self, told: Scheduling = Scheduling()) -> None:  # noqa: B008
        """Runs the scheduler as a process; as in a cluster, copies are read by the manager."""

        async def work(views: FollowedViews, client_for: Callable[[str], APIClient]) -> None:
            client = client_for(scheduler.IDENTITY)
            reach = told.reach(self.world) if told.reach is not None else None
            await scheduler.run(client, views, self.world, told.configuration, reach)

        self._process("scheduler", work, MANAGER)

    def run_nodes(self, count: int, behaviour: Behaviour, *, written: bool = True) -> None:
        """Runs simulated nodes as a process that does not die."""
        names = [f"node-{number}" for number in range(count)]

        async def work(views: FollowedViews, client_for: Callable[[str], APIClient]) -> None:
            self.nodes = SimulatedNodes(
                names, client_for_node, views, self.world, behaviour, written=written
            )
            await self.nodes.run()

        def client_for_node(name: str) -> APIClient:
            return APIClient(self.faulty(f"system:node:{name}", None), self.world)

        self._process("nodes", work, MANAGER, dies=False)

    def faulty(self, name: str, crash: Callable[[], None] | None) -> FaultyTransport:
        """Returns the way to the API of one identity, through the weather."""
        inner: Transport = self.transport(User(name, groups_of(name)))
        if name == COLLECTOR:
            inner = self._collected(inner)
        return FaultyTransport(inner, self.world, self.weather, crash)

    def _process(
        self,
        name: str,
        work: Callable[..., Coroutine[Any, Any, None]],
        reader: str,
        *,
        dies: bool = True,
    ) -> None:
        self._tasks.start(self._keep(name, work, reader, dies), name=name)

    async def _keep(
        self, name: str, work: Callable[..., Coroutine[Any, Any, None]], reader: str, dies: bool
    ) -> None:
        """Runs a process, again whenever it dies."""
        while True:
            died = asyncio.Event()
            crash = died.set if dies else None

            def client_for(user: str, crash: Callable[[], None] | None = crash) -> APIClient:
                return APIClient(self.faulty(user, crash), self.world)

            async with self.world.tasks() as tasks:
                views = FollowedViews(client_for(reader), self.world, tasks)
                tasks.start(work(views, client_for), name=f"{name} work")
                await died.wait()
                tasks.stop()
            self.crashes += 1
            await self.world.sleep(RESTART_SECONDS)


def groups_of(name: str) -> tuple[str, ...]:
    """Returns the groups of a part's identity, as the composition gives them."""
    found = next((groups for start, groups in GROUPS.items() if name.startswith(start)), ())
    return (*found, AUTHENTICATED)


def rights_of_tester() -> Document:
    """Returns the binding under which controllers of tests may do everything."""
    group = "rbac.authorization.k8s.io"
    tester = {"kind": "ServiceAccount", "namespace": "kube-system", "name": TESTER}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"}
    return {"metadata": {"name": TESTER}, "roleRef": reference, "subjects": [tester]}


@asynccontextmanager
async def control_plane(
    world: SimulatedWorld, weather: Weather, see: See
) -> AsyncIterator[ControlPlane]:
    """Runs a control plane for the time of a `with`; a part that fails fails the test.

    So does what `see` finds wrong, though the loop of a controller would take it for a failure to
    be tried again.
    """
    wrong: list[AssertionError] = []
    lifetimes = Lifetimes()

    def judge(resource: Resource, namespace: str, name: str, document: Document | None) -> None:
        try:
            lifetimes.see(resource, namespace, name, document)
            see(resource, namespace, name, document)
        except AssertionError as error:
            wrong.append(error)

    async with world.tasks() as tasks:
        plane = ControlPlane(
            world, tasks, weather, judge, lambda it: JudgedTransport(it, lifetimes, wrong.append)
        )
        await plane.start()
        try:
            yield plane
        finally:
            if wrong:
                raise wrong[0]
        tasks.stop()


def condition(document: Mapping[str, Any], kind: str) -> str:
    """Returns the status of an object's condition, empty where it is not set."""
    conditions = (document.get("status") or {}).get("conditions") or ()
    return next((it["status"] for it in conditions if it["type"] == kind), "")
