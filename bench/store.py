"""Puts per second and processor time per put of the store, with bare etcd beside it.

    PYTHONPATH=src python bench/store.py [--seconds 3] [--rounds 3] [--directory DIR]

Clients each wait for their own durability; values of 1.5 kB are all different (SQLite does not
write a value equal to the one it has); 32,000 keys. "busy" keeps the loop at work between commits,
as an API server does. etcd runs with default flags and is driven over its gRPC by aetcd's stubs
from this one process, whose own processor time is not counted in etcd's row but limits its rate.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from steersman.store.interface import Store, Write
from steersman.store.memory import MemoryStore
from steersman.store.sqlite import open_sqlite
from steersman.world.real import RealWorld

VALUE_BYTES = 1500
KEYS = [f"/registry/pods/namespace-{n % 20}/pod-{n:05}-xk2vq" for n in range(32_000)]
NOISE = os.urandom(1 << 20)


class Load:
    """Clients that put one after the other, and what they saw."""

    def __init__(self, put: Callable[[str, bytes], Awaitable[object]], clients: int) -> None:
        self.put = put
        self.clients = clients
        self.waits: list[float] = []

    async def client(self, number: int, until: float) -> None:
        draw = random.Random(number)
        while (start := time.perf_counter()) < until:
            offset = draw.randrange(len(NOISE) - VALUE_BYTES)
            await self.put(draw.choice(KEYS), NOISE[offset : offset + VALUE_BYTES])
            self.waits.append(time.perf_counter() - start)

    async def run(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*[self.client(number, until) for number in range(self.clients)])

    def line(self, name: str, seconds: float, processor: float) -> str:
        waits = sorted(self.waits)
        count = len(waits)
        median, late = waits[count // 2] * 1e3, waits[int(count * 0.99)] * 1e3
        return (
            f"{name:34} {count / seconds:9,.0f} puts/s  {processor / count * 1e6:6.1f} us cpu/put"
            f"  p50 {median:.2f}  p99 {late:.2f}  max {waits[-1] * 1e3:.1f} ms"
        )


async def nothing(key: str, value: bytes) -> None:
    await asyncio.sleep(0)


async def measure(name: str, load: Load, seconds: float, process: int | None = None) -> None:
    before, start = processor_of(process), time.perf_counter()
    await load.run(seconds)
    print(load.line(name, time.perf_counter() - start, processor_of(process) - before), flush=True)


def processor_of(process: int | None) -> float:
    if process is None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def putting(store: Store) -> Callable[[str, bytes], Awaitable[object]]:
    commit = store.commit
    return lambda key, value: commit(Write(key, value))


async def followed(store: Store, prefix: str) -> None:
    async for _ in store.follow(prefix, after=await store.revision()):
        pass


async def busy() -> None:
    """Holds the loop for half a millisecond at a time, for ever."""
    while True:
        until = time.perf_counter() + 0.0005
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)


async def sqlite(directory: Path, seconds: float) -> None:
    store = await open_sqlite(directory, world=RealWorld(), on_fatal=lambda _: os._exit(70))
    await measure("sqlite, 64 clients", Load(putting(store), 64), seconds)
    tasks = [asyncio.create_task(followed(store, ""))]
    tasks += [asyncio.create_task(followed(store, f"/idle/{number}/")) for number in range(60)]
    await asyncio.sleep(0)
    await measure("sqlite, 64, 1 follower + 60 idle", Load(putting(store), 64), seconds)
    await measure("sqlite, 1 client, 61 followers", Load(putting(store), 1), seconds)
    await stop(tasks)
    tasks = [asyncio.create_task(busy())]
    await measure("sqlite, 64, loop busy", Load(putting(store), 64), seconds)
    await stop(tasks)
    tasks = [asyncio.create_task(compacting(store))]
    await measure("sqlite, 64, compaction all along", Load(putting(store), 64), seconds)
    await stop(tasks)
    start = time.perf_counter()
    page = await store.list("")
    print(f"  list of {len(page.records):,}: {(time.perf_counter() - start) * 1e3:.0f} ms")
    await store.close()
    start = time.perf_counter()
    store = await open_sqlite(directory, world=RealWorld(), on_fatal=lambda _: os._exit(70))
    print(f"  open again at revision {await store.revision():,}: ", end="")
    print(f"{(time.perf_counter() - start) * 1e3:.0f} ms")
    await store.close()


async def compacting(store: Store) -> None:
    while True:
        await store.compact(await store.revision())
        await asyncio.sleep(0)


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def start_etcd(directory: Path, address: str, peer: str) -> subprocess.Popen[bytes]:
    with (directory / "log").open("w") as log:
        return subprocess.Popen(
            [
                *("/usr/bin/etcd", "--data-dir", str(directory / "data")),
                *("--listen-client-urls", f"http://{address}"),
                *("--advertise-client-urls", f"http://{address}"),
                *("--listen-peer-urls", f"http://{peer}"),
                *("--initial-advertise-peer-urls", f"http://{peer}"),
                *("--initial-cluster", f"default=http://{peer}"),
            ],
            stdout=log,
            stderr=log,
        )


async def etcd(directory: Path, seconds: float) -> None:
    import grpc
    from aetcd import rpc

    address, peer = free_address(), free_address()
    server = start_etcd(directory, address, peer)
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = rpc.KVStub(channel)
            await stub.Range(rpc.RangeRequest(key=b"x"), wait_for_ready=True)
            load = Load(
                lambda key, value: stub.Put(rpc.PutRequest(key=key.encode(), value=value)), 64
            )
            await measure("etcd 3.4 over gRPC, 64 clients", load, seconds, server.pid)
    finally:
        server.terminate()
        server.wait()


def free_address() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--directory", type=Path, default=Path("/var/tmp"), help="on the disk to measure"
    )
    arguments = parser.parse_args()
    seconds = arguments.seconds
    for _ in range(arguments.rounds):
        uvloop.run(measure("the harness alone", Load(nothing, 64), seconds))
        uvloop.run(measure("memory", Load(putting(MemoryStore(RealWorld())), 64), seconds))
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            uvloop.run(sqlite(Path(directory), seconds))
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            asyncio.run(etcd(Path(directory), seconds))


if __name__ == "__main__":
    main()
