"""What is wrong with a definition, with upstream's fields and texts."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from customs import SPEC, definition, version
from steersman.model import decode
from steersman.model.errors import BadRequest
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION as KIND
from steersman.model.kinds.customresourcedefinition import DEFINITION, with_condition

Document = dict[str, Any]
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
    assert expected in said(document)


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
    assert conversion(service={**service, "path": "/a//b"}) == [
        f'{path}.service.path: Invalid value: "/a//b": segment[1] may not be empty'
    ]


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
    document["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}
    assert said(document) == []


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
