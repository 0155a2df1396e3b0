"""Label and field selectors: parsed once, then asked about one object's labels or fields.

Texts, documents (metav1.LabelSelector) and plain maps become the same `Selector`. Errors carry
upstream's words (apimachinery/pkg/labels, pkg/fields).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from steersman.model import names
from steersman.model.errors import BadRequest
from steersman.model.gotext import aggregate, quote, shown

Labels = Mapping[str, str]
Operator = Literal["=", "==", "!=", "in", "notin", "exists", "!", "gt", "lt"]

_CACHED: Final = 1024  # selectors in use in one cluster; those of watches repeat
_CACHED_LENGTH: Final = 1024
_MAX_LENGTH: Final = 256 * 1024  # a selector comes in a URL or a small document

_OPERATORS: Final = ("in", "notin", "=", "==", "!=", "gt", "lt", "exists", "!")
_BINARY: Final = ", ".join(_OPERATORS[:7])
_DOCUMENT_OPERATORS: Final[Mapping[str, Operator]] = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
}
_NODE_OPERATORS: Final[Mapping[str, Operator]] = {**_DOCUMENT_OPERATORS, "Gt": "gt", "Lt": "lt"}
_INT64 = re.compile(r"[-+]?[0-9]+", re.ASCII)


class SelectorError(BadRequest):
    """A selector cannot be understood."""


class Requirement(NamedTuple):
    """One condition on one key; `values` keeps the order given."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, labels: Labels) -> bool:
        """Says whether labels meet the condition."""
        return _HOLDS[self.operator](labels.get(self.key), self.values)

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({values})"
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        sign = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{values}"


class Selector:
    """All requirements together; call it with labels or fields.

    pinned: the keys that must have one certain value, for indexes
    empty:  selects everything
    none:   selects nothing, whatever the labels
    """

    __slots__ = ("_others", "_pins", "empty", "none", "pinned", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), *, none: bool = False) -> None:
        self.requirements = tuple(requirements)
        self.none = none
        self.empty = not self.requirements and not none
        pinning = [item for item in self.requirements if _pins(item)]
        self.pinned: Mapping[str, str] = {item.key: item.values[0] for item in pinning}
        self._pins = tuple((item.key, item.values[0]) for item in pinning)
        self._others = tuple(item for item in self.requirements if not _pins(item))

    def __call__(self, labels: Labels) -> bool:
        if self.none:
            return False
        for key, value in self._pins:
            if labels.get(key) != value:
                return False
        return all(item.holds(labels) for item in self._others)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selector):
            return NotImplemented
        return (self.requirements, self.none) == (other.requirements, other.none)

    def __hash__(self) -> int:
        return hash((self.requirements, self.none))

    def __str__(self) -> str:
        return ",".join(str(item) for item in self.requirements)

    def __repr__(self) -> str:
        return f"<Selector {'nothing' if self.none else str(self) or 'everything'}>"


_EVERYTHING = Selector()
_NOTHING = Selector(none=True)


def everything() -> Selector:
    """Returns the selector that every object meets."""
    return _EVERYTHING


def nothing() -> Selector:
    """Returns the selector that no object meets."""
    return _NOTHING


def parse(text: str) -> Selector:
    """Reads `a=b,c in (x,y),!d`; raises SelectorError (labels.Parse)."""
    if not text:
        return _EVERYTHING
    return _parse_cached(text) if len(text) <= _CACHED_LENGTH else _parse(text)


def of_map(wanted: Labels | None) -> Selector:
    """Returns the selector for a plain map such as a Service's; empty selects everything."""
    if not wanted:
        return _EVERYTHING
    return Selector(Requirement(key, "=", (wanted[key],)) for key in sorted(wanted))


def of_document(document: Mapping[str, Any] | None) -> Selector:
    """Returns the selector of a metav1.LabelSelector; absent selects nothing, empty everything.

    Raises SelectorError with upstream's text.
    """
    if document is None:
        return _NOTHING
    found = [
        requirement(key, "=", (value,))
        for key, value in (document.get("matchLabels") or {}).items()
    ]
    expressions = document.get("matchExpressions") or ()
    found += [_of_expression(expression, _DOCUMENT_OPERATORS) for expression in expressions]
    found.sort(key=lambda item: item.key)
    return Selector(found) if found else _EVERYTHING


