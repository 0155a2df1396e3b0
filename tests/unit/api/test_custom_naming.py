"""Names and conditions of definitions, columns of their objects, and what their rules may cost."""

from __future__ import annotations

from typing import Any

import pytest

from customs import definition, version
from steersman.api.custom import columns, rule_check
from steersman.api.custom.naming import Taken, plan
from steersman.api.published import customs
from steersman.model.structural.rules import RULES

Document = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"
FREE = Taken(frozenset(), frozenset())


def planned(document: Document, taken: Taken = FREE, good_bundle: bool = True) -> Document | None:
    return plan(document, lambda: taken, NOW, good_bundle=good_bundle)


def conditions(document: Document | None) -> list[tuple[str, str, str]]:
    assert document is not None
    found = document["status"]["conditions"]
    return [(one["type"], one["status"], one["reason"]) for one in found]


def named(**names: Any) -> Document:
    made = definition(**{"singular": "widget", "listKind": "WidgetList", **names})
    return {**made, "status": {}}


def test_free_names_are_accepted_and_then_nothing_is_left_to_do() -> None:
    made = planned(named(shortNames=["w"], categories=["all"]))
    assert conditions(made) == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    assert made is not None
    assert made["status"]["acceptedNames"] == made["spec"]["names"]
    assert planned(made) is None
    taken = Taken(frozenset({"widgets"}), frozenset({"Widget"}))
    assert planned(made, taken) is None, "what was accepted is not asked about again"


@pytest.mark.parametrize(
    ("taken", "kinds", "reason", "message"),
    [
        ({"widgets"}, set(), "PluralConflict", '"widgets" is already in use'),
        ({"widget"}, set(), "SingularConflict", '"widget" is already in use'),
        (set(), {"Widget"}, "KindConflict", '"Widget" is already in use'),
        (set(), {"WidgetList"}, "ListKindConflict", '"WidgetList" is already in use'),
        ({"w"}, set(), "ShortNamesConflict", '"w" is already in use'),
        ({"w", "x"}, set(), "ShortNamesConflict",
         '["w" is already in use, "x" is already in use]'),
        ({"widgets"}, {"Widget"}, "KindConflict", '"Widget" is already in use'),
    ],
)  # fmt: skip
def test_a_name_that_is_taken_stops_a_definition(
    taken: set[str], kinds: set[str], reason: str, message: str
) -> None:
    names = Taken(frozenset(taken), frozenset(kinds))
    made = planned(named(shortNames=["w", "x"]), names)
    assert conditions(made) == [
        ("NamesAccepted", "False", reason),
        ("Established", "False", "NotAccepted"),
    ]
    assert made is not None
    assert made["status"]["conditions"][0]["message"] == message
    accepted = made["status"]["acceptedNames"]
    for name, value in (("plural", "widgets"), ("singular", "widget"), ("kind", "Widget")):
        assert accepted.get(name) == (None if value in taken | kinds else value)
    assert ("shortNames" in accepted) is not bool(taken & {"w", "x"})


def test_names_of_resources_and_kinds_do_not_clash_with_each_other() -> None:
    names = Taken(frozenset({"Widget", "WidgetList"}), frozenset({"widgets", "widget", "w"}))
    assert conditions(planned(named(shortNames=["w"]), names))[0][1] == "True"


def test_a_new_name_that_is_taken_does_not_end_an_established_definition() -> None:
    made = planned(named())
    assert made is not None
    made["spec"]["names"]["shortNames"] = ["w"]
    changed = planned(made, Taken(frozenset({"w"}), frozenset()))
    assert conditions(changed) == [
        ("NamesAccepted", "False", "ShortNamesConflict"),
        ("Established", "True", "InitialNamesAccepted"),
    ]


def test_certificates_that_cannot_be_read_keep_a_definition_from_being_established() -> None:
    assert conditions(planned(named(), good_bundle=False))[1] == (
        "Established",
        "False",
        "InvalidCABundle",
    )


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (None, ("False", "MissingAnnotation")),
        ("https://x.example/1", ("True", "ApprovedAnnotation")),
        ("unapproved", ("False", "UnapprovedAnnotation")),
        ("yes", ("False", "InvalidAnnotation")),
    ],
)
def test_the_approval_of_a_protected_group_is_a_condition(
    annotation: str | None, said: tuple[str, str]
) -> None:
    document = named()
    document["spec"]["group"] = "x.k8s.io"
    if annotation is not None:
        document["metadata"]["annotations"] = {"api-approved.kubernetes.io": annotation}
    name = "KubernetesAPIApprovalPolicyConformant"
    assert conditions(planned(document))[-1] == (name, *said)


