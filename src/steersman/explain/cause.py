"""One link of a chain of causes, and the chain as text and as a document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from steersman.model.kind import Document

# Links shown below one another; no chain of Kubernetes' own objects is longer
DEEPEST: Final = 12
# Lines of one sort under a link (nodes, events); the rest is counted
MOST_LINES: Final = 8


class Cause(msgspec.Struct, frozen=True):
    """What is the matter with one object.

    about:   the object as kubectl names it (`pod/web-1`)
    finding: one sentence; where `sound`, that nothing is the matter
    details: facts that the finding rests on
    helps:   what would change it
    causes:  what it comes from
    """

    about: str
    finding: str
    details: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    sound: bool = False


def render(cause: Cause) -> str:
    """Returns a chain as text for people."""
    return "\n".join(_lines(cause, 0))


def _lines(cause: Cause, depth: int) -> Iterator[str]:
    indent = "  " * depth
    yield f"{indent}{cause.about}: {cause.finding}"
    for detail in cause.details:
        yield f"{indent}  {detail}"
    for help in cause.helps:
        yield f"{indent}  -> {help}"
    if depth < DEEPEST:
        for further in cause.causes:
            yield from _lines(further, depth + 1)


def to_document(cause: Cause) -> Document:
    """Returns a chain as a JSON document."""
    found: Document = {"about": cause.about, "finding": cause.finding, "sound": cause.sound}
    if cause.details:
        found["details"] = list(cause.details)
    if cause.helps:
        found["helps"] = list(cause.helps)
    if cause.causes:
        found["causes"] = [to_document(further) for further in cause.causes]
    return found


def bounded(lines: Iterable[str], what: str) -> tuple[str, ...]:
    """Returns lines, of many the first and how many more `what` there are."""
    whole = tuple(lines)
    if len(whole) <= MOST_LINES:
        return whole
    return (*whole[:MOST_LINES], f"and {len(whole) - MOST_LINES} more {what}")


def alike(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Returns causes without those that say of another object what one before them says."""
    first: dict[tuple[object, ...], Cause] = {}
    others: dict[tuple[object, ...], list[str]] = {}
    for cause in causes:
        key = (cause.finding, cause.details, cause.helps, cause.causes)
        if first.setdefault(key, cause) is not cause:
            others.setdefault(key, []).append(cause.about)
    return tuple(
        msgspec.structs.replace(cause, details=(*cause.details, _also(others[key])))
        if key in others
        else cause
        for key, cause in first.items()
    )


def _also(names: list[str]) -> str:
    return f"the same holds for {', '.join(bounded(names, 'objects'))}"