def of_node_expressions(expressions: Iterable[Mapping[str, Any]]) -> Selector:
    """Returns the selector of a node affinity term's expressions, which also know Gt and Lt.

    No expressions select nothing (component-helpers nodeaffinity).
    """
    found = [_of_expression(expression, _NODE_OPERATORS) for expression in expressions]
    return Selector(found) if found else _NOTHING


def requirement(key: str, operator: Operator, values: tuple[str, ...] | None) -> Requirement:
    """Returns a checked requirement; raises SelectorError (labels.NewRequirement)."""
    problems = _key_problems("key", key)
    problems += _count_problems(operator, values)
    for index, value in enumerate(values or ()):
        if wrong := names.label_value(value):
            place = f"values[{index}][{key}]"
            problems.append(f"{place}: Invalid value: {quote(value)}: {'; '.join(wrong)}")
    if problems:
        raise SelectorError(aggregate(problems))
    return Requirement(key, operator, values or ())


def parse_fields(text: str) -> Selector:
    """Reads `metadata.name=x,status.phase!=Running`; raises SelectorError (fields.ParseSelector).

    An absent field counts as empty: give the callable a map in which every field has a text.
    """
    found = []
    for term in sorted(_split_terms(text)):
        if not term:
            continue
        parts = re.search("!=|==|=", term)
        if parts is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        value = _unescape(term[parts.end() :])
        operator: Operator = "!=" if parts[0] == "!=" else "="
        found.append(Requirement(term[: parts.start()], operator, (value,)))
    return Selector(found) if found else _EVERYTHING


