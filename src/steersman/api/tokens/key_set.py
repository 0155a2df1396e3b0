"""The keys of one issuer: fetched with its discovery document when first needed, kept, and fetched
again for a key that is not among them, though not often.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from steersman.api.access.awaiting import Awaiting
from steersman.api.access.tokens import InvalidToken
from steersman.api.hooks.client import Unanswered, whole
from steersman.api.tokens.signatures import VerifyingKey, read_key
from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport, Target
from steersman.wire.message import Request
from steersman.world.interface import World

WELL_KNOWN: Final = "/.well-known/openid-configuration"
FETCH_SECONDS: Final = 30.0
# Anybody can name a key that is not there: so often is it looked for (client-go's lowest back-off
# for what failed is of the same order)
REST_SECONDS: Final = 10.0
MOST_BYTES: Final = 1024 * 1024
MOST_KEYS: Final = 100
BAD_SIGNATURE: Final = "failed to verify signature: failed to verify id token signature"


class NoKeys(InvalidToken):
    """The issuer's keys could not be had, so nothing can be said of a token."""


class KeySet:
    """See the module. `discovery` is where the issuer says where its keys are."""

    def __init__(self, issuer: str, discovery: str, authority: str, world: World) -> None:
        self._issuer = issuer
        self._discovery = discovery or issuer.rstrip("/") + WELL_KNOWN
        self._authority = authority
        self._world = world
        self._keys: list[VerifyingKey] | None = None
        self._fetched: float | None = None
        self._lock = asyncio.Lock()
        self._wrong = ""

    def candidates(self, id: str) -> list[VerifyingKey]:
        """Returns the keys that may have signed a token; raises Awaiting, NoKeys and
        InvalidToken."""
        found = [key for key in self._keys or () if not id or key.id == id]
        if found:
            return found
        if self._may_fetch():
            raise Awaiting(self.fetch)
        if self._keys is None:
            raise NoKeys(f"oidc: authenticator not initialized: {self._wrong}")
        raise InvalidToken(BAD_SIGNATURE)

    def _may_fetch(self) -> bool:
        return self._fetched is None or self._world.monotonic() - self._fetched > REST_SECONDS

    async def fetch(self) -> None:
        """Gets the keys; where that fails those that were there are kept, and reviews say why."""
        async with self._lock:
            if not self._may_fetch():
                return  # somebody else was waiting for it
            try:
                async with self._world.wire_timeout(FETCH_SECONDS):
                    self._keys = await self._get_keys()
                self._wrong = ""
            except (TimeoutError, Unreachable, Unanswered, ValueError) as error:
                self._wrong = str(error) or "no answer in time"
            self._fetched = self._world.monotonic()

    async def _get_keys(self) -> list[VerifyingKey]:
        provider = await self._get(self._discovery)
        if provider.get("issuer") != self._issuer:
            raise ValueError(f"the provider says that it is {provider.get('issuer')!r}")
        address = provider.get("jwks_uri")
        if not isinstance(address, str) or not address.startswith("https://"):
            raise ValueError("the provider does not say where its keys are")
        listed = (await self._get(address)).get("keys")
        if not isinstance(listed, list) or len(listed) > MOST_KEYS:
            raise ValueError("the provider's keys are no list of keys")
        return [key for key in map(read_key, listed) if key is not None]

    async def _get(self, url: str) -> dict[str, Any]:
        status, body = await get(url, self._authority, {"accept": "application/json"})
        if status != 200:
            raise ValueError(f"{url} answers {status} with {len(body)} bytes")
        found = orjson.loads(body)
        if not isinstance(found, dict):
            raise ValueError(f"{url} answers no object")
        return found


async def get(url: str, authority: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Asks who is trusted by a bundle of certificates (none: the system's), over https alone;
    returns status and body. Raises Unreachable, Unanswered, and ValueError where it is too much."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(f"{url} is no address of https")
    tls = ssl.create_default_context(cadata=authority or None)
    transport = HTTPTransport(Target(parts.hostname, parts.port or 443, tls))
    try:
        request = Request("GET", parts.path or "/", parts.query, dict(headers))
        answer = await transport.send(request)
        body = await whole(answer.body)
    finally:
        await transport.close()
    if len(body) > MOST_BYTES:
        raise ValueError(f"{url} answers {answer.status} with {len(body)} bytes")
    return answer.status, body
