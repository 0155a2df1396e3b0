"""What an index finds is what a search of the whole table finds, whatever was written meanwhile."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.api.cache import Table
from steersman.api.selecting import index
from steersman.api.selecting.selection import Selection
from steersman.model.kinds.pod import POD
from steersman.model.ref import Resource
from steersman.store.interface import Record

NAMES = [f"p-{number}" for number in range(8)]
VALUES = ["", "a", "b", "c"]
SELECTIONS = [
    ("app=a", ""),
    ("app=b,tier=a", ""),
    ("app in (c)", "metadata.namespace=n-1"),
    ("app", ""),
    ("app=", ""),
    ("", "spec.nodeName=a"),
    ("app=a", "spec.nodeName=b"),
    ("", "spec.nodeName="),
    ("app!=a", "metadata.name=p-3"),
]
writes = st.tuples(
    st.just("write"),
    st.sampled_from(["n-1", "n-2", "n"]),
    st.sampled_from(NAMES),
    st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(VALUES)),
    st.sampled_from(VALUES),
)
deletions = st.tuples(st.just("delete"), st.sampled_from(["n-1", "n-2"]), st.sampled_from(NAMES))
questions = st.tuples(
    st.just("ask"), st.sampled_from(SELECTIONS), st.sampled_from(["", "n-1", "n-2", "x"])
)


def write(table: Table, revision: int, namespace: str, name: str, value: bytes | None) -> None:
    table.change(Record(f"{namespace}/{name}", value, revision, revision), namespace, name)


def pod(labels: dict[str, str], node: str) -> bytes:
    return orjson.dumps({"metadata": {"labels": labels}, "spec": {"nodeName": node}})


def searched(table: Table, selection: Selection, namespace: str) -> list[tuple[str, str]]:
    entries = table.ordered(namespace)
    return [(one.namespace, one.name) for one in entries if selection.matches(one)]


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tables are indexed at once, and indexes come and go."""
    monkeypatch.setattr(index, "OFTEN", 1)
    monkeypatch.setattr(index, "FEWEST_OBJECTS", 1)
    monkeypatch.setattr(index, "MOST_SHARE", 1)
    monkeypatch.setattr(index, "MOST_INDEXES", 2)
    monkeypatch.setattr(index, "MOST_LEFT", 3)


@given(st.lists(st.one_of(writes, deletions, questions, questions), max_size=60))
def test_an_index_finds_what_a_search_finds(steps: list[tuple[object, ...]]) -> None:
    table = Table(Resource("", "pods"))
    for revision, (what, *given_) in enumerate(steps, 1):
        if what == "write":
            namespace, name, labels, node = given_
            write(table, revision, namespace, name, pod(labels, node))  # type: ignore[arg-type]
        elif what == "delete":
            write(table, revision, *given_, None)  # type: ignore[arg-type]
        else:
            (labels, fields), namespace = given_  # type: ignore[misc]
            selection = Selection(POD, labels, fields)
            found = selection.of(table, str(namespace))
            assert [(one.namespace, one.name) for one in found] == searched(
                table, selection, str(namespace)
            )
            assert all(one is table.get(one.namespace, one.name) for one in found)
