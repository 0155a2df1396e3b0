"""Why a node takes no pods."""

from __future__ import annotations

from steersman.explain.cause import Cause
from steersman.explain.objects import Objects, about, condition, name_of
from steersman.model.kind import Document
from steersman.model.kinds.node import NODE
from steersman.model.kinds.printing import at

_PRESSURE = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


def of_node(objects: Objects, node: Document) -> Cause:
    """Returns what is the matter with a node."""
    del objects
    name, plain = about(NODE, name_of(node)), name_of(node)
    ready = condition(node, "Ready")
    if ready.get("status") != "True":
        told = f"{ready.get('reason', 'Unknown')}: {ready.get('message', 'it has said nothing')}"
        return Cause(
            name,
            "is not ready",
            details=(told,),
            helps=("see whether its agent runs and reaches the API server",),
        )
    if at(node, "spec", "unschedulable"):
        return Cause(name, "is cordoned", helps=(f"kubectl uncordon {plain}",))
    short = [it for it in _PRESSURE if condition(node, it).get("status") == "True"]
    if short:
        details = tuple(f"{it}: {condition(node, it).get('message', '')}" for it in short)
        return Cause(name, f"is short: {', '.join(short)}", details=details)
    taints = [
        f"{it.get('key')}={it.get('value') or ''}:{it.get('effect')}"
        for it in at(node, "spec", "taints") or ()
    ]
    if taints:
        finding = f"is ready, for pods that tolerate {', '.join(taints)}"
        return Cause(name, finding, sound=True)
    return Cause(name, "is ready", sound=True)
