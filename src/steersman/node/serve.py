"""The agent's HTTPS port, on the paths of kubelet's server: for the API server, and for whom it
allows to ask (`visitors`).

Logs are streamed, exec, attach and port-forward are upgrades. Errors are plain text, as kubelet's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from steersman.listen.serve import Server
from steersman.model.errors import (
    APIError,
    BadRequest,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
)
from steersman.node.measure.answer import HEALTH, TEXT, Telling
from steersman.node.streams import spdy_remote
from steersman.node.streams.endings import Endings
from steersman.node.streams.forward import Forwarding
from steersman.node.streams.forward_channels import PARAMETER, ChannelForwarding, parse_ports
from steersman.node.streams.logs import Logs
from steersman.node.streams.pods import Answer, Pod, Pods, Wanted
from steersman.node.streams.remote import Remote, WebSocketRemote
from steersman.node.streams.spdy_remote import SpdyRemote
from steersman.node.streams.tunnel import Tunnel
from steersman.node.visitors import API_SERVER, Visitors, is_api_server, of_certificate
from steersman.wire import channels, websocket
from steersman.wire.log_options import parse
from steersman.wire.message import Channel, Handler, Request, Response, Upgrade
from steersman.world.interface import Tasks, World

SPDY = "SPDY/3.1"
# What is spoken over SPDY for port-forward
FORWARD = "portforward.k8s.io"

Play = Callable[[Remote], Coroutine[Any, Any, None]]


class Port(msgspec.Struct, frozen=True):
    """Where the agent listens, and how it shows itself and knows the others."""

    address: str
    number: int
    tls: ssl.SSLContext


async def serve(
    port: Port,
    pods: Pods,
    world: World,
    ready: Callable[[int], None] = lambda number: None,
    others: Others | None = None,
) -> None:
    """Serves until cancelled; `ready` gets the port's number. Raises OSError."""
    async with (
        world.tasks() as tasks,
        Server(handler(pods, world, tasks, others), world) as server,
    ):
        _, number = await server.listen(port.address, port.number, port.tls)
        ready(number)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            tasks.stop()


class Others(msgspec.Struct, frozen=True):
    """What the agent tells of itself, and who beside the API server may ask it."""

    visitors: Visitors
    telling: Telling


def handler(pods: Pods, world: World, tasks: Tasks, others: Others | None = None) -> Handler:
    """Returns what answers requests to the agent."""
    streams = Streams(pods, world, tasks)

    def handle(request: Request) -> Answer:
        try:
            trusted = is_api_server(request)
            if others is None:
                check_client(request)
            elif not trusted or others.telling.knows(request.path):
                return guarded(request, others, trusted)
            found = streams.answer(request)
        except APIError as error:
            return refused(error)
        return found if isinstance(found, Response) else awaited(found)

    async def awaited(coming: Coroutine[Any, Any, Response]) -> Response:
        try:
            return await coming
        except APIError as error:
            return refused(error)

    async def guarded(request: Request, others: Others, trusted: bool) -> Response:
        try:
            if not trusted:
                await others.visitors.admit(request)
            if others.telling.knows(request.path):
                return await others.telling.answer(request)
            found = streams.answer(request)
            return found if isinstance(found, Response) else await found
        except APIError as error:
            return refused(error)

    return handle


def refused(error: APIError) -> Response:
    """Returns an error as kubelet tells it."""
    return Response(error.message.encode(), error.code, TEXT)


def check_client(request: Request) -> None:
    """Raises Unauthorized, Forbidden for anybody but the API server, where nobody can be asked."""
    visitor = of_certificate(request)
    if visitor is None:
        raise Unauthorized
    if visitor.name != API_SERVER:
        verb = request.method.lower()
        raise Forbidden(f"Forbidden (user={visitor.name}, verb={verb}, resource=nodes)")


class Streams:
    """Answers requests by path."""

    def __init__(self, pods: Pods, world: World, tasks: Tasks) -> None:
        self._pods = pods
        self._logs = Logs(Endings(pods.engine, tasks), world)

    def answer(self, request: Request) -> Answer:
        """Answers one request; raises the errors of `model.errors`."""
        parts = request.path.strip("/").split("/")
        if parts[0] == "healthz" and request.path in HEALTH:
            return Response(b"ok", content_type=TEXT)
        known: dict[str, Callable[..., Answer]]
        known = {"containerLogs": self._log, "exec": self._exec, "attach": self._attach}
        if parts[0] == "portForward" and len(parts) == 3:
            return self._forward(request, *parts[1:])
        if parts[0] not in known or len(parts) != 4:
            raise NotFound("404 page not found")
        if request.method not in (("GET",) if parts[0] == "containerLogs" else ("GET", "POST")):
            raise MethodNotAllowed("405: Method Not Allowed")
        return known[parts[0]](request, *parts[1:])

    def _find(self, namespace: str, name: str, missing: str) -> Pod:
        pod = self._pods.find(namespace, name)
        if pod is None:
            raise NotFound(missing)
        return pod

    def _log(self, request: Request, namespace: str, name: str, container: str) -> Response:
        pod = self._find(namespace, name, f'pod "{name}" does not exist\n')
        options = parse(request.params, name)
        if container not in pod.containers:
            raise NotFound(f'container "{container}" not found in pod "{name}"\n')
        return Response(self._logs.open(name, pod, container, options), content_type="text/plain")

    def _exec(self, request: Request, namespace: str, name: str, container: str) -> Answer:
        pod = self._find(namespace, name, "pod does not exist")
        wanted = parse_wanted(request, request.param("tty") == "1")
        place = _running(pod, container, f'container not found ("{container}")')
        command = request.params.get("command", [])
        return self._pods.engine.streaming.execute(request, place, command, wanted)

    def _attach(self, request: Request, namespace: str, name: str, container: str) -> Answer:
        pod = self._find(namespace, name, "pod does not exist")
        place = _running(
            pod, container, f"container {container} not found in pod {name}_{namespace}"
        )
        # A container has a terminal or has none, whatever the client says
        wanted = parse_wanted(request, pod.containers[container].terminal)
        return self._pods.engine.streaming.attach(request, place, wanted)

    def _forward(self, request: Request, namespace: str, name: str) -> Answer:
        pod = self._find(namespace, name, "pod does not exist")
        if not pod.netns:
            raise InternalError(f"not able to find sandbox of pod {name}_{namespace}")
        return self._pods.engine.streaming.forward(request, pod)


