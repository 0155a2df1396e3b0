"""Tokens that a webhook knows: it is asked with a TokenReview, its answers are kept for a while.

Follows apiserver's plugin/pkg/authenticator/token/webhook. Tokens are kept as hashes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import orjson

from steersman.api.access.awaiting import Awaiting
from steersman.api.access.tokens import InvalidToken
from steersman.api.hooks.client import Unanswered, read, whole
from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport, Target
from steersman.model.kind import Document
from steersman.wire.message import Request, User
from steersman.world.interface import World

GROUP: Final = "authentication.k8s.io"
# --authentication-token-webhook-cache-ttl
KEPT_SECONDS: Final = 120.0
# An error is kept only for those who wait for the answer
WRONG_SECONDS: Final = 5.0
ASK_SECONDS: Final = 30.0
# Answers that are kept; the oldest gives way
MOST_ANSWERS: Final = 4096


class Answer(NamedTuple):
    """Whom a token names, None for nobody; `wrong` where the webhook did not say."""

    user: User | None
    wrong: str = ""


class WebhookTokens:
    """Knows the tokens that a webhook knows; see `bearers.Knows`."""

    def __init__(
        self, target: Target, version: str, audiences: Sequence[str], world: World
    ) -> None:
        self._transport = HTTPTransport(target)
        self._path = "" if target.prefix else "/"
        self._version = f"{GROUP}/{version}"
        self._audiences = list(audiences)
        self._world = world
        self._answers: dict[bytes, tuple[float, Answer]] = {}
        self._asking: dict[bytes, asyncio.Event] = {}

    def user(self, token: str) -> User | None:
        """Returns whom a token names; raises InvalidToken, and Awaiting before it is known."""
        key = hashlib.sha256(token.encode()).digest()
        held = self._answers.get(key)
        if held is None or held[0] < self._world.monotonic():
            raise Awaiting(partial(self._ask, key, token))
        if held[1].wrong:
            raise InvalidToken(held[1].wrong)
        return held[1].user

    async def _ask(self, key: bytes, token: str) -> None:
        """Asks about a token; who asks about the same meanwhile waits for that answer."""
        if (under_way := self._asking.get(key)) is not None:
            await under_way.wait()
            return
        done = self._asking[key] = asyncio.Event()
        try:
            answer = await self._answer(token)
            kept = WRONG_SECONDS if answer.wrong else KEPT_SECONDS
            self._answers.pop(key, None)
            if len(self._answers) >= MOST_ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = (self._world.monotonic() + kept, answer)
        finally:
            del self._asking[key]
            done.set()

    async def _answer(self, token: str) -> Answer:
        spec = {"token": token, "audiences": self._audiences}
        head = {"kind": "TokenReview", "apiVersion": self._version}
        body = orjson.dumps({**head, "metadata": {}, "spec": spec})
        headers = {"content-type": "application/json", "accept": "application/json"}
        try:
            async with self._world.wire_timeout(ASK_SECONDS):
                request = Request("POST", self._path, "", headers, body)
                response = await self._transport.send(request)
                found = read(response.status, await whole(response.body))
        except TimeoutError:
            return Answer(None, "the token webhook does not answer in time")
        except (Unreachable, Unanswered) as error:
            return Answer(None, f"the token webhook failed: {error}")
        return decide(found, self._audiences)


def decide(review: Any, audiences: Sequence[str]) -> Answer:
    """Returns what an answered review says."""
    status = review.get("status") if isinstance(review, dict) else None
    if not isinstance(status, dict):
        return Answer(None, "the token webhook answers no TokenReview")
    if status.get("authenticated") is not True:
        return Answer(None, _text(status.get("error")))
    meant = status.get("audiences")
    if meant and not (isinstance(meant, list) and any(one in audiences for one in meant)):
        return Answer(None)
    user = status.get("user")
    if not isinstance(user, dict) or not _text(user.get("username")):
        return Answer(None, "the token webhook names no user")
    return Answer(_user(user))


def _user(given: Document) -> User:
    extra = given.get("extra")
    return User(
        _text(given.get("username")),
        _texts(given.get("groups")),
        _text(given.get("uid")),
        {key.lower(): _texts(values) for key, values in extra.items()}
        if isinstance(extra, dict)
        else {},
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
