"""The probes of a running container over time: how often they are asked and when they are over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from node_documents import deleted, exited, observed, pod, running

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container, Probe
from steersman.node.acting.handlers import Answer
from steersman.node.acting.probes import Prober
from steersman.node.observed import Observed, Run, Seen
from steersman.node.tools import Tools
from steersman.world.interface import World
from steersman.world.real import RealWorld
from steersman.world.simulated import simulate

PERIOD_SECONDS = 10
PROBE = {"exec": {"command": ["x"]}, "periodSeconds": PERIOD_SECONDS, "failureThreshold": 2}


class Held(Prober):
    """A prober whose container answers as it was told, and then for ever as at last: a real one
    answers over pipes and sockets, which know no virtual time."""

    def __init__(
        self,
        world: World,
        read: Callable[[], tuple[Pod, Observed]],
        write: Callable[[str, Seen], None],
        answers: Sequence[bool],
    ) -> None:
        self.world = world
        self.asked = 0
        self.told: list[str] = []
        self._answers = answers
        super().__init__(cast(Tools, self), read, write)

    def say(self, _pod: Pod, _kind: str, reason: str, note: str, _container: str = "") -> None:
        self.told.append(f"{reason}: {note}")

    async def _ask(self, _container: Container, _run: Run, _probe: Probe) -> Answer:
        good = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return Answer(good, "" if good else "bad")


def probed(kind: str, *answers: bool, periods: int) -> tuple[Held, Seen]:
    """Runs the probe of one kind for a time; returns what was asked and what is known then."""
    given = pod(**{kind: PROBE})

    async def main(world: World) -> tuple[Held, Seen]:
        seen = [
            observed(
                ready=True, containers={"app": running(started=kind != "startupProbe", ready=False)}
            )
        ]

        def read() -> tuple[Pod, Observed]:
            return given, seen[0]

        def write(container: str, known: Seen) -> None:
            seen[0] = seen[0].having(container, known)

        held = Held(world, read, write, answers)
        async with world.tasks() as tasks:
            for _ in range(periods):
                held.sync(tasks)
                await world.sleep(PERIOD_SECONDS)
            tasks.stop()
        return held, seen[0].of("app")

    return simulate(1, main)


def test_a_liveness_probe_is_asked_on_after_it_was_good_until_the_run_must_end() -> None:
    held, known = probed("livenessProbe", True, True, False, periods=10)
    assert held.asked == 4
    assert known.unhealthy == "liveness"
    assert held.told == ["Unhealthy: Liveness probe failed: bad"] * 2


@pytest.mark.parametrize(("last", "ready"), [(True, True), (False, False)])
def test_a_readiness_probe_is_asked_for_ever(last: bool, ready: bool) -> None:
    held, known = probed("readinessProbe", True, False, False, last, periods=10)
    assert held.asked == 10
    assert (known.ready, known.unhealthy) == (ready, "")


def test_a_startup_probe_is_over_when_it_was_good() -> None:
    held, known = probed("startupProbe", False, True, periods=10)
    assert held.asked == 2
    assert (known.started, known.unhealthy) == (True, "")


@pytest.mark.parametrize("action", ["httpGet", "tcpSocket"])
def test_a_pod_that_has_lost_its_addresses_answers_badly_and_ends_nothing(action: str) -> None:
    given = pod(livenessProbe={action: {"port": 80}})
    seen = observed(containers={"app": running()})
    place = SimpleNamespace(address="10.0.0.1")
    tools = cast(Tools, SimpleNamespace(place=place))
    prober = Prober(tools, lambda: (given, seen), lambda _name, _seen: None)
    container = given.spec.containers[0]
    run = seen.of("app").run
    assert run is not None and container.liveness_probe is not None
    answer = asyncio.run(prober._ask(container, run, container.liveness_probe))
    assert answer == Answer(False, "the pod has no address")


def test_a_probe_waits_for_its_delay_from_the_start_of_the_run() -> None:
    given = pod(readinessProbe={**PROBE, "initialDelaySeconds": 35})

    async def main(world: World) -> list[int]:
        run = Run(0, "running", world.now() - 10)
        seen = observed(ready=True, containers={"app": Seen(run=run, started=True)})
        held = Held(world, lambda: (given, seen), lambda _name, _seen: None, [True])
        async with world.tasks() as tasks:
            held.sync(tasks)
            await world.sleep(24)
            before = held.asked
            await world.sleep(2)
            tasks.stop()
        return [before, held.asked]

    assert simulate(1, main) == [0, 1]


@pytest.mark.parametrize(
    ("kind", "state", "asked"),
    [
        ("livenessProbe", "exited", 0),
        ("livenessProbe", "deleted", 0),
        ("livenessProbe", "gone", 0),
        ("readinessProbe", "deleted", 1),
    ],
)
def test_what_ends_is_not_asked_whether_it_lives_but_whether_it_is_ready(
    kind: str, state: str, asked: int
) -> None:
    given = pod(metadata=deleted() if state == "deleted" else None, **{kind: PROBE})
    known = exited() if state == "exited" else running()
    seen = observed(ready=True, gone=state == "gone", containers={"app": known})

    async def main(world: World) -> int:
        held = Held(world, lambda: (given, seen), lambda _name, _seen: None, [True])
        async with world.tasks() as tasks:
            held.sync(tasks)
            await world.sleep(1)
            tasks.stop()
        return held.asked

    assert simulate(1, main) == asked


def test_the_probes_of_a_run_that_is_over_end_with_it() -> None:
    given = pod(livenessProbe=PROBE)

    async def main(world: World) -> list[int]:
        seen = [observed(ready=True, containers={"app": running()})]
        held = Held(world, lambda: (given, seen[0]), lambda _name, _seen: None, [True])
        counts = []
        async with world.tasks() as tasks:
            for known in (running(), exited(), running(1)):
                seen[0] = observed(ready=True, containers={"app": known})
                held.sync(tasks)
                await world.sleep(3 * PERIOD_SECONDS - 1)
                counts.append(held.asked)
            tasks.stop()
        return counts

    assert simulate(1, main) == [3, 3, 6]


class Errs(Held):
    """A prober that cannot ask at first, and then gets an answer."""

    def __init__(self, errors: int, *rest: Any) -> None:
        super().__init__(*rest)
        self.errors = errors

    async def _ask(self, container: Container, run: Run, probe: Probe) -> Answer:
        if self.errors:
            self.errors -= 1
            self.asked += 1
            return Answer(False, "no such process", unknown=True)
        return await super()._ask(container, run, probe)


@pytest.mark.parametrize(("errors", "told"), [(2, []), (3, ["no such process"])])
def test_what_cannot_be_asked_is_tried_three_times_and_ends_nothing(
    errors: int, told: list[str]
) -> None:
    given = pod(livenessProbe={**PROBE, "failureThreshold": 1})
    seen = observed(ready=True, containers={"app": running()})

    async def main(world: World) -> Errs:
        held = Errs(errors, world, lambda: (given, seen), lambda _name, _seen: None, [True])
        async with world.tasks() as tasks:
            held.sync(tasks)
            await world.sleep(2 * PERIOD_SECONDS - 1)
            tasks.stop()
        return held

    held = simulate(1, main)
    start = "Unhealthy: Liveness probe errored and resulted in unknown state: "
    assert held.told == [start + text for text in told]
    assert held.asked == {2: 4, 3: 4}[errors]


def test_a_port_that_has_no_such_name_is_an_error_and_not_a_failure() -> None:
    given = pod(livenessProbe={"tcpSocket": {"port": "web"}})
    seen = observed(ready=True, containers={"app": running()})
    place = SimpleNamespace(address="10.0.0.1")
    tools = cast(Tools, SimpleNamespace(place=place, world=RealWorld()))
    prober = Prober(tools, lambda: (given, seen), lambda _name, _seen: None)
    container = given.spec.containers[0]
    run = seen.of("app").run
    assert run is not None and container.liveness_probe is not None
    answer = asyncio.run(prober._ask_firmly(container, run, container.liveness_probe))
    assert answer == Answer(False, 'strconv.Atoi: parsing "web": invalid syntax', unknown=True)
