"""Laws of field sets, ownership and apply that hold for all documents."""

from __future__ import annotations

import copy
import random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from steersman.model import ownership
from steersman.model.apply import apply
from steersman.model.fields import comparison, granular, reading
from steersman.model.fields.fieldset import FieldSet, of_paths, parse
from steersman.model.fields.repeated import Configuration
from steersman.model.fields.shapes import Shapes
from steersman.model.fields.structure import structure_of
from steersman.model.schema import builtin, from_openapi

ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "i:0"])
PATHS = st.lists(ELEMENTS, min_size=1, max_size=3).map(tuple)
SETS = st.lists(PATHS, max_size=6).map(lambda paths: of_paths(*paths))


@given(SETS, SETS, SETS)
def test_field_sets_are_sets_of_paths(one: FieldSet, other: FieldSet, third: FieldSet) -> None:
    before = copy.deepcopy((one.tree, other.tree))
    assert set(one | other) == set(one) | set(other)
    assert set(one & other) == set(one) & set(other)
    assert set(one - other) == set(one) - set(other)
    assert one | other == other | one
    assert (one | other) | third == one | (other | third)
    assert one - (other | third) == (one - other) - third
    assert (one - other) | (one & other) == one
    below = {path for path in one if any(path[: len(gone)] == gone for gone in other)}
    assert set(one.without(other)) == set(one) - below
    assert all(path in one for path in one)
    assert (one.tree, other.tree) == before


@given(SETS)
def test_a_field_set_printed_and_read_again_is_the_same(fields: FieldSet) -> None:
    assert parse(fields.tree) == fields == of_paths(*fields)
    assert parse(fields.tree).tree == fields.tree
    assert len(fields) == len(set(fields))


_NAMES = st.sampled_from("abc")
NODE = from_openapi(
    {
        "type": "object",
        "properties": {
            "plain": {"type": "integer"},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "maps": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                },
            },
            "atom": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "x-kubernetes-map-type": "atomic",
            },
            "plains": {"type": "array", "items": {"type": "integer"}},
            "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "keyed": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["a", "b"],
                "items": {
                    "type": "object",
                    "properties": {
                        "a": {"type": "string"},
                        "b": {"type": "string", "default": "b"},
                        "inner": {
                            "type": "array",
                            "items": {"type": "string"},
                            "x-kubernetes-list-type": "set",
                        },
                        "more": {"type": "integer"},
                    },
                },
            },
            "any": {"x-kubernetes-preserve-unknown-fields": True},
        },
    }
)
STRINGS = st.dictionaries(_NAMES, _NAMES, max_size=2)
WILD: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers(0, 1) | _NAMES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=2),
    max_leaves=5,
)
KEYED = st.fixed_dictionaries(
    {"a": _NAMES},
    optional={
        "b": _NAMES,
        "inner": st.lists(_NAMES, unique=True, max_size=2),
        "more": st.integers(0, 1),
    },
)
OPTIONAL = {
    "plain": st.integers(0, 2),
    "map": STRINGS,
    "maps": st.dictionaries(_NAMES, STRINGS, max_size=2),
    "atom": STRINGS,
    "plains": st.lists(st.integers(0, 2), max_size=2),
    "set": st.lists(_NAMES, unique=True, max_size=3),
    "keyed": st.lists(KEYED, max_size=3, unique_by=lambda it: (it["a"], it.get("b", "b"))),
    "any": WILD,
}
DOCUMENTS = st.fixed_dictionaries({}, optional=OPTIONAL)


def _full(value: Any) -> bool:
    """Says whether no container is empty; nobody owns what is in an empty one."""
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return bool(value) and all(map(_full, inside))
    return True


FULL = DOCUMENTS.map(lambda found: {name: it for name, it in found.items() if _full(it)})
# with nulls too, which requests may hold
REQUESTS = st.fixed_dictionaries(
    {}, optional={name: st.none() | values for name, values in OPTIONAL.items()}
)
TIME = "2026-01-01T00:00:00Z"


def put(live: Any, applied: dict[str, Any], manager: str) -> dict[str, Any]:
    named = {"apiVersion": "v1", **applied}
    return apply(live, named, NODE, manager=manager, force=True, api_version="v1", time=TIME)


def written(old: Any, new: dict[str, Any], entries: list[Any], manager: str) -> list[Any]:
    return ownership.update(entries, old, new, NODE, manager=manager, api_version="v1", time=TIME)


def values(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in document if name not in ("metadata", "apiVersion")}


