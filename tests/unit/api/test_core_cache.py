"""The present state and the window of events behind it, taken from the store's batches."""

from __future__ import annotations

import asyncio

import pytest

from steersman.api import keys
from steersman.api.cache import FUTURE_SECONDS, Cache, Event, Table
from steersman.model.ref import Resource
from steersman.store.interface import Batch, Record
from steersman.store.memory import MemoryStore
from steersman.world.simulated import SimulatedWorld, simulate

MAPS = Resource("", "configmaps")
SECRETS = Resource("", "secrets")
VALUE = b"0123456789"


def cache_of(world: SimulatedWorld, window_bytes: int = 1 << 20) -> Cache:
    return Cache(MemoryStore(world), world, window_bytes)


def put(cache: Cache, revision: int, name: str, value: bytes | None = VALUE) -> None:
    """Takes in a change of one object."""
    record = Record(keys.key_of(MAPS, "default", name), value, revision, revision)
    cache.take(Batch((record,), revision))


def seen_after(table: Table, revision: int) -> list[int]:
    return [event.revision for event in table.after(revision)]


def test_the_window_gives_up_its_oldest_events_and_no_more_than_its_bound_asks_for() -> None:
    async def main(world: SimulatedWorld) -> None:
        cache = cache_of(world, len(VALUE) * 3)
        for revision in range(1, 7):
            put(cache, revision, f"m{revision}")
        table = cache.table(MAPS)
        assert seen_after(table, 3) == [4, 5, 6]
        assert (table.dropped, cache.oldest) == (3, 3)
        with pytest.raises(LookupError):
            table.after(2)

    simulate(1, main)


def test_a_table_that_comes_later_knows_how_far_back_the_window_reaches() -> None:
    async def main(world: SimulatedWorld) -> None:
        cache = cache_of(world, len(VALUE))
        put(cache, 1, "a")
        put(cache, 2, "b")
        table = cache.table(SECRETS)
        assert table.after(1) == []
        with pytest.raises(LookupError):
            table.after(0)

    simulate(1, main)


def test_a_table_knows_the_bytes_of_what_is_there_now() -> None:
    async def main(world: SimulatedWorld) -> None:
        cache = cache_of(world)
        table = cache.table(MAPS)
        put(cache, 1, "a")
        put(cache, 2, "b")
        assert (len(table), table.bytes) == (2, 2 * len(VALUE))
        put(cache, 3, "a", VALUE * 3)
        assert (len(table), table.bytes) == (2, 4 * len(VALUE))
        put(cache, 4, "a", None)
        assert (len(table), table.bytes, table.revision) == (1, len(VALUE), 4)
        assert table.get("default", "a") is None

    simulate(1, main)


def test_the_order_is_that_of_the_names_after_every_change() -> None:
    async def main(world: SimulatedWorld) -> None:
        cache = cache_of(world)
        table = cache.table(MAPS)
        for revision, name in enumerate(("b", "a"), start=1):
            put(cache, revision, name)
        before = table.ordered("default")
        assert [entry.name for entry in before] == ["a", "b"]
        put(cache, 3, "aa")
        put(cache, 4, "b", None)
        assert [entry.name for entry in table.ordered("default")] == ["a", "aa"]
        assert [entry.name for entry in table.ordered()] == ["a", "aa"]
        assert [entry.name for entry in before] == ["a", "b"], "a list is a snapshot"

    simulate(1, main)


def test_the_end_of_what_was_never_there_is_told_to_nobody() -> None:
    async def main(world: SimulatedWorld) -> None:
        cache = cache_of(world)
        told: list[Event] = []
        leave = cache.table(MAPS).watch("default", told.append)
        put(cache, 1, "a", None)
        assert told == [] and cache.revision == 1
        put(cache, 2, "a")
        put(cache, 3, "a", None)
        assert [(event.old is None, event.new is None) for event in told] == [
            (True, False),
            (False, True),
        ]
        assert cache.table(MAPS).watching == 1
        leave()
        put(cache, 4, "a")
        assert len(told) == 2 and cache.table(MAPS).watching == 0

    simulate(1, main)


def test_who_waits_for_a_revision_goes_on_with_it_and_not_before() -> None:
    async def main(world: SimulatedWorld) -> None:
        cache = cache_of(world)
        reached: list[int] = []

        async def wait(revision: int) -> None:
            await cache.reached(revision)
            reached.append(revision)

        waits = [asyncio.ensure_future(wait(revision)) for revision in (1, 2, 3)]
        await world.sleep(0)
        for revision in (1, 2):
            put(cache, revision, "a")
            await world.sleep(0.1)
            assert reached == [*range(1, revision + 1)]
        with pytest.raises(TimeoutError):
            await waits[2]
        assert world.monotonic() == pytest.approx(FUTURE_SECONDS, abs=0.5)

    simulate(1, main)


def test_an_encoding_for_watchers_is_not_kept_once_they_have_been_told() -> None:
    async def main(world: SimulatedWorld) -> None:
        cache = cache_of(world)
        heard: list[dict[object, object]] = []

        def hear(event: Event) -> None:
            heard.append(dict(event.forms))
            event.forms["form"] = b"encoded"

        for _ in range(2):
            cache.table(MAPS).watch("", hear)
        put(cache, 1, "a")
        assert heard == [{}, {"form": b"encoded"}]  # the second was given what the first had made
        assert [event.forms for event in cache.table(MAPS).after(0)] == [{}]

    simulate(1, main)


def test_objects_of_a_namespace_share_its_name() -> None:
    async def main(world: SimulatedWorld) -> None:
        cache = cache_of(world)
        for revision, name in enumerate("ab", 1):
            put(cache, revision, name)
        first, second = cache.table(MAPS).ordered()
        assert first.namespace is second.namespace

    simulate(1, main)
