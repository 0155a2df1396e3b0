"""The RuntimeClass of a pod: which handler it names, and whether this node has it."""

from __future__ import annotations

from typing import Final

from steersman.model.errors import NotFound
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.runtimeclass import RUNTIMECLASS, RuntimeClass
from steersman.node.objects import BadConfiguration
from steersman.node.tools import Tools

# The one runtime of this node by its name, by none, and by that which manifests expect of any node
HANDLERS: Final = ("", "steersman", "runc")


async def demand_handler(tools: Tools, pod: Pod) -> None:
    """Returns where the node has what the pod's class names; raises BadConfiguration."""
    name = pod.spec.runtime_class_name
    if not name:
        return
    try:
        found: RuntimeClass = await tools.client.get(RUNTIMECLASS.ref("", name))
    except NotFound:
        text = f'failed to get sandbox runtime: RuntimeClass.node.k8s.io "{name}" not found'
        raise BadConfiguration(text) from None
    if found.handler not in HANDLERS:
        why = f'failed to get sandbox runtime: no runtime for "{found.handler}" is configured'
        raise BadConfiguration(f"rpc error: code = Unknown desc = {why}")
