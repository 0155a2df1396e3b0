"""The end of a node: which pods end when, and what logind is asked and says, over a real bus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from node_documents import pod

from steersman.model.kinds.priorityclass import SYSTEM_CRITICAL
from steersman.node.register import SHUTTING_DOWN, render_status
from steersman.node.shutdown import asked
from steersman.node.shutdown.ending import MESSAGE, REASON, REJECTED, Shutdown
from steersman.node.shutdown.groups import (
    KILL_SECONDS,
    BadPeriods,
    Period,
    group,
    own_periods,
    parse_periods,
)
from steersman.node.shutdown.logind import Logind, Refused
from steersman.runtime import dbus
from steersman.runtime.dbus import Message
from steersman.world.real import RealWorld
from steersman.world.simulated import simulate

TIMEOUT_SECONDS = 20.0


def test_periods_are_read() -> None:
    assert parse_periods("", "", "") == ()
    assert parse_periods("30s", "10s", "") == (Period(0, 20.0), Period(SYSTEM_CRITICAL, 10.0))
    assert parse_periods("", "", "100=3s,-1=1m,0=2s") == (
        Period(-1, 60.0),
        Period(0, 2.0),
        Period(100, 3.0),
    )


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (("10s", "11s", ""), "a part of the whole"),
        (("500ms", "", ""), "at least one second"),
        (("", "10s", ""), "a part of the whole"),
        (("10s", "", "0=1s"), "exclude each other"),
        (("soon", "", ""), "'soon' is no duration"),
        (("", "", "x=1s"), "'x=1s' is no PRIORITY=PERIOD"),
        (("", "", "1=1s,1=2s"), "1 is given twice"),
    ],
)
def test_periods_that_cannot_be_are_told(texts: tuple[str, str, str], why: str) -> None:
    with pytest.raises(BadPeriods, match=why):
        parse_periods(*texts)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder on a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


class Worker:
    """A pod that takes its time to end."""

    def __init__(self, world: Any, priority: int, takes: float, **spec: Any) -> None:
        self.pod = pod(spec={"priority": priority, **spec})
        self.told: list[Any] = []
        self.ended_at = 0.0
        self._world, self._takes = world, takes
        self._asked = asyncio.Event()

    def evict(self, reason: str, message: str, grace: float, *, told: bool = True) -> None:
        self.told.append((reason, message, grace, told))
        self._asked.set()

    async def at_rest(self) -> None:
        await self._asked.wait()
        await self._world.sleep(self._takes)
        self.ended_at = self._world.now()


def test_pods_are_of_the_highest_period_that_they_reach() -> None:
    pods = [Worker(None, it, 0.0) for it in (-5, 0, 99, 100, SYSTEM_CRITICAL + 1000)]
    periods = parse_periods("", "", "0=1s,100=2s,2000000000=3s")
    found = [[it.pod.spec.priority for it in pods] for _, pods in group(periods, pods)]
    assert found == [[-5, 0, 99], [100], [SYSTEM_CRITICAL + 1000]]


def test_pods_end_group_by_group_each_within_its_time() -> None:
    async def main(world: Any) -> None:
        said: list[Any] = []
        quick = Worker(world, 0, 2.0, terminationGracePeriodSeconds=5)
        slow = Worker(world, 0, 100.0)
        high = Worker(world, 10, 1.0)
        periods = (Period(0, 20.0), Period(10, 30.0))
        shutdown = Shutdown(
            periods, lambda: [quick, slow, high], lambda *it: said.append(it), world
        )
        heard: list[bool] = []
        shutdown.changed = lambda: heard.append(shutdown.active)
        assert shutdown.refusal(pod()) is None
        began = world.now()
        await shutdown.begin()
        assert quick.told == [(REASON, MESSAGE, 5.0, False)]
        assert slow.told == [(REASON, MESSAGE, 20.0, False)]  # of its own thirty
        assert high.told == [(REASON, MESSAGE, 30.0, False)]
        assert (quick.ended_at - began, slow.ended_at, high.ended_at - began) == (2.0, 0.0, 21.0)
        assert shutdown.refusal(pod()) == REJECTED
        assert (shutdown.conditions, heard) == ({SHUTTING_DOWN}, [True])
        shutdown.cancel()
        assert (shutdown.conditions, heard) == (frozenset(), [True, False])
        assert shutdown.refusal(pod()) is None
        notes = [f"Shutdown manager detected shutdown {it}" for it in ("event", "cancellation")]
        assert said == [("Normal", "NodeShutdown", it) for it in notes]

    simulate(1, main)


def test_each_pod_has_its_own_time_where_no_periods_were_given() -> None:
    def one(priority: int, seconds: int) -> Worker:
        return Worker(None, priority, 0.0, terminationGracePeriodSeconds=seconds)

    pods = [one(0, 5), one(7, 40), one(SYSTEM_CRITICAL + 1, 3)]
    assert own_periods(pods) == (
        Period(0, 40.0 + KILL_SECONDS),
        Period(SYSTEM_CRITICAL, 3.0 + KILL_SECONDS),
    )
    assert own_periods([]) == (Period(0, 0.0), Period(SYSTEM_CRITICAL, 0.0))


def test_who_looks_on_is_told_each_pod_when_it_is_at_rest_or_late() -> None:
    async def main(world: Any) -> None:
        quick, stuck = (Worker(world, 0, it, terminationGracePeriodSeconds=5) for it in (2, 1000))
        critical = Worker(world, SYSTEM_CRITICAL, 1.0)
        gone = Worker(world, 0, 0.0)
        gone.pod = replace(gone.pod, status=replace(gone.pod.status, phase="Failed"))
        cared = [critical, quick, stuck, gone]
        shutdown = Shutdown((), lambda: cared, lambda *_: None, world)
        told: list[Any] = []
        began = world.now()

        def over(one: Any, in_time: bool) -> None:
            told.append((cared.index(one), in_time, world.now() - began))

        await shutdown.end_all(told.append, over)
        assert told == [
            [critical, quick, stuck],
            (1, True, 2.0),
            (2, False, 5.0 + KILL_SECONDS),
            (0, True, 6.0 + KILL_SECONDS),
        ]
        assert (quick.told, critical.told) == (
            [(REASON, MESSAGE, 5.0, False)],
            [(REASON, MESSAGE, 30.0, False)],
        )
        assert shutdown.active

    simulate(1, main)


@contextlib.asynccontextmanager
async def asking(folder: Path, shutdown: Any) -> AsyncIterator[Any]:
    """Asks a node to end its pods; gives what it says, and a way to hang up."""
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(writer)
        async for line in reader:
            heard.put_nowait(json.loads(line))
        writer.close()

    server = await asyncio.start_unix_server(take, str(folder / "s"))
    async with server, RealWorld().tasks() as tasks:
        work = asked.end_pods(shutdown, folder / "s", RealWorld())
        tasks.start(work, name="asked")
        yield heard
        tasks.stop()


def test_a_person_who_asks_is_told_how_it_goes(short: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            world = RealWorld()
            shutdown = Shutdown((), lambda: [Worker(world, 0, 0.0)], lambda *_: None, world)
            async with asking(short, shutdown) as heard:
                await heard.get()
                said = [await heard.get() for _ in range(3)]
            assert said == [{"pods": ["default/web"]}, {"ended": "default/web"}, {"done": True}]
            assert shutdown.active

    asyncio.run(main())


def test_the_node_stays_where_who_asked_goes_away(short: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            world = RealWorld()
            shutdown = Shutdown((), lambda: [Worker(world, 0, 600.0)], lambda *_: None, world)
            stays = asyncio.Event()
            shutdown.changed = lambda: shutdown.active or stays.set()
            async with asking(short, shutdown) as heard:
                writer = await heard.get()
                assert "pods" in await heard.get()
                writer.close()
                await stays.wait()
            await asked.end_pods(shutdown, short / "nobody", world)
            assert not shutdown.active, "where nobody listens nothing is ended"

    asyncio.run(main())


def test_a_node_that_is_about_to_go_is_not_ready() -> None:
    from test_node_pieces import FACTS, NOW, PLACE

    def ready(*pressures: str) -> tuple[str, str, str]:
        conditions = render_status(PLACE, FACTS, None, NOW, pressures)["conditions"]
        (found,) = [it for it in conditions if it["type"] == "Ready"]
        return found["status"], found["reason"], found["message"]

    assert ready(SHUTTING_DOWN) == ("False", "KubeletNotReady", "node is shutting down")
    assert ready()[0] == "True"


# The bus

LOGIN, PATH, MANAGER = (
    "org.freedesktop.login1",
    "/org/freedesktop/login1",
    "org.freedesktop.login1.Manager",
)
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
"""


