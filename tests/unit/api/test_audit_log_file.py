"""The file of the audit log: when it is put aside, what is kept, what a full disk comes to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from steersman.api.audit.log_file import Limits, LogFile

NOON = 1_800_000_000.25  # 2027-01-15T08:00:00.250Z


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


def test_lines_are_appended_to_a_file_that_its_owner_alone_reads(tmp_path: Path) -> None:
    path = tmp_path / "new" / "audit.log"
    for text in (b"one\n", b"two\n"):
        file = LogFile(str(path), Limits(), Clock())
        assert file.write(text)
        file.close()
        file.close()
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_file_is_put_aside_under_its_time(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = LogFile(str(path), Limits(size_bytes=8), Clock())
    for text in (b"one\n", b"two\n", b"3\n"):
        assert file.write(text)
    assert names(tmp_path) == ["audit-2027-01-15T08-00-00.250.log", "audit.log"]
    assert path.read_bytes() == b"3\n"
    assert (tmp_path / names(tmp_path)[0]).read_bytes() == b"one\ntwo\n"


def test_what_a_file_held_before_counts(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"1234567")
    file = LogFile(str(path), Limits(size_bytes=8), Clock())
    assert file.write(b"89\n")
    assert path.read_bytes() == b"89\n"


def test_without_a_limit_a_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = LogFile(str(path), Limits(), Clock())
    for _ in range(100):
        assert file.write(b"x" * 99 + b"\n")
    assert names(tmp_path) == ["audit.log"]


def test_a_line_that_fits_no_file_is_lost_and_the_next_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = LogFile(str(path), Limits(size_bytes=4), Clock())
    assert not file.write(b"12345")
    assert file.write(b"123\n")
    assert path.read_bytes() == b"123\n"
    assert names(tmp_path) == ["audit.log"]


def rotated(tmp_path: Path, limits: Limits, days: int) -> list[str]:
    clock = Clock()
    (tmp_path / "audit-notes.log").write_bytes(b"mine")
    limits.size_bytes = 4
    file = LogFile(str(tmp_path / "audit.log"), limits, clock)
    for day in range(days):
        clock.now = NOON + day * 86400
        assert file.write(b"123\n")
    assert "audit-notes.log" in names(tmp_path)
    return [name[6:16] for name in names(tmp_path) if name.startswith("audit-2")]


def test_the_newest_files_are_kept(tmp_path: Path) -> None:
    assert rotated(tmp_path, Limits(backups=2), 6) == ["2027-01-19", "2027-01-20"]


def test_number_and_age_both_bound_what_is_kept(tmp_path: Path) -> None:
    found = rotated(tmp_path, Limits(backups=2, age_days=3), 6)
    assert found == ["2027-01-19", "2027-01-20"]


def test_files_of_some_days_are_kept(tmp_path: Path) -> None:
    found = rotated(tmp_path, Limits(age_days=3), 6)
    assert found == ["2027-01-17", "2027-01-18", "2027-01-19", "2027-01-20"]


def test_a_line_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.log"
    file = LogFile(str(path), Limits(), Clock())
    assert file.write(b"one\n")
    real = os.write

    def full(descriptor: int, data: memoryview) -> int:
        if len(data) > 4:
            return real(descriptor, data[:4])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert not file.write(b"secret!!")
    assert not file.write(b"secret!!")
    monkeypatch.setattr(os, "write", real)
    assert path.read_bytes() == b"one\n"
    assert file.write(b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
    assert len(caplog.messages) == 1
    assert "No space left on device" in caplog.text
    assert "secret" not in caplog.text


def test_standard_output_is_written_to(capfd: pytest.CaptureFixture[str]) -> None:
    file = LogFile("-", Limits(size_bytes=1), Clock())
    assert file.write(b"one\n")
    file.close()
    assert file.write(b"two\n")
    assert capfd.readouterr().out == "one\ntwo\n"
