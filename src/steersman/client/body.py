"""An answer's body, read whole up to a bound. What a body that is too long means says who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing


async def read_whole(body: object, most: int) -> bytes | None:
    """Returns a body, however it comes; None where it has more than `most` bytes.

    What is left of it then is not asked for, and its connection is given up.
    """
    if isinstance(body, bytes):
        return body if len(body) <= most else None
    if not isinstance(body, AsyncIterator):
        raise TypeError("a transport gives bytes or an iterator")
    pieces: list[bytes] = []
    size = 0
    async with aclosing(body) as read:  # type: ignore[type-var]
        async for piece in read:
            pieces.append(piece)
            size += len(piece)
            if size > most:
                return None
    return b"".join(pieces)
