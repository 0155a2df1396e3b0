"""The language itself: values of expressions, mistakes in the words of cel-go, errors absorbed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from steersman.cel import types
from steersman.cel.compile import Budget
from steersman.cel.environment import Environment, WrongType
from steersman.cel.errors import BudgetExceeded, CompileError, EvaluationError
from steersman.cel.types import BOOL, DYN, INT, STRING, list_of, map_of
from steersman.cel.values import Duration, Timestamp, TypeValue, Uint

VARIABLES = {
    "self": DYN,
    "x": INT,
    "s": STRING,
    "l": list_of(INT),
    "m": map_of(STRING, INT),
}
VALUES: dict[str, Any] = {
    "self": {"a": 1, "items": [1, 2, 3], "spec": {"name": "n"}, "none": None},
    "x": 5,
    "s": "hello",
    "l": [3, 1, 2],
    "m": {"a": 1, "b": 2},
}


def value(text: str) -> Any:
    return Environment(VARIABLES).compile(text).evaluate(VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 - 4", 3),
        ("(1 + 2) * 3", 9),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ("10 - 3 - 2", 5),
        ("1.5 * 2.0", 3.0),
        ("1.0 / 0.0", math.inf),
        ("2u * 3u", Uint(6)),
        ("7u / 2u", Uint(3)),
        ("7u % 4u", Uint(3)),
        ("-1.0 / 0.0", -math.inf),
        ("1.0 / -0.0", -math.inf),
        ("'a' + 'b'", "ab"),
        ("b'a' + b'\\xff'", b"a\xff"),
        ("[1] + [2]", [1, 2]),
        ("'\\u00e9\\n\\x41\\101'", "é\nAA"),
        ("r'\\n'", "\\n"),
        ("'''a'b'''", "a'b"),
        ("0x1F", 31),
        ("-9223372036854775808", -(2**63)),
        ("18446744073709551615u", Uint(2**64 - 1)),
        (".5 + 1e1", 10.5),
        ("// before\n 1 // after", 1),
        ("x > 3 ? 'big' : 'small'", "big"),
        ("!(x == 5)", False),
        ("--x", 5),
        ("!!true", True),
        ("1 < 2.5", True),
        ("2u >= 2", True),
        ("1 < 1 || 1 > 1 || 'a' < 'a' || true > true || 2 <= 1 || 1 >= 2", False),
        ("1 <= 1 && 1 >= 1 && 'a' <= 'a' && true >= true", True),
        ("0.0 / 0.0 <= 1.0 || 0.0 / 0.0 > 1.0", False),
        ("timestamp(1) < timestamp(2) && duration('2s') > duration('1s') && b'b' > b'a'", True),
        ("'a' < 'b'", True),
        ("false < true", True),
        ("dyn(1) == 1.0", True),
        ("dyn(1) == true", False),
        ("dyn('a') == 1", False),
        ("[1, 2] == [1, 2]", True),
        ("[1, 2] == [2, 1]", False),
        ("{'a': 1} == {'a': 1}", True),
        ("{'a': 1} != {'b': 1}", True),
        ("dyn([1]) == dyn([1.0])", True),
        ("0.0 / 0.0 == 0.0 / 0.0", False),
        ("2 in l", True),
        ("'c' in m", False),
        ("l[1]", 1),
        ("m['b']", 2),
        ("self.spec.name", "n"),
        ("self['spec']['name']", "n"),
        ("size(l) + l.size() + size('é') + size(b'ab') + size(m)", 11),
        ("type(1) == int && type('') != int", True),
        ("type(type(1)) == type", True),
        ("type(null) == null_type", True),
        ("type(timestamp(0)) == google.protobuf.Timestamp", True),
        ("type(1u)", TypeValue("uint")),
    ],
)
def test_an_expression_has_its_value(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("has(self.a)", True),
        ("has(self.b)", False),
        ("has(self.spec.other)", False),
        ("l.all(i, i > 0)", True),
        ("l.all(i, i > 1)", False),
        ("[].all(i, i > 1)", True),
        ("l.exists(i, i == 2)", True),
        ("[].exists(i, true)", False),
        ("l.exists_one(i, i > 2)", True),
        ("l.exists_one(i, i > 1)", False),
        ("l.map(i, i * 2)", [6, 2, 4]),
        ("l.map(i, i > 1, i * 2)", [6, 4]),
        ("l.filter(i, i > 1)", [3, 2]),
        ("m.all(k, k.size() == 1)", True),
        ("m.map(k, m[k])", [1, 2]),
        ("m.exists(k, v, k == 'b' && v == 2)", True),
        ("l.all(i, v, i < 3 && v > 0)", True),
        ("l.existsOne(i, v, v == 3 && i == 0)", True),
        ("l.transformList(i, v, i * v)", [0, 1, 4]),
        ("l.transformList(i, v, i > 0, v)", [1, 2]),
        ("m.transformMap(k, v, v + 1)", {"a": 2, "b": 3}),
        ("m.transformMap(k, v, v > 1, v)", {"b": 2}),
        ("m.transformMapEntry(k, v, {v: k})", {1: "a", 2: "b"}),
        ("l.map(i, l.map(j, i * j))", [[9, 3, 6], [3, 1, 2], [6, 2, 4]]),
        ("l.map(x, x)", [3, 1, 2]),
        ("l.map(x, x).size() + x", 8),
        ("cel.bind(y, x * 2, y + y)", 20),
        ("l.sortBy(i, -i)", [3, 2, 1]),
    ],
)
def test_a_macro_stands_for_what_it_says(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("self.?a.hasValue()", True),
        ("self.?b.orValue(7)", 7),
        ("self.?spec.name.orValue('')", "n"),
        ("self.?spec.?other.hasValue()", False),
        ("l[?1].value()", 1),
        ("l[?9].hasValue()", False),
        ("l[?0].value()", 3),
        ("l[?3].hasValue() || l[?-1].hasValue() || m[?'z'].hasValue()", False),
        ("optional.none()[?'a'].hasValue()", False),
        ("optional.of({'a': 1})[?'a'].value()", 1),
        ("optional.of({'a': 1})[?'b'].hasValue()", False),
        ("m[?'a'].value()", 1),
        ("optional.of([1, 2])[1].value()", 2),
        ("optional.none().or(optional.of(2)).value()", 2),
        ("optional.of(1).or(optional.of(2)).value()", 1),
        ("optional.ofNonZeroValue('').hasValue()", False),
        ("optional.ofNonZeroValue([0]).hasValue()", True),
        ("optional.of(2).optMap(v, v * 2).value()", 4),
        ("optional.none().optMap(v, v).hasValue()", False),
        ("optional.of(2).optFlatMap(v, optional.of(v + 1)).value()", 3),
        ("[1, ?optional.none(), ?optional.of(3)]", [1, 3]),
        ("{'a': 1, ?'b': optional.none(), ?'c': optional.of(3)}", {"a": 1, "c": 3}),
        ("optional.unwrap([optional.of(1), optional.none()])", [1]),
        ("has(self.?spec.name)", True),
    ],
)
def test_an_optional_is_there_or_not(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("self.missing", "no such key: missing"),
        ("m['z']", "no such key: z"),
        ("l[3]", "index out of bounds: 3"),
        ("l[-1]", "index out of bounds: -1"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("1u / 0u", "division by zero"),
        ("1u % 0u", "modulus by zero"),
        ("(-9223372036854775807 - 1) / -1", "integer overflow"),
        ("18446744073709551615u + 1u", "unsigned integer overflow"),
        ("9223372036854775807 * 2", "integer overflow"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("-(-9223372036854775807 - 1)", "integer overflow"),
        ("0u - 1u", "unsigned integer overflow"),
        ("int(1e30)", "integer overflow"),
        ("self.a + 'x'", "no such overload: _+_(int, string)"),
        ("self.a.size()", "no such overload: size(int)"),
        ("self.a ? 1 : 2", "no such overload: _?_:_(int)"),
        ("self.a && true", "no such overload: _&&_(int)"),
        ("self.a.b", "no such overload: select(int)"),
        ("optional.none().value()", "optional.none() dereference"),
        ("self.a.map(i, i)", "got unexpected type in comprehension range: int"),
        ("{'a': 1, 'a': 2}", "Failed with repeated key: a"),
        ("m.transformMapEntry(k, v, {'same': v})", "insert failed: key same already exists"),
        ("int('x')", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("duration('1x')", 'time: invalid duration "1x"'),
        (
            "'x'.matches(self.items[0] == 1 ? '(' : '')",
            "error parsing regexp: missing closing ): `(`",
        ),
    ],
)
def test_an_evaluation_without_a_value_says_why(text: str, message: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        value(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("false && 1 / 0 == 1", False),
        ("1 / 0 == 1 && false", False),
        ("true || 1 / 0 == 1", True),
        ("1 / 0 == 1 || true", True),
        ("l.all(i, i / (i - 1) > 100)", False),
        ("l.exists(i, 3 / (i - 1) == 1)", True),
        ("self.a && false", False),
        ("true ? 1 : 1 / 0", 1),
    ],
)
def test_logic_absorbs_an_error_that_does_not_matter(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", ["true && 1 / 0 == 1", "l.all(i, 1 / (i - 1) >= 0)"])
def test_logic_raises_an_error_that_matters(text: str) -> None:
    with pytest.raises(EvaluationError, match="division by zero"):
        value(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("y == 1", "1:1: undeclared reference to 'y' (in container '')\n | y == 1\n | ^"),
        ("x.foo", "1:2: type 'int' does not support field selection\n | x.foo\n | .^"),
        (
            "1 + 'a'",
            "1:3: found no matching overload for '_+_' applied to '(int, string)'\n"
            " | 1 + 'a'\n | ..^",
        ),
        (
            "x.startsWith('a')",
            "1:13: found no matching overload for 'startsWith' applied to 'int.(string)'\n"
            " | x.startsWith('a')\n | ............^",
        ),
        ("frob(x)", "1:5: undeclared reference to 'frob' (in container '')\n | frob(x)\n | ....^"),
        ("[1, 'a']", "1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        (
            "x.all(i, true)",
            "1:1: expression of type 'int' cannot be range of a comprehension"
            " (must be list, map, or dynamic)\n | x.all(i, true)\n | ^",
        ),
        ("has(x)", "1:5: invalid argument to has() macro\n | has(x)\n | ....^"),
        ("l.all(1, true)", "1:7: argument must be a simple name\n | l.all(1, true)\n | ......^"),
        ("for", "1:1: reserved identifier: for\n | for\n | ^"),
        ("x == 1 )", "1:8: Syntax error: extraneous input ')' expecting <EOF>\n | x == 1 )\n | "
         ".......^"),
        ("x @ 1", "1:3: Syntax error: token recognition error at: '@'\n | x @ 1\n | ..^"),
        ("'a", "1:1: Syntax error: token recognition error at: ''a'\n | 'a\n | ^"),
        ("é", "1:1: Syntax error: token recognition error at: 'é'\n | é\n | \uff3e"),
        (
            "x &&\n  s",
            "1:3: found no matching overload for '_&&_' applied to '(bool, int)'\n"
            " | x &&\n | ..^\n"
            "ERROR: <input>:1:3: found no matching overload for '_&&_' applied to"
            " '(bool, string)'\n | x &&\n | ..^",
        ),
        ("9223372036854775808", "1:1: Syntax error: invalid int literal\n | 9223372036854775808\n"
         " | ^"),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_where_it_stands(text: str, shown: str) -> None:
    with pytest.raises(CompileError) as raised:
        Environment(VARIABLES).compile(text)
    assert str(raised.value) == f"ERROR: <input>:{shown}"


def test_an_unfinished_expression_says_what_is_expected() -> None:
    with pytest.raises(CompileError, match=r"mismatched input '<EOF>' expecting {'\['"):
        Environment({}).compile("1 +")
    with pytest.raises(CompileError, match=r"mismatched input '<EOF>' expecting '\)'"):
        Environment({}).compile("(1")
    with pytest.raises(CompileError, match="mismatched input '<EOF>'"):
        Environment({}).compile("")


@pytest.mark.parametrize("text", ["(" * 300 + "1" + ")" * 300, "+".join(["1"] * 1000)])
def test_a_tree_is_not_deeper_than_the_stack_bears(text: str) -> None:
    with pytest.raises(CompileError, match="expression recursion limit exceeded"):
        Environment({}).compile(text)


def test_a_long_chain_of_logic_is_one_level() -> None:
    assert Environment({}).compile("&&".join(["true"] * 5000)).evaluate({}) is True


def test_a_result_of_another_type_is_refused() -> None:
    with pytest.raises(WrongType, match="must evaluate to bool"):
        Environment({}).compile("1", BOOL)
    with pytest.raises(WrongType):
        Environment({"self": DYN}).compile("self", BOOL)
    assert Environment({}).compile("true", BOOL).evaluate({}) is True


def test_a_program_tells_which_variables_it_uses() -> None:
    program = Environment({"self": DYN, "oldSelf": DYN}).compile("[1].all(self, self > 0)")
    assert "oldSelf" not in program.uses
    assert Environment({"a": INT, "b": INT}).compile("a + 1").uses == {"a"}


def test_a_budget_bounds_an_evaluation_and_logic_does_not_absorb_it() -> None:
    program = Environment({"l": list_of(INT)}).compile(
        "l.all(a, l.all(b, l.all(c, a > 0))) || true"
    )
    with pytest.raises(BudgetExceeded):
        program.evaluate({"l": [1] * 1000})


def test_evaluations_share_an_outer_budget() -> None:
    program = Environment({"l": list_of(INT)}).compile("l.all(a, a > 0)")
    budget = Budget(1000)
    assert program.evaluate({"l": [1] * 50}, budget) is True
    left = budget.left
    assert 0 < left < 1000
    with pytest.raises(BudgetExceeded):
        for _ in range(10):
            program.evaluate({"l": [1] * 50}, budget)


def test_the_estimate_grows_with_the_bounds_of_the_types() -> None:
    def cost(most: int) -> int:
        environment = Environment({"l": list_of(STRING.sized(most)).sized(most)})
        return environment.compile("l.all(i, i.matches('^a+$'))").cost.cost

    assert cost(10) < cost(100) < cost(1000)
    assert cost(1000) > 50 * cost(100) / 10
    unbounded = Environment({"l": list_of(STRING)})
    assert unbounded.compile("l.all(i, l.all(j, i == j))").cost.cost > 10_000_000


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("true", 0),
        ("b", 1),
        ("!b", 2),
        ("b && b && b", 5),
        ("b ? s == s : b", 1 + 1 + 1 + 10 + 2),
        ("s.contains('x')", 1 + 1 + 10),
        ("s == 'x'", 1 + 1),
        ("s.matches('aaaaaaaa')", 1 + 1 + 11 * 2),
        ("s.matches('a')", 1 + 1 + 11),
        ("[1, 2].size() > 0", 10 + 1 + 1),
        ("{'a': 1}.size() > 0", 30 + 1 + 1),
        ("l.all(i, i > 0)", 1 + 1 + 200 * 5),
        ("cel.bind(x, s, x == x)", 1 + 1 + 13),
        ("(s + s).contains('x')", 3 + 20 + 1 + 20),
        ("l.map(i, i).size() > 0", 1 + 1 + 200 * 4 + 1 + 1),
    ],
)
def test_the_worst_case_of_an_expression_is_estimated(text: str, cost: int) -> None:
    environment = Environment({"b": BOOL, "s": STRING.sized(100), "l": list_of(INT).sized(200)})
    assert environment.compile(text).cost.cost == cost


@pytest.mark.parametrize(("name", "times"), [("contains", 1), ("equivalent", 2), ("intersects", 1)])
def test_what_compares_each_with_each_costs_the_product_of_the_sizes(name: str, times: int) -> None:
    text = f"sets.{name}(l, m)"
    environment = Environment({"l": list_of(INT).sized(200), "m": list_of(INT).sized(50)})
    product = 200 * 50 * times
    assert environment.compile(text).cost.cost == 1 + 2 + product
    with pytest.raises(BudgetExceeded):
        environment.compile(text).evaluate({"l": [1] * 200, "m": [1] * 50}, Budget(product))
    budget = Budget(product + 10)
    assert environment.compile(text).evaluate({"l": [1] * 200, "m": [1] * 50}, budget) is True


def test_moments_and_durations_compute() -> None:
    assert value("timestamp('2024-02-28T23:00:00Z') + duration('2h')") == Timestamp(
        1_709_168_400 * 10**9
    )
    assert value("timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z')") == (
        Duration(86_400 * 10**9)
    )
    assert types.TIMESTAMP != types.DURATION


def test_a_variable_may_have_a_dotted_name() -> None:
    environment = Environment({"a": types.DYN, "a.b": types.INT})
    program = environment.compile("a.b + 1 == 3 && a.c == 'x'", types.BOOL)
    assert program.uses == {"a", "a.b"}
    assert program.evaluate({"a": {"b": 7, "c": "x"}, "a.b": 2}) is True