def test_what_others_have_is_what_they_were_given() -> None:
    one = {"status": {"acceptedNames": {"plural": "a", "kind": "A", "shortNames": ["s"]}}}
    two = {"status": {"acceptedNames": {"singular": "b", "listKind": "BList"}}, "spec": {"x": 1}}
    taken = Taken.by([one, two, {}])
    assert taken == Taken(frozenset({"a", "s", "b"}), frozenset({"A", "BList"}))


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("string", "x", "x"),
        ("string", None, "<no value>"),
        ("string", 1.5, "1.5"),
        ("string", True, "true"),
        ("string", {"a": [1]}, '{"a":[1]}'),
        ("integer", 3, 3),
        ("integer", 3.9, 3),
        ("integer", "3", None),
        ("integer", True, None),
        ("number", 3, 3.0),
        ("number", "x", None),
        ("boolean", False, False),
        ("boolean", 1, None),
        ("date", "2026-01-01T00:00:00Z", "60s"),
        ("date", "", "<unknown>"),
        ("date", "null", "<unknown>"),
        ("date", "soon", "<invalid>"),
        ("date", 5, None),
    ],
)
def test_a_cell_shows_a_value_by_its_columns_type(kind: str, value: Any, cell: Any) -> None:
    name, column = columns.columns([{"name": "C", "type": kind, "jsonPath": ".spec.c"}])
    document = {"metadata": {"name": "n"}, "spec": {"c": value}}
    now = 1_767_225_660.0
    assert name.value(document, now) == "n"
    found = column.value(document, now)
    assert (found, type(found)) == (cell, type(cell))
    assert column.value({"metadata": {"name": "n"}}, now) is None


def test_without_columns_the_age_is_shown() -> None:
    assert [one.name for one in columns.columns([])] == ["Name", "Age"]
    assert [one.name for one in columns.columns(())] == ["Name", "Age"]


PATH = "schema"


def refused(raw: Document) -> list[str]:
    schema = {"type": "object", "properties": {"a": raw}}
    return [f"{one.field}: {one.message}" for one in rule_check.check(schema, PATH)]


def ruled(raw: Document, **rule: Any) -> Document:
    return {**raw, RULES: [{"rule": "true", **rule}]}


STRING = {"type": "string", "maxLength": 10}
OLD = {"rule": "self == oldSelf"}


def test_a_transition_rule_stands_where_the_old_value_can_be_found() -> None:
    item = ruled(STRING, **OLD)
    assert refused(ruled(STRING, **OLD)) == []
    items = {"type": "array", "maxItems": 2, "items": item}
    (found,) = refused(items)
    assert found == (
        f'{PATH}.properties[a].items.{RULES}[0].rule: Invalid value: "self == oldSelf": oldSelf '
        f"cannot be used on the uncorrelatable portion of the schema within {PATH}.properties[a]"
    )
    key = {"type": "object", "required": ["k"], "properties": {"k": STRING, "v": item}}
    keyed = {
        "type": "array",
        "maxItems": 2,
        "items": key,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    }
    assert refused(keyed) == []
    assert refused({"type": "object", "maxProperties": 2, "additionalProperties": item}) == []
    assert refused(ruled(STRING, **OLD, optionalOldSelf=False)) == []
    (found,) = refused(ruled(STRING, optionalOldSelf=True))
    assert found.endswith(
        "optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
    )


def test_a_rule_that_does_not_compile_is_shown_with_the_names_of_go() -> None:
    (found,) = refused(ruled(STRING, rule="self == 1"))
    assert found.startswith(
        f'{PATH}.properties[a].{RULES}[0].rule: Invalid value: {{"Rule":"self == 1","Message":""'
    )
    (found,) = refused(ruled(STRING, messageExpression="1"))
    assert found.startswith(f"{PATH}.properties[a].{RULES}[0].messageExpression: Invalid value: ")


def test_a_rule_costs_what_it_costs_as_often_as_it_may_stand_there() -> None:
    equal = ruled({"type": "string", "maxLength": 1000}, rule="self == 'x' || self.matches('^a+$')")
    once = refused(equal)
    assert once == []

    def items(most: int | None) -> list[str]:
        bound = {} if most is None else {"maxItems": most}
        return refused({"type": "array", "items": equal, **bound})

    assert items(10) == []
    (found,) = items(100_000)
    assert ".rule: Forbidden: estimated rule cost exceeds budget by factor of " in found
    assert "by factor of more than 100x (try" in items(1_000_000_000)[0]
    assert [text for text in items(None) if "estimated rule cost exceeds budget" in text]


