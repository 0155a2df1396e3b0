"""Comprehensions and logical operators as closures: both go on over errors where they may.

`false && error` is false, and so is `all` where one item says false (cel-spec, Logical operators).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from steersman.cel.errors import BudgetExceeded, EvaluationError
from steersman.cel.functions import no_overload
from steersman.cel.library.lists import sort
from steersman.cel.tree import LoopKind

Frame = list[Any]
Closure = Callable[[Frame], Any]

STEP_COST: Final = 3  # the loop's own condition and step, as cel-go counts them


def conjunction(items: Sequence[Closure]) -> Closure:
    """Returns the closure of `&&` over operands."""
    return _chain("_&&_", items, False)


def disjunction(items: Sequence[Closure]) -> Closure:
    """Returns the closure of `||` over operands."""
    return _chain("_||_", items, True)


def _chain(name: str, items: Sequence[Closure], decisive: bool) -> Closure:
    return _decided(name, lambda _frame: items, decisive)


def _decided(name: str, asked: Callable[[Frame], Iterable[Closure]], decisive: bool) -> Closure:
    """Returns the closure that is `decisive` as soon as one of those asked says so. Errors matter
    only where none does; what says neither true nor false is an error."""

    def decide(frame: Frame) -> bool:
        error: EvaluationError | None = None
        for item in asked(frame):
            try:
                found = item(frame)
            except EvaluationError as raised:
                error = error or raised
                continue
            if type(found) is not bool:
                error = error or no_overload(name, (found,))
            elif found is decisive:
                return decisive
        if error is not None:
            raise error
        return not decisive

    return decide


def loop(
    kind: LoopKind,
    ranged: Closure,
    slots: Sequence[int],
    condition: Closure | None,
    value: Closure | None,
    step: int,
) -> Closure:
    """Returns the closure of a comprehension; `step` is what one round costs."""
    rounds = _rounds(ranged, slots, step)
    match kind:
        case "all" | "exists":
            assert condition is not None
            return _quantified(rounds, condition, kind == "exists")
        case "exists_one":
            assert condition is not None
            return _exactly_one(rounds, condition)
        case "filter":
            return _listed(rounds, condition, None, slots[0])
        case "map" | "transformList":
            return _listed(rounds, condition, value, slots[0])
        case "transformMap":
            return _mapped(rounds, condition, value)
        case "sortBy":
            return _sorted(rounds, value, slots[0])
    return _merged(rounds, condition, value)


Rounds = Callable[[Frame], Iterator[Any]]


def _rounds(ranged: Closure, slots: Sequence[int], step: int) -> Rounds:
    """Returns what sets the variables for round after round, and charges each."""
    first, second = slots[0], slots[-1]

    def rounds(frame: Frame) -> Iterator[Any]:
        over = ranged(frame)
        budget = frame[0]
        for key, item in _pairs(over, len(slots) == 2):
            budget.left -= step
            if budget.left < 0:
                raise BudgetExceeded
            frame[first] = key
            frame[second] = item
            yield key

    return rounds


def _pairs(over: Any, two: bool) -> Iterator[tuple[Any, Any]]:
    if isinstance(over, list):
        return enumerate(over) if two else ((item, item) for item in over)
    if isinstance(over, dict):
        return iter(over.items()) if two else ((key, key) for key in over)
    raise EvaluationError("got unexpected type in comprehension range: " + type(over).__name__)


def _quantified(rounds: Rounds, condition: Closure, decisive: bool) -> Closure:
    name = "_||_" if decisive else "_&&_"
    return _decided(name, lambda frame: (condition for _ in rounds(frame)), decisive)


def _holds(condition: Closure | None, frame: Frame) -> bool:
    if condition is None:
        return True
    found = condition(frame)
    if type(found) is not bool:
        raise no_overload("_?_:_", (found,))
    return found


def _exactly_one(rounds: Rounds, condition: Closure) -> Closure:
    return lambda frame: sum(_holds(condition, frame) for _ in rounds(frame)) == 1


def _listed(rounds: Rounds, condition: Closure | None, value: Closure | None, slot: int) -> Closure:
    made = value if value is not None else lambda frame: frame[slot]
    return lambda frame: [made(frame) for _ in rounds(frame) if _holds(condition, frame)]


def _mapped(rounds: Rounds, condition: Closure | None, value: Closure | None) -> Closure:
    assert value is not None
    made = value

    def mapped(frame: Frame) -> dict[Any, Any]:
        return {key: made(frame) for key in rounds(frame) if _holds(condition, frame)}

    return mapped


def _sorted(rounds: Rounds, value: Closure | None, slot: int) -> Closure:
    assert value is not None
    key = value

    def ordered(frame: Frame) -> list[Any]:
        items: list[Any] = []
        keys: list[Any] = []
        for _ in rounds(frame):
            items.append(frame[slot])
            keys.append(key(frame))
        return sort(items, keys)

    return ordered


def _merged(rounds: Rounds, condition: Closure | None, value: Closure | None) -> Closure:
    assert value is not None
    made = value

    def merged(frame: Frame) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for _ in rounds(frame):
            if not _holds(condition, frame):
                continue
            for key, item in made(frame).items():
                if key in found:
                    raise EvaluationError(f"insert failed: key {key} already exists")
                found[key] = item
        return found

    return merged
