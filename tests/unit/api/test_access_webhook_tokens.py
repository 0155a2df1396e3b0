"""A webhook that knows tokens: asked once, believed for a while."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from hooks import Clock, listening
from served import Served, serving
from steersman.api.access.settings import AccessSettings
from steersman.api.access.tokens import ISSUER
from steersman.api.tokens.webhook import KEPT_SECONDS, MOST_ANSWERS, WRONG_SECONDS, Answer, decide
from steersman.client.http import Target
from steersman.model.kind import Document
from steersman.wire.message import Request, Response, User

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
JANE = {"username": "jane", "uid": "u-1", "groups": ["a"], "extra": {"Scope": ["x"]}}


class Hook:
    """Keeps what it was asked and answers what the test wants."""

    def __init__(self) -> None:
        self.asked: list[Document] = []
        self.status: Document = {"authenticated": True, "user": JANE}
        self.code = 200
        self.path = "/tokens"

    def handle(self, request: Request) -> Response:
        assert request.path == self.path
        self.asked.append(orjson.loads(request.body))
        return Response(orjson.dumps({"status": self.status}), self.code)


def asking(
    tmp_path: Path, case: Callable[[Hook, Served, Clock], Any], prefix: str = "/tokens"
) -> None:
    async def main() -> None:
        world, hook = Clock(), Hook()
        async with listening(tmp_path, world, hook.handle) as (port, bundle):
            tls = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
            target = Target("localhost", port, tls, prefix=prefix)
            access = AccessSettings(webhook=(target, "v1beta1"))
            async with asyncio.timeout(30), serving(world, access=access) as api:
                await case(hook, api, world)

    uvloop.run(main())


async def review(api: Served, token: str = "t") -> Document:
    status: Document = (await api.post(REVIEWS, {"spec": {"token": token}})).ok()["status"]
    return status


def test_the_webhook_is_asked_once_about_a_token_and_again_when_time_has_passed(
    tmp_path: Path,
) -> None:
    async def case(hook: Hook, api: Served, clock: Clock) -> None:
        found = await asyncio.gather(*(review(api) for _ in range(3)))
        assert [one["user"] for one in found] == [
            {
                "username": "jane",
                "uid": "u-1",
                "groups": ["a", "system:authenticated"],
                "extra": {"scope": ["x"]},
            }
        ] * 3
        (asked,) = hook.asked
        assert asked["apiVersion"] == "authentication.k8s.io/v1beta1"
        assert asked["spec"] == {"token": "t", "audiences": [ISSUER]}
        await review(api, "other")
        assert len(hook.asked) == 2
        clock.passed = KEPT_SECONDS + 1
        hook.status = {"authenticated": False}
        assert await review(api) == {"user": {}, "error": "invalid bearer token"}
        await review(api)
        assert len(hook.asked) == 3

    asking(tmp_path, case)


def test_an_error_of_the_webhook_is_told_and_not_kept_for_long(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, clock: Clock) -> None:
        hook.code = 503
        why = "the token webhook failed: the server is currently unable to handle the request"
        assert (await review(api))["error"] == f"[invalid bearer token, {why}]"
        hook.code = 200
        clock.passed = WRONG_SECONDS + 1
        assert (await review(api))["authenticated"]
        hook.status = {"error": "revoked"}
        assert (await review(api, "x"))["error"] == "[invalid bearer token, revoked]"

    asking(tmp_path, case)


def test_a_webhook_without_a_path_is_asked_at_its_root(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Clock) -> None:
        hook.path = "/"
        assert (await review(api))["authenticated"]

    asking(tmp_path, case, prefix="")


def test_only_so_many_answers_are_kept(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Clock) -> None:
        knows = api.assembly._bearers._then[-1]
        knows._answers = {bytes([0, *divmod(n, 256)]): (0.0, None) for n in range(MOST_ANSWERS)}
        await review(api)
        assert len(knows._answers) == MOST_ANSWERS
        assert len(hook.asked) == 1
        await review(api)
        assert len(hook.asked) == 1

    asking(tmp_path, case)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([], Answer(None, "the token webhook answers no TokenReview")),
        ({"status": []}, Answer(None, "the token webhook answers no TokenReview")),
        ({"status": {"authenticated": "yes"}}, Answer(None)),
        ({"status": {"authenticated": True}}, Answer(None, "the token webhook names no user")),
        (
            {"status": {"authenticated": True, "user": {"username": ""}}},
            Answer(None, "the token webhook names no user"),
        ),
        ({"status": {"authenticated": True, "user": JANE, "audiences": ["x"]}}, Answer(None)),
        ({"status": {"authenticated": True, "user": JANE, "audiences": 1}}, Answer(None)),
        (
            {"status": {"authenticated": True, "user": JANE, "audiences": ["x", "api"]}},
            Answer(User("jane", ("a",), "u-1", {"scope": ("x",)})),
        ),
        (
            {"status": {"authenticated": True, "user": {"username": "a", "groups": [1, "b"]}}},
            Answer(User("a", ("b",))),
        ),
    ],
)
def test_an_answer_is_read_with_suspicion(answer: Any, told: Answer) -> None:
    assert decide(answer, ["api"]) == told
