"""What is wrong with a document that `decode` could not take at once, in the words of Go's decoder.

A type error refuses the document (sigs.k8s.io/json names the innermost Go struct, the path without
indexes, and the Go type). Unknown fields are removed and named by paths with indexes. A null inside
a list or map becomes the zero value of its type, as Go leaves it.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, NoReturn

from steersman.model import quantity
from steersman.model.errors import BadRequest
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.schema import Node
from steersman.model.types.gonames import GO_NAMES

MICRO_TIME: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_RFC3339: Final = "2006-01-02T15:04:05Z07:00"
_RFC3339_MICRO: Final = "2006-01-02T15:04:05.000000Z07:00"
_ELEMENTS: Final = (
    (r"\d{4}", "2006"),
    ("-", "-"),
    (r"\d\d", "01"),
    ("-", "-"),
    (r"\d\d", "02"),
    ("T", "T"),
    (r"\d\d", "15"),
    (":", ":"),
    (r"\d\d", "04"),
    (":", ":"),
    (r"\d\d", "05"),
)
_FRACTION: Final = re.compile(r"[.,]\d+")
_ZONE: Final = re.compile(r"Z|([+-])(\d\d):(\d\d)")
_BASE64_SIGN: Final = re.compile(r"[A-Za-z0-9+/]")
_BOUNDS: Final = {"int32": 2**31, "int64": 2**63}


class Place(NamedTuple):
    """Where a value stands: the Go struct that holds it, Go's path, and the path with indexes."""

    struct: str = ""
    field: str = ""
    path: str = ""


class _Abort(Exception):
    """A type with a decoder of its own refuses its text: Go's decoder stops there."""


def settle(node: Node, document: Any, kind: str, version: str) -> tuple[str, ...]:
    """Removes unknown fields and returns their paths; raises BadRequest for the first wrong type.

    The document is changed in place.
    """
    walk = _Walk()
    try:
        walk.value(node, document, Place(), _go_type(node))
    except _Abort as abort:
        walk.error = str(abort)
    if walk.error:
        where = f'{kind} in version "{version}" cannot be handled as a {kind}'
        raise BadRequest(f"{where}: {walk.error}")
    return tuple(walk.unknown)


class _Walk:
    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.error = ""

    def value(self, node: Node, value: Any, place: Place, go_type: str) -> Any:
        """Returns the settled value; a wrong type is remembered, the first one counts."""
        if node.type == "object":
            self._object(node, value, place, go_type)
        elif node.type == "array":
            self._array(node, value, place, go_type)
        elif node.type == "string" and node.format == "date-time":
            return _time(node, value)
        elif node.type == "quantity":
            return _quantity(value)
        elif node.type == "int-or-string":
            _int_or_string(value)
        elif node.type != "any":
            self._scalar(node, value, place, go_type)
        return value

    def _object(self, node: Node, value: Any, place: Place, go_type: str) -> None:
        if not isinstance(value, dict):
            self._refuse(sort_of(value), place, go_type)
        elif node.fields:
            self._fields(node, value, place, go_type)
        elif node.values is not None:
            self._entries(node.values, value, place, go_type)

    def _fields(self, node: Node, document: Document, place: Place, go_type: str) -> None:
        struct = go_type.rpartition(".")[2]
        for name, value in list(document.items()):
            path = f"{place.path}.{name}" if place.path else name
            field = node.fields.get(name)
            if field is None:
                del document[name]
                self.unknown.append(path)
            elif value is None:
                del document[name]
            else:
                inner = Place(struct, f"{place.field}.{name}" if place.field else name, path)
                go = GO_NAMES.get((node.definition, name)) or _go_type(field)
                document[name] = self.value(field, value, inner, go)

    def _entries(self, node: Node, document: Document, place: Place, go_type: str) -> None:
        go = go_type.partition("]")[2] if go_type.startswith("map[") else _go_type(node)
        for name, value in list(document.items()):
            if value is None and node.format == "date-time":
                del document[name]  # no time at all has no text to stand there
                continue
            inner = place._replace(path=f"{place.path}.{name}")
            settled = _zero(node) if value is None else self.value(node, value, inner, go)
            document[name] = settled

    def _array(self, node: Node, values: Any, place: Place, go_type: str) -> None:
        if not isinstance(values, list):
            self._refuse(sort_of(values), place, go_type)
            return
        if (items := node.items) is None:
            return
        for index, value in enumerate(values):
            inner = place._replace(path=f"{place.path}[{index}]")
            go = go_type.removeprefix("[]")
            values[index] = _zero(items) if value is None else self.value(items, value, inner, go)

    def _scalar(self, node: Node, value: Any, place: Place, go_type: str) -> None:
        if node.type == "integer":
            self._integer(node, value, place, go_type)
        elif node.type == "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                self._refuse(sort_of(value), place, go_type)
        elif node.type == "boolean":
            if not isinstance(value, bool):
                self._refuse(sort_of(value), place, go_type)
        elif not isinstance(value, str):
            self._refuse(sort_of(value), place, go_type)
        elif node.format == "byte" and (position := _base64_error(value)) is not None:
            self.error = self.error or f"illegal base64 data at input byte {position}"

    def _integer(self, node: Node, value: Any, place: Place, go_type: str) -> None:
        sort = sort_of(value)
        if sort != "number":
            self._refuse(sort, place, go_type)
            return
        bound = _BOUNDS[node.format or "int64"]
        if not isinstance(value, int) or not -bound <= value < bound:
            self._refuse(f"number {value}", place, go_type)

    def _refuse(self, sort: str, place: Place, go_type: str) -> None:
        if self.error:
            return
        if place.struct:
            target = f"Go struct field {place.struct}.{place.field} of type {go_type}"
        else:
            target = f"Go value of type {go_type}"
        self.error = _told(sort, target)


