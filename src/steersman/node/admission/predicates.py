"""Which pods do not belong on this node: pure, but for a second look at the Node.

Follows the kubelet's lifecycle/predicate.go, which asks what the scheduler asks, for pods that came
past it. What resources there are is `resizing.granting`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.model.errors import APIError
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import Pod
from steersman.model.node_rules import attracts, repels
from steersman.node.containers import host_ports
from steersman.node.static.marks import is_static

_OS: Final = "kubernetes.io/os"
_EVERY_ADDRESS: Final = "0.0.0.0"
Refusal = tuple[str, str]
_AFFINITY: Final = ("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
_PORTS: Final = ("NodePorts", "node(s) didn't have free ports for the requested pod ports")
_TAINTS: Final = ("TaintToleration", "node(s) had taints that the pod didn't tolerate")


def _failed(name: str, why: str) -> Refusal:
    return name, f"Predicate {name} failed: {why}"


def decide_by_node(pod: Pod, node: Node) -> Refusal | None:
    """Returns reason and message of a pod that this node is not for, None where it is."""
    wanted = pod.metadata.labels.get(_OS)
    if wanted is not None and wanted != "linux":
        text = f"Failed to admit pod as the `{_OS}` label doesn't match node label"
        return "PodOSSelectorNodeLabelDoesNotMatch", text
    if not attracts(pod.spec, node):
        return _failed(*_AFFINITY)
    if not is_static(pod) and repels(pod.spec, node, ("NoExecute",)):
        return _failed(*_TAINTS)
    return None


async def judge(pod: Pod, known: Node | None, name: str, client: Client) -> Refusal | None:
    """Returns the same for what is known of the node, which may be old: where that speaks against
    a pod the Node is read anew. One that nobody can read now is as it was known."""
    if known is None or (refusal := decide_by_node(pod, known)) is None:
        return None
    try:
        return decide_by_node(pod, await client.get(NODE.ref("", name)))
    except (APIError, Unreachable):
        return refusal


def decide_by_ports(pod: Pod, others: Iterable[Pod]) -> Refusal | None:
    """Returns reason and message of a pod that asks for ports of the node that others have."""
    taken = [port for other in others for port in _ports(other)]
    if any(_collide(one, other) for one in _ports(pod) for other in taken):
        return _failed(*_PORTS)
    return None


def _ports(pod: Pod) -> Iterator[tuple[str, str, int]]:
    """Yields address, protocol and number of the ports that a pod has on its node."""
    for port in host_ports(pod):
        yield port.host_ip or _EVERY_ADDRESS, port.protocol or "TCP", port.host_port


def _collide(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    same = one[0] == other[0] or _EVERY_ADDRESS in (one[0], other[0])
    return same and one[1:] == other[1:]
