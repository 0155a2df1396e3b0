"""Regular expressions: matches, find, findAll. They run on RE2, in time linear in the text.

RE2 is what upstream's Go package follows, so the syntax is the same; Python's `re` would let a
pattern take exponential time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.types import BOOL, INT, STRING, list_of

_KEPT: Final = 256  # compiled patterns; they come from rules, which are few
_MOST_BYTES: Final = 8 << 20  # of memory for one compiled pattern (RE2's own default)


@lru_cache(_KEPT)
def compiled(pattern: str) -> Any:
    """Returns a compiled pattern; raises EvaluationError where it is none."""
    import re2  # loaded with the first pattern

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        detail = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise EvaluationError(f"error parsing regexp: {detail}") from None


def _matches(text: str, pattern: str) -> bool:
    return compiled(pattern).search(text) is not None


def _find(text: str, pattern: str) -> str:
    match = compiled(pattern).search(text)
    return "" if match is None else str(match.group())


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found: list[str] = []
    for match in compiled(pattern).finditer(text):
        if len(found) == most:
            break
        found.append(match.group())
    return found


FUNCTIONS: Final[Functions] = {
    "matches": (
        Overload((STRING, STRING), BOOL, _matches, scans=(0, 1)),
        Overload((STRING, STRING), BOOL, _matches, member=True, scans=(0, 1)),
    ),
    "find": (Overload((STRING, STRING), STRING, _find, member=True, scans=(0, 1)),),
    "findAll": (
        Overload((STRING, STRING), list_of(STRING), _find_all, member=True, scans=(0, 1)),
        Overload((STRING, STRING, INT), list_of(STRING), _find_all, member=True, scans=(0, 1)),
    ),
}
