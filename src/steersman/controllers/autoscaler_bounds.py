"""How far and how fast an autoscaler may go from what its metrics ask for: stabilization windows,
policies, bounds. Pure; what was asked and done before is a value (pkg/controller/podautoscaler).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import ceil, floor
from typing import Any, Final

import msgspec

DOWN_WINDOW_SECONDS: Final = 300.0  # --horizontal-pod-autoscaler-downscale-stabilization
LIMIT_FACTOR: Final = 2  # without rules, at most so many times the replicas at once,
LIMIT_MINIMUM: Final = 4  # or up to so many
# What is remembered of one autoscaler: an hour (the longest window) asked every four seconds
MOST_REMEMBERED: Final = 1000
_LONGEST_PERIOD_SECONDS: Final = 1800.0  # of a policy, by validation
_RISEN = (
    "recent recommendations were lower than current one, applying the lowest recent recommendation"
)
_SUNK = "recent recommendations were higher than current one, applying the highest recent recommendation"  # noqa: E501


class History(msgspec.Struct, frozen=True):
    """What an autoscaler's metrics asked for and by how much it scaled, each with its time."""

    asked: tuple[tuple[float, int], ...] = ()
    scaled: tuple[tuple[float, int], ...] = ()

    def after(self, change: int, now: float) -> History:
        """Returns the history after a change of the replicas."""
        kept = [one for one in self.scaled if one[0] >= now - _LONGEST_PERIOD_SECONDS]
        return msgspec.structs.replace(self, scaled=(*kept, (now, change))[-MOST_REMEMBERED:])


class Bounds(msgspec.Struct, frozen=True):
    """How few and how many replicas there may be, and by which rules they change (v2
    HPAScalingRules as documents; None where there are none)."""

    least: int
    most: int
    rules: Mapping[str, Any] | None = None


class Normal(msgspec.Struct, frozen=True):
    """The replicas to have, why they are (`able`, `limited` with a reason and a message each), and
    the history from now on."""

    replicas: int
    able: tuple[str, str]
    limited: tuple[str, str]
    is_limited: bool
    history: History


def normalize(bounds: Bounds, history: History, current: int, wanted: int, now: float) -> Normal:
    """Decides how many of the wanted replicas to have now."""
    up = _rules(bounds, "scaleUp")
    down = _rules(bounds, "scaleDown")
    if bounds.rules is None:
        stable, told = _stable_down(history, wanted, now)
        window = DOWN_WINDOW_SECONDS
    else:
        windows = (up.get("stabilizationWindowSeconds") or 0.0, _window(down))
        stable, told = _stable(history, windows, current, wanted, now)
        window = max(windows)
    able = told if stable != wanted else ("ReadyForNewScale", _MATCHES)
    if bounds.rules is None:
        replicas, limited = _within(bounds, current, stable)
    else:
        replicas, limited = _at_rate(bounds, (up, down), history.scaled, (current, stable), now)
    kept = [one for one in history.asked if one[0] >= now - window]
    asked = (*kept, (now, wanted))[-MOST_REMEMBERED:]
    renewed = msgspec.structs.replace(history, asked=asked)
    return Normal(replicas, able, limited, replicas != stable, renewed)


_MATCHES = "recommended size matches current size"


def _rules(bounds: Bounds, name: str) -> Mapping[str, Any]:
    return (bounds.rules or {}).get(name) or {}


def _window(down: Mapping[str, Any]) -> float:
    found = down.get("stabilizationWindowSeconds")
    return DOWN_WINDOW_SECONDS if found is None else float(found)


def _stable_down(history: History, wanted: int, now: float) -> tuple[int, tuple[str, str]]:
    recent = (one for time, one in history.asked if time >= now - DOWN_WINDOW_SECONDS)
    return max(wanted, *recent, wanted), ("ScaleDownStabilized", _SUNK)


def _stable(
    history: History, windows: tuple[float, float], current: int, wanted: int, now: float
) -> tuple[int, tuple[str, str]]:
    """Returns the replicas between the lowest and the highest asked for within two windows."""
    low = min([one for time, one in history.asked if time > now - windows[0]], default=wanted)
    high = max([one for time, one in history.asked if time > now - windows[1]], default=wanted)
    stable = min(max(current, min(low, wanted)), max(high, wanted))
    rises = wanted >= current
    return stable, ("ScaleUpStabilized", _RISEN) if rises else ("ScaleDownStabilized", _SUNK)


_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_FASTER_UP = (
    "ScaleUpLimit",
    "the desired replica count is increasing faster than the maximum scale rate",
)
_FASTER_DOWN = (
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
)
_TOO_MANY = (
    "TooManyReplicas",
    "the desired replica count is more than the maximum replica count",
)
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")


def _within(bounds: Bounds, current: int, wanted: int) -> tuple[int, tuple[str, str]]:
    limit = max(LIMIT_FACTOR * current, LIMIT_MINIMUM)
    if wanted < bounds.least:
        return bounds.least, _TOO_FEW
    most, why = (limit, _FASTER_UP) if bounds.most > limit else (bounds.most, _TOO_MANY)
    return (most, why) if wanted > most else (wanted, _WITHIN)


def _at_rate(
    bounds: Bounds,
    rules: tuple[Mapping[str, Any], Mapping[str, Any]],
    scaled: Iterable[tuple[float, int]],
    sizes: tuple[int, int],
    now: float,
) -> tuple[int, tuple[str, str]]:
    """Returns how many replicas policies and bounds allow; `sizes` are the present and the wanted
    one."""
    current, wanted = sizes
    if wanted > current:
        limit = max(_limit_up(rules[0], scaled, current, now), current)
        most, why = (limit, _FASTER_UP) if bounds.most > limit else (bounds.most, _TOO_MANY)
        if wanted > most:
            return most, why
    elif wanted < current:
        limit = min(_limit_down(rules[1], scaled, current, now), current)
        least, why = (limit, _FASTER_DOWN) if bounds.least < limit else (bounds.least, _TOO_FEW)
        if wanted < least:
            return least, why
    return wanted, _WITHIN


def _limit_up(
    rules: Mapping[str, Any], scaled: Iterable[tuple[float, int]], current: int, now: float
) -> int:
    def proposed(policy: Mapping[str, Any], began: int) -> int:
        if policy["type"] == "Pods":
            return began + int(policy["value"])
        return ceil(began * (1 + int(policy["value"]) / 100))

    return _limit(rules, scaled, current, now, proposed, {"Min": min})


def _limit_down(
    rules: Mapping[str, Any], scaled: Iterable[tuple[float, int]], current: int, now: float
) -> int:
    def proposed(policy: Mapping[str, Any], began: int) -> int:
        if policy["type"] == "Pods":
            return began - int(policy["value"])
        return floor(began * (1 - int(policy["value"]) / 100))

    return _limit(rules, scaled, current, now, proposed, {"Min": max, "Max": min})


def _limit(
    rules: Mapping[str, Any],
    scaled: Iterable[tuple[float, int]],
    current: int,
    now: float,
    proposed: Callable[[Mapping[str, Any], int], int],
    choose: Mapping[str, Callable[[Iterable[int]], int]],
) -> int:
    """Returns how far policies allow to go, from the replicas at the beginning of their periods."""
    select = rules.get("selectPolicy") or "Max"
    if select == "Disabled":
        return current
    changes = list(scaled)
    found = []
    for policy in rules.get("policies") or ():
        begin = now - policy["periodSeconds"]
        began = current - sum(change for time, change in changes if time > begin)
        found.append(proposed(policy, began))
    return choose.get(select, max)(found) if found else current
