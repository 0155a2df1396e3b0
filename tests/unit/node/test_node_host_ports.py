"""Which ports of the node a pod asks for, of its containers and sidecars."""

from __future__ import annotations

from node_documents import pod

from steersman.model.kinds.pod import Pod
from steersman.node.containers import host_ports


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
