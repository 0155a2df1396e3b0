"""Carries out a resize in the control groups of a pod and its containers.

Order (doPodResizeAction): no group may have more than the one above it, so the pod's grows first
and shrinks last. A limit of memory below what is in use is refused: the kernel would kill for it.
"""

from __future__ import annotations

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.observed import Observed, engine_name
from steersman.node.render import limits
from steersman.node.resizing.granting import changes, inherits, resizable
from steersman.node.tools import Tools


class ResizeFailed(Exception):
    """A limit cannot be set now; the text is the message of the pod's condition."""


async def carry_out(tools: Tools, pod: Pod, seen: Observed) -> list[str]:
    """Gives the groups what was granted; returns the names of the containers that were changed.

    Raises ResizeFailed, EngineError. Repeatable.
    """
    changed = [it for it in resizable(pod) if changes(it, seen) or inherits(pod, it, seen)]
    if seen.sandbox is None:
        return []
    for container in changed:
        await _check_usage(tools, pod, container, seen)
    wanted = limits.render_pod_resources(pod, swap=tools.swap)
    await tools.engine.update(seen.uid, "", limits.widened(wanted, seen.pod_limits))
    for container in changed:
        run = seen.of(container.name).run
        assert run is not None
        name = engine_name(container.name, run.attempt)
        resources = limits.render_resources(pod, container, swap=tools.swap)
        await tools.engine.update(seen.uid, name, limits.explicit(resources))
    await tools.engine.update(seen.uid, "", limits.explicit(wanted))
    tools.classes.put(pod)
    return [it.name for it in changed]


async def _check_usage(tools: Tools, pod: Pod, container: Container, seen: Observed) -> None:
    resources = limits.render_resources(pod, container)
    limit = resources.get("memory", {}).get("limit", limits.UNLIMITED)
    known = seen.of(container.name)
    if limit == limits.UNLIMITED or known.run is None:
        return
    counted = await tools.engine.stats(seen.uid, engine_name(container.name, known.run.attempt))
    used = counted["memory_usage_bytes"]
    if used > limit and limit < counted["memory_limit_bytes"]:
        text = f'attempting to set container "{container.name}" memory limit ({limit})'
        raise ResizeFailed(f"{text} below current usage ({used})")