def escape_field(value: str) -> str:
    """Returns a value as it must stand in a field selector (fields.EscapeValue)."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _pins(item: Requirement) -> bool:
    return item.operator in ("=", "==", "in") and len(item.values) == 1


def _compares(order: Callable[[int, int], bool]) -> Callable[[str | None, tuple[str, ...]], bool]:
    def holds(value: str | None, values: tuple[str, ...]) -> bool:
        found = _int64(value)
        wanted = _int64(values[0]) if len(values) == 1 else None
        return found is not None and wanted is not None and order(found, wanted)

    return holds


def _int64(text: str | None) -> int | None:
    # twenty signs hold every int64; a longer text is out of range, or zeros we do not expect
    if text is None or len(text) > 20 or not _INT64.fullmatch(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


_HOLDS: Final[Mapping[str, Callable[[str | None, tuple[str, ...]], bool]]] = {
    "=": lambda value, values: value in values,
    "==": lambda value, values: value in values,
    "in": lambda value, values: value in values,
    "!=": lambda value, values: value not in values,
    "notin": lambda value, values: value not in values,
    "exists": lambda value, values: value is not None,
    "!": lambda value, values: value is None,
    "gt": _compares(lambda found, wanted: found > wanted),
    "lt": _compares(lambda found, wanted: found < wanted),
}


def _of_expression(expression: Mapping[str, Any], operators: Mapping[str, Operator]) -> Requirement:
    named = expression.get("operator") or ""
    if (operator := operators.get(named)) is None:
        raise SelectorError(f"{quote(named)} is not a valid label selector operator")
    values = expression.get("values")
    return requirement(expression.get("key") or "", operator, tuple(values) if values else None)


def _key_problems(place: str, key: str) -> list[str]:
    if wrong := names.qualified_name(key):
        return [f"{place}: Invalid value: {quote(key)}: {'; '.join(wrong)}"]
    return []


def _count_problems(operator: Operator, values: tuple[str, ...] | None) -> list[str]:
    given = values or ()
    wrong = ""
    if operator in ("in", "notin") and not given:
        wrong = "for 'in', 'notin' operators, values set can't be empty"
    elif operator in ("=", "==", "!=") and len(given) != 1:
        wrong = "exact-match compatibility requires one single value"
    elif operator in ("exists", "!") and given:
        wrong = "values set must be empty for exists and does not exist"
    elif operator in ("gt", "lt"):
        return _integer_problems(given, values)
    listed = shown(None if values is None else list(values))
    return [f"values: Invalid value: {listed}: {wrong}"] if wrong else []


def _integer_problems(given: tuple[str, ...], values: tuple[str, ...] | None) -> list[str]:
    problems = []
    if len(given) != 1:
        listed = shown(None if values is None else list(values))
        text = "for 'Gt', 'Lt' operators, exactly one value is required"
        problems.append(f"values: Invalid value: {listed}: {text}")
    text = "for 'Gt', 'Lt' operators, the value must be an integer"
    for index, value in enumerate(given):
        if _int64(value) is None:
            problems.append(f"values[{index}]: Invalid value: {quote(value)}: {text}")
    return problems


# a token is its literal; the empty text ends the input
_TOKENS = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+)")
_SIGNS = frozenset(("==", "!=", "=", "!", "(", ")", ",", "<", ">"))


def _parse(text: str) -> Selector:
    if len(text) > _MAX_LENGTH:
        raise SelectorError(f"selector is longer than {_MAX_LENGTH} bytes")
    return Selector(sorted(_Parser(text).parse(), key=lambda item: item.key))


_parse_cached = lru_cache(_CACHED)(_parse)


class _Parser:
    """Reads requirements from left to right; every refusal names what it found."""

    def __init__(self, text: str) -> None:
        self._tokens = [found[1] for found in _TOKENS.finditer(text)]
        self._position = 0

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while token := self._look():
            if token in _SIGNS and token != "!":
                raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")
            found.append(self._requirement())
            if not (token := self._take()):
                break
            if token != ",":
                raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
            after = self._look()
            if not after or (after in _SIGNS and after != "!"):
                raise SelectorError(f"found '{after}', expected: identifier after ','")
        return found

    def _requirement(self) -> Requirement:
        try:
            return self._read_requirement()
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error.message}") from None

    def _read_requirement(self) -> Requirement:
        key = self._take()
        absent = key == "!"
        key = self._take() if absent else key
        if not key or key in _SIGNS:
            raise SelectorError(f"found '{key}', expected: identifier")
        if problems := _key_problems("<nil>", key):
            raise SelectorError(problems[0])
        if absent or self._look() in ("", ","):
            return Requirement(key, "!" if absent else "exists")
        operator = self._operator()
        values = self._values() if operator in ("in", "notin") else (self._exact(),)
        return requirement(key, operator, tuple(sorted(set(values))))

    def _operator(self) -> Operator:
        token = self._take()
        operator = {">": "gt", "<": "lt"}.get(token, token)
        if operator not in ("in", "notin", "=", "==", "!=") and token not in ("<", ">"):
            raise SelectorError(f"found '{token}', expected: {_BINARY}")
        return operator  # type: ignore[return-value]

    def _exact(self) -> str:
        if self._look() in ("", ","):
            return ""
        token = self._take()
        if token in _SIGNS:
            raise SelectorError(f"found '{token}', expected: identifier")
        return token

    def _values(self) -> list[str]:
        if (token := self._take()) != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        token = self._look()
        if token == ")":
            self._take()
            return [""]
        if not token or (token in _SIGNS and token != ","):
            raise SelectorError(f"found '{token}', expected: ',', ')' or identifier")
        return self._listed()

    def _listed(self) -> list[str]:
        """Reads up to the closing parenthesis; an absent value between commas is empty."""
        values: list[str] = []
        expects_value = True
        while (token := self._take()) != ")":
            if token == ",":
                values += [""] if expects_value else []
                expects_value = True
            elif not expects_value:
                raise SelectorError(f"found '{token}', expected: ',' or ')'")
            elif not token or token in _SIGNS:
                raise SelectorError(f"found '{token}', expected: ',', or identifier")
            else:
                values.append(token)
                expects_value = False
        return values + ([""] if expects_value else [])

    def _look(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._look()
        self._position += 1
        return token


def _split_terms(text: str) -> list[str]:
    terms = [""]
    for part in re.findall(r"\\.|\\$|,|[^\\,]+", text, re.DOTALL):
        if part == ",":
            terms.append("")
        else:
            terms[-1] += part
    return terms


def _unescape(value: str) -> str:
    if not re.search(r"[\\,=]", value):
        return value
    read = []
    for part in re.findall(r"\\.|\\$|[,=]|[^\\,=]+", value, re.DOTALL):
        if part[0] == "\\" and part[1:] not in ("\\", ",", "="):
            raise SelectorError(f"invalid field selector: invalid escape sequence: {part}")
        if part in (",", "="):
            text = "invalid field selector: unescaped character in value"
            raise SelectorError(f"{text}: {ord(part)}")
        read.append(part.removeprefix("\\"))
    return "".join(read)