def test_rules_that_are_too_dear_together_are_named() -> None:
    dear = ruled({"type": "array", "maxItems": 3_000_000, "items": STRING},
                 rule="self.all(i, i != 'x')")  # fmt: skip
    fields = {f"f{number}": dear for number in range(7)}
    found = refused({"type": "object", "properties": fields})
    whole = [text for text in found if "contributed to estimated rule cost total" in text]
    assert len(whole) == 4, "the dearest alone"
    assert found[-1].startswith(
        f"{PATH}: Forbidden: x-kubernetes-validations estimated rule cost total for entire "
        "OpenAPIv3 schema exceeds budget by factor of "
    )
    assert version()["name"] == "v1"


OBJECT_META = {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
EITHER = [{"type": "integer"}, {"type": "string"}]
FREE_FORM = {"x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("raw", "three", "two"),
    [
        ({"type": "string", "oneOf": [{"minLength": 1}], "not": {}},
         {"type": "string", "oneOf": [{"minLength": 1}], "not": {}}, {"type": "string"}),
        ({"type": "string", "nullable": True}, {"type": "string", "nullable": True}, {}),
        ({"type": "array", "items": {"type": "string", "nullable": True}},
         {"type": "array", "items": {"type": "string", "nullable": True}},
         {"type": "array", "items": {}}),
        ({"type": "array", "nullable": True, "items": {"type": "string"}},
         {"type": "array", "nullable": True, "items": {"type": "string"}}, {}),
        ({"type": "array", **FREE_FORM, "items": {}}, {"type": "array", **FREE_FORM, "items": {}},
         FREE_FORM),
        ({"type": "object", **FREE_FORM, "properties": {"x": {}}},
         {"type": "object", **FREE_FORM, "properties": {"x": {}}}, FREE_FORM),
        ({"type": "object", "required": ["x", "y"],
          "properties": {"x": {"nullable": True}, "y": {}}},
         {"type": "object", "required": ["x", "y"],
          "properties": {"x": {"nullable": True}, "y": {}}},
         {"type": "object", "required": ["y"], "properties": {"x": {}, "y": {}}}),
        ({"type": "object", "required": ["x"], "additionalProperties": {"nullable": True}},
         {"type": "object", "required": ["x"], "additionalProperties": {"nullable": True}},
         {"type": "object", "additionalProperties": {}}),
        ({"x-kubernetes-int-or-string": True},
         {"x-kubernetes-int-or-string": True, "anyOf": EITHER},
         {"x-kubernetes-int-or-string": True}),
        ({"x-kubernetes-int-or-string": True, "anyOf": EITHER},
         {"x-kubernetes-int-or-string": True, "anyOf": EITHER},
         {"x-kubernetes-int-or-string": True}),
        ({"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": EITHER}, {"maximum": 3}]},
         {"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": EITHER}, {"maximum": 3}]},
         {"x-kubernetes-int-or-string": True}),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"maximum": 3}], "allOf": [{"minimum": 1}]},
         {"x-kubernetes-int-or-string": True, "anyOf": [{"maximum": 3}],
          "allOf": [{"anyOf": EITHER}, {"minimum": 1}]},
         {"x-kubernetes-int-or-string": True}),
    ],
)  # fmt: skip
def test_each_dialect_says_of_a_schema_what_it_can(raw: Any, three: Any, two: Any) -> None:
    structure = {"type": "object", "properties": {"a": raw}}
    for dialect, expected in (("v3", three), ("v2", two)):
        found = customs._whole(structure, dialect)  # type: ignore[arg-type]
        assert found["properties"]["a"] == expected
        assert found["properties"]["metadata"] == OBJECT_META
        assert {"kind", "apiVersion"} <= set(found["properties"])


def test_an_embedded_object_has_metadata_of_its_own_in_documents() -> None:
    raw = {"type": "object", "x-kubernetes-embedded-resource": True, "required": ["kind", "x"]}
    structure = {"type": "object", "properties": {"a": raw, "b": {**raw, **FREE_FORM}}}
    three = customs._whole(structure, "v3")["properties"]
    for name in "ab":
        assert three[name]["required"] == ["kind", "x", "apiVersion"]
        assert three[name]["properties"]["metadata"] == OBJECT_META
    two = customs._whole(structure, "v2")["properties"]
    assert two["a"]["properties"]["metadata"] == OBJECT_META
    assert "properties" not in two["b"]
    assert customs._whole({"type": "object", **FREE_FORM}, "v2") == {"type": "object"}
