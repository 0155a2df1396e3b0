"""What control groups enforce of the allocatable: amounts and limits, without a kernel."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from steersman.model.quantity import parse
from steersman.node.machine import Facts
from steersman.node.pressure.enforcing import decide_amounts, render_limits
from steersman.node.topology.settings import parse_settings

HUGE = 2 << 20
FACTS = replace(
    Facts(8, 8 << 30, 100 << 30, "m", "u", "b", "6.1", "Debian", "amd64"),
    pages={HUGE: 4},
    processes=1000,
)
RESERVED = {
    "--kube-reserved": "memory=1Gi,cpu=500m,pid=100,ephemeral-storage=1Gi",
    "--system-reserved": "memory=1Gi,pid=50",
}


def amounts(**flags: str) -> dict[str, str]:
    given = {f"--{name.replace('_', '-')}": text for name, text in flags.items()}
    found = decide_amounts(parse_settings({**RESERVED, **given}), FACTS)
    return {name: str(amount) for name, amount in found.items()}


def test_pods_have_what_is_not_reserved() -> None:
    assert amounts() == {"cpu": "7500m", "memory": "6Gi", "pid": "850", "hugepages-2Mi": "8Mi"}


def test_pods_have_the_machine_where_nothing_is_enforced_of_them() -> None:
    whole = {"cpu": "8", "memory": "8Gi", "pid": "1k", "hugepages-2Mi": "8Mi"}
    assert amounts(enforce_node_allocatable="none") == whole


def test_named_processors_are_reserved_in_place_of_amounts() -> None:
    assert amounts(reserved_cpus="0-2")["cpu"] == "5"


def test_more_than_there_is_leaves_nothing() -> None:
    assert amounts(kube_reserved="memory=9Gi")["memory"] == "0"


@pytest.mark.parametrize(
    ("compressible", "limits"),
    [
        (True, {"cpu": {"shares": 512}}),
        (
            False,
            {
                "cpu": {"shares": 512},
                "memory": {"limit": 1 << 30},
                "pids": {"limit": 9},
                "hugepageLimits": [{"pageSize": "2MB", "limit": HUGE}],
            },
        ),
    ],
)
def test_limits_are_those_that_are_given(compressible: bool, limits: object) -> None:
    given = {"cpu": "500m", "memory": "1Gi", "pid": "9", "hugepages-2Mi": "2Mi", "x": "1"}
    found = {name: parse(text) for name, text in given.items()}
    assert render_limits(found, [HUGE], compressible=compressible) == limits
    assert render_limits({"memory": parse("1Gi")}, [HUGE]) == {"memory": {"limit": 1 << 30}}
