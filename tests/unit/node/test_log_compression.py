"""Logs that were moved aside: which are compressed, and that nothing of them is lost meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from steersman.node.acting import log_compression
from steersman.node.acting.log_compression import LogCompressor, choose

LOG = "0.log"


def test_all_but_the_latest_that_was_moved_aside_are_due() -> None:
    names = ["0.log", "0.log.3", "0.log.1", "0.log.2", "1.log.0", "other"]
    assert choose(names, LOG) == ["0.log.1", "0.log.2"]
    assert choose(["0.log", "0.log.1"], LOG) == []
    assert choose(["0.log.1.gz", "0.log.2", "0.log.3"], LOG) == ["0.log.2"]
    assert choose(["0.log.1", "0.log.1.gz", "0.log.2"], LOG) == [], "it goes when it is its turn"
    assert choose([], LOG) == []


def compress(folder: Path) -> list[str]:
    asyncio.run(LogCompressor().compress(folder / LOG))
    return sorted(it.name for it in folder.iterdir())


def test_a_file_is_replaced_by_one_of_the_same_content_and_times(tmp_path: Path) -> None:
    text = "line\n" * 100_000
    for number in (1, 2, 3):
        (tmp_path / f"0.log.{number}").write_text(text)
    os.utime(tmp_path / "0.log.1", (5, 7))
    assert compress(tmp_path) == ["0.log.1.gz", "0.log.2.gz", "0.log.3"]
    packed = tmp_path / "0.log.1.gz"
    assert gzip.decompress(packed.read_bytes()).decode() == text
    assert packed.stat().st_size < len(text) // 10
    assert packed.stat().st_mtime == 7
    assert compress(tmp_path) == ["0.log.1.gz", "0.log.2.gz", "0.log.3"]
    assert asyncio.run(LogCompressor().compress(tmp_path / "none" / LOG)) is None


def test_what_an_agent_before_left_half_done_is_begun_again(tmp_path: Path) -> None:
    for name in ("0.log.1", "0.log.2"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".0.log.1.gz").write_bytes(b"half" * 100)
    assert compress(tmp_path) == ["0.log.1.gz", "0.log.2"]
    assert gzip.decompress((tmp_path / "0.log.1.gz").read_bytes()) == b"x"


def test_without_room_the_files_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("0.log.1", "0.log.2"):
        (tmp_path / name).write_text("x")
    full = Path("/dev/full")
    real = os.open

    def opened(path: Path, flags: int, mode: int = 0o777) -> int:
        to_full = str(path).endswith(".gz")
        return real(full if to_full else path, flags & ~os.O_CREAT if to_full else flags, mode)

    monkeypatch.setattr(log_compression.os, "open", opened)
    with pytest.raises(OSError, match="No space left"):
        compress(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["0.log.1", "0.log.2"]
