"""Logs: options, entries, the tail, rotation, and following without polling."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from steersman.model.errors import BadRequest, InternalError, Invalid
from steersman.node.streams.endings import Endings
from steersman.node.streams.inotify import DirectoryChanges
from steersman.node.streams.log_entries import MAX_ENTRY_BYTES, Entry, Rendering, parse_entry
from steersman.node.streams.log_file import PIECE_BYTES, LogFile
from steersman.node.streams.logs import Logs, choose_instance
from steersman.node.streams.pods import Container, Instance, Pod
from steersman.runtime.engine import Engine, EngineError, ExitStatus
from steersman.runtime.logs import LogFile as Writer
from steersman.wire.log_options import LogOptions, parse, parse_time
from steersman.world.real import RealWorld

TIMEOUT_SECONDS = 60.0


def entry(second: int, text: str, stream: str = "stdout", tag: str = "F") -> bytes:
    return f"2026-01-01T00:00:{second:02}.123456789Z {stream} {tag} {text}\n".encode()


def shown(data: bytes, *, entries: int | None = None, now: float = 0, **options: Any) -> bytes:
    rendering = Rendering(LogOptions(**options), now, entries)
    return rendering.feed(data) + rendering.finish()


# Options


def test_options_are_read_as_upstream_reads_them() -> None:
    given = {
        "container": ["web"],
        "follow": ["true"],
        "previous": ["0"],
        "timestamps": [""],
        "sinceTime": ["2026-01-01T00:00:00Z"],
        "tailLines": ["10"],
        "limitBytes": ["5"],
    }
    assert parse(given, "p") == LogOptions(
        container="web",
        follow=True,
        since_time=1_767_225_600_000_000_000,
        tail_lines=10,
        limit_bytes=5,
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"tailLines": "-1"},
            "tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
        ({"limitBytes": "0"}, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "0"}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        (
            {"sinceSeconds": "5", "sinceTime": "2026-01-01T00:00:00Z"},
            ": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        (
            {"stream": "out"},
            'stream: Unsupported value: "out": supported values: "All", "Stderr", "Stdout"',
        ),
        (
            {"stream": "Stderr", "tailLines": "1"},
            ": Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
        ),
    ],
)
def test_options_that_cannot_be_are_refused_in_upstreams_words(
    given: dict[str, str], message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        parse({name: [value] for name, value in given.items()}, "p")
    assert refused.value.message == f'PodLogOptions "p" is invalid: {message}'


def test_smallest_allowed_options_pass() -> None:
    options = parse({"tailLines": ["0"], "limitBytes": ["1"], "sinceSeconds": ["1"]}, "p")
    assert (options.tail_lines, options.limit_bytes, options.since_seconds) == (0, 1, 1)


@pytest.mark.parametrize("text", ["ten", "1.5", "+", "--1", str(1 << 63)])
def test_a_number_that_is_none_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest, match=r"strconv\.ParseInt: parsing"):
        parse({"tailLines": [text]}, "p")


def test_moments_keep_their_nanoseconds_and_their_offset() -> None:
    assert parse_time("1970-01-01T00:00:01.000000002Z") == 1_000_000_002
    assert parse_time("1970-01-01T01:00:00.5+01:00") == 500_000_000
    for wrong in ("1970-01-01", "1970-01-01T00:00:00", "yesterday", "1970-01-01 00:00:00Z"):
        with pytest.raises(BadRequest):
            parse_time(wrong)


# Entries


def test_an_entry_has_moment_stream_and_text() -> None:
    assert parse_entry(b"T stdout F a b  c\n") == Entry(b"T", b"stdout", b"a b  c\n")
    assert parse_entry(b"T stderr P part\n") == Entry(b"T", b"stderr", b"part")
    assert parse_entry(b"T stderr P:x part\n") == Entry(b"T", b"stderr", b"part")
    assert parse_entry(b"T stdout F \n") == Entry(b"T", b"stdout", b"\n")


@pytest.mark.parametrize("line", [b"", b"\n", b"T stdout F\n", b"T stdin F x\n", b" stdout F x\n"])
def test_what_is_no_entry_is_left_out(line: bytes) -> None:
    assert parse_entry(line) is None
    assert shown(line + entry(1, "good")) == b"good\n"


def test_pieces_of_a_line_are_joined_and_carry_one_moment() -> None:
    data = entry(1, "aa", tag="P") + entry(2, "bb", tag="P") + entry(3, "cc") + entry(4, "dd")
    assert shown(data) == b"aabbcc\ndd\n"
    stamped = b"2026-01-01T00:00:01.123456789Z aabbcc\n2026-01-01T00:00:04.123456789Z dd\n"
    assert shown(data, timestamps=True) == stamped


def test_an_entry_may_come_in_any_cuts() -> None:
    data = entry(1, "one") + entry(2, "two")
    rendering = Rendering(LogOptions(), 0)
    assert b"".join(rendering.feed(data[at : at + 1]) for at in range(len(data))) == b"one\ntwo\n"


def test_streams_are_told_apart() -> None:
    data = entry(1, "out") + entry(2, "err", "stderr")
    assert shown(data) == b"out\nerr\n"
    assert shown(data, stream="Stdout") == b"out\n"
    assert shown(data, stream="Stderr") == b"err\n"


def test_what_is_older_than_asked_for_is_left_out() -> None:
    data = entry(1, "one") + entry(2, "two") + entry(3, "three")
    exactly = parse_time("2026-01-01T00:00:02.123456789Z")
    assert shown(data, since_time=exactly) == b"two\nthree\n"
    assert shown(data, since_time=exactly + 1) == b"three\n"
    now = exactly / 1e9
    assert shown(data, since_seconds=1, now=now + 1.5) == b"three\n"


def test_a_limit_cuts_within_an_entry_and_ends_the_log() -> None:
    rendering = Rendering(LogOptions(limit_bytes=6), 0)
    assert rendering.feed(entry(1, "one") + entry(2, "two")) == b"one\ntw"
    assert rendering.done
    assert rendering.feed(entry(3, "three")) == b""
    exact = Rendering(LogOptions(limit_bytes=4), 0)
    assert exact.feed(entry(1, "one")) == b"one\n"
    assert exact.done


def test_only_so_many_entries_are_shown() -> None:
    data = entry(1, "one") + entry(2, "two") + entry(3, "three")
    assert shown(data, entries=2) == b"one\ntwo\n"
    assert Rendering(LogOptions(), 0, 0).done


def test_damage_without_an_end_costs_no_memory_and_hides_nothing_after_it() -> None:
    rendering = Rendering(LogOptions(), 0)
    for _ in range(4):
        assert rendering.feed(b"x" * MAX_ENTRY_BYTES) == b""
    assert rendering.feed(b"x\n" + entry(1, "good")) == b"good\n"


def test_an_unfinished_entry_is_shown_at_the_end() -> None:
    assert shown(entry(1, "one") + b"2026-01-01T00:00:02Z stdout F tw") == b"one\ntw"


# The tail


@pytest.mark.parametrize("wide", [1, 100, PIECE_BYTES - 60])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9])
def test_the_tail_begins_where_so_many_entries_are_left(
    tmp_path: Path, wide: int, count: int
) -> None:
    lines = [entry(number, f"{number}" * wide) for number in range(8)]
    (tmp_path / "log").write_bytes(b"".join(lines))
    with LogFile(str(tmp_path / "log")) as file:
        file.seek_tail(count)
        data = b"".join(iter(file.read, b""))
    assert data == b"".join(lines[len(lines) - min(count, 8) :])


def test_an_unfinished_entry_counts_in_the_tail(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\nb\nc")
    with LogFile(str(tmp_path / "log")) as file:
        file.seek_tail(2)
        assert file.read() == b"b\nc"


def test_a_tail_across_blocks_of_one_byte_entries(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\n" * (3 * PIECE_BYTES))
    with LogFile(str(tmp_path / "log")) as file:
        file.seek_tail(2 * PIECE_BYTES + 5)
        assert sum(len(piece) for piece in iter(file.read, b"")) == 2 * PIECE_BYTES + 5


def test_a_file_emptied_in_place_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a long line\n")
    with LogFile(str(path)) as file:
        assert file.read() == b"a long line\n"
        path.write_bytes(b"new\n")
        assert file.read() == b"new\n"
        append(path, b"more\n")
        assert file.read() == b"more\n"
        assert file.read() == b""


# Which log


def test_the_run_that_is_wanted_is_found_as_kubelet_finds_it() -> None:
    now, before = Instance("c2", "/2"), Instance("c1", "/1")
    both = Container(now, before, True)
    assert choose_instance("p", "c", both, previous=False) == now
    assert choose_instance("p", "c", both, previous=True) == before
    for container, previous, message in (
        (
            Container(now, None, True),
            True,
            'previous terminated container "c" in pod "p" not found',
        ),
        (
            Container(None, None, False, "ContainerCreating"),
            False,
            'container "c" in pod "p" is waiting to start: ContainerCreating',
        ),
        (
            Container(None, None, False, "ErrImagePull"),
            False,
            'container "c" in pod "p" is waiting to start: image can\'t be pulled',
        ),
        (
            Container(None, None, False, "ImagePullBackOff"),
            False,
            'container "c" in pod "p" is waiting to start: trying and failing to pull image',
        ),
        (Container(None, None, False), False, 'container "c" in pod "p" is not available'),
    ):
        with pytest.raises(BadRequest) as refused:
            choose_instance("p", "c", container, previous=previous)
        assert refused.value.message == message


# Following


class Shim:
    """An engine whose containers end when the test says so; counts who asks."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.asked = 0
        self.fails = False

    async def wait(self, sandbox: str, container: str) -> ExitStatus:
        self.asked += 1
        await self.over.wait()
        if self.fails:
            raise EngineError("lost", "the shim is gone")
        return ExitStatus(0, 0, 0, 0, False)


