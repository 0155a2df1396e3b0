"""The command line: help with examples, JSON where asked, one line on standard error, the demo."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from steered import TOOLS, Cluster, run, steer_words, succeeded

COMMANDS = (
    *("up", "down", "status", "reset", "kubeconfig", "logs", "server", "node"),
    *("build", "images", "load", "pull", "demo", "version", "why", "clock", "nodes", "debug"),
    "cri",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    text = succeeded(run(steer_words(command, "--help")))
    assert re.search(rf"^example:\n  (\S+ .*\| )?steer {command}\b", text, re.M), text


def test_the_list_of_commands_is_whole() -> None:
    text = succeeded(run(steer_words("--help")))
    assert set(re.findall(r"^    ([a-z]+)\b", text, re.M)) == set(COMMANDS)


def test_json_is_json(cluster: Cluster, context: Path) -> None:
    status = json.loads(cluster.steer("status", "-o", "json"))
    assert (status["cluster"], status["ready"]) == (cluster.id, True)
    images = json.loads(cluster.steer("images", "-o", "json"))
    assert TOOLS in json.dumps(images)
    built = cluster.steer("build", "-o", "json", "-t", TOOLS, str(context))
    assert json.loads(built.splitlines()[-1])
    assert (
        json.loads(succeeded(run(steer_words("version", "-o", "json"))))["kubernetes"] == "v1.37.0"
    )


def test_the_kubeconfig_that_is_printed_works(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "printed"
    file.write_text(cluster.steer("kubeconfig"))
    text = succeeded(run(["kubectl", "--kubeconfig", str(file), "auth", "can-i", "*", "*"]))
    assert text == "yes\n"


def test_logs_prints_what_the_parts_wrote(cluster: Cluster) -> None:
    assert "==> " in cluster.steer("logs")
    assert cluster.try_steer("logs", "node", "--tail", "1").returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("kubeconfig",),
        ("logs",),
        ("build", "-t", "x:1", "/nowhere"),
        ("load", "-i", "/nowhere.tar"),
        ("pull", "127.0.0.1:1/missing:1"),
        ("up", "--port", "70000"),
        ("up", "--simulated-nodes", "-1"),
    ],
    ids=lambda words: words[0],
)
def test_a_failure_is_one_line_on_standard_error(own: Cluster, words: tuple[str, ...]) -> None:
    done = own.try_steer(*words)
    assert done.returncode not in (0, 2)
    assert re.fullmatch(r"steer: \S.*\n", done.stderr), done.stderr
    assert done.stdout == ""


def test_a_containerfile_error_names_file_line_and_reason(own: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "Containerfile").write_text("FROM scratch\nCOPY missing /\n")
    done = own.try_steer("build", "-t", "broken:1", str(folder))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("steer: Containerfile:2: ") and "missing" in last


def test_the_demo_shows_three_answers_a_death_and_a_replacement() -> None:
    text = succeeded(run(steer_words("demo")))
    answers = re.findall(r"^ *(\d+) answers from (hello\S*)$", text, re.M)
    assert len({name for _, name in answers}) == 4, text
    assert re.search(r"took its place after \d+\.\d\d s\.$", text, re.M)
