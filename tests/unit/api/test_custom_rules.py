"""Validation rules of custom resources: asked place by place, refused where they are no good."""

from __future__ import annotations

from typing import Any

import pytest

from customs import CRDS, WIDGETS, definition, establish, widget
from served import Served, served
from steersman.api.custom import kinds, rule_check

RULES = "x-kubernetes-validations"
TEXT = {"type": "string", "maxLength": 10}
LIST = {"type": "array", "maxItems": 10}


def ruled(schema: Any, *rules: Any) -> dict[str, Any]:
    listed = [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]
    return {**schema, RULES: listed}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def broken(schema: Any, new: Any, old: Any = None) -> list[tuple[str, str]]:
    (rule,) = kinds.compiled(schema)
    return [(cause.field, cause.message) for cause in rule.check(new, old)]


def wrong(schema: Any) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in rule_check.check(schema, "s")]


def test_a_schema_without_rules_has_none() -> None:
    assert kinds.compiled(of(a=TEXT)) == ()
    assert wrong(of(a=TEXT)) == []


def test_a_broken_rule_is_told_where_it_stands() -> None:
    size = {"type": "integer"}
    schema = ruled(of(spec=ruled(of(size=ruled(size, "self > 1")), "self.size < 9")), "true")
    assert broken(schema, {"spec": {"size": 5}}) == []
    assert broken(schema, {"spec": {"size": 1}}) == [
        ("spec.size", "Invalid value: 1: failed rule: self > 1")
    ]
    assert broken(schema, {"spec": {"size": 10}}) == [
        ("spec", "Invalid value: failed rule: self.size < 9")
    ]
    assert broken(schema, {"spec": None}) == []
    root = ruled(of(), "has(self.kind) && self.kind == 'A'")
    assert broken(root, {"kind": "B"}) == [
        ("<nil>", "Invalid value: failed rule: has(self.kind) && self.kind == 'A'")
    ]


def test_items_and_values_are_asked_one_by_one() -> None:
    schema = of(
        items={**LIST, "items": ruled(TEXT, "self != 'x'")},
        map={"type": "object", "additionalProperties": ruled(TEXT, "self != 'y'")},
    )
    assert broken(schema, {"items": ["a", "x"], "map": {"k": "y", "l": "z"}}) == [
        ("items[1]", "Invalid value: \"x\": failed rule: self != 'x'"),
        ("map[k]", "Invalid value: \"y\": failed rule: self != 'y'"),
    ]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"message": " Be good "}, "Invalid value: \"b\": Be good"),
        ({"messageExpression": "'not ' + self"}, 'Invalid value: "b": not b'),
        ({"messageExpression": "self + '\\n'.substring(0) + 'x'", "message": "m"},
         'Invalid value: "b": m'),
        ({"messageExpression": "self.substring(5)", "message": "m"}, 'Invalid value: "b": m'),
        ({"messageExpression": "' '"}, "Invalid value: \"b\": failed rule: self == 'a'"),
        ({"reason": "FieldValueForbidden"}, "Forbidden: failed rule: self == 'a'"),
        ({"reason": "FieldValueRequired", "message": "m"}, "Required value: m"),
        ({"reason": "FieldValueDuplicate"}, 'Duplicate value: "b"'),
    ],
)  # fmt: skip
def test_a_rule_says_what_it_was_told_to_say(rule: Any, message: str) -> None:
    schema = of(a=ruled(TEXT, {"rule": "self == 'a'", **rule}))
    assert broken(schema, {"a": "b"}) == [("a", message)]


def test_a_rule_may_be_about_a_field_below_it() -> None:
    schema = ruled(of(spec=of(a=TEXT)), {"rule": "self.spec.a == 'a'", "fieldPath": ".spec.a"})
    assert broken(schema, {"spec": {"a": "b"}})[0][0] == "spec.a"
    inner = of(spec=ruled(of(a=TEXT), {"rule": "self.a == 'a'", "fieldPath": ".a"}))
    assert broken(inner, {"spec": {"a": "b"}})[0][0] == "spec.a"


def test_a_transition_rule_is_asked_where_there_was_something_before() -> None:
    schema = of(a=ruled(TEXT, "self == oldSelf"))
    assert broken(schema, {"a": "b"}) == []
    assert broken(schema, {"a": "b"}, {}) == []
    assert broken(schema, {"a": "b"}, {"a": "b"}) == []
    assert broken(schema, {"a": "b"}, {"a": "c"}) == [
        ("a", 'Invalid value: "b": failed rule: self == oldSelf')
    ]


def test_an_optional_old_value_is_asked_always() -> None:
    rule = {"rule": "oldSelf.hasValue() ? oldSelf.value() == self : self == 'a'",
            "optionalOldSelf": True}  # fmt: skip
    schema = of(a=ruled(TEXT, rule))
    assert broken(schema, {"a": "a"}) == broken(schema, {"a": "b"}, {"a": "b"}) == []
    assert len(broken(schema, {"a": "b"})) == 1
    assert len(broken(schema, {"a": "b"}, {"a": "a"})) == 1


