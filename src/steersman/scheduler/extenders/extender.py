"""One extender: asked by POST, one answer for each question, bounded in time and size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport
from steersman.client.interface import Transport
from steersman.client.post import NoBody, post
from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.scheduler.extenders.failure import Failed
from steersman.scheduler.extenders.messages import (
    Filtered,
    Nodes,
    Victims,
    parse_bound,
    parse_filtered,
    parse_scores,
    parse_victims,
    render_ask,
    render_binding,
    render_victims,
)
from steersman.scheduler.extenders.settings import Settings
from steersman.world.interface import World

# Whole nodes come back from an extender without a cache: five thousand of some kilobytes each
MOST_BYTES: Final = 64 * 1024 * 1024
# MaxNodeScore by MaxExtenderPriority: an extender scores from 0 to 10
SCALE: Final = 10
Reach = Callable[[Settings], Transport]


def reach_http(settings: Settings) -> Transport:
    """Returns the way to an extender over HTTP; for one question."""
    return HTTPTransport(settings.target, body_bytes=MOST_BYTES)


class Extender:
    """Asks one extender. `turn` is held by the pod about which it is asked, as upstream asks for
    one pod at a time."""

    def __init__(self, settings: Settings, reach: Reach, world: World) -> None:
        self.settings = settings
        self.turn = asyncio.Lock()
        self._reach = reach
        self._world = world

    def minds(self, pod: Pod) -> bool:
        """Says whether a pod concerns it: by a resource that it manages, or any pod."""
        managed = self.settings.managed
        if not managed:
            return True
        return any(
            name in managed
            for container in (*pod.spec.containers, *pod.spec.init_containers)
            for amounts in (container.resources.requests, container.resources.limits)
            for name in amounts
        )

    async def filter(self, pod: Document, nodes: Nodes) -> Filtered:
        """Returns what becomes of the nodes; raises Failed."""
        own = self.settings
        question = render_ask(pod, nodes, names_only=own.names_only)
        answer = await self._send(own.filter_verb, question)
        return parse_filtered(answer, own.url, nodes.names, names_only=own.names_only)

    async def prioritize(self, pod: Document, nodes: Nodes) -> dict[str, int]:
        """Returns what is to be added to the scores of nodes; raises Failed."""
        own = self.settings
        question = render_ask(pod, nodes, names_only=own.names_only)
        scores = parse_scores(await self._send(own.prioritize_verb, question))
        return {name: score * own.weight * SCALE for name, score in scores.items()}

    async def preempt(self, pod: Document, victims: Mapping[str, Victims]) -> dict[str, Victims]:
        """Returns what is left of the candidates; raises Failed."""
        own = self.settings
        question = render_victims(pod, victims, names_only=own.names_only)
        return parse_victims(await self._send(own.preempt_verb, question))

    async def bind(self, pod: Pod, node: str) -> None:
        """Has it bind a pod; raises Failed."""
        metadata = pod.metadata
        wanted = render_binding(metadata.namespace, metadata.name, metadata.uid, node)
        parse_bound(await self._send(self.settings.bind_verb, wanted))

    async def _send(self, verb: str, document: Document) -> Any:
        own = self.settings
        url = f"{own.url.rstrip('/')}/{verb}"
        transport = self._reach(own)
        try:
            status, body = await post(
                transport,
                self._world,
                f"/{verb}",
                msgspec.json.encode(document),
                seconds=own.timeout_seconds,
                most=MOST_BYTES,
            )
        except NoBody:
            text = "Client.Timeout or context cancellation while reading body"
            raise Failed(f"context deadline exceeded ({text})") from None
        except TimeoutError:
            text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            raise Failed(f'Post "{url}": {text}') from None
        except Unreachable as error:
            raise Failed(f'Post "{url}": {_why(error, own)}') from error
        finally:
            await transport.close()
        if status != 200:
            raise Failed(f"failed {verb} with extender at URL {url}, code {status}")
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise Failed(f"the answer of {url} is no JSON: {error}") from None


def _why(error: Unreachable, settings: Settings) -> str:
    if isinstance(error.__cause__, ConnectionRefusedError):
        place = f"{settings.target.host}:{settings.target.port}"
        return f"dial tcp {place}: connect: connection refused"
    return str(error)
