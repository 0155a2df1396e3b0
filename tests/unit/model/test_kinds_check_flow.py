"""FlowSchema, PriorityLevelConfiguration and APIService."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.checked import Causes, causes

from steersman.api.bootstrap import flow
from steersman.model.types.flow_check import FIXED_LEVEL, FIXED_SCHEMAS

GROUP = "flowcontrol.apiserver.k8s.io"
REQUIRED = "Required value"
VERBS = '"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"'
SUBJECT = {"kind": "User", "user": {"name": "u"}}
RESOURCES: dict[str, Any] = {
    "verbs": ["get"],
    "apiGroups": [""],
    "resources": ["pods"],
    "namespaces": ["n"],
}
PATHS: dict[str, Any] = {"verbs": ["*"], "nonResourceURLs": ["/healthz", "/", "/a/*"]}


def schema(name: str = "x", **spec: Any) -> Causes:
    sound = {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 5}
    document = {"metadata": {"name": name}, "spec": {**sound, **spec}}
    return causes(GROUP, "flowschemas", document)


def rule(**change: Any) -> Causes:
    whole = {"subjects": [SUBJECT], "resourceRules": [RESOURCES], **change}
    found = schema(rules=[whole])
    return [(field.removeprefix("spec.rules[0]").lstrip("."), text) for field, text in found]


def test_a_sound_schema_passes() -> None:
    assert schema(distinguisherMethod={"type": "ByUser"}) == []
    assert rule(nonResourceRules=[PATHS]) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"matchingPrecedence": -1},
            [("matchingPrecedence", "Invalid value: -1: must be a positive value")],
        ),
        (
            {"matchingPrecedence": 10001},
            [("matchingPrecedence", "Invalid value: 10001: must not be greater than 10000")],
        ),
        (
            {"matchingPrecedence": 1},
            [
                (
                    "matchingPrecedence",
                    "Invalid value: 1: only the schema named 'exempt' may have "
                    "matchingPrecedence 1",
                )
            ],
        ),
        (
            {"distinguisherMethod": {"type": "ByVerb"}},
            [
                (
                    "distinguisherMethod.type",
                    'Unsupported value: {"Type":"ByVerb"}: supported values: "ByNamespace", '
                    '"ByUser"',
                )
            ],
        ),
        (
            {"priorityLevelConfiguration": {"name": ""}},
            [
                (
                    "priorityLevelConfiguration.name",
                    f"{REQUIRED}: must reference a priority level",
                )
            ],
        ),
    ],
)
def test_schemas(spec: dict[str, Any], expected: Causes) -> None:
    found = schema(**spec)
    assert [(field.removeprefix("spec."), text) for field, text in found] == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"subjects": [], "resourceRules": []},
            [
                ("subjects", f"{REQUIRED}: subjects must contain at least one value"),
                (
                    "",
                    f"{REQUIRED}: at least one of resourceRules and nonResourceRules has to be "
                    "non-empty",
                ),
            ],
        ),
        (
            {"subjects": [{"kind": "Robot"}]},
            [
                (
                    "subjects[0].kind",
                    'Unsupported value: "Robot": supported values: "Group", "ServiceAccount", '
                    '"User"',
                )
            ],
        ),
        (
            {"subjects": [{"kind": "Group", "user": {"name": "u"}}]},
            [
                (
                    "subjects[0].group",
                    f"{REQUIRED}: group is required when subject kind is 'Group'",
                ),
                (
                    "subjects[0].user",
                    "Forbidden: user is forbidden when subject kind is not 'User'",
                ),
            ],
        ),
        (
            {"subjects": [{**SUBJECT, "user": {"name": ""}, "group": {"name": "g"}}]},
            [
                ("subjects[0].user.name", REQUIRED),
                (
                    "subjects[0].group",
                    "Forbidden: group is forbidden when subject kind is not 'Group'",
                ),
            ],
        ),
        (
            {
                "subjects": [
                    {"kind": "ServiceAccount", "serviceAccount": {"name": "", "namespace": ""}}
                ]
            },
            [
                ("subjects[0].serviceAccount.name", REQUIRED),
                (
                    "subjects[0].serviceAccount.namespace",
                    f"{REQUIRED}: must specify namespace for service account",
                ),
            ],
        ),
        (
            {
                "subjects": [
                    {"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "n"}}
                ]
            },
            [],
        ),
        (
            {"resourceRules": [{"verbs": [], "apiGroups": [], "resources": []}]},
            [
                (
                    "resourceRules[0].verbs",
                    f"{REQUIRED}: verbs must contain at least one value",
                ),
                (
                    "resourceRules[0].apiGroups",
                    f"{REQUIRED}: resource rules must supply at least one api group",
                ),
                (
                    "resourceRules[0].resources",
                    f"{REQUIRED}: resource rules must supply at least one resource",
                ),
                (
                    "resourceRules[0].namespaces",
                    f"{REQUIRED}: resource rules that are not cluster scoped must supply at "
                    "least one namespace",
                ),
            ],
        ),
        ({"resourceRules": [{**RESOURCES, "namespaces": [], "clusterScope": True}]}, []),
        (
            {
                "resourceRules": [
                    {
                        "verbs": ["*", "get"],
                        "apiGroups": ["*", "a"],
                        "resources": ["*", "b"],
                        "namespaces": ["*", "c"],
                    }
                ]
            },
            [
                (
                    f"resourceRules[0].{name}",
                    f'Invalid value: ["*","{value}"]: if \'*\' is present, must not specify '
                    f"other {words}",
                )
                for name, value, words in (
                    ("verbs", "get", "verbs"),
                    ("apiGroups", "a", "api groups"),
                    ("resources", "b", "resources"),
                    ("namespaces", "c", "namespaces"),
                )
            ],
        ),
        (
            {"resourceRules": [{**RESOURCES, "verbs": ["get", "post"]}]},
            [
                (
                    "resourceRules[0].verbs",
                    f'Unsupported value: ["get","post"]: supported values: {VERBS}',
                )
            ],
        ),
        (
            {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": []}]},
            [
                (
                    "nonResourceRules[0].nonResourceURLs",
                    f"{REQUIRED}: nonResourceURLs must contain at least one value",
                )
            ],
        ),
        (
            {
                "nonResourceRules": [
                    {
                        "verbs": ["get"],
                        "nonResourceURLs": ["", "a", "/ ", "//", "/a*", "/*/*"],
                    }
                ]
            },
            [
                (
                    f"nonResourceRules[0].nonResourceURLs[{index}]",
                    f'Invalid value: "{value}": {problem}',
                )
                for index, (value, problem) in enumerate(
                    (
                        ("", "must not be empty"),
                        ("a", "must start with slash"),
                        ("/ ", "must not contain white-space"),
                        ("//", "must not contain double slash"),
                        ("/a*", "wildcard can only do suffix matching"),
                        ("/*/*", "wildcard can only do suffix matching"),
                    )
                )
            ],
        ),
    ],
)
def test_rules(change: dict[str, Any], expected: Causes) -> None:
    assert rule(**change) == expected


def test_a_namespace_of_a_rule_is_a_label() -> None:
    found = rule(resourceRules=[{**RESOURCES, "namespaces": ["A"]}])
    assert found[0][0] == "resourceRules[0].namespaces[0]"
    assert "each member of this list must be '*' or a DNS-1123 label; a lowercase" in found[0][1]


@pytest.mark.parametrize("name", ["exempt", "catch-all"])
def test_two_schemas_are_as_they_are(name: str) -> None:
    fixed = FIXED_SCHEMAS[name]
    assert schema(name, **fixed) == []
    other = copy.deepcopy(fixed)
    other["rules"][0]["subjects"] = [SUBJECT]
    found = schema(name, **other)
    assert [field for field, _text in found] == ["spec"]
    assert found[0][1].endswith(f": spec of '{name}' must equal the fixed value")


def test_what_the_server_begins_with_passes() -> None:
    documents = [*flow.level_documents(), *flow.flow_documents()]
    assert len(documents) > 15
    for document in documents:
        plural = (
            "flowschemas" if document["kind"] == "FlowSchema" else "prioritylevelconfigurations"
        )
        assert causes(GROUP, plural, document) == [], document["metadata"]["name"]


QUEUING = {"queues": 64, "handSize": 6, "queueLengthLimit": 50}
LIMITED: dict[str, Any] = {"limitResponse": {"type": "Queue", "queuing": QUEUING}}


def level(name: str = "x", **spec: Any) -> Causes:
    document = {"metadata": {"name": name}, "spec": {"type": "Limited", **spec}}
    found = causes(GROUP, "prioritylevelconfigurations", document)
    return [(field.removeprefix("spec."), text) for field, text in found]


def queues(**change: int) -> dict[str, Any]:
    return {"limited": {"limitResponse": {"type": "Queue", "queuing": {**QUEUING, **change}}}}


WHERE = "limited.limitResponse.queuing"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"limited": LIMITED}, []),
        ({}, [("limited", REQUIRED)]),
        (
            {"type": "", "limited": {"limitResponse": {}}},
            [
                ("limited", "Forbidden"),
                ("type", REQUIRED),
                ("limited.limitResponse.type", REQUIRED),
            ],
        ),
        (
            {"type": "Free"},
            [("type", 'Unsupported value: "Free": supported values: "Exempt", "Limited"')],
        ),
        (
            {"type": "Exempt", "limited": LIMITED},
            [
                (
                    "type",
                    "Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is "
                    "'exempt'",
                ),
                ("limited", "Forbidden"),
            ],
        ),
        (
            {"limited": LIMITED, "exempt": {}},
            [("exempt", "Forbidden")],
        ),
        (
            {
                "limited": {
                    "nominalConcurrencyShares": -1,
                    "lendablePercent": 101,
                    "borrowingLimitPercent": -1,
                    "limitResponse": {"type": "Wait"},
                }
            },
            [
                (
                    "limited.nominalConcurrencyShares",
                    "Invalid value: -1: must be a non-negative integer",
                ),
                (
                    "limited.limitResponse.type",
                    'Unsupported value: "Wait": supported values: "Queue", "Reject"',
                ),
                (
                    "limited.lendablePercent",
                    "Invalid value: 101: must be between 0 and 100, inclusive",
                ),
                (
                    "limited.borrowingLimitPercent",
                    "Invalid value: -1: if specified, must be a non-negative integer",
                ),
            ],
        ),
        (
            {"limited": {"limitResponse": {"type": "Reject", "queuing": QUEUING}}},
            [
                (
                    WHERE,
                    "Forbidden",
                )
            ],
        ),
        (
            {"limited": {"limitResponse": {"type": "Queue"}}},
            [
                (
                    WHERE,
                    REQUIRED,
                )
            ],
        ),
        (
            queues(queueLengthLimit=-1, queues=-1, handSize=-1),
            [
                (f"{WHERE}.{name}", "Invalid value: -1: must be positive")
                for name in ("queueLengthLimit", "queues", "handSize")
            ],
        ),
        (
            queues(queues=4),
            [(f"{WHERE}.handSize", "Invalid value: 6: should not be greater than queues (4)")],
        ),
        (
            queues(queues=10_000_001, handSize=1),
            [(f"{WHERE}.queues", "Invalid value: 10000001: must not be greater than 10000000")],
        ),
        (
            queues(queues=64, handSize=11),
            [
                (
                    f"{WHERE}.handSize",
                    "Invalid value: 11: required entropy bits of deckSize 64 and handSize 11 "
                    "should not be greater than 60",
                )
            ],
        ),
        (queues(queues=64, handSize=10), []),
    ],
)
def test_levels(spec: dict[str, Any], expected: Causes) -> None:
    assert level(**spec) == expected


def test_two_levels_are_as_they_are() -> None:
    assert level("catch-all", **FIXED_LEVEL) == []
    found = level("catch-all", limited=LIMITED)
    assert [field for field, _text in found] == ["spec"]
    assert found[0][1].endswith("spec of 'catch-all' must equal the fixed value")
    exempt = {"nominalConcurrencyShares": 5, "lendablePercent": 100}
    assert level("exempt", type="Exempt", exempt=exempt) == []
    bad = {"nominalConcurrencyShares": -1, "lendablePercent": -1}
    assert [field for field, _text in level("exempt", type="Exempt", exempt=bad)] == [
        "exempt.nominalConcurrencyShares",
        "exempt.lendablePercent",
    ]
    found = level("exempt", limited=LIMITED)
    assert [field for field, _text in found] == ["type", "spec"]
    assert found[1][1].endswith(
        "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
    )


@pytest.mark.parametrize("plural", ["flowschemas", "prioritylevelconfigurations"])
def test_a_condition_has_a_type_of_its_own(plural: str) -> None:
    conditions = [{"type": "A"}, {"type": "A"}, {"type": ""}]
    document = {"spec": {}, "status": {"conditions": conditions}}
    assert causes(GROUP, plural, document, document, "status") == [
        ("status.conditions[1].type", 'Duplicate value: "A"'),
        ("status.conditions[2].type", f"{REQUIRED}: must not be empty"),
    ]


SERVED: dict[str, Any] = {
    "group": "a.b",
    "version": "v1",
    "groupPriorityMinimum": 1,
    "versionPriority": 1,
}
SERVICE = {"name": "s", "namespace": "n"}
LOCAL = "local APIServices may not have"


def served(name: str = "v1.a.b", **spec: Any) -> Causes:
    document = {"metadata": {"name": name}, "spec": {**SERVED, **spec}}
    return causes("apiregistration.k8s.io", "apiservices", document)


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("v1.a.b", {}, []),
        ("v1.a.b", {"service": SERVICE, "caBundle": "eA=="}, []),
        ("v1.", {"group": ""}, []),
        (
            "x",
            {},
            [
                (
                    "metadata.name",
                    'Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.a.b"',
                )
            ],
        ),
        (
            "v2.",
            {"group": "", "version": "v2"},
            [
                (
                    "spec.group",
                    f"{REQUIRED}: only v1 may have an empty group and it better be legacy kube",
                )
            ],
        ),
        (
            "v1.a.b",
            {"groupPriorityMinimum": 20001, "versionPriority": 0},
            [
                (
                    "spec.groupPriorityMinimum",
                    "Invalid value: 20001: must be positive and less than 20000",
                ),
                (
                    "spec.versionPriority",
                    "Invalid value: 0: must be positive and less than 1000",
                ),
            ],
        ),
        (
            "v1.a.b",
            {"caBundle": "eHk=", "insecureSkipTLSVerify": True},
            [
                ("spec.caBundle", f'Invalid value: "2 bytes": {LOCAL} a caBundle'),
                (
                    "spec.insecureSkipTLSVerify",
                    f"Invalid value: true: {LOCAL} insecureSkipTLSVerify",
                ),
            ],
        ),
        (
            "v1.a.b",
            {"service": {"port": 70000}},
            [
                ("spec.service.namespace", REQUIRED),
                ("spec.service.name", REQUIRED),
                (
                    "spec.service.port",
                    "Invalid value: 70000: port is not valid: must be between 1 and 65535, "
                    "inclusive",
                ),
            ],
        ),
        (
            "v1.a.b",
            {"service": SERVICE, "caBundle": "eA==", "insecureSkipTLSVerify": True},
            [
                (
                    "spec.insecureSkipTLSVerify",
                    "Invalid value: true: may not be true if caBundle is present",
                )
            ],
        ),
    ],
)
def test_services_of_apis(name: str, spec: dict[str, Any], expected: Causes) -> None:
    assert served(name, **spec) == expected


def test_names_in_a_service_of_an_api() -> None:
    assert [field for field, _text in served("1.A", group="A", version="1")] == [
        "spec.group",
        "spec.version",
    ]
    old = {"metadata": {"name": "v1.a.b"}, "spec": SERVED}
    moved = {**old, "spec": {**SERVED, "group": "c.d"}}
    found = causes("apiregistration.k8s.io", "apiservices", moved, old)
    assert found == [
        (
            "metadata.name",
            'Invalid value: "v1.a.b": must be `spec.version+"."+spec.group`: "v1.c.d"',
        )
    ]
    status = {**old, "status": {"conditions": [{"type": "Available", "status": "Yes"}]}}
    assert causes("apiregistration.k8s.io", "apiservices", status, old, "status") == [
        (
            "status.conditions[0].status",
            'Unsupported value: "Yes": supported values: "True", "False", "Unknown"',
        )
    ]
