"""An issuer of JSON web tokens on loopback for tests, its keys, and tokens that it signs."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from hooks import Clock, listening
from steersman.api.access.awaiting import Awaiting
from steersman.api.access.tokens import encode
from steersman.api.tokens import jwt_settings
from steersman.api.tokens.jwt import JWTTokens
from steersman.api.tokens.jwt_expressions import Compiled
from steersman.api.tokens.key_set import KeySet
from steersman.model.kind import Document
from steersman.wire.message import Request, Response, User

NOW = 1_900_000_000.0
URL = "https://issuer.example.com"
RSA = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP384R1())
NO_STRING = "json: cannot unmarshal {} into Go value of type string"
CLAIMS: Document = {
    "iss": URL,
    "aud": "kubernetes",
    "exp": NOW + 60,
    "sub": "jane",
    "groups": ["a", "b"],
    "hd": "example.com",
}


def number(value: int) -> str:
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_key(id: str = "one", key: Any = RSA) -> Document:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": id, "use": "sig", "n": number(numbers.n), "e": number(numbers.e)}


def curve_key() -> Document:
    numbers = CURVE.public_key().public_numbers()
    point = {"x": number(numbers.x), "y": number(numbers.y)}
    return {"kty": "EC", "kid": "two", "crv": "P-384", **point}


def signed(claims: Document, algorithm: str = "RS256", id: str = "one") -> str:
    header = encode(orjson.dumps({"alg": algorithm, "kid": id}))
    data = f"{header}.{encode(orjson.dumps(claims))}"
    return f"{data}.{encode(SIGNERS[algorithm](data.encode()))}"


def by_curve(data: bytes) -> bytes:
    r, s = decode_dss_signature(CURVE.sign(data, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


SIGNERS: dict[str, Callable[[bytes], bytes]] = {
    "RS256": lambda data: RSA.sign(data, padding.PKCS1v15(), hashes.SHA256()),
    "PS512": lambda data: RSA.sign(
        data, padding.PSS(padding.MGF1(hashes.SHA512()), 64), hashes.SHA512()
    ),
    "ES384": by_curve,
    "ES256": by_curve,
    "none": lambda _data: b"",
    "HS256": lambda _data: b"x",
}


def settings(**more: Any) -> Document:
    return {
        "issuer": {"url": URL, "audiences": ["kubernetes"]},
        "claimMappings": {
            "username": {"claim": "sub", "prefix": "oidc:"},
            "groups": {"claim": "groups", "prefix": "o:"},
        },
        **more,
    }


def file(*issuers: Document, **more: Any) -> Document:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    return {**head, "jwt": list(issuers), **more}


def compiled(**more: Any) -> Compiled:
    return Compiled(jwt_settings.parse(file(settings(**more))).jwt[0])


class Issuer:
    """Says where its keys are, and counts how often it was asked for them."""

    def __init__(self) -> None:
        self.port = 0
        self.keys: list[Document] = [rsa_key(), curve_key()]
        self.asked = 0
        self.issuer = ""
        self.status = 200
        self.provider: Document = {}
        self.answered: Any = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def handle(self, request: Request) -> Response:
        if request.path == "/.well-known/openid-configuration":
            self.asked += 1
            told = {"issuer": self.issuer or self.url, "jwks_uri": f"{self.url}/keys"}
            told.update(self.provider)
            return Response(orjson.dumps(told), self.status)
        assert request.path == "/keys"
        answered = {"keys": self.keys} if self.answered is None else self.answered
        return Response(orjson.dumps(answered))


def issuing(tmp_path: Path, case: Callable[[Issuer, JWTTokens, KeySet, Clock], Any]) -> None:
    async def main() -> None:
        world, issuer = Clock(), Issuer()
        async with listening(tmp_path, world, issuer.handle) as (port, bundle):
            issuer.port = port
            authority = base64.b64decode(bundle).decode()
            keys = KeySet(issuer.url, "", authority, world)
            named = {"url": issuer.url, "audiences": ["kubernetes"]}
            async with asyncio.timeout(30):
                await case(
                    issuer, JWTTokens(compiled(issuer=named), keys, lambda: NOW), keys, world
                )

    uvloop.run(main())


async def fetched(tokens: JWTTokens, token: str) -> User | None:
    with pytest.raises(Awaiting) as waiting:
        tokens.user(token)
    await waiting.value.fetch()
    return tokens.user(token)
