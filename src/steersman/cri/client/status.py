"""Who a runtime is, what it can do and whether it is well: Version, RuntimeConfig and Status.

Words are the kubelet's (runtimeState, remote_runtime.go), since they stand in the Node.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from steersman.cri.client.calls import Calls, Unimplemented
from steersman.cri.messages.runtime import (
    SYSTEMD,
    RuntimeConfigRequest,
    RuntimeConfigResponse,
    RuntimeHandler,
    RuntimeStatus,
    StatusRequest,
    StatusResponse,
    VersionRequest,
    VersionResponse,
)
from steersman.node.engine.interface import Features, Handler
from steersman.runtime.engine import EngineError
from steersman.world.interface import World

LOOK_SECONDS: Final = 5.0  # kubelet's updateRuntimeUp
VERSION: Final = "v1"
_TYPES: Final = ("RuntimeReady", "NetworkReady")
_WHAT: Final = {
    "RuntimeReady": "container runtime not ready",
    "NetworkReady": "container runtime network not ready",
}
# From which version on
_IMAGE_VOLUMES: Final = {"containerd": (2, 1), "cri-o": (1, 31)}
DOWN: Final = "container runtime is down"


async def read_features(calls: Calls) -> Features:
    """Asks a runtime who it is and what it can do; raises EngineError, for one that cannot be
    used too."""
    try:
        told = await calls.runtime("Version", VersionRequest(), VersionResponse)
    except EngineError as error:
        endpoint = f'runtime API for endpoint "unix://{calls.path}"'
        text = f"validate CRI {VERSION} {endpoint}: {error}"
        if isinstance(error, Unimplemented):
            implemented = endpoint.replace("API for", "API is not implemented for")
            text = f"CRI {VERSION} {implemented}: {error}"
        raise EngineError(error.kind, text) from error
    await _check_driver(calls)
    status = await calls.runtime("Status", StatusRequest(), StatusResponse)
    handlers = {it.name: render_handler(it) for it in status.runtime_handlers}
    features = status.features
    return Features(
        told.runtime_name,
        told.runtime_version,
        handlers,
        groups_policy=features is not None and features.supplemental_groups_policy,
        image_volumes=knows_image_volumes(told.runtime_name, told.runtime_version),
    )


def knows_image_volumes(name: str, version: str) -> bool:
    """Whether a runtime takes images as mounts, of which the interface does not tell; one that is
    not known here says itself what it does not take."""
    first = _IMAGE_VOLUMES.get(name)
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    return first is None or numbers is None or tuple(map(int, numbers.groups())) >= first


async def _check_driver(calls: Calls) -> None:
    """Raises EngineError for control groups that are not ours to make."""
    try:
        found = await calls.runtime("RuntimeConfig", RuntimeConfigRequest(), RuntimeConfigResponse)
    except Unimplemented:
        return  # it is as it was configured, and says what is wrong with the first sandbox
    if found.linux is not None and found.linux.cgroup_driver == SYSTEMD:
        text = "its control groups are made by systemd: set its cgroup driver to cgroupfs"
        raise EngineError("invalid", f"the container runtime cannot be used: {text}")


def render_handler(told: RuntimeHandler) -> Handler:
    """Returns what pods of a handler may ask for."""
    features = told.features
    if features is None:
        return Handler()
    return Handler(features.recursive_read_only_mounts, features.user_namespaces)


def decide_trouble(status: RuntimeStatus | None) -> str:
    """Returns why a node is not ready for the sake of its runtime, empty where it is."""
    conditions = () if status is None else status.conditions
    told = {it.type: it for it in conditions}
    found = []
    for kind in _TYPES:
        it = told.get(kind)
        if it is None:
            found.append(f"{_WHAT[kind]}: missing condition {kind}")
        elif not it.status:
            why = f"{kind}=false reason:{it.reason} message:{it.message}"
            found.append(f"{_WHAT[kind]}: {why}")
    if not found:
        return ""
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]"


class Health:
    """Looks after a runtime; `changed` is called when `trouble` has."""

    def __init__(self, calls: Calls, world: World) -> None:
        self._calls = calls
        self._world = world
        self.trouble = ""
        self.changed: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            before, self.trouble = self.trouble, await self._look()
            if before != self.trouble:
                self.changed()
            await self._world.sleep(LOOK_SECONDS)

    async def _look(self) -> str:
        try:
            answer = await self._calls.runtime("Status", StatusRequest(), StatusResponse)
        except EngineError:
            return DOWN
        return decide_trouble(answer.status)
