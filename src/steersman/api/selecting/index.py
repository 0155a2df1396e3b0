"""Indexes of a table by what selectors ask for: one label, or one field, that must have one value.

Nobody declares them. A key that is asked about again and again gets an index; each index is brought
up to date when it is asked, so that a write costs it a note and no more; one that is not asked
while as much changes as the table holds goes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

# How often a key is asked about before it is worth an index
OFTEN: Final = 3
# A table's indexes; each has two entries of a dict for every object
MOST_INDEXES: Final = 4
# Keys that are being counted: what clients invent is forgotten again
MOST_COUNTED: Final = 64
# Smaller tables are searched
FEWEST_OBJECTS: Final = 256
# Beyond this share of a table a search in its own order is as fast
MOST_SHARE: Final = 1 / 8
# Changes that may be left to be taken in, beside as many as there are objects
MOST_LEFT: Final = 1024

Place = tuple[str, str]


class Selectable(Protocol):
    """An entry, as far as it matters here."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The object's labels."""


class Pin(NamedTuple):
    """A value that everything selected has: of what, which one, and how it is read."""

    key: Hashable
    value: str
    read: Callable[[Selectable], str | None]


class _Index:
    """The places of objects by one value of theirs."""

    def __init__(self, read: Callable[[Selectable], str | None]) -> None:
        self._read = read
        self._values: dict[Place, str | None] = {}
        self._places: dict[str | None, dict[Place, None]] = {}
        self.left: dict[Place, None] = {}

    def __len__(self) -> int:
        return len(self._values)

    def take(self, place: Place, entry: Selectable | None) -> None:
        """Takes in what is at a place now; None: nothing."""
        if place in self._values:
            before = self._values.pop(place)
            del self._places[before][place]
            if not self._places[before]:
                del self._places[before]
        if entry is not None:
            value = self._values[place] = self._read(entry)
            self._places.setdefault(value, {})[place] = None

    def find(self, value: str) -> Mapping[Place, None]:
        """Returns the places of objects that have a value."""
        return self._places.get(value, {})


class Indexes:
    """The indexes of one table, over its entries by namespace and name."""

    def __init__(self, entries: Mapping[str, Mapping[str, Selectable]]) -> None:
        self._entries = entries
        self._indexes: dict[Hashable, _Index] = {}
        self._asked: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._indexes)

    def note(self, place: Place) -> None:
        """Hears that something changed at a place."""
        for key, index in list(self._indexes.items()):
            index.left[place] = None
            if len(index.left) > len(index) + MOST_LEFT:
                self._drop(key)

    def find(self, pin: Pin, namespace: str, size: int) -> list[Place] | None:
        """Returns the places of all objects that have a value, of one namespace or of all, in the
        table's order; None where they are to be searched for, among `size` objects."""
        if size < FEWEST_OBJECTS:
            return None
        index = self._indexes.get(pin.key)
        if index is None:
            if not self._is_asked_often(pin.key):
                return None
            index = self._make(pin)
        for left in index.left:
            index.take(left, self._entries.get(left[0], {}).get(left[1]))
        index.left = {}
        places = index.find(pin.value)
        return _ordered(places, namespace) if len(places) <= size * MOST_SHARE else None

    def _is_asked_often(self, key: Hashable) -> bool:
        if key not in self._asked and len(self._asked) >= MOST_COUNTED:
            self._asked.clear()
        self._asked[key] = self._asked.get(key, 0) + 1
        return self._asked[key] >= OFTEN

    def _make(self, pin: Pin) -> _Index:
        if len(self._indexes) >= MOST_INDEXES:
            self._drop(next(iter(self._indexes)))
        index = self._indexes[pin.key] = _Index(pin.read)
        for namespace, entries in self._entries.items():
            for name in entries:
                index.left[namespace, name] = None
        return index

    def _drop(self, key: Hashable) -> None:
        """Forgets an index, and that its key was asked about: it is worth none any more."""
        del self._indexes[key]
        self._asked.pop(key, None)


def _ordered(places: Iterable[Place], namespace: str) -> list[Place]:
    found = (place for place in places if not namespace or place[0] == namespace)
    return sorted(found, key=lambda place: (place[0] + "/", place[1]))