@pytest.fixture
def bus() -> Iterator[Path]:
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed here")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name) / "bus"
        (Path(name) / "conf").write_text(CONFIGURATION.format(path=path))
        command = ["dbus-daemon", f"--config-file={name}/conf", "--nofork", "--print-address"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
            assert daemon.stdout is not None
            assert daemon.stdout.readline()
            try:
                yield path
            finally:
                daemon.terminate()
                daemon.wait(TIMEOUT_SECONDS)


class Manager:
    """A logind: it gives locks, and says what the test wants."""

    def __init__(self, path: Path) -> None:
        self._bus = Logind(RealWorld(), path)
        self.locks: list[int] = []
        self.asked: list[tuple[Any, ...]] = []
        self.gives = True

    async def start(self) -> None:
        bus = self._bus
        await asyncio.get_running_loop().sock_connect(bus._socket, str(bus._path))
        await bus._authenticate()
        hello = Message(dbus.CALL, 0, "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello",
                        "org.freedesktop.DBus")  # fmt: skip
        self._name = (await bus._call(hello)).body[0]
        request = hello._replace(member="RequestName", serial=99, body=(LOGIN, 0))
        await bus._send(dbus.encode(request, "su"))
        while (await bus._message()).reply_to != 99:
            continue

    async def serve(self) -> None:
        while True:
            call = await self._bus._message()
            if call.kind != dbus.CALL:
                continue
            self.asked.append((call.member, *call.body))
            answer = Message(dbus.RETURN, 1000 + call.serial, destination=call.sender,
                             reply_to=call.serial)  # fmt: skip
            if call.member == "Get":
                self._send(dbus.encode(answer._replace(body=(("t", 5_000_000),)), "v"))
            elif self.gives:
                reader, writer = os.pipe()
                self.locks.append(reader)
                self._send(dbus.encode(answer._replace(body=(0,)), "h"), writer)
                os.close(writer)
            else:
                refused = answer._replace(kind=dbus.ERROR, error="a.No", body=("no",))
                self._send(dbus.encode(refused, "s"))

    def _send(self, data: bytes, *descriptors: int) -> None:
        if descriptors:
            data = with_descriptors(data, len(descriptors))
        socket.send_fds(self._bus._socket, [data], descriptors)

    def tell(self, going: bool) -> None:
        signal = Message(dbus.SIGNAL, 5, PATH, MANAGER, "PrepareForShutdown", body=(going,))
        self._send(dbus.encode(signal, "b"))

    def held(self) -> bool:
        """Whether the last lock is held."""
        poller = select.poll()
        poller.register(self.locks[-1], select.POLLHUP)
        return not poller.poll(0)

    def close(self) -> None:
        self._bus.close()
        for lock in self.locks:
            os.close(lock)


def with_descriptors(data: bytes, count: int) -> bytes:
    """The message with the header field UNIX_FDS, which the code has no use for."""
    size = int.from_bytes(data[12:16], "little")
    fields = bytearray(data[16 : 16 + size])
    fields += bytes(-len(fields) % 8) + b"\x09\x01u\0" + count.to_bytes(4, "little")
    body = data[16 + size + (-size % 8) :]
    head = data[:12] + len(fields).to_bytes(4, "little")
    return head + bytes(fields) + bytes(-len(fields) % 8) + body


@asynccontextmanager
async def managed(path: Path) -> AsyncIterator[Manager]:
    manager = Manager(path)
    await manager.start()
    task = asyncio.create_task(manager.serve())
    try:
        yield manager
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        manager.close()


async def when(condition: Any) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)


