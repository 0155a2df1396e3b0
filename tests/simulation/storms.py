"""What the scenarios share: the start of a control plane, a storm, the wait in the calm after it,
and one seed after another."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from steersman.model.errors import APIError
from steersman.model.kinds.node import NODE
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.node.simulated.behaviour import Behaviour
from steersman.reconcile.loop import Controller
from steersman.testing.invariants.rollouts import Broken
from steersman.world.simulated import START, SimulatedWorld

from .control_plane import ControlPlane
from .faults import Weather

NAMESPACE = "default"
NODES = 4
CALM_SECONDS = 1500.0  # above the longest back-off of a key: what was retried in vain comes again
LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to, for people who watch."""

    seed: int
    commits: int
    crashes: int
    seconds: float


async def prepare(
    plane: ControlPlane,
    world: SimulatedWorld,
    behaviour: Behaviour,
    controllers: Sequence[type[Controller]],
) -> None:
    """Starts the parts and waits for what a pod needs."""
    plane.run_controllers(controllers)
    plane.run_scheduler()
    plane.run_nodes(NODES, behaviour)
    while world.now() < START + CALM_SECONDS:
        try:
            await plane.admin.get(SERVICEACCOUNT.ref(NAMESPACE, "default"))
            if len((await plane.admin.list(NODE)).items) == NODES:
                return
        except APIError:
            pass
        await world.sleep(0.1)
    raise Broken("the nodes never came up")


def storm(weather: Weather, random: Any) -> None:
    """Begins bad weather; some kinds of trouble are absent in some seeds, to find each alone."""
    weather.lose_request = random.choice((0.0, 0.05, 0.2))
    weather.lose_answer = random.choice((0.0, 0.05, 0.2))
    weather.break_watch = random.choice((0.0, 0.02))
    weather.slow_call = random.choice((0.0, 0.05, 0.5))
    weather.slow_watch = random.choice((0.0, 0.5, 5.0))
    weather.crash_every = random.choice((0, 0, 37, 11))


async def rest(
    world: SimulatedWorld, problems: Callable[[], Awaitable[list[str]]], seconds: float
) -> None:
    """Waits until everything is as wanted; raises Broken when it takes longer."""
    end = world.now() + seconds
    while found := await problems():
        if world.now() > end:
            raise Broken(f"not at rest {seconds} s after the storm: {'; '.join(found)}")
        await world.sleep(LOOK_SECONDS)


def in_turn(run: Callable[[int], object], seconds: float, at_least: int) -> None:
    """Runs seeds from 0 on for so many seconds of wall time, and at least so many of them."""
    began = time.monotonic()
    seed = 0
    while seed < at_least or time.monotonic() < began + seconds:
        run(seed)
        seed += 1
