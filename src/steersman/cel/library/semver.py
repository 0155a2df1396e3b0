"""Semantic versions (semver.org 2.0.0; k8s.io/apiserver/pkg/cel/library/semverlib.go)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.types import BOOL, INT, STRING, opaque
from steersman.cel.values import UINT_MAX

SEMVER_TYPE: Final = opaque("kubernetes.Semver")
_NUMBER = "(0|[1-9][0-9]{0,19})"
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_IDENTIFIERS}))?(?:\+({_IDENTIFIERS}))?", re.ASCII
)
_LOOSE = re.compile(r"v?0*(\d+)(?:\.0*(\d+))?(?:\.0*(\d+)(.*))?", re.ASCII | re.DOTALL)
_MOST_CHARACTERS: Final = 1024


@dataclass(frozen=True, slots=True)
class Semver:
    """A version; what follows a + plays no part in the order."""

    type_name: ClassVar[str] = SEMVER_TYPE.name
    numbers: tuple[int, int, int]
    before: tuple[str, ...]

    def equal(self, other: Any) -> bool:
        """Says whether another version has the same precedence."""
        return isinstance(other, Semver) and self.order() == other.order()

    def order(self) -> tuple[Any, ...]:
        """Returns a key that sorts versions by precedence."""
        return self.numbers, not self.before, tuple(map(_precedence, self.before))


def _precedence(identifier: str) -> tuple[Any, ...]:
    """Numbers come before words and are compared as numbers."""
    return (0, int(identifier), "") if identifier.isdecimal() else (1, 0, identifier)


def parse(text: str, loose: bool = False) -> Semver:
    """Reads a version; `loose` allows a v in front, missing parts and leading zeros.

    Raises EvaluationError.
    """
    if len(text) > _MOST_CHARACTERS:
        raise EvaluationError("the version is too long")
    match = _VERSION.fullmatch(_normalized(text) if loose else text)
    if match is None:
        raise EvaluationError(_problem(text))
    before = tuple((match[4] or "").split(".")) if match[4] else ()
    for identifier in before:
        if identifier.isdecimal() and len(identifier) > 1 and identifier[0] == "0":
            raise EvaluationError(
                f'Numeric PreRelease version must not contain leading zeroes "{identifier}"'
            )
    numbers = (int(match[1]), int(match[2]), int(match[3]))
    if max(numbers) > UINT_MAX:
        raise EvaluationError(_problem(text))
    return Semver(numbers, before)


def _normalized(text: str) -> str:
    match = _LOOSE.fullmatch(text)
    if match is None:
        return text
    return f"{match[1]}.{match[2] or 0}.{match[3] or 0}{match[4] or ''}"


def _problem(text: str) -> str:
    if not text:
        return "Version string empty"
    if len(text.split(".", 2)) != 3:
        return "No Major.Minor.Patch elements found"
    return f'Invalid character(s) found in version "{text}"'


def _is_semver(text: str, loose: bool = False) -> bool:
    try:
        parse(text, loose)
    except EvaluationError:
        return False
    return True


def _compare(one: Semver, other: Semver) -> int:
    left, right = one.order(), other.order()
    return (left > right) - (left < right)


_BOTH = (SEMVER_TYPE, SEMVER_TYPE)
FUNCTIONS: Final[Functions] = {
    "semver": (
        Overload((STRING,), SEMVER_TYPE, parse, scans=(0,)),
        Overload((STRING, BOOL), SEMVER_TYPE, parse, scans=(0,)),
    ),
    "isSemver": (
        Overload((STRING,), BOOL, _is_semver, scans=(0,)),
        Overload((STRING, BOOL), BOOL, _is_semver, scans=(0,)),
    ),
    "isGreaterThan": (Overload(_BOTH, BOOL, lambda a, b: _compare(a, b) > 0, member=True),),
    "isLessThan": (Overload(_BOTH, BOOL, lambda a, b: _compare(a, b) < 0, member=True),),
    "compareTo": (Overload(_BOTH, INT, _compare, member=True),),
    "major": (Overload((SEMVER_TYPE,), INT, lambda version: version.numbers[0], member=True),),
    "minor": (Overload((SEMVER_TYPE,), INT, lambda version: version.numbers[1], member=True),),
    "patch": (Overload((SEMVER_TYPE,), INT, lambda version: version.numbers[2], member=True),),
}
