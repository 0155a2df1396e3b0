"""A plain HTTP/1.1 client over TLS: many connections, one request at a time on each.

What a request is, is the caller's; what is measured is the time from when it was to be sent to the
last byte of its answer. Meant for a process of its own, so that two cores are two cores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httptools

from steersman.client import kubeconfig

Answers = list[tuple[int, float]]


def request(method: str, path: str, body: bytes = b"", media: str = "application/json") -> bytes:
    """Returns the bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
    if body:
        head += f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class _Feed:
    """The requests in their order, each with the time when it is to be sent."""

    def __init__(self, requests: Iterator[bytes], per_second: float) -> None:
        self._requests = requests
        self._pause = 1 / per_second if per_second else 0.0
        self._due = time.monotonic()

    def next(self) -> tuple[bytes, float] | None:
        """Returns the next one, None at the end; what is not paced is due at once."""
        if (found := next(self._requests, None)) is None:
            return None
        if not self._pause:
            return found, time.monotonic()
        self._due += self._pause
        return found, self._due


class _Connection(asyncio.Protocol):
    """Sends a request as soon as the answer to the last has come and it is due."""

    def __init__(self, feed: _Feed, answers: Answers) -> None:
        self._loop = asyncio.get_running_loop()
        self.done = self._loop.create_future()
        self._feed = feed
        self._answers = answers
        self._parser = httptools.HttpResponseParser(self)
        self._due = 0.0

    def connection_made(self, transport: Any) -> None:
        """Begins."""
        self._transport = transport
        self._go_on()

    def _go_on(self) -> None:
        if (found := self._feed.next()) is None:
            self._transport.close()
            self.done.set_result(None)
            return
        text, self._due = found
        if (wait := self._due - time.monotonic()) > 0:
            self._loop.call_later(wait, self._transport.write, text)
        else:
            self._transport.write(text)

    def data_received(self, data: bytes) -> None:
        """Takes a piece of an answer."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Notes an answer and goes on."""
        self._answers.append((self._parser.get_status_code(), time.monotonic() - self._due))
        self._parser = httptools.HttpResponseParser(self)
        self._go_on()

    def connection_lost(self, error: Exception | None) -> None:
        """Ends with an error where the server ended it."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed"))


async def connect(config: Path, protocol: Any) -> Any:
    """Returns the protocol of a new connection to a kubeconfig's server."""
    target = kubeconfig.read(config)
    loop = asyncio.get_running_loop()
    place = {"ssl": target.tls, "server_hostname": target.host}
    return (await loop.create_connection(protocol, target.host, target.port, **place))[1]


async def send(
    config: Path, requests: Iterator[bytes], connections: int, per_second: float = 0
) -> tuple[float, Answers]:
    """Sends all requests, paced where that is asked for; returns the seconds it took, and the code
    and the seconds of each answer."""
    answers: Answers = []
    feed, began = _Feed(requests, per_second), time.perf_counter()
    made = [await connect(config, lambda: _Connection(feed, answers)) for _ in range(connections)]
    await asyncio.gather(*(one.done for one in made))
    return time.perf_counter() - began, answers