@settings(max_examples=300)
@given(REQUESTS, REQUESTS)
def test_what_is_remembered_by_shape_is_what_is_reckoned_anew(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    shapes, structure = Shapes(), structure_of(NODE)
    for document in (one, other, copy.deepcopy(one), _other_values(one)):
        reckoned = comparison.compare(None, document, NODE).changed.tree
        remembered = shapes.answer(document, structure, lambda tree=reckoned: tree)  # type: ignore[misc]
        assert remembered == reckoned


def _other_values(document: dict[str, Any]) -> dict[str, Any]:
    """Returns a document of the same shape: other values in leaves alone."""
    return {**document, **({"plain": 9} if document.get("plain") is not None else {})}


POD = builtin().definition("io.k8s.api.core.v1.Pod")
EVENT = builtin().definition("io.k8s.api.core.v1.Event")
PARTS = {
    "metadata": st.fixed_dictionaries({}, optional={"labels": STRINGS, "name": _NAMES}),
    "spec": st.fixed_dictionaries(
        {},
        optional={
            "containers": st.none()
            | st.lists(
                st.fixed_dictionaries({"name": _NAMES}, optional={"image": _NAMES}), max_size=2
            ),
            "securityContext": st.just({}),
            "nodeSelector": st.none() | STRINGS,
        },
    ),
    "reportingComponent": st.sampled_from(["", "x"]),
    "involvedObject": STRINGS,
    "source": st.none() | st.fixed_dictionaries({}, optional={"host": _NAMES}),
    "firstTimestamp": st.none() | st.just(TIME),
}
_memory = Shapes()


@settings(max_examples=300)
@given(st.fixed_dictionaries({}, optional=PARTS), st.sampled_from([POD, EVENT]))
def test_built_in_kinds_are_remembered_as_they_are_reckoned(
    document: dict[str, Any], node: Any
) -> None:
    reckoned = comparison.compare(None, document, node).changed.tree
    assert _memory.answer(document, structure_of(node), lambda: reckoned) == reckoned


@given(DOCUMENTS, DOCUMENTS)
def test_two_documents_differ_in_nothing_when_they_are_equal_and_else_both_ways(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert comparison.compare(old, copy.deepcopy(old), NODE) == (FieldSet(), FieldSet())
    there, back = comparison.compare(old, new, NODE), comparison.compare(new, old, NODE)
    # what is neither added nor removed is modified, whichever way one looks
    assert set(there.changed) - set(back.removed) == set(back.changed) - set(there.removed)
    assert not set(there.changed) & set(there.removed)


@given(st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_every_field_of_an_updated_object_has_exactly_one_owner(
    versions: list[dict[str, Any]],
) -> None:
    old, entries = None, []
    for number, new in enumerate(versions):
        entries = written(old, new, entries, f"m{number}")
        old = new
    owned = [path for entry in entries for path in FieldSet(entry["fieldsV1"])]
    assert len(owned) == len(set(owned))
    assert set(owned) == set(comparison.compare(None, versions[-1], NODE).changed)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), _NAMES, FULL), min_size=2, max_size=4))
@example([(False, "a", {"any": {"a": 1}}), (True, "b", {"any": 1})])
def test_nobody_owns_what_is_not_there(history: list[tuple[bool, str, dict[str, Any]]]) -> None:
    live: Any = None
    for applies, manager, document in history:
        if applies:
            live = put(live, document, manager)
            continue
        entries = ownership.entries_of(live or {})
        managed = written(live, document, entries, manager)
        live = {**document, "metadata": {"managedFields": managed}}
    owned = {path for it in ownership.entries_of(live) for path in FieldSet(it["fieldsV1"])}
    structure = structure_of(NODE)
    given_here = comparison.given(values(live), structure)
    there = FieldSet(granular.with_named(given_here, structure))
    assert owned <= set(there) | set(comparison.compare(None, values(live), NODE).changed)


ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 1) | st.floats(0, 1) | _NAMES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=4,
)


@settings(max_examples=300)
@given(DOCUMENTS, st.dictionaries(st.sampled_from([*OPTIONAL, "unknown"]), ODD, max_size=2))
@example({}, {"keyed": [{"a": "x"}, {"a": "x", "b": "b"}]})
@example({}, {"keyed": [{"b": "x", "more": True}]})
@example({}, {"keyed": []})
@example({}, {"plains": [True]})
@example({}, {"any": {"a": None}})
def test_one_walk_reads_what_two_slow_ones_do(document: dict[str, Any], odd: Any) -> None:
    structure = structure_of(NODE)
    found = reading.given(document, structure)
    assert found == comparison.given(document, structure)
    found = reading.given(document | odd, structure)
    if found is not None:
        assert not granular.check(document | odd, structure)
        assert found == comparison.given(document | odd, structure)


