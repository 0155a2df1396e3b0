"""What this server was told of who asks and who may; `cli.access` reads the files of it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import field

from steersman.wire.message import User

MODES = ("Node", "RBAC")


class AccessSettings(msgspec.Struct, frozen=True):
    """Chosen authenticators and authorizers.

    tokens: users of static tokens, by the token's hash
    modes:  the authorizers in the order in which they are asked
    """

    tokens: Mapping[bytes, User] = field(default_factory=dict)
    modes: tuple[str, ...] = MODES
