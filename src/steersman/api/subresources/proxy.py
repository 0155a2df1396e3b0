"""The proxy subresources: plain HTTP to a pod or a service's endpoint, TLS to a node's kubelet.

A name may carry a scheme and a port (`https:web:8443`). Links in what comes back are made to lead
through the proxy again (`links`).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from steersman.api.access.authorization import Attributes
from steersman.api.call import Call
from steersman.api.subresources.kubelets import Kubelets
from steersman.api.subresources.streams import join
from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport, Target
from steersman.model.errors import BadRequest, ServiceUnavailable, not_found
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.wire import websocket
from steersman.wire.message import Channel, Request, Response, Upgrade
from steersman.world.interface import World

PODS = Resource("", "pods")
SERVICES = Resource("", "services")
ENDPOINTS = Resource("", "endpoints")
# RFC 9110 section 7.6.1, and what speaks for the client to this server
_OWN_HEADERS = frozenset(
    (
        "authorization",
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
# Of an answer: who else may read it is not the other side's to say
_CORS = frozenset(
    f"Access-Control-Allow-{what}" for what in ("Credentials", "Headers", "Methods", "Origin")
)
# What of a path needs no escape (RFC 3986 section 3.3)
_PATH = "/:@!$&'()*+,;="
# What names somebody else; the other side hears of it from this server alone
_NAMING = ("impersonate-", "x-remote-")
_SCHEMES = ("", "http", "https")


class Name(NamedTuple):
    """Whom a path means: `[scheme:]name[:port]`."""

    scheme: str
    name: str
    port: str


def parse_name(text: str) -> Name:
    """Returns the parts of a name in a path; raises BadRequest (net.SplitSchemeNamePort)."""
    parts = text.split(":")
    if len(parts) == 1:
        return Name("", parts[0], "")
    if len(parts) == 2:
        return Name("", parts[0], parts[1])
    if len(parts) == 3 and parts[0] in _SCHEMES:
        return Name(*parts)
    raise BadRequest(f'invalid request "{text}"')


class Proxies:
    """Answers `proxy` on pods, services and nodes."""

    def __init__(
        self, find: Callable[[Ref], Document | None], kubelets: Kubelets, world: World
    ) -> None:
        self._find = find
        self._kubelets = kubelets
        self._world = world

    async def pod(self, call: Call) -> Response:
        """Passes a request on to a pod."""
        name = parse_name(call.name)
        pod = self._find(Ref(PODS, call.namespace, name.name))
        if pod is None:
            raise not_found("", "pods", name.name)
        target = locate_pod(pod, name)
        return await self._pass(call, HTTPTransport(target), str(target))

    async def service(self, call: Call) -> Response:
        """Passes a request on to one of a service's ready endpoints."""
        name = parse_name(call.name)
        service = self._find(Ref(SERVICES, call.namespace, name.name))
        if service is None:
            raise not_found("", "services", name.name)
        endpoints = self._find(Ref(ENDPOINTS, call.namespace, name.name))
        if endpoints is None:
            raise not_found("", "endpoints", name.name)
        found = locate_endpoints(service, endpoints, name)
        target = found[self._world.draw(len(found))]
        return await self._pass(call, HTTPTransport(target), str(target))

    async def node(self, call: Call) -> Response:
        """Passes a request on to a kubelet."""
        kubelet = self._kubelets.of(parse_name(call.name).name)
        return await self._pass(call, kubelet.transport, kubelet.place, kept=True)

    async def _pass(
        self, call: Call, transport: HTTPTransport, place: str, *, kept: bool = False
    ) -> Response:
        given = call.request
        path = proxied_path(call.attributes, given.path)
        if not path and given.method in ("GET", "HEAD"):
            # Links in what comes back are relative to a directory
            query = f"?{given.query}" if given.query else ""
            return Response(b"", 301, "", {"Location": f"{given.path}/{query}"})
        request = Request(given.method, path or "/", given.query, body=given.body)
        uri = quote(given.path, safe=_PATH)
        request.headers = {**passed_headers(given), "x-forwarded-uri": uri}
        try:
            answer = await pass_on(transport, request, self._world)
        except Unreachable as error:
            why = f"error trying to reach service: {error}"
            raise ServiceUnavailable(why) from error
        if isinstance(answer.body, AsyncIterator) and not kept:
            answer.body = _closing(answer.body, transport)
        elif not kept and not isinstance(answer.body, Upgrade):
            await transport.close()
        if isinstance(answer.body, Upgrade):
            return answer
        return await self._led_back(answer, given, path, place)

    @staticmethod
    async def _led_back(answer: Response, given: Request, path: str, place: str) -> Response:
        """Returns an answer whose links lead through the proxy, and that says nothing of who else
        may read it (util/proxy: corsRemovingTransport)."""
        from steersman.api.subresources import links  # loaded with the first answer of a proxy

        own = {name: text for name, text in (answer.headers or {}).items() if name not in _CORS}
        answer.headers = own
        prefix = quote(given.path.removesuffix(path), safe=_PATH)
        way = links.Way(prefix, given.headers.get("host", ""), place.rpartition("//")[2])
        return await links.lead_back(answer, way)


