"""Static tokens of a file: lines of token, user name, uid and, quoted, the user's groups.

Follows apiserver's token/tokenfile. Only hashes of tokens are kept; errors name lines, no tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from steersman.wire.message import User

# Three columns are needed: token, user name, uid
FEWEST_COLUMNS = 3
# A file of more is no list of a cluster's static tokens
MOST_BYTES = 16 * 1024 * 1024


class StaticTokens:
    """Knows the tokens of a file; see `bearers.Knows`."""

    def __init__(self, users: Mapping[bytes, User]) -> None:
        self._users = users

    def user(self, token: str) -> User | None:
        """Returns the user of a token of the file."""
        return self._users.get(_hash(token))


def parse(text: str) -> dict[bytes, User]:
    """Returns the users of a file by the hash of their token; of equal tokens the last counts.

    Raises ValueError with the line and the reason.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    import csv  # with the first file

    found: dict[bytes, User] = {}
    lines = csv.reader(text.splitlines(keepends=True), skipinitialspace=True, strict=True)
    try:
        for fields in lines:
            if fields:
                found.update(_read(fields, lines.line_num))
    except csv.Error as error:
        raise ValueError(f"line {lines.line_num}: {error}") from None
    return found


def _read(fields: list[str], line: int) -> dict[bytes, User]:
    if len(fields) < FEWEST_COLUMNS:
        wanted = f"at least {FEWEST_COLUMNS} columns (token, user name, user uid)"
        raise ValueError(f"line {line}: must have {wanted}, found {len(fields)}")
    token, name, uid, *rest = fields
    if not token:
        raise ValueError(f"line {line}: the token is empty")
    groups = tuple(rest[0].split(",")) if rest and rest[0] else ()
    return {_hash(token): User(name, tuple(group.strip() for group in groups), uid)}


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
