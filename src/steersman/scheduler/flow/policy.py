"""What pods tell the scheduler `flow` in annotations. Pure.

flow.steersman.dev/policy     spread (the default) or pack
flow.steersman.dev/data       where a pod's data is: LABEL=VALUE:AMOUNT, several by commas
flow.steersman.dev/avoid      a label selector: pods beside which it suffers
flow.steersman.dev/deadline   a time (RFC 3339); the nearer, the dearer it is to let it wait
flow.steersman.dev/movable    "true": it may be ended where another node costs less
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from steersman.model import selectors
from steersman.model.quantity import QuantityError, parse
from steersman.model.selectors import Selector, SelectorError

PREFIX: Final = "flow.steersman.dev/"
SPREAD, PACK = "spread", "pack"
NAMES: Final = ("policy", "data", "avoid", "deadline", "movable")
MOST_DATA: Final = 64  # places of data of one pod; each is compared with every node


class BadPolicy(ValueError):
    """An annotation cannot be understood; the text names it."""


class Data(msgspec.Struct, frozen=True):
    """An amount of data near the nodes that have a label."""

    key: str
    value: str
    amount: int


class Policy(msgspec.Struct, frozen=True, eq=False):
    """What costs how much. `deadline` is in seconds, 0 where there is none."""

    packs: bool = False
    data: tuple[Data, ...] = ()
    avoid: Selector | None = None
    deadline: float = 0.0
    movable: bool = False


def told(annotations: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Returns the annotations that matter here: what pods of one policy have in common."""
    if not annotations:
        return ()
    found = ((name, annotations.get(PREFIX + name)) for name in NAMES)
    return tuple((name, text) for name, text in found if text is not None)


def parse_policy(given: tuple[tuple[str, str], ...]) -> Policy:
    """Returns what annotations say (see `told`); raises BadPolicy."""
    found = dict(given)
    policy = found.get("policy", SPREAD)
    if policy not in (SPREAD, PACK):
        raise _bad("policy", policy, f"neither {SPREAD} nor {PACK}")
    return Policy(
        policy == PACK,
        _data(found["data"]) if "data" in found else (),
        _selector(found["avoid"]) if "avoid" in found else None,
        _time(found["deadline"]) if "deadline" in found else 0.0,
        _truth(found.get("movable", "false")),
    )


def _bad(name: str, text: str, why: str) -> BadPolicy:
    return BadPolicy(f"annotation {PREFIX}{name}: {text[:128]!r} is {why}")


def _data(text: str) -> tuple[Data, ...]:
    found: list[Data] = []
    for item in text.split(",", MOST_DATA):
        place, _, amount = item.strip().rpartition(":")
        key, equals, value = place.partition("=")
        try:
            size = parse(amount).value()
        except QuantityError:
            size = -1
        if not equals or size < 0 or len(found) == MOST_DATA:
            raise _bad("data", text, f"not a list of at most {MOST_DATA} LABEL=VALUE:AMOUNT")
        found.append(Data(key, value, size))
    return tuple(found)


def _selector(text: str) -> Selector:
    try:
        return selectors.parse(text)
    except SelectorError:
        raise _bad("avoid", text, "no label selector") from None


def _time(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _bad("deadline", text, "no time of RFC 3339") from None
    if found.tzinfo is None:
        raise _bad("deadline", text, "a time without a zone")
    return found.timestamp()


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise _bad("movable", text, "neither true nor false")
    return text == "true"
