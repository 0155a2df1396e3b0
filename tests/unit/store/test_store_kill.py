"""kill -9 at any moment loses no acknowledged write."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steersman.store.interface import Compacted, Record
from steersman.store.sqlite import SqliteStore, open_sqlite
from steersman.world.real import RealWorld

# STEER_KILL_ROUNDS=100 is the figure; a handful is enough for every run
ROUNDS = int(os.environ.get("STEER_KILL_ROUNDS", "6"))

CHILD = """
import asyncio, os, random, sys
from pathlib import Path
from steersman.store.interface import Write
from steersman.store.sqlite import open_sqlite
from steersman.world.real import RealWorld

async def main():
    store = await open_sqlite(
        Path(sys.argv[1]),
        world=RealWorld(),
        on_fatal=lambda error: os._exit(70),
        put_off=(lambda: True) if sys.argv[3] == "put off" else None,
    )
    seed = random.Random(int(sys.argv[2]))

    async def work(worker):
        while True:
            key, extra = f"{worker}/{seed.randrange(20)}", f"{worker}/extra"
            value = seed.randbytes(seed.randrange(3000))
            revision = await store.commit(Write(key, value), Write(extra, key.encode()))
            os.write(1, f"{revision} {key} {value[:8].hex()}.{len(value)}\\n".encode())
            if revision % 97 == 0:
                await store.commit(Write(extra, None))
            if revision % 200 == 0:
                await store.compact(revision - 100)

    await asyncio.gather(*[work(worker) for worker in range(16)])

asyncio.run(main())
"""


def killed(directory: Path, seed: int, acknowledgements: int, how: str) -> list[list[str]]:
    """Runs a writer, kills it after so many acknowledgements; returns all that it had sent."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory), str(seed), how], stdout=subprocess.PIPE
    )
    assert child.stdout
    with child:
        lines = [child.stdout.readline() for _ in range(acknowledgements)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL
    return [line.decode().split() for line in lines if line.endswith(b"\n")]


async def kept(store: SqliteStore) -> dict[int, list[Record]]:
    """Returns every revision that the store still has."""
    oldest = 0
    try:
        await store.list("", at=0)
    except Compacted as error:
        oldest = error.oldest
    newest = await store.revision()
    history: dict[int, list[Record]] = {}
    reached = oldest
    follower = store.follow("", after=oldest)
    while reached < newest:
        batch = await anext(follower)
        reached = batch.revision
        for record in batch.records:
            history.setdefault(record.revision, []).append(record)
    assert list(history) == list(range(oldest + 1, newest + 1))
    return history


def fingerprint(record: Record) -> str:
    value = record.value or b""
    return f"{value[:8].hex()}.{len(value)}"


def failed(error: BaseException) -> None:
    raise error


async def compare(directory: Path, acknowledged: list[list[str]]) -> None:
    store = await open_sqlite(directory, world=RealWorld(), on_fatal=failed)
    history = await kept(store)
    current = {record.key: record for record in (await store.list("")).records}
    newest = await store.revision()
    for revision, key, expected in acknowledged:
        assert int(revision) <= newest
        if int(revision) in history:
            record, extra = history[int(revision)]
            assert (record.key, fingerprint(record)) == (key, expected)
            assert extra.value == key.encode()
        else:
            assert current[key].revision >= int(revision)
    for records in history.values():
        for record in records:
            if record.value is not None:
                assert current.get(record.key, record).revision >= record.revision
    await store.close()


@pytest.mark.parametrize("how", ["durable", "put off"])
def test_no_acknowledged_write_is_lost_when_the_process_is_killed(tmp_path: Path, how: str) -> None:
    moments = random.Random(20261121)
    acknowledged: list[list[str]] = []
    for number in range(ROUNDS):
        acknowledged += killed(tmp_path, number, moments.randrange(1, 1500), how)
        asyncio.run(compare(tmp_path, acknowledged))
    assert len({revision for revision, _, _ in acknowledged}) == len(acknowledged)
