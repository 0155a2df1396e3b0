"""Optional values (cel-go's cel.OptionalTypes)."""

from __future__ import annotations

from typing import Any, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.types import BOOL, LIST, A, list_of, optional_of
from steersman.cel.values import NONE, Optional

_ZEROS: Final = (None, False, 0, 0.0, "", b"")


def _of_non_zero(value: Any) -> Optional:
    if isinstance(value, list | dict):
        return Optional(value, True) if value else NONE
    return NONE if value in _ZEROS else Optional(value, True)


def _held(optional: Optional) -> Any:
    if optional.present:
        return optional.value
    raise EvaluationError("optional.none() dereference")


def _unwrap(items: list[Optional]) -> list[Any]:
    return [item.value for item in items if item.present]


FUNCTIONS: Final[Functions] = {
    "optional.of": (Overload((A,), optional_of(A), lambda a: Optional(a, True)),),
    "optional.ofNonZeroValue": (Overload((A,), optional_of(A), _of_non_zero),),
    "optional.none": (Overload((), optional_of(A), lambda: NONE),),
    "optional.unwrap": (Overload((list_of(optional_of(A)),), LIST, _unwrap),),
    "unwrapOpt": (Overload((list_of(optional_of(A)),), LIST, _unwrap, member=True),),
    "hasValue": (Overload((optional_of(A),), BOOL, lambda a: a.present, member=True),),
    "value": (Overload((optional_of(A),), A, _held, member=True),),
    "or": (
        Overload(
            (optional_of(A), optional_of(A)),
            optional_of(A),
            lambda a, b: a if a.present else b,
            member=True,
        ),
    ),
    "orValue": (
        Overload((optional_of(A), A), A, lambda a, b: a.value if a.present else b, member=True),
    ),
}
