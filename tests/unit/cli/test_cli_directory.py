"""The data directory is the cluster's alone: what is made, refused and removed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from steersman.cli.directory import Directory, Identity, Lock, private
from steersman.cli.failure import Failure

IDENTITY = Identity("bcdfgh", 6443, "sqlite", "10.96.0.0/16", "10.64.0.0/16")


def test_a_directory_is_its_owners_alone(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "d")
    directory.create(IDENTITY)
    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert directory.identity() == IDENTITY


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis").write_text("years")
    with pytest.raises(Failure, match="holds 'thesis'"):
        Directory(tmp_path).create(IDENTITY)
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_a_making_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    (tmp_path / "certificates").mkdir()
    Directory(tmp_path).create(IDENTITY)
    assert Directory(tmp_path).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives a directory away")
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(Failure, match="belongs to another user"):
        Directory(tmp_path).create(IDENTITY)
    with pytest.raises(Failure, match="this user alone"):
        private(tmp_path)


def test_a_removal_leaves_what_came_from_others(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "d")
    directory.create(IDENTITY)
    (directory.path / "thesis").write_text("years")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    directory.logs.rmdir()
    directory.logs.symlink_to(outside)
    directory.remove()
    assert [path.name for path in directory.path.iterdir()] == ["thesis"]
    assert (outside / "kept").exists()


def test_a_removal_of_a_whole_cluster_leaves_nothing(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "d")
    directory.create(IDENTITY)
    directory.remove()
    assert not directory.path.exists()


@pytest.mark.parametrize("identity", ["../../etc", "bcdfg", "bcdfghj", "bcdfg\n", "", 5])
def test_an_id_that_is_none_is_damage_and_no_path(tmp_path: Path, identity: object) -> None:
    directory = Directory(tmp_path / "d")
    directory.create(IDENTITY)
    document = json.loads(directory.file.read_text())
    directory.file.write_text(json.dumps({**document, "id": identity}))
    with pytest.raises(Failure, match="damaged"):
        directory.identity()


def test_a_directory_in_a_shared_place_is_checked_not_trusted(tmp_path: Path) -> None:
    assert private(tmp_path / "own").stat().st_mode & 0o777 == 0o700
    assert private(tmp_path / "own") == tmp_path / "own"
    (tmp_path / "own").chmod(0o750)
    with pytest.raises(Failure):
        private(tmp_path / "own")
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(Failure):
        private(tmp_path / "link")


def test_the_lock_names_who_holds_it_and_nobody_from_before(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "d")
    directory.create(IDENTITY)
    for _ in range(2):
        lock = Lock(directory)
        assert Lock(directory).holder() == 0
        lock.take()
        assert Lock(directory).holder() == os.getpid()
        with pytest.raises(Failure, match=rf"up already \(process {os.getpid()}\)"):
            Lock(directory).take()
        lock.release()
    assert Lock(directory).holder() == 0
