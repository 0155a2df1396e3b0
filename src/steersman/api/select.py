"""Which entries a list or a watch is about: its label and field selectors, compiled once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from steersman.api.cache import Entry
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

    def _read(self, entry: Entry) -> Mapping[str, str]:
        values = {"metadata.name": entry.name, "metadata.namespace": entry.namespace}
        if self._kind.selectable:
            values |= entry.fields(_reader(self._kind))
        return values


_Read = Callable[[Document], Mapping[str, str]]
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
