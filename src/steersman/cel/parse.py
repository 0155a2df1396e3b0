"""Tokens to a tree, by precedence climbing; macros are read as what they stand for.

Follows the grammar of cel-spec and cel-go's words for mistakes. Depth is bounded, because every
later step follows the tree by recursion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from steersman.cel import macros
from steersman.cel.errors import CompileError, Issue
from steersman.cel.tokens import INT_LIMIT, Token, tokens
from steersman.cel.tree import Call, Constant, Ident, ListOf, MapOf, Node, ObjectOf, Select
from steersman.model.names import CEL_RESERVED

# Nested brackets, and links of one chain such as a+b+c. Upstream allows 250 levels of nesting; a
# level takes four frames of Python's stack here
MOST_NESTING: Final = 100
MOST_LINKS: Final = 250

_BINARY: Final = {
    "<": 1, "<=": 1, ">": 1, ">=": 1, "==": 1, "!=": 1, "in": 1,
    "+": 2, "-": 2, "*": 3, "/": 3, "%": 3,
}  # fmt: skip
_EXPECTED: Final = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING,"
    " BYTES, IDENTIFIER}"
)


def parse(text: str) -> Node:
    """Returns the tree of an expression; raises CompileError."""
    parser = Parser(text)
    node = parser.expression()
    if parser.token.kind != "end":
        what = parser.token.text
        raise parser.refuse(f"Syntax error: extraneous input '{what}' expecting <EOF>")
    return node


class Parser:
    """Reads one text; see `parse`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._place = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        """The token that is looked at."""
        return self._tokens[self._place]

    def refuse(self, message: str, position: int | None = None) -> CompileError:
        """Returns the error for what stands at a position, by default at the present token."""
        where = self.token.position if position is None else position
        return CompileError(self._text, [Issue(where, message)])

    def _next(self) -> Token:
        token = self.token
        self._place += token.kind != "end"
        return token

    def _at(self, *symbols: str) -> bool:
        return self.token.kind == "symbol" and self.token.text in symbols

    def _skip(self, symbol: str) -> bool:
        if found := self._at(symbol):
            self._place += 1
        return found

    def _want(self, symbol: str) -> Token:
        if not self._at(symbol):
            what = self.token.text
            raise self.refuse(f"Syntax error: mismatched input '{what}' expecting '{symbol}'")
        return self._next()

    def expression(self) -> Node:
        """Reads a conditional or what binds tighter."""
        self._depth += 1
        if self._depth > MOST_NESTING:
            raise self.refuse(f"expression recursion limit exceeded: {MOST_NESTING}", 0)
        node = self._either()
        if self._at("?"):
            position = self._next().position
            then = self._either()
            self._want(":")
            node = Call(position, "_?_:_", (node, then, self.expression()))
        self._depth -= 1
        return node

    def _either(self) -> Node:
        return self._logical("||", "_||_", self._both)

    def _both(self) -> Node:
        return self._logical("&&", "_&&_", lambda: self._binary(1))

    def _logical(self, symbol: str, function: str, operand: Callable[[], Node]) -> Node:
        """Reads a chain of one operator into one call, however long it is."""
        first = operand()
        if not self._at(symbol):
            return first
        position = self.token.position
        items = [first]
        while self._skip(symbol):
            items.append(operand())
        return Call(position, function, items)

    def _binary(self, least: int) -> Node:
        node = self._unary()
        links = 0
        while self.token.kind == "symbol" and _BINARY.get(self.token.text, 0) >= least:
            token = self._next()
            right = self._binary(_BINARY[token.text] + 1)
            function = "@in" if token.text == "in" else f"_{token.text}_"
            node = Call(token.position, function, (node, right))
            links = self._link(links)
        return node

    def _link(self, links: int) -> int:
        if links >= MOST_LINKS:
            raise self.refuse(f"expression recursion limit exceeded: {MOST_LINKS}", 0)
        return links + 1

    def _unary(self) -> Node:
        if not self._at("!", "-"):
            return self._member(self._primary())
        token = self._next()
        count = 1
        while self._skip(token.text):
            count += 1
        if token.text == "-" and self._is_number():
            node = self._member(self._number(token.position))
            count -= 1
        else:
            node = self._member(self._primary())
        function = "!_" if token.text == "!" else "-_"
        return Call(token.position, function, (node,)) if count % 2 else node

    def _is_number(self) -> bool:
        value = self.token.value
        return self.token.kind == "literal" and type(value) in (int, float)

    def _number(self, position: int) -> Node:
        return Constant(position, -self._next().value)

    def _member(self, node: Node) -> Node:
        """Reads what follows an operand: fields, calls, indexes."""
        links = 0
        while self._at(".", "["):
            links = self._link(links)
            node = self._dotted(node) if self._at(".") else self._indexed(node)
        return node

    def _dotted(self, node: Node) -> Node:
        position = self._next().position
        optional = self._skip("?")
        token = self._name()
        if optional or not self._at("("):
            return Select(position, node, token.text, optional=optional)
        opening = self._next().position
        arguments = self._arguments(")")
        made = macros.expand(self, opening, node, token.text, arguments)
        return made or Call(opening, token.text, (node, *arguments), member=True)

    def _indexed(self, node: Node) -> Node:
        position = self._next().position
        optional = self._skip("?")
        index = self.expression()
        self._want("]")
        return Call(position, "_[?_]" if optional else "_[_]", (node, index))

    def _name(self) -> Token:
        if self.token.kind != "name" and self.token.text not in ("true", "false", "null", "in"):
            what = self.token.text
            raise self.refuse(f"Syntax error: mismatched input '{what}' expecting IDENTIFIER")
        return self._next()

    def _arguments(self, end: str) -> list[Node]:
        found: list[Node] = []
        while not self._at(end):
            found.append(self.expression())
            if not self._skip(","):
                break
        self._want(end)
        return found

    def _primary(self) -> Node:
        token = self.token
        if token.kind == "literal":
            return self._literal(self._next())
        if token.kind == "name" or self._at("."):
            return self._named()
        if self._skip("("):
            node = self.expression()
            self._want(")")
            return node
        if self._skip("["):
            return self._list(token.position)
        if self._skip("{"):
            return self._map(token.position)
        raise self.refuse(f"Syntax error: mismatched input '{token.text}' expecting {_EXPECTED}")

    def _literal(self, token: Token) -> Node:
        if type(token.value) is int and token.value >= INT_LIMIT:
            raise self.refuse("Syntax error: invalid int literal", token.position)
        return Constant(token.position, token.value)

    def _named(self) -> Node:
        rooted = self._skip(".")
        token = self._name()
        if token.text in CEL_RESERVED:
            raise self.refuse(f"reserved identifier: {token.text}", token.position)
        if self._at("("):
            opening = self._next().position
            arguments = self._arguments(")")
            made = macros.expand(self, opening, None, token.text, arguments)
            return made or Call(opening, token.text, arguments)
        name = self._qualified(token.text) if self._is_object() else token.text
        if self._at("{"):
            return self._object(name)
        return Ident(token.position, f".{name}" if rooted else name)

    def _is_object(self) -> bool:
        """Says whether a dotted name and a brace follow: an object of a named type."""
        place = self._place
        while self._symbol_at(place) == "." and self._tokens[place + 1].kind == "name":
            place += 2
        return self._symbol_at(place) == "{"

    def _symbol_at(self, place: int) -> str:
        token = self._tokens[min(place, len(self._tokens) - 1)]
        return token.text if token.kind == "symbol" else ""

    def _qualified(self, name: str) -> str:
        while self._skip("."):
            name += f".{self._next().text}"
        return name

    def _object(self, name: str) -> Node:
        position = self._next().position
        fields: list[tuple[str, Node]] = []
        optional = set()
        while not self._at("}"):
            if self._skip("?"):
                optional.add(len(fields))
            field = self._name().text
            self._want(":")
            fields.append((field, self.expression()))
            if not self._skip(","):
                break
        self._want("}")
        return ObjectOf(position, name, fields, frozenset(optional))

    def _list(self, position: int) -> Node:
        items: list[Node] = []
        optional = set()
        while not self._at("]"):
            if self._skip("?"):
                optional.add(len(items))
            items.append(self.expression())
            if not self._skip(","):
                break
        self._want("]")
        return ListOf(position, items, frozenset(optional))

    def _map(self, position: int) -> Node:
        entries: list[tuple[Node, Node]] = []
        optional = set()
        while not self._at("}"):
            if self._skip("?"):
                optional.add(len(entries))
            key = self.expression()
            self._want(":")
            entries.append((key, self.expression()))
            if not self._skip(","):
                break
        self._want("}")
        return MapOf(position, entries, frozenset(optional))
