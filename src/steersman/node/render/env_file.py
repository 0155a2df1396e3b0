"""Variables in a file of a volume: the one form that the kubelet reads (KEP-3721). Pure.

NAME='value' with single quotes, over several lines where need be; nothing is expanded.
"""

from __future__ import annotations


class BadFile(Exception):
    """The text is no such file; the message says where."""


def parse_variable(text: str, key: str) -> str:
    """Returns the first value of a variable, empty where the file has none; lines after it are
    not looked at. Raises BadFile."""
    lines = iter(enumerate(text.split("\n"), 1))
    for number, raw in lines:
        line = raw.rstrip("\r").lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        _check_name(name, equals, number)
        if value.startswith((" ", "\t")):  # as in a shell: an empty value, and another word
            if name == key:
                return ""
            continue
        if not value.startswith("'"):
            raise _bad(number, "value must be enclosed in single quotes")
        read, quote, rest = value[1:].partition("'")
        last = number
        while not quote:
            try:
                last, more = next(lines)
            except StopIteration:
                text = "invalid environment variable format starting at line"
                raise BadFile(f"{text} {number}: unclosed single quote") from None
            part, quote, rest = more.rstrip("\r").partition("'")
            read += f"\n{part}"
        if (rest := rest.lstrip(" \t")) and not rest.startswith("#"):
            raise _bad(last, "unexpected content after closing quote")
        if name == key:
            return read
    return ""


def _check_name(name: str, equals: str, number: int) -> None:
    if not equals:
        raise _bad(number, "missing '='")
    bare = name.rstrip(" \t")
    if not bare:
        raise _bad(number, "empty variable name")
    if bare != name:
        raise _bad(number, "whitespace before '=' is not allowed")


def _bad(number: int, what: str) -> BadFile:
    return BadFile(f"invalid environment variable format at line {number}: {what}")
