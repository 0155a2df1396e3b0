"""What every part of the CRI server is given: one value, put together in the cluster's
composition."""

from __future__ import annotations

from pathlib import Path

import msgspec

from steersman.cri.known import Known
from steersman.images.pull import Puller
from steersman.images.store import Store
from steersman.node.engine.own import Network
from steersman.node.warm import WarmParent
from steersman.runtime.engine import Engine, EngineError
from steersman.wire.http2.grpc import (
    ALREADY_EXISTS,
    FAILED_PRECONDITION,
    INTERNAL,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNAVAILABLE,
    UNKNOWN,
    Failed,
)
from steersman.world.interface import World

_CODES = {
    "not-found": NOT_FOUND,
    "conflict": ALREADY_EXISTS,
    "invalid": INVALID_ARGUMENT,
    "failed": UNKNOWN,
    "lost": FAILED_PRECONDITION,
    "unavailable": UNAVAILABLE,
}


class Tools(msgspec.Struct, frozen=True):
    """The server's means.

    directory: holds, for each sandbox, the files that its containers have in /etc
    cgroup:    the control group of sandboxes that name none
    """

    engine: Engine
    warm: WarmParent
    network: Network
    puller: Puller
    store: Store
    known: Known
    directory: Path
    cgroup: str
    world: World

    def etc(self, sandbox: str) -> Path:
        """Returns where the files of a sandbox are."""
        return self.directory / "sandboxes" / sandbox


def failure(what: str, error: EngineError) -> Failed:
    """Returns an error of the engine as the caller sees it."""
    return Failed(_CODES.get(error.kind, INTERNAL), f"{what}: {error}")
