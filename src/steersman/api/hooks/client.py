"""Asking a webhook: one HTTPS call to a URL or to a Service, bounded in time and size.

Who asks says what: conversion (`custom.conversion`) and admission (`admission.webhooks`). Follows
apiserver's util/webhook/client.go and client-go's words for answers that are no success.
"""

from __future__ import annotations

import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from steersman.api.hooks.credentials import user_for
from steersman.api.subresources.proxy import ENDPOINTS, SERVICES, Name, locate_endpoints
from steersman.client.body import read_whole
from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport, Target
from steersman.client.kubeconfig import Users, load_pair
from steersman.model.errors import APIError
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.ref import Ref
from steersman.wire.message import Request
from steersman.world.interface import World

# An answer: as many objects, each of the size that a body may have, would not fit into memory
MOST_BYTES: Final = 64 * 1024 * 1024
# Of a refusal's body this much is shown
SHOWN_CHARACTERS: Final = 2048
_MEANINGS: Final = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    503: "the server is currently unable to handle the request",
}

Find = Callable[[Ref], Document | None]


class Unanswered(Exception):
    """Why there is no answer that can be used, in upstream's words; `code` is that of an answer
    that is no success."""

    def __init__(self, why: str, code: int = 503) -> None:
        super().__init__(why)
        self.code = code


class Client:
    """Asks what a `clientConfig` names; see the module."""

    def __init__(
        self, client: Document, find: Find, world: World, users: Users | None = None
    ) -> None:
        self._client = client
        self._find = find
        self._world = world
        self._user = user_for(users, *self._server()) if users is not None else None
        self._tls: ssl.SSLContext | None = None

    async def post(self, document: Document, seconds: int) -> Any:
        """Returns the parsed answer to a document; raises Unanswered."""
        target, url, path = self._place()
        transport = HTTPTransport(target)
        headers = {"content-type": "application/json", "accept": "application/json"}
        if self._user is not None and self._user.password:
            headers["authorization"] = f"Basic {b64encode(self._user.password.encode()).decode()}"
        query = f"timeout={seconds}s"
        request = Request("POST", path, query, headers, orjson.dumps(document))
        post = f'Post "{url}?{query}"'
        try:
            async with self._world.wire_timeout(seconds):
                answer = await transport.send(request)
                body = await whole(answer.body)
        except TimeoutError:
            raise Unanswered(f"{post}: context deadline exceeded") from None
        except Unreachable as error:
            raise Unanswered(f"{post}: {error.__cause__ or error}") from error
        finally:
            await transport.close()
        return read(answer.status, body)

    def _place(self) -> tuple[Target, str, str]:
        """Returns where the webhook is, its URL and its path; raises Unanswered."""
        tls = self._tls = self._tls or self._context()
        token = self._user.token if self._user is not None else None
        service = self._client.get("service")
        if service is None:
            url = self._client["url"]
            parts = urlsplit(url)
            target = Target(parts.hostname or "", parts.port or 443, tls, token=token)
            return target, url, parts.path or "/"
        name, namespace, port = service["name"], service["namespace"], service.get("port", 443)
        host, path = f"{name}.{namespace}.svc", service.get("path") or "/"
        found = endpoint(self._find, self._world, name, namespace, port)
        target = Target(found.host, found.port, tls, server_name=host, token=token)
        return target, f"https://{host}:{port}{path}", path

    def _server(self) -> tuple[str, int]:
        """Returns by which name and port users are chosen."""
        if (service := self._client.get("service")) is None:
            parts = urlsplit(self._client["url"])
            return parts.hostname or "", parts.port or 443
        return f"{service['name']}.{service['namespace']}.svc", service.get("port", 443)

    def _context(self) -> ssl.SSLContext:
        made = context(self._client.get("caBundle") or "")
        if self._user is not None and self._user.certificate:
            load_pair(made, self._user.certificate, self._user.key)
        return made


def endpoint(find: Find, world: World, name: str, namespace: str, port: int) -> Target:
    """Returns one of the places behind a Service; raises Unanswered."""
    service = find(Ref(SERVICES, namespace, name))
    endpoints = find(Ref(ENDPOINTS, namespace, name))
    if service is None:
        raise Unanswered(f'service "{name}" not found')
    try:
        found = locate_endpoints(service, endpoints or {}, Name("", name, str(port)))
    except APIError as error:
        raise Unanswered(error.message) from error
    return found[world.draw(len(found))]


def context(bundle: str) -> ssl.SSLContext:
    """Returns the settings by which a webhook is known; raises Unanswered."""
    text = b64decode(bundle).decode("ascii", "replace").strip()
    if not text:
        return ssl.create_default_context()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the machine's own authorities
    try:
        made.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise Unanswered(f"unable to load root certificates: {error}") from error
    return made


def read(status: int, body: bytes) -> Any:
    """Returns what an answer holds; raises Unanswered where it is no success, or no JSON."""
    if status >= 300:
        raise Unanswered(_refusal(status, body), status)
    try:
        return orjson.loads(body)
    except ValueError as error:
        raise Unanswered(f"the answer is no JSON: {error}") from None


def _refusal(status: int, body: bytes) -> str:
    """Returns what client-go says of such an answer (NewGenericServerResponse)."""
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if isinstance(found, dict) and found.get("kind") == "Status" and found.get("message"):
        return str(found["message"])
    if (meaning := _MEANINGS.get(status)) is not None:
        return meaning
    if status >= 500:
        text = body[:SHOWN_CHARACTERS].decode("utf-8", "replace").strip() or "unknown"
        return f"an error on the server ({quote(text)}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"


async def whole(body: Any) -> bytes:
    """Returns an answer's body; raises Unanswered where it has no end."""
    if (found := await read_whole(body, MOST_BYTES)) is None:
        raise Unanswered(f"the answer has more than {MOST_BYTES} bytes")
    return found
