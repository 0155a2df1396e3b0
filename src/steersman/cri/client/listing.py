"""Lists what there is in a runtime with certain labels."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.cri.client.calls import Calls
from steersman.cri.client.known import Listing
from steersman.cri.messages import containers as c
from steersman.cri.messages import sandboxes as s


async def list_sandboxes(calls: Calls, labels: Mapping[str, str]) -> tuple[s.PodSandbox, ...]:
    """Returns sandboxes; raises EngineError."""
    asked = s.ListPodSandboxRequest(s.PodSandboxFilter(label_selector=labels))
    return (await calls.runtime("ListPodSandbox", asked, s.ListPodSandboxResponse)).items


async def list_all(calls: Calls, labels: Mapping[str, str]) -> Listing:
    """Returns sandboxes and containers; raises EngineError."""
    asked = c.ListContainersRequest(c.ContainerFilter(label_selector=labels))
    found = await calls.runtime("ListContainers", asked, c.ListContainersResponse)
    return Listing(await list_sandboxes(calls, labels), found.containers)
