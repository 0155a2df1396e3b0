"""Audit events that wait, are cut, are sent to a webhook, or are lost and counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import uvloop

from served import Served, serving
from steersman.api.audit.buffered import Buffered
from steersman.api.audit.policy import parse
from steersman.api.audit.settings import AuditSettings, Batching, Truncation, WebhookSettings
from steersman.api.audit.truncated import Truncated, batches, cut
from steersman.api.audit.webhook import Webhook
from steersman.client.http import Target
from steersman.listen import serve
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld
from steersman.world.simulated import SimulatedWorld, simulate

MAPS = "/api/v1/namespaces/default/configmaps"
MAP = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "v"}}
WAIT_SECONDS = 60.0


def settings(level: str, path: Path | None = None, **more: Any) -> AuditSettings:
    policy = {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": [{"level": level}]}
    return AuditSettings(parse(policy), str(path or ""), **more)


def buffered(batching: Batching, body: Callable[[Any, Any, list[Any]], Awaitable[None]]) -> None:
    """Runs a buffer whose batches are kept with their times."""

    async def main(world: SimulatedWorld) -> None:
        sent: list[tuple[float, list[bytes]]] = []
        began = world.monotonic()

        async def send(lines: Sequence[bytes]) -> None:
            sent.append((round(world.monotonic() - began, 3), list(lines)))

        async with world.tasks() as tasks:
            buffer = Buffered(batching, send, world)
            tasks.start(buffer.run(), name="buffer")
            await body(world, buffer, sent)
            tasks.stop()

    simulate(1, main)


def test_a_batch_goes_when_it_is_full_or_when_it_has_waited() -> None:
    async def body(world: Any, buffer: Any, sent: list[Any]) -> None:
        for line in (b"1", b"2", b"3"):
            assert buffer.write(line)
        await world.sleep(1)
        assert sent == [(0.0, [b"1", b"2"])]
        await world.sleep(10)
        assert sent[1:] == [(5.0, [b"3"])]

    buffered(Batching(size=2, wait_seconds=5.0), body)


def test_what_comes_while_the_buffer_is_full_is_lost() -> None:
    async def body(world: Any, buffer: Any, sent: list[Any]) -> None:
        assert [buffer.write(b"%d" % one) for one in range(3)] == [True, True, False]
        await world.sleep(1)
        assert sent == [(0.0, [b"0"]), (0.0, [b"1"])]
        assert buffer.write(b"3"), "there is room again"

    buffered(Batching(buffer=2), body)


def test_batches_are_held_back_once_the_burst_is_spent() -> None:
    async def body(world: Any, buffer: Any, sent: list[Any]) -> None:
        for one in range(6):
            buffer.write(b"%d" % one)
        await world.sleep(10)
        assert [at for at, _ in sent] == [0.0, 0.0, 0.5, 1.0, 1.5, 2.0]

    buffered(Batching(rate=2.0, burst=2), body)


def test_what_waits_when_the_server_ends_is_handed_on() -> None:
    kept: list[Any] = []

    async def body(world: Any, buffer: Any, sent: list[Any]) -> None:
        await world.sleep(1)
        buffer.write(b"last")
        kept.append(sent)

    buffered(Batching(size=9, wait_seconds=60.0), body)
    assert kept[0] == [(1.0, [b"last"])]


def test_an_event_that_is_too_large_loses_its_objects_and_says_so() -> None:
    event = {"auditID": "1", "requestObject": {"a": "x" * 500}, "annotations": {"k": "v"}}
    line = orjson.dumps(event) + b"\n"
    assert cut(line, len(line)) is line
    made = cut(line, 200)
    assert made is not None and made.endswith(b"\n")
    assert orjson.loads(made) == {
        "auditID": "1",
        "annotations": {"k": "v", "audit.k8s.io/truncated": "true"},
    }
    assert cut(line, len(made)) == made
    assert cut(line, len(made) - 1) is None
    assert cut(line, 20) is None
    assert cut(orjson.dumps({"user": "x" * 100}), 50) is None


def test_events_are_sent_in_batches_of_bounded_size() -> None:
    assert list(batches([b"123", b"45", b"6", b"7890123"], 5)) == [
        [b"123", b"45"],
        [b"6"],
        [b"7890123"],
    ]
    assert list(batches([b"12345", b"12", b"345"], 5)) == [[b"12345"], [b"12", b"345"]]
    assert list(batches([], 5)) == []


def test_an_event_that_is_lost_for_its_size_is_counted_and_ends_no_request() -> None:
    class Lines:
        name, strict = "lines", True

        def __init__(self) -> None:
            self.kept: list[bytes] = []

        def write(self, line: bytes) -> bool:
            self.kept.append(line)
            return False

    lines, errors = Lines(), Counter[str]()
    log = Truncated(lines, 20, errors)
    assert (log.name, log.strict) == ("lines", True)
    assert not log.write(b'{"auditID":"1"}')
    assert log.write(b'{"auditID":"123456789"}')
    assert lines.kept == [b'{"auditID":"1"}']
    assert errors == {"truncate": 1}


def test_a_log_in_batches_is_written_soon_and_counts_what_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"

    async def main(world: SimulatedWorld) -> None:
        own = settings("Metadata", path, batching=Batching(size=100, wait_seconds=5.0, buffer=2))
        async with serving(world, audit=own) as api:
            await world.sleep(20)
            path.write_bytes(b"")
            (await api.post(MAPS, MAP)).ok()
            assert path.read_bytes() == b"", "the request did not wait"
            (await api.get(f"{MAPS}/a")).ok()
            await world.sleep(20)
            stages = [orjson.loads(line)["verb"] for line in path.read_bytes().splitlines()]
            assert stages == ["create", "create"]
            told = (await api.get("/metrics")).document.decode()
            assert 'apiserver_audit_error_total{plugin="buffered"}' in told

    simulate(1, main)


def test_a_log_that_cuts_notes_large_objects_without_them(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"

    async def main(world: SimulatedWorld) -> None:
        own = settings("Request", path, truncation=Truncation(event_bytes=2000))
        async with serving(world, audit=own) as api:
            large = {**MAP, "metadata": {"name": "large"}, "data": {"k": "x" * 4000}}
            for document in (MAP, large):
                (await api.post(MAPS, document)).ok()
            found = [orjson.loads(line) for line in path.read_bytes().splitlines()]
            done = [it for it in found if it["stage"] == "ResponseComplete"][-2:]
            assert [("requestObject" in it) for it in done] == [True, False]
            assert done[1]["annotations"]["audit.k8s.io/truncated"] == "true"

    simulate(1, main)


class Sink:
    """A webhook that keeps what it is sent; it fails as often as it is told to."""

    def __init__(self) -> None:
        self.lists: list[Any] = []
        self.failures = 0
        self.code = 503
        self.came = asyncio.Event()

    def handle(self, request: Request) -> Response:
        if self.failures:
            self.failures -= 1
            return Response(b"no", self.code)
        self.lists.append((request.path, orjson.loads(request.body)))
        self.came.set()
        return Response(b"", 200)


def hooked(tmp_path: Path, body: Callable[[Target, Sink], Awaitable[None]]) -> None:
    """Runs a case with a webhook on a Unix socket, in real time."""

    async def main() -> None:
        sink = Sink()
        async with serve.Server(sink.handle, RealWorld()) as server:
            server.listen_unix(tmp_path / "s")
            async with asyncio.timeout(WAIT_SECONDS):
                await body(Target(socket=str(tmp_path / "s"), prefix="/audit"), sink)

    uvloop.run(main())


def test_events_reach_a_webhook_as_a_list(tmp_path: Path) -> None:
    async def body(target: Target, sink: Sink) -> None:
        world, batching = RealWorld(), Batching(size=2, wait_seconds=WAIT_SECONDS)
        hook = Webhook(WebhookSettings(target, batching), Counter(), world)
        async with world.tasks() as tasks:
            buffer = Buffered(batching, hook.send, world)
            tasks.start(buffer.run(), name="buffer")
            buffer.write(b'{"auditID":"1"}\n')
            buffer.write(b'{"auditID":"2"}\n')
            await sink.came.wait()
            tasks.stop()
        ((path, found),) = sink.lists
        assert path == "/audit"
        assert found == {
            "kind": "EventList",
            "apiVersion": "audit.k8s.io/v1",
            "metadata": {},
            "items": [{"auditID": "1"}, {"auditID": "2"}],
        }

    hooked(tmp_path, body)


def test_a_webhook_that_fails_is_asked_again_and_in_the_end_its_events_are_lost(
    tmp_path: Path,
) -> None:
    async def body(target: Target, sink: Sink) -> None:
        errors: Counter[str] = Counter()
        told = WebhookSettings(target, backoff_seconds=0.001)
        hook = Webhook(told, errors, RealWorld())
        sink.failures = 4
        await hook.send([b'{"auditID":"1"}'])
        assert len(sink.lists) == 1 and not errors
        sink.failures = 5
        await hook.send([b'{"auditID":"2"}', b'{"auditID":"3"}'])
        assert len(sink.lists) == 1
        assert errors == {"webhook": 2}
        sink.failures, sink.code = 5, 300
        await hook.send([b'{"auditID":"4"}'])
        assert errors == {"webhook": 3}

    hooked(tmp_path, body)


def test_attempts_are_ever_further_apart(tmp_path: Path) -> None:
    async def main(world: SimulatedWorld) -> None:
        errors: Counter[str] = Counter()
        told = WebhookSettings(Target(socket=str(tmp_path / "nobody")), backoff_seconds=10.0)
        began = world.monotonic()
        await Webhook(told, errors, world).send([b"{}"])
        least = 10 + 15 + 22.5 + 33.75
        assert least <= world.monotonic() - began <= least * 1.2
        assert errors == {"webhook": 1}

    simulate(1, main)


def test_large_batches_are_split(tmp_path: Path) -> None:
    async def body(target: Target, sink: Sink) -> None:
        told = WebhookSettings(target, truncation=Truncation(batch_bytes=20))
        await Webhook(told, Counter(), RealWorld()).send([b'{"auditID":"1"}', b'{"auditID":"2"}'])
        assert [len(found["items"]) for _, found in sink.lists] == [1, 1]

    hooked(tmp_path, body)


def test_a_server_whose_webhook_is_away_serves(tmp_path: Path) -> None:
    async def body(api: Served) -> None:
        (await api.post(MAPS, MAP)).ok()

    async def main(world: SimulatedWorld) -> None:
        target = Target(socket=str(tmp_path / "nobody"))
        own = settings("Metadata", webhook=WebhookSettings(target, Batching(size=1)))
        async with serving(world, audit=own) as api:
            await body(api)
            await world.sleep(300)
            told = (await api.get("/metrics")).document.decode()
            assert 'apiserver_audit_error_total{plugin="webhook"}' in told

    simulate(1, main)
