"""Where the numbers of a custom resource's scale subresource stand, and what they may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from steersman.model import causes
from steersman.model.errors import Cause
from steersman.model.gotext import go_type, printed

MOST_REPLICAS: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Scaling:
    """Paths as a definition writes them (`.spec.replicas`); `selector` may be empty."""

    replicas: str
    status_replicas: str
    selector: str = ""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Scaling:
        """Reads `subresources.scale`."""
        selector = raw.get("labelSelectorPath") or ""
        return cls(raw["specReplicasPath"], raw["statusReplicasPath"], selector)


class NotThere(ValueError):
    """A field on the way, or at the end of it, is of another type; the text is Go's."""


def keys(path: str) -> tuple[str, ...]:
    """Returns the names of a path."""
    return tuple(path.removeprefix(".").split("."))


def number(document: Mapping[str, Any], path: str) -> int | None:
    """Returns an integer, None where there is none; raises NotThere."""
    found = _at(document, path)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int):
        raise _mismatch(path, found, "int64")
    return found


def text(document: Mapping[str, Any], path: str) -> str:
    """Returns a text, the empty one where there is none; raises NotThere."""
    found = _at(document, path)
    if found is not None and not isinstance(found, str):
        raise _mismatch(path, found, "string")
    return found or ""


def _at(document: Mapping[str, Any], path: str) -> Any:
    found: Any = document
    for depth, name in enumerate(keys(path)):
        if found is None:
            return None
        if not isinstance(found, Mapping):
            walked = ".".join(keys(path)[: depth + 1])
            told = f"{printed(found)} is of the type {go_type(found)}"
            text = f".{walked} accessor error: {told}, expected map[string]interface{{}}"
            raise NotThere(text)
        found = found.get(name)
    return found


def _mismatch(path: str, found: Any, wanted: str) -> NotThere:
    told = f"{printed(found)} is of the type {go_type(found)}"
    return NotThere(f".{'.'.join(keys(path))} accessor error: {told}, expected {wanted}")


def check(document: Mapping[str, Any], scaling: Scaling, *, spec: bool) -> Iterator[Cause]:
    """Yields what is wrong with the numbers; those of the spec where `spec` says so."""
    paths = (scaling.replicas, scaling.status_replicas) if spec else (scaling.status_replicas,)
    for path in paths:
        try:
            yield from _check_number(path, number(document, path) or 0)
        except NotThere as error:
            yield causes.invalid(path, 0, str(error))
    if scaling.selector:
        try:
            text(document, scaling.selector)
        except NotThere as error:
            yield causes.invalid(scaling.selector, "", str(error))


def _check_number(path: str, value: int) -> Iterator[Cause]:
    if value < 0:
        yield causes.invalid(path, value, "should be a non-negative integer")
    elif value > MOST_REPLICAS:
        yield causes.invalid(path, value, f"should be less than or equal to {MOST_REPLICAS}")
