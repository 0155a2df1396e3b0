"""The audit log of answers that go on, of clients that go away, and of a log that cannot write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from served import ADMIN
from steersman.api.audit.auditor import Answer, Auditor
from steersman.api.audit.policy import parse
from steersman.model.builtin import Registry
from steersman.model.errors import InternalError, NotFound
from steersman.wire.message import Channel, Request, Response, Upgrade
from steersman.world.simulated import SimulatedWorld, simulate

POD = "/api/v1/namespaces/default/pods/a"
MAPS = "/api/v1/namespaces/default/configmaps"


class Lines:
    name = "lines"

    def __init__(self, *, strict: bool = False, works: bool = True) -> None:
        self.strict = strict
        self.works = works
        self.events: list[Any] = []

    def write(self, line: bytes) -> bool:
        self.events.append(orjson.loads(line))
        return self.works

    @property
    def stages(self) -> list[tuple[str, int]]:
        return [(one["stage"], one.get("responseStatus", {}).get("code", 0)) for one in self.events]


def auditor(world: SimulatedWorld, lines: Lines, level: str = "Metadata") -> Auditor:
    policy = {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": [{"level": level}]}
    return Auditor(parse(policy), [lines], Registry(), world)


def asked(path: str, method: str = "GET") -> Request:
    return Request(method, path, user=ADMIN)


BEGUN = [("RequestReceived", 0), ("ResponseStarted", 200)]


async def follow(found: Auditor, request: Request, response: Response) -> Response:
    answer = found.follow(request, lambda _request: response)
    assert isinstance(answer, Response)
    return answer


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_an_upgraded_connection_is_noted_when_it_ends() -> None:
    async def main(world: SimulatedWorld) -> None:
        lines = Lines()

        async def take(_channel: Channel) -> None:
            assert lines.stages == [("RequestReceived", 0), ("ResponseStarted", 101)]
            raise ConnectionError

        request = asked(f"{POD}/exec", "POST")
        answer = await follow(auditor(world, lines), request, Response(Upgrade(take), 101))
        assert isinstance(answer.body, Upgrade)
        channel: Any = None
        with pytest.raises(ConnectionError):
            await answer.body.take(channel)
        assert lines.stages[2:] == [("ResponseComplete", 101)]

    simulate(0, main)


@pytest.mark.parametrize("given_up", [False, True])
def test_a_log_is_noted_when_it_ends_or_nobody_takes_it(given_up: bool) -> None:
    async def main(world: SimulatedWorld) -> None:
        lines = Lines()
        response = Response(pieces(b"a", b"b"), content_type="text/plain")
        answer = await follow(
            auditor(world, lines, "RequestResponse"), asked(f"{POD}/log"), response
        )
        body: Any = answer.body
        assert lines.stages == BEGUN
        assert await anext(body) == b"a"
        if given_up:
            await body.aclose()
        else:
            assert [piece async for piece in body] == [b"b"]
        assert lines.stages == [*BEGUN, ("ResponseComplete", 200)]
        await body.aclose()
        assert len(lines.events) == 3
        assert "responseObject" not in lines.events[-1]

    simulate(0, main)


def test_a_watch_is_left_and_noted_when_it_ends() -> None:
    async def main(world: SimulatedWorld) -> None:
        lines, left = Lines(), []

        def push(sink: Any) -> Callable[[], None]:
            return lambda: left.append(sink)

        request = Request("GET", MAPS, "watch=1", user=ADMIN)
        answer = await follow(auditor(world, lines), request, Response(push))
        body: Any = answer.body
        end = body("sink")
        assert (lines.stages, left) == (BEGUN, [])
        end()
        assert left == ["sink"]
        assert lines.stages == [*BEGUN, ("ResponseComplete", 200)]

    simulate(0, main)


def test_a_list_in_pieces_is_noted_whole_and_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(world: SimulatedWorld) -> None:
        for bound, shown in ((1000, True), (10, False)):
            monkeypatch.setattr("steersman.api.audit.auditor.LIST_BYTES", bound)
            lines = Lines()
            response = Response(pieces(b'{"kind":', b'"ConfigMap', b'List"', b"}"))
            found = auditor(world, lines, "RequestResponse")
            body: Any = (await follow(found, asked(MAPS), response)).body
            assert lines.stages == BEGUN[:1]
            assert b"".join([piece async for piece in body]) == b'{"kind":"ConfigMapList"}'
            assert lines.stages == [*BEGUN[:1], ("ResponseComplete", 200)]
            assert ("responseObject" in lines.events[-1]) == shown

    simulate(0, main)


def test_a_head_request_ends_with_its_answer() -> None:
    async def main(world: SimulatedWorld) -> None:
        lines = Lines()
        response = Response(pieces(b"a"))
        await follow(auditor(world, lines), asked(f"{POD}/log", "HEAD"), response)
        assert lines.stages == [*BEGUN, ("ResponseComplete", 200)]

    simulate(0, main)


def test_a_stream_that_is_refused_begins_and_ends() -> None:
    async def main(world: SimulatedWorld) -> None:
        lines = Lines()

        def refuse(_request: Request) -> Answer:
            raise NotFound("gone")

        with pytest.raises(NotFound):
            auditor(world, lines).follow(asked(f"{POD}/log"), refuse)
        assert lines.stages[1:] == [("ResponseStarted", 404), ("ResponseComplete", 404)]

    simulate(0, main)


def test_a_client_that_goes_away_has_closed_the_connection_early() -> None:
    async def main(world: SimulatedWorld) -> None:
        lines = Lines()

        async def never() -> Response:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        answer = auditor(world, lines).follow(asked(MAPS), lambda _request: never())
        assert not isinstance(answer, Response)
        work = asyncio.ensure_future(answer)
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert lines.stages[1:] == [("ResponseComplete", 200)]
        assert lines.events[-1]["responseStatus"]["message"] == "Connection closed early"

    simulate(0, main)


@pytest.mark.parametrize("strict", [False, True])
def test_what_cannot_be_noted_is_counted_and_refused_where_that_is_wanted(strict: bool) -> None:
    async def main(world: SimulatedWorld) -> None:
        lines = Lines(strict=strict, works=False)
        found, response = auditor(world, lines), Response(b"{}")
        if strict:
            with pytest.raises(InternalError, match="failed to store audit event"):
                await follow(found, asked(MAPS), response)
        else:
            assert await follow(found, asked(MAPS), response) is response
        assert found.rejected == int(strict)
        assert found.errors["lines"] == len(lines.events) == (1 if strict else 2)

    simulate(0, main)
