"""The limits of EventRateLimit: how a file names them, and how they fill again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from steersman.api.admission.plugins.event_rate import (
    CACHE_SIZE,
    VERSION,
    Buckets,
    EventRateLimit,
    Limit,
    parse,
)
from steersman.model.kind import Document

KNOWN = '"Namespace", "Server", "SourceAndObject", "User"'


def limits(*listed: Document, **more: Any) -> Document:
    return {"apiVersion": VERSION, "kind": "Configuration", "limits": list(listed), **more}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_file_names_limits() -> None:
    found = parse(
        limits(
            {"type": "Server", "qps": 1, "burst": 1, "cacheSize": -1},
            {"type": "User", "qps": 2, "burst": 3, "cacheSize": 4},
        )
    )
    assert found == (Limit("Server", 1, 1, -1), Limit("User", 2, 3, 4))


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (None, "limits: Invalid value: []: must not be empty"),
        (limits(), "limits: Invalid value: []: must not be empty"),
        (limits(kind="Other"), f"it is no Configuration of {VERSION}"),
        (limits(apiVersion="v1"), f"it is no Configuration of {VERSION}"),
        (limits(more=1), "Object contains unknown field `more`"),
        (
            limits({"type": "Pod", "qps": 1, "burst": 1}),
            f'limits[0].type: Unsupported value: "Pod": supported values: {KNOWN}',
        ),
        (
            limits({"type": "Server", "qps": 1, "burst": 1}, {"type": "User"}),
            "[limits[1].burst: Invalid value: 0: must be positive, "
            "limits[1].qps: Invalid value: 0: must be positive]",
        ),
        (
            limits({"type": "User", "qps": 1, "burst": 1, "cacheSize": -1}),
            "limits[0].cacheSize: Invalid value: -1: must not be negative",
        ),
    ],
)
def test_limits_that_cannot_be_are_refused(document: Any, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse(document)
    assert str(raised.value) == told


def test_a_burst_is_taken_at_once_and_fills_again_with_time_alone() -> None:
    clock = Clock()
    buckets = Buckets(Limit("User", qps=2, burst=3), clock)
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    clock.now += 0.4
    assert not buckets.take("a")
    clock.now += 0.1
    assert buckets.take("a")
    assert not buckets.take("a")
    clock.now += 100
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b")


def test_what_came_before_counts_for_events_alone() -> None:
    def call(name: str, subresource: str = "") -> Any:
        table = SimpleNamespace(resource=SimpleNamespace(group=""))
        return SimpleNamespace(
            kind=SimpleNamespace(name=name), table=table, subresource=subresource
        )

    plugin = EventRateLimit([Limit("Server", 1, 1)], Clock())
    assert plugin.rests_on(call("Event"), {}) is None
    assert plugin.rests_on(call("Pod"), {}) == ()


@pytest.mark.parametrize(("size", "kept"), [(2, 2), (0, CACHE_SIZE)])
def test_who_asked_longest_ago_is_forgotten(size: int, kept: int) -> None:
    buckets = Buckets(Limit("User", qps=1, burst=1, cacheSize=size), Clock())
    for number in range(kept):
        assert buckets.take(str(number))
    assert not buckets.take("0")
    assert buckets.take("other")  # in the place of 1
    assert not buckets.take("0")
    assert buckets.take("1")
