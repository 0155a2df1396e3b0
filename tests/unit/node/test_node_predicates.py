"""Pods that came past the scheduler and do not belong on the node."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from node_documents import observed, pod
from shim_script import Stage, begin

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.model.kinds.node import Node
from steersman.node.admission.predicates import decide_by_node, decide_by_ports, judge
from steersman.node.static.marks import SOURCE

AFFINITY = (
    "NodeAffinity",
    "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
)
TAINTS = (
    "TaintToleration",
    "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
)
PORTS = (
    "NodePorts",
    "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
)


def node(labels: dict[str, str] | None = None, *taints: dict[str, str]) -> Node:
    document = {"metadata": {"name": "vm", "labels": labels or {}}, "spec": {"taints": taints}}
    return msgspec.convert(document, Node)


def affinity(**term: Any) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({}, True),
        ({"nodeSelector": {"disk": "ssd"}}, True),
        ({"nodeSelector": {"disk": "hdd"}}, False),
        (
            {
                "affinity": affinity(
                    matchExpressions=[{"key": "disk", "operator": "In", "values": ["ssd"]}]
                )
            },
            True,
        ),
        (
            {"affinity": affinity(matchExpressions=[{"key": "disk", "operator": "DoesNotExist"}])},
            False,
        ),
        (
            {
                "affinity": affinity(
                    matchFields=[{"key": "metadata.name", "operator": "In", "values": ["other"]}]
                )
            },
            False,
        ),
    ],
)
def test_a_pod_goes_where_its_selector_and_affinity_say(spec: dict[str, Any], fits: bool) -> None:
    found = decide_by_node(pod(spec=spec), node({"disk": "ssd"}))
    assert found == (None if fits else AFFINITY)


@pytest.mark.parametrize(
    ("taint", "tolerations", "fits"),
    [
        ({"key": "gone", "effect": "NoExecute"}, [], False),
        ({"key": "gone", "effect": "NoSchedule"}, [], True),
        ({"key": "gone", "effect": "NoExecute"}, [{"key": "gone", "operator": "Exists"}], True),
        (
            {"key": "gone", "effect": "NoExecute"},
            [{"operator": "Exists", "tolerationSeconds": 3}],
            True,
        ),
        (
            {"key": "level", "value": "4", "effect": "NoExecute"},
            [{"key": "level", "operator": "Gt", "value": "5"}],
            False,
        ),
    ],
)
def test_only_taints_that_drive_pods_away_count(
    taint: dict[str, str], tolerations: list[dict[str, Any]], fits: bool
) -> None:
    found = decide_by_node(pod(spec={"tolerations": tolerations}), node({}, taint))
    assert found == (None if fits else TAINTS)


def test_a_static_pod_bears_all_taints() -> None:
    static = pod(metadata={"annotations": {SOURCE: "file"}})
    assert decide_by_node(static, node({}, {"key": "gone", "effect": "NoExecute"})) is None


def test_a_pod_of_another_system_is_refused_by_its_label() -> None:
    found = decide_by_node(pod(metadata={"labels": {"kubernetes.io/os": "windows"}}), node())
    text = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
    assert found == ("PodOSSelectorNodeLabelDoesNotMatch", text)
    linux = pod(metadata={"labels": {"kubernetes.io/os": "linux"}})
    assert decide_by_node(linux, node()) is None


def port(number: int = 0, address: str = "", protocol: str = "TCP", **more: Any) -> dict[str, Any]:
    named = {"containerPort": 80, "hostPort": number, "hostIP": address, "protocol": protocol}
    return {"ports": [named], **more}


@pytest.mark.parametrize(
    ("wanted", "taken", "fits"),
    [
        (port(8080), port(8080), False),
        (port(8080), port(8081), True),
        (port(8080), port(8080, protocol="UDP"), True),
        (port(8080, "127.0.0.1"), port(8080), False),
        (port(8080, "127.0.0.1"), port(8080, "127.0.0.2"), True),
        (port(8080, "127.0.0.1"), port(8080, "127.0.0.1"), False),
        (port(), port(), True),
    ],
)
def test_a_port_of_the_node_is_for_one_pod(
    wanted: dict[str, Any], taken: dict[str, Any], fits: bool
) -> None:
    assert decide_by_ports(pod(**wanted), [pod(**taken)]) == (None if fits else PORTS)
    assert decide_by_ports(pod(**wanted), []) is None


def test_ports_of_sidecars_count_and_those_of_init_containers_do_not() -> None:
    def having(**fields: Any) -> Any:
        one = {"name": "i", "image": "x", **port(8080), **fields}
        return pod(spec={"initContainers": [one]})

    assert decide_by_ports(pod(**port(8080)), [having(restartPolicy="Always")]) == PORTS
    assert decide_by_ports(pod(**port(8080)), [having()]) is None


class Reader:
    """Reads a node, or cannot."""

    def __init__(self, found: Node | Exception) -> None:
        self.found = found
        self.reads = 0

    async def get(self, ref: Any) -> Node:
        self.reads += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.mark.parametrize(
    ("known", "now", "refusal", "reads"),
    [
        (None, node(), None, 0),
        (node({"disk": "ssd"}), node(), None, 0),
        (node(), node({"disk": "ssd"}), None, 1),  # a label that has just been set
        (node(), node(), AFFINITY, 1),
        (node(), Unreachable("down"), AFFINITY, 1),
    ],
)
def test_what_speaks_against_a_pod_is_looked_at_again(
    known: Node | None, now: Node | Exception, refusal: tuple[str, str] | None, reads: int
) -> None:
    reader = Reader(now)
    wanted = pod(spec={"nodeSelector": {"disk": "ssd"}})
    assert asyncio.run(judge(wanted, known, "vm", cast(Client, reader))) == refusal
    assert reader.reads == reads


def test_a_pod_that_does_not_belong_here_has_failed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, pod(spec={"nodeSelector": {"disk": "ssd"}}))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            stage.api.get = Reader(node()).get  # type: ignore[attr-defined]
            tools = msgspec.structs.replace(tools, node=lambda: node())
            await begin(stage, tools, tasks, observed(unplaced=True))
            status = await stage.api.until(lambda it: it["phase"] == "Failed")
            told = (status["reason"], status["message"])
            assert told == (AFFINITY[0], f"Pod was rejected: {AFFINITY[1]}")
            assert f"Warning NodeAffinity: {AFFINITY[1]}" in stage.events.told

    asyncio.run(scenario())
