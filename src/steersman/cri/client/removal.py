"""Removes sandboxes from a runtime with all that is in them."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.cri.client.calls import Calls
from steersman.cri.client.listing import list_sandboxes
from steersman.cri.messages import sandboxes as s


async def remove_all(calls: Calls, labels: Mapping[str, str]) -> None:
    """Stops and removes the sandboxes with certain labels; raises EngineError."""
    for it in await list_sandboxes(calls, labels):
        stop = s.StopPodSandboxRequest(it.id)
        await calls.runtime("StopPodSandbox", stop, s.StopPodSandboxResponse)
        remove = s.RemovePodSandboxRequest(it.id)
        await calls.runtime("RemovePodSandbox", remove, s.RemovePodSandboxResponse)
