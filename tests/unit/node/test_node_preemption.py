"""Who goes so that a critical pod fits: as few as possible, the least important first."""

from __future__ import annotations

from typing import Any

from node_documents import NOW, observed, pod

from steersman.model.kinds.pod import Pod
from steersman.model.kinds.priorityclass import SYSTEM_CRITICAL
from steersman.model.quantity import parse
from steersman.node.pressure import preemption
from steersman.node.pressure.preemption import choose_victims
from steersman.node.resizing.granting import decide_shortage
from steersman.node.status import render_status

CRITICAL = pod(spec={"priority": SYSTEM_CRITICAL})


def named(name: str, quality: str, priority: int = 0, **requests: str) -> Pod:
    fields: dict[str, Any] = {"resources": {"requests": requests}}
    told = {"qosClass": quality}
    return pod(metadata={"name": name}, spec={"priority": priority}, status=told, **fields)


def victims(needed: dict[str, int], *others: Pod, preemptor: Pod = CRITICAL) -> list[str]:
    return [it.metadata.name for it in choose_victims(preemptor, others, needed)]


FREE = named("free", "BestEffort")
SMALL = named("small", "Burstable", cpu="100m", memory="1Mi")
LARGE = named("large", "Burstable", cpu="800m", memory="1Mi")
SURE = named("sure", "Guaranteed", cpu="500m", memory="64Mi")


def test_nobody_goes_for_an_ordinary_pod_or_where_it_would_not_be_enough() -> None:
    assert victims({"cpu": 50}, SMALL, preemptor=pod()) == []
    assert victims({"cpu": 101}, SMALL) == []
    assert victims({"cpu": 1, "nvidia.com/gpu": 1}, SMALL, LARGE) == []


def test_critical_pods_go_for_more_important_ones_alone() -> None:
    vital = named("vital", "Burstable", SYSTEM_CRITICAL, cpu="1")
    assert victims({"cpu": 50}, vital) == []
    more = pod(spec={"priority": SYSTEM_CRITICAL + 1})
    assert victims({"cpu": 50}, vital, preemptor=more) == ["vital"]


def test_the_nearest_of_the_lowest_class_that_is_enough_goes() -> None:
    assert victims({"pods": 1}, SURE, LARGE, FREE) == ["free"]
    assert victims({"cpu": 100}, SURE, LARGE, SMALL) == ["small"], "both are enough"
    assert victims({"cpu": 600}, SURE, LARGE, SMALL) == ["large"]
    assert victims({"cpu": 900}, SURE, LARGE, SMALL, FREE) == ["large", "small"]
    assert victims({"cpu": 1000}, SURE, LARGE, SMALL, FREE) == ["large", "sure"]
    assert victims({"memory": 60 << 20}, SURE, LARGE, SMALL, FREE) == ["sure"]


def test_what_is_missing_is_counted_beyond_what_others_have() -> None:
    wants = pod(resources={"requests": {"cpu": "1500m", "memory": "1Gi"}})
    room = {"cpu": "2", "memory": "2Gi", "pods": "3"}
    others = {"cpu": parse("1")}
    assert decide_shortage(wants, others, 2, room) == {"cpu": 500}
    assert decide_shortage(wants, others, 3, room) == {"pods": 1, "cpu": 500}
    assert decide_shortage(wants, {}, 0, room) == {}


def test_a_pod_that_went_for_another_says_so() -> None:
    seen = observed(ended=(preemption.REASON, preemption.MESSAGE), grace=3.0)
    told = render_status(pod(), seen, "10.0.0.1", NOW)
    assert (told["reason"], told["message"]) == (
        "Preempting",
        "Preempted in order to admit critical pod",
    )
    (target,) = [it for it in told["conditions"] if it["type"] == "DisruptionTarget"]
    text = "Pod was preempted by Kubelet to accommodate a critical pod."
    assert (target["reason"], target["message"]) == ("TerminationByKubelet", text)
