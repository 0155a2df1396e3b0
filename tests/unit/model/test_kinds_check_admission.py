"""Webhooks of admission, policies of admission and their bindings."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import Causes, causes, kind_of

GROUP = "admissionregistration.k8s.io"
REQUIRED = "Required value"
RULE: dict[str, Any] = {
    "operations": ["CREATE"],
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["pods"],
}
HOOK: dict[str, Any] = {
    "name": "a.b.c",
    "clientConfig": {"url": "https://h/p"},
    "rules": [RULE],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
ANY_ALONE = "if '*' is present, must not specify other"
SUBDOMAIN = "a lowercase RFC 1123 subdomain must"


def hooks(
    *new: dict[str, Any], old: list[dict[str, Any]] | None = None, side: str = "validating"
) -> Causes:
    before = None if old is None else {"webhooks": old}
    return causes(GROUP, f"{side}webhookconfigurations", {"webhooks": list(new)}, before)


def one_hook(**change: Any) -> Causes:
    found = hooks({**HOOK, **change})
    return [(field.removeprefix("webhooks[0]."), text) for field, text in found]


def test_sound_webhooks_pass() -> None:
    assert one_hook() == []
    service = {"name": "s", "namespace": "n", "path": "/a/b/"}
    assert one_hook(clientConfig={"service": service}) == []
    assert hooks({**HOOK, "reinvocationPolicy": "IfNeeded"}, side="mutating") == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": ""}, [("name", REQUIRED)]),
        (
            {"name": "a.b"},
            [
                (
                    "name",
                    'Invalid value: "a.b": should be a domain with at least three segments '
                    "separated by dots",
                )
            ],
        ),
        (
            {"failurePolicy": "Retry", "matchPolicy": "Near", "sideEffects": "Some"},
            [
                ("failurePolicy", 'Unsupported value: "Retry": supported values: "Fail", "Ignore"'),
                (
                    "matchPolicy",
                    'Unsupported value: "Near": supported values: "Equivalent", "Exact"',
                ),
                (
                    "sideEffects",
                    'Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
                ),
            ],
        ),
        (
            {"sideEffects": None, "timeoutSeconds": 31, "admissionReviewVersions": []},
            [
                ("sideEffects", f"{REQUIRED}: must specify one of None, NoneOnDryRun"),
                (
                    "timeoutSeconds",
                    "Invalid value: 31: the timeout value must be between 1 and 30 seconds",
                ),
                ("admissionReviewVersions", f"{REQUIRED}: must specify one of v1, v1beta1"),
            ],
        ),
        (
            {"admissionReviewVersions": ["v2", "v2"], "timeoutSeconds": 1},
            [
                ("admissionReviewVersions[1]", 'Invalid value: "v2": duplicate version'),
                (
                    "admissionReviewVersions",
                    'Invalid value: ["v2","v2"]: must include at least one of v1, v1beta1',
                ),
            ],
        ),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            [
                (
                    "namespaceSelector.matchExpressions[0].values",
                    f"{REQUIRED}: must be specified when `operator` is 'In' or 'NotIn'",
                )
            ],
        ),
        (
            {"matchConditions": [{"name": "", "expression": " "}]},
            [
                ("matchConditions[0].expression", REQUIRED),
                ("matchConditions[0].name", REQUIRED),
            ],
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "true"}] * 2},
            [("matchConditions[1].name", 'Duplicate value: "a"')],
        ),
        (
            {
                "matchConditions": [
                    {"name": f"a{number}", "expression": "true"} for number in range(65)
                ]
            },
            [("matchConditions", "Too many: 65: must have at most 64 items")],
        ),
    ],
)
def test_webhooks(change: dict[str, Any], expected: Causes) -> None:
    assert one_hook(**change) == expected


def test_a_webhook_may_have_so_many_conditions() -> None:
    conditions = [{"name": f"a{number}", "expression": "true"} for number in range(64)]
    assert one_hook(matchConditions=conditions) == []


def test_a_badly_named_webhook_has_one_cause() -> None:
    found = one_hook(name="A")
    assert [field for field, _text in found] == ["name"]
    assert SUBDOMAIN in found[0][1]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"resources": ["pods/*", "*/status", "nodes"]}, []),
        (
            {"operations": [], "apiGroups": [], "apiVersions": [], "resources": []},
            [(name, REQUIRED) for name in ("operations", "apiGroups", "apiVersions", "resources")],
        ),
        (
            {
                "operations": ["*", "GET"],
                "apiGroups": ["*", "a"],
                "apiVersions": ["*", ""],
                "scope": "Galaxy",
            },
            [
                ("operations", f'Invalid value: ["*","GET"]: {ANY_ALONE} operations'),
                (
                    "operations[1]",
                    'Unsupported value: "GET": supported values: "*", "CONNECT", "CREATE", '
                    '"DELETE", "UPDATE"',
                ),
                ("apiGroups", f'Invalid value: ["*","a"]: {ANY_ALONE} API groups'),
                ("apiVersions", f'Invalid value: ["*",""]: {ANY_ALONE} API versions'),
                ("apiVersions[1]", REQUIRED),
                (
                    "scope",
                    'Unsupported value: "Galaxy": supported values: "*", "Cluster", "Namespaced"',
                ),
            ],
        ),
        (
            {"resources": ["a/*", "a/b", "*/c", "d/c", ""]},
            [
                (
                    "resources[1]",
                    "Invalid value: \"a/b\": if 'a/*' is present, must not specify a/b",
                ),
                (
                    "resources[3]",
                    "Invalid value: \"d/c\": if '*/c' is present, must not specify d/c",
                ),
                ("resources[4]", REQUIRED),
            ],
        ),
        (
            {"resources": ["*/*", "a"]},
            [
                (
                    "resources",
                    'Invalid value: ["*/*","a"]: if \'*/*\' is present, must not specify other '
                    "resources",
                )
            ],
        ),
        (
            {"resources": ["*", "a"]},
            [
                (
                    "resources",
                    f'Invalid value: ["*","a"]: {ANY_ALONE} resources without subresources',
                )
            ],
        ),
        ({"resources": ["*", "a/b"]}, []),
    ],
)
def test_rules(rule: dict[str, Any], expected: Causes) -> None:
    found = one_hook(rules=[{**RULE, **rule}])
    assert [(field.removeprefix("rules[0]."), text) for field, text in found] == expected


FORM = "; desired format: https://host[/path]"
ONE_PLACE = "exactly one of url or service is required"


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ({}, [("", f"{REQUIRED}: {ONE_PLACE}")]),
        (
            {"url": "https://h", "service": {"name": "s", "namespace": "n"}},
            [("", f"{REQUIRED}: {ONE_PLACE}")],
        ),
        (
            {"url": "http://u:p@/x?q#f"},
            [
                ("url", f"Invalid value: \"http\": 'https' is the only allowed URL scheme{FORM}"),
                ("url", f'Invalid value: "": host must be specified{FORM}'),
                ("url", 'Invalid value: "u:p": user information is not permitted in the URL'),
                ("url", 'Invalid value: "f": fragments are not permitted in the URL'),
                ("url", 'Invalid value: "q": query parameters are not permitted in the URL'),
            ],
        ),
        (
            {"url": "https://h/%zz"},
            [
                (
                    "url",
                    f'{REQUIRED}: url must be a valid URL: parse "https://h/%zz": invalid URL '
                    f'escape "%zz"{FORM}',
                )
            ],
        ),
        (
            {"url": "https://h:x"},
            [
                (
                    "url",
                    f'{REQUIRED}: url must be a valid URL: parse "https://h:x": invalid host or '
                    f"port{FORM}",
                )
            ],
        ),
        (
            {"service": {"name": "", "namespace": "n", "port": 0}},
            [
                ("service.namespace", REQUIRED),
                (
                    "service.port",
                    "Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
                ),
            ],
        ),
        (
            {"service": {"name": "s", "namespace": "n", "path": "a//b"}},
            [
                ("service.path", "Invalid value: \"a//b\": must start with a '/'"),
                ("service.path", 'Invalid value: "a//b": segment[0] may not be empty'),
                ("service.path", 'Invalid value: "a//b": segment[1] may not be empty'),
            ],
        ),
        (
            {"service": {"name": "s", "namespace": "n", "path": "//"}},
            [("service.path", 'Invalid value: "//": segment[0] may not be empty')],
        ),
        ({"service": {"name": "s", "namespace": "n", "path": "/"}}, []),
    ],
)
def test_where_a_webhook_is_served(client: dict[str, Any], expected: Causes) -> None:
    found = one_hook(clientConfig=client)
    where = [(field.removeprefix("clientConfig").lstrip("."), text) for field, text in found]
    assert where == expected


def test_a_segment_of_a_path_is_a_subdomain() -> None:
    service = {"name": "s", "namespace": "n", "path": "/a/B"}
    found = one_hook(clientConfig={"service": service})
    assert found[0][1].startswith(f'Invalid value: "/a/B": segment[1]: {SUBDOMAIN}')


def test_webhooks_have_different_names() -> None:
    assert hooks(HOOK, HOOK) == [("webhooks[1].name", 'Duplicate value: "a.b.c"')]
    assert hooks(HOOK, HOOK, old=[HOOK, HOOK]) == []


def test_what_was_wrong_with_the_old_webhooks_may_stay() -> None:
    loose = {**HOOK, "sideEffects": "Unknown"}
    assert hooks(loose, old=[loose]) == []
    assert hooks(loose, old=[HOOK]) != []
    foreign = {**HOOK, "admissionReviewVersions": ["v9"]}
    assert hooks(foreign, old=[foreign]) == []
    assert hooks(foreign, old=[HOOK]) != []
    valued = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["a b"]}]}
    selects = {**HOOK, "namespaceSelector": valued}
    assert hooks(selects, old=[selects]) == []
    assert hooks(selects, old=[{**HOOK, "objectSelector": {"matchLabels": {"a": "b c"}}}]) == []
    assert [field for field, _text in hooks(selects, old=[HOOK])] == [
        "webhooks[0].namespaceSelector.matchExpressions[0].values[0]"
    ]
    labelled = {**HOOK, "objectSelector": {"matchLabels": {"a": "b c"}}}
    assert [field for field, _text in hooks(labelled, old=[labelled])] == [
        "webhooks[0].objectSelector.matchLabels"
    ]
    unnamed = {**HOOK, "matchConditions": [{"name": "", "expression": "true"}]}
    assert hooks(unnamed, old=[unnamed]) == []
    assert hooks(unnamed, old=[HOOK]) != []
    assert hooks(unnamed) != []


def test_a_webhook_is_called_again_by_known_policies() -> None:
    assert hooks({**HOOK, "reinvocationPolicy": "Always"}, side="mutating") == [
        (
            "webhooks[0].reinvocationPolicy",
            'Unsupported value: "Always": supported values: "IfNeeded", "Never"',
        )
    ]


MATCH = {"resourceRules": [RULE]}
POLICY: dict[str, Any] = {"matchConstraints": MATCH, "validations": [{"expression": "true"}]}


def policy(old: dict[str, Any] | None = None, **change: Any) -> Causes:
    before = None if old is None else {"spec": {**POLICY, **old}}
    plural = "validatingadmissionpolicies"
    found = causes(GROUP, plural, {"spec": {**POLICY, **change}}, before)
    return [(field.removeprefix("spec."), text) for field, text in found]


EITHER = f"{REQUIRED}: validations or auditAnnotations must contain at least one item"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {
                "paramKind": {"apiVersion": "a.b/v1", "kind": "Thing"},
                "variables": [{"name": "v", "expression": "1"}],
                "auditAnnotations": [{"key": "k", "valueExpression": "'x'"}],
            },
            [],
        ),
        (
            {"failurePolicy": ""},
            [("failurePolicy", 'Unsupported value: "": supported values: "Fail", "Ignore"')],
        ),
        (
            {"failurePolicy": "Retry", "matchConstraints": None, "validations": []},
            [
                ("failurePolicy", 'Unsupported value: "Retry": supported values: "Fail", "Ignore"'),
                ("matchConstraints", REQUIRED),
                ("validations", EITHER),
                ("auditAnnotations", EITHER),
            ],
        ),
        (
            {"matchConstraints": {"matchPolicy": "Near"}},
            [
                (
                    "matchConstraints.matchPolicy",
                    'Unsupported value: "Near": supported values: "Equivalent", "Exact"',
                ),
                ("matchConstraints.resourceRules", REQUIRED),
            ],
        ),
        (
            {
                "matchConstraints": {
                    "resourceRules": [{**RULE, "resourceNames": ["a", "a", ".."]}],
                    "excludeResourceRules": [{**RULE, "operations": []}],
                }
            },
            [
                ("matchConstraints.resourceRules[0].resourceNames[1]", 'Duplicate value: "a"'),
                (
                    "matchConstraints.resourceRules[0].resourceNames[2]",
                    "Invalid value: \"..\": may not be '..'",
                ),
                ("matchConstraints.excludeResourceRules[0].operations", REQUIRED),
            ],
        ),
        (
            {"paramKind": {"apiVersion": "", "kind": ""}},
            [("paramKind.apiVersion", REQUIRED), ("paramKind.kind", REQUIRED)],
        ),
        (
            {"paramKind": {"apiVersion": "a/b/c", "kind": "K"}},
            [
                (
                    "paramKind.apiVersion",
                    'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
                )
            ],
        ),
        (
            {"paramKind": {"apiVersion": "a/", "kind": "K"}},
            [("paramKind.apiVersion", 'Invalid value: "a/": version must be specified')],
        ),
        (
            {"variables": [{"name": "1a", "expression": ""}, {"name": "in", "expression": "1"}]},
            [
                (
                    "variables[0].name",
                    'Invalid value: "1a": must be a valid CEL identifier',
                ),
                ("variables[0].expression", f"{REQUIRED}: expression is not specified"),
                (
                    "variables[1].name",
                    'Invalid value: "in": must be a valid CEL identifier',
                ),
            ],
        ),
        (
            {"variables": [{"name": " ", "expression": "1"}]},
            [("variables[0].name", f"{REQUIRED}: name is not specified")],
        ),
        (
            {
                "validations": [
                    {"expression": " ", "messageExpression": " ", "message": " ", "reason": "No"},
                    {"expression": "true", "message": "a\nb", "reason": "Forbidden"},
                ]
            },
            [
                ("validations[0].expression", f"{REQUIRED}: expression is not specified"),
                (
                    "validations[0].messageExpression",
                    'Invalid value: " ": must be non-empty if specified',
                ),
                (
                    "validations[0].message",
                    'Invalid value: " ": must be non-empty if specified',
                ),
                (
                    "validations[0].reason",
                    'Unsupported value: "No": supported values: "Forbidden", "Invalid", '
                    '"RequestEntityTooLarge"',
                ),
                (
                    "validations[1].message",
                    'Invalid value: "a\\nb": must not contain line breaks',
                ),
            ],
        ),
        (
            {
                "auditAnnotations": [
                    {"key": "k", "valueExpression": ""},
                    {"key": "k", "valueExpression": "v" * 5121},
                ]
            },
            [
                (
                    "auditAnnotations[0].valueExpression",
                    f"{REQUIRED}: valueExpression is not specified",
                ),
                (
                    "auditAnnotations[1].valueExpression",
                    f"{REQUIRED}: must not exceed 5120 bytes in length",
                ),
                ("auditAnnotations[1].key", 'Duplicate value: "k"'),
            ],
        ),
    ],
)
def test_policies(change: dict[str, Any], expected: Causes) -> None:
    assert policy(**change) == expected


def test_names_in_a_policy() -> None:
    found = policy(
        paramKind={"apiVersion": "A/1", "kind": "1K"},
        auditAnnotations=[{"key": "a b", "valueExpression": "'x'"}],
    )
    assert [field for field, _text in found] == [
        "paramKind.apiVersion",
        "paramKind.apiVersion",
        "paramKind.kind",
        "auditAnnotations[0].key",
    ]
    assert "may have mixed case, but should otherwise match: a DNS-1035" in found[2][1]
    assert found[3][1].startswith('Invalid value: "x/a b": name part must')


def test_a_policy_notes_twenty_things_at_most() -> None:
    notes = [{"key": f"k{number}", "valueExpression": "'x'"} for number in range(21)]
    found = policy(auditAnnotations=notes)
    assert [field for field, _text in found] == ["auditAnnotations"]
    assert found[0][1].startswith('Invalid value: [{"Key":"k0","ValueExpression":"\'x\'"}')
    assert found[0][1].endswith("must not have more than 20 auditAnnotations")
    assert policy(auditAnnotations=notes[:20]) == []


def test_conditions_that_stay_are_not_looked_at_again() -> None:
    bad = {"matchConditions": [{"name": "", "expression": "true"}]}
    kind = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
    assert policy(bad, **bad) == []
    assert policy(bad, **bad, **kind) == [("matchConditions[0].name", REQUIRED)]
    assert policy({}, **bad) == [("matchConditions[0].name", REQUIRED)]


def test_the_status_of_a_policy() -> None:
    warnings = [{"warning": "", "fieldRef": " "}, {"warning": "w", "fieldRef": "spec.x"}]
    status = {"typeChecking": {"expressionWarnings": warnings}, "conditions": [{"type": "A"}]}
    document = {"spec": {}, "status": status}
    found = causes(GROUP, "validatingadmissionpolicies", document, document, "status")
    assert [field for field, _text in found] == [
        "status.typeChecking.expressionWarnings[0].warning",
        "status.typeChecking.expressionWarnings[0].fieldRef",
        "status.conditions[0].status",
        "status.conditions[0].lastTransitionTime",
        "status.conditions[0].reason",
    ]


PATCH = {"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}
APPLY = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "{}"}}
MUTATING = '"*", "CONNECT", "CREATE", "UPDATE"'


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        (
            {"mutations": [], "reinvocationPolicy": None},
            [
                ("mutations", f"{REQUIRED}: mutations must contain at least one item"),
                ("reinvocationPolicy", REQUIRED),
            ],
        ),
        (
            {"reinvocationPolicy": "Always"},
            [
                (
                    "reinvocationPolicy",
                    'Unsupported value: "Always": supported values: "IfNeeded", "Never"',
                )
            ],
        ),
        (
            {"matchConstraints": {"resourceRules": [{**RULE, "operations": ["DELETE"]}]}},
            [
                (
                    "matchConstraints.resourceRules.operations",
                    f'Unsupported value: "DELETE": supported values: {MUTATING}',
                )
            ],
        ),
        ({"mutations": [{"patchType": ""}]}, [("mutations[0].patchType", REQUIRED)]),
        (
            {"mutations": [{"patchType": "Merge"}]},
            [
                (
                    "mutations[0].patchType",
                    'Unsupported value: "Merge": supported values: "ApplyConfiguration", '
                    '"JSONPatch"',
                )
            ],
        ),
        (
            {"mutations": [{**APPLY, "patchType": "JSONPatch"}]},
            [
                (
                    "mutations[0].applyConfiguration",
                    'Invalid value: "{applyConfiguration}": must not be specified when patchType '
                    "is JSONPatch",
                ),
                (
                    "mutations[0].jsonPatch",
                    f"{REQUIRED}: must be specified when patchType is JSONPatch",
                ),
            ],
        ),
        (
            {"mutations": [{**APPLY, "applyConfiguration": {"expression": " "}}]},
            [("mutations[0].applyConfiguration.expression", REQUIRED)],
        ),
    ],
)
def test_mutating_policies(change: dict[str, Any], expected: Causes) -> None:
    sound = {
        "matchConstraints": MATCH,
        "mutations": [PATCH, APPLY],
        "reinvocationPolicy": "Never",
    }
    found = causes(GROUP, "mutatingadmissionpolicies", {"spec": {**sound, **change}})
    assert [(field.removeprefix("spec."), text) for field, text in found] == expected


BINDING: dict[str, Any] = {"policyName": "p", "validationActions": ["Deny", "Audit"]}
EXCLUSIVE = "Forbidden: name and selector are mutually exclusive"


def binding(side: str = "validating", **change: Any) -> Causes:
    sound = BINDING if side == "validating" else {"policyName": "p"}
    document = {"spec": {**sound, **change}}
    found = causes(GROUP, f"{side}admissionpolicybindings", document)
    return [(field.removeprefix("spec."), text) for field, text in found]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"}}, []),
        (
            {"policyName": "", "validationActions": []},
            [
                ("policyName", REQUIRED),
                ("validationActions", REQUIRED),
            ],
        ),
        (
            {"validationActions": ["Deny", "Warn", "Deny", "Log"]},
            [
                ("validationActions[2]", 'Duplicate value: "Deny"'),
                (
                    "validationActions[3]",
                    'Unsupported value: "Log": supported values: "Audit", "Deny", "Warn"',
                ),
                (
                    "validationActions",
                    'Invalid value: ["Deny","Warn","Deny","Log"]: must not contain both Deny and '
                    "Warn (repeating the same validation failure information in the API response "
                    "and headers serves no purpose)",
                ),
            ],
        ),
        (
            {"paramRef": {}},
            [
                ("paramRef", f"{REQUIRED}: one of name or selector must be specified"),
                ("paramRef.parameterNotFoundAction", REQUIRED),
            ],
        ),
        (
            {"paramRef": {"name": "a/b", "selector": {}, "parameterNotFoundAction": "Ask"}},
            [
                ("paramRef.name", "Invalid value: \"a/b\": may not contain '/'"),
                ("paramRef.name", EXCLUSIVE),
                ("paramRef.selector", EXCLUSIVE),
                (
                    "paramRef.parameterNotFoundAction",
                    'Unsupported value: "Ask": supported values: "Deny", "Allow"',
                ),
            ],
        ),
        (
            {"matchResources": {"resourceRules": [{**RULE, "resources": []}]}},
            [("matchResources.resourceRules[0].resources", REQUIRED)],
        ),
    ],
)
def test_bindings(change: dict[str, Any], expected: Causes) -> None:
    assert binding(**change) == expected


def test_a_binding_of_a_mutating_policy_does_not_delete() -> None:
    deleting = {"resourceRules": [{**RULE, "operations": ["DELETE"]}]}
    assert binding(matchResources=deleting) == []
    assert binding("mutating", matchResources=deleting) == [
        (
            "matchResources.resourceRules.operations",
            f'Unsupported value: "DELETE": supported values: {MUTATING}',
        )
    ]
    assert [field for field, _text in binding("mutating", policyName="A")] == ["policyName"]


STATIC = (
    'names ending with ".static.k8s.io" are reserved for static manifest-based configurations '
    "and cannot be managed via the API"
)
RESERVABLE = {
    "validatingwebhookconfigurations": {"webhooks": [HOOK]},
    "mutatingwebhookconfigurations": {"webhooks": [HOOK]},
    "validatingadmissionpolicies": {"spec": POLICY},
    "validatingadmissionpolicybindings": {"spec": BINDING},
    "mutatingadmissionpolicies": {
        "spec": {"matchConstraints": MATCH, "mutations": [PATCH], "reinvocationPolicy": "Never"}
    },
    "mutatingadmissionpolicybindings": {"spec": {"policyName": "p"}},
}


@pytest.mark.parametrize("plural", RESERVABLE)
def test_names_of_what_comes_from_files_are_not_taken(plural: str) -> None:
    name = "x.static.k8s.io"
    document = {**RESERVABLE[plural], "metadata": {"name": name}}
    assert causes(GROUP, plural, document) == [
        ("metadata.name", f'Invalid value: "{name}": {STATIC}')
    ]
    assert causes(GROUP, plural, document, document) == []
    assert causes(GROUP, plural, {**document, "metadata": {"name": "static.k8s.io"}}) == []
    kind = kind_of(GROUP, plural)
    assert list(kind.warn(document, document, "")) == [f"metadata.name: {STATIC}"]
    assert list(kind.warn(RESERVABLE[plural], RESERVABLE[plural], "")) == []


@pytest.mark.parametrize("plural", RESERVABLE)
def test_an_update_names_the_revision_that_it_is_about(plural: str) -> None:
    assert kind_of(GROUP, plural).conditional
