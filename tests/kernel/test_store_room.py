"""SQLite's store on a disk without room: a compaction that could not be carried out."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from disks import small_disk
from steersman.store.interface import Full, Write
from steersman.store.sqlite import open_sqlite
from steersman.store.table import FILE
from steersman.world.real import RealWorld

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a file system")
DISK_BYTES = 2 << 20
COMMITS = 64


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A directory that holds little."""
    with small_disk(tmp_path / "disk", DISK_BYTES) as place:
        yield place


def fill(path: Path) -> None:
    """Writes until there is no room."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                continue
        except OSError:
            return


def test_rows_that_could_not_be_removed_for_want_of_room_go_with_the_next_compaction(
    disk: Path,
) -> None:
    async def main() -> None:
        failures: list[BaseException] = []
        store = await open_sqlite(disk / "store", world=RealWorld(), on_fatal=failures.append)
        try:
            for number in range(COMMITS):
                await store.commit(Write("a", b"%d" % number))
            fill(disk / "ballast")
            with pytest.raises(Full, match="no room to compact"):
                await store.compact(COMMITS)
            (disk / "ballast").unlink()
            await store.compact(COMMITS)
        finally:
            await store.close()
        assert failures == []

    asyncio.run(main())
    with closing(sqlite3.connect(disk / "store" / FILE)) as connection:
        kept = connection.execute("SELECT key, value FROM revisions").fetchall()
    assert kept == [("a", b"%d" % (COMMITS - 1))]
