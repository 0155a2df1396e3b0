"""Asking a webhook at a fixed place to review something: again where that may do better.

Authorization and image policies ask so. Follows apiserver's util/webhook (WithExponentialBackoff).
"""

from __future__ import annotations

from typing import Any, Final

from steersman.api.hooks.client import Unanswered, read, whole
from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport, Target
from steersman.wire.message import Request
from steersman.world.interface import World

# DefaultAuthWebhookRetryBackoff: five attempts, each pause half as long again
ATTEMPTS: Final = 5
PAUSE_SECONDS: Final = 0.5
PAUSE_FACTOR: Final = 1.5
PAUSE_JITTER: Final = 0.2
ASK_SECONDS: Final = 30.0
# Answers after which it is asked again (webhook.DefaultShouldRetry)
PASSING: Final = (429, 500, 504)


class Failed(Exception):
    """There is no answer; the text says why, in upstream's words. `late`: for it took too long."""

    def __init__(self, why: str, *, late: bool = False) -> None:
        super().__init__(why)
        self.late = late


class _Attempt(Exception):
    """One attempt came to nothing; `again`: another one may do better."""

    def __init__(self, why: str, *, again: bool, late: bool = False) -> None:
        super().__init__(why)
        self.again = again
        self.late = late


class Reviewing:
    """Posts reviews to one webhook."""

    def __init__(
        self,
        target: Target,
        world: World,
        *,
        timeout_seconds: float = ASK_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._transport = HTTPTransport(target)
        self._target = target
        self._path = "" if target.prefix else "/"
        self._world = world
        self._timeout = timeout_seconds
        self._pause = pause_seconds

    async def ask(self, body: bytes) -> Any:
        """Returns the parsed answer to a review; raises Failed."""
        pause = self._pause
        for left in reversed(range(ATTEMPTS)):
            try:
                return await self._attempt(body)
            except _Attempt as error:
                if not (error.again and left):
                    raise Failed(str(error), late=error.late) from error
            await self._world.pause(self._world.jitter(pause, PAUSE_JITTER))
            pause *= PAUSE_FACTOR
        raise AssertionError("the last attempt answers or fails")

    async def _attempt(self, body: bytes) -> Any:
        headers = {"content-type": "application/json", "accept": "application/json"}
        request = Request("POST", self._path, "", headers, body)
        post = f'Post "{self._target}{self._target.prefix or "/"}"'
        status = 0
        try:
            async with self._world.wire_timeout(self._timeout):
                answer = await self._transport.send(request)
                status = answer.status
                return read(status, await whole(answer.body))
        except TimeoutError:
            why = f"{post}: context deadline exceeded"
            raise _Attempt(why, again=False, late=True) from None
        except Unreachable as error:
            raise _Attempt(f"{post}: {error.__cause__ or error}", again=False) from error
        except Unanswered as error:
            raise _Attempt(str(error), again=status in PASSING) from error