Scenario = Callable[[Logs, Shim, Path], Awaitable[None]]


def with_logs(tmp_path: Path, scenario: Scenario) -> None:
    async def whole() -> None:
        world = RealWorld()
        shim = Shim()
        async with asyncio.timeout(TIMEOUT_SECONDS), world.tasks() as tasks:
            gc.collect()  # what other tests have left for it is closed now or not at all
            before = set(os.listdir("/proc/self/fd"))
            logs = Logs(Endings(cast(Engine, shim), tasks), world)
            await scenario(logs, shim, tmp_path / "0.log")
            assert set(os.listdir("/proc/self/fd")) == before, "descriptors are left open"
            tasks.stop()

    asyncio.run(whole())


def opened(logs: Logs, path: Path, **options: Any) -> AsyncIterator[bytes]:
    container = Container(Instance("c", str(path)), None, True)
    pod = Pod("sandbox", "uid", "", {"main": container})
    return logs.open("p", pod, "main", LogOptions(**options))


async def next_of(stream: AsyncIterator[bytes]) -> bytes:
    return await anext(stream)


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def test_a_log_that_is_not_followed_ends_at_its_end(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        path.write_bytes(entry(1, "one") + entry(2, "two"))
        assert [piece async for piece in opened(logs, path)] == [b"one\ntwo\n"]
        assert [piece async for piece in opened(logs, path, tail_lines=1)] == [b"two\n"]
        assert [piece async for piece in opened(logs, path, tail_lines=0)] == []
        assert shim.asked == 0

    with_logs(tmp_path, scenario)


def test_a_log_that_is_not_there_is_an_error_before_the_answer(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        with pytest.raises(InternalError, match=r"0\.log"):
            opened(logs, path)

    with_logs(tmp_path, scenario)


def test_a_follower_gets_each_entry_and_the_end_of_the_container(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        path.write_bytes(entry(1, "one") + entry(2, "two"))
        stream = opened(logs, path, follow=True, tail_lines=1)
        assert await next_of(stream) == b"two\n"
        waiting = asyncio.ensure_future(next_of(stream))
        await asyncio.sleep(0)
        append(path, entry(3, "three"))
        assert await waiting == b"three\n"
        waiting = asyncio.ensure_future(next_of(stream))
        await asyncio.sleep(0)
        append(path, entry(4, "four"))
        shim.over.set()
        assert await waiting == b"four\n"
        with pytest.raises(StopAsyncIteration):
            await next_of(stream)

    with_logs(tmp_path, scenario)


def test_a_follower_with_an_empty_tail_begins_with_what_comes(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        path.write_bytes(entry(1, "one"))
        stream = opened(logs, path, follow=True, tail_lines=0)
        waiting = asyncio.ensure_future(next_of(stream))
        await asyncio.sleep(0)
        append(path, entry(2, "two"))
        assert await waiting == b"two\n"
        await stream.aclose()  # type: ignore[attr-defined]

    with_logs(tmp_path, scenario)


def test_a_lost_shim_ends_the_log_as_the_container_does(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        path.write_bytes(entry(1, "one"))
        shim.fails = True
        shim.over.set()
        assert [piece async for piece in opened(logs, path, follow=True)] == [b"one\n"]

    with_logs(tmp_path, scenario)


def test_a_followed_log_shows_what_a_full_disk_left_unfinished(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        path.write_bytes(entry(1, "one") + entry(2, "two")[:-2])
        shim.over.set()
        got = [piece async for piece in opened(logs, path, follow=True)]
        assert b"".join(got) == b"one\ntw"

    with_logs(tmp_path, scenario)


def test_a_limit_ends_a_followed_log(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        path.write_bytes(entry(1, "one"))
        stream = opened(logs, path, follow=True, limit_bytes=2)
        assert [piece async for piece in stream] == [b"on"]

    with_logs(tmp_path, scenario)


def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        path.write_bytes(entry(1, "one"))
        stream = opened(logs, path, follow=True)
        assert await next_of(stream) == b"one\n"
        waiting = asyncio.ensure_future(next_of(stream))
        moved = path.with_suffix(".moved")
        path.rename(moved)
        await asyncio.sleep(0)
        append(moved, entry(2, "late"))
        assert await waiting == b"late\n"
        append(path, entry(3, "new"))
        assert await next_of(stream) == b"new\n"
        shim.over.set()
        with pytest.raises(StopAsyncIteration):
            await next_of(stream)

    with_logs(tmp_path, scenario)


def test_a_log_that_its_writer_moves_aside_is_followed_without_a_gap(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        writer = Writer(str(path), most_bytes=200)
        stream = opened(logs, path, follow=True)
        said = b""
        for number in range(20):
            writer.write("stdout", b"line %02d\n" % number)
            while not said.endswith(b"line %02d\n" % number):
                said += await next_of(stream)
        writer.close()
        shim.over.set()
        with pytest.raises(StopAsyncIteration):
            await next_of(stream)
        assert said.split(b"\n")[:-1] == [b"line %02d" % number for number in range(20)]
        assert len(list(path.parent.glob(f"{path.name}.*"))) > 1

    with_logs(tmp_path, scenario)


def test_followers_share_one_question_to_the_shim(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        path.write_bytes(entry(1, "one"))
        streams = [opened(logs, path, follow=True) for _ in range(5)]
        for stream in streams:
            assert await next_of(stream) == b"one\n"
        await asyncio.sleep(0)
        assert shim.asked == 1
        await streams[0].aclose()  # type: ignore[attr-defined]
        shim.over.set()
        for stream in streams[1:]:
            with pytest.raises(StopAsyncIteration):
                await next_of(stream)

    with_logs(tmp_path, scenario)


def test_a_log_that_nobody_began_to_read_is_closed(tmp_path: Path) -> None:
    async def scenario(logs: Logs, shim: Shim, path: Path) -> None:
        path.write_bytes(entry(1, "one"))
        opened(logs, path, follow=True)
        opened(logs, path)

    with_logs(tmp_path, scenario)


def test_changes_of_a_directory_are_heard_by_all_who_watch_it(tmp_path: Path) -> None:
    async def whole() -> None:
        changes = DirectoryChanges()
        first, second = asyncio.Event(), asyncio.Event()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            with changes.watch(str(tmp_path), first.set):
                with changes.watch(str(tmp_path), second.set):
                    (tmp_path / "made").write_bytes(b"")
                    await first.wait()
                    await second.wait()
                for _ in range(2):  # the end of a watch would itself be heard once
                    first.clear()
                    append(tmp_path / "made", b"more")
                    await first.wait()
            with pytest.raises(FileNotFoundError), changes.watch("/nowhere", first.set):
                pass

    asyncio.run(whole())
