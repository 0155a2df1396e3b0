"""`steer build`, `images`, `load`: what they print of images, for people and for programs."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from steersman.cli import image
from steersman.cli.directory import Directory
from steersman.cli.main import main
from steersman.images.store import Image, Store


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A directory to build of."""
    made = tmp_path / "context"
    made.mkdir()
    (made / "Containerfile").write_text("FROM scratch\nARG WHO=nobody\nLABEL who=$WHO\n")
    return made


def stored(place: Path) -> list[Image]:
    return Store(Directory(place).images).images()


def build(place: Path, context: Path, *words: str) -> int:
    return main(["build", "--data-dir", str(place), *words, str(context)])


def test_a_build_says_its_steps_and_then_what_it_made(
    tmp_path: Path, context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "d"
    assert build(place, context, "-t", "web:1", "-t", "web:2") == 0
    *steps, last = capsys.readouterr().out.splitlines()
    (found,) = stored(place)
    assert last == f"web:1, web:2 {found.id}"
    assert any("FROM scratch" in line for line in steps)
    assert place.stat().st_mode & 0o777 == 0o700


def test_for_programs_a_build_is_one_document_alone(
    tmp_path: Path, context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "d"
    assert build(place, context, "-o", "json", "-t", "web:1") == 0
    (document,) = json.loads(capsys.readouterr().out)
    (found,) = stored(place)
    assert document == {
        "id": found.id,
        "names": ["docker.io/library/web:1"],
        "size": found.size_bytes,
        "created": found.created,
    }


def test_an_image_without_a_name_is_shown_by_its_id(
    tmp_path: Path, context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(tmp_path / "d", context) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("<none> sha256:")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [((), "nobody"), (("WHO=me=you",), "me=you"), (("WHO",), "env"), (("WHO=",), "")],
)
def test_an_argument_is_what_is_said_or_what_the_environment_says(
    tmp_path: Path,
    context: Path,
    monkeypatch: pytest.MonkeyPatch,
    argument: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.setenv("WHO", "env")
    words = [word for text in argument for word in ("--build-arg", text)]
    assert build(tmp_path / "d", context, "-t", "x", *words) == 0
    (found,) = stored(tmp_path / "d")
    assert (found.run_config.labels or {})["who"] == expected


def test_an_argument_without_a_name_is_refused(
    tmp_path: Path, context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(tmp_path / "d", context, "--build-arg", "=x") == 1
    assert capsys.readouterr().err == "steer: --build-arg =x: a name is missing\n"


def test_a_build_at_a_given_time_is_the_same_image_again(
    tmp_path: Path, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    for name in ("one", "two"):
        assert build(tmp_path / name, context, "-t", "x") == 0
    (one,), (two,) = stored(tmp_path / "one"), stored(tmp_path / "two")
    assert one.id == two.id
    assert one.created.startswith("1970-01-02T00:00:00")


def test_another_file_and_a_stage_can_be_chosen(tmp_path: Path, context: Path) -> None:
    other = tmp_path / "Other"
    other.write_text("FROM scratch AS first\nLABEL at=first\nFROM first\nLABEL at=last\n")
    assert build(tmp_path / "d", context, "-f", str(other), "--target", "first", "-t", "x") == 0
    (found,) = stored(tmp_path / "d")
    assert (found.run_config.labels or {})["at"] == "first"


def archive() -> bytes:
    """Returns an image without layers as `docker save` writes it."""
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    saved = [{"Config": "c.json", "RepoTags": ["loaded:1"], "Layers": []}]
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, document in (("c.json", config), ("manifest.json", saved)):
            data = json.dumps(document).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize("from_file", [True, False])
def test_an_archive_is_loaded_from_a_file_or_from_standard_input(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    from_file: bool,
) -> None:
    file = tmp_path / "saved.tar"
    file.write_bytes(archive())
    words = ["-i", str(file)] if from_file else []
    with open(tmp_path / "saved.tar") as stdin:
        if not from_file:
            monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["load", "--data-dir", str(tmp_path / "d"), *words]) == 0
    (found,) = stored(tmp_path / "d")
    assert capsys.readouterr().out == f"loaded:1 {found.id}\n"


def test_images_are_a_table_for_people_and_documents_for_programs(
    tmp_path: Path, context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "d"
    assert build(place, context, "-t", "web:1", "-t", "registry.example.org/team/web:20") == 0
    capsys.readouterr()
    assert main(["images", "--data-dir", str(place)]) == 0
    (found,) = stored(place)
    short = found.id.removeprefix("sha256:")[:12]
    assert capsys.readouterr().out.splitlines() == [
        "REPOSITORY                      TAG   IMAGE ID       CREATED    SIZE",
        f"registry.example.org/team/web   20    {short}   just now   {found.size_bytes}B",
        f"web                             1     {short}   just now   {found.size_bytes}B",
    ]
    assert main(["images", "-o", "json", "--data-dir", str(place)]) == 0
    documents: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in documents] == [found.id]


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(seconds=50), "just now"),
        (timedelta(seconds=61), "1 minute ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(minutes=61), "1 hour ago"),
        (timedelta(hours=23, minutes=59), "23 hours ago"),
        (timedelta(days=1, hours=1), "1 day ago"),
        (timedelta(days=40), "40 days ago"),
    ],
)
def test_an_age_is_told_in_its_largest_unit(age: timedelta, expected: str) -> None:
    assert image._ago((datetime.now(UTC) - age).isoformat()) == expected
    assert image._ago("") == ""


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_234_567, "1.23MB"), (4_560_000_000, "4.56GB")],
)
def test_a_size_has_three_digits_and_a_unit(size: int, expected: str) -> None:
    assert image._human(size) == expected
