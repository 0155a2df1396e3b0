"""The Node objects of simulated nodes, as a kubelet would write them."""

from __future__ import annotations

from typing import Final

from steersman.model.kind import Document
from steersman.model.kinds.node import ATTACHES, DECLARED_FEATURES
from steersman.model.times import rfc3339
from steersman.node.simulated.behaviour import Behaviour

VERSION: Final = "v1.37.0"
# Who bears this label is simulated, whoever made it
SIMULATED: Final = "steersman.dev/simulated"
HOSTNAME: Final = "kubernetes.io/hostname"


def render_node(
    name: str, behaviour: Behaviour, now: float | None = None, address: str = ""
) -> Document:
    """Returns the Node object of a simulated node that is new; without a time it has not said yet
    that it is ready."""
    labels = {
        **({HOSTNAME: name} if name else {}),
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": "amd64",
        SIMULATED: "true",
    }
    amounts = {"cpu": behaviour.cpu, "memory": behaviour.memory, "pods": behaviour.pods}
    status: Document = {"capacity": amounts, "allocatable": amounts}
    if now is not None:
        status |= render_status(name, now, address)
    metadata = {"name": name, "labels": labels, "annotations": {ATTACHES: "true"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}, "status": status}


def render_status(name: str, now: float, address: str = "", *, pressed: bool = False) -> Document:
    """Returns what a node that lives says of itself, but for its behaviour."""
    own = [{"type": "InternalIP", "address": address}] if address else []
    return {
        "conditions": _conditions(now, pressed),
        "addresses": [*own, {"type": "Hostname", "address": name}],
        "declaredFeatures": list(DECLARED_FEATURES),
        "nodeInfo": _info(name),
    }


def _info(name: str) -> Document:
    return {
        "machineID": name,
        "systemUUID": name,
        "bootID": name,
        "kernelVersion": "simulated",
        "osImage": "Simulated node",
        "containerRuntimeVersion": f"simulated://{VERSION}",
        "kubeletVersion": VERSION,
        "kubeProxyVersion": VERSION,
        "operatingSystem": "linux",
        "architecture": "amd64",
    }


def _conditions(now: float, pressed: bool) -> list[Document]:
    time = rfc3339(now)
    memory = ("True", "KubeletHasInsufficientMemory", "has insufficient memory available")
    if not pressed:
        memory = ("False", "KubeletHasSufficientMemory", "has sufficient memory available")
    said = (
        ("MemoryPressure", *memory),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "is posting ready status"),
    )
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": f"kubelet {text}",
            "lastHeartbeatTime": time,
            "lastTransitionTime": time,
        }
        for kind, status, reason, text in said
    ]
