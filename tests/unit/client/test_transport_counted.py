"""What clients count of their requests, by client-go's names."""

from __future__ import annotations

import pytest

from steersman.client.counted import CountedTransport, Figures
from steersman.client.errors import Unreachable
from steersman.client.local import LocalTransport
from steersman.model.errors import NotFound
from steersman.wire import prometheus
from steersman.wire.message import Request, Response, User
from steersman.world.simulated import SimulatedWorld, simulate


def test_requests_are_counted_by_code_and_method_with_the_time_they_took() -> None:
    async def main(world: SimulatedWorld) -> str:
        async def answer(request: Request) -> Response:
            await world.sleep(0.2)
            if request.path == "/lost":
                raise Unreachable("nobody listens")
            if request.path == "/none":
                raise NotFound("none")
            return Response(b"{}", 201 if request.method == "POST" else 200)

        figures = Figures("10.0.0.1:6443")
        transport = CountedTransport(LocalTransport(answer, User("jane")), figures, world)
        assert transport.identity == "jane"
        for method, path in (("GET", "/a"), ("GET", "/none"), ("POST", "/a"), ("GET", "/b")):
            await transport.send(Request(method, path))
        with pytest.raises(Unreachable):
            await transport.send(Request("PUT", "/lost"))
        await transport.close()
        return prometheus.render(figures.families()).decode()

    lines = simulate(1, main).splitlines()
    host = 'host="10.0.0.1:6443"'
    for line in (
        f'rest_client_requests_total{{code="200",{host},method="GET"}} 2',
        f'rest_client_requests_total{{code="404",{host},method="GET"}} 1',
        f'rest_client_requests_total{{code="201",{host},method="POST"}} 1',
        f'rest_client_requests_total{{code="<error>",{host},method="PUT"}} 1',
        f'rest_client_request_duration_seconds_bucket{{{host},verb="GET",le="0.1"}} 0',
        f'rest_client_request_duration_seconds_bucket{{{host},verb="GET",le="0.25"}} 3',
        f'rest_client_request_duration_seconds_sum{{{host},verb="PUT"}} 0.200000',
    ):
        assert line in lines, line


def test_a_stream_is_opened_by_the_transport_below_and_not_counted() -> None:
    async def main(world: SimulatedWorld) -> None:
        figures = Figures("here")
        below = LocalTransport(lambda _request: Response(b""), User("jane"))
        with pytest.raises(Unreachable, match="made without tasks"):
            await CountedTransport(below, figures, world).upgrade(Request("GET", "/a"))
        assert figures.codes == {}

    simulate(1, main)
