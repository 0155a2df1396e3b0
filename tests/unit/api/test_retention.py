"""What was overwritten goes after some minutes, an Event an hour after it was last written."""

from __future__ import annotations

from typing import Any

import pytest

from served import Served, config_map, prepare, served, serving
from steersman.api.retention import events, history
from steersman.api.retention.events import SHARED_SECONDS, TTL_SECONDS, last_written
from steersman.model.kind import Document
from steersman.store.interface import MOST_WRITES, Full, Write
from steersman.store.memory import MemoryStore
from steersman.world.simulated import SimulatedWorld, simulate

MAPS = "/api/v1/namespaces/default/configmaps"
EVENTS = "/api/v1/namespaces/default/events"
LEASE = TTL_SECONDS + SHARED_SECONDS  # how long what is written first in its minute stays
NEW_EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"


def event(name: str, **fields: Any) -> Document:
    about = {"kind": "Pod", "namespace": "default", "name": "a"}
    return {"metadata": {"name": name}, "involvedObject": about, "reason": "Seen", **fields}


async def names(api: Served) -> list[str]:
    found = (await api.get(EVENTS)).ok()["items"]
    return [item["metadata"]["name"] for item in found]


@served
async def test_what_was_overwritten_can_be_read_for_an_interval_and_then_goes(api: Served) -> None:
    await api.world.sleep(history.INTERVAL_SECONDS)
    (await api.post(MAPS, config_map("a", key="one"))).ok()
    first = api.revision
    exact = {"resourceVersion": str(first), "resourceVersionMatch": "Exact"}
    (await api.put(f"{MAPS}/a", config_map("a", key="two"))).ok()
    await api.world.sleep(history.INTERVAL_SECONDS * 0.9)
    assert (await api.get(MAPS, **exact)).ok()["items"][0]["data"] == {"key": "one"}
    await api.world.sleep(history.INTERVAL_SECONDS * 1.2)
    gone = await api.get(MAPS, **exact)
    assert (gone.code, gone.document["reason"]) == (410, "Expired")
    assert (await api.get(f"{MAPS}/a")).ok()["data"] == {"key": "two"}


def test_where_nothing_is_written_nothing_is_compacted(monkeypatch: pytest.MonkeyPatch) -> None:
    compacted: list[int] = []

    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        compact = store.compact

        async def noting(before: int) -> None:
            compacted.append(before)
            await compact(before)

        monkeypatch.setattr(store, "compact", noting)
        async with serving(world, store) as api:
            await world.sleep(3.5 * history.INTERVAL_SECONDS)
            count = len(compacted)
            assert compacted[-1] == api.revision
            (await api.post(MAPS, config_map("a"))).ok()
            await world.sleep(4 * history.INTERVAL_SECONDS)
            assert compacted[count:] == [api.revision]

    simulate(1, main)


@served
async def test_an_event_goes_an_hour_and_a_minute_after_it_was_last_written(api: Served) -> None:
    (await api.post(EVENTS, event("once"))).ok()
    (await api.post(EVENTS, event("again"))).ok()
    await api.world.sleep(LEASE / 2)
    (await api.post(EVENTS, event("late"))).ok()
    patch = {"count": 2}
    (await api.patch(f"{EVENTS}/again", patch, "application/merge-patch+json")).ok()
    await api.world.sleep(LEASE / 2 - 1)
    assert await names(api) == ["again", "late", "once"]
    await api.world.sleep(2)
    assert await names(api) == ["again", "late"]
    await api.world.sleep(LEASE / 2)
    assert await names(api) == []
    (await api.post(EVENTS, event("new"))).ok()
    await api.world.sleep(LEASE - 1)
    assert await names(api) == ["new"]
    await api.world.sleep(2)
    assert await names(api) == []


@served
async def test_events_of_one_minute_go_together_and_none_before_its_hour(api: Served) -> None:
    (await api.post(EVENTS, event("first"))).ok()
    await api.world.sleep(SHARED_SECONDS - 1)
    (await api.post(EVENTS, event("with-it"))).ok()
    await api.world.sleep(2)
    (await api.post(EVENTS, event("behind"))).ok()
    await api.world.sleep(TTL_SECONDS - 2)
    watch, before = await api.watch(EVENTS, resourceVersion=str(api.revision)), api.revision
    assert await names(api) == ["behind", "first", "with-it"]
    await api.world.sleep(2)
    assert watch.brief() == [("DELETED", "first"), ("DELETED", "with-it")]
    assert api.revision == before + 1  # by one write
    await api.world.sleep(SHARED_SECONDS + 1)
    assert await names(api) == []


def test_events_that_are_kept_for_seconds_share_a_twentieth_of_that() -> None:
    async def main(world: SimulatedWorld) -> None:
        async with serving(world, event_seconds=20) as api:
            await prepare(api)
            (await api.post(EVENTS, event("a"))).ok()
            await world.sleep(20.5)
            assert await names(api) == ["a"]
            await world.sleep(1)
            assert await names(api) == []

    simulate(1, main)


