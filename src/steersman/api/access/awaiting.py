"""An answer that needs what must be fetched first: keys of an issuer.

Who asks and who may is decided without waiting, which costs most requests nothing. Where something
is missing, the decision is broken off by this, and made anew once it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

# What one request may need to have fetched, one thing after the other
MOST_FETCHES: Final = 8


class Awaiting(Exception):
    """`fetch` gets what is missing; it never fails: what could not be had counts as not there."""

    def __init__(self, fetch: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__("something must be fetched first")
        self.fetch = fetch
