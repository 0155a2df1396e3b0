"""A watch that waits for a webhook: what it is told, in which order, and how it ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson

from steersman.api.cache import Event, Table
from steersman.api.custom import relay
from steersman.api.custom.relay import Relay
from steersman.api.form import Form
from steersman.model.errors import APIError, BadRequest
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.store.interface import Record


class Hearer:
    """Notes what it is told; `heard` is called with each event."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def hear(self, event: Event) -> None:
        self.told.append(event.revision)

    def fail(self, error: APIError) -> None:
        self.told.append(error.message)

    def end(self) -> None:
        self.told.append("end")


class Moving(Table):
    """A table that changes each time it is looked at, as often as it is told to."""

    moves = 0

    def ordered(self, namespace: str = "") -> Any:
        if self.moves:
            self.moves -= 1
            change(self, self.revision + 1)
        return super().ordered(namespace)


def change(table: Table, revision: int) -> Event:
    value = orjson.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}})
    event = table.change(Record("k", value, revision, 1), "n", "a")
    assert event is not None
    return event


def made(table: Table | None = None) -> tuple[Relay, Hearer, Table]:
    table = table or Table(CONFIGMAP.resource)
    hearer = Hearer()
    call: Any = SimpleNamespace(table=table, namespace="", form=Form(CONFIGMAP, "v1"))
    return Relay(call, hearer, 0), hearer, table


def test_events_are_told_in_order_until_the_watch_ends() -> None:
    async def main() -> None:
        ours, hearer, table = made()
        left: list[bool] = []
        ours.begin = lambda: lambda: left.append(True)
        events = [change(table, revision) for revision in (1, 2, 3)]
        ours.hear(events[0])
        work = asyncio.create_task(ours.run())
        await asyncio.sleep(0)
        ours.hear(events[1])
        ours.hear(events[2])
        for _ in range(10):
            await asyncio.sleep(0)
        assert not work.done()
        ours.leave()
        await work
        assert (hearer.told, left) == ([1, 2, 3], [True])

    asyncio.run(main())


def test_a_watch_with_too_much_waiting_is_ended(monkeypatch: Any) -> None:
    monkeypatch.setattr(relay, "MOST_WAITING", 2)
    ours, hearer, table = made()
    for revision in (1, 2):
        ours.hear(change(table, revision))
    assert hearer.told == []
    ours.hear(change(table, 3))
    assert hearer.told == ["end"]


def test_a_state_that_never_stands_still_ends_a_watch_and_one_that_does_begins_it() -> None:
    async def told(moves: int) -> list[Any]:
        table = Moving(CONFIGMAP.resource)
        change(table, 1)
        table.moves = moves
        ours, hearer, _ = made(table)

        def begin() -> Any:
            hearer.told.append("began")
            ours.close()
            return lambda: None

        ours.begin = begin
        await ours.run()
        return hearer.told

    assert asyncio.run(told(relay.MOST_TRIES - 1)) == ["began"]
    assert asyncio.run(told(relay.MOST_TRIES)) == ["end"]


def test_what_a_watch_cannot_be_told_ends_it_with_the_error() -> None:
    ours, hearer, _ = made()

    def begin() -> Any:
        raise BadRequest("no")

    ours.begin = begin
    asyncio.run(ours.run())
    assert hearer.told == ["no"]
