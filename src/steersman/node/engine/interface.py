"""The engine of a node: what acts on sandboxes, containers and images for the agent, which decides.

A sandbox is named by its pod's uid, a run by its container and attempt (`engine_name`), whatever
they are called inside. Our own engine is `engine.own`; those of others are behind `cri.client`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from steersman.images.credentials import Login
from steersman.images.documents import RunConfig
from steersman.images.pull import Policy, Progress
from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.devices.injection import NOTHING, Injection
from steersman.node.observed import Observed, Sandbox
from steersman.node.render.bundle import Ground
from steersman.node.streams.pods import Streaming
from steersman.runtime.engine import ContainerState, Event, ExitStatus, SandboxState


class Handler(msgspec.Struct, frozen=True):
    """What pods of one handler (RuntimeClass) may ask for."""

    recursive_read_only_mounts: bool = False
    user_namespaces: bool = False


class Features(msgspec.Struct, frozen=True):
    """Who an engine is and what pods may ask of it.

    name:          the scheme of container ids, and with the version what the Node tells
    handlers:      by name; "" is that of pods without a class. None where an engine does not tell
    image_volumes: whether an image can be a volume
    """

    name: str
    version: str
    handlers: Mapping[str, Handler]
    groups_policy: bool = False
    image_volumes: bool = False


class Image(Protocol):
    """An image that is here."""

    @property
    def digest(self) -> str:
        """What it is known by."""

    @property
    def repo_digest(self) -> str:
        """What a status says that ran (imageID)."""

    @property
    def size_bytes(self) -> int:
        """How much it has on disk."""

    @property
    def run_config(self) -> RunConfig:
        """How a container of it runs unless its pod says otherwise, as far as that is known."""


class Images(Protocol):
    """Brings images here."""

    async def ensure(
        self,
        text: str,
        policy: Policy,
        progress: Progress | None = None,
        login: Login | None = None,
    ) -> Image:
        """Returns the image of a name, pulled where the policy says so; see `images.pull`."""

    async def rootfs(self, image: Any) -> list[Path]:
        """Returns its layers from the bottom up; none where the engine keeps them to itself."""


class Order(msgspec.Struct, frozen=True):
    """One run of a container that is to be made: `variables` beside those of the image, `injection`
    what its devices need."""

    pod: Pod
    container: Container
    seen: Observed
    attempt: int
    image: Image
    variables: Mapping[str, str]
    ground: Ground
    injection: Injection = NOTHING


class Engine(Protocol):
    """See the module. What fails raises EngineError, whose kinds are those of the runtime."""

    @property
    def features(self) -> Features:
        """Who it is; known once it is prepared."""

    async def prepare(self) -> None:
        """Returns once it can be asked. Repeatable, since it may have ended meanwhile."""

    async def connect(self) -> list[SandboxState]:
        """Takes up every sandbox that is there, whoever began it."""

    async def pods(self) -> list[SandboxState]:
        """Returns every sandbox with its runs."""

    def events(self) -> AsyncIterator[Event]:
        """Yields what happens in all sandboxes; for one reader."""

    async def close(self) -> None:
        """Lets go of everything, which goes on."""

    async def start_sandbox(
        self, pod: Pod, handler: str, resources: Document, ids: Document
    ) -> Sandbox:
        """Makes and connects the ground of a pod; `resources` are its limits (linux.resources),
        `ids` the maps of users of its own.

        Also raises BadConfiguration. What was made before a failure is taken back.
        """

    def restore(self, pod: str, sandbox: Sandbox) -> None:
        """Takes note of what a sandbox has that is there from before the agent began."""

    async def remove_sandbox(self, pod: str) -> None:
        """Ends and removes a sandbox with all that is in it; one that is not there is fine."""

    async def create(self, order: Order) -> None:
        """Sets a run up. Also raises BadConfiguration for what cannot be had here."""

    async def start(self, pod: str, container: str) -> ContainerState:
        """Begins a run that was set up; an error says why its program cannot be run."""

    async def stop(self, pod: str, container: str, signal: int, seconds: float) -> ExitStatus:
        """Asks a run to end by a signal, and ends it after so long; returns how it ended."""

    async def kill(self, pod: str, container: str) -> None:
        """Ends a run at once."""

    async def wait(self, pod: str, container: str) -> ExitStatus:
        """Returns how a run ended, however long that takes."""

    async def delete(self, pod: str, container: str, *, force: bool = False) -> None:
        """Removes a run that has ended, with `force` also one that goes on."""

    async def run(
        self, pod: str, container: str, command: Sequence[str], seconds: float | None
    ) -> tuple[int, bytes]:
        """Runs a command beside a run to its end; returns its code and the beginning of what it
        wrote. Raises TimeoutError, and it is killed then."""

    async def update(self, pod: str, container: str, resources: Mapping[str, Any]) -> None:
        """Changes limits (linux.resources) of a run, or with "" of its pod."""

    async def stats(self, pod: str, container: str) -> Mapping[str, int]:
        """Counters of a run; the names say the units."""

    def container_id(self, pod: str, container: str) -> str:
        """Returns what a status shows as the id of a run, empty for what `observed` makes of it."""

    @property
    def streaming(self) -> Streaming:
        """What connects clients with runs and with ports of pods."""
