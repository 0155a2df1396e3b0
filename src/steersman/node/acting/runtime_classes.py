"""The RuntimeClass of a pod: which handler it names, and whether this node has it."""

from __future__ import annotations

from steersman.model.errors import NotFound
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.runtimeclass import RUNTIMECLASS, RuntimeClass
from steersman.node.objects import BadConfiguration
from steersman.node.tools import Tools


async def demand_handler(tools: Tools, pod: Pod) -> str:
    """Returns the handler that the pod's class names, empty for none; raises BadConfiguration
    where the node has none of that name, or it cannot do what the pod asks for."""
    handler = await _handler_of(tools, pod)
    handlers = tools.engine.features.handlers
    known = handlers.get(handler)
    if known is None and handlers:  # an engine that tells of none refuses it itself
        why = f'failed to get sandbox runtime: no runtime for "{handler}" is configured'
        raise BadConfiguration(f"rpc error: code = Unknown desc = {why}")
    if pod.spec.host_users is False and not (known is not None and known.user_namespaces):
        text = f'can not set `hostUsers: false`, runtime handler "{handler}" does not support '
        raise BadConfiguration(f"{text}user namespaces")
    return handler


async def _handler_of(tools: Tools, pod: Pod) -> str:
    name = pod.spec.runtime_class_name
    if not name:
        return ""
    try:
        found: RuntimeClass = await tools.client.get(RUNTIMECLASS.ref("", name))
    except NotFound:
        text = f'failed to get sandbox runtime: RuntimeClass.node.k8s.io "{name}" not found'
        raise BadConfiguration(text) from None
    return found.handler
