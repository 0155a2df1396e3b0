"""One APIService with a Service: the server behind it, how it is reached, what it said it serves.

The way to the Service's endpoints is that of webhooks (`hooks.client`), the passing on that of the
proxy subresources.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from steersman.api.access.front_proxy import EXTRA, GROUP, UID, USER
from steersman.api.hooks.client import Find, context, endpoint
from steersman.api.published.foreign import Swagger
from steersman.api.subresources.proxy import passed_headers
from steersman.client.http import HTTPTransport, Target
from steersman.model.errors import ServiceUnavailable
from steersman.model.kind import Document
from steersman.wire.message import Request, User
from steersman.world.interface import World

# A transport is made anew after a day: it shows the certificate that there was when it was made
KEPT_SECONDS: Final = 86_400.0
# Endpoints of one Service to which connections are kept
MOST_KEPT: Final = 16

# Shows this server's front-proxy certificate on new settings
Show = Callable[[ssl.SSLContext], None]


class Remote:
    """See the module. It stands for one spec of the APIService; another spec makes another.

    `resources` and `openapi` are what its server last said, `asked` when that was; `swagger` is
    kept by `swaggers`.
    """

    def __init__(
        self, document: Document, revision: int, find: Find, show: Show, world: World
    ) -> None:
        self.resources: list[Document] = []
        self.openapi = ""
        self.asked: float | None = None
        self.swagger: Swagger | None = None
        self.swagger_asked: float | None = None
        self.asking = asyncio.Lock()
        self.spec: Document = document["spec"]
        self.name: str = document["metadata"]["name"]
        self.document = document
        self.revision = revision
        self._find = find
        self._show = show
        self._world = world
        self._kept: dict[tuple[str, int], tuple[float, HTTPTransport]] = {}

    def take(self, document: Document, revision: int) -> None:
        """Takes another state of the same spec."""
        self.document, self.revision = document, revision

    @property
    def root(self) -> str:
        """The path below which it serves."""
        return f"/apis/{self.spec['group']}/{self.spec['version']}"

    def transport(self, *, checked: bool) -> HTTPTransport:
        """Returns the way to one of its endpoints; raises Unanswered, ServiceUnavailable.

        `checked`: the server must prove itself. A check of availability asks it for nothing that
        would matter, so upstream's does not ask for proof.
        """
        service = self.spec["service"]
        name, namespace = service["name"], service["namespace"]
        found = endpoint(self._find, self._world, name, namespace, service.get("port", 443))
        if not checked:
            tls = self._settings(insecure=True)
            return HTTPTransport(Target(found.host, found.port, tls, f"{name}.{namespace}.svc"))
        key, now = (found.host, found.port), self._world.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < KEPT_SECONDS:
            return kept[1]
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        tls = self._settings(insecure=bool(self.spec.get("insecureSkipTLSVerify")))
        target = Target(found.host, found.port, tls, server_name=f"{name}.{namespace}.svc")
        made = HTTPTransport(target)
        self._kept[key] = (now, made)
        return made

    def _settings(self, *, insecure: bool) -> ssl.SSLContext:
        if insecure:
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        else:
            made = context(self.spec.get("caBundle") or "")
        self._show(made)
        return made


def speaking(given: Request, user: User) -> Mapping[str, str]:
    """Returns the headers with which a request of a user is passed on.

    Raises ServiceUnavailable for a name that no header can hold.
    """
    return {**passed_headers(given), **named(user)}


def named(user: User) -> dict[str, str]:
    """Returns the headers that name a user; several values stand on lines of their own."""
    found = {USER: (user.name,), GROUP: user.groups, UID: (user.uid,) if user.uid else ()}
    for key, values in user.extra.items():
        found[EXTRA + quote(key, safe="!#$&'*+-.^_`|~").lower()] = values
    for header, values in found.items():
        if any("\n" in value or "\r" in value or "\0" in value for value in values):
            shown = f'net/http: invalid header field value for "{header.title()}"'
            raise ServiceUnavailable(shown)
    return {header: "\n".join(values) for header, values in found.items() if values}
