"""What the streams need to know of the pods on this node; the agent provides it.

Everything here is a value of the moment at which it was asked for. Nothing is kept.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from steersman.runtime.engine import ExitStatus
from steersman.wire.message import Request, Response

Answer = Response | Coroutine[Any, Any, Response]


class Wanted(msgspec.Struct, frozen=True):
    """The streams that a client asked for; with a terminal there is no stderr."""

    stdin: bool
    stdout: bool
    stderr: bool
    terminal: bool


class Instance(msgspec.Struct, frozen=True):
    """One run of a container: its name in the engine, and the path of its log."""

    id: str
    log: str


class Container(msgspec.Struct, frozen=True):
    """One container of a pod; init and ephemeral ones too.

    current:  the run that goes on, or else the last that ended; None where none ever started
    previous: what status.lastState tells of: the last run that ended before the current one, or
              the same as `current` while a restart is waited for
    waiting:  status.state.waiting.reason while it waits
    terminal, stdin: what the container's spec asks for (tty, stdin)
    """

    current: Instance | None
    previous: Instance | None
    running: bool
    waiting: str = ""
    terminal: bool = False
    stdin: bool = False


class Pod(msgspec.Struct, frozen=True):
    """One pod: its name in the engine, its UID, the path of its network namespace, which is empty
    where it has no sandbox and which only our own engine opens."""

    sandbox: str
    uid: str
    netns: str
    containers: Mapping[str, Container]


class Streaming(Protocol):
    """Connects a client that asks for it; a run is named by sandbox and id. Raises APIError."""

    def execute(
        self, request: Request, place: tuple[str, str], command: Sequence[str], wanted: Wanted
    ) -> Answer:
        """Answers with a command that is run."""

    def attach(self, request: Request, place: tuple[str, str], wanted: Wanted) -> Answer:
        """Answers with the streams of a run itself."""

    def forward(self, request: Request, pod: Pod) -> Answer:
        """Answers with connections to ports of a pod."""


class Waits(Protocol):
    """Tells when a run has ended."""

    async def wait(self, pod: str, container: str) -> ExitStatus:
        """Returns how a run ended, however long that takes; raises EngineError."""


class Engine(Waits, Protocol):
    """The engine as far as streams need it."""

    @property
    def streaming(self) -> Streaming:
        """What connects clients."""


class Pods(Protocol):
    """The pods of this node."""

    @property
    def engine(self) -> Engine:
        """The engine that runs them."""

    def find(self, namespace: str, name: str) -> Pod | None:
        """Returns a pod that has been given to this node, None for any other."""
