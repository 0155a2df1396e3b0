"""YAML as sigs.k8s.io/yaml reads it, and as it is written."""

from __future__ import annotations

from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as some

from steersman.wire import yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("On", True),
        ("y", True),
        ("n", False),
        ("No", False),
        ("OFF", False),
        ("yEs", "yEs"),
        ("~", None),
        ("Null", None),
        ("''", ""),
        ("'yes'", "yes"),
        ('"1"', "1"),
        ("1", 1),
        ("-3", -3),
        ("+12", 12),
        ("0", 0),
        ("1_000", 1000),
        ("0644", 420),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("08", 8),
        ("1e3", 1000),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1),
        ("1:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("2001-01-01", "2001-01-01"),
        ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z"),
        ("10.0.0.1", "10.0.0.1"),
        ("!!str 123", "123"),
        ("!!int 12", 12),
        ("!!binary aGVsbG8=", "hello"),
        ("=", "="),
        ("100m", "100m"),
        ("18446744073709551615", 18446744073709551615),
        ("[a, 1, {b: c}]", ["a", 1, {"b": "c"}]),
    ],
)
def test_a_scalar_means_what_go_yaml_makes_of_it(text: str, value: Any) -> None:
    found = yaml.load(text)
    assert found == value
    assert type(found) is type(value)


def test_keys_become_strings() -> None:
    assert yaml.load("{1: a, true: b, ~: c, 1.5: d, y: e}".replace("y:", "z:")) == {
        "1": "a",
        "true": "b",
        "null": "c",
        "1.5": "d",
        "z": "e",
    }


def test_a_key_given_twice_is_an_error() -> None:
    with pytest.raises(yaml.BadYAML, match='yaml: line 3: key "a" already set in map'):
        yaml.load("a: 1\nb: 2\na: 3\n")


def test_a_merge_gives_way_to_what_is_written_out() -> None:
    text = "x: &x {a: 1, b: 2}\ny_: &y {b: 3, c: 3}\nz: {<<: [*x, *y], c: 4}\nw: {c: 5, <<: *x}"
    found = yaml.load(text)
    assert found["z"] == {"a": 1, "b": 2, "c": 4}
    assert found["w"] == {"a": 1, "b": 2, "c": 5}


def test_an_alias_is_its_anchors_value() -> None:
    assert yaml.load("a: &a [1]\nb: *a") == {"a": [1], "b": [1]}


def test_an_anchor_within_itself_is_an_error() -> None:
    with pytest.raises(yaml.BadYAML, match="contains itself"):
        yaml.load("a: &a [*a]")


def test_an_alias_bomb_is_an_error() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(yaml.BadYAML, match="excessive aliasing"):
        yaml.load("\n".join(lines))


def test_an_aliased_value_is_a_copy() -> None:
    found = yaml.load("a: &a {b: [1]}\nc: *a")
    found["a"]["b"].append(2)
    assert found["c"] == {"b": [1]}


def test_an_unknown_anchor_is_an_error() -> None:
    with pytest.raises(yaml.BadYAML, match="yaml: line 2: unknown anchor 'x' referenced"):
        yaml.load("a: 1\nb: *x")


def test_nesting_below_the_bound_is_fine() -> None:
    assert yaml.load("[" * 300 + "]" * 300) is not None


def test_a_large_document_without_aliases_is_no_bomb() -> None:
    assert len(yaml.load("- a\n" * 150_000)) == 150_000


@pytest.mark.parametrize(
    "text",
    ["[" * 1_000_000, "[" * 1_000 + "]" * 1_000, "- " * 1_000_000, "{a: " * 1_000_000, "[" * 301],
)
def test_nesting_is_bounded(text: str) -> None:
    with pytest.raises(yaml.BadYAML):
        yaml.load(text)


def test_a_stream_holds_several_documents() -> None:
    assert list(yaml.load_all("---\na: 1\n---\n---\nb: 2\n...\n")) == [{"a": 1}, None, {"b": 2}]
    assert list(yaml.load_all("")) == []
    assert yaml.load(b"") is None


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\tx: 1", "{a: .inf}", "[a]: b", b"\xff"])
def test_what_is_not_yaml_is_an_error_that_says_where(text: bytes | str) -> None:
    with pytest.raises(yaml.BadYAML, match=r"^(yaml|json): "):
        yaml.load(text)


JSON = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**63), 2**64 - 1)
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(some.characters(exclude_categories=["Cs"]))
    | some.sampled_from(
        ["y", "No", "null", "~", "on", "a b", "1e3", "2020-01-01", "-", "a: b", "#"]
    ),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(max_size=5), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_is_written_is_read_again_by_others(value: Any) -> None:
    assert pyyaml.safe_load(yaml.dump(value)) == value


@given(JSON)
def test_what_is_written_is_read_again_here(value: Any) -> None:
    assert yaml.load(yaml.dump(value)) == value


def test_a_document_is_laid_out_as_upstreams_are() -> None:
    document = {
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {}, "annotations": {"note": "one\ntwo"}},
        "spec": {"containers": [{"name": "a", "args": ["-c", "1"]}, {"name": "b"}], "x": [[1], []]},
    }
    assert yaml.dump(document) == (
        "kind: Pod\nmetadata:\n  name: a\n  labels: {}\n  annotations:\n"
        '    note: "one\\ntwo"\n'
        'spec:\n  containers:\n  - name: a\n    args:\n    - "-c"\n    - "1"\n  - name: b\n'
        "  x:\n  - - 1\n  - []\n"
    )


def test_a_number_that_no_float_holds_is_a_text_as_in_go() -> None:
    digits = "9" * 400
    assert yaml.load(f"[{digits}, -{digits}, 1e400, -1e400]") == [
        digits,
        f"-{digits}",
        "1e400",
        "-1e400",
    ]


def test_a_text_of_more_values_than_any_manifest_is_refused() -> None:
    many = "[" + "1," * 250_000 + "1]"
    with pytest.raises(yaml.BadYAML, match="document has over 250000 values"):
        yaml.load(many)
    assert len(yaml.load("[" + "1," * 200_000 + "1]")) == 200_001
