"""What seals a value under one key: AES-GCM, AES-CBC, secretbox; in upstream's stored forms.

Follows apiserver's storage/value/encrypt. Random bytes are the operating system's and not World's:
a nonce that comes twice under one key gives the key's secrets away.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Final, Protocol

SHORT: Final = "the stored data was shorter than the required size"
_BLOCK_BYTES: Final = 16
_GCM_NONCE_BYTES: Final = 12
_INFO_BYTES: Final = 32
_KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
_BOX_NONCE_BYTES: Final = 24
_BOX_TAG_BYTES: Final = 16


class Unreadable(Exception):
    """A stored value cannot be opened; the text is upstream's reason, without the value."""


class Cipher(Protocol):
    """One key. `name` is where a value is kept, which AES-GCM authenticates with it."""

    def seal(self, value: bytes, name: bytes) -> bytes:
        """Returns the stored form."""

    def open(self, sealed: bytes, name: bytes) -> bytes:
        """Returns the value; raises Unreadable."""


class AESGCM:
    """AES in Galois/Counter Mode: nonce, then the value and its tag."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM as Mode

        self._mode = Mode(key)

    def seal(self, value: bytes, name: bytes) -> bytes:
        """Returns the stored form."""
        nonce = os.urandom(_GCM_NONCE_BYTES)
        return nonce + self._mode.encrypt(nonce, value, name)

    def open(self, sealed: bytes, name: bytes) -> bytes:
        """Returns the value; raises Unreadable."""
        from cryptography.exceptions import InvalidTag

        if len(sealed) < _GCM_NONCE_BYTES:
            raise Unreadable(SHORT)
        nonce, rest = sealed[:_GCM_NONCE_BYTES], sealed[_GCM_NONCE_BYTES:]
        try:
            return self._mode.decrypt(nonce, rest, name)
        except (InvalidTag, ValueError):
            raise Unreadable("cipher: message authentication failed") from None


class SeededGCM:
    """AES-GCM with a key of its own for each value, which comes from a seed and random bytes
    before the value (HKDF's second half, RFC 5869): no nonce can come twice under one key."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed

    def seal(self, value: bytes, name: bytes) -> bytes:
        """Returns the stored form."""
        info = os.urandom(_INFO_BYTES)
        return info + self._key(info).seal(value, name)

    def open(self, sealed: bytes, name: bytes) -> bytes:
        """Returns the value; raises Unreadable."""
        if len(sealed) < _INFO_BYTES:
            raise Unreadable(SHORT)
        return self._key(sealed[:_INFO_BYTES]).open(sealed[_INFO_BYTES:], name)

    def _key(self, info: bytes) -> AESGCM:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

        return AESGCM(HKDFExpand(SHA256(), _KEY_BYTES, info).derive(self._seed))


class AESCBC:
    """AES in Cipher Block Chaining mode with PKCS #7 padding; it does not notice changes."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import algorithms

        self._key = algorithms.AES(key)

    def _mode(self, start: bytes) -> Any:
        from cryptography.hazmat.primitives.ciphers import Cipher as Chained
        from cryptography.hazmat.primitives.ciphers import modes

        return Chained(self._key, modes.CBC(start))

    def seal(self, value: bytes, name: bytes) -> bytes:
        """Returns the stored form."""
        start = os.urandom(_BLOCK_BYTES)
        missing = _BLOCK_BYTES - len(value) % _BLOCK_BYTES
        sealing = self._mode(start).encryptor()
        sealed: bytes = sealing.update(value + bytes([missing]) * missing) + sealing.finalize()
        return start + sealed

    def open(self, sealed: bytes, name: bytes) -> bytes:
        """Returns the value; raises Unreadable."""
        start, rest = sealed[:_BLOCK_BYTES], sealed[_BLOCK_BYTES:]
        if len(start) < _BLOCK_BYTES:
            raise Unreadable(SHORT)
        if len(rest) % _BLOCK_BYTES:
            raise Unreadable("the stored data is not a multiple of the block size")
        opening = self._mode(start).decryptor()
        padded: bytes = opening.update(rest) + opening.finalize()
        count = padded[-1] if padded else 0
        if not 0 < count <= len(padded):
            raise Unreadable("invalid PKCS7 data (empty or not padded)")
        if padded[-count:] != bytes([count]) * count:
            raise Unreadable("invalid padding on input")
        return padded[:-count]


class SecretBox:
    """XSalsa20 and Poly1305 (NaCl's secretbox), by PyNaCl where it is installed."""

    def __init__(self, key: bytes) -> None:
        self._box = importlib.import_module("nacl.secret").SecretBox(key)
        self._failed = importlib.import_module("nacl.exceptions").CryptoError

    def seal(self, value: bytes, name: bytes) -> bytes:
        """Returns the stored form."""
        return bytes(self._box.encrypt(value, os.urandom(_BOX_NONCE_BYTES)))

    def open(self, sealed: bytes, name: bytes) -> bytes:
        """Returns the value; raises Unreadable."""
        if len(sealed) < _BOX_NONCE_BYTES + _BOX_TAG_BYTES:
            raise Unreadable(SHORT)
        try:
            return bytes(self._box.decrypt(sealed))
        except self._failed:
            raise Unreadable("output array was not large enough for encryption") from None
