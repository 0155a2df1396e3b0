"""Words, quotes and variables of a Containerfile: `$name`, `${name:-word}`, `${name:+word}`.

Pure. Follows the shell-like rules of docs.docker.com's Dockerfile reference: an unknown variable is
empty, single quotes keep what they hold, an escape character keeps the next character.
"""

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#]")  # the last kind has no value in a build
_SPACES = " \t"
NESTING_LIMIT = 16  # of `${a:-${b:-...}}`


class SubstitutionError(ValueError):
    """A word is malformed; the message is the reason."""


def words(text: str, escape: str = "\\") -> list[str]:
    """Splits at spaces outside quotes; quotes and escapes stay in the words."""
    found: list[str] = []
    word = quote = ""
    characters = iter(text)
    for character in characters:
        if character == escape and quote != "'":
            word += character + next(characters, "")
        elif not quote and character in _SPACES:
            found += [word] if word else []
            word = ""
        else:
            word += character
            quote = _quote_after(quote, character)
    if quote:
        raise SubstitutionError(f"unexpected end of statement while looking for matching {quote}")
    return found + ([word] if word else [])


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Replaces variables and takes quotes and escapes away. Raises SubstitutionError."""
    return _Expander(text, variables, escape).until("")


def _quote_after(quote: str, character: str) -> str:
    if quote:
        return "" if character == quote else quote
    return character if character in "\"'" else ""


class _Expander:
    """Walks over one text; `_at` is the next character."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str) -> None:
        self._text, self._variables, self._escape = text, variables, escape
        self._at = 0
        self._depth = 0

    def until(self, end: str) -> str:
        """The expansion up to the character `end`, which it steps over, or of all that is left."""
        result: list[str] = []
        while (character := self._take()) != end:
            if not character:
                raise SubstitutionError(f"syntax error: missing {end!r}")
            result.append(self._piece(character))
        return "".join(result)

    def _take(self) -> str:
        character = self._text[self._at : self._at + 1]
        self._at += 1
        return character

    def _piece(self, character: str) -> str:
        if character == self._escape:
            return self._take() or character
        if character == "'":
            return self._single_quoted()
        if character == '"':
            return self._double_quoted()
        return self._variable() if character == "$" else character

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise SubstitutionError("unexpected end of statement while looking for matching '")
        piece, self._at = self._text[self._at : end], end + 1
        return piece

    def _double_quoted(self) -> str:
        result = ""
        while (character := self._take()) != '"':
            if not character:
                raise SubstitutionError('unexpected end of statement while looking for matching "')
            if character == self._escape:
                following = self._take()
                is_special = following in ('"', "$", self._escape)
                result += following if is_special else character + following
            else:
                result += self._variable() if character == "$" else character
        return result

    def _variable(self) -> str:
        if self._text[self._at : self._at + 1] == "{":
            self._at += 1
            return self._braced()
        name = self._name()
        return self._variables.get(name, "") if name else "$"

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return match[0] if match else ""

    def _braced(self) -> str:
        name = self._name()
        if not name:
            raise SubstitutionError("syntax error: bad substitution")
        operator = self._take()
        if operator == "}":
            return self._variables.get(name, "")
        counts_empty = operator == ":"
        if counts_empty:
            operator = self._take()
        if operator not in ("-", "+", "?"):
            raise SubstitutionError(f"unsupported modifier ({operator}) in substitution")
        return self._modified(name, operator, self._word(), counts_empty)

    def _word(self) -> str:
        self._depth += 1
        if self._depth > NESTING_LIMIT:
            raise SubstitutionError(f"substitutions are nested over {NESTING_LIMIT} deep")
        word = self.until("}")
        self._depth -= 1
        return word

    def _modified(self, name: str, operator: str, word: str, counts_empty: bool) -> str:
        value = self._variables.get(name)
        is_set = value is not None and (value != "" or not counts_empty)
        if operator == "+":
            return word if is_set else ""
        if not is_set and operator == "?":
            raise SubstitutionError(f"{name}: {word or 'is not set'}")
        return value if is_set and value is not None else word
