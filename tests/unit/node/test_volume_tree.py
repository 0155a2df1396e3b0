"""The files of ConfigMaps and tokens: what a container has done to them leads nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.node.volumes.tree import DATA, File, write


def put(directory: Path, text: bytes, version: str) -> bool:
    return write(directory, {"key": File(text, 0o644)}, None, version)


def test_a_new_version_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    assert put(tmp_path, b"one", "v1")
    assert not put(tmp_path, b"one", "v2")
    assert put(tmp_path, b"two", "v3")
    assert (tmp_path / "key").read_bytes() == b"two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["..data", "..v3", "key"]


@pytest.mark.parametrize("absolute", [True, False])
def test_nothing_outside_is_read_or_removed_where_the_link_leads_out(
    tmp_path: Path, absolute: bool
) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (outside / "key").write_bytes(b"two")
    put(volume, b"one", "v1")
    (volume / DATA).unlink()
    (volume / DATA).symlink_to(outside if absolute else "../outside")
    assert put(volume, b"two", "v2")
    assert (outside / "key").read_bytes() == b"two"
    assert (volume / DATA).readlink() == Path("..v2")


def test_a_version_that_is_a_link_itself_is_not_followed(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (outside / "key").write_bytes(b"kept")
    (volume / "..v0").symlink_to(outside)
    (volume / DATA).symlink_to("..v0")
    assert put(volume, b"two", "v1")
    assert (outside / "key").read_bytes() == b"kept"
