"""`steer up` before and after its processes: what it refuses, chooses and tells."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import pytest

from ports import free_port
from steersman.cli import up
from steersman.cli.directory import Directory, Identity
from steersman.cli.failure import Failure
from steersman.cli.main import build_parser

READY = {
    "server": "https://127.0.0.1:6443",
    "kubeconfig": "/c",
    "seconds": 0.314,
    "processes": {"server": 7},
    "notes": ["first", "second"],
}


def parsed(*words: str) -> argparse.Namespace:
    return build_parser("up").parse_args(list(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "0"), "--port takes a number from 1 to 65535"),
        (("--port", "65536"), "--port takes a number from 1 to 65535"),
        (("--simulated-nodes", "-1"), "--simulated-nodes takes a number from 0"),
        (("--controllers", "no-such"), "no-such"),
        (("--scheduler-config", "/nowhere.yaml"), "/nowhere.yaml"),
        (("--admission-control-config-file", "/nowhere.yaml"), "/nowhere.yaml"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_starts(
    words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(Failure, match=said):
        up.check(parsed(*words))


def test_the_first_and_the_last_port_and_no_node_at_all_can_be() -> None:
    for words in (("--port", "1"), ("--port", "65535"), ("--simulated-nodes", "0"), ()):
        up.check(parsed(*words))


def test_a_person_is_told_the_notes_the_time_and_what_to_type(
    capsys: pytest.CaptureFixture[str],
) -> None:
    up.report(parsed(), READY)
    assert capsys.readouterr().out.splitlines() == [
        "first",
        "second",
        "The cluster is ready at https://127.0.0.1:6443 after 0.31 s.",
        "export KUBECONFIG=/c",
    ]
    up.report(parsed("-o", "json"), READY)
    assert json.loads(capsys.readouterr().out) == READY


def supervisor(place: Path, *words: str) -> up.Supervisor:
    return up.Supervisor(parsed("--data-dir", str(place), *words), lambda _: None)


@pytest.mark.parametrize(
    ("user", "words", "expected", "noted"),
    [
        (0, (), (True, 0), False),
        (0, ("--simulated-nodes", "2"), (True, 2), False),
        (0, ("--no-node", "--simulated-nodes", "2"), (False, 2), False),
        (1000, ("--no-node",), (False, 0), False),
        (1000, (), (False, 1), True),
        (1000, ("--simulated-nodes", "3"), (False, 3), True),
    ],
)
def test_without_root_a_simulated_node_takes_the_place_of_the_machine(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    words: tuple[str, ...],
    expected: tuple[bool, int],
    noted: bool,
) -> None:
    made = supervisor(tmp_path, *words)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert made._nodes() == expected
    assert bool(made._notes) is noted


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sockets of this test's clusters are."""
    found = tmp_path / "runs"
    monkeypatch.setattr(Directory, "runs", lambda _: found)
    return found


def prepared(place: Path, *words: str) -> Identity:
    return supervisor(place, *words)._prepare()


def test_two_new_clusters_differ_and_an_old_one_stays_what_it_was(
    tmp_path: Path, runs: Path
) -> None:
    one = prepared(tmp_path / "one", "--port", str(free_port()))
    two = prepared(tmp_path / "two", "--port", str(free_port()), "--store", "memory")
    assert one.id != two.id and one.pod_cidr != two.pod_cidr
    assert one.service_cidr != two.service_cidr
    assert (one.store, two.store) == ("sqlite", "memory")
    assert {path.name for path in runs.iterdir()} == {"ranges", one.id, two.id}
    for kept in (one, two):
        (runs / kept.id).rmdir()  # both were stopped
    assert prepared(tmp_path / "one") == one
    assert prepared(tmp_path / "two") == two
    assert Directory(tmp_path / "two").identity() == two


def test_another_port_or_store_is_taken_over_for_good(tmp_path: Path, runs: Path) -> None:
    one = prepared(tmp_path / "one", "--port", str(free_port()))
    port = free_port()
    changed = prepared(tmp_path / "one", "--port", str(port), "--store", "memory")
    assert changed == one._replace(port=port, store="memory")
    assert Directory(tmp_path / "one").identity() == changed
    assert (runs / one.id).is_dir()


def test_a_child_that_ends_while_starting_is_told_with_its_last_words(tmp_path: Path) -> None:
    made = supervisor(tmp_path)
    made._directory.logs.mkdir()
    (made._directory.logs / "node.log").write_text("first\nsteer: no room\n")
    with pytest.raises(Failure, match=r"the node ended while starting: steer: no room$"):
        made._hear_start(up.News("node", None, 1))


def test_a_part_is_waited_for_until_it_says_that_it_is_ready(tmp_path: Path) -> None:
    made = supervisor(tmp_path)
    made._waits = {"server", "node"}
    made._hear_start(up.News("server", {"state": "serving"}))
    assert made._waits == {"server", "node"}
    made._hear_start(up.News("node", {"note": "slow", "state": "ready"}))
    assert (made._waits, made._notes) == ({"server"}, ["slow"])
    made._hear_start(up.News("server", {"state": "ready"}))
    assert made._waits == set()


def test_a_part_that_does_not_come_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "READY_SECONDS", 0.0)
    made = supervisor(tmp_path)
    made._waits = {"server"}
    with pytest.raises(Failure, match="not ready in 0 s: see `steer logs`"):
        made._until_ready(up.Progress())
