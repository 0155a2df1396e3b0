"""Which entries a list or a watch is about: its label and field selectors, compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from steersman.api.cache import Entry, Table
from steersman.api.selecting.index import Pin
from steersman.model import selectors
from steersman.model.errors import BadRequest
from steersman.model.kind import Document, Kind
from steersman.wire.message import Request

Matches = Callable[[Entry], bool]

_NAMES = ("metadata.name", "metadata.namespace")


class Selection:
    """A compiled pair of selectors. `everything` is true where both are empty; `name` is the one
    name that can match, where the field selector pins it."""

    def __init__(self, kind: Kind, labels: str, fields: str) -> None:
        self.everything = not labels and not fields
        self.name = ""
        self._labels = selectors.parse(labels) if labels else None
        self._fields = selectors.parse_fields(fields) if fields else None
        self._kind = kind
        if self._fields is not None:
            self._check_fields(self._fields)
            self.name = self._fields.pinned.get("metadata.name", "")
            if self.name and len(self._fields.requirements) == 1:
                self._fields = None  # the name says it all

    def _check_fields(self, fields: selectors.Selector) -> None:
        for field, *_ in fields.requirements:
            if field not in _NAMES and field not in self._kind.selectable:
                if self._kind.selectable or self._kind.versions[0].shape is not None:
                    raise BadRequest(f"field label not supported: {field}")
                known = ", ".join(f'"{name}"' for name in _NAMES)
                raise BadRequest(f'"{field}" is not a known field selector: only {known}')

    def matches(self, entry: Entry) -> bool:
        """Says whether an object is selected."""
        if self.name and entry.name != self.name:
            return False
        if self._labels is not None and not self._labels(entry.labels):
            return False
        return self._fields is None or self._fields(self._read(entry))

    def of(self, table: Table, namespace: str = "") -> list[Entry]:
        """Returns what is selected in a table or one namespace of it, in key order; the list may be
        shared and must not be changed."""
        if self.everything:
            return table.ordered(namespace)
        return [entry for entry in self._candidates(table, namespace) if self.matches(entry)]

    def _candidates(self, table: Table, namespace: str) -> list[Entry]:
        if self.name and namespace:
            found = table.get(namespace, self.name)
            return [found] if found else []
        for pin in self._pins():
            if (indexed := table.having(pin, namespace)) is not None:
                return indexed
        return table.ordered(namespace)

    def _pins(self) -> Iterator[Pin]:
        """Yields what has to have one certain value, fields first: they are the narrower ones."""
        fields = {} if self._fields is None else self._fields.pinned
        for field, value in fields.items():
            if field not in _NAMES:
                read = _reader(self._kind)
                yield Pin((read, field), value, partial(_field, read, field))
        for label, value in ({} if self._labels is None else self._labels.pinned).items():
            yield Pin(label, value, partial(_label, label))

    def _read(self, entry: Entry) -> Mapping[str, str]:
        values = {"metadata.name": entry.name, "metadata.namespace": entry.namespace}
        if self._kind.selectable:
            values |= entry.fields(_reader(self._kind))
        return values


_Read = Callable[[Document], Mapping[str, str]]


def _field(read: _Read, field: str, entry: Entry) -> str | None:
    return entry.fields(read).get(field)


def _label(label: str, entry: Entry) -> str | None:
    return entry.labels.get(label)


_readers: dict[tuple[str, str], tuple[object, _Read]] = {}


def _reader(kind: Kind) -> _Read:
    """Returns the function that reads a kind's selectable fields; one for each kind, so that an
    entry knows its own answer again. Those of a custom resource may change."""
    selectable, shape = kind.selectable, kind.versions[0].shape
    found = _readers.get(kind.resource)
    if found is not None and found[0] is selectable:
        return found[1]

    def read(document: Document) -> Mapping[str, str]:
        if shape is not None:
            document = shape.parse(document)
        return {name: value(document) for name, value in selectable.items()}

    _readers[kind.resource] = (selectable, read)
    return read


def selection_of(kind: Kind, request: Request) -> Selection:
    """Returns the selection a request asks for."""
    if not request.query:
        return Selection(kind, "", "")
    return Selection(kind, request.param("labelSelector"), request.param("fieldSelector"))
