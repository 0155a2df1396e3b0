"""Scheduler, I/O priority, personality and clocks of a document, as what the kernel takes."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from steersman.runtime.kernel import namespaces, scheduling


@pytest.mark.parametrize(
    ("text", "found"),
    [("", set()), ("3", {3}), ("0-2,7", {0, 1, 2, 7}), (" 1 , 2", {1, 2}), ("5-5", {5})],
)
def test_a_list_of_processors_is_read(text: str, found: set[int]) -> None:
    assert scheduling.parse_processors(text) == found


@pytest.mark.parametrize("text", ["x", "1-", "-1", "2-1", "0-4294967295", "1,,2", "8192"])
def test_what_is_no_list_of_processors_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a list of processors"):
        scheduling.parse_processors(text)


def test_a_scheduler_becomes_the_kernels_structure() -> None:
    section = {"policy": "SCHED_BATCH", "nice": -5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    made = struct.unpack("=IIQiI3Q", scheduling.parse_scheduler(section))
    assert made == (48, 3, 1, -5, 0, 0, 0, 0)
    for nice, priority in ((-20, 0), (19, 99)):
        section = {"policy": "SCHED_FIFO", "nice": nice, "priority": priority}
        made = struct.unpack("=IIQiI3Q", scheduling.parse_scheduler(section))
        assert made[3:5] == (nice, priority)
    section = {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3}
    made = struct.unpack("=IIQiI3Q", scheduling.parse_scheduler(section))
    assert made == (48, 6, 0, 0, 0, 1, 2, 3)


def test_an_io_priority_and_a_personality_become_numbers() -> None:
    best = {"class": "IOPRIO_CLASS_BE", "priority": 5}
    assert scheduling.parse_io_priority(best) == 2 << 13 | 5
    for last in (0, 7):
        section = {"class": "IOPRIO_CLASS_BE", "priority": last}
        assert scheduling.parse_io_priority(section) == 2 << 13 | last
    assert scheduling.parse_personality({"domain": "LINUX32"}) == 8
    assert scheduling.parse_personality({"domain": "LINUX"}) == 0


@pytest.mark.parametrize(
    "section",
    [
        {"policy": "SCHED_NICE"},
        {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NONE"]},
        {"policy": "SCHED_OTHER", "nice": 20},
        {"policy": "SCHED_OTHER", "nice": -21},
        {"policy": "SCHED_FIFO", "priority": 100},
        {"policy": "SCHED_DEADLINE", "runtime": -1},
    ],
)
def test_a_scheduler_that_is_not_known_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"process\.scheduler"):
        scheduling.parse_scheduler(section)


@pytest.mark.parametrize(
    "section",
    [{"class": "IOPRIO_CLASS_NONE"}, {"class": "IOPRIO_CLASS_BE", "priority": 8},
     {"class": "IOPRIO_CLASS_BE", "priority": -1}],
)  # fmt: skip
def test_an_io_priority_that_is_not_known_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"process\.ioPriority"):
        scheduling.parse_io_priority(section)


@pytest.mark.parametrize("section", [{"domain": "BSD"}, {"domain": "LINUX", "flags": ["X"]}])
def test_a_personality_that_is_not_known_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"linux\.personality"):
        scheduling.parse_personality(section)


def test_time_offsets_become_the_kernels_lines() -> None:
    section = {"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {"secs": 9}}
    assert namespaces.parse_time_offsets(section) == "monotonic -5 7\nboottime 9 0\n"
    for wrong in ({"realtime": {}}, {"boottime": {"nanosecs": -1}}):
        with pytest.raises(ValueError, match=r"linux\.timeOffsets"):
            namespaces.parse_time_offsets(wrong)
    with pytest.raises(ValueError, match=r"linux\.timeOffsets"):
        namespaces.parse_time_offsets({"boottime": {"nanosecs": 1_000_000_000}})
