"""Configurations that come again. Appliers repeat themselves: of most of what they send, the same
was found the last time, on an object that is as it was.

The one rule: a part is told by a digest of what it is, so whatever is found here is what a walk
would find. Nothing of a part itself is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from steersman.model.fields import granular, reading
from steersman.model.fields.fieldset import Tree
from steersman.model.fields.structure import Structure

Found = TypeVar("Found")

_MOST: Final = 1024
_MOST_BYTES: Final = 16 * 1024
_DIGEST_BYTES: Final = 16


class _Part(NamedTuple):
    """A part of a configuration, and, where it met one, that of the live object."""

    structure: Structure
    name: str
    digest: bytes
    live: bytes = b""


# what a part gives, None where that is nothing; and the parts that live objects held wholly
_given: Final[OrderedDict[_Part, Tree | None]] = OrderedDict()
_held: Final[OrderedDict[_Part, None]] = OrderedDict()


class Configuration:
    """An applied configuration of a kind whose structure is given."""

    def __init__(self, applied: Mapping[str, Any], structure: Structure) -> None:
        self._applied = applied
        self._structure = structure
        digests = {name: _digest(part) for name, part in applied.items() if _is_part(name, part)}
        self._parts = {
            name: _Part(structure, name, digest) for name, digest in digests.items() if digest
        }

    def given(self) -> Tree | None:
        """See `reading.given`."""
        parts, applied = self._parts, self._applied
        known = {f"f:{name}": _given[part] for name, part in parts.items() if part in _given}
        if not known:
            tree = reading.given(applied, self._structure)
        else:
            fresh = {name: item for name, item in applied.items() if f"f:{name}" not in known}
            tree = reading.given(fresh, self._structure)
        if tree is None:
            return None
        for name, part in parts.items():
            element = f"f:{name}"
            _note(_given, part, known[element] if element in known else tree.get(element))
        if not known:
            return tree
        found = {**tree, **known}
        elements = (f"f:{name}" for name in applied)
        return {it: node for it in elements if (node := found.get(it)) is not None}

    def merged(self, live: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what `granular.merge` makes of a live object."""
        met = {
            name: part._replace(live=_digest(live[name]))
            for name, part in self._parts.items()
            if name in live
        }
        left = {name: item for name, item in self._applied.items() if met.get(name) not in _held}
        merged: dict[str, Any] = granular.merge(live, left, self._structure)
        for name, part in met.items():
            if part.live and merged[name] is live[name]:
                _note(_held, part, None)
        return merged


def _is_part(name: str, value: Any) -> bool:
    """Says whether a value is worth a digest; metadata changes more than anything else."""
    return name != "metadata" and type(value) in (dict, list)


def _digest(value: Any) -> bytes:
    """Returns what tells a value from all others, the order of its names included; empty where it
    is too large or cannot be written (a number of more than 64 bits, half a surrogate)."""
    try:
        text = orjson.dumps(value)
    except TypeError:
        return b""
    return blake2b(text, digest_size=_DIGEST_BYTES).digest() if len(text) <= _MOST_BYTES else b""


def _note(kept: OrderedDict[_Part, Found], part: _Part, found: Found) -> None:
    kept[part] = found
    kept.move_to_end(part)
    if len(kept) > _MOST:
        kept.popitem(last=False)