def test_items_of_a_map_are_compared_by_their_keys() -> None:
    item = ruled(of(name=TEXT, n={"type": "integer"}), "self.n >= oldSelf.n")
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    schema = of(items={**LIST, **keyed, "items": item})
    old = {"items": [{"name": "a", "n": 1}, {"name": "b", "n": 5}]}
    new = {"items": [{"name": "b", "n": 4}, {"name": "a", "n": 2}, {"name": "c", "n": 0}]}
    assert [where for where, _ in broken(schema, new, old)] == ["items[0]"]


def test_what_was_broken_before_and_has_not_changed_is_excused() -> None:
    schema = of(a=ruled(TEXT, "self == 'a'"), b=TEXT)
    assert broken(schema, {"a": "x", "b": "1"}, {"a": "x", "b": "2"}) == []
    assert len(broken(schema, {"a": "x"}, {"a": "y"})) == 1
    items = of(items={**LIST, "items": ruled(TEXT, "self == 'a'")}, b=TEXT)
    assert broken(items, {"items": ["x"], "b": "1"}, {"items": ["x"], "b": "2"}) == []
    assert len(broken(items, {"items": ["x", "a"]}, {"items": ["x"]})) == 1


def test_what_stands_deep_in_a_list_that_has_not_changed_is_excused_with_it() -> None:
    item = of(inner=of(a=ruled(TEXT, "self == 'a'")))
    schema = of(items={**LIST, "items": item}, b=TEXT)
    bad, good = {"inner": {"a": "x"}}, {"inner": {"a": "a"}}
    assert broken(schema, {"items": [bad], "b": "1"}, {"items": [bad], "b": "2"}) == []
    found = broken(schema, {"items": [bad, good]}, {"items": [bad]})
    assert [where for where, _ in found] == ["items[0].inner.a"]


def test_a_branch_of_all_of_has_rules_too() -> None:
    schema = of(a={**TEXT, "allOf": [ruled({}, "self == 'a'")]})
    assert broken(schema, {"a": "b"}) == [("a", "Invalid value: \"b\": failed rule: self == 'a'")]


