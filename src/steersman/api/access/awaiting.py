"""An answer that needs what must be fetched first: keys of an issuer, the word of a webhook.

Who asks and who may is decided without waiting, which costs most requests nothing. Where something
is missing, the decision is broken off by this, and made anew once it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

# What one request may need to have fetched, one thing after the other
MOST_FETCHES: Final = 8
_FETCHED: ContextVar[dict[Any, Any] | None] = ContextVar("fetched", default=None)


class Awaiting(Exception):
    """`fetch` gets what is missing; it never fails: what could not be had counts as not there."""

    def __init__(self, fetch: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__("something must be fetched first")
        self.fetch = fetch


def fetched() -> dict[Any, Any]:
    """Returns what was fetched for the request that is being answered, and is kept for no other;
    nothing stays where none waits for it."""
    found = _FETCHED.get()
    return found if found is not None else {}


@contextmanager
def remembering() -> Iterator[None]:
    """Keeps what is fetched until the request is answered."""
    if _FETCHED.get() is not None:
        yield
        return
    token = _FETCHED.set({})
    try:
        yield
    finally:
        _FETCHED.reset(token)
