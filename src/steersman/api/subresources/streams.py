"""pods/log, pods/exec, pods/attach and pods/portforward: found here, done by the pod's node.

The server looks up where the pod runs, asks the node's kubelet, and passes bytes on both ways
without looking at them. Follows upstream's registry/core/pod strategy and stream translator.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from urllib.parse import urlencode

from steersman.api.access.authorization import Attributes
from steersman.api.call import Call
from steersman.api.subresources.kubelets import Kubelet, Kubelets, Undelivered
from steersman.client.errors import Unreachable
from steersman.model.errors import APIError, BadRequest, InternalError, from_status
from steersman.model.kind import Document
from steersman.wire import channels, log_options, websocket
from steersman.wire.message import Body, Channel, Request, Response, Upgrade, User
from steersman.world.interface import World

# Not passed on: what speaks for the client to this server, and what belongs to one connection
_OWN_HEADERS = ("authorization", "cookie", "host", "content-length")
# What of a 101 concerns the client
_UPGRADE_HEADERS = (
    "upgrade",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "x-stream-protocol-version",
)
# Our options for streams, and what kubelet calls them
_STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
_FALSE = ("", "0", "f", "F", "false", "False", "FALSE")
TEXT = "text/plain"
# What is read of a refusal
REFUSAL_BYTES = 50_000


class Streams:
    """Answers the streaming subresources of pods."""

    def __init__(
        self, kubelets: Kubelets, require: Callable[[User, Attributes], None], world: World
    ) -> None:
        self._kubelets = kubelets
        self._require = require
        self._world = world

    async def log(self, call: Call) -> Response:
        """Answers `log`; raises BadRequest, Invalid, Undelivered."""
        options = log_options.parse(call.request.params, call.name)
        pod = call.entry().document()
        container = choose_container(pod, options.container)
        node = pod["spec"].get("nodeName")
        in_socket = websocket.is_handshake(call.request.headers)
        if not node:
            return self._in_socket(call, b"") if in_socket else Response(b"", 204, TEXT)
        kubelet = self._kubelets.of(node)
        path = f"/containerLogs/{call.namespace}/{call.name}/{container}"
        query = call.request.query
        try:
            answer = await kubelet.transport.send(Request("GET", path, query))
        except Unreachable as error:
            url = f"https://{kubelet.place}{path}{'?' if query else ''}{query}"
            raise Undelivered(f'Get "{url}": {kubelet.explain(error)}') from error
        if answer.status != 200:
            raise refused(answer.status, await _text(answer), f"pods/log {call.name}")
        return self._in_socket(call, answer.body) if in_socket else Response(answer.body, 200, TEXT)

    def _in_socket(self, call: Call, body: Body) -> Response:
        from steersman.api.subresources import socket_log  # loaded with the first such client

        return socket_log.within(call.request, body, self._world)

    async def exec(self, call: Call) -> Response:
        """Answers `exec`."""
        return await self._run(call, "exec")

    async def attach(self, call: Call) -> Response:
        """Answers `attach`."""
        return await self._run(call, "attach")

    async def portforward(self, call: Call) -> Response:
        """Answers `portforward`."""
        self._authorize(call)
        kubelet = self._kubelets.of(assigned_node(call.entry().document()))
        request = forwarded(call.request, f"/portForward/{call.namespace}/{call.name}")
        request.query = ports_query(call.request.params)
        try:
            return await self._open(kubelet, request)
        except Unreachable as error:
            raise Undelivered(f"error dialing backend: {kubelet.explain(error)}") from error

    def _authorize(self, call: Call) -> None:
        """Demands the right to create, also of a WebSocket, which comes as a GET (since 1.35)."""
        if call.attributes.verb != "create":
            self._require(call.user, call.attributes._replace(verb="create"))

    async def _run(self, call: Call, what: str) -> Response:
        self._authorize(call)
        given = call.request
        pod = call.entry().document()
        container = choose_container(pod, given.param("container"))
        kubelet = self._kubelets.of(assigned_node(pod))
        request = forwarded(given, f"/{what}/{call.namespace}/{call.name}/{container}")
        request.query = kubelet_query(given.params, commanded=what == "exec")
        in_band = speaks_v5(given)
        try:
            answer = await self._open(kubelet, request)
        except Unreachable as error:
            why = kubelet.explain(error)
            if not in_band:
                raise Undelivered(f"error dialing backend: {why}") from error
            url = f"https://{kubelet.place}{request.path}?{request.query}"
            return tell(given, f'error sending request: Post "{url}": {why}')
        if in_band and answer.status != 101:
            return tell(given, f"unable to upgrade connection: {await _text(answer)}")
        return answer

    async def _open(self, kubelet: Kubelet, request: Request) -> Response:
        """Returns the node's answer, with the stream joined to the client's if it is a 101."""
        answer, backend = await kubelet.transport.ask_upgrade(request)
        if backend is None:
            return Response(answer.body, answer.status, answer.content_type)
        joined = backend

        async def take(client: Channel) -> None:
            await join(client, joined, self._world)

        headers = answer.headers or {}
        kept = {name.title(): headers[name] for name in _UPGRADE_HEADERS if name in headers}
        return Response(Upgrade(take), 101, headers=kept)


async def join(client: Channel, node: Channel, world: World) -> None:
    """Passes bytes on both ways until either side is gone, then closes both."""
    try:
        async with world.tasks() as tasks:
            ways = (
                tasks.start(_pass(client, node), name="to the node"),
                tasks.start(_pass(node, client), name="to the client"),
            )
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            tasks.stop()
    finally:
        node.close()
        client.close()


async def _pass(source: Channel, target: Channel) -> None:
    try:
        while data := await source.read():
            await target.write(data)
    except ConnectionError:
        return  # the other side is gone, which ends both


def choose_container(pod: Document, name: str) -> str:
    """Returns the container that is meant; raises BadRequest in upstream's words."""
    spec, pod_name = pod["spec"], pod["metadata"]["name"]
    main = [item["name"] for item in spec.get("containers") or ()]
    init = [item["name"] for item in spec.get("initContainers") or ()]
    other = [item["name"] for item in spec.get("ephemeralContainers") or ()]
    if name:
        if name in (*main, *init, *other):
            return name
        raise BadRequest(f"container {name} is not valid for pod {pod_name}")
    if len(main) == 1:
        return str(main[0])
    message = f"a container name must be specified for pod {pod_name}"
    if main:
        message += f", choose one of: [{' '.join(main)}]"
        if init:
            message += f" or one of the init containers: [{' '.join(init)}]"
    raise BadRequest(message)


