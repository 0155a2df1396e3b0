"""What the objects of a followed copy have in common is kept once.

Pods of one template differ in little but their names: what of an object equals the same part of
the one before it is that very part. Only for kinds whose fields all have types of their own
(`Kind.settled`), since in raw documents a true equals a 1.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import astuple, force_setattr

# Kept at one time; a cluster has some hundred workloads, of which a few change together
MOST_LIKENESSES: Final = 256


class Likenesses:
    """The object met last of each owner and phase: those to come will be like it."""

    def __init__(self) -> None:
        self._met: dict[tuple[str, str], Any] = {}

    def share(self, found: Any) -> None:
        """Has an object share what it has in common with the one before it."""
        owner = found.metadata.controller
        key = (owner.uid if owner else "", getattr(getattr(found, "status", None), "phase", ""))
        if (like := self._met.get(key)) is not None:
            shared(found, like)
        elif len(self._met) >= MOST_LIKENESSES:
            self._met.clear()
        self._met[key] = found


def shared(mine: Any, like: Any) -> Any:
    """Returns a value in which whatever equals its like is that like, as deep as need be."""
    kind = type(mine)
    if mine == like:
        return like
    if kind is not type(like) or kind is str:
        return mine
    if kind is tuple:
        same = len(mine) == len(like)
        return tuple([shared(*pair) for pair in zip(mine, like, strict=True)]) if same else mine
    if kind is dict:
        for key in mine.keys() & like.keys():
            mine[key] = shared(mine[key], like[key])
    elif isinstance(mine, msgspec.Struct):
        names = mine.__struct_fields__
        for name, one, other in zip(names, astuple(mine), astuple(like), strict=True):
            if one is other or (type(one) is str and one != other):  # most: their calls cost most
                continue
            if (found := shared(one, other)) is not one:
                force_setattr(mine, name, found)
    return mine
