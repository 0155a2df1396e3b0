"""Configurations that come again: what is not walked again, and what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from steersman.model.fields import granular, reading, repeated
from steersman.model.fields.repeated import Configuration
from steersman.model.fields.structure import Structure, structure_of
from steersman.model.schema import from_openapi

TEXTS: Any = {"type": "object", "additionalProperties": {"type": "string"}}
NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
PARTS = {"one": TEXTS, "other": TEXTS, "numbers": NUMBERS}
STRUCTURE = structure_of(from_openapi({"type": "object", "properties": PARTS}))


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing came before."""
    repeated._given.clear()
    repeated._held.clear()
    yield


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of what was read or merged by a walk."""
    found: list[list[str]] = []
    read, merge = reading.given, granular.merge

    def seen_reading(value: Any, structure: Structure) -> Any:
        found.append([*value])
        return read(value, structure)

    def seen_merging(live: Any, applied: Any, structure: Structure) -> Any:
        if structure is STRUCTURE:  # it calls itself for what is below
            found.append([*applied])
        return merge(live, applied, structure)

    monkeypatch.setattr(reading, "given", seen_reading)
    monkeypatch.setattr(granular, "merge", seen_merging)
    return found


def test_parts_that_came_before_are_not_walked_again(walked: list[list[str]]) -> None:
    applied = {"one": {"a": "b"}, "other": {"c": "d"}, "metadata": {"name": "f"}}
    first = Configuration(applied, STRUCTURE).given()
    second = Configuration({**applied, "other": {"c": "D", "g": ""}}, STRUCTURE).given()
    assert walked == [["one", "other", "metadata"], ["other", "metadata"]]
    assert first == {"f:one": {"f:a": {}}, "f:other": {"f:c": {}}, "f:metadata": {"f:name": {}}}
    assert second == first | {"f:other": {"f:c": {}, "f:g": {}}}


def test_parts_that_an_object_held_wholly_are_not_merged_again(walked: list[list[str]]) -> None:
    applied = {"one": {"a": "b"}, "other": {"c": "d"}}
    live = {"one": {"a": "b", "z": "z"}, "other": {"c": "D"}}
    for _ in range(2):
        merged = Configuration(applied, STRUCTURE).merged(live)
        assert merged == {"one": {"a": "b", "z": "z"}, "other": {"c": "d"}}
        assert merged["one"] is live["one"]
    assert walked == [["one", "other"], ["other"]]
    changed = {**live, "one": {"a": "c"}}
    assert Configuration(applied, STRUCTURE).merged(changed)["one"] == {"a": "b"}


def test_values_that_python_takes_for_equal_are_told_apart() -> None:
    assert Configuration({"numbers": {"a": 1}}, STRUCTURE).given() == {"f:numbers": {"f:a": {}}}
    assert Configuration({"numbers": {"a": True}}, STRUCTURE).given() is None
    live = {"numbers": {"a": 1}}
    assert Configuration({"numbers": {"a": 1}}, STRUCTURE).merged(live) == live
    merged = Configuration({"numbers": {"a": 1.0}}, STRUCTURE).merged(live)
    assert type(merged["numbers"]["a"]) is float


@pytest.mark.parametrize("part", [{"a": 1 << 70}, {"a": "\ud800"}, {"a": "x" * 20_000}])
def test_what_cannot_be_told_or_is_large_is_walked_each_time(
    part: dict[str, Any], walked: list[list[str]]
) -> None:
    name = "numbers" if type(part["a"]) is int else "one"
    for _ in range(2):
        configuration = Configuration({name: part}, STRUCTURE)
        assert configuration.given() == {f"f:{name}": {"f:a": {}}}
        assert configuration.merged({name: part}) == {name: part}
    assert walked == [[name]] * 4
    assert not repeated._given
    assert not repeated._held


def test_the_oldest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "_MOST", 2)
    for text in ("a", "b", "a", "c"):
        configuration = Configuration({"one": {"a": text}}, STRUCTURE)
        configuration.given()
        configuration.merged({"one": {"a": text}})
    digests = [repeated._digest({"a": text}) for text in ("a", "c")]
    assert [part.digest for part in repeated._given] == digests
    assert [part.digest for part in repeated._held] == digests
