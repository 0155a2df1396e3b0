"""Selectors of devices: expressions over `device` (dynamic-resource-allocation/cel/compile.go).

Attributes and capacities are told apart by their domain, which is the driver's where a name has
none; of a domain that a device has nothing of, an expression sees an empty map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from steersman.cel.compile import Budget
from steersman.cel.environment import Environment, Program, WrongType
from steersman.cel.errors import BudgetExceeded, CompileError, EvaluationError
from steersman.cel.library import semver
from steersman.cel.library.quantities import QUANTITY_TYPE, QuantityValue
from steersman.cel.types import BOOL, DYN, STRING, Field, Type, map_of
from steersman.model import quantity
from steersman.model.kinds.resourceslice import Device, DeviceAttribute

MOST_COST: Final = 1_000_000  # CELSelectorExpressionMaxCost
MOST_BYTES: Final = 10 * 1024  # CELSelectorExpressionMaxLength
_MOST_DOMAIN, _MOST_IDENTIFIER, _MOST_VALUE, _MOST_PROPERTIES = 63, 32, 64, 32
_KEPT: Final = 512  # compiled selectors; a cluster has some classes and claims made of templates


def _properties(value: Type) -> Type:
    """Returns the type of what a device has, by domain and name."""
    inner = map_of(STRING.sized(_MOST_IDENTIFIER), value).sized(_MOST_PROPERTIES)
    return map_of(STRING.sized(_MOST_DOMAIN), inner).sized(_MOST_PROPERTIES)


_DEVICE: Final = Type(
    "object",
    "kubernetes.DRADevice",
    (),
    {
        "driver": Field("driver", STRING.sized(_MOST_DOMAIN), False),
        "attributes": Field("attributes", _properties(DYN.sized(_MOST_VALUE)), False),
        "capacity": Field("capacity", _properties(QUANTITY_TYPE), False),
        "allowMultipleAllocations": Field("allowMultipleAllocations", BOOL.sized(1), False),
    },
)
_ENVIRONMENT: Final = Environment({"device": _DEVICE})


class SelectorError(Exception):
    """A selector does not compile, or has no value for a device."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A compiled selector; where it does not compile, `wrong` says why."""

    program: Program | None = None
    wrong: str = ""

    @property
    def most_cost(self) -> int:
        """What one evaluation costs in the worst case."""
        return self.program.cost.cost if self.program else 0

    def matches(self, device: Mapping[str, Any]) -> bool:
        """Tells whether a device, as `value_of` gives it, is selected; raises SelectorError."""
        if self.program is None:
            raise SelectorError(self.wrong)
        try:
            found = self.program.evaluate({"device": device}, Budget(MOST_COST))
        except (BudgetExceeded, EvaluationError) as error:
            raise SelectorError(str(error)) from None
        if not isinstance(found, bool):
            raise SelectorError("the result is no bool")
        return found


@lru_cache(_KEPT)
def compile_selector(expression: str) -> Selector:
    """Returns the selector of an expression."""
    try:
        return Selector(_ENVIRONMENT.compile(expression, BOOL, DYN))
    except CompileError as error:
        return Selector(wrong=f"compilation failed: {error}")
    except WrongType as error:
        return Selector(wrong=f"must evaluate to bool or the unknown type, not {error.found}")


class _Domains(dict[str, Any]):
    """What a device has, by domain."""

    def __missing__(self, _domain: str) -> dict[str, Any]:
        return {}


def value_of(driver: str, device: Device) -> Mapping[str, Any]:
    """Returns a device as expressions see it; raises SelectorError where a version is none."""
    attributes, capacity = _Domains(), _Domains()
    for name, attribute in device.attributes.items():
        domain, identifier = split_name(name, driver)
        attributes.setdefault(domain, {})[identifier] = _value(attribute)
    for name, amount in device.capacity.items():
        domain, identifier = split_name(name, driver)
        capacity.setdefault(domain, {})[identifier] = QuantityValue(quantity.parse(amount.value))
    return {
        "driver": driver,
        "attributes": attributes,
        "capacity": capacity,
        "allowMultipleAllocations": device.allow_multiple_allocations,
    }


def split_name(name: str, driver: str) -> tuple[str, str]:
    """Returns the domain and the identifier of an attribute or capacity."""
    domain, slash, identifier = name.partition("/")
    return (domain, identifier) if slash else (driver, name)


def _value(attribute: DeviceAttribute) -> Any:
    if attribute.version is not None:
        try:
            return semver.parse(attribute.version)
        except EvaluationError as error:
            raise SelectorError(f"parse semantic version: {error}") from None
    given = (attribute.int_value, attribute.bool_value, attribute.string)
    found = next((value for value in given if value is not None), None)
    if found is None:
        raise SelectorError("unsupported attribute value")
    return found
