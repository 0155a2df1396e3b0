"""Units of systemd: how a container's path and limits are told in its words."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.runtime.command import systemd


def test_limits_are_told_in_the_words_of_systemd() -> None:
    every: dict[str, Any] = {
        "memory": {"limit": 1 << 20, "reservation": 4096},
        "cpu": {"shares": 1024, "quota": 25_000, "period": 50_000},
        "pids": {"limit": -1},
    }
    no_limit = (1 << 64) - 1
    assert systemd.render_properties(every, unified=True) == [
        ("MemoryMax", ("t", 1 << 20)),
        ("MemoryLow", ("t", 4096)),
        ("CPUWeight", ("t", 39)),
        ("CPUQuotaPerSecUSec", ("t", 500_000)),
        ("TasksMax", ("t", no_limit)),
    ]
    assert systemd.render_properties(every, unified=False)[:2] == [
        ("MemoryLimit", ("t", 1 << 20)),
        ("CPUShares", ("t", 1024)),
    ]
    unlimited = {"cpu": {"quota": -1}, "memory": {"limit": -1}}
    assert systemd.render_properties(unlimited, unified=True) == [
        ("MemoryMax", ("t", no_limit)),
        ("CPUQuotaPerSecUSec", ("t", no_limit)),
    ]
    assert systemd.render_properties({}, unified=True) == []


def test_slice_and_unit_are_read_as_runc_reads_them() -> None:
    assert systemd.parse_path("a.slice:docker:x", "n") == ("a.slice", "docker-x.scope")
    assert systemd.parse_path(":docker:x", "n") == ("system.slice", "docker-x.scope")
    assert systemd.parse_path("a.slice::x", "n") == ("a.slice", "x.scope")
    assert systemd.parse_path("a.slice:x:y.slice", "n") == ("a.slice", "x-y.slice")
    with pytest.raises(systemd.Refused, match='of format "slice:prefix:name" for systemd cgroups'):
        systemd.parse_path("/a/b", "n")
    assert systemd.parse_path("", "n") == ("system.slice", "steer-runtime-n.scope")
