"""A plugin of key management (KMS v2) for tests, over a real socket: what it seals is the secret
turned over, with the key's name before it. It keeps what it was asked and fails on demand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from steersman.listen.grpc import GRPCServer, unary
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import kms
from steersman.world.interface import World

HINT = "hint.kms.example.com"


class KMSPlugin:
    """Its key, and what it says of itself."""

    def __init__(self, key_id: str = "key-1") -> None:
        self.key_id = key_id
        self.sealing_by = ""  # another key than the one of which it speaks
        self.health = "ok"
        self.version = "v2"
        self.down = False
        self.asked: list[str] = []
        self.uids: list[str] = []

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise Failed(grpc.UNAVAILABLE, "the vault is shut")

    async def status(self, _asked: kms.StatusRequest) -> kms.StatusResponse:
        self._note("Status")
        return kms.StatusResponse(self.version, self.health, self.key_id)

    async def encrypt(self, asked: kms.EncryptRequest) -> kms.EncryptResponse:
        self._note("Encrypt")
        self.uids.append(asked.uid)
        key = self.sealing_by or self.key_id
        sealed = key.encode() + b"|" + asked.plaintext[::-1]
        return kms.EncryptResponse(sealed, key, {HINT: key.encode()})

    async def decrypt(self, asked: kms.DecryptRequest) -> kms.DecryptResponse:
        self._note("Decrypt")
        self.uids.append(asked.uid)
        key, _, secret = asked.ciphertext.partition(b"|")
        if key.decode() != asked.key_id or asked.annotations != {HINT: key}:
            raise Failed(grpc.INVALID_ARGUMENT, "it is not mine")
        return kms.DecryptResponse(secret[::-1])

    @asynccontextmanager
    async def serving(self, socket: Path, world: World) -> AsyncIterator[None]:
        """Listens on a socket."""
        handlers = dict(
            (
                unary(kms.STATUS, self.status),
                unary(kms.ENCRYPT, self.encrypt),
                unary(kms.DECRYPT, self.decrypt),
            )
        )
        async with GRPCServer(handlers, world) as server:
            await server.listen_unix(socket)
            yield