def mistaken(value: Any, wanted: str, place: str = "Go value") -> str:
    """Says in the words of Go's decoder that a value is of another type than the wanted one."""
    return _told(sort_of(value), f"{place} of type {wanted}")


def _told(sort: str, target: str) -> str:
    return f"json: cannot unmarshal {sort} into {target}"


def sort_of(value: Any) -> str:
    """Returns what Go's JSON decoder calls a value that it cannot take."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _go_type(node: Node) -> str:
    if node.definition:
        return ".".join(node.definition.split(".")[-2:])
    if node.type == "object":
        return f"map[string]{_go_type(node.values)}" if node.values else "map[string]interface {}"
    if node.type == "array":
        return f"[]{_go_type(node.items)}" if node.items else "[]interface {}"
    if node.format == "byte":
        return "[]uint8"
    names = {"integer": node.format or "int64", "number": "float64", "boolean": "bool"}
    return names.get(node.type, "string")


def _zero(node: Node) -> Any:
    if node.type == "any":
        return None
    if node.type == "object":
        return {}
    if node.type == "array":
        return []
    return {"integer": 0, "number": 0, "boolean": False, "quantity": "0"}.get(node.type, "")


def _quantity(value: Any) -> str:
    if isinstance(value, bool | list | dict):
        value = "true"  # any text that is no number: their JSON never is one
    try:
        return str(quantity.parse(value.strip() if isinstance(value, str) else value))
    except quantity.QuantityError as error:
        raise _Abort(str(error)) from None


def _int_or_string(value: Any) -> None:
    if isinstance(value, str):
        return
    sort = sort_of(value)
    if sort == "number":
        if isinstance(value, int) and -(2**31) <= value < 2**31:
            return
        sort = f"number {value}"
    raise _Abort(_told(sort, "Go value of type int32"))


def _base64_error(text: str) -> int | None:
    """Returns where Go's decoder stops, None where the text is sound."""
    kept = text.replace("\r", "").replace("\n", "")
    try:
        base64.b64decode(kept, validate=True)
    except (binascii.Error, ValueError):
        body = kept.rstrip("=")
        wrong = next((at for at, sign in enumerate(body) if not _BASE64_SIGN.match(sign)), None)
        return wrong if wrong is not None else len(body) - len(body) % 4
    return None


def canonical_time(text: str, micro: bool = False) -> str | None:
    """Returns a time in upstream's text (UTC; whole seconds, or six places for MicroTime), None
    where it is none."""
    try:
        return _parse_time(text, micro)
    except _Abort:
        return None


def _time(node: Node, value: Any) -> str:
    if not isinstance(value, str):
        raise _Abort(mistaken(value, "string"))
    return _parse_time(value, node.definition == MICRO_TIME)


def _parse_time(text: str, micro: bool) -> str:
    layout = _RFC3339_MICRO if micro else _RFC3339
    at = 0
    for pattern, element in _ELEMENTS:
        if (found := re.compile(pattern).match(text, at)) is None:
            _unparsed(text, layout, text[at:], element)
        at = found.end()
    seconds = at
    if (fraction := _FRACTION.match(text, at)) is not None:
        at = fraction.end()
    if micro and (fraction is None or at - seconds != 7):
        _unparsed(text, layout, text[seconds:], ".000000")
    if (zone := _ZONE.match(text, at)) is None:
        _unparsed(text, layout, text[at:], "Z07:00")
    if text[zone.end() :]:
        shown, rest = quote(text), quote(text[zone.end() :])
        raise _Abort(f"parsing time {shown}: extra text: {rest}")
    return _printed(_moment(text[:19], text) - _offset(zone), text[seconds + 1 : at], micro)


def _printed(moment: datetime, digits: str, micro: bool) -> str:
    shown = moment.strftime("%Y-%m-%dT%H:%M:%S").zfill(19)
    return f"{shown}.{digits}Z" if micro else f"{shown}Z"


def _unparsed(text: str, layout: str, rest: str, element: str) -> NoReturn:
    raise _Abort(
        f"parsing time {quote(text)} as {quote(layout)}: "
        f"cannot parse {quote(rest)} as {quote(element)}"
    )


def _moment(text: str, whole: str) -> datetime:
    year, month, day, hour, minute, second = map(int, re.split("[-T:]", text))
    for wrong, name in (
        (not 1 <= month <= 12, "month"),
        (hour > 23, "hour"),
        (minute > 59, "minute"),
        (second > 59, "second"),
    ):
        if wrong:
            raise _Abort(f"parsing time {quote(whole)}: {name} out of range")
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise _Abort(f"parsing time {quote(whole)}: day out of range") from None


def _offset(zone: re.Match[str]) -> timedelta:
    if zone[1] is None:
        return timedelta()
    offset = timedelta(hours=int(zone[2]), minutes=int(zone[3]))
    return -offset if zone[1] == "-" else offset
