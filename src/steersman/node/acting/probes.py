"""Startup, readiness and liveness of running containers: one task for each probe of each run.

Follows kubelet's prober worker: thresholds count results in a row, and nothing else is asked
before the startup probe has succeeded. Deciding is `judge`, pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container, Probe
from steersman.node import containers
from steersman.node.acting import handlers
from steersman.node.acting.handlers import Answer
from steersman.node.observed import Observed, Run, Seen
from steersman.node.status import addresses_of
from steersman.node.tools import Tools
from steersman.world.interface import Tasks

Kind = Literal["startup", "readiness", "liveness"]
Key = tuple[str, int, Kind]
MOST_TRIES = 3  # kubelet's maxProbeRetries: of what could not even be asked
NO_ACTION = "missing probe handler"
NO_ADDRESS = "the pod has no address"


class Tally(msgspec.Struct, frozen=True):
    """Results in a row; `good` is what was concluded last, None before the first conclusion."""

    good: bool | None = None
    last: bool | None = None
    row: int = 0


def judge(tally: Tally, success: bool, probe: Probe) -> Tally:
    """Returns the tally with one more result."""
    row = tally.row + 1 if tally.last == success else 1
    threshold = probe.success_threshold if success else probe.failure_threshold
    concluded = success if row >= max(threshold, 1) else tally.good
    return Tally(concluded, success, row)


def probes_of(container: Container, known: Seen) -> Iterator[tuple[Kind, Probe]]:
    """Yields the probes that are asked now."""
    if container.startup_probe is not None and not known.started:
        yield "startup", container.startup_probe
        return
    if container.readiness_probe is not None:
        yield "readiness", container.readiness_probe
    if container.liveness_probe is not None:
        yield "liveness", container.liveness_probe


def apply(kind: Kind, known: Seen, good: bool) -> Seen:
    """Returns what is known of a container after a probe has come to a conclusion."""
    if kind == "readiness":
        return msgspec.structs.replace(known, ready=good)
    if kind == "startup" and good:
        return msgspec.structs.replace(known, started=True)
    if good:
        return known
    return msgspec.structs.replace(known, unhealthy=kind)


class Prober:
    """The probes of one pod; `read` gives what is observed, `write` takes a container's change."""

    def __init__(
        self,
        tools: Tools,
        read: Callable[[], tuple[Pod, Observed]],
        write: Callable[[str, Seen], None],
    ) -> None:
        self._tools = tools
        self._read = read
        self._write = write
        self._running: dict[Key, asyncio.Task[None]] = {}

    def sync(self, tasks: Tasks) -> None:
        """Begins the probes that are due and ends those whose run is over."""
        wanted = dict(self._wanted())
        for key in [key for key in self._running if key not in wanted]:
            self._running.pop(key).cancel()
        for key, (container, run, probe) in wanted.items():
            if key not in self._running:
                work = self._probe(key[2], container, run, probe)
                self._running[key] = tasks.start(work, name=f"{key[2]} of {container.name}")

    def _wanted(self) -> Iterator[tuple[Key, tuple[Container, Run, Probe]]]:
        pod, seen = self._read()
        ending = seen.gone or pod.metadata.deletion_timestamp is not None
        for container in containers.all_containers(pod):
            known = seen.of(container.name)
            if known.run is None or not known.running:
                continue
            for kind, probe in probes_of(container, known):
                if not ending or kind == "readiness":
                    key = (container.name, known.run.attempt, kind)
                    yield key, (container, known.run, probe)

    async def _probe(self, kind: Kind, container: Container, run: Run, probe: Probe) -> None:
        """Asks until it is cancelled, or until the run must end."""
        now = self._tools.world.now()
        await self._tools.world.sleep(max(0.0, run.started_at + probe.initial_delay_seconds - now))
        tally = Tally()
        while True:
            answer = await self._ask_firmly(container, run, probe)
            if not answer.good:
                self._tell(kind, container, answer)
            before = tally
            if not answer.unknown:  # which says nothing of the container
                tally = judge(tally, answer.good, probe)
            if tally.good is not None and tally.good != before.good:
                self._conclude(kind, container, run, tally.good)
                if kind != "readiness" and not tally.good:
                    return
            await self._tools.world.sleep(probe.period_seconds)

    def _conclude(self, kind: Kind, container: Container, run: Run, good: bool) -> None:
        _, seen = self._read()
        known = seen.of(container.name)
        if known.run is None or known.run.attempt != run.attempt:
            return
        after = apply(kind, known, good)
        if after != known:
            self._write(container.name, after)

    async def _ask_firmly(self, container: Container, run: Run, probe: Probe) -> Answer:
        """Asks again at once where it could not be asked, a few times."""
        for _ in range(MOST_TRIES):
            try:
                answer = await self._ask(container, run, probe)
            except handlers.NoSuchPort as error:
                return Answer(False, str(error), unknown=True)
            if not answer.unknown:
                break
        return answer

    async def _ask(self, container: Container, run: Run, probe: Probe) -> Answer:
        pod, seen = self._read()
        seconds = float(probe.timeout_seconds)
        if (action := probe.exec) is not None:
            command = action.command
            return await handlers.run_command(
                self._tools, pod, container.name, run, command, seconds
            )
        addresses = addresses_of(pod, seen, self._tools.place.address)
        if not addresses:  # its sandbox was lost meanwhile
            return Answer(False, NO_ADDRESS)
        address = addresses[0]
        if (get := probe.http_get) is not None:
            return await handlers.get_http(self._tools, container, get, address, seconds)
        if (tcp := probe.tcp_socket) is not None:
            return await handlers.open_tcp(self._tools, container, tcp, address, seconds)
        if (service := probe.grpc) is not None:
            from steersman.node.acting import health  # loaded with the first such probe

            return await health.ask_health(self._tools, service, address, seconds)
        return Answer(False, NO_ACTION, unknown=True)

    def _tell(self, kind: Kind, container: Container, answer: Answer) -> None:
        pod, _ = self._read()
        what = "errored and resulted in unknown state" if answer.unknown else "failed"
        note = f"{kind.capitalize()} probe {what}: {answer.text}"
        self._tools.say(pod, "Warning", "Unhealthy", note, container.name)