def parse_wanted(request: Request, terminal: bool) -> Wanted:
    """Returns the streams that a request asks for, in kubelet's words; raises BadRequest."""
    stdin, stdout, stderr = (request.param(name) == "1" for name in ("input", "output", "error"))
    if terminal:
        stderr = False
    if not (stdin or stdout or stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return Wanted(stdin, stdout, stderr, terminal)


def _running(pod: Pod, container: str, missing: str) -> tuple[str, str]:
    """Returns where in the engine a container runs; raises InternalError with these words."""
    found = pod.containers.get(container)
    if found is None or found.current is None or not found.running:
        raise InternalError(missing)
    return pod.sandbox, found.current.id


def upgrade(request: Request, play: Play, wanted: Wanted, world: World) -> Response:
    """Returns the 101 that hands the connection to exec or attach; raises BadRequest."""
    if request.headers.get("upgrade", "").lower() == SPDY.lower():
        choose(spdy_offered(request), (spdy_remote.PROTOCOL,))
        return Response(
            Upgrade(lambda channel: _play_spdy(channel, play, wanted, world)),
            headers=spdy_handshake(spdy_remote.PROTOCOL),
        )
    if not websocket.is_handshake(request.headers):
        raise BadRequest("Upgrade request required")
    protocol = choose_channels(request, channels.REMOTE_COMMAND)

    async def take(channel: Channel) -> None:
        with suppress(ConnectionError):  # the client went away while it was being told
            await play(WebSocketRemote(channel, protocol))

    return Response(Upgrade(take), headers=handshake(request, protocol))


async def _play_spdy(channel: Channel, play: Play, wanted: Wanted, world: World) -> None:
    async with world.tasks() as tasks:
        with suppress(ConnectionError):
            await play(SpdyRemote(channel, wanted, world, tasks))
        tasks.stop()


def upgrade_forward(request: Request, pod: Pod, world: World) -> Response:
    """Returns the 101 that hands the connection to port-forward; raises BadRequest."""
    if request.headers.get("upgrade", "").lower() == SPDY.lower():
        choose(spdy_offered(request), (FORWARD,))
        headers = spdy_handshake(FORWARD)
        return Response(
            Upgrade(lambda channel: Forwarding(pod, channel, world).run()), headers=headers
        )
    if not websocket.is_handshake(request.headers):
        raise BadRequest("Upgrade request required")
    protocol = choose_channels(request, (channels.TUNNEL, *channels.PORT_FORWARD))
    headers = handshake(request, protocol)
    if protocol == channels.TUNNEL:
        return Response(
            Upgrade(lambda channel: Forwarding(pod, Tunnel(channel), world).run()), headers=headers
        )
    ports = parse_ports(request.params.get(PARAMETER, []))
    return Response(
        Upgrade(lambda channel: ChannelForwarding(pod, channel, protocol, ports, world).run()),
        headers=headers,
    )


def choose(offered: Sequence[str], supported: Sequence[str]) -> str:
    """Returns the protocol to speak; raises Forbidden where there is none, as upstream does."""
    if not (protocol := channels.choose(offered, supported)):
        shown = [f"[{' '.join(names)}]" for names in (offered, supported)]
        raise Forbidden(
            f"unable to upgrade: unable to negotiate protocol: client supports {shown[0]}, "
            f"server accepts {shown[1]}"
        )
    return protocol


def choose_channels(request: Request, supported: Sequence[str]) -> str:
    """Returns the protocol to speak over WebSocket; raises Forbidden."""
    offered = websocket.offered(request.headers)
    return choose(offered, supported) if offered else channels.UNNAMED


def spdy_offered(request: Request) -> list[str]:
    """Returns the protocols that a client offers to speak over SPDY."""
    lines = request.headers.get("x-stream-protocol-version", "").replace("\n", ",")
    return [name.strip() for name in lines.split(",") if name.strip()]


def spdy_handshake(protocol: str) -> dict[str, str]:
    """Returns the headers of the 101 that grants SPDY."""
    return {"Upgrade": SPDY, "X-Stream-Protocol-Version": protocol}


def handshake(request: Request, protocol: str) -> dict[str, str]:
    """Returns the headers of the 101 that grants a WebSocket; raises BadRequest."""
    try:
        return websocket.handshake(request.headers, protocol)
    except websocket.ProtocolError as error:
        raise BadRequest(str(error)) from error
