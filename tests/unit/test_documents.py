"""The documents say what is true: links, commands, tables, numbers."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from msgspec.structs import replace

from steersman.cli.main import COMMANDS, build_parser
from steersman.model import builtin
from steersman.model.kinds.configmap import CONFIGMAP

ROOT = Path(__file__).parent.parent.parent
ADR = ROOT / "docs" / "adr"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# written by bench/run.py on a quiet machine
WRITTEN_BY_MACHINE = {"docs/benchmarks.md"}
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)
# places that exist on the machine of whoever wrote the document, and nowhere else
PLACES = re.compile(r"(?<![\w.$~])/(?:work|home|root|Users|mnt|opt|tmp)\b/?\S*")
PAGE_LINES = 70


def script(name: str) -> ModuleType:
    """Loads a file of scripts/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchor(heading: str) -> str:
    """Returns the anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {anchor(line.lstrip("#")) for line in path.read_text().splitlines() if line[:1] == "#"}


def links(path: Path) -> Iterator[str]:
    text = re.sub(FENCE, "", path.read_text())
    yield from (target for target in LINK.findall(text) if "://" not in target)


@pytest.mark.parametrize("name", NAMES)
def test_every_link_of_a_document_leads_somewhere(name: str) -> None:
    path = ROOT / name
    broken = []
    for target in links(path):
        file, _, place = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if found.relative_to(ROOT).as_posix() in WRITTEN_BY_MACHINE:
            continue
        if not found.exists() or (place and place not in anchors(found)):
            broken.append(target)
    assert broken == []


# the names of upstream's tests are not ours to choose, and some have paths in them
OURS = [name for name in NAMES if not name.startswith("docs/conformance/")]


@pytest.mark.parametrize("name", OURS)
def test_no_document_names_a_place_of_its_writers_machine(name: str) -> None:
    assert PLACES.findall((ROOT / name).read_text()) == []


def commands(text: str) -> Iterator[list[str]]:
    """Yields the words after every `steer` in code blocks, and in `code` that starts with it."""
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()]
    prose = re.sub(FENCE, "", text)
    lines += re.findall(r"(?<!`)`((?:\./)?steer [^`]+)`(?!`)", prose)
    for line in lines:
        for part in re.split(r"[|;]|&&", line.split(" #")[0]):
            words = shlex.split(part)
            if words and words[0] in ("steer", "./steer"):
                yield words[1:]


SHOWN = [
    (name, words)
    for name in NAMES
    for words in commands((ROOT / name).read_text())
    if words and not words[0].isupper()
]


def test_the_readme_shows_commands() -> None:
    assert len([words for name, words in SHOWN if name == "README.md"]) >= 8


@pytest.mark.parametrize(("name", "words"), SHOWN)
def test_every_command_shown_is_one_that_steer_takes(name: str, words: list[str]) -> None:
    assert words[0] in COMMANDS, name
    given = ["1" if word == "N" else word for word in words]
    parser = build_parser(words[0])
    if words in (["build"], ["load"], ["pull"]):
        return  # named in a sentence, without what they work on
    assert callable(parser.parse_args(given[1:]).run)


def test_every_command_of_steer_is_named_in_a_document() -> None:
    text = "\n".join((ROOT / name).read_text() for name in ("README.md", "CHANGELOG.md"))
    missing = [name for name in COMMANDS if not re.search(rf"`(?:\S+ )?{name}\b|{name}`", text)]
    assert missing == []


def test_the_scripts_that_the_readme_names_are_there_and_can_be_run() -> None:
    for name in re.findall(r"^\./(\w+)", (ROOT / "README.md").read_text(), re.M):
        assert os.access(ROOT / name, os.X_OK), name


def test_the_table_of_kinds_is_that_of_the_registry() -> None:
    conformance = script("conformance")
    text = conformance.DOCUMENT.read_text()
    assert conformance.BEGIN in text and conformance.END in text
    assert text == conformance.replace(text, conformance.render(builtin.all())), (
        "run: PYTHONPATH=src python scripts/conformance.py"
    )


def test_a_kind_is_shown_as_what_it_is() -> None:
    conformance = script("conformance")
    rows = {(kind.group, kind.name): conformance.state(kind) for kind in builtin.all()}
    assert rows["", "ConfigMap"] == "complete"
    unfinished = replace(CONFIGMAP, complete=False)
    assert conformance.state(unfinished) == "schema only"
    assert rows["authentication.k8s.io", "TokenReview"] == "answered, not stored"


def test_replacing_the_table_leaves_what_people_wrote() -> None:
    conformance = script("conformance")
    text = f"before\n{conformance.BEGIN}\nold\n{conformance.END}\nafter\n"
    expected = f"before\n{conformance.BEGIN}\nnew\n{conformance.END}\nafter\n"
    assert conformance.replace(text, "new") == expected


def dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [re.split(r"[<>=~! ]", found)[0] for found in project["dependencies"]]


def test_every_dependency_has_a_row_that_is_filled_in_and_no_other_has() -> None:
    text = (ADR / "0004-few-dependencies.md").read_text()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if "|" in line
    ]
    table = {row[0]: row for row in rows if row and row[0] not in ("dependency", "---")}
    assert sorted(table) == sorted(dependencies())
    assert [name for name, row in table.items() if len(row) != 7 or not all(row)] == []


def test_every_test_tool_is_named_beside_them() -> None:
    text = (ADR / "0004-few-dependencies.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tools = [re.split(r"[<>=]", found)[0] for found in project["optional-dependencies"]["test"]]
    assert [tool for tool in tools if tool not in text] == []


def records() -> list[Path]:
    return sorted(ADR.glob("*.md"))


def test_records_are_numbered_without_gaps_and_titled_with_their_number() -> None:
    numbers = [int(path.name[:4]) for path in records()]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in records():
        assert path.read_text().startswith(f"# {int(path.name[:4])}. "), path.name


def test_a_record_says_its_state_and_month_and_fits_a_page() -> None:
    for path in records():
        lines = path.read_text().splitlines()
        state = r"(Accepted|Proposed|Replaced by \[?record \d+.*), \d{4}-\d\d\."
        assert re.match(state, lines[2]), path.name
        assert len(lines) <= PAGE_LINES, path.name


def test_code_that_a_record_names_is_there() -> None:
    missing = []
    for path in records():
        for name in re.findall(r"`((?:src|tests|docs|bench)/[\w./*-]+)`", path.read_text()):
            if not list(ROOT.glob(name.rstrip("/"))):
                missing.append(f"{path.name}: {name}")
    assert missing == []


def test_the_architecture_names_every_package_and_the_layers_that_are_held() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)/` \|.*\| ([^|]*) \|$", text, re.M))
    folders = {path.parent.name for path in (ROOT / "src" / "steersman").glob("*/__init__.py")}
    assert set(rows) == folders
    spec = importlib.util.spec_from_file_location("tidy", ROOT / "tests" / "test_tidy.py")
    assert spec is not None and spec.loader is not None
    tidy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tidy)
    for package, allowed in tidy.LAYERS.items():
        assert set(re.findall(r"`([\w.]+)`", rows[package])) == allowed, package


def test_the_picture_shows_the_transcript() -> None:
    picture = script("picture")
    assert picture.PICTURE.read_text() == picture.render(picture.TRANSCRIPT.read_text())


def test_a_transcript_is_escaped_in_the_picture_and_coloured_by_line() -> None:
    picture = script("picture")
    drawn = picture.render("$ a <b>\n==> c\nd\n")
    assert "$ a &lt;b&gt;" in drawn and "<b>" not in drawn
    colours = re.findall(r'<text [^>]*fill="([^"]+)"', drawn)
    assert colours == [picture.PROMPT, picture.HEADING, picture.TEXT]
