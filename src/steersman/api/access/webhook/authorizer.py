"""Asks a webhook who may do what, and keeps its answers for a while.

Deciding never waits: where an answer is not there yet the decision is broken off by `Awaiting`,
which fetches it, and made anew. Follows apiserver's plugin/pkg/authorizer/webhook.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

import orjson

from steersman.api.access.authorization import NO_OPINION, Attributes, Decision, Unresolved
from steersman.api.access.awaiting import Awaiting, fetched
from steersman.api.access.rules import Rule
from steersman.api.access.webhook.conditions import Conditions, Unclear
from steersman.api.access.webhook.figures import CANCELED, ERROR, SUCCESS, TIMEOUT, Figures
from steersman.api.access.webhook.review import decide, document_of, spec_of
from steersman.api.access.webhook.settings import WebhookSettings
from steersman.api.hooks.reviewing import Failed, Reviewing
from steersman.model.kind import Document
from steersman.wire.message import User
from steersman.world.interface import World

# Answers that are kept; the one that was used longest ago gives way
MOST_ANSWERS: Final = 8192
# Questions longer than this are not kept: who asks could fill the memory with them
MOST_CHARACTERS: Final = 10_000


class WebhookAuthorizer:
    """See the module, and `authorization.Authorizer`."""

    def __init__(self, settings: WebhookSettings, world: World, figures: Figures) -> None:
        self._settings = settings
        self._figures = figures
        self._world = world
        self._conditions = Conditions(settings.conditions)
        seconds = settings.timeout_seconds
        self._reviewing = Reviewing(settings.target, world, timeout_seconds=seconds)
        self._answers: dict[bytes, tuple[float, Decision]] = {}
        self._asking: dict[bytes, asyncio.Future[Decision | None]] = {}

    def rules_of(self, _user: User, _namespace: str) -> Sequence[Rule]:
        """Raises Unresolved."""
        raise Unresolved("webhook authorizer does not support user rule resolution")

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Returns what the webhook says; raises Awaiting before it is known."""
        spec = spec_of(user, attributes)
        try:
            if not self._conditions.hold(spec):
                return NO_OPINION
        except Unclear as error:
            return self._unanswered(str(error))
        key = orjson.dumps(spec)
        held = self._answers.pop(key, None)
        if held is not None and held[0] > self._world.monotonic():
            self._answers[key] = held
            return held[1]
        found: Decision | None = fetched().get((self, key))
        if found is not None:
            return found
        short = sum(map(len, attributes[:8])) < MOST_CHARACTERS
        raise Awaiting(partial(self._fetch, key, spec, short))

    def _unanswered(self, why: str) -> Decision:
        return Decision(False, denied=self._settings.denies, error=why)

    async def _fetch(self, key: bytes, spec: Document, short: bool) -> None:
        """Asks; who asks the same meanwhile gets the same answer."""
        if (under_way := self._asking.get(key)) is not None:
            if (shared := await asyncio.shield(under_way)) is not None:
                fetched()[self, key] = shared
            return
        future = self._asking[key] = asyncio.get_running_loop().create_future()
        answer = None  # where it is broken off; who waits for it asks again
        try:
            answer = fetched()[self, key] = await self._ask(spec)
            if short and not answer.error:
                self._keep(key, answer)
        finally:
            del self._asking[key]
            future.set_result(answer)

    def _keep(self, key: bytes, answer: Decision) -> None:
        settings = self._settings
        seconds = settings.authorized_seconds if answer.allowed else settings.unauthorized_seconds
        if seconds <= 0:
            return
        if len(self._answers) >= MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = (self._world.monotonic() + seconds, answer)

    async def _ask(self, spec: Document) -> Decision:
        body = orjson.dumps(document_of(spec, self._settings.version))
        began, result = self._world.monotonic(), SUCCESS
        try:
            return decide(await self._reviewing.ask(body))
        except (Failed, ValueError) as error:
            result = TIMEOUT if isinstance(error, Failed) and error.late else ERROR
            return self._unanswered(str(error))
        except BaseException:
            result = CANCELED
            raise
        finally:
            seconds = self._world.monotonic() - began
            is_open = result != SUCCESS and not self._settings.denies
            self._figures.asked(self._settings.name, result, seconds, is_open=is_open)
