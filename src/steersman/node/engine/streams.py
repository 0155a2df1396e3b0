"""Exec, attach and port-forward on our own engine: the client's connection is served here."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from steersman.node.serve import upgrade, upgrade_forward
from steersman.node.streams import session
from steersman.node.streams.pods import Pod, Wanted
from steersman.node.streams.remote import Remote
from steersman.runtime.engine import Engine
from steersman.wire.message import Request, Response
from steersman.world.interface import World


class OwnStreaming:
    """See `streams.pods.Streaming`."""

    def __init__(self, engine: Engine, world: World) -> None:
        self._engine = engine
        self._world = world

    def execute(
        self, request: Request, place: tuple[str, str], command: Sequence[str], wanted: Wanted
    ) -> Response:
        """Answers with a command that is run."""

        def play(remote: Remote) -> Coroutine[Any, Any, None]:
            return session.execute(self._engine, place, command, wanted, remote, self._world)

        return upgrade(request, play, wanted, self._world)

    def attach(self, request: Request, place: tuple[str, str], wanted: Wanted) -> Response:
        """Answers with the streams of a run itself."""

        def play(remote: Remote) -> Coroutine[Any, Any, None]:
            return session.attach(self._engine, place, wanted, remote, self._world)

        return upgrade(request, play, wanted, self._world)

    def forward(self, request: Request, pod: Pod) -> Response:
        """Answers with connections to ports of a pod."""
        return upgrade_forward(request, pod, self._world)
