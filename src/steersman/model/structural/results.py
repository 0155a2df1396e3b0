"""What validating a value against a schema came to: mistakes and how much fitted.

After kube-openapi's validate.Result and errors.Validation, whose texts they carry; `causes` turns
them into upstream's causes (apiextensions' kubeOpenAPIResultToFieldErrors).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from steersman.model import causes
from steersman.model.errors import Cause
from steersman.model.gotext import shown

# A cause that is about no field stands at Go's nil path
NOWHERE: Final = "<nil>"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong.

    code:  required, enum, long, many, type, or empty for the rest; `plain` has no place
    name:  where it is, as the message names it
    value: what is shown as the value
    limit: the bound of long and many, the values of enum
    """

    code: str
    name: str
    message: str
    value: Any = ""
    limit: Any = None


class Result:
    """Mistakes, each text once, and a count by which alternatives are compared."""

    __slots__ = ("matches", "mistakes")

    def __init__(self) -> None:
        self.mistakes: dict[str, Mistake] = {}
        self.matches = 0

    def add(self, mistake: Mistake) -> None:
        """Notes a mistake that is not noted yet."""
        self.mistakes.setdefault(mistake.message, mistake)

    def merge(self, other: Result) -> None:
        """Takes over what another result holds."""
        for mistake in other.mistakes.values():
            self.add(mistake)
        self.matches += other.matches

    def excuse(self) -> None:
        """Forgets the mistakes: the value was there before."""
        self.mistakes.clear()


def causes_of(result: Result, root: str = "") -> Iterator[Cause]:
    """Yields the causes of a result; `root` is where the validated value stands."""
    for mistake in result.mistakes.values():
        yield _cause(mistake, root)


def _cause(mistake: Mistake, root: str) -> Cause:
    if mistake.code == "plain":
        return causes.invalid(root or NOWHERE, "", mistake.message)
    name = mistake.name.removeprefix(".")
    path = f"{root}.{name}" if root and name else root or name or NOWHERE
    if mistake.code == "required":
        return causes.required(path)
    if mistake.code == "enum":
        return causes.not_supported(path, mistake.value, map(_text, mistake.limit))
    if mistake.code == "long":
        return causes.too_long(path, mistake.limit)
    if mistake.code == "many":
        return causes.too_many(path, mistake.value, mistake.limit)
    cause = causes.invalid(path, mistake.value, mistake.message)
    if mistake.code == "type":
        return Cause("FieldValueTypeInvalid", cause.message, path)
    return cause


def _text(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)
