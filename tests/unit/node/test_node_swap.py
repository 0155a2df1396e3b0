"""How much swap containers may use, and what a node tells of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from node_documents import pod

from steersman.cluster import placing
from steersman.model.kinds.pod import Pod
from steersman.node.machine import Facts, parse_swap
from steersman.node.measure import families, summary
from steersman.node.measure.measuring import Machine, Measured, MeasuredPod
from steersman.node.measure.reading import Disk, Reading
from steersman.node.register import Place, render_status
from steersman.node.render import limits
from steersman.node.render.swap import Swap
from steersman.node.resizing import granting
from steersman.node.topology.settings import BadSetting, parse_settings

GIB = 1 << 30
LIMITED = Swap("LimitedSwap", True, 40 * GIB, 5 * GIB)


def asking(request: str = "", limit: str = "", **more: Any) -> Pod:
    sides = {"requests": request, "limits": limit}
    amounts = {side: {"memory": text} for side, text in sides.items() if text}
    return pod(resources=amounts, **more)


def swap_of(given: Pod, swap: Swap) -> dict[str, Any]:
    """What a container is told of memory and swap."""
    found = limits.render_resources(given, given.spec.containers[0], swap=swap)
    return {name: found[name] for name in ("memory", "unified") if name in found}


@pytest.mark.parametrize(
    ("given", "share"),
    [
        (asking("8Gi", "16Gi"), GIB),
        (asking("8Gi"), GIB),
        (asking("1Gi"), GIB // 8),
        (asking(), 0),  # BestEffort
        (asking("", "1Gi"), 0),  # what is not asked for has no share
        (asking("8Gi", "8Gi"), 0),
        (asking("80Gi"), 0),  # more than the machine has
        (asking("8Gi", spec={"priority": 2_000_000_001}), 0),
    ],
)
def test_a_burstable_container_has_its_share_of_swap(given: Pod, share: int) -> None:
    assert swap_of(given, LIMITED)["unified"] == {"memory.swap.max": str(share)}
    none = Swap("NoSwap", True, 40 * GIB, 5 * GIB)
    assert swap_of(given, none)["unified"] == {"memory.swap.max": "0"}


def test_a_guaranteed_container_has_no_swap() -> None:
    amounts = {"cpu": "1", "memory": "1Gi"}
    given = pod(resources={"requests": amounts, "limits": amounts})
    assert swap_of(given, LIMITED) == {
        "memory": {"limit": GIB},
        "unified": {"memory.swap.max": "0"},
    }


def test_memory_and_swap_together_are_memory_alone_in_version_1() -> None:
    legacy = Swap("LimitedSwap", False, 40 * GIB, 5 * GIB)
    assert swap_of(asking("1Gi", "2Gi"), legacy) == {"memory": {"limit": 2 * GIB, "swap": 2 * GIB}}
    assert swap_of(asking("1Gi"), legacy) == {}


def test_a_pod_does_not_bound_the_swap_of_its_containers() -> None:
    given = asking("1Gi", "2Gi")
    assert limits.render_pod_resources(given, swap=LIMITED)["memory"] == {"limit": 2 * GIB}
    assert "swap" in limits.render_pod_resources(given)["memory"]


def test_a_share_outlives_a_resize_and_is_not_resized_itself() -> None:
    given = asking("8Gi")
    found = limits.explicit(limits.render_resources(given, given.spec.containers[0], swap=LIMITED))
    assert found["memory"] == {"limit": -1}
    assert found["unified"] == {"memory.swap.max": str(GIB)}
    room = {"memory": "40Gi", "cpu": "4"}
    text = "In-place resize of containers with swap is not supported."
    refusal = granting.Refusal("Infeasible", text)
    assert granting.decide_grant(given, {}, room, swap=LIMITED) == refusal
    assert granting.decide_grant(given, {}, room) is None
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    restarts = asking("8Gi", resizePolicy=policy)
    assert granting.decide_grant(restarts, {}, room, swap=LIMITED) is None


# The node

FACTS = Facts(4, 8 << 30, 100 << 30, "m", "u", "b", "6.1", "Debian", "amd64")


def test_a_node_tells_its_swap() -> None:
    assert parse_swap("MemTotal: 8 kB\nSwapTotal:  2048 kB\nSwapFree: 1 kB\n") == 2 << 20
    assert parse_swap("MemTotal: 8 kB\n") == 0
    place = Place("vm", "10.0.0.1", 10250)
    assert "swap" not in render_status(place, FACTS, None, 1.0)["nodeInfo"]
    facts = Facts(4, 8 << 30, 100 << 30, "m", "u", "b", "6", "D", "amd64", swap_bytes=2 << 20)
    info = render_status(place, facts, None, 1.0)["nodeInfo"]
    assert info["swap"] == {"capacity": 2 << 20}


def test_a_node_may_refuse_to_start_with_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text("Filename Type\n/swapfile file\n")
    monkeypatch.setattr(placing, "SWAPS", swaps)
    facts = Facts(4, 8 << 30, 100 << 30, "m", "u", "b", "6", "D", "amd64", swap_bytes=2 << 20)
    fails = parse_settings({"--fail-swap-on": "true"})
    with pytest.raises(BadSetting, match="running with swap on is not supported") as error:
        placing.make_swap(fails, facts)
    assert "/proc/swaps contained: Filename Type\n/swapfile file" in str(error.value)
    assert placing.make_swap(fails, FACTS).behavior == "NoSwap"
    limited = parse_settings({"--memory-swap-behavior": "LimitedSwap"})
    assert placing.make_swap(limited, facts).behavior == "LimitedSwap"
    for flags in ({"--fail-swap-on": "maybe"}, {"--memory-swap-behavior": "UnlimitedSwap"}):
        with pytest.raises(BadSetting):
            parse_settings(flags)


def reading(swap: int | None, limit: int | None) -> Reading:
    return Reading(1000.0, 1, 2, 3, 4, 0, 5, swap, limit)


def test_swap_is_told_in_summary_and_metrics() -> None:
    disk = Disk(1, 1, 1, 1, 1)
    machine = Machine(0.0, reading(100, 1000), disk, disk, (), 9)
    one = Measured("app", "app.0", 1.0, reading(40, 64))
    free = Measured("free", "free.0", 1.0, reading(1, None))
    uncounted = Measured("old", "old.0", 1.0, reading(None, None))
    whole = reading(41, None)
    each = MeasuredPod("default", "web", "uid", 1.0, whole, (one, free, uncounted), ())
    told = summary.summary("vm", machine, [each], {}, {})
    time = "1970-01-01T00:16:40Z"
    assert told["node"]["swap"] == {
        "time": time,
        "swapUsageBytes": 100,
        "swapAvailableBytes": 900,
    }
    first, second, third = told["pods"][0]["containers"]
    assert first["swap"] == {"time": time, "swapUsageBytes": 40, "swapAvailableBytes": 24}
    assert second["swap"] == {"time": time, "swapUsageBytes": 1}
    assert "swap" not in third
    found = {it.name: it for it in families.resource_metrics(machine, [each])}
    usage = found["container_swap_usage_bytes"].samples
    assert [it.value for it in usage] == [40, 1]
    assert [it.value for it in found["container_swap_limit_bytes"].samples] == [64]
    assert [it.value for it in found["node_swap_usage_bytes"].samples] == [100]
    assert [it.value for it in found["pod_swap_usage_bytes"].samples] == [41]