def test_logind_waits_until_the_pods_have_ended(bus: Path) -> None:
    async def main() -> None:
        world, said = RealWorld(), []
        async with managed(bus) as manager:
            worker = Worker(world, 0, 0.1)
            periods = (Period(0, 20.0),)
            shutdown = Shutdown(periods, lambda: [worker], lambda *it: said.append(it), world)
            logind = Logind(world, bus)
            task = asyncio.create_task(shutdown.watch(logind))
            await when(lambda: manager.locks and manager.held())
            assert manager.asked == [
                ("Get", MANAGER, "InhibitDelayMaxUSec"),
                ("Inhibit", "shutdown", "steersman", "Pods need time to handle node shutdown",
                 "delay"),
            ]  # fmt: skip
            text = "logind waits 5 s at most (InhibitDelayMaxSec of logind.conf), pods are to have"
            assert said == [("Warning", "NodeShutdownDelay", f"{text} 20 s")]
            manager.tell(True)
            await when(lambda: shutdown.active)
            assert manager.held()
            await when(lambda: not manager.held())
            assert worker.ended_at > 0
            manager.tell(False)
            await when(lambda: not shutdown.active and len(manager.locks) == 2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await when(lambda: not manager.held())

    asyncio.run(main())


def test_a_logind_that_gives_no_lock_or_leaves_is_told(bus: Path) -> None:
    async def main() -> None:
        world, said = RealWorld(), []
        async with managed(bus) as manager:
            manager.gives = False
            shutdown = Shutdown((Period(0, 1.0),), list, lambda *it: said.append(it), world)
            await shutdown.watch(Logind(world, bus))
        text = "logind cannot be followed any more, pods will not be ended: Inhibit: a.No no"
        assert said == [("Warning", "NodeShutdownDelay", text)]

    asyncio.run(main())


def test_a_machine_without_logind_has_none(bus: Path, tmp_path: Path) -> None:
    async def main() -> None:
        world, said = RealWorld(), []
        shutdown = Shutdown((Period(0, 1.0),), list, lambda *it: said.append(it), world)
        await shutdown.watch(Logind(world, tmp_path / "none"))
        await shutdown.watch(Logind(world, bus))
        assert said == []
        logind = Logind(world, bus)
        with pytest.raises(Refused, match=r"org\.freedesktop\.login1"):
            await logind.connect()
        logind.close()

    asyncio.run(main())