@pytest.mark.parametrize(
    ("schema", "document", "message"),
    [
        (of(m=ruled({"type": "object", "additionalProperties": TEXT}, "self['k'] == 'v'")),
         {"m": {}}, "Invalid value: \"object\": no such key: k evaluating rule: self['k'] == 'v'"),
        (of(p=ruled({"x-kubernetes-int-or-string": True}, "self + 1 > 0")), {"p": "x"},
         "Invalid value: \"\": 'no such overload: _+_(string, int)': call arguments did not match"
         " a supported operator, function or macro signature for rule: self + 1 > 0"),
        (of(l=ruled({"type": "array", "items": TEXT}, "self.all(a, self.all(b, a != b + 'x'))")),
         {"l": ["a"] * 2000},
         "Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further"
         " validation rules will be run due to call cost exceeds limit for rule:"
         " self.all(a, self.all(b, a != b + 'x'))"),
        (of(d=ruled({"type": "string", "format": "duration"}, "self > duration('1s')")),
         {"d": "x"},
         'Invalid value: "string": time: invalid duration "x" evaluating rule:'
         " self > duration('1s')"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_answered_says_why(schema: Any, document: Any, message: str) -> None:
    assert [text for _, text in broken(schema, document)] == [message]


def test_one_budget_serves_a_whole_object_and_no_rule_is_asked_beyond() -> None:
    item = ruled({"type": "array", "items": TEXT}, "self.all(a, self.all(b, a != b + 'x'))", "1==2")
    schema = of(l={"type": "array", "items": item})
    told = [text for _, text in broken(schema, {"l": [["a"] * 350] * 40})]
    assert told[-1].endswith(
        "validation failed due to running out of cost budget, no further validation rules will be"
        " run"
    )
    assert 2 < len(told) < 41


@pytest.mark.parametrize(
    ("schema", "where", "message"),
    [
        (of(a=ruled(TEXT, "self.b")), "properties[a].x-kubernetes-validations[0].rule",
         "type 'string' does not support field selection"),
        (of(a=ruled(TEXT, "1")), "properties[a].x-kubernetes-validations[0].rule",
         "cel expression must evaluate to a bool"),
        (of(a=ruled({"x-kubernetes-int-or-string": True}, "self")),
         "properties[a].x-kubernetes-validations[0].rule",
         "cel expression must evaluate to a bool"),
        (of(a=ruled(TEXT, {"rule": "true", "messageExpression": "1"})),
         "properties[a].x-kubernetes-validations[0].messageExpression",
         "messageExpression must evaluate to a string"),
        (of(a=ruled(TEXT, {"rule": "true", "messageExpression": "x"})),
         "properties[a].x-kubernetes-validations[0].messageExpression",
         "messageExpression compilation failed: ERROR: <input>:1:1: undeclared reference"),
        (of(a=ruled(TEXT, {"rule": "self == ''", "optionalOldSelf": True})),
         "properties[a].x-kubernetes-validations[0].optionalOldSelf",
         "Invalid value: true: may not be set if oldSelf is not used in rule"),
        (of(a={**LIST, "items": ruled(TEXT, "self == oldSelf")}),
         "properties[a].items.x-kubernetes-validations[0].rule",
         "oldSelf cannot be used on the uncorrelatable portion of the schema within"
         " s.properties[a]"),
        (of(a=ruled({"type": "array", "items": {"type": "string"}},
                    "self.all(x, self.all(y, x == y))")),
         "properties[a].x-kubernetes-validations[0].rule",
         "estimated rule cost exceeds budget by factor of more than 100x (try simplifying the"
         " rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings"
         " are declared)"),
    ],
)  # fmt: skip
def test_a_rule_that_is_no_good_is_refused(schema: Any, where: str, message: str) -> None:
    found = wrong(schema)
    assert found[0][0] == f"s.{where}"
    assert message in found[0][1]


def test_a_rule_that_does_not_compile_is_shown_whole() -> None:
    _, message = wrong(of(a=ruled(TEXT, "self.b")))[0]
    assert message.startswith(
        'Invalid value: {"Rule":"self.b","Message":"","MessageExpression":"","Reason":null,'
        '"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:5:'
    )


def test_good_rules_are_accepted_and_what_bounds_them_counts() -> None:
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    item = ruled(of(name=TEXT), "self == oldSelf")
    assert wrong(of(a={**LIST, **keyed, "items": item})) == []
    inner = ruled({"type": "string", "maxLength": 5000}, "self.matches('^a+$')")
    assert wrong(of(a={"type": "array", "maxItems": 10, "items": inner})) == []
    found = wrong(of(a={"type": "array", "items": inner}))
    assert "estimated rule cost exceeds budget by factor of" in found[0][1]


def test_many_dear_rules_are_too_dear_together() -> None:
    text = {"type": "string", "maxLength": 1_000_000}
    rules = ["self.matches('^" + "a" * count + "$')" for count in range(60, 90)]
    found = wrong(of(a=ruled(text, *rules)))
    assert "contributed to estimated rule cost total exceeding cost limit" in found[0][1]
    assert found[-1][0] == "s"
    assert found[-1][1].startswith(
        "Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        " exceeds budget by factor of "
    )


@served
async def test_rules_hold_for_what_is_created_updated_and_applied(api: Served) -> None:
    made = definition()
    spec = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = of(
        spec=ruled(spec, {"rule": "self.size < 9 || self.colour == 'green'", "message": "too big"}),
        status={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    )
    bad = definition()
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = ruled(
        of(spec=spec), "self.spec.nothing == 1"
    )
    refused = await api.post(CRDS, bad)
    assert refused.code == 422
    assert refused.document["details"]["causes"][0]["field"] == (
        "spec.versions[0].schema.openAPIV3Schema.x-kubernetes-validations[0].rule"
    )
    await establish(api, made)
    (await api.post(WIDGETS, widget("good", size=5))).ok()
    (await api.post(WIDGETS, widget("green", size=9, colour="green"))).ok()
    large = await api.post(WIDGETS, widget("large", size=9))
    assert large.code == 422
    assert large.message == 'Widget.example.com "large" is invalid: spec: Invalid value: too big'
    grown = await api.patch(f"{WIDGETS}/good", {"spec": {"size": 9}})
    assert grown.code == 422
    typed = await api.post(WIDGETS, widget("large", size="x"))
    assert "some validation rules were not checked" in typed.message


@served
@pytest.mark.parametrize(
    ("schema", "given", "message"),
    [
        ({"type": "array", "maxItems": 1, "items": TEXT}, ["a", "b"], "Too many: 2: must have"),
        ({"type": "string", "maxLength": 1}, "ab", "Too long: may not be more than 1 byte"),
    ],
)
async def test_no_rule_is_asked_where_something_is_longer_than_it_may_be(
    api: Served, schema: Any, given: Any, message: str
) -> None:
    made = definition()
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = of(
        spec=ruled(of(size={"type": "integer"}, a=schema), "self.size < 9")
    )
    await establish(api, made)
    answer = await api.post(WIDGETS, widget("w", size=9, a=given))
    causes = answer.document["details"]["causes"]
    assert [cause["field"] for cause in causes] == ["spec.a", "<nil>"]
    assert causes[0]["message"].startswith(message)
    assert "some validation rules were not checked" in causes[1]["message"]
