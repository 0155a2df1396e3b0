"""Asks a node's kubelet for /metrics/resource."""

from __future__ import annotations

from collections.abc import AsyncIterator

from steersman.api.metrics.scrape import MOST_BYTES, Scrape, ScrapeError, parse
from steersman.api.metrics.windows import Ask
from steersman.api.subresources.kubelets import Kubelets, Undelivered
from steersman.client.errors import Unreachable
from steersman.wire.message import Request, Response
from steersman.world.interface import World

PATH = "/metrics/resource"


def asking(kubelets: Kubelets, world: World) -> Ask:
    """Returns what scrapes a node; it raises APIError where that does not succeed."""

    async def ask(node: str) -> Scrape:
        kubelet = kubelets.of(node)
        try:
            answer = await kubelet.transport.send(Request("GET", PATH))
            body = await _body(answer)
        except Unreachable as error:
            raise Undelivered(kubelet.explain(error)) from error
        if answer.status != 200:
            raise Undelivered(f"{kubelet.place} answers {PATH} with {answer.status}")
        try:
            return parse(body, world.now())
        except ScrapeError as error:
            raise Undelivered(f"{kubelet.place}: {error}") from error

    return ask


async def _body(answer: Response) -> bytes:
    """Returns an answer's body, no more than can be wanted of it."""
    if isinstance(answer.body, bytes):
        return answer.body
    assert isinstance(answer.body, AsyncIterator), "a transport gives bytes or an iterator"
    found = b""
    async for piece in answer.body:
        found += piece
        if len(found) > MOST_BYTES:
            break
    return found
