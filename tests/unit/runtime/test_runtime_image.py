"""The image of modules: found while the sources are those it was made from, and never else."""

from __future__ import annotations

import os
import pathlib
import stat
import sys
from collections.abc import Iterator

import pytest

from steersman.runtime import image, state

STATE = state.__name__


@pytest.fixture
def path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """Where the image is; what is put before the finders is taken away again."""
    place = tmp_path / "image"
    monkeypatch.setattr(image, "_PATH", str(place))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = list(sys.meta_path)
    yield place
    sys.meta_path[:] = before


def test_what_is_imported_is_found_in_the_image(path: pathlib.Path) -> None:
    assert not image.install()
    image.make()
    assert image.install()
    finder = sys.meta_path[0]
    assert isinstance(finder, image.Finder)
    spec = finder.find_spec(STATE)
    assert spec is not None
    assert (spec.origin, spec.submodule_search_locations) == (state.__file__, None)
    assert finder.find_spec("steersman.runtime.kernel") is not None
    assert finder.find_spec("steersman.model") is None


def test_a_module_of_the_image_is_the_module(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image.make()
    assert image.install()
    monkeypatch.delitem(sys.modules, STATE)
    again = __import__(STATE, fromlist=["check_name"])
    assert again is not state
    assert isinstance(again.__spec__.loader, image.Finder)
    assert again.__file__ == state.__file__
    assert again.check_name("a") == "a"
    monkeypatch.setattr("steersman.runtime.state", state)


def test_a_source_that_has_changed_makes_the_image_count_for_nothing(
    path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "state.py"
    source.write_bytes(pathlib.Path(str(state.__file__)).read_bytes())
    monkeypatch.setattr(state, "__file__", str(source))
    image.make()
    assert image.install()
    os.utime(source, ns=(0, 0))
    assert not image.install()
    source.unlink()
    assert not image.install()


@pytest.mark.parametrize("part", [0, 1, 1000])
def test_half_an_image_is_none(path: pathlib.Path, part: int) -> None:
    image.make()
    path.write_bytes(path.read_bytes()[:part])
    assert not image.install()


def test_the_image_is_its_owners_whatever_the_umask(path: pathlib.Path) -> None:
    umask = os.umask(0)
    try:
        image.make()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_who_may_write_no_caches_makes_none(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    image.make()
    assert not path.exists()
