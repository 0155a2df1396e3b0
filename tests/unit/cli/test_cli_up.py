"""`steer up` before and after its processes: what it refuses, chooses and tells."""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path

import pytest

from ports import free_port
from steersman.cli import clean, up
from steersman.cli.directory import Directory, Identity
from steersman.cli.failure import Failure
from steersman.cli.main import build_parser
from steersman.listen import certificates

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


class Family:
    """Children that only note what is asked of them; `stays` says whether one may be restarted."""

    def __init__(self, *news: up.News) -> None:
        self.started: dict[str, list[str]] = {}
        self.told: list[str] = []
        self.waits: list[float | None] = []
        self.stays = True
        self._news = list(news)

    def start(self, name: str, words: list[str]) -> None:
        self.started[name] = words

    def release(self, name: str) -> None:
        self.told.append(f"release {name}")

    def restart(self, name: str) -> bool:
        self.told.append(f"restart {name}")
        return self.stays

    def stop(self, name: str) -> None:
        self.told.append(f"stop {name}")

    def processes(self) -> dict[str, int]:
        return {"server": 7, "node": 8}

    def news(self, timeout: float | None = None) -> list[up.News]:
        self.waits.append(timeout)
        if not self._news:
            raise KeyboardInterrupt
        return [self._news.pop(0)]


def watched(place: Path, family: Family, *words: str) -> up.Supervisor:
    made = supervisor(place, *words)
    made._children = family  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    ("user", "words", "names"),
    [
        (0, (), ["server", "node"]),
        (0, ("--no-node",), ["server"]),
        (0, ("--split",), ["server", "control", "node"]),
        (1000, ("--split",), ["server", "control"]),
    ],
)
def test_each_process_is_started_with_what_it_must_know_and_waited_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    words: tuple[str, ...],
    names: list[str],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    family = Family()
    made = watched(tmp_path, family, "--simulated-nodes", "3", *words)
    made._start()
    assert list(family.started) == names
    assert made._waits == set(names)
    assert all(given[:2] == ["--data-dir", str(tmp_path)] for given in family.started.values())
    server, controls = family.started["server"], family.started[names["control" in names]]
    assert ("--no-node" in server) is ("node" not in names)
    assert ("--no-controllers" in server) is ("control" in names)
    if "control" not in names:
        controls = server
    assert controls[controls.index("--simulated-nodes") + 1] == "3"
    assert ("--simulated-nodes" in server) is ("control" not in names)


def test_a_control_of_its_own_goes_on_when_the_server_is_ready(tmp_path: Path) -> None:
    family = Family()
    made = watched(tmp_path, family)
    made._waits = {"server", "control", "node"}
    made._hear_start(up.News("node", {"state": "ready"}))
    assert family.told == []
    made._hear_start(up.News("server", {"state": "ready"}))
    assert family.told == ["release control"]
    made._hear_start(up.News("control", {"state": "ready"}))
    assert made._waits == set()


def test_a_process_that_ends_is_started_again_or_the_cluster_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    family = Family(up.News("node", {"note": "x"}), up.News("node", None, -9))
    made = watched(tmp_path, family)
    monkeypatch.setattr(made, "_renewal_seconds", lambda: 60.0)
    with pytest.raises(KeyboardInterrupt):
        made._serve()
    assert family.told == ["restart node"]
    assert family.waits == [60.0] * 3
    assert capsys.readouterr().out == "The node ended with signal 9 and is started again.\n"
    family.stays = False
    with pytest.raises(Failure, match=r"^the server does not stay up: see `steer logs server`$"):
        made._restart(up.News("server", None, 1))
    assert "The server ended with exit code 1 and" in capsys.readouterr().out


def test_what_ends_because_the_cluster_ends_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Family(up.News("node", None, 0))
    made = watched(tmp_path, family)

    def renewal() -> float:
        made._on_signal(15, None)  # it comes while the supervisor waits
        return 60.0

    monkeypatch.setattr(made, "_renewal_seconds", renewal)
    made._serve()
    assert family.told == []
    made._serve()
    assert len(family.waits) == 1


def test_certificates_are_renewed_when_they_are_due_and_every_process_is_told(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = watched(tmp_path / "one", Family(), "--port", str(free_port()))
    made._identity = made._prepare()
    signals: list[tuple[int, int]] = []
    certified: list[Identity] = []
    left = [0.0, 100.0, 100.0]
    monkeypatch.setattr(os, "kill", lambda process, number: signals.append((process, number)))
    monkeypatch.setattr(made, "_certify", certified.append)
    monkeypatch.setattr(made, "_renewal_seconds", lambda: left.pop(0))
    with pytest.raises(KeyboardInterrupt):
        made._serve()
    assert certified == [made._identity]
    assert signals == [(7, signal.SIGHUP), (8, signal.SIGHUP)]
    assert left == [100.0]


@pytest.mark.parametrize(
    ("due", "expected"),
    [((50.0, 20.0), 20.0), ((50.0, -3.0), 0.0), ((1e9, 2e9), up.LONGEST_WAIT_SECONDS)],
)
def test_the_certificate_that_is_due_first_says_how_long_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, due: tuple[float, float], expected: float
) -> None:
    made = supervisor(tmp_path)
    made._directory.certificates.mkdir()
    for name in "ab":
        (made._directory.certificates / f"{name}.crt").touch()
        (made._directory.certificates / f"{name}.key").touch()
    seconds = dict(zip(("a.crt", "b.crt"), due, strict=True))
    monkeypatch.setattr(certificates, "renewal_due", lambda path, _now: seconds[path.name])
    assert made._renewal_seconds() == expected


@pytest.mark.parametrize(("user", "cleaned"), [(0, ["clean"]), (1000, [])])
def test_the_node_is_stopped_and_cleaned_up_after_before_who_serves_it(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, user: int, cleaned: list[str]
) -> None:
    family = Family()
    made = watched(tmp_path / "one", family, "--port", str(free_port()))
    made._identity = made._prepare()
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(clean, "clean", lambda *_: family.told.append("clean"))
    made._stop()
    assert family.told == ["stop node", *cleaned, "stop control", "stop server"]