@settings(max_examples=200)
@given(FULL, DOCUMENTS)
def test_a_merge_keeps_what_it_does_not_change_and_shares_nothing_else(
    live: dict[str, Any], applied: dict[str, Any]
) -> None:
    structure = structure_of(NODE)
    before = copy.deepcopy((live, applied))
    merged = granular.merge(live, applied, structure)
    assert granular.merge(merged, applied, structure) == merged
    assert not _containers(applied) & _containers(merged)
    assert (live, applied) == before
    again = granular.merge(live, copy.deepcopy(live), structure)
    for name in {"plain", "map", "maps", "set", "keyed"} & set(live):
        assert again[name] is live[name], name


@settings(max_examples=300)
@given(DOCUMENTS, DOCUMENTS, st.dictionaries(st.sampled_from([*OPTIONAL, "unknown"]), ODD))
@example({"keyed": [{"a": "x", "more": 1}]}, {"keyed": [{"a": "x", "more": True}]}, {})
@example({"map": {"a": "b"}}, {"map": {"a": "b"}}, {"map": {}})
@example({"plains": [1, 2]}, {"plains": [1, 2]}, {"plains": [1, 2.0]})
def test_what_came_before_is_found_as_a_walk_finds_it(
    live: dict[str, Any], document: dict[str, Any], odd: Any
) -> None:
    structure = structure_of(NODE)
    for applied in (document, document, document | odd, document):
        read = reading.given(applied, structure)
        found = Configuration(applied, structure).given()
        assert found == read
        assert list(found or ()) == list(read or ())
        if read is not None:
            merged = granular.merge(live, applied, structure)
            again = Configuration(applied, structure).merged(live)
            assert again == merged
            assert [type(it) for it in again.values()] == [type(it) for it in merged.values()]
            kept = [name for name, it in live.items() if merged[name] is it]
            assert [name for name, it in live.items() if again[name] is it] == kept


def _containers(value: Any) -> set[int]:
    """Returns the identities of all maps and lists in a value."""
    if not isinstance(value, dict | list):
        return set()
    parts = value.values() if isinstance(value, dict) else value
    return {id(value)}.union(*map(_containers, parts))


@settings(max_examples=200)
@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_applying_twice_is_the_same_as_once(
    live: dict[str, Any], one: dict[str, Any], other: dict[str, Any]
) -> None:
    made = put(put(live, one, "one"), other, "two")
    assert put(made, other, "two") == made


@settings(max_examples=200)
@given(FULL, FULL)
def test_what_one_manager_applied_is_gone_when_it_applies_nothing(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    made = put(put(None, one, "one"), {"plain": 7}, "two")
    assert values(put(made, {}, "one")) == {"plain": 7}
    alone = put(put(None, one, "one"), other, "one")
    fresh = put(None, other, "one")
    assert _unordered(values(alone)) == _unordered(values(fresh))


def _unordered(value: Any) -> Any:
    """Takes away the order of lists: items with keys keep the place they had."""
    if isinstance(value, dict):
        return {name: _unordered(value[name]) for name in sorted(value)}
    return sorted(map(_unordered, value), key=repr) if isinstance(value, list) else value


@settings(max_examples=200)
@given(DOCUMENTS, FULL)
def test_a_forced_apply_holds_all_that_is_applied(
    live: dict[str, Any], applied: dict[str, Any]
) -> None:
    made = put(live, applied, "one")
    wanted = comparison.of(applied, NODE)
    assert not wanted - comparison.of(made, NODE)
    if wanted:
        entry = next(it for it in made["metadata"]["managedFields"] if it["manager"] == "one")
        assert FieldSet(entry["fieldsV1"]) == wanted
    assert values(put(made, applied, "two")) == values(made)


@given(st.integers(0, 10**6))
def test_the_order_of_names_does_not_matter(seed: int) -> None:
    document = {"plain": 1, "map": {"a": "1", "b": "2"}, "keyed": [{"a": "x", "b": "y", "more": 1}]}
    names = list(document)
    random.Random(seed).shuffle(names)
    shuffled = {name: document[name] for name in names}
    assert written(None, shuffled, [], "m") == written(None, document, [], "m")
