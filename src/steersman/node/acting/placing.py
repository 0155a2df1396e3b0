"""Gives a pod what it has for itself of the machine, or says why it does not take it."""

from __future__ import annotations

from steersman.model.kinds.pod import Pod
from steersman.node.admission.predicates import judge
from steersman.node.tools import Tools
from steersman.node.topology.providing import Refused


async def place(tools: Tools, pod: Pod) -> tuple[str, str] | None:
    """Returns reason and message where a pod does not belong here or cannot have its part. The
    pod has the resources that were granted."""
    if refusal := await judge(pod, tools.node(), tools.place.name, tools.client):
        return refusal
    try:
        await tools.placement.place(pod)
    except Refused as why:
        return why.reason, why.message
    return None
