"""A provider whose key is kept by somebody else: a plugin that speaks KMS v2 on a Unix socket.

The plugin seals a seed, one for each start of the server and for each of its keys; from the seed
comes a key of AES-GCM for every value. Follows apiserver's envelope/kmsv2 and
options/encryptionconfig, its intervals and messages included (docs/adr/0027).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from steersman.api.encryption.ciphers import (
    AESGCM,
    SEED_BYTES,
    Cipher,
    SeededGCM,
    Unreadable,
)
from steersman.api.encryption.kms_settings import KMSSettings
from steersman.api.encryption.sealing import Opened, Plugin
from steersman.client.grpc import Channel, connect_unix
from steersman.model import names
from steersman.model.errors import InternalError
from steersman.model.gotext import aggregate, quote
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import kms
from steersman.wire.rpc.kms import EncryptedObject
from steersman.wire.rpc.messages import Rpc, decode, encode
from steersman.world.interface import World

# How often a plugin is asked which key it seals by, and how often where it does not answer
CHECK_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 10.0
# So long a seed seals on without a word of the plugin
COAST_SECONDS: Final = 180.0
# Who asks for the health within these times is told what the plugin said last
_HEALTHY_SECONDS: Final = 20.0
_UNHEALTHY_SECONDS: Final = 3.0
_MOST_ID_BYTES: Final = 1024
_MOST_SOURCE_BYTES: Final = 1024
_MOST_ANNOTATION_BYTES: Final = 32 * 1024
# Seeds that are kept open: one for each start of a server since values were last written anew
MOST_SEEDS: Final = 1000
_VERSIONS: Final = ("v2", "v2beta1")
_UNPRIMED: Final = "got unexpected nil transformer"

Q = TypeVar("Q")
A = TypeVar("A")
log = logging.getLogger(__name__)


class Source(NamedTuple):
    """What a plugin is to open: the seed of a value, as it is stored with it."""

    type: int
    sealed: bytes
    key_id: str
    annotations: tuple[tuple[str, bytes], ...]


class _Seed(NamedTuple):
    """The seed that seals now; it does so until `until` in wire time."""

    source: Source
    cipher: Cipher
    until: float


class KMS(Plugin):
    """See the module, and `sealing.Plugin`. It has to be begun before it is used."""

    def __init__(self, settings: KMSSettings) -> None:
        self.settings = settings
        self._prefix = f"k8s:enc:kms:v2:{settings.name}:".encode()
        self._world: World | None = None
        self._channel: Channel | None = None
        self._seed: _Seed | None = None
        self._ciphers: OrderedDict[Source, Cipher] = OrderedDict()
        self._failures: dict[Source, tuple[float, str]] = {}
        self._version = ""
        self._said = (-_HEALTHY_SECONDS, "not asked yet")  # when, what is wrong
        self._asking = asyncio.Lock()

    @property
    def is_identity(self) -> bool:
        """Values do not stay as they are."""
        return False

    # What seals and opens

    def seal(self, value: bytes, name: bytes) -> bytes:
        """Returns the stored form; raises InternalError where there is no seed, or it is old."""
        seed, world = self._seed, self._world
        if seed is None or world is None:
            raise InternalError(f"Internal error occurred: {_UNPRIMED}")
        if (over := world.monotonic() - seed.until) > 0:
            now = world.wire_now()
            what = f"encryptedDEKSource with keyID hash {quote(_hashed(seed.source.key_id))}"
            when = f"{_shown(now - over)} (current time is {_shown(now)})"
            raise InternalError(f"Internal error occurred: {what} expired at {when}")
        self._keep(seed.source, seed.cipher)
        return self._prefix + encode(_stored(seed.source, seed.cipher.seal(value, name)))

    def takes(self, stored: bytes) -> bool:
        """Says whether a stored form may be its own."""
        return stored.startswith(self._prefix)

    def open(self, stored: bytes, name: bytes) -> Opened:
        """Returns the value; raises Unreadable, also where its seed has not been fetched."""
        found = self._parsed(stored)
        source = _source(found)
        if (cipher := self._ciphers.get(source)) is None:
            _, why = self._failures.get(source, (0.0, "the plugin has not been asked"))
            raise Unreadable(f"failed to decrypt DEK, error: {why}")
        self._ciphers.move_to_end(source)
        value = cipher.open(found.encrypted_data, name)
        current = self._seed.source if self._seed is not None else None
        wanted = (current.key_id, current.type) if current is not None else None
        return Opened(value, wanted != (source.key_id, source.type))

    async def fetch(self, stored: bytes) -> None:
        """Has the plugin open the seed of a value, where that has not been done; what fails is
        told where the value is opened."""
        try:
            source = _source(self._parsed(stored))
        except Unreadable:
            return
        world = self._world
        if source in self._ciphers or world is None:
            return
        when, _ = self._failures.get(source, (-_UNHEALTHY_SECONDS, ""))
        if world.monotonic() - when < _UNHEALTHY_SECONDS:
            return
        asked = kms.DecryptRequest(
            source.sealed, world.uid(), source.key_id, dict(source.annotations)
        )
        try:
            answer = await self._ask(kms.DECRYPT, asked)
            self._keep(source, _cipher(source, answer.plaintext))
        except (Failed, ValueError) as error:
            if len(self._failures) >= MOST_SEEDS:
                self._failures.clear()
            self._failures[source] = (world.monotonic(), str(error))
        else:
            self._failures.pop(source, None)

    def _parsed(self, stored: bytes) -> EncryptedObject:
        try:
            found = decode(EncryptedObject, stored[len(self._prefix) :])
        except Failed as error:
            raise Unreadable(error.text) from None
        if why := problem(found):
            raise Unreadable(why)
        return found

    def _keep(self, source: Source, cipher: Cipher) -> None:
        self._ciphers[source] = cipher
        self._ciphers.move_to_end(source)
        if len(self._ciphers) > MOST_SEEDS:
            self._ciphers.popitem(last=False)

    # What follows the plugin

    def begin(self, world: World) -> None:
        """Uses these clocks from now on."""
        self._world = world

    async def run(self, rotated: Callable[[], None]) -> None:
        """Asks the plugin which key it seals by, for ever; tells when it is another one."""
        world = self._world
        assert world is not None, "it has not begun"
        told = ""
        while True:
            before = self._seed.source.key_id if self._seed is not None else ""
            wrong = await self.health()
            if wrong and wrong != told:
                log.warning("kms plugin %s failed its health check: %s", self.settings.name, wrong)
            told = wrong
            if self._seed is not None and before not in ("", self._seed.source.key_id):
                rotated()
            await world.wire_sleep(RETRY_SECONDS if wrong else CHECK_SECONDS)

    async def health(self) -> str:
        """Returns what is wrong with the plugin, nothing where it is well; asks it unless it was
        asked a moment ago, and takes a new seed where it seals by another key."""
        world = self._world
        assert world is not None, "it has not begun"
        async with self._asking:
            when, wrong = self._said
            kept = _UNHEALTHY_SECONDS if wrong else _HEALTHY_SECONDS
            if world.monotonic() - when >= kept:
                wrong = await self._asked_health(world)
                self._said = (world.monotonic(), wrong)
            return wrong

    def close(self) -> None:
        """Lets go of the plugin."""
        if self._channel is not None:
            self._channel.close()

    async def _asked_health(self, world: World) -> str:
        name = self.settings.name
        try:
            status = await self._ask(kms.STATUS, kms.StatusRequest())
        except Failed as error:
            what = f"failed to perform status section of the healthz check for KMS Provider {name}"
            return f"{what}, error: {error}"
        wrong = self._problems(status)
        if why := _wrong_id(status.key_id):
            shown = quote(_hashed(status.key_id))
            wrong.append(f"got invalid KMSv2 KeyID hash {shown}: {why}")
        elif why := await self._take_seed(world, status.key_id):
            wrong.append(why)
        if not wrong:
            return ""
        return f"kmsv2 Provider {name} is not healthy, error: {aggregate(wrong)}"

    def _problems(self, status: kms.StatusResponse) -> list[str]:
        wrong = []
        if status.healthz != "ok":
            wrong.append(f"got unexpected healthz status: {status.healthz}")
        if status.version not in _VERSIONS:
            wrong.append(f"expected KMSv2 API version v2, got {status.version}")
            return wrong
        self._version = self._version or status.version
        if self._version != status.version:
            what = "KMSv2 API version should not change after the initial status response version"
            wrong.append(f"{what} {self._version}, got {status.version}")
        return wrong

    async def _take_seed(self, world: World, key_id: str) -> str:
        """Lets the seed live on, or takes another where the key is another; returns what failed.
        Time is counted from before the plugin is asked."""
        until, seed = world.monotonic() + COAST_SECONDS, self._seed
        if seed is not None and seed.source.key_id == key_id:
            self._seed = seed._replace(until=until)
            return ""
        secret = os.urandom(SEED_BYTES)
        try:
            made = await self._ask(kms.ENCRYPT, kms.EncryptRequest(secret, world.uid()))
        except Failed as error:
            return self._not_rotated(key_id, "", f"failed to encrypt DEK, error: {error}")
        annotations = tuple(sorted(made.annotations.items()))
        source = Source(kms.SEED, made.ciphertext, made.key_id, annotations)
        why = problem(_stored(source, b"\0"))
        if why or made.key_id != key_id:
            return self._not_rotated(key_id, made.key_id, why)
        self._seed = _Seed(source, SeededGCM(secret), until)
        return ""

    def _not_rotated(self, said: str, used: str, why: str) -> str:
        current = self._seed.source.key_id if self._seed is not None else ""
        hashes = ", ".join(
            f"{name}KeyIDHash={quote(_hashed(one))}"
            for name, one in (("status", said), ("encrypt", used), ("state", current))
        )
        return f"failed to rotate DEK errGen={why or '<nil>'}, {hashes}"

    async def _ask(self, method: Rpc[Q, A], message: Q) -> A:
        world, seconds = self._world, self.settings.seconds
        assert world is not None, "it has not begun"
        if self._channel is None or self._channel.is_lost:
            self.close()
            self._channel = await connect_unix(Path(self.settings.socket), world, seconds)
        return await self._channel.ask(method, message, seconds)


def problem(found: EncryptedObject) -> str:
    """Returns what is wrong with a stored value (ValidateEncryptedObject)."""
    if (type := found.encrypted_dek_source_type) not in (kms.AES_GCM_KEY, kms.SEED):
        return f"unknown encryptedDEKSourceType: {type}"
    if not found.encrypted_data:
        return "encrypted data is empty"
    if not (size := len(found.encrypted_dek_source)):
        return "failed to validate encrypted DEK source: encrypted DEK source is empty"
    if size > _MOST_SOURCE_BYTES:
        what = f"encrypted DEK source is {size} bytes, which exceeds the max size of"
        return f"failed to validate encrypted DEK source: {what} {_MOST_SOURCE_BYTES}"
    if why := _wrong_id(found.key_id):
        return f"failed to validate key id: {why}"
    if wrong := list(_wrong_annotations(found.annotations)):
        return f"failed to validate annotations: {aggregate(wrong)}"
    return ""


def _wrong_id(key_id: str) -> str:
    if not key_id:
        return "keyID is empty"
    if (size := len(key_id.encode())) > _MOST_ID_BYTES:
        return f"keyID is {size} bytes, which exceeds the max size of {_MOST_ID_BYTES}"
    return ""


def _wrong_annotations(annotations: kms.Annotations) -> list[str]:
    wrong = []
    for key in annotations:
        problems = names.dns1123_subdomain(key)
        if not problems and "." not in key:
            problems = ["should be a domain with at least two segments separated by dots"]
        wrong += [f"annotations: Invalid value: {quote(key)}: {why}" for why in problems]
    total = sum(len(key.encode()) + len(value) for key, value in annotations.items())
    if total > _MOST_ANNOTATION_BYTES:
        what = f"total size of annotations is {total}, which exceeds the max size of"
        wrong.append(f"{what} {_MOST_ANNOTATION_BYTES}")
    return wrong


def _source(found: EncryptedObject) -> Source:
    annotations = tuple(sorted(found.annotations.items()))
    sealed, type = found.encrypted_dek_source, found.encrypted_dek_source_type
    return Source(type, sealed, found.key_id, annotations)


def _stored(source: Source, data: bytes) -> EncryptedObject:
    return EncryptedObject(
        data, source.key_id, source.sealed, dict(source.annotations), source.type
    )


def _cipher(source: Source, secret: bytes) -> Cipher:
    """Returns what opens values; raises ValueError where the plugin's answer is no key."""
    if source.type == kms.SEED:
        if len(secret) < SEED_BYTES:
            raise ValueError(f"invalid seed length {len(secret)} used for key generation")
        return SeededGCM(secret)
    if len(secret) not in (16, 24, 32):
        raise ValueError(f"crypto/aes: invalid key size {len(secret)}")
    return AESGCM(secret)


def _hashed(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" if text else ""


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
