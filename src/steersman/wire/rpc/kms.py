"""Messages and methods of the Key Management Service, version 2 (KEP-3299), and the form in which
a value that was sealed by one is stored.

Names and numbers are those of apis/v2/api.proto in k8s.io/kms and of kmsv2/v2 in apiserver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from steersman.wire.rpc.messages import Rpc

Annotations = Mapping[str, bytes]


class StatusRequest(msgspec.Struct, frozen=True):
    """Asks a plugin how it is."""


class StatusResponse(msgspec.Struct, frozen=True):
    """How a plugin is, and the key by which it seals now."""

    version: Annotated[str, 1] = ""
    healthz: Annotated[str, 2] = ""
    key_id: Annotated[str, 3] = ""


class EncryptRequest(msgspec.Struct, frozen=True):
    """Asks a plugin to seal something small."""

    plaintext: Annotated[bytes, 1] = b""
    uid: Annotated[str, 2] = ""


class EncryptResponse(msgspec.Struct, frozen=True):
    """What it came to, by which key, and what the plugin needs to open it."""

    ciphertext: Annotated[bytes, 1] = b""
    key_id: Annotated[str, 2] = ""
    annotations: Annotated[Annotations, 3] = {}


class DecryptRequest(msgspec.Struct, frozen=True):
    """Asks a plugin to open it again."""

    ciphertext: Annotated[bytes, 1] = b""
    uid: Annotated[str, 2] = ""
    key_id: Annotated[str, 3] = ""
    annotations: Annotated[Annotations, 4] = {}


class DecryptResponse(msgspec.Struct, frozen=True):
    """What was sealed."""

    plaintext: Annotated[bytes, 1] = b""


_SERVICE: Final = "/v2.KeyManagementService"
STATUS = Rpc(f"{_SERVICE}/Status", StatusRequest, StatusResponse)
ENCRYPT = Rpc(f"{_SERVICE}/Encrypt", EncryptRequest, EncryptResponse)
DECRYPT = Rpc(f"{_SERVICE}/Decrypt", DecryptRequest, DecryptResponse)

# EncryptedDEKSourceType: what a plugin sealed is the key of AES-GCM itself, or the seed of many
AES_GCM_KEY: Final = 0
SEED: Final = 1


class EncryptedObject(msgspec.Struct, frozen=True):
    """A stored value: what was sealed here, and what a plugin sealed that opens it."""

    encrypted_data: Annotated[bytes, 1] = b""
    key_id: Annotated[str, 2] = ""
    encrypted_dek_source: Annotated[bytes, 3] = b""
    annotations: Annotated[Annotations, 4] = {}
    encrypted_dek_source_type: Annotated[int, 5] = 0
