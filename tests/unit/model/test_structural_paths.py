"""JSON paths of definitions: resolved in schemas, read from objects, and never at a high price."""

from __future__ import annotations

from typing import Any

import pytest

from customs import SPEC
from steersman.model.structural.fieldpath import BadPath, compiled, read, resolve

OBJECT = {
    "a": {"b.c": 1, "list": [{"t": "x", "v": 1}, {"t": "y", "v": 2}], "deep": {"v": 3}},
    "yes": True,
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".", [OBJECT]),
        (".yes", [True]),
        (".a.list[0].t", ["x"]),
        (".a.list[-1].v", [2]),
        (".a.list[*].v", [1, 2]),
        (".a.list[0:1].v", [1]),
        (".a['b.c']", [1]),
        (r".a.b\.c", [1]),
        ('.a.list[?(@.t=="y")].v', [2]),
        ('.a.list[?(@.t!="y")].v', [1]),
        (".a.list[?(@.v==2)].t", ["y"]),
        (".a..v", [1, 2, 3]),
        (".none.at.all", []),
        (".a.list[9]", []),
        (".a[", []),
    ],
)
def test_a_path_reads_values(path: str, expected: list[Any]) -> None:
    assert sorted(map(str, read(OBJECT, path))) == sorted(map(str, expected))


def test_hostile_paths_cost_little() -> None:
    for path in (".a" * 100_000, "['" + "\\" * 100_000, ".[" * 100_000, "." + "\\a" * 100_000):
        compiled(path)
        assert read(OBJECT, path) == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("size", "expected [ or . but got: size"),
        (".", "unexpected end of JSON path"),
        (".none", "does not refer to a valid field"),
        (".size.more", "does not refer to a valid field"),
        ("[size]", "expected single quoted string but got size"),
        ("['size'", "unexpected end of JSON path"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_of(path: str, told: str) -> None:
    with pytest.raises(BadPath) as caught:
        resolve(path, SPEC)
    assert str(caught.value) == told


def test_a_path_leads_to_a_schema() -> None:
    assert resolve(".colour", SPEC) == (("colour",), SPEC["properties"]["colour"])
    assert resolve("['colour']", SPEC)[0] == ("colour",)
    with pytest.raises(BadPath, match="array notation is not allowed"):
        resolve("['colour']", SPEC, arrays=False)
    assert resolve(".x", {"additionalProperties": {"type": "string"}})[1] == {"type": "string"}
