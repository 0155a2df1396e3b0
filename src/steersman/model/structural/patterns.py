"""Patterns that users give, on RE2: matching takes time linear in the text, whatever the pattern.

RE2 is loaded with the first pattern (record 11). Python's `re` never sees a user's pattern.
Messages are those of Go's regexp, whose syntax is RE2's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

# Compiled patterns kept, over all schemas; one costs some kilobytes
_CACHED: Final = 1024
# What one compiled pattern may take (RE2's own default is 8 MiB)
_MEMORY_BYTES: Final = 2 * 1024 * 1024
_GO_WORDS: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid named capture group": "invalid named capture",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "trailing \\": "trailing backslash at end of expression",
}

Matches = Callable[[str], bool]


class BadPattern(ValueError):
    """A pattern that RE2 does not take; the text is Go's."""


@lru_cache(_CACHED)
def compiled(pattern: str) -> Any:
    """Returns a pattern of RE2 with `search` and `finditer`; raises BadPattern."""
    import re2  # loaded with the first pattern

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise BadPattern(_told(error, pattern)) from None
    except UnicodeEncodeError:  # a lone surrogate
        raise BadPattern(f"error parsing regexp: invalid UTF-8: `{pattern}`") from None


@lru_cache(_CACHED)
def matcher(pattern: str) -> Matches:
    """Returns what says whether a pattern occurs in a text; raises BadPattern."""
    found = compiled(pattern)

    def matches(text: str) -> bool:
        return found.search(text.encode("utf-8", "replace").decode()) is not None

    return matches


def _told(error: Any, pattern: str) -> str:
    raw = error.args[0] if error.args else b""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    what, _, where = text.partition(": ")
    return f"error parsing regexp: {_GO_WORDS.get(what, what)}: `{where or pattern}`"
