"""What the streams need to know of the pods on this node; the agent provides it.

Everything here is a value of the moment at which it was asked for. Nothing is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from steersman.runtime.engine import Engine


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
    """One pod: its name in the engine, its UID, the path of its network namespace."""

    sandbox: str
    uid: str
    netns: str
    containers: Mapping[str, Container]


class Pods(Protocol):
    """The pods of this node."""

    @property
    def engine(self) -> Engine:
        """The engine that runs them."""

    def find(self, namespace: str, name: str) -> Pod | None:
        """Returns a pod that has been given to this node, None for any other."""
