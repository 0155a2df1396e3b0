"""`steer nodes`: the Node that is asked for, and what is refused before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.cli.failure import Failure
from steersman.cli.main import build_parser, main
from steersman.cli.nodes.command import render
from steersman.model.kinds.node import ATTACHES


def rendered(*words: str) -> Any:
    """Returns the Node of which each will be one."""
    return render(build_parser("nodes").parse_args(["simulate", "1", *words]))


def test_a_node_is_as_large_as_asked_for_with_its_labels_and_taints() -> None:
    node = rendered(
        *("--cpu", "8", "--memory", "32Gi", "--pods", "10", "--label", "zone=a", "--label", "b="),
        *("--taint", "gpu=yes:NoSchedule", "--taint", "old:NoExecute"),
    )
    size = {"cpu": "8", "memory": "32Gi", "pods": "10"}
    assert node["status"] == {"capacity": size, "allocatable": size}
    labels = node["metadata"]["labels"]
    assert labels["steersman.dev/simulated"] == "true"
    assert (labels["zone"], labels["b"]) == ("a", "")
    assert node["metadata"]["annotations"] == {ATTACHES: "true"}
    assert node["spec"]["taints"] == [
        {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
        {"key": "old", "effect": "NoExecute"},
    ]


@pytest.mark.parametrize("text", ["zone", "=a", ""])
def test_what_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="it is written as in zone=a"):
        rendered("--label", text)


@pytest.mark.parametrize("text", ["gpu", "gpu=yes", ":NoSchedule", "=yes:NoSchedule", "gpu:"])
def test_what_is_no_taint_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="it is written as in gpu=yes:NoSchedule"):
        rendered("--taint", text)


@pytest.mark.parametrize("count", ["0", "10001"])
def test_a_number_that_nobody_means_is_refused(
    count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["nodes", "simulate", count]) == 1
    assert capsys.readouterr().err == "steer: N is a number from 1 to 10000\n"
