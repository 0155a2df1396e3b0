"""Lists taken as sets (cel-go's ext/sets.go)."""

from __future__ import annotations

from typing import Any, Final

from steersman.cel.functions import Functions, Overload
from steersman.cel.types import BOOL, LIST
from steersman.cel.values import contains


def _contains(whole: list[Any], part: list[Any]) -> bool:
    return all(contains(whole, item) for item in part)


def _equivalent(one: list[Any], other: list[Any]) -> bool:
    return _contains(one, other) and _contains(other, one)


def _intersects(one: list[Any], other: list[Any]) -> bool:
    return any(contains(one, item) for item in other)


FUNCTIONS: Final[Functions] = {
    "sets.contains": (Overload((LIST, LIST), BOOL, _contains, scans=(0, 1), product=1),),
    "sets.equivalent": (Overload((LIST, LIST), BOOL, _equivalent, scans=(0, 1), product=2),),
    "sets.intersects": (Overload((LIST, LIST), BOOL, _intersects, scans=(0, 1), product=1),),
}
