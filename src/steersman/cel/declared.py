"""From a structural schema to a type, and to a function that makes values of documents.

Follows k8s.io/apiserver/pkg/cel/common/schemas.go: what has no schema is not seen by expressions,
names that are no identifiers are escaped, and sizes without bounds are what fits into a request.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from steersman.cel import types
from steersman.cel.errors import EvaluationError
from steersman.cel.estimate import LARGEST
from steersman.cel.library import times
from steersman.cel.types import Field, Type
from steersman.cel.values import MapList, SetList
from steersman.model.names import CEL_KEYWORDS, CEL_RESERVED

Schema = Mapping[str, Any]
Convert = Callable[[Any], Any]

_WORDS: Final = CEL_RESERVED | CEL_KEYWORDS
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED = re.compile(r"__|[-./]")
_NAME = re.compile(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*", re.ASCII)
_TIME_SIZE, _LEAST_TIME, _DATE_SIZE, _LEAST_DURATION = 32, 21, 12, 3
_STRING: Final[Schema] = {"type": "string"}
_ROOT: Final[Mapping[str, Schema]] = {
    "kind": _STRING,
    "apiVersion": _STRING,
    "metadata": {"type": "object", "properties": {"name": _STRING, "generateName": _STRING}},
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """A schema's type, the fewest bytes of JSON a value has, and what makes a value of a document.

    `convert` is None where documents are values as they are.
    """

    type: Type
    least: int
    convert: Convert | None = None

    def value(self, document: Any) -> Any:
        """Returns the value that expressions see."""
        return document if self.convert is None else self.convert(document)


def escape(name: str) -> str | None:
    """Returns the identifier of a property, None where it has none."""
    if name in _WORDS:
        return f"__{name}__"
    if not _NAME.fullmatch(name):
        return None
    return _ESCAPED.sub(lambda match: _ESCAPES[match.group()], name)


def declare(schema: Schema, name: str = "object", *, root: bool = False) -> Declaration | None:
    """Returns what expressions see of a schema, None where that is nothing.

    `root` marks the schema of a whole or an embedded object, whose name and kind are always seen.
    """
    if schema.get("x-kubernetes-int-or-string"):
        longest = schema.get("maxLength")
        size = LARGEST - 2 if longest is None else 4 * max(longest, 0)
        return Declaration(types.DYN.sized(size), 1)
    if root or schema.get("x-kubernetes-embedded-resource"):
        properties = {**schema.get("properties", {}), **_ROOT}
        schema = {**schema, "type": "object", "properties": properties}
    match schema.get("type"):
        case "array":
            return _list(schema, name)
        case "object" if isinstance(schema.get("additionalProperties"), Mapping):
            return _map(schema, name)
        case "object":
            return _object(schema, name)
        case "string":
            return _string(schema)
    return _SCALARS.get(schema.get("type") or "")


def _list(schema: Schema, name: str) -> Declaration | None:
    item = declare(schema.get("items") or {}, f"{name}.@idx")
    if item is None:
        return None
    most = schema.get("maxItems")
    size = (LARGEST - 2) // (item.least + 1) if most is None else max(most, 0)
    return Declaration(types.list_of(item.type).sized(size), 2, _convert_list(schema, item))


def _convert_list(schema: Schema, item: Declaration) -> Convert | None:
    kind, each = schema.get("x-kubernetes-list-type"), item.convert
    if kind == "set":
        return lambda document: SetList(map(item.value, document))
    if kind == "map":
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        return lambda document: MapList(list(map(item.value, document)), keys)
    if each is None:
        return None
    return lambda document: [None if one is None else each(one) for one in document]


def _map(schema: Schema, name: str) -> Declaration | None:
    value = declare(schema["additionalProperties"], f"{name}.@elem")
    if value is None:
        return None
    most = schema.get("maxProperties")
    size = (LARGEST - 2) // (value.least + 6) if most is None else max(most, 0)
    each = value.convert
    convert: Convert | None = None
    if each is not None:

        def convert(document: Any) -> Any:
            return {key: None if one is None else each(one) for key, one in document.items()}

    # Upstream's estimates take the keys of a map for empty
    keys = types.STRING.sized(0)
    return Declaration(types.map_of(keys, value.type).sized(size), 2, convert)


def _object(schema: Schema, name: str) -> Declaration:
    required = set(schema.get("required") or ())
    fields: dict[str, Field] = {}
    converts: dict[str, Convert] = {}
    least = 2  # {}
    for key, property_ in schema.get("properties", {}).items():
        declared = declare(property_, f"{name}.{key}")
        if declared is None:
            continue
        if (escaped := escape(key)) is not None:
            fields[escaped] = Field(key, declared.type, key not in required)
        if declared.convert is not None:
            converts[key] = declared.convert
        if key in required and "default" not in property_:
            least += len(key) + declared.least + 4
    return Declaration(Type("object", name, (), fields), least, _convert_object(converts))


def _convert_object(converts: Mapping[str, Convert]) -> Convert | None:
    if not converts:
        return None

    def convert(document: Any) -> Any:
        made = dict(document)
        for key, each in converts.items():
            if made.get(key) is not None:
                made[key] = each(made[key])
        return made

    return convert


def _string(schema: Schema) -> Declaration:
    most = schema.get("maxLength")
    match schema.get("format"):
        case "byte":
            size = LARGEST - 2 if most is None else max(most, 0)
            return Declaration(types.BYTES.sized(size), 2, _bytes)
        case "duration":
            sized = types.DURATION.sized(_TIME_SIZE)
            return Declaration(sized, _LEAST_DURATION, times.parse_duration)
        case "date":
            sized = types.TIMESTAMP.sized(_DATE_SIZE)
            return Declaration(sized, _DATE_SIZE, lambda text: _moment(f"{text}T00:00:00Z"))
        case "date-time":
            return Declaration(types.TIMESTAMP.sized(_TIME_SIZE), _LEAST_TIME, _moment)
    if most is not None:
        size = 4 * max(most, 0)  # a bound is in characters, a size in bytes
    elif listed := schema.get("enum"):
        size = max((len(value) for value in listed if isinstance(value, str)), default=0)
    else:
        size = LARGEST - 2
    return Declaration(types.STRING.sized(size), 2)


def _moment(text: str) -> Any:
    return times.parse_timestamp(text)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError("illegal base64 data") from None


def _double(number: Any) -> Any:
    return float(number) if type(number) is int else number


_SCALARS: Final[Mapping[str, Declaration]] = {
    "boolean": Declaration(types.BOOL, 4),
    "number": Declaration(types.DOUBLE, 1, _double),
    "integer": Declaration(types.INT, 1),
}
