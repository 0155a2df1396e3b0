"""Sends events to a webhook, many in one request (apiserver/plugin/pkg/audit/webhook).

An attempt that fails is repeated a few times; then its events are lost, and counted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from steersman.api.audit.policy import VERSION
from steersman.api.audit.settings import WebhookSettings
from steersman.api.audit.truncated import batches
from steersman.api.hooks.client import Unanswered, read, whole
from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport
from steersman.wire.message import JSON, Request
from steersman.world.interface import World

PLUGIN: Final = "webhook"
# webhook.DefaultRetryBackoffWithInitialDelay
ATTEMPTS: Final = 5
GROWTH: Final = 1.5
JITTER: Final = 0.2
ASK_SECONDS: Final = 30.0
_HEAD: Final = b'{"kind":"EventList","apiVersion":"%b","metadata":{},"items":['

log = logging.getLogger(__name__)


class Webhook:
    """See the module."""

    def __init__(self, settings: WebhookSettings, errors: Counter[str], world: World) -> None:
        self._settings = settings
        self._errors = errors
        self._world = world
        self._transport = HTTPTransport(settings.target)
        self._path = "" if settings.target.prefix else "/"

    async def send(self, lines: Sequence[bytes]) -> None:
        """Sends events, in several requests where one would be too large."""
        truncation = self._settings.truncation
        split = batches(lines, truncation.batch_bytes) if truncation else [list(lines)]
        for batch in split:
            if why := await self._send(batch):
                self._errors[PLUGIN] += len(batch)
                log.error(
                    "Error in audit plugin 'webhook' affecting %d events: %s", len(batch), why
                )

    async def _send(self, batch: Sequence[bytes]) -> str:
        """Sends one request, again where it fails; returns why it failed last, empty if not."""
        why, pause = "", self._settings.backoff_seconds
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._world.pause(self._world.jitter(pause, JITTER))
                pause *= GROWTH
            if not (why := await self._attempt(batch)):
                return ""
        return why

    async def _attempt(self, batch: Sequence[bytes]) -> str:
        items = b",".join(line.strip() for line in batch)
        body = _HEAD % VERSION.encode() + items + b"]}"
        headers = {"content-type": JSON, "accept": JSON}
        try:
            async with self._world.wire_timeout(ASK_SECONDS):
                request = Request("POST", self._path, "", headers, body)
                answer = await self._transport.send(request)
                found = await whole(answer.body)
                if answer.status >= 300:
                    read(answer.status, found)
        except TimeoutError:
            return "the webhook does not answer in time"
        except (Unreachable, Unanswered) as error:
            return str(error.__cause__ or error)
        return ""
