"""JSON without the `json` package, whose regular expressions cost a cold start five milliseconds.

Rule: the same scanner and encoder, in C, that the package itself uses; where an interpreter has
none the package is taken.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\n\r"


class _Reading:
    """What the scanner asks of a decoder: JSON as it is, no hooks."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012  the scanner's own table of keys, emptied by it


def loads(text: str) -> Any:
    """The value of a JSON text; ValueError if it is none."""
    try:
        from _json import make_scanner
    except ImportError:
        import json

        return json.loads(text)
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = make_scanner(_Reading())(text, start)  # type: ignore[arg-type]
    except StopIteration as stop:
        raise ValueError(f"not JSON at character {stop.value}") from None
    if text[end:].strip(_SPACE):
        raise ValueError(f"not JSON at character {end}")
    return value


def dumps(value: Any) -> str:
    """A value of dicts, lists, strings and numbers as JSON on one line."""
    try:
        from _json import encode_basestring_ascii, make_encoder
    except ImportError:
        import json

        return json.dumps(value)
    encoder = make_encoder(
        {}, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, False
    )
    return "".join(encoder(value, 0))


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
