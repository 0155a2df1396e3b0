"""Exec, attach and port-forward by the runtime's own streaming server: the connection of a client
that speaks SPDY is handed on to it, as the kubelet does (proxyStream); what others say to exec and
attach is translated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport, Target
from steersman.cri.client.calls import Calls
from steersman.cri.client.known import Known
from steersman.cri.client.translating import UPGRADE, Translation
from steersman.cri.messages import containers as c
from steersman.model.errors import InternalError
from steersman.node.serve import FORWARD, SPDY, handshake, upgrade
from steersman.node.streams.forward_channels import PARAMETER
from steersman.node.streams.pods import Pod, Wanted
from steersman.node.streams.remote import Remote
from steersman.node.streams.tunnel import Tunnel
from steersman.runtime.engine import EngineError
from steersman.wire.channels import TUNNEL
from steersman.wire.message import Channel, Request, Response, Upgrade
from steersman.world.interface import World

# Of a request what the streaming server must see, of its answer what the client must
_ASKED: Final = frozenset(
    (
        *("connection", "upgrade", "x-stream-protocol-version", "origin"),
        *("sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol"),
        "sec-websocket-extensions",
    )
)
_ANSWERED: Final = frozenset(
    (
        *("connection", "upgrade", "x-stream-protocol-version", "sec-websocket-accept"),
        *("sec-websocket-protocol", "sec-websocket-extensions"),
    )
)


class ProxiedStreaming:
    """See `node.streams.pods.Streaming`."""

    def __init__(self, calls: Calls, known: Known, world: World) -> None:
        self._calls = calls
        self._known = known
        self._world = world

    async def execute(
        self, request: Request, place: tuple[str, str], command: Sequence[str], wanted: Wanted
    ) -> Response:
        """Answers with a command that the runtime runs."""
        try:
            asked = c.ExecRequest(
                self._known.run(*place).id,
                tuple(command),
                wanted.terminal,
                wanted.stdin,
                wanted.stdout,
                wanted.stderr,
            )
            found = await self._calls.runtime("Exec", asked, c.ExecResponse)
        except EngineError as error:
            raise InternalError(str(error)) from error
        return await self._connect(request, found.url, wanted)

    async def attach(self, request: Request, place: tuple[str, str], wanted: Wanted) -> Response:
        """Answers with the streams of a run itself."""
        try:
            asked = c.AttachRequest(
                self._known.run(*place).id,
                wanted.stdin,
                wanted.terminal,
                wanted.stdout,
                wanted.stderr,
            )
            found = await self._calls.runtime("Attach", asked, c.AttachResponse)
        except EngineError as error:
            raise InternalError(str(error)) from error
        return await self._connect(request, found.url, wanted)

    async def forward(self, request: Request, pod: Pod) -> Response:
        """Answers with connections to ports of a pod."""
        try:
            ports = tuple(int(it) for it in request.params.get(PARAMETER, []) if it.isdecimal())
            asked = c.PortForwardRequest(self._known.sandbox(pod.sandbox), ports)
            found = await self._calls.runtime("PortForward", asked, c.PortForwardResponse)
        except EngineError as error:
            raise InternalError(str(error)) from error
        return await self._hand_on(request, found.url)

    async def _connect(self, request: Request, url: str, wanted: Wanted) -> Response:
        """Connects a client with exec or attach; raises APIError."""
        if request.headers.get("upgrade", "").lower() == SPDY.lower():
            return await self._hand_on(request, url)

        async def play(remote: Remote) -> None:
            asked = Request("POST", "", headers=UPGRADE)
            try:
                answer, channel = await self._ask(asked, url)
                if channel is None:
                    raise InternalError(f"unable to upgrade connection: {_text(answer)}")
            except InternalError as error:
                await remote.begin(stdout=wanted.stdout, stderr=wanted.stderr)
                await remote.conclude(error.status())
                return
            await Translation(remote, channel, wanted).run(self._world)

        return upgrade(request, play, wanted, self._world)

    async def _hand_on(self, request: Request, url: str) -> Response:
        """Asks the streaming server what the client asks; raises InternalError. SPDY in a WebSocket
        is taken out of it."""
        is_tunnel = TUNNEL in request.headers.get("sec-websocket-protocol", "")
        headers = {name: it for name, it in request.headers.items() if name in _ASKED}
        if is_tunnel:
            headers = {**UPGRADE, "x-stream-protocol-version": FORWARD}
        asked = Request(request.method, "", request.query, headers)
        answer, channel = await self._ask(asked, url)
        if channel is None:
            return Response(answer.body, answer.status, answer.content_type)
        there = channel
        if is_tunnel:
            shown = handshake(request, TUNNEL)
            return Response(
                Upgrade(lambda mine: splice(Tunnel(mine), there, self._world)), headers=shown
            )
        kept = {name: it for name, it in (answer.headers or {}).items() if name in _ANSWERED}
        return Response(Upgrade(lambda mine: splice(mine, there, self._world)), headers=kept)

    async def _ask(self, request: Request, url: str) -> tuple[Response, Channel | None]:
        """Asks for an upgrade at a URL that the runtime gave; raises InternalError."""
        there = urlsplit(url)
        if there.scheme != "http" or not there.hostname:
            raise InternalError(f"the runtime gives a streaming URL that is not served: {url}")
        transport = HTTPTransport(Target(there.hostname, there.port or 80))
        query = there.query or request.query
        asked = Request(request.method, there.path, query, request.headers)
        try:
            return await transport.ask_upgrade(asked)
        except Unreachable as error:
            raise InternalError(str(error)) from error


def _text(answer: Response) -> str:
    return answer.body.decode("utf-8", "replace") if isinstance(answer.body, bytes) else ""


async def splice(client: Channel, server: Channel, world: World) -> None:
    """Copies both ways until the server has said everything, or either is gone."""

    async def copy(source: Channel, sink: Channel) -> None:
        try:
            while data := await source.read():
                await sink.write(data)
        except ConnectionError:
            pass  # the one who went needs nothing any more
        finally:
            sink.close()

    async with world.tasks() as tasks:
        tasks.start(copy(client, server), name="client to runtime")
        await copy(server, client)
        tasks.stop()