def test_an_event_written_as_it_goes_stays_and_the_others_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        commit, patched = store.commit, False
        async with serving(world, store) as api:
            await prepare(api)
            for name in "abc":
                (await api.post(EVENTS, event(name))).ok()

            async def late(*writes: Write) -> int:
                nonlocal patched
                if writes[0].value is None and not patched:
                    patched = True
                    patch = {"count": 2}
                    kind = "application/merge-patch+json"
                    (await api.patch(f"{EVENTS}/b", patch, kind)).ok()
                return await commit(*writes)

            monkeypatch.setattr(store, "commit", late)
            await world.sleep(LEASE + 1)
            assert await names(api) == ["b"]
            await world.sleep(LEASE + 1)
            assert await names(api) == []

    simulate(1, main)


@served
async def test_watchers_are_told_and_finalizers_do_not_hold(api: Served) -> None:
    made = event("held")
    made["metadata"]["finalizers"] = ["example.com/hold"]
    (await api.post(EVENTS, made)).ok()
    await api.world.sleep(LEASE - 10)
    watch = await api.watch(NEW_EVENTS, resourceVersion=str(api.revision))
    await api.world.sleep(11)
    assert watch.brief() == [("DELETED", "held")]


@served
async def test_many_go_at_one_time(api: Served) -> None:
    for number in range(2 * MOST_WRITES + 1):
        (await api.post(EVENTS, event(f"e-{number:03}"))).ok()
    await api.world.sleep(LEASE + 1)
    assert await names(api) == []


def test_an_event_that_was_deleted_is_forgotten_and_a_new_one_has_its_own_time() -> None:
    async def main(world: SimulatedWorld) -> None:
        async with serving(world) as api:
            await prepare(api)
            (await api.post(EVENTS, event("a"))).ok()
            await world.sleep(100)
            (await api.delete(f"{EVENTS}/a")).ok()
            (await api.post(EVENTS, event("a"))).ok()
            await world.sleep(LEASE - 50)
            assert await names(api) == ["a"]
            await world.sleep(51)
            assert await names(api) == []

    simulate(1, main)


def test_after_a_restart_an_event_says_itself_when_it_goes() -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        async with serving(world, store) as api:
            await prepare(api)
            (await api.post(EVENTS, event("first"))).ok()
            await world.sleep(1000)
            (await api.post(EVENTS, event("second"))).ok()
        await world.sleep(1000)
        async with serving(world, store) as api:
            await world.sleep(LEASE - 1990)
            assert await names(api) == ["second"]
            await world.sleep(1000)
            assert await names(api) == []

    simulate(1, main)


def test_after_a_restart_an_event_of_the_future_holds_up_no_others() -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        async with serving(world, store) as api:
            await prepare(api)
            (await api.post(EVENTS, event("future", lastTimestamp="2999-01-01T00:00:00Z"))).ok()
        async with serving(world, store) as api:
            await world.sleep(100)
            (await api.post(EVENTS, event("later"))).ok()
            await world.sleep(LEASE - 50)
            assert await names(api) == ["later"]
            await world.sleep(100)
            assert await names(api) == []

    simulate(1, main)


def test_with_a_time_of_0_events_stay() -> None:
    async def main(world: SimulatedWorld) -> None:
        async with serving(world, event_seconds=0) as api:
            await prepare(api)
            (await api.post(EVENTS, event("a"))).ok()
            await world.sleep(10 * LEASE)
            assert await names(api) == ["a"]

    simulate(1, main)


def test_a_store_without_room_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        commit, refused = store.commit, 0

        async def full(*writes: Write) -> int:
            nonlocal refused
            if writes[0].value is None and refused < 3:
                refused += 1
                raise Full("no room")
            return await commit(*writes)

        async with serving(world, store) as api:
            await prepare(api)
            for name in "ab":
                (await api.post(EVENTS, event(name))).ok()
            monkeypatch.setattr(store, "commit", full)
            await world.sleep(LEASE + 1)
            assert await names(api) == ["a", "b"]
            await world.sleep(events.FULL_SECONDS)
            assert await names(api) == ["a", "b"]
            await world.sleep(2 * events.FULL_SECONDS)
            assert await names(api) == []

    simulate(1, main)


def test_the_latest_time_of_an_event_counts() -> None:
    told = {
        "metadata": {"creationTimestamp": "1970-01-01T00:00:10Z"},
        "eventTime": "1970-01-01T00:00:20.000000Z",
        "series": {"count": 2, "lastObservedTime": "1970-01-01T00:00:40.000000Z"},
        "lastTimestamp": None,
    }
    assert last_written(told) == 40
    assert last_written({**told, "lastTimestamp": "1970-01-01T00:01:00Z"}) == 60
    assert last_written({**told, "series": None}) == 20
    assert last_written({"metadata": {}}) == 0