async def pass_on(transport: HTTPTransport, request: Request, world: World) -> Response:
    """Sends a request and returns the answer as it goes on to the client; raises Unreachable."""
    if "upgrade" in request.headers:
        return await _upgrade(transport, request, world)
    answer = await transport.send(request)
    headers = {
        key.title(): value
        for key, value in (answer.headers or {}).items()
        if key not in _OWN_HEADERS and key != "content-type"
    }
    return Response(answer.body, answer.status, answer.content_type, headers)


async def _upgrade(transport: HTTPTransport, request: Request, world: World) -> Response:
    answer, channel = await transport.ask_upgrade(request)
    if channel is None:
        return Response(answer.body, answer.status, answer.content_type)
    joined = channel

    async def take(client: Channel) -> None:
        await join(client, joined, world)

    headers = {key.title(): value for key, value in (answer.headers or {}).items()}
    return Response(Upgrade(take), 101, headers=headers)


async def _closing(body: AsyncIterator[bytes], transport: HTTPTransport) -> AsyncIterator[bytes]:
    """Yields a body and lets go of its connection."""
    try:
        async for piece in body:
            yield piece
    finally:
        await transport.close()


def proxied_path(asked: Attributes, path: str) -> str:
    """Returns what of a path is for the other side, with its slash; empty where nothing follows."""
    place = f"namespaces/{asked.namespace}/" if asked.resource != "nodes" else ""
    return path.removeprefix(f"/api/{asked.version}/{place}{asked.resource}/{asked.name}/proxy")


def passed_headers(given: Request) -> Mapping[str, str]:
    """Returns a request's headers as they go on; those of an upgrade stay."""
    kept = {
        key: value
        for key, value in websocket.without_bearer(given.headers).items()
        if key not in _OWN_HEADERS and not key.startswith(_NAMING)
    }
    if "upgrade" in given.headers:
        kept |= {"connection": "Upgrade", "upgrade": given.headers["upgrade"]}
    if given.peer is not None and given.peer.address:
        way = [kept.get("x-forwarded-for", ""), given.peer.address]
        kept["x-forwarded-for"] = ", ".join(filter(None, way))
    return kept


def locate_pod(pod: Document, name: Name) -> Target:
    """Returns where a pod listens: at the port named, else its first; raises BadRequest."""
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        raise BadRequest(f"pod {name.name} does not have an address assigned")
    ports = [
        port["containerPort"]
        for container in pod["spec"].get("containers") or ()
        for port in container.get("ports") or ()
    ]
    if name.port and not name.port.isdigit():
        raise BadRequest(f'invalid port "{name.port}"')
    port = int(name.port) if name.port else ports[0] if ports else 0
    return _target(address, port, name.scheme)


def locate_endpoints(service: Document, endpoints: Document, name: Name) -> list[Target]:
    """Returns the ready endpoints behind a service's port; raises ServiceUnavailable."""
    wanted = find_port(service, name)
    found = [
        _target(address["ip"], port["port"], name.scheme)
        for subset in endpoints.get("subsets") or ()
        for port in subset.get("ports") or ()
        if wanted is None or (port.get("name") or "") == wanted
        for address in subset.get("addresses") or ()
    ]
    if not found:
        raise ServiceUnavailable(f'no endpoints available for service "{name.name}"')
    return found


def find_port(service: Document, name: Name) -> str | None:
    """Returns the name of the service's port that is meant, None for any; a number is that of
    the service. Raises ServiceUnavailable where there is none."""
    ports: list[dict[str, Any]] = service["spec"].get("ports") or []
    if not name.port:
        return (ports[0].get("name") or "") if len(ports) == 1 else None
    for port in ports:
        if name.port in (port.get("name"), str(port["port"])):
            return port.get("name") or ""
    raise ServiceUnavailable(f'no service port "{name.port}" found for service "{name.name}"')


def _target(address: str, port: int, scheme: str) -> Target:
    if scheme != "https":
        return Target(address, port or 80)
    # Pods have no certificates that this server could know (upstream's proxy transport)
    insecure = ssl.create_default_context()
    insecure.check_hostname = False
    insecure.verify_mode = ssl.CERT_NONE
    return Target(address, port or 443, insecure)
