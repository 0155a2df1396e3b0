"""Every row of upstream's conformance suite is proved by tests that exist, or says why not."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "docs" / "conformance"
# how many rows the suite of 1.37 has in each area
ROWS = {
    "api-machinery": 100,
    "apps": 60,
    "architecture": 1,
    "auth": 27,
    "cli": 17,
    "instrumentation": 4,
    "network": 47,
    "node": 104,
    "scheduling": 11,
    "storage": 91,
}
ROW = re.compile(r"^\| (?P<row>.+?) (?<!\\)\| (?P<proof>.+) \|$")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows(area: str) -> list[tuple[str, str]]:
    """Returns the rows of an area, each with its proof."""
    lines = (FOLDER / f"{area}.md").read_text().splitlines()
    found = [it for it in map(ROW.match, lines) if it is not None]
    return [(it["row"], it["proof"]) for it in found if it["row"] != "row"]


@cache
def defined_in(file: str) -> frozenset[str]:
    """Returns the names of the tests in a file; none where there is no such file."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = (node.name for node in ast.walk(tree) if isinstance(node, functions))
    return frozenset(name for name in names if name.startswith("test_"))


def test_there_is_one_document_for_each_area() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == sorted(ROWS)


@pytest.mark.parametrize("area", ROWS)
def test_every_row_of_an_area_is_told_once(area: str) -> None:
    names = [row for row, _ in rows(area)]
    assert len(names) == ROWS[area]
    assert len(set(names)) == ROWS[area]


@pytest.mark.parametrize("area", ROWS)
def test_every_row_names_tests_that_exist_or_says_why_there_is_none(area: str) -> None:
    bad = []
    for row, proof in rows(area):
        named = TEST.findall(proof)
        missing = [f"{file}::{test}" for file, test in named if test not in defined_in(file)]
        # what names tests names nothing else: a row is proved, or it says why it is not
        if missing or (named and TEST.sub("", proof).strip(" ,")) or (not named and "`" in proof):
            bad.append((row, proof))
    assert bad == []
