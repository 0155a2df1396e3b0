"""What is checked of the capacity of a device that several may share: how much may be asked for
(validateRequestPolicy in pkg/apis/resource/validation, KEP-5075)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from steersman.model.causes import NOT_NEGATIVE, duplicate, forbidden, invalid, required, too_many
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.quantity import NANO, Quantity, parse

_MOST_OPTIONS: Final = 10
_MILLI: Final = NANO // 1000
_MOST_WHOLE: Final = 2**63 - 1
_BOTH: Final = (
    'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the '
    "same time"
)


def check_capacity(capacity: Document, path: str, *, several: bool) -> Iterator[Cause]:
    """Yields what is wrong with a new or changed capacity; `several` allocations may share it."""
    policy = capacity.get("requestPolicy")
    if policy is None:
        return
    path = f"{path}.requestPolicy"
    if not several:
        yield forbidden(path, "allowMultipleAllocations must be true")
        return
    values, bounds = policy.get("validValues") or (), policy.get("validRange")
    if values and bounds is not None:
        yield forbidden(path, _BOTH)
        return
    name = "validValues" if values else "validRange"
    if not values and bounds is None:
        return
    if policy.get("default") is None:
        yield required(f"{path}.default", f"required when {name} is defined")
        return
    most, default = parse(capacity["value"]), parse(policy["default"])
    if values:
        options = [parse(value) for value in values]
        yield from _check_options(options, default, most, f"{path}.{name}")
    else:
        yield from _check_range(bounds, default, most, f"{path}.{name}")


def _check_options(
    options: list[Quantity], default: Quantity, most: Quantity, path: str
) -> Iterator[Cause]:
    for index in range(1, len(options)):
        if options[index - 1] > options[index]:
            detail = "values must be sorted in ascending order"
            yield invalid(f"{path}[{index}]", str(options[index]), detail)
    if len(options) > _MOST_OPTIONS:
        yield too_many(path, len(options), _MOST_OPTIONS)
    else:
        for index, option in enumerate(options):
            if option > most:
                detail = f"option is larger than capacity value: {most}"
                yield invalid(f"{path}[{index}]", str(option), detail)
        for index, option in enumerate(options):
            if option in options[:index]:
                yield duplicate(f"{path}[{index}]", _decimal(option))
    if len(options) > _MOST_OPTIONS or default not in options:
        detail = "default value is not valid according to the requestPolicy"
        yield invalid(path, str(default), detail)


def _decimal(amount: Quantity) -> str:
    """Returns an amount as inf.Dec prints it, which is how upstream compares options."""
    whole, rest = divmod(amount.nanos, NANO)
    return f"{whole}.{rest:09}".rstrip("0") if rest else str(whole)


def _check_range(bounds: Document, default: Quantity, most: Quantity, path: str) -> Iterator[Cause]:
    given = {name: bounds.get(name) for name in ("min", "max", "step")}
    amounts = {name: parse(text) for name, text in given.items() if text is not None}
    least = amounts.get("min")
    if least is None:
        yield required(f"{path}.min", "required when validRange is defined")
        return
    if least > most:
        yield invalid(f"{path}.min", str(least), f"min is larger than capacity value: {most}")
    if default < least:
        yield invalid(f"{path}.default", str(default), f"default is less than min: {least}")
    if (top := amounts.get("max")) is not None:
        yield from _check_top(top, least, default, most, path)
    fine = any(amount.nanos % NANO for amount in (default, *amounts.values()))
    named = {"default": default, **amounts}
    if fine:
        unsafe = [name for name, amount in named.items() if amount.nanos % _MILLI]
        for name in unsafe:
            detail = "value cannot be represented as a milli value"
            yield invalid(f"{path}.{name}", str(named[name]), detail)
        if unsafe:
            return
    if "step" in amounts:
        yield from _check_step(named, most, path, fine=fine)


def _check_top(
    top: Quantity, least: Quantity, default: Quantity, most: Quantity, path: str
) -> Iterator[Cause]:
    if least > top:
        yield invalid(f"{path}.max", str(least), f"min is larger than max: {top}")
    if top > most:
        yield invalid(f"{path}.max", str(top), f"max is larger than capacity value: {most}")
    if default > top:
        yield invalid(f"{path}.default", str(default), f"default is more than max: {top}")


def _check_step(
    named: dict[str, Quantity], most: Quantity, path: str, *, fine: bool
) -> Iterator[Cause]:
    step, least = named["step"], named["min"]
    if step.nanos <= 0:
        yield invalid(f"{path}.step", str(step), "must be greater than zero")
        return
    if (added := least + step) > most:
        detail = f"one step {added} is larger than capacity value: {most}"
        yield invalid(f"{path}.step", str(step), detail)
    if not fine and (wrong := list(_check_whole(named, path))):
        yield from wrong
        return
    for name in ("default", "max"):
        amount = named.get(name)
        if amount is not None and (amount.nanos - least.nanos) % step.nanos:
            detail = f"value is not a multiple of a given step ({step}) from ({least})"
            yield invalid(f"{path}.step", str(amount), detail)


def _check_whole(named: dict[str, Any], path: str) -> Iterator[Cause]:
    for name, amount in named.items():
        if amount.nanos < 0:
            yield invalid(f"{path}.{name}", str(amount), NOT_NEGATIVE)
        elif amount.nanos > _MOST_WHOLE * NANO:
            detail = f"must not be larger than {_MOST_WHOLE}"
            yield invalid(f"{path}.{name}", str(amount), detail)
