"""Which ports of the node a pod asks for, and whether it may have them beside others: pure.

As the kubelet has it (NodePorts of the scheduler, lifecycle/predicate.go): what others listen to on
the machine is nobody's concern here, and hidden by a pod's port.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import ContainerPort
from steersman.node.containers import is_sidecar
from steersman.node.observed import Observed
from steersman.node.plan import is_finished

# On all addresses of the node
_EVERY: Final = ("", "0.0.0.0")
_MESSAGE: Final = (
    "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
)


def host_ports(pod: Pod) -> tuple[ContainerPort, ...]:
    """Returns the ports of the node that a pod asks for, of its sidecars too."""
    sidecars = (it for it in pod.spec.init_containers if is_sidecar(it))
    found = (port for it in (*pod.spec.containers, *sidecars) for port in it.ports)
    return tuple(it for it in found if it.host_port)


def decide_ports(pod: Pod, others: Iterable[Pod]) -> tuple[str, str] | None:
    """Returns reason and message of a pod that asks for ports that others on the node have, None
    where it may begin."""
    if not (asked := host_ports(pod)):
        return None
    taken = [port for other in others for port in host_ports(other)]
    if any(_conflict(one, other) for one in asked for other in taken):
        return "NodePorts", _MESSAGE
    return None


def holds_ports(pod: Pod, seen: Observed) -> bool:
    """Whether a pod that has come keeps others from its ports: not one that was refused, nor one
    of which no container runs again."""
    refused = seen.ended is not None and seen.sandbox is None
    return not refused and not is_finished(pod, seen)


def _conflict(one: ContainerPort, other: ContainerPort) -> bool:
    if (one.protocol, one.host_port) != (other.protocol, other.host_port):
        return False
    return one.host_ip in _EVERY or other.host_ip in _EVERY or one.host_ip == other.host_ip
