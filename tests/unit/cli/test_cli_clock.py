"""`steer clock` and `--clock virtual`: what they take, what they refuse and why."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from steersman.cli.clock import command, option
from steersman.cli.directory import Directory, Identity
from steersman.cli.failure import Failure
from steersman.cli.main import build_parser, main
from steersman.cluster.virtual import Damaged, open_clock, read


def wanted(*words: str) -> Any:
    """Returns what the clock would be told."""
    return command.wanted(build_parser("clock").parse_args(list(words)))


def test_each_action_is_one_wish() -> None:
    assert wanted() is None
    assert wanted("show") is None
    assert wanted("advance", "2h") == {"advanceSeconds": 7200}
    until = "2027-01-01T00:00:00+00:00"
    assert wanted("advance", "--to", "2027-01-01T00:00:00Z") == {"advanceTo": until}
    assert wanted("freeze") == {"frozen": True}
    assert wanted("resume") == {"frozen": False}
    assert wanted("rate", "60") == {"rate": 60}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["advance"], "say how far"),
        (["advance", "3x"], "'3x' is no duration: it is written as in 3d, 12h30m or 90s"),
        (["advance", "0s"], "0s is no time at all"),
        (["advance", "1h", "--to", "2027-01-01T00:00:00Z"], "--to stands with `advance` alone"),
        (["freeze", "--to", "2027-01-01T00:00:00Z"], "--to stands with `advance` alone"),
        (["advance", "--to", "tomorrow"], "a time with its zone is written as"),
        (["advance", "--to", "2027-01-01T00:00:00"], "a time with its zone is written as"),
        (["rate"], "say how many times faster"),
        (["rate", "fast"], "say how many times faster"),
        (["rate", "0"], "to stop the clock: steer clock freeze"),
        (["rate", "nan"], "to stop the clock: steer clock freeze"),
        (["freeze", "1h"], "takes nothing more, '1h' was given"),
        (["show", "1h"], "takes nothing more, '1h' was given"),
    ],
)
def test_what_cannot_be_told_is_refused(words: list[str], why: str) -> None:
    with pytest.raises(Failure, match=why):
        wanted(*words)


def test_a_reading_is_shown_in_one_line() -> None:
    reading = {"now": "2026-01-01T00:00:00Z", "rate": 60.0, "frozen": False}
    assert command.show(reading) == "2026-01-01T00:00:00Z (rate 60)"
    frozen = reading | {"rate": 0.0, "frozen": True}
    assert command.show(frozen) == "2026-01-01T00:00:00Z (frozen)"
    going = reading | {"advancesTo": "2026-01-02T00:00:00Z"}
    assert command.show(going).endswith("(rate 60, on its way to 2026-01-02T00:00:00Z)")


def up(path: Path, *words: str) -> argparse.Namespace:
    return build_parser("up").parse_args(["--data-dir", str(path), *words])


def make(path: Path, clock: str) -> None:
    Directory(path).create(
        Identity("bcdfgh", 6443, "sqlite", "10.96.0.0/16", "10.64.0.0/16", clock)
    )


def test_a_cluster_keeps_its_clock_for_its_life(tmp_path: Path) -> None:
    assert option.chosen(up(tmp_path / "d")) == "real"
    assert option.chosen(up(tmp_path / "d", "--clock", "virtual")) == "virtual"
    make(tmp_path / "d", "virtual")
    assert option.chosen(up(tmp_path / "d")) == "virtual"
    with pytest.raises(Failure, match="the clock of this cluster is virtual, which is for its"):
        option.chosen(up(tmp_path / "d", "--clock", "real"))


def test_a_directory_from_before_there_were_clocks_has_a_real_one(tmp_path: Path) -> None:
    make(tmp_path, "real")
    document = json.loads((tmp_path / "cluster.json").read_text())
    del document["clock"]
    (tmp_path / "cluster.json").write_text(json.dumps(document))
    assert Directory(tmp_path).identity().clock == "real"
    (tmp_path / "cluster.json").write_text(json.dumps(document | {"clock": "sun"}))
    with pytest.raises(Failure, match="'sun' is no clock"):
        Directory(tmp_path).identity()


def test_a_real_node_and_a_second_process_are_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ["up", "--data-dir", str(tmp_path / "d"), "--clock", "virtual"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert main(place) == 1
    assert "containers run in real time and this cluster's clock is virtual: say --no-node" in (
        capsys.readouterr().err
    )
    assert main([*place, "--no-node", "--split"]) == 1
    assert "--split: a virtual clock waits for every controller" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
    option.check(up(tmp_path / "d", "--clock", "virtual", "--no-node"))
    option.check(up(tmp_path / "d", "--split"))
    make(tmp_path / "d", "virtual")
    with pytest.raises(Failure, match="say --no-node"):
        option.check(up(tmp_path / "d"))


def test_a_new_clock_reads_the_machines_time_and_a_kept_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    before = time.time()
    clock = open_clock(path)
    assert before <= clock.now() <= time.time()
    clock.advance(before + 1e6, lambda: None)
    while clock.idle() == 0:
        pass
    clock.set_rate(60)
    clock.freeze()
    kept = open_clock(path)
    assert kept.now() >= before + 1e6
    assert kept.read() == clock.read()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_reading_that_was_seen_is_not_before_the_one_that_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clock = open_clock(path)
    for days in range(1, 400):
        clock.call_at(clock.now() + days * 86400, lambda: None)
    clock.advance(clock.now() + 400 * 86400, lambda: None)
    while clock.idle() == 0:
        assert clock.now() <= read(path)[0]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"reading": 1}', '{"reading": -1, "rate": 1}'),
        *('{"reading": 1, "rate": -1}', '{"reading": NaN, "rate": 1}'),
        *('{"reading": 1e13, "rate": 1}', '{"reading": 1, "rate": NaN}'),
    ],
)
def test_a_damaged_reading_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clock.json"
    path.write_text(text)
    with pytest.raises(Damaged, match=f"{path} is damaged"):
        open_clock(path)
