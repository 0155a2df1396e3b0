"""The data directory is the cluster's alone: what is made, refused and removed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from steersman.cli import directory as directories
from steersman.cli.directory import Directory, Identity, Lock, default_path, private
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


def test_every_folder_of_a_cluster_is_its_owners_alone(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "a" / "d")
    directory.create(IDENTITY)
    folders = [path for path in directory.path.iterdir() if path.is_dir()]
    assert {path.name for path in folders} == {"certificates", "store", "logs", "node", "images"}
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_an_open_directory_that_a_cluster_gets_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Directory(tmp_path).create(IDENTITY)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_file_is_no_directory_and_stays(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("years")
    with pytest.raises(Failure, match=r"d is no directory$"):
        Directory(tmp_path / "d").create(IDENTITY)
    assert (tmp_path / "d").read_text() == "years"


def test_where_there_is_no_cluster_it_is_said_how_to_get_one(tmp_path: Path) -> None:
    assert not Directory(tmp_path).exists()
    with pytest.raises(Failure, match=f"there is no cluster in {tmp_path}: run `steer up`"):
        Directory(tmp_path).identity()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "age": 5}'])
def test_a_description_that_cannot_be_read_is_damage(tmp_path: Path, text: str) -> None:
    directory = Directory(tmp_path / "d")
    directory.create(IDENTITY)
    directory.file.write_text(text)
    with pytest.raises(Failure, match=r"cluster\.json is damaged: "):
        directory.identity()


@pytest.mark.parametrize("found", [0, 2, 99, "1", None])
def test_a_format_that_is_not_known_is_refused_and_nothing_is_copied(
    tmp_path: Path, found: object
) -> None:
    directory = Directory(tmp_path / "d")
    directory.create(IDENTITY)
    text = json.dumps({**json.loads(directory.file.read_text()), "format": found})
    directory.file.write_text(text)
    with pytest.raises(Failure, match=f"has format {found}, this steer knows 1: use a newer"):
        directory.identity()
    assert directory.file.read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_an_old_format_is_migrated_step_by_step_and_each_is_kept_as_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Directory(tmp_path / "d")
    directory.create(IDENTITY)

    def with_logs(path: Path) -> None:
        (path / "logs" / "second").touch()

    def with_third(path: Path) -> None:
        assert (path / "logs" / "second").exists()
        (path / "logs" / "third").touch()

    monkeypatch.setattr(directories, "FORMAT", 3)
    monkeypatch.setattr(directories, "MIGRATIONS", {1: with_logs, 2: with_third})
    assert directory.identity() == IDENTITY
    assert json.loads(directory.file.read_text())["format"] == 3
    assert [path.name for path in sorted(directory.logs.iterdir())] == ["second", "third"]
    kept = [tmp_path / f"d.format-{number}" for number in (1, 2)]
    assert [json.loads((path / "cluster.json").read_text())["format"] for path in kept] == [1, 2]
    assert [len(list((path / "logs").iterdir())) for path in kept] == [0, 1]
    assert directory.identity() == IDENTITY  # once
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("user", "variables", "expected"),
    [
        (0, {"STEER_DATA_DIR": "/d"}, "/d"),
        (1000, {"STEER_DATA_DIR": "/d", "XDG_DATA_HOME": "/x"}, "/d"),
        (0, {"XDG_DATA_HOME": "/x"}, "/var/lib/steersman"),
        (1000, {"XDG_DATA_HOME": "/x"}, "/x/steersman"),
        (1000, {}, "/home/somebody/.local/share/steersman"),
    ],
)
def test_a_cluster_without_a_directory_lives_where_its_user_keeps_data(
    monkeypatch: pytest.MonkeyPatch, user: int, variables: dict[str, str], expected: str
) -> None:
    for name in ("STEER_DATA_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, text in {"HOME": "/home/somebody", **variables}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert default_path() == Path(expected)


def test_sockets_are_where_a_user_alone_may_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Directory(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert directory.run(IDENTITY) == Path("/run/user/1000/steersman/bcdfgh")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert directory.run(IDENTITY) == Path("/run/steersman/bcdfgh")


def test_a_lock_that_names_no_process_or_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "d")
    assert Lock(directory).holder() == 0
    directory.create(IDENTITY)
    (directory.path / "supervisor.lock").write_text("12345")
    assert Lock(directory).holder() == 0
    lock = Lock(directory)
    lock.take()
    assert (directory.path / "supervisor.lock").read_text() == str(os.getpid())
    lock.release()
    lock.release()  # given back is given back
