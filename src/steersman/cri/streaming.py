"""Exec, attach and port-forward: a URL that is good once, and what answers there.

A kubelet hands the connection of its own caller on to it. Who asks was known when the URL was made;
it cannot be guessed, and is on loopback alone. Follows kubelet's streaming server.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, NamedTuple

from steersman.cri.messages.containers import (
    RUNNING,
    AttachRequest,
    AttachResponse,
    ExecRequest,
    ExecResponse,
    PortForwardRequest,
    PortForwardResponse,
)
from steersman.cri.tools import Tools, failure
from steersman.model.errors import APIError
from steersman.node.serve import Play, refused, upgrade, upgrade_forward
from steersman.node.streams import session
from steersman.node.streams.pods import Pod, Wanted
from steersman.node.streams.remote import Remote
from steersman.runtime.engine import EngineError
from steersman.wire.http2.grpc import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    Failed,
)
from steersman.wire.message import Request, Response

TTL_SECONDS: Final = 60.0  # kubelet's cacheTTL
MAX_WAITING: Final = 1000  # its maxInFlight
LOOPBACK: Final = "127.0.0.1"


class _Ticket(NamedTuple):
    until: float
    ask: ExecRequest | AttachRequest | PortForwardRequest


class Streaming:
    """See the module; `port` is set when it is listened on."""

    def __init__(self, tools: Tools) -> None:
        self.port = 0
        self._tools = tools
        self._tickets: dict[str, _Ticket] = {}

    async def exec(self, asked: ExecRequest) -> ExecResponse:
        """Returns where a command can be run; raises Failed."""
        _check(asked.stdin, asked.stdout, asked.stderr, asked.tty)
        self._demand_running(asked.container_id)
        return ExecResponse(self._url("exec", asked))

    async def attach(self, asked: AttachRequest) -> AttachResponse:
        """Returns where a container can be attached to; raises Failed."""
        _check(asked.stdin, asked.stdout, asked.stderr, asked.tty)
        self._demand_running(asked.container_id)
        return AttachResponse(self._url("attach", asked))

    async def forward(self, asked: PortForwardRequest) -> PortForwardResponse:
        """Returns where ports of a sandbox can be reached; raises Failed."""
        sandbox = self._tools.known.sandbox(asked.pod_sandbox_id)
        if not sandbox.ready:
            raise Failed(FAILED_PRECONDITION, f'sandbox "{sandbox.id}" is not running')
        return PortForwardResponse(self._url("portforward", asked))

    def _demand_running(self, id: str) -> None:
        container = self._tools.known.container(id)
        if container.state != RUNNING:
            raise Failed(FAILED_PRECONDITION, f'container "{container.id}" is not running')

    def _url(self, what: str, asked: ExecRequest | AttachRequest | PortForwardRequest) -> str:
        now = self._tools.world.monotonic()
        for old in [it for it, ticket in self._tickets.items() if ticket.until <= now]:
            del self._tickets[old]
        if len(self._tickets) >= MAX_WAITING:
            raise Failed(RESOURCE_EXHAUSTED, "maximum number of in-flight requests exceeded")
        token = self._tools.world.uid()
        self._tickets[token] = _Ticket(now + TTL_SECONDS, asked)
        return f"http://{LOOPBACK}:{self.port}/{what}/{token}"

    async def handle(self, request: Request) -> Response:
        """Answers a request for a URL that was given."""
        ticket = self._tickets.pop(request.path.rpartition("/")[2], None)
        if ticket is None or ticket.until <= self._tools.world.monotonic():
            return Response(b"404 page not found\n", 404, "text/plain")
        try:
            if isinstance(ticket.ask, PortForwardRequest):
                return upgrade_forward(request, await self._pod(ticket.ask), self._tools.world)
            return self._upgrade(request, ticket.ask)
        except APIError as error:
            return refused(error)
        except Failed as error:  # it has gone meanwhile
            return Response(f"{error.text}\n".encode(), 500, "text/plain")

    async def _pod(self, asked: PortForwardRequest) -> Pod:
        sandbox = self._tools.known.sandbox(asked.pod_sandbox_id)
        try:
            found = await self._tools.engine.sandbox(sandbox.id)
        except EngineError as error:
            raise failure(f'sandbox "{sandbox.id}" is not running', error) from error
        return Pod(sandbox.id, sandbox.id, found.netns, {})

    def _upgrade(self, request: Request, asked: ExecRequest | AttachRequest) -> Response:
        container = self._tools.known.container(asked.container_id)
        terminal = asked.tty if isinstance(asked, ExecRequest) else container.config.tty
        wanted = Wanted(asked.stdin, asked.stdout, asked.stderr and not terminal, terminal)
        place = container.sandbox, container.id
        return upgrade(request, self._play(asked, place, wanted), wanted, self._tools.world)

    def _play(
        self, asked: ExecRequest | AttachRequest, place: tuple[str, str], wanted: Wanted
    ) -> Play:
        engine, world = self._tools.engine, self._tools.world

        def execute(remote: Remote) -> Coroutine[Any, Any, None]:
            assert isinstance(asked, ExecRequest)
            return session.execute(engine, place, asked.cmd, wanted, remote, world)

        def attach(remote: Remote) -> Coroutine[Any, Any, None]:
            return session.attach(engine, place, wanted, remote, world)

        return execute if isinstance(asked, ExecRequest) else attach


def _check(stdin: bool, stdout: bool, stderr: bool, terminal: bool) -> None:
    """Raises Failed for streams that cannot be (kubelet's validateExecRequest)."""
    if terminal and stderr:
        raise Failed(INVALID_ARGUMENT, "tty and stderr cannot both be true")
    if not (stdin or stdout or stderr):
        raise Failed(INVALID_ARGUMENT, "one of stdin, stdout, or stderr must be set")
