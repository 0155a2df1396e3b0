"""Values as Go prints them, because upstream's messages hold them: `%q`, `%v`, JSON.

Only for messages; nothing reads these texts back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v", "\\": "\\\\", '"': '\\"'}
_ESCAPES |= {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(text: str) -> str:
    """Returns a text in double quotes with Go's escapes (`%q`)."""
    return f'"{"".join(map(_escaped, text))}"'


def aggregate(errors: Iterable[str]) -> str:
    """Returns errors as one (utilerrors.Aggregate): several in brackets, equal ones once."""
    texts = list(dict.fromkeys(errors))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def shown(value: Any) -> str:
    """Returns JSON as encoding/json writes it, which escapes three signs for HTML's sake."""
    text = msgspec.json.encode(value).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def difference(before: Any, after: Any) -> str:
    """Returns how a value changed, as upstream's messages show it: a unified diff of both in JSON
    (apimachinery's util/diff), the keys of maps in order and those of structs as they are given."""
    import difflib  # loaded with the first message that shows a difference

    old, new = (f"{_indented(value)}\n".splitlines(keepends=True) for value in (before, after))
    return "".join(list(difflib.unified_diff(old, new))[2:])  # without the names of files


def _indented(value: Any) -> str:
    return msgspec.json.format(shown(value), indent=1)


def struct(document: Mapping[str, Any], *fields: str) -> dict[str, Any]:
    """Returns a document as `shown` prints Go's internal type of it, which has no JSON names:
    all fields, under Go's names."""
    return {name: document.get(name[0].lower() + name[1:]) for name in fields}


def printed(value: Any) -> str:
    """Returns a document as `%v` prints it: `map[a:1 b:[x y]]`."""
    if isinstance(value, dict):
        inside = " ".join(f"{key}:{printed(value[key])}" for key in sorted(value))
        return f"map[{inside}]"
    if isinstance(value, list):
        return f"[{' '.join(map(printed, value))}]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def go_type(value: Any) -> str:
    """Returns the Go type that a decoded JSON value has (`%s` of reflect.TypeOf)."""
    if value is None:
        return "%!s(<nil>)"
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    names: dict[type, str] = {bool: "bool", int: "int64", float: "float64", str: "string"}
    return names[type(value)]


def _escaped(sign: str) -> str:
    if (found := _ESCAPES.get(sign)) is not None:
        return found
    if sign.isprintable():
        return sign
    code = ord(sign)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
