"""What is wrong with a definition, with upstream's fields and texts."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from authorities import certificate
from customs import SPEC, definition, version
from steersman.model import decode
from steersman.model.errors import BadRequest
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION as KIND
from steersman.model.kinds.customresourcedefinition import DEFINITION, with_condition

Document = dict[str, Any]
KIND_OF = {"type": "string"}
ROOT = "spec.validation.openAPIV3Schema"
IN_A = f"{ROOT}.properties[a]"


def admitted(document: Document) -> Document:
    given = copy.deepcopy(document)
    given["metadata"].setdefault("uid", "u")
    new = decode.admit(DEFINITION, given, "CustomResourceDefinition", "v1").document
    return KIND.prepare(new, None, "")


def said(document: Document, old: Document | None = None) -> list[str]:
    new = admitted(document)
    if old is not None:
        new = KIND.prepare(new, old, "")
    return [f"{cause.field}: {cause.message}" for cause in KIND.check(new, old, "")]


def with_schema(schema: Document, **more: Any) -> Document:
    return definition(version(schema={"openAPIV3Schema": schema}, **more))


def about_a(raw: Document) -> list[str]:
    return said(with_schema({"type": "object", "properties": {"a": raw}}))


def test_a_good_definition_is_good_and_completed() -> None:
    made = admitted(definition())
    assert said(definition()) == []
    assert made["spec"]["names"]["singular"] == "widget"
    assert made["spec"]["names"]["listKind"] == "WidgetList"
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["status"]["storedVersions"] == ["v1"]


SCHEMAS: list[tuple[Document, list[str]]] = [
    ({}, [f"{IN_A}.type: Required value: must not be empty for specified object fields"]),
    ({"type": "array"}, [f"{IN_A}.items: Required value: must be specified"]),
    (
        {"type": "array", "items": {}},
        [f"{IN_A}.items.type: Required value: must not be empty for specified array items"],
    ),
    (
        {"type": "thing"},
        [
            f'{IN_A}.type: Unsupported value: "thing": supported values: "array", "boolean", '
            '"integer", "number", "object", "string"'
        ],
    ),
    (
        {"type": "string", "pattern": "("},
        [
            f'{IN_A}.pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: '
            "error parsing regexp: missing closing ): `(`"
        ],
    ),
    (
        {"type": "string", "anyOf": [{"type": "string"}]},
        [f"{IN_A}.anyOf[0].type: Forbidden: must be empty to be structural"],
    ),
    (
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        [],
    ),
    (
        {"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True},
        [
            f"{IN_A}.x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if "
            "x-kubernetes-int-or-string is true"
        ],
    ),
    (
        {"type": "object", "x-kubernetes-embedded-resource": True},
        [
            f"{IN_A}.properties: Required value: must not be empty if "
            "x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        ],
    ),
    (
        {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": False},
        [
            f"{IN_A}.additionalProperties: Forbidden: additionalProperties and properties are "
            "mutual exclusive"
        ],
    ),
    (
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        [
            f"{IN_A}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime "
            "complexity becomes quadratic"
        ],
    ),
    (
        {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"},
        [
            f"{IN_A}.x-kubernetes-list-map-keys: Required value: must not be empty if "
            "x-kubernetes-list-type is map",
            f'{IN_A}.items.type: Invalid value: "string": must be object if parent array\'s '
            "x-kubernetes-list-type is map",
        ],
    ),
    (
        {
            "type": "array",
            "items": {"type": "object", "properties": {"k": {"type": "string"}}},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k", "l"],
        },
        [
            f'{IN_A}.x-kubernetes-list-map-keys: Invalid value: ["k","l"]: entries must all be '
            "names of item properties",
            f"{IN_A}.items.properties[k].default: Required value: this property is in "
            "x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ],
    ),
    (
        {"type": "string", "x-kubernetes-list-type": "set"},
        [
            f'{IN_A}.type: Invalid value: "string": must be array if x-kubernetes-list-type is '
            "specified"
        ],
    ),
    (
        {"type": "object", "x-kubernetes-map-type": "odd"},
        [
            f'{IN_A}.x-kubernetes-map-type: Unsupported value: "odd": supported values: "atomic", '
            '"granular"'
        ],
    ),
    (
        {"type": "integer", "default": "x"},
        [f'{IN_A}.default: Invalid value: "string":  in body must be of type integer: "string"'],
    ),
    (
        {"type": "object", "properties": {"x": {"type": "string"}}, "default": {"y": 1}},
        [f'{IN_A}.default: Invalid value: {{"y":1}}: must not have unknown fields'],
    ),
    (
        {"type": "string", "$ref": "#/a"},
        [f"{IN_A}.$ref: Forbidden: $ref is not supported"],
    ),
    (
        {
            "type": "object",
            "x-kubernetes-map-type": "granular",
            "properties": {
                "x": {
                    "type": "array",
                    "x-kubernetes-list-type": "atomic",
                    "items": {"type": "string"},
                }
            },
        },
        [],
    ),
    (
        {"type": "array", "x-kubernetes-list-type": "odd", "items": {"type": "string"}},
        [
            f'{IN_A}.x-kubernetes-list-type: Unsupported value: "odd": supported values: "atomic", '
            '"set", "map"'
        ],
    ),
    (
        {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {
                "type": "object",
                "nullable": True,
                "required": ["k"],
                "properties": {"k": {"type": "string", "nullable": True}},
            },
        },
        [
            f"{IN_A}.items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is "
            "map",
            f"{IN_A}.items.properties[k].nullable: Forbidden: this property is in "
            "x-kubernetes-list-map-keys, so it cannot be nullable",
        ],
    ),
    (
        {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k", "k"],
            "items": {
                "type": "object",
                "required": ["k"],
                "properties": {"k": {"type": "array", "items": {"type": "string"}}},
            },
        },
        [
            f'{IN_A}.items.properties[k].type: Invalid value: "object": must be a scalar type if '
            "parent array's x-kubernetes-list-type is map",
            f'{IN_A}.items.properties[k].type: Invalid value: "object": must be a scalar type if '
            "parent array's x-kubernetes-list-type is map",
            f'{IN_A}.x-kubernetes-list-map-keys: Invalid value: ["k","k"]: must not contain '
            "duplicate entries",
        ],
    ),
    (
        {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string", "default": ""}}},
        },
        [],
    ),
    (
        {"type": "array", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "string"}},
        [
            f"{IN_A}.x-kubernetes-list-type: Required value: must be map if "
            "x-kubernetes-list-map-keys is non-empty"
        ],
    ),
    (
        {
            "type": "array",
            "x-kubernetes-list-type": "set",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "string", "nullable": True},
        },
        [
            f'{IN_A}.x-kubernetes-list-type: Invalid value: "set": must be map if '
            "x-kubernetes-list-map-keys is non-empty",
            f"{IN_A}.items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is "
            "set",
        ],
    ),
    (
        {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}},
        [
            f"{IN_A}.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a "
            "list with x-kubernetes-list-type=set"
        ],
    ),
    (
        {
            "type": "array",
            "x-kubernetes-list-type": "set",
            "items": {"type": "object", "x-kubernetes-map-type": "atomic"},
        },
        [],
    ),
    (
        {
            "type": "array",
            "x-kubernetes-list-type": "set",
            "items": {
                "type": "array",
                "x-kubernetes-list-type": "set",
                "items": {"type": "string"},
            },
        },
        [
            f'{IN_A}.items.x-kubernetes-list-type: Invalid value: "set": must be atomic as item of '
            "a list with x-kubernetes-list-type=set"
        ],
    ),
    (
        {"x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-map-type": "atomic"},
        [f"{IN_A}.type: Required value: must be object if x-kubernetes-map-type is specified"],
    ),
    ({"x-kubernetes-preserve-unknown-fields": True}, []),
    (
        {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
        [
            f"{IN_A}.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or "
            "undefined"
        ],
    ),
    (
        {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
        [],
    ),
    (
        {
            "type": "string",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
        [
            f'{IN_A}.type: Invalid value: "string": must be object if '
            "x-kubernetes-embedded-resource is true"
        ],
    ),
    (
        {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
            "additionalProperties": {"type": "string"},
        },
        [
            f"{IN_A}.additionalProperties: Forbidden: must not be used if "
            "x-kubernetes-embedded-resource is set"
        ],
    ),
    (
        {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "properties": {
                "kind": {"type": "integer"},
                "apiVersion": {"type": "string"},
                "metadata": {"type": "string"},
            },
        },
        [
            f'{IN_A}.properties[kind].type: Invalid value: "integer": must be string',
            f'{IN_A}.properties[metadata].type: Invalid value: "string": must be object',
        ],
    ),
    (
        {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "properties": {
                "metadata": {
                    "type": "object",
                    "properties": {
                        "x": {
                            "type": "object",
                            "x-kubernetes-embedded-resource": True,
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    },
                }
            },
        },
        [
            f"{IN_A}.properties[metadata].properties[x].x-kubernetes-embedded-resource: Forbidden: "
            "must not be used inside of resource meta"
        ],
    ),
    (
        {
            "type": "string",
            "not": {"default": "x", "nullable": True, "title": "t"},
            "oneOf": [{"description": "d"}],
            "allOf": [{"x-kubernetes-list-type": "set"}],
        },
        [
            f"{IN_A}.allOf[0].x-kubernetes-list-type: Forbidden: must be undefined to be "
            "structural",
            f"{IN_A}.not.default: Forbidden: must be undefined to be structural",
            f"{IN_A}.not.nullable: Forbidden: must be false to be structural",
            f"{IN_A}.not.title: Forbidden: must be empty to be structural",
            f"{IN_A}.oneOf[0].description: Forbidden: must be empty to be structural",
            f"{IN_A}.allOf[0].type: Required value: must be array if x-kubernetes-list-type is "
            "specified",
        ],
    ),
    (
        {
            "type": "object",
            "anyOf": [{"properties": {"metadata": {"minProperties": 1}}}],
            "properties": {"metadata": {"type": "object"}},
        },
        [
            f"{IN_A}.anyOf[0].properties[metadata]: Forbidden: must not be specified in a nested "
            "context"
        ],
    ),
    (
        {
            "x-kubernetes-int-or-string": True,
            "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}],
        },
        [],
    ),
    (
        {
            "x-kubernetes-int-or-string": True,
            "allOf": [{}, {"anyOf": [{"type": "integer"}, {"type": "string"}]}],
        },
        [
            f"{IN_A}.allOf[1].anyOf[0].type: Forbidden: must be empty to be structural",
            f"{IN_A}.allOf[1].anyOf[1].type: Forbidden: must be empty to be structural",
        ],
    ),
    ({"type": "object", "additionalProperties": {"type": "string", "default": "x"}}, []),
    ({"type": "string", "default": "x", "enum": ["x"]}, []),
    *(
        (
            {"type": "string", "x-kubernetes-validations": [{"rule": "true", **rule}]},
            [f"{IN_A}.x-kubernetes-validations[0].{told}"],
        )
        for rule, told in (
            ({"message": " "}, 'message: Invalid value: " ": must be non-empty if specified'),
            ({"message": "a\nb"}, 'message: Invalid value: "a\\nb": must not contain line breaks'),
            (
                {"rule": "true ||\nfalse"},
                "message: Required value: message must be specified if rule contains line breaks",
            ),
            (
                {"messageExpression": " "},
                "messageExpression: Required value: messageExpression must be non-empty if "
                "specified",
            ),
            (
                {"reason": "Odd"},
                'reason: Unsupported value: "Odd": supported values: "FieldValueDuplicate", '
                '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
            ),
            ({"fieldPath": ".x"}, 'fieldPath: Invalid value: ".x": must be a valid path'),
        )
    ),
    (
        {
            "type": "object",
            "properties": {"x": {"type": "string"}},
            "x-kubernetes-validations": [
                {
                    "rule": "true ||\nfalse",
                    "message": "m",
                    "reason": "FieldValueForbidden",
                    "fieldPath": ".x",
                }
            ],
        },
        [],
    ),
    (
        {"type": "string", "x-kubernetes-validations": [{"rule": " "}]},
        [f"{IN_A}.x-kubernetes-validations[0].rule: Required value: rule is not specified"],
    ),
]


@pytest.mark.parametrize(("raw", "expected"), SCHEMAS)
def test_a_schema_that_is_not_structural_is_refused(raw: Document, expected: list[str]) -> None:
    assert about_a(raw) == expected


def test_what_alternatives_speak_of_is_described_outside_of_them() -> None:
    schema = {"type": "object", "allOf": [{"properties": {"x": {"minimum": 1}}}]}
    assert said(with_schema(schema, subresources={})) == [
        f"{ROOT}.properties[x]: Required value: because it is defined in "
        f"{ROOT}.allOf[0].properties[x]"
    ]
    known = {"properties": {"x": {"type": "array", "items": {"type": "string"}}}}
    for place in ({"not": {"items": {}}}, {"anyOf": [{"oneOf": [{"items": {}}]}]}):
        (found,) = said(with_schema({"type": "object", **known, **place}, subresources={}))
        assert found.startswith(f"{ROOT}.items: Required value: because it is defined in {ROOT}.")
    schema = {"type": "object", **known, "not": {"properties": {"x": {"items": {"minLength": 1}}}}}
    assert said(with_schema(schema, subresources={})) == []


def test_the_root_of_a_schema_is_an_object_without_rules_for_metadata() -> None:
    assert said(with_schema({"type": "string"}, subresources=None)) == [
        f'{ROOT}.type: Invalid value: "string": must be object at the root'
    ]
    assert f"{ROOT}.type: Required value: must not be empty at the root" in said(with_schema({}))
    rules = {"type": "object", "properties": {"labels": {"type": "object"}}}
    assert said(with_schema({"type": "object", "properties": {"metadata": rules}})) == [
        f"{ROOT}.properties[metadata]: Forbidden: must not specify anything other than name and "
        "generateName, but metadata is implicitly specified"
    ]
    name = {"type": "object", "properties": {"name": {"type": "string", "pattern": "^a"}}}
    assert said(with_schema({"type": "object", "properties": {"metadata": name}})) == []
    assert said(with_schema({"type": "object", "nullable": True}, subresources={})) == [
        f"{ROOT}.nullable: Forbidden: nullable cannot be true at the root"
    ]


def test_the_root_says_little_where_the_status_has_a_path_of_its_own() -> None:
    status = {"subresources": {"status": {}}}
    told = (
        f'{ROOT}.type: Invalid value: "string": only "object" is allowed as the type at the root '
        "of the schema if the status subresource is enabled"
    )
    assert told in said(with_schema({"type": "string"}, **status))
    raw = {"type": "object", "minProperties": 1}
    (found,) = said(with_schema(raw, **status))
    assert "fields are allowed at the root of the schema if the status subresource" in found
    assert said(with_schema(raw, subresources={})) == []
    plain = {"type": "object", "description": "d", "required": ["spec"], "title": ""}
    assert said(with_schema(plain, **status)) == []
    values = {"type": "object", "additionalProperties": {"type": "string"}}
    assert said(with_schema(values, subresources={})) == [
        f"{ROOT}.additionalProperties: Forbidden: must not be used at the root"
    ]


def test_the_metadata_of_an_object_has_no_defaults() -> None:
    name = {"type": "string", "default": "x"}
    schema = {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "default": "K"},
            "metadata": {"type": "object", "properties": {"name": name}},
        },
    }
    assert said(with_schema(schema)) == [
        f"{ROOT}.properties[kind].default: Forbidden: must not be set in top-level kind",
        f"{ROOT}.properties[metadata].properties[name].default: Forbidden: must not be set in "
        "top-level metadata",
    ]
    inner = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {"metadata": {"type": "object", "additionalProperties": name}},
    }
    assert about_a(inner) == [
        f"{IN_A}.properties[metadata].additionalProperties.default: Forbidden: must not be set "
        "inside additionalProperties applying to object metadata"
    ]


def test_a_default_that_is_an_object_is_a_good_one() -> None:
    keeps = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    raw = {**keeps, "x-kubernetes-embedded-resource": True}
    good = {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}}
    assert about_a({**raw, "default": good}) == []
    assert about_a({**raw, "default": {"apiVersion": "v1"}}) == [
        f"{IN_A}.default.kind: Required value"
    ]
    assert about_a({**raw, "default": {**good, "kind": ""}}) == [
        f'{IN_A}.default.kind: Invalid value: "": must not be empty'
    ]
    closed = {**raw, "x-kubernetes-preserve-unknown-fields": None, "properties": {"kind": KIND_OF}}
    (found,) = about_a({**closed, "default": {**good, "odd": 1}})
    assert found.endswith("must not have unknown fields")
    assert about_a({**closed, "default": good}) == []
    (found,) = about_a({**raw, "default": {**good, "metadata": 5}})
    assert found.startswith(f"{IN_A}.default: Invalid value: ")


def test_schemas_that_differ_are_told_of_by_version() -> None:
    bad = {"openAPIV3Schema": {"type": "object", "properties": {"a": {}}}}
    found = said(definition(version(), version("v2", storage=False, schema=bad)))
    assert found == [
        "spec.versions[1].schema.openAPIV3Schema.properties[a].type: Required value: must not be "
        "empty for specified object fields"
    ]
    found = said(definition(version(schema=None)))
    assert found == ["spec.versions[0].schema.openAPIV3Schema: Required value"]


NAMES: list[tuple[Document, str]] = [
    (
        {"group": "flat"},
        'spec.group: Invalid value: "flat": should be a domain with at least one dot',
    ),
    (
        {"scope": "Galaxy"},
        'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
    ),
    (
        {"names": {"plural": "widgets", "kind": "Widget", "listKind": "Widget"}},
        'spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same',
    ),
    ({"group": ""}, "spec.group: Required value"),
    (
        {"names": {"plural": "Widgets", "kind": "Widget", "shortNames": ["w", "W"]}},
        'spec.names.plural: Invalid value: "Widgets": a DNS-1035 label must consist of',
    ),
    (
        {"names": {"plural": "widgets", "kind": "Widget", "shortNames": ["w", "W"]}},
        'spec.names.shortNames[1]: Invalid value: "W": a DNS-1035 label must consist of',
    ),
    (
        {"names": {"plural": "widgets", "kind": "Widget", "categories": ["all", "A"]}},
        'spec.names.categories[1]: Invalid value: "A": a DNS-1035 label must consist of',
    ),
    (
        {"names": {"plural": "widgets", "kind": "9Widget"}},
        'spec.names.kind: Invalid value: "9Widget": may have mixed case, but should otherwise',
    ),
    ({"names": {"plural": "widgets", "kind": ""}}, "spec.names.kind: Required value"),
    (
        {
            "conversion": {
                "strategy": "None",
                "webhook": {
                    "clientConfig": {"url": "https://h"},
                    "conversionReviewVersions": ["v1"],
                },
            }
        },
        "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not "
        "set to Webhook",
    ),
    (
        {"conversion": {"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}}},
        "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is "
        "not set to Webhook",
    ),
    (
        {"preserveUnknownFields": True},
        "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
        "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
    ),
    (
        {"conversion": {"strategy": "Magic"}},
        'spec.conversion.strategy: Unsupported value: "Magic": supported values: "None", "Webhook"',
    ),
    (
        {"conversion": {"strategy": "Webhook"}},
        "spec.conversion.webhookClientConfig: Required value: required when strategy is set to "
        "Webhook",
    ),
]


@pytest.mark.parametrize(("change", "expected"), NAMES)
def test_names_and_conversion_follow_rules(change: Document, expected: str) -> None:
    document = definition()
    document["spec"] |= change
    assert any(text.startswith(expected) for text in said(document)), said(document)


WARNINGS: list[tuple[Document, list[str]]] = [
    ({"deprecated": True, "deprecationWarning": "w" * 256}, []),
    ({"deprecationWarning": "w"}, ["can only be set for deprecated versions"]),
    (
        {"deprecated": True, "deprecationWarning": "é" * 129},
        ["must be <= 256 characters long"],
    ),
    ({"deprecated": True, "deprecationWarning": ""}, ["must not be an empty string"]),
    (
        {"deprecated": True, "deprecationWarning": "é\n"},
        ["must only contain printable UTF-8 characters; non-printable character found at index 2"],
    ),
]


@pytest.mark.parametrize(("change", "expected"), WARNINGS)
def test_the_warning_of_an_old_version_is_short_and_printable(
    change: Document, expected: list[str]
) -> None:
    found = said(definition(version(**change)))
    assert [text.rpartition(": ")[2] for text in found] == expected
    assert all(text.startswith("spec.versions[0].deprecationWarning: ") for text in found)


def test_a_webhook_needs_one_address_over_https() -> None:
    def conversion(**client: Any) -> list[str]:
        document = definition()
        webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
        document["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        return said(document)

    path = "spec.conversion.webhookClientConfig"
    service = {"name": "n", "namespace": "s"}
    assert conversion(url="https://h/p") == [] == conversion(service=service)
    assert conversion() == [f"{path}: Required value: exactly one of url or service is required"]
    assert conversion(url="http://h") == [
        f"{path}.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired "
        "format: https://host[/path]"
    ]
    assert conversion(url="https://h", service=service) == conversion()
    for url, told in (
        ("https:///p", 'Invalid value: "": host must be specified'),
        ("https://u:p@h", 'Invalid value: "u:p": user information is not permitted in the URL'),
        ("https://h/p#f", 'Invalid value: "f": fragments are not permitted in the URL'),
        ("https://h/p?q=1", 'Invalid value: "q=1": query parameters are not permitted in the URL'),
        ("https://h:x", "Required value: url must be a valid URL: "),
    ):
        (found,) = conversion(url=url)
        assert found.startswith(f"{path}.url: {told}")
    for text, told in (
        ("/a//b", "segment[1] may not be empty"),
        ("//", "segment[0] may not be empty"),
        ("a", "must start with a '/'"),
        ("/A", "segment[0]: a lowercase RFC 1123 subdomain must consist of"),
    ):
        found = conversion(service={**service, "path": text})
        assert found[0].startswith(f'{path}.service.path: Invalid value: "{text}": {told}')
    for text in ("", "/", "/a/b", "/a/"):
        assert conversion(service={**service, "path": text}) == []
    assert conversion(service={**service, "port": 65535}) == []
    assert conversion(service={**service, "port": 65536})[0].startswith(f"{path}.service.port: ")
    # upstream hands name and namespace over in the wrong order
    assert conversion(service={"name": "n"}) == [f"{path}.service.name: Required value"]
    assert conversion(service={"namespace": "s"}) == [f"{path}.service.namespace: Required value"]


def test_the_bundle_of_a_webhook_is_readable_once_its_definition_is_established() -> None:
    def bundled(text: str) -> Document:
        document = definition()
        client = {"url": "https://h", "caBundle": base64.b64encode(text.encode()).decode()}
        webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
        document["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        return document

    def established(document: Document) -> Document:
        conditions = [{}, {"type": "Established", "status": "True"}]
        made = KIND.prepare(admitted(document), None, "")
        return {**made, "status": {**made["status"], "conditions": conditions}}

    good = bundled("words\n" + certificate("x", ca=False))
    empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    for text, why in (
        ("x", "unable to parse bytes as PEM block"),
        (empty, "failed to parse certificate: x509: malformed certificate"),
        (empty.replace("CERTIFICATE", "KEY"), "no valid certificate authority data seen"),
    ):
        bad = bundled(text)
        assert said(bad) == []
        assert said(bad, KIND.prepare(admitted(good), None, "")) == []
        assert said(bad, established(bad)) == []
        shown = base64.b64encode(text.encode()).decode()
        for old in (definition(), good):
            assert said(bad, established(old)) == [
                f'spec.conversion.webhookClientConfig.caBundle: Invalid value: "{shown}": '
                f"unable to load root certificates: {why}"
            ]
    assert said(good, established(definition())) == []


def test_a_webhook_takes_reviews_that_are_sent() -> None:
    def reviews(*versions: str) -> list[str]:
        document = definition()
        webhook = {"clientConfig": {"url": "https://h"}, "conversionReviewVersions": [*versions]}
        document["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        return said(document)

    path = "spec.conversion.conversionReviewVersions"
    assert reviews("v1") == reviews("v1beta1") == reviews("v2", "v1") == []
    assert reviews() == [f"{path}: Required value"]
    assert reviews("v2") == [
        f'{path}: Invalid value: ["v2"]: must include at least one of v1, v1beta1'
    ]
    assert reviews("v1", "v1") == [f'{path}[1]: Invalid value: "v1": duplicate version']
    assert reviews("v1", "V2")[0].startswith(f'{path}[1]: Invalid value: "V2": a DNS-1035 label')


def test_a_definition_is_named_after_its_resource_and_has_one_storage_version() -> None:
    document = definition()
    document["metadata"]["name"] = "other.example.com"
    assert said(document) == [
        'metadata.name: Invalid value: "other.example.com": must be '
        'spec.names.plural+"."+spec.group'
    ]
    found = said(definition(version(), version()))
    assert [text.rpartition("]: ")[2] for text in found] == [
        "must contain unique version names",
        "must have exactly one version marked as storage version",
    ]


def test_columns_scale_and_selectable_fields_point_into_objects() -> None:
    columns = [{"name": "", "type": "odd", "jsonPath": "spec"}]
    path = "spec.additionalPrinterColumns[0]"
    assert said(definition(version(additionalPrinterColumns=columns))) == [
        f"{path}.name: Required value",
        f'{path}.type: Invalid value: "odd": must be one of boolean,date,integer,number,string',
        f'{path}.JSONPath: Invalid value: "spec": must be a simple json path starting with .',
    ]
    scale = {"specReplicasPath": ".status.a", "statusReplicasPath": ""}
    assert said(definition(version(subresources={"scale": scale}))) == [
        'spec.subresources.scale.specReplicasPath: Invalid value: ".status.a": should be a json '
        "path under .spec",
        "spec.subresources.scale.statusReplicasPath: Required value",
    ]
    fields = [{"jsonPath": one} for one in (".spec.size", ".spec.tags", ".spec.none", ".spec.size")]
    found = said(definition(version(selectableFields=fields)))
    assert found == [
        'spec.selectableFields[1].jsonPath: Invalid value: ".spec.tags": must point to a field of '
        "type string, boolean or integer. Enum string fields and strings with formats are allowed.",
        'spec.selectableFields[2].jsonPath: Invalid value: ".spec.none": is an invalid path: does '
        "not refer to a valid field",
        'spec.selectableFields[3].jsonPath: Duplicate value: ".spec.size"',
    ]
    fields = [{"jsonPath": ""}, {"jsonPath": ".metadata.name"}]
    properties = {"metadata": {"type": "object", "properties": {"name": {"type": "string"}}}}
    schema = {"type": "object", "properties": properties}
    assert said(with_schema(schema, subresources={}, selectableFields=fields)) == [
        "spec.selectableFields[0].jsonPath: Required value",
        'spec.selectableFields[1].jsonPath: Invalid value: ".metadata.name": must not point to '
        "fields in metadata",
    ]


def test_no_more_than_eight_fields_are_selectable() -> None:
    def fields(count: int) -> list[str]:
        names = [f"f{number}" for number in range(count)]
        properties = {name: {"type": "boolean"} for name in names}
        schema = {"type": "object", "properties": properties}
        chosen = [{"jsonPath": f".{name}"} for name in names]
        return said(with_schema(schema, subresources={}, selectableFields=chosen))

    assert fields(8) == []
    assert fields(9) == ["spec.selectableFields: Too many: 9: must have at most 8 items"]


def test_a_scale_path_may_be_of_the_status_or_the_spec_where_it_selects() -> None:
    def scale(**given: str) -> list[str]:
        paths = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.replicas"}
        return said(definition(version(subresources={"scale": paths | given})))

    path = "spec.subresources.scale"
    assert scale() == scale(labelSelectorPath=".spec.s") == []
    assert scale(labelSelectorPath=".status.s") == []
    assert scale(labelSelectorPath=".other") == [
        f'{path}.labelSelectorPath: Invalid value: ".other": should be a json path under either '
        ".spec or .status"
    ]
    assert scale(labelSelectorPath="spec", statusReplicasPath=".spec.size") == [
        f'{path}.statusReplicasPath: Invalid value: ".spec.size": should be a json path under '
        ".status",
        f'{path}.labelSelectorPath: Invalid value: "spec": must be a simple json path starting '
        "with .",
    ]


def test_a_column_has_a_format_that_is_known() -> None:
    column = {"name": "n", "type": "string", "jsonPath": ".a", "format": "odd"}
    assert said(definition(version(additionalPrinterColumns=[column]))) == [
        'spec.additionalPrinterColumns[0].format: Invalid value: "odd": must be one of '
        "byte,date,date-time,double,float,int32,int64,password"
    ]
    good = {**column, "format": "byte"}
    assert said(definition(version(additionalPrinterColumns=[good]))) == []


def test_what_an_established_definition_is_called_stays() -> None:
    old = admitted(definition())
    changed = definition()
    changed["spec"]["scope"] = "Cluster"
    changed["spec"]["names"]["kind"] = "Thing"
    assert said(changed, old) == []
    old = with_condition(old, "Established", "True", "R", "m", "2026-01-01T00:00:00Z")
    assert said(changed, old) == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Thing": field is immutable',
    ]
    changed = definition()
    changed["spec"]["group"] = "example.org"
    changed["spec"]["names"]["plural"] = "things"
    changed["metadata"]["name"] = "things.example.org"
    old = admitted(definition())
    assert [text for text in said(changed, old) if "immutable" in text][-2:] == [
        'spec.group: Invalid value: "example.org": field is immutable',
        'spec.names.plural: Invalid value: "things": field is immutable',
    ]


def test_a_version_that_was_stored_cannot_go() -> None:
    old = admitted(definition(version(storage=False), version("v2")))
    old["status"]["storedVersions"] = ["v1", "v2"]
    found = said(definition(version("v2")), old)
    assert found[0].startswith(
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was '
        "previously a storage version"
    )


def test_groups_of_the_community_need_approval() -> None:
    document = definition()
    document["spec"]["group"] = "x.k8s.io"
    document["metadata"]["name"] = "widgets.x.k8s.io"
    assert "protected groups must have approval annotation" in said(document)[0]
    old = admitted(document)
    assert said(document, old) == [], "it was so before"
    for text in ("unapproved, a test", "https://github.com/kubernetes/kubernetes/pull/1"):
        document["metadata"]["annotations"] = {"api-approved.kubernetes.io": text}
        assert said(document) == []
    document["metadata"]["annotations"] = {"api-approved.kubernetes.io": "approved"}
    (found,) = said(document)
    assert found.startswith(
        'metadata.annotations[api-approved.kubernetes.io]: Invalid value: "approved": protected'
    )
    assert said(document, old) == [found]
    plain = definition()
    plain["spec"]["group"] = "notk8s.io"
    plain["metadata"]["name"] = "widgets.notk8s.io"
    assert said(plain) == []


def test_schemas_inside_of_schemas_are_read_too() -> None:
    for place in ("items", "additionalProperties"):
        raw = {"type": "object", "properties": {"a": {"type": "array", place: {"type": 5}}}}
        with pytest.raises(BadRequest, match="cannot unmarshal number"):
            admitted(with_schema(raw))
    raw = {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": 5}}}
    with pytest.raises(BadRequest, match="boolean or JSON schema expected"):
        admitted(with_schema(raw))


def test_a_definition_that_is_accepted_may_be_remarked_on() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "format": "odd"},
        },
    }
    document = admitted(with_schema(schema))
    assert list(KIND.warn(document, None, "")) == ['unrecognized format "odd"']
    assert list(KIND.warn(document, document, "")) == []
    assert SPEC["type"] == "object"
