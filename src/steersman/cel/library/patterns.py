"""Regular expressions: matches, find, findAll, on RE2 (record 11), in Go's syntax."""

from __future__ import annotations

from typing import Any, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.types import BOOL, INT, STRING, list_of
from steersman.model.structural import patterns


def compiled(pattern: str) -> Any:
    """Returns a compiled pattern; raises EvaluationError where it is none."""
    try:
        return patterns.compiled(pattern)
    except patterns.BadPattern as error:
        raise EvaluationError(str(error)) from None


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
