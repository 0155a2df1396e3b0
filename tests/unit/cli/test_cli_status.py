"""`steer status`, `logs`, `kubeconfig`, `version`: what they print, and what they exit with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ports import free_port
from steersman.cli.certify import certify
from steersman.cli.directory import Directory, Identity, Lock
from steersman.cli.main import main


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """The directory of a cluster that does not run."""
    made = Directory(tmp_path / "d")
    made.create(Identity("bcdfgh", free_port(), "sqlite", "10.96.0.0/16", "10.64.0.0/16"))
    return made


@pytest.fixture
def supervised(directory: Directory) -> Iterator[Directory]:
    """The directory of a cluster whose server does not answer yet."""
    lock = Lock(directory)
    lock.take()
    yield directory
    lock.release()


def test_a_stopped_cluster_is_described_and_the_exit_code_says_it(
    directory: Directory, capsys: pytest.CaptureFixture[str]
) -> None:
    port = directory.identity().port
    assert main(["status", "--data-dir", str(directory.path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "cluster     bcdfgh (stopped)",
        f"server      https://127.0.0.1:{port}",
        f"data        {directory.path} (sqlite)",
        "clock       real",
    ]


def test_a_cluster_that_does_not_answer_yet_is_starting(
    supervised: Directory, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["status", "--data-dir", str(supervised.path)]
    certify(supervised, supervised.identity())
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cluster     bcdfgh (starting)"
    assert lines[-1] == f"supervisor  process {os.getpid()}"
    assert main([*words, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["running"], found["ready"], found["supervisor"]) == (True, False, os.getpid())


def test_the_kubeconfig_is_the_administrators_at_the_clusters_port(
    directory: Directory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kubeconfig", "--data-dir", str(directory.path)]) == 0
    document = yaml.safe_load(capsys.readouterr().out)
    port = directory.identity().port
    assert document["clusters"][0]["cluster"]["server"] == f"https://127.0.0.1:{port}"
    assert document["current-context"] == "steer-bcdfgh"


def test_logs_are_those_of_all_parts_under_their_names_or_of_one_alone(
    directory: Directory, capfd: pytest.CaptureFixture[str]
) -> None:
    place = ["--data-dir", str(directory.path)]
    assert main(["logs", *place]) == 1
    assert capfd.readouterr().err == (f"steer: nothing has been written to {directory.logs} yet\n")
    (directory.logs / "server.log").write_text("one\ntwo\n")
    (directory.logs / "node.log").write_text("three\n")
    (directory.logs / "other.log").write_text("not a part's\n")
    assert main(["logs", *place]) == 0
    assert capfd.readouterr().out.splitlines() == [
        *(f"==> {directory.logs}/server.log <==", "one", "two", ""),
        *(f"==> {directory.logs}/node.log <==", "three"),
    ]
    assert main(["logs", "server", *place]) == 0
    assert capfd.readouterr().out == "one\ntwo\n"
    assert main(["logs", "server", "--tail", "1", *place]) == 0
    assert capfd.readouterr().out == "two\n"


def test_versions_are_told_of_all_that_a_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    found = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert found.pop("steer")
    assert found == {
        "kubernetes": "v1.37.0",
        "python": platform.python_version(),
        "kernel": os.uname().release,
    }