def assigned_node(pod: Document) -> str:
    """Returns the node of a pod; raises BadRequest where it has none yet."""
    node = pod["spec"].get("nodeName")
    if not node:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def kubelet_query(params: Mapping[str, Sequence[str]], *, commanded: bool) -> str:
    """Returns the options of exec or attach as kubelet takes them (streamParams)."""
    wanted = [
        (theirs, "1")
        for ours, theirs in _STREAMS.items()
        if ours in params and params[ours][0] not in _FALSE
    ]
    if commanded:
        wanted += [("command", word) for word in params.get("command", ())]
    return urlencode(wanted)


def ports_query(params: Mapping[str, Sequence[str]]) -> str:
    """Returns the ports of a port-forward as kubelet takes them; raises BadRequest."""
    ports = params.get("ports", ())
    for text in ports:
        for part in text.split(","):
            if not part.lstrip("+-").isdigit():
                raise BadRequest(f'strconv.ParseInt: parsing "{part}": invalid syntax')
    return urlencode({"port": ",".join(ports)}) if ports else ""


def forwarded(given: Request, path: str) -> Request:
    """Returns the upgrade request for the node; raises BadRequest where none is asked for."""
    if "upgrade" not in given.headers.get("connection", "").lower():
        raise BadRequest("Upgrade request required")
    headers = {
        name: value
        for name, value in websocket.without_bearer(given.headers).items()
        if name not in _OWN_HEADERS and not name.startswith("impersonate-")
    }
    return Request(given.method, path, "", headers)


def speaks_v5(request: Request) -> bool:
    """Says whether a client awaits errors within the WebSocket, as upstream's translator gives
    them, rather than instead of it."""
    headers = request.headers
    return websocket.is_handshake(headers) and channels.V5 in websocket.offered(headers)


def tell(request: Request, why: str) -> Response:
    """Returns the WebSocket on which the client is told why nothing runs."""
    text = f"Internal error occurred: {why}"
    status = InternalError(text, details={"causes": [{"message": why}]}).status()
    try:
        headers = websocket.handshake(request.headers, channels.V5)
    except websocket.ProtocolError as error:
        raise BadRequest(str(error)) from error

    async def take(channel: Channel) -> None:
        spoken = channels.Channels(channels.V5, websocket.WebSocket())
        told = spoken.encode(channels.ERROR, json.dumps(status).encode()) + spoken.close()
        try:
            await channel.write(told)
            await channel.read()  # the client's own close; an earlier end could lose the status
        except ConnectionError:
            return

    return Response(Upgrade(take), 101, headers=headers)


def refused(code: int, text: str, what: str) -> APIError:
    """Returns what a kubelet's refusal is for the client (GenericHttpResponseChecker)."""
    if code == 500:
        return InternalError(f"Internal error occurred: {text}")
    if code == 400:
        return BadRequest(text)
    if code == 404:
        return _classified(code, f"the server could not find the requested resource ( {what})")
    return _classified(code, f"the server rejected our request for an unknown reason ( {what})")


def _classified(code: int, message: str) -> APIError:
    return from_status({"code": code, "message": message})


async def _text(answer: Response) -> str:
    body = answer.body
    if isinstance(body, bytes):
        return body[:REFUSAL_BYTES].decode("utf-8", "replace")
    read = b""
    if isinstance(body, AsyncIterator):
        async for piece in body:
            read += piece
            if len(read) > REFUSAL_BYTES:
                break
    return read[:REFUSAL_BYTES].decode("utf-8", "replace")
