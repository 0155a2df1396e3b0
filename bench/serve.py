"""Measures the HTTPS server alone: processor time per GET and per event of a watch.

Run: python bench/serve.py [seconds]. Needs wrk. The handler is the cheapest there can be, so that
what is measured is the transport: TLS, HTTP/1.1, the event loop, the kernel's sockets.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from steersman.listen import certificates
from steersman.listen.serve import Server, tls_context
from steersman.wire.message import Chunk, Request, Response, Sink
from steersman.world.real import RealWorld

CONNECTIONS = 16
WATCHERS = 1_000
EVENTS = 200
BODY = b'{"kind":"ConfigMap","data":{"x":"' + b"a" * 2_460 + b'"}}'


class Bench:
    """The served side: one object, one watch, and a way to ask for the processor time used."""

    def __init__(self) -> None:
        self.sinks: set[Sink] = set()

    def __call__(self, request: Request) -> Response:
        if request.path == "/object":
            return Response(BODY)
        if request.path == "/watch":
            return Response(self.watch)
        if request.path == "/event":
            chunk = Chunk(BODY + b"\n")
            for sink in self.sinks:
                sink.send(chunk)
        return Response(json.dumps([time.process_time(), len(self.sinks)]).encode())

    def watch(self, sink: Sink) -> Callable[[], None]:
        self.sinks.add(sink)
        return lambda: self.sinks.discard(sink)


async def serve(directory: Path) -> None:
    files = certificates.Certificates(directory)
    async with Server(Bench(), RealWorld()) as server:
        tls = tls_context(files.certificate(), files.key(), files.ca)
        _, secure = await server.listen("127.0.0.1", 0, tls)
        _, plain = await server.listen("127.0.0.1", 0, None)
        print(secure, plain, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def ask(port: int, path: str) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])


def gets(name: str, url: str, plain: int, seconds: int) -> None:
    """Loads the server with GETs and prints what one costs."""
    before = asyncio.run(ask(plain, "/cpu"))[0]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--latency"]
    command += ["-H", "Accept: application/json", "-H", "Authorization: Bearer abcdefgh", url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = asyncio.run(ask(plain, "/cpu"))[0] - before
    count = int(re.search(r"(\d+) requests in", shown)[1])  # type: ignore[index]
    middle, last = (re.search(rf"{part}%\s+(\S+)", shown)[1] for part in (50, 99))  # type: ignore[index]
    print(
        f"{name}: {count / seconds:,.0f}/s, {used / count * 1e6:.1f} µs of processor each, "
        f"median {middle}, p99 {last}"
    )


class Watcher(asyncio.Protocol):
    """Counts the bytes of one watch."""

    def __init__(self) -> None:
        self.received = 0

    def connection_made(self, transport: Any) -> None:
        transport.write(b"GET /watch HTTP/1.1\r\nHost: x\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        self.received += len(data)


async def fan_out(secure: int, plain: int, directory: Path) -> None:
    """Opens watches, sends events and prints what one event to one watcher costs."""
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    watchers = []
    for _ in range(WATCHERS):
        _, watcher = await loop.create_connection(Watcher, "localhost", secure, ssl=context)
        watchers.append(watcher)
    while (await ask(plain, "/cpu"))[1] < WATCHERS:
        pass
    opened = time.perf_counter() - started
    before, started = (await ask(plain, "/cpu"))[0], time.perf_counter()
    for _ in range(EVENTS):
        await ask(plain, "/event")
    wanted = EVENTS * len(BODY)
    while min(watcher.received for watcher in watchers) < wanted:
        await ask(plain, "/cpu")
    took = time.perf_counter() - started
    used = (await ask(plain, "/cpu"))[0] - before
    sent = EVENTS * WATCHERS
    print(
        f"watch: {WATCHERS:,} opened in {opened:.2f} s; {sent / took:,.0f} events/s to them, "
        f"{used / sent * 1e6:.1f} µs of processor each"
    )


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        certificates.ensure(directory, (), time.time())
        command = [sys.executable, __file__, "--serve", name]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None and server.stdin is not None
            secure, plain = map(int, server.stdout.readline().split())
            gets("GET over TLS", f"https://127.0.0.1:{secure}/object", plain, seconds)
            gets("GET without TLS", f"http://127.0.0.1:{plain}/object", plain, seconds)
            uvloop.run(fan_out(secure, plain, directory))
            server.stdin.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        uvloop.run(serve(Path(sys.argv[2])))
    else:
        main()
