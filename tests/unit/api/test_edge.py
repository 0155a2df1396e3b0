"""What holds for every request from outside: its time, other origins, transport security."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from steersman.api.edge.edge import Edge
from steersman.api.edge.settings import EdgeSettings
from steersman.model.errors import BadRequest, NotFound, Timeout
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld
from steersman.world.simulated import SimulatedWorld, simulate

LATE = "Timeout: request did not complete within the allotted timeout"
HSTS = EdgeSettings(transport_security=("max-age=31536000", "includeSubDomains"))
PAGES = EdgeSettings(origins=(r"//good\.example(:|$)",))


async def after(seconds: float) -> Response:
    await asyncio.sleep(seconds)
    return Response(b"{}")


def ask(
    request: Request, seconds: float, settings: EdgeSettings | None = None
) -> tuple[Response, float]:
    """Returns the answer of a handler that takes so long, and when it came."""

    async def main(world: SimulatedWorld) -> tuple[Response, float]:
        edge = Edge(lambda _: after(seconds), settings or EdgeSettings(), world)
        began = world.now()
        answer = edge.handle(request)
        assert isinstance(answer, Coroutine)
        return await answer, world.now() - began

    return simulate(1, main)


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("", 60), ("timeout=5s", 5), ("timeout=2m", 60), ("timeout=0s", 60), ("timeout=-1s", 60)],
)
def test_a_request_has_as_long_as_its_client_gives_it_and_a_minute_at_most(
    query: str, seconds: float
) -> None:
    request = Request("POST", "/api/v1/namespaces/a/configmaps", query)
    assert ask(request, seconds - 0.1)[0].status == 200
    with pytest.raises(Timeout) as late:
        ask(request, seconds + 0.1)
    assert (late.value.code, str(late.value)) == (504, LATE)
    assert late.value.status()["reason"] == "Timeout"


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/api/v1/pods", "watch=1&timeout=5s"),
        ("GET", "/api/v1/watch/pods", ""),
        ("GET", "/api/v1/namespaces/a/pods/b/log", "follow=true&timeout=x"),
        ("POST", "/api/v1/namespaces/a/pods/b/exec", ""),
        ("GET", "/api/v1/namespaces/a/services/b/proxy/c", ""),
    ],
)
def test_watches_and_streams_go_on_as_long_as_their_client_likes(
    method: str, path: str, query: str
) -> None:
    assert ask(Request(method, path, query), 7200)[1] == 7200


def test_a_timeout_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest) as wrong:
        ask(Request("GET", "/api", "timeout=soon"), 1)
    start = "invalid timeout specified in the request URL - time: "
    assert str(wrong.value) == f'{start}invalid duration "soon"'


def answered(request: Request, settings: EdgeSettings, what: Any = None) -> Response:
    """Returns the answer of a handler that answers at once, or raises."""

    def handle(_: Request) -> Response:
        if what is not None:
            raise what
        return Response(b"{}", headers={"etag": "a"})

    found = Edge(handle, settings, RealWorld()).handle(request)
    assert isinstance(found, Response)
    return found


def test_every_answer_says_what_the_directives_say() -> None:
    told = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
    assert answered(Request("GET", "/api"), HSTS).headers == {**told, "etag": "a"}
    refused = answered(Request("GET", "/api"), HSTS, NotFound("no"))
    assert refused.status == 404
    assert told.items() <= dict(refused.headers or {}).items()
    assert told.items() <= dict(ask(Request("GET", "/api"), 1, HSTS)[0].headers or {}).items()
    assert answered(Request("GET", "/api"), EdgeSettings()).headers == {"etag": "a"}


def test_a_refusal_that_comes_late_says_so_too() -> None:
    answer, _ = ask(Request("GET", "/api"), 61, HSTS)
    told = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
    assert answer.status == 504
    assert told.items() <= dict(answer.headers or {}).items()


@pytest.mark.parametrize(
    ("origin", "taken"),
    [
        ("https://good.example", True),
        ("http://good.example:8080", True),
        ("https://good.example.evil", False),
        ("https://bad.example", False),
        ("", False),
    ],
)
def test_pages_of_some_origins_may_ask(origin: str, taken: bool) -> None:
    headers = {"origin": origin} if origin else {}
    answer = answered(Request("GET", "/api", headers=headers), PAGES)
    shared = dict(answer.headers or {})
    assert shared.pop("etag") == "a"
    if not taken:
        assert shared == {}
        return
    assert shared == {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "POST, GET, OPTIONS, PUT, DELETE, PATCH",
        "Access-Control-Allow-Headers": "Content-Type, Content-Length, Accept-Encoding, "
        "X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since",
        "Access-Control-Expose-Headers": "Date",
        "Access-Control-Allow-Credentials": "true",
    }


def test_a_browser_that_asks_first_is_answered_before_anybody_is_known() -> None:
    good = Request("OPTIONS", "/api", headers={"origin": "https://good.example"})
    answer = answered(good, PAGES, NotFound("no"))
    assert (answer.status, answer.body) == (204, b"")
    bad = Request("OPTIONS", "/api", headers={"origin": "https://bad.example"})
    with pytest.raises(NotFound):
        answered(bad, PAGES, NotFound("no"))
    page = Request("GET", "/api", headers={"origin": "https://good.example"})
    assert answered(page, PAGES, NotFound("no")).status == 404


def test_a_page_of_another_origin_that_asks_first_is_refused_whatever_all_answers_say() -> None:
    both = EdgeSettings(origins=PAGES.origins, transport_security=HSTS.transport_security)
    bad = Request("OPTIONS", "/api", headers={"origin": "https://bad.example"})
    answer = answered(bad, both, NotFound("no"))
    assert answer.status == 404
    assert "Access-Control-Allow-Origin" not in dict(answer.headers or {})
