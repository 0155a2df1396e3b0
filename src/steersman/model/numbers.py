"""Field numbers of the Protocol Buffers form of the built-in kinds, from a packed table.

The published schema does not hold them. A line is a definition and its fields: `name=number`, with
`?` behind a scalar whose zero differs from its absence (a pointer in Go) and `*` before a
definition whose fields stand in the parent in JSON (an embedded struct).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from steersman.model.pack import MINOR

FILE = Path(__file__).with_name(f"protobuf-{MINOR}.txt")
_PREFIX = "io.k8s."


class Numbered(NamedTuple):
    """One field: its JSON name, or the definition that is embedded; whether zero is kept."""

    name: str
    embedded: str
    keeps_zero: bool


Numbers = dict[int, Numbered]


@cache
def _lines() -> dict[str, str]:
    lines = FILE.read_text().splitlines()
    return {name: fields for name, _, fields in (line.partition(" ") for line in lines)}


@cache
def of(definition: str) -> Numbers | None:
    """Returns a definition's fields by number, None where it has no such form here."""
    line = _lines().get(definition.removeprefix(_PREFIX))
    return None if line is None else dict(map(_parse, line.split()))


def _parse(text: str) -> tuple[int, Numbered]:
    name, number = text.split("=")
    if name[0] == "*":
        return int(number), Numbered("", _PREFIX + name[1:], False)
    return int(number), Numbered(name.rstrip("?"), "", name[-1] == "?")
