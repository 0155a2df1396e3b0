"""Which published document stands at which path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import orjson

from steersman.api.access.tokens import Tokens
from steersman.api.metrics import documents as metrics
from steersman.api.published import root
from steersman.api.published.discovery import READING, VERSION, Discovery
from steersman.api.published.foreign import Foreigners, Nobody
from steersman.api.published.openapi import OpenAPI
from steersman.model.errors import not_allowed
from steersman.model.kind import Kind
from steersman.model.pack import NUMBER
from steersman.model.surface import Surface
from steersman.wire.message import Request, Response, User

Answer = Callable[[Request, User], Any]
KEYS = "/openid/v1/jwks"
PROVIDER = "/.well-known/openid-configuration"


class Kinds(Protocol):
    """The kinds that are served now."""

    def all(self) -> Iterable[Kind]:
        """Returns every kind."""

    def on_change(self, hear: Callable[[], None]) -> None:
        """Calls `hear` after every change."""


def document_paths(
    kinds: Kinds,
    tokens: Tokens,
    address: str = "",
    foreigners: Foreigners | None = None,
    surface: Surface | None = None,
    verifiers: str = "",
    others: Iterable[str] = (),
) -> Mapping[str, Answer]:
    """Returns who answers what the server says of itself; a path that ends in a slash stands for
    all below it. `address` is how clients reach the server (host:port), `verifiers` how
    those do who look for the keys of tokens, where that is another; `surface` is what clients see
    of the kinds, `others` are the paths that the root names beside those here."""
    foreigners, shown = foreigners or Nobody(), surface or Surface(NUMBER)

    def told() -> Iterable[Kind]:
        return (*shown.kinds(kinds.all()), *metrics.KINDS)

    discovery = Discovery(told, address, foreigners, shown.minor)
    documents = OpenAPI(lambda: tuple(shown.kinds(kinds.all())), foreigners=foreigners)
    foreigners.on_change(discovery.changed)
    kinds.on_change(discovery.changed)
    kinds.on_change(documents.changed)
    answers = {
        **dict.fromkeys(("/openapi/v2", "/openapi/v3", "/openapi/v3/"), documents.handle),
        VERSION: discovery.handle,
        KEYS: _reading(lambda: _keys(tokens)),
        PROVIDER: _reading(lambda: _provider(tokens, verifiers or address)),
    }
    listing = root.answering(discovery.groups, (*answers, *others))
    return {
        **dict.fromkeys(("/api", "/api/", "/apis", "/apis/"), discovery.handle),
        **dict.fromkeys(root.PATHS, listing),
        **answers,
    }


def _reading(answer: Callable[[], Response]) -> Answer:
    """Answers what reads, as upstream's router does."""

    def answered(request: Request, _user: User) -> Response:
        if request.method not in READING:
            raise not_allowed()
        return answer()

    return answered


def _keys(tokens: Tokens) -> Response:
    return Response(orjson.dumps(tokens.keys_document()), content_type="application/jwk-set+json")


def _provider(tokens: Tokens, address: str) -> Response:
    return Response(orjson.dumps(tokens.provider_document(f"https://{address}{KEYS}")))
