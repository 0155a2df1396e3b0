"""Texts to tokens (cel-spec, Syntax): names, numbers, strings, symbols."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from steersman.cel.errors import CompileError, Issue
from steersman.cel.values import Uint

Kind = Literal["name", "literal", "symbol", "end"]

MOST_CHARACTERS: Final = 100_000  # cel-go's default code point limit
INT_LIMIT: Final = 2**63  # itself good behind a minus alone: the parser looks at that
_UINT_MAX: Final = 2**64

_WORD_VALUES: Final = {"true": True, "false": False, "null": None}
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"\"\"|'''|"|'))
    |(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>(?:0x[0-9a-fA-F]+|\d+)[uU]?)
    |(?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
    |(?P<symbol>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(
    r"""\\(?:(?P<plain>[abfnrtv\\?"'`])|[xX](?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})
    |u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))""",
    re.VERBOSE,
)
_PLAIN = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text; `value` is what a literal stands for."""

    kind: Kind
    text: str
    position: int
    value: Any = None


def tokens(text: str) -> list[Token]:
    """Returns the tokens of a text, the last one of kind `end`; raises CompileError."""
    if len(text) > MOST_CHARACTERS:
        message = (
            f"expression code point size exceeds limit: size: {len(text)}, limit {MOST_CHARACTERS}"
        )
        raise CompileError(text, [Issue(0, message)])
    found = list(_scan(text))
    found.append(Token("end", "<EOF>", len(text)))
    return found


def _scan(text: str) -> Iterator[Token]:
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _unrecognized(text, place, text[place])
        place = match.end()
        kind = match.lastgroup
        if kind == "space":
            continue
        if kind == "string":
            token, place = _string(text, match)
            yield token
        else:
            yield _token(text, match, kind or "")


def _token(text: str, match: re.Match[str], kind: str) -> Token:
    found, place = match.group(), match.start()
    if kind == "float":
        return Token("literal", found, place, float(found))
    if kind == "int":
        return Token("literal", found, place, _integer(text, found, place))
    if kind == "name" and found in _WORD_VALUES:
        return Token("literal", found, place, _WORD_VALUES[found])
    if kind == "name" and found == "in":
        return Token("symbol", found, place)
    return Token("name" if kind == "name" else "symbol", found, place)


def _integer(text: str, found: str, place: int) -> int:
    unsigned = found[-1] in "uU"
    digits = found.rstrip("uU")
    number = int(digits, 16 if digits.startswith("0x") else 10) if len(digits) < 40 else _UINT_MAX
    if number >= _UINT_MAX or (not unsigned and number > INT_LIMIT):
        kind = "uint" if unsigned else "int"
        raise CompileError(text, [Issue(place, f"Syntax error: invalid {kind} literal")])
    return Uint(number) if unsigned else number


def _string(text: str, opening: re.Match[str]) -> tuple[Token, int]:
    """Returns a string literal and where the text goes on."""
    head = opening.group()
    quote = head.lstrip("rRbB")
    prefix = head[: -len(quote)].lower()
    begin = end = opening.end()
    while not text.startswith(quote, end):
        if end >= len(text) or (len(quote) == 1 and text[end] in "\r\n"):
            raise _unrecognized(text, opening.start(), text[opening.start() :])
        end += 2 if text[end] == "\\" and "r" not in prefix else 1
    body = text[begin:end]
    value = _value(body, prefix, _refuse(text, opening.start()))
    after = end + len(quote)
    return Token("literal", text[opening.start() : after], opening.start(), value), after


def _refuse(text: str, place: int) -> Callable[[str], CompileError]:
    return lambda message: CompileError(text, [Issue(place, message)])


def _value(body: str, prefix: str, refuse: Callable[[str], CompileError]) -> str | bytes:
    if "b" in prefix:
        return body.encode() if "r" in prefix else _unescape_bytes(body, refuse)
    return body if "r" in prefix else _unescape(body, refuse)


def _unescape(body: str, refuse: Callable[[str], CompileError]) -> str:
    return "".join(
        piece if isinstance(piece, str) else chr(_code(piece, refuse))
        for piece in _pieces(body, refuse)
    )


def _unescape_bytes(body: str, refuse: Callable[[str], CompileError]) -> bytes:
    made = b""
    for piece in _pieces(body, refuse):
        if isinstance(piece, str):
            made += piece.encode()
        elif piece["hex"] or piece["octal"]:  # these are bytes, not characters
            made += bytes([_code(piece, refuse)])
        else:
            made += chr(_code(piece, refuse)).encode()
    return made


def _pieces(body: str, refuse: Callable[[str], CompileError]) -> Iterator[str | re.Match[str]]:
    place = 0
    while (at := body.find("\\", place)) >= 0:
        if (match := _ESCAPE.match(body, at)) is None:
            raise refuse("unable to unescape string")
        yield body[place:at]
        yield match
        place = match.end()
    yield body[place:]


def _code(match: re.Match[str], refuse: Callable[[str], CompileError]) -> int:
    if plain := match["plain"]:
        return ord(_PLAIN[plain])
    if octal := match["octal"]:
        return int(octal, 8)
    number = int(match["hex"] or match["short"] or match["long"], 16)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000:
        raise refuse("invalid unicode code point")
    return number


def _unrecognized(text: str, place: int, what: str) -> CompileError:
    return CompileError(text, [Issue(place, f"Syntax error: token recognition error at: '{what}'")])
