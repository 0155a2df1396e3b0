"""Selectors: what they select, what they refuse and in which words (selector_test.go)."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.model import selectors
from steersman.model.errors import BadRequest
from steersman.model.selectors import SelectorError, parse, parse_fields

SELECTS: list[tuple[str, dict[str, str], bool]] = [
    ("", {}, True),
    ("x=y", {"x": "y"}, True),
    ("x=y,z=w", {"x": "y", "z": "w"}, True),
    ("x!=y,z!=w", {"x": "z", "z": "a"}, True),
    ("x!=y", {}, True),
    ("notin=in", {"notin": "in"}, True),
    ("x", {"x": "z"}, True),
    ("!x", {"y": "z"}, True),
    ("!x", {"x": "z"}, False),
    ("x>1", {"x": "2"}, True),
    ("x>1", {"x": "1"}, False),
    ("x<1", {"x": "0"}, True),
    ("x<1", {"x": "a"}, False),
    ("x>1", {}, False),
    ("x=z", {}, False),
    ("x=y", {"x": "z"}, False),
    ("x=y,z=w", {"x": "w", "z": "w"}, False),
    ("x!=y,z!=w", {"x": "z", "z": "w"}, False),
    ("x", {"y": "z"}, False),
    ("foo in (a,b)", {"foo": "a"}, True),
    ("foo in (a,b)", {"foo": "c"}, False),
    ("foo in (a,b)", {}, False),
    ("foo notin (a,b)", {"foo": "c"}, True),
    ("foo notin (a,b)", {"foo": "b"}, False),
    ("foo notin (a,b)", {}, True),
    ("x in (foo,,baz),y,z notin ()", {"x": "", "y": "1", "z": "1"}, True),
    ("x in (foo,,baz),y,z notin ()", {"x": "", "y": "1", "z": ""}, False),
    ("x in (in)", {"x": "in"}, True),
    ("x=", {"x": ""}, True),
    ("x=", {}, False),
    (" x == y ", {"x": "y"}, True),
]


@pytest.mark.parametrize(("text", "labels", "selected"), SELECTS)
def test_a_selector_selects(text: str, labels: dict[str, str], selected: bool) -> None:
    assert parse(text)(labels) is selected


PRINTED = {
    "x=a,y=b,z=c": "x=a,y=b,z=c",
    "z=c , a!=b": "a!=b,z=c",
    "x= ,z= ": "x=,z=",
    "!x": "!x",
    "x>1,z<5": "x>1,z<5",
    "x in (b,a,b)": "x in (a,b)",
    "x notin ()": "x notin ()",
    "x in (,a)": "x in (,a)",
    "x in (a,)": "x in (,a)",
    "x == 1": "x==1",
    "x": "x",
}


@pytest.mark.parametrize(("text", "printed"), PRINTED.items())
def test_a_selector_prints_sorted_by_key(text: str, printed: str) -> None:
    assert str(parse(text)) == printed
    assert str(parse(printed)) == printed


BINARY = "in, notin, =, ==, !=, gt, lt"
REFUSED = {
    "x=a||y=b": "unable to parse requirement: values[0][x]: Invalid value: \"a||y\": ",
    "x==a==b": "found '==', expected: ',' or 'end of string'",
    "!x=a": "found '=', expected: ',' or 'end of string'",
    "x<a": (
        "unable to parse requirement: values[0]: Invalid value: \"a\": "
        "for 'Gt', 'Lt' operators, the value must be an integer"
    ),
    "a b": f"unable to parse requirement: found 'b', expected: {BINARY}",
    "x=a,": "found '', expected: identifier after ','",
    "x=a,=": "found '=', expected: identifier after ','",
    "=a": "found '=', expected: !, identifier, or 'end of string'",
    "!": "unable to parse requirement: found '', expected: identifier",
    "x in": "unable to parse requirement: found '' expected: '('",
    "x in (": "unable to parse requirement: found '', expected: ',', ')' or identifier",
    "x in (a": "unable to parse requirement: found '', expected: ',' or ')'",
    "x in (a b)": "unable to parse requirement: found 'b', expected: ',' or ')'",
    "x in (a,=)": "unable to parse requirement: found '=', expected: ',', or identifier",
    "x in a": "unable to parse requirement: found 'a' expected: '('",
    "x=(": "unable to parse requirement: found '(', expected: identifier",
    "x/y/z": "unable to parse requirement: <nil>: Invalid value: \"x/y/z\": a valid label key must",
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.items())
def test_a_selector_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse(text)
    assert isinstance(caught.value, BadRequest)
    if message.endswith((": ", "must")):
        assert caught.value.message.startswith(message)
    else:
        assert caught.value.message == message


def test_a_selector_without_end_is_refused() -> None:
    with pytest.raises(SelectorError, match="longer than"):
        parse("a," * 200_000)


def test_a_selector_says_which_labels_it_pins() -> None:
    assert parse("a=1,b==2,c in (3),d in (4,5),e!=6,f").pinned == {"a": "1", "b": "2", "c": "3"}
    assert parse("").pinned == {}


def test_everything_and_nothing() -> None:
    assert selectors.everything()({"a": "b"})
    assert selectors.everything().empty
    assert not selectors.everything().none
    assert not selectors.nothing()({})
    assert selectors.nothing().none
    assert not selectors.nothing().empty
    assert selectors.nothing() != selectors.everything()


def test_a_document_becomes_a_selector() -> None:
    document = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "env", "operator": "NotIn", "values": ["dev"]},
            {"key": "on", "operator": "Exists"},
            {"key": "off", "operator": "DoesNotExist", "values": []},
        ],
    }
    selector = selectors.of_document(document)
    assert str(selector) == "app=web,env notin (dev),!off,on,tier in (a,b)"
    assert selector({"app": "web", "tier": "b", "on": ""})
    assert not selector({"app": "web", "tier": "b", "on": "", "off": ""})


def test_an_absent_document_selects_nothing_and_an_empty_one_everything() -> None:
    assert selectors.of_document(None) == selectors.nothing()
    assert selectors.of_document({}) == selectors.everything()
    assert selectors.of_map(None) == selectors.everything()
    assert selectors.of_map({"b": "1", "a": "2"}) == parse("a=2,b=1")


BAD_DOCUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"key": "a", "operator": "Near"}, '"Near" is not a valid label selector operator'),
    (
        {"key": "a", "operator": "In"},
        "values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty",
    ),
    (
        {"key": "a", "operator": "Exists", "values": ["x"]},
        'values: Invalid value: ["x"]: values set must be empty for exists and does not exist',
    ),
]


@pytest.mark.parametrize(("expression", "message"), BAD_DOCUMENTS)
def test_a_wrong_expression_is_refused(expression: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        selectors.of_document({"matchExpressions": [expression]})
    assert caught.value.message == message


def test_several_problems_of_a_requirement_are_listed_in_brackets() -> None:
    with pytest.raises(SelectorError) as caught:
        selectors.of_document({"matchExpressions": [{"key": "-", "operator": "In"}]})
    assert caught.value.message.startswith('[key: Invalid value: "-": name part must consist')
    assert caught.value.message.endswith("values set can't be empty]")


def test_node_expressions_know_greater_and_less() -> None:
    selector = selectors.of_node_expressions([{"key": "n", "operator": "Gt", "values": ["5"]}])
    assert [number for number in ("4", "5", "6", "06", "x") if selector({"n": number})] == [
        "6",
        "06",
    ]
    assert selectors.of_node_expressions([]) == selectors.nothing()
    with pytest.raises(SelectorError, match="exactly one value is required"):
        selectors.of_node_expressions([{"key": "n", "operator": "Lt", "values": ["5", "6"]}])
    with pytest.raises(SelectorError, match="must be an integer"):
        selectors.of_node_expressions([{"key": "n", "operator": "Lt", "values": [str(2**63)]}])


def test_field_selectors_compare_texts() -> None:
    selector = parse_fields("status.phase!=Running,metadata.name=x")
    assert selector({"metadata.name": "x", "status.phase": "Pending"})
    assert not selector({"metadata.name": "x", "status.phase": "Running"})
    assert not selector({"metadata.name": "y", "status.phase": "Pending"})
    assert selector.pinned == {"metadata.name": "x"}
    assert parse_fields("") == selectors.everything()
    assert parse_fields("a==b") == parse_fields("a=b")


def test_field_selector_values_may_be_escaped() -> None:
    for value in ("a,b", "a=b", "a\\b", "a\\,=b"):
        selector = parse_fields(f"x={selectors.escape_field(value)},y=1")
        assert selector({"x": value, "y": "1"})


FIELD_REFUSED = {
    "x": "invalid selector: 'x'; can't understand 'x'",
    "x=a\\b": "invalid field selector: invalid escape sequence: \\b",
    "x=a\\": "invalid field selector: invalid escape sequence: \\",
    "x=a=b": "invalid field selector: unescaped character in value: 61",
}


@pytest.mark.parametrize(("text", "message"), FIELD_REFUSED.items())
def test_a_field_selector_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_fields(text)
    assert caught.value.message == message
