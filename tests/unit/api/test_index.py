"""When a table has an index, and when not."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from steersman.api.cache import Table
from steersman.api.selecting import index
from steersman.api.selecting.index import MOST_COUNTED, MOST_INDEXES, MOST_LEFT, OFTEN, Indexes, Pin
from steersman.api.selecting.selection import Selection
from steersman.model.kinds.pod import POD
from steersman.model.ref import Resource
from steersman.store.interface import Record

COUNT = 1000


class Labelled:
    """An entry that notes how often it is read."""

    def __init__(self, number: int) -> None:
        self.read = 0
        self._labels = {"number": str(number), "half": str(number % 2)}

    @property
    def labels(self) -> dict[str, str]:
        self.read += 1
        return self._labels


def made(count: int = COUNT) -> tuple[Indexes, dict[str, Labelled]]:
    entries = {f"e-{number:04}": Labelled(number) for number in range(count)}
    return Indexes({"n": entries}), entries


def label(name: str) -> Callable[[str], Pin]:
    return lambda value: Pin(name, value, lambda entry: entry.labels.get(name))


NUMBER = label("number")


def often(indexes: Indexes, pin: Pin, size: int = COUNT) -> list[tuple[str, str]] | None:
    for _ in range(OFTEN - 1):
        assert indexes.find(pin, "", size) is None
    return indexes.find(pin, "", size)


def test_a_key_that_is_asked_about_often_gets_an_index() -> None:
    indexes, entries = made()
    assert often(indexes, NUMBER("7")) == [("n", "e-0007")]
    assert {one.read for one in entries.values()} == {1}
    assert indexes.find(NUMBER("8"), "", COUNT) == [("n", "e-0008")]
    assert indexes.find(NUMBER("none"), "", COUNT) == []
    assert {one.read for one in entries.values()} == {1}


def test_a_small_table_is_searched() -> None:
    indexes, _ = made()
    for _ in range(OFTEN + 1):
        assert indexes.find(NUMBER("7"), "", index.FEWEST_OBJECTS - 1) is None
    assert len(indexes) == 0


def test_what_half_of_the_table_has_is_searched_for() -> None:
    indexes, _ = made()
    assert often(indexes, label("half")("1")) is None
    assert indexes.find(label("half")("1"), "", COUNT) is None


def test_a_change_is_read_when_the_index_is_asked() -> None:
    indexes, entries = made()
    often(indexes, NUMBER("7"))
    changed = entries["e-0007"] = Labelled(8)
    indexes.note(("n", "e-0007"))
    assert changed.read == 0
    assert indexes.find(NUMBER("7"), "", COUNT) == []
    assert indexes.find(NUMBER("8"), "", COUNT) == [("n", "e-0007"), ("n", "e-0008")]
    assert changed.read == 1
    del entries["e-0008"]
    indexes.note(("n", "e-0008"))
    assert indexes.find(NUMBER("8"), "", COUNT) == [("n", "e-0007")]


@pytest.mark.parametrize(("beyond", "times"), [(0, 1), (1, 2)])
def test_an_index_that_nobody_asks_goes_when_all_has_changed(beyond: int, times: int) -> None:
    indexes, entries = made()
    often(indexes, NUMBER("7"))
    for number in range(COUNT + MOST_LEFT + beyond):
        entries[f"x-{number}"] = Labelled(number)
        indexes.note(("n", f"x-{number}"))
    assert len(indexes) == 1 - beyond
    for _ in range((OFTEN - 1) * beyond):
        assert indexes.find(NUMBER("7"), "", COUNT) is None
    assert indexes.find(NUMBER("7"), "", COUNT) == [("n", "e-0007"), ("n", "x-7")]
    assert entries["e-0007"].read == times


def test_the_oldest_index_makes_room() -> None:
    indexes, _ = made()
    for number in range(MOST_INDEXES + 1):
        often(indexes, label(f"key-{number}")("x"))
    assert len(indexes) == MOST_INDEXES
    assert indexes.find(label("key-1")("x"), "", COUNT) == []


def test_an_index_that_made_room_is_built_anew_when_its_key_is_asked_about_often() -> None:
    indexes, _ = made()
    for number in range(MOST_INDEXES + 1):
        often(indexes, label(f"key-{number}")("x"))
    assert often(indexes, label("key-0")("x")) == []
    assert indexes.find(label("key-1")("x"), "", COUNT) is None


def test_keys_that_clients_invent_are_not_kept() -> None:
    indexes, _ = made()
    for number in range(10 * MOST_COUNTED):
        assert indexes.find(label(f"key-{number}")("x"), "", COUNT) is None
    assert len(indexes) == 0
    assert len(indexes._asked) <= MOST_COUNTED


def test_one_namespace_is_asked_for() -> None:
    one, other = ({f"e-{number:04}": Labelled(number) for number in range(COUNT)} for _ in "ab")
    indexes = Indexes({"a/b": one, "a": other})
    assert often(indexes, NUMBER("7")) == [("a", "e-0007"), ("a/b", "e-0007")]
    assert indexes.find(NUMBER("7"), "a", COUNT) == [("a", "e-0007")]


def test_pods_of_a_node_are_found_without_a_search() -> None:
    table = Table(Resource("", "pods"))
    for number in range(COUNT):
        value = orjson.dumps({"metadata": {}, "spec": {"nodeName": f"node-{number // 10}"}})
        name = f"p-{number:04}"
        table.change(Record(name, value, number + 1, number + 1), "n", name)
    selection = Selection(POD, "", "spec.nodeName=node-3")
    expected = [f"p-{number:04}" for number in range(30, 40)]
    searched: list[str] = []
    matches = selection.matches
    selection.matches = lambda entry: searched.append(entry.name) or matches(entry)  # type: ignore
    for _ in range(OFTEN - 1):
        assert [one.name for one in selection.of(table)] == expected
    assert len(searched) == (OFTEN - 1) * COUNT
    searched.clear()
    assert [one.name for one in selection.of(table, "n")] == expected
    assert searched == expected


def test_what_an_eighth_of_the_table_has_is_found_by_the_index() -> None:
    indexes, _ = made()
    eighth = Pin("eighth", "1", lambda entry: str(int(entry.labels["number"]) % 8))
    found = often(indexes, eighth)
    assert found is not None and len(found) == COUNT // 8
