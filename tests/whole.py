"""A served API with everything that acts on it: all controllers, the scheduler, simulated nodes.

`@whole` turns `async def test(api)` into a test in virtual time, as `@served` does for the API
alone; `until` waits in it for what the others bring about.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from controlled import EVERYBODY, controlled
from served import Answer, Served, serving
from steersman.client.client import APIClient
from steersman.client.local import LocalTransport
from steersman.cluster.control import groups_of
from steersman.node.simulated.behaviour import Behaviour
from steersman.node.simulated.nodes import SimulatedNodes
from steersman.scheduler import service as scheduler
from steersman.scheduler.configuration import DEFAULT
from steersman.wire.message import User
from steersman.world.simulated import SimulatedWorld, simulate

NODES = ["node-0", "node-1"]
PATIENCE_SECONDS = 120.0


@asynccontextmanager
async def populated(api: Served) -> AsyncIterator[None]:
    """Runs everything beside a server and goes on when pods can be made and placed."""
    async with controlled(api, *EVERYBODY) as views, api.world.tasks() as tasks:

        def client_for(name: str) -> APIClient:
            transport = LocalTransport(api.assembly.api.handle, User(name, groups_of(name)), tasks)
            return APIClient(transport, api.world, find=api.assembly.kind)

        nodes = SimulatedNodes(
            NODES, lambda name: client_for(f"system:node:{name}"), views, api.world, Behaviour()
        )
        tasks.start(nodes.run(), name="nodes")
        placing = scheduler.run(client_for(scheduler.IDENTITY), views, api.world, DEFAULT)
        tasks.start(placing, name="scheduler")
        await until(api, lambda: is_ready(api))
        yield
        tasks.stop()


def whole(test: Callable[[Served], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Makes a test of an `async def` whose argument is a `Served` with everything beside it."""

    def run() -> None:
        async def main(world: SimulatedWorld) -> None:
            async with serving(world) as api, populated(api):
                await test(api)

        simulate(1, main)

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


async def until(
    api: Served, what: Callable[[], Awaitable[Any]], within: float = PATIENCE_SECONDS
) -> Any:
    """Waits until something is true, in virtual time, and returns it."""
    end = api.world.monotonic() + within
    while not (found := await what()):
        assert api.world.monotonic() < end, f"{what} did not come true within {within} s"
        await api.world.sleep(0.05)
    return found


async def gone(api: Served, path: str) -> None:
    """Waits until an object is not there."""

    async def absent() -> bool:
        return (await api.get(path)).code == 404

    await until(api, absent)


async def running(api: Served, path: str, count: int = 1, **selectors: str) -> list[Any]:
    """Waits until just so many pods are there and all of them run; returns them."""

    async def all_run() -> list[Any]:
        pods: list[Any] = (await api.get(path, **selectors)).ok()["items"]
        phases = [pod["status"]["phase"] for pod in pods]
        return pods if phases == ["Running"] * count else []

    found: list[Any] = await until(api, all_run)
    return found


async def is_ready(api: Served) -> bool:
    """Says whether pods can be made and placed."""
    found: Answer = await api.get("/api/v1/nodes")
    nodes = found.ok()["items"]
    account = await api.get("/api/v1/namespaces/default/serviceaccounts/default")
    free = [node for node in nodes if not node["spec"].get("taints")]
    return account.code == 200 and len(free) == len(NODES)
