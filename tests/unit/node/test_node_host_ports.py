"""Which ports of the node a pod asks for, and whom it may have them beside."""

from __future__ import annotations

from typing import Any

import pytest
from node_documents import exited, observed, pod

from steersman.model.kinds.pod import Pod
from steersman.node.acting.host_ports import decide_ports, holds_ports, host_ports
from steersman.node.observed import Sandbox


def asking(number: int = 8080, host_ip: str = "", protocol: str = "TCP") -> Pod:
    return pod(
        ports=[
            {"containerPort": 80, "hostPort": number, "hostIP": host_ip, "protocol": protocol},
            {"containerPort": 81},
        ]
    )


def test_ports_of_containers_and_sidecars_are_asked_for_not_those_of_init_containers() -> None:
    inits = [
        {"name": name, "ports": [{"containerPort": 1, "hostPort": number}], **more}
        for name, number, more in (("init", 1, {}), ("side", 2, {"restartPolicy": "Always"}))
    ]
    ports = [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]
    found = host_ports(pod(ports=ports, spec={"initContainers": inits}))
    assert [it.host_port for it in found] == [8080, 2]


@pytest.mark.parametrize(
    ("one", "other", "free"),
    [
        ({}, {}, False),
        ({}, {"number": 8081}, True),
        ({}, {"protocol": "UDP"}, True),
        ({"host_ip": "127.0.0.1"}, {"host_ip": "192.0.2.1"}, True),
        ({"host_ip": "127.0.0.1"}, {"host_ip": "127.0.0.1"}, False),
        ({"host_ip": "127.0.0.1"}, {"host_ip": "0.0.0.0"}, False),
        ({}, {"host_ip": "127.0.0.1"}, False),
    ],
)
def test_a_port_that_another_pod_has_is_refused_in_the_kubelets_words(
    one: dict[str, Any], other: dict[str, Any], free: bool
) -> None:
    refused = (
        "NodePorts",
        "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    )
    others = [pod(), asking(**other)]
    assert decide_ports(asking(**one), others) == (None if free else refused)


def test_a_pod_without_ports_fits_beside_all() -> None:
    assert decide_ports(pod(), [asking()]) is None


def test_who_was_refused_or_is_over_holds_no_ports() -> None:
    given = pod(spec={"restartPolicy": "Never"})
    assert holds_ports(given, observed())
    assert not holds_ports(given, observed(ended=("NodePorts", "")))
    ending = observed(ended=("Evicted", ""), sandbox=Sandbox(7, "/shm", ("10.0.0.5",)))
    assert holds_ports(given, ending)
    assert not holds_ports(given, observed(containers={"app": exited()}))
