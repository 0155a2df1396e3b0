"""Kinds that bound others: LimitRange, ResourceQuota, PriorityClass, PodDisruptionBudget."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import IMMUTABLE, NEGATIVE, Causes, causes

ITEM = "spec.limits[0]"
QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def bounds(kind: str = "Container", **amounts: Any) -> dict[str, Any]:
    return {"type": kind, **amounts}


def limits(*items: dict[str, Any]) -> Causes:
    return causes("", "limitranges", {"spec": {"limits": list(items)}})


def test_sound_limits_pass() -> None:
    assert (
        limits(
            bounds(
                max={"cpu": "2", "memory": "1Gi", "example.com/gpu": "2"},
                min={"cpu": "1"},
                default={"cpu": "2", "example.com/gpu": "1"},
                defaultRequest={"cpu": "1", "example.com/gpu": "1"},
                maxLimitRequestRatio={"cpu": "2"},
            ),
            bounds("Pod", max={"memory": "1Gi"}, min={"memory": "1Gi"}),
            bounds("PersistentVolumeClaim", max={"storage": "1Gi"}),
            bounds("example.com/thing", min={"storage": "1"}),
        )
        == []
    )


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            bounds("Thing"),
            [
                (
                    f"{ITEM}.type",
                    'Invalid value: "Thing": must be a standard limit type or fully qualified',
                )
            ],
        ),
        (bounds("a b"), [(f"{ITEM}.type", f'Invalid value: "a b": {QUALIFIED}')]),
        (
            bounds("Pod", max={"storage": "1"}),
            [
                (
                    f"{ITEM}.max[storage]",
                    'Invalid value: "storage": must be a standard resource for containers',
                )
            ],
        ),
        (
            bounds("example.com/thing", min={"thing": "1"}),
            [
                (
                    f"{ITEM}.min[thing]",
                    'Invalid value: "thing": must be a standard resource type or fully qualified',
                )
            ],
        ),
        (
            bounds("Pod", default={"cpu": "1"}, defaultRequest={"cpu": "1"}),
            [
                (
                    f"{ITEM}.{name}",
                    "Forbidden: may not be specified when `type` is 'Pod'",
                )
                for name in ("default", "defaultRequest")
            ],
        ),
        (
            bounds("PersistentVolumeClaim"),
            [
                (
                    f"{ITEM}.limits",
                    "Required value: either minimum or maximum storage value is required, but "
                    "neither was provided",
                )
            ],
        ),
        (
            bounds("Pod", min={"cpu": "2"}, max={"cpu": "1"}),
            [
                (
                    f"{ITEM}.min[cpu]",
                    'Invalid value: "2": min value 2 is greater than max value 1',
                )
            ],
        ),
        (
            bounds(min={"cpu": "2"}, defaultRequest={"cpu": "1"}, default={"cpu": "3"}),
            [
                (
                    f"{ITEM}.defaultRequest[cpu]",
                    'Invalid value: "1": min value 2 is greater than default request value 1',
                )
            ],
        ),
        (
            bounds(max={"cpu": "2"}, defaultRequest={"cpu": "3"}, default={"cpu": "2"}),
            [
                (
                    f"{ITEM}.defaultRequest[cpu]",
                    'Invalid value: "3": default request value 3 is greater than max value 2',
                ),
                (
                    f"{ITEM}.defaultRequest[cpu]",
                    'Invalid value: "3": default request value 3 is greater than default limit '
                    "value 2",
                ),
            ],
        ),
        (
            bounds(min={"cpu": "2"}, defaultRequest={"cpu": "2"}, default={"cpu": "1"}),
            [
                (
                    f"{ITEM}.defaultRequest[cpu]",
                    'Invalid value: "2": default request value 2 is greater than default limit '
                    "value 1",
                ),
                (
                    f"{ITEM}.default[cpu]",
                    'Invalid value: "2": min value 2 is greater than default value 1',
                ),
            ],
        ),
        (
            bounds(max={"cpu": "2"}, defaultRequest={"cpu": "1"}, default={"cpu": "3"}),
            [
                (
                    f"{ITEM}.default[cpu]",
                    'Invalid value: "2": default value 3 is greater than max value 2',
                )
            ],
        ),
        (
            bounds(maxLimitRequestRatio={"cpu": "800m"}),
            [
                (
                    f"{ITEM}.maxLimitRequestRatio[cpu]",
                    'Invalid value: "800m": ratio 800m is less than 1',
                )
            ],
        ),
        (
            bounds("Pod", min={"cpu": "1"}, max={"cpu": "2"}, maxLimitRequestRatio={"cpu": "3"}),
            [
                (
                    f"{ITEM}.maxLimitRequestRatio[cpu]",
                    'Invalid value: "3": ratio 3 is greater than max/min = 2.000000',
                )
            ],
        ),
        (
            bounds("Pod", min={"cpu": "0"}, max={"cpu": "2"}, maxLimitRequestRatio={"cpu": "3"}),
            [],
        ),
        (  # beyond 64 bits all is the same
            bounds(
                "Pod",
                min={"cpu": "1"},
                max={"cpu": "1" + "0" * 400},
                maxLimitRequestRatio={"cpu": "1" + "0" * 390},
            ),
            [],
        ),
        (
            bounds(defaultRequest={"example.com/gpu": "1"}, default={"example.com/gpu": "2"}),
            [
                (
                    f"{ITEM}.defaultRequest[example.com/gpu]",
                    'Invalid value: "1": default value 2 must equal to defaultRequest value 1 in '
                    "example.com/gpu",
                )
            ],
        ),
    ],
)
def test_limits(item: dict[str, Any], expected: Causes) -> None:
    assert limits(item) == expected


def test_a_type_has_one_item_of_limits() -> None:
    assert limits(bounds("Pod"), bounds("Pod")) == [
        ("spec.limits[1].type", 'Duplicate value: "Pod"')
    ]


def quota(spec: dict[str, Any], old: dict[str, Any] | None = None) -> Causes:
    before = None if old is None else {"spec": old}
    return causes("", "resourcequotas", {"spec": spec}, before)


def matching(scope: str, operator: str, *values: str) -> dict[str, Any]:
    one: dict[str, Any] = {"scopeName": scope, "operator": operator}
    return {"scopeSelector": {"matchExpressions": [{**one, "values": list(values)}]}}


EXPRESSIONS = "spec.scopeSelector.matchExpressions"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {
                "hard": {
                    "cpu": "1",
                    "limits.memory": "1Gi",
                    "count/pods": "5",
                    "requests.hugepages-2Mi": "2Mi",
                    "requests.example.com/gpu": "4",
                }
            },
            [],
        ),
        ({"hard": {"pods": "5"}, "scopes": ["BestEffort"]}, []),
        ({"hard": {"requests.storage": "5"}, "scopes": ["VolumeAttributesClass"]}, []),
        ({"hard": {"count/pods": "5"}, "scopes": ["BestEffort"]}, []),
        (matching("PriorityClass", "In", "high"), []),
        (
            {"hard": {"storage": "1"}},
            [
                (
                    "spec.hard[storage]",
                    'Invalid value: "storage": must be a standard resource for quota',
                )
            ],
        ),
        (
            {"hard": {"pods": "1500m"}},
            [("spec.hard[pods]", 'Invalid value: "1500m": must be an integer')],
        ),
        (
            {"hard": {"cpu": "-1"}},
            [("spec.hard[cpu]", 'Invalid value: "-1": must be greater than or equal to 0')],
        ),
        (
            {"hard": {"cpu": "1", "services": "1"}, "scopes": ["BestEffort"]},
            [
                (
                    "spec.scopes",
                    'Invalid value: ["BestEffort"]: unsupported scope applied to resource',
                )
            ]
            * 2,
        ),
        ({"scopes": ["All"]}, [("spec.scopes", 'Invalid value: ["All"]: unsupported scope')]),
        (
            {"scopes": ["NotTerminating", "Terminating"]},
            [
                (
                    "spec.scopes",
                    'Invalid value: ["NotTerminating","Terminating"]: conflicting scopes',
                )
            ],
        ),
        (
            matching("All", "Exists"),
            [(f"{EXPRESSIONS}.scopeName", 'Invalid value: "All": unsupported scope')],
        ),
        (
            {"hard": {"services": "1"}, **matching("PriorityClass", "Exists")},
            [
                (
                    EXPRESSIONS,
                    'Invalid value: {"MatchExpressions":[{"ScopeName":"PriorityClass",'
                    '"Operator":"Exists","Values":[]}]}: unsupported scope applied to resource',
                )
            ],
        ),
        (
            matching("BestEffort", "In", "a"),
            [
                (
                    f"{EXPRESSIONS}.operator",
                    "Invalid value: \"In\": must be 'Exists' when scope is any of "
                    "ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
                    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                    "ResourceQuotaScopeCrossNamespacePodAffinity",
                )
            ],
        ),
        (
            matching("PriorityClass", "NotIn"),
            [
                (
                    f"{EXPRESSIONS}.values",
                    "Required value: must be at least one value when `operator` is 'In' or "
                    "'NotIn' for scope selector",
                )
            ],
        ),
        (
            matching("PriorityClass", "DoesNotExist", "a"),
            [
                (
                    f"{EXPRESSIONS}.values",
                    "Invalid value: [\"a\"]: must be no value when `operator` is 'Exist' or "
                    "'DoesNotExist' for scope selector",
                )
            ],
        ),
        (
            matching("PriorityClass", "Near"),
            [(f"{EXPRESSIONS}.operator", 'Invalid value: "Near": not a valid selector operator')],
        ),
    ],
)
def test_quotas(spec: dict[str, Any], expected: Causes) -> None:
    assert quota(spec) == expected


def test_selected_scopes_may_conflict_too() -> None:
    both = [{"scopeName": name, "operator": "Exists"} for name in ("BestEffort", "NotBestEffort")]
    assert quota({"scopeSelector": {"matchExpressions": both}}) == [
        (EXPRESSIONS, "Invalid value: null: conflicting scopes")
    ]


def test_the_scopes_of_a_quota_stay() -> None:
    before = {"hard": {"pods": "1"}, "scopes": ["BestEffort", "Terminating"]}
    assert quota({"hard": {"pods": "2"}, "scopes": ["Terminating", "BestEffort"]}, before) == []
    assert quota({"hard": {"pods": "2"}, "scopes": ["BestEffort"]}, before) == [
        ("spec.scopes", f'Invalid value: ["BestEffort"]: {IMMUTABLE}')
    ]


def test_the_status_of_a_quota_holds_amounts() -> None:
    status = {"hard": {"pods": "-1"}, "used": {"thing": "1"}}
    document = {"spec": {"hard": {"storage": "1"}}, "status": status}
    assert causes("", "resourcequotas", document, document, "status") == [
        ("status.hard[pods]", 'Invalid value: "-1": must be greater than or equal to 0'),
        (
            "status.used[thing]",
            'Invalid value: "thing": must be a standard resource type or fully qualified',
        ),
        ("status.used[thing]", 'Invalid value: "thing": must be a standard resource for quota'),
    ]


SCHEDULING = "scheduling.k8s.io"
RESERVED = (
    "Forbidden: priority class names with 'system-' prefix are reserved for system use only. error:"
)


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("high", {"value": 1_000_000_000}, []),
        ("low", {"value": -5, "preemptionPolicy": "Never"}, []),
        ("system-node-critical", {"value": 2_000_001_000}, []),
        ("system-cluster-critical", {"value": 2_000_000_000}, []),
        (
            "high",
            {"value": 1_000_000_001},
            [
                (
                    "value",
                    "Forbidden: maximum allowed value of a user defined priority is 1000000000",
                )
            ],
        ),
        (
            "system-mine",
            {"value": 1},
            [("metadata.name", f"{RESERVED} system-mine is not a known system priority class")],
        ),
        (
            "system-node-critical",
            {"value": 1},
            [
                (
                    "metadata.name",
                    f"{RESERVED} value of system-node-critical PriorityClass must be 2000001000",
                )
            ],
        ),
        (
            "system-cluster-critical",
            {"value": 2_000_000_000, "globalDefault": True},
            [
                (
                    "metadata.name",
                    f"{RESERVED} globalDefault of system-cluster-critical PriorityClass must be "
                    "false",
                )
            ],
        ),
        (
            "high",
            {"value": 1, "preemptionPolicy": "Always"},
            [
                (
                    "preemptionPolicy",
                    'Unsupported value: "Always": supported values: "PreemptLowerPriority", '
                    '"Never"',
                )
            ],
        ),
    ],
)
def test_priority_classes(name: str, fields: dict[str, Any], expected: Causes) -> None:
    document = {"metadata": {"name": name}, **fields}
    assert causes(SCHEDULING, "priorityclasses", document) == expected


def test_a_priority_class_keeps_its_value_and_its_policy() -> None:
    before = {"value": 1}
    changed = {"value": 1, "description": "d", "globalDefault": True}
    assert causes(SCHEDULING, "priorityclasses", changed, before) == []
    changed = {"value": 2, "preemptionPolicy": "Never"}
    assert causes(SCHEDULING, "priorityclasses", changed, before) == [
        ("value", "Forbidden: may not be changed in an update."),
        ("preemptionPolicy", f'Invalid value: "Never": {IMMUTABLE}'),
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": "100%", "selector": {"matchLabels": {"a": "b"}}}, []),
        ({"maxUnavailable": 0, "unhealthyPodEvictionPolicy": "AlwaysAllow"}, []),
        (
            {"minAvailable": 1, "maxUnavailable": 1, "selector": {}},
            [
                (
                    "spec",
                    'Invalid value: {"MinAvailable":1,"Selector":{},"MaxUnavailable":1,'
                    '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot '
                    "be both set",
                )
            ],
        ),
        ({"minAvailable": -1}, [("spec.minAvailable", NEGATIVE)]),
        (
            {"maxUnavailable": "101%"},
            [("spec.maxUnavailable", 'Invalid value: "101%": must not be greater than 100%')],
        ),
        (
            {"maxUnavailable": "half"},
            [
                (
                    "spec.maxUnavailable",
                    'Invalid value: "half": a valid percent string must be a numeric string '
                    "followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation "
                    "is '[0-9]+%')",
                )
            ],
        ),
        (
            {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            [
                (
                    "spec.selector.matchExpressions[0].values",
                    "Required value: must be specified when `operator` is 'In' or 'NotIn'",
                )
            ],
        ),
        (
            {"unhealthyPodEvictionPolicy": "Never"},
            [
                (
                    "spec.unhealthyPodEvictionPolicy",
                    'Unsupported value: "Never": supported values: "AlwaysAllow", '
                    '"IfHealthyBudget"',
                )
            ],
        ),
    ],
)
def test_disruption_budgets(spec: dict[str, Any], expected: Causes) -> None:
    assert causes("policy", "poddisruptionbudgets", {"spec": spec}) == expected


def test_a_budget_may_have_any_path_segment_as_its_name_and_is_named_last() -> None:
    named = {"metadata": {"name": "My_Budget"}, "spec": {"minAvailable": 1}}
    assert causes("policy", "poddisruptionbudgets", named) == []
    badly = {"metadata": {"name": "a%b"}}
    assert causes("policy", "poddisruptionbudgets", badly) == [
        ("metadata.name", "Invalid value: \"a%b\": may not contain '%'")
    ]
    both = {**badly, "spec": {"minAvailable": -1}}
    assert causes("policy", "poddisruptionbudgets", both) == [("spec.minAvailable", NEGATIVE)]


def test_the_status_of_a_budget_has_sound_conditions_and_counts() -> None:
    time = "2024-01-01T00:00:00Z"
    good = {"type": "A", "status": "True", "reason": "R", "message": "", "lastTransitionTime": time}
    bad = {**good, "type": "", "status": "Yes", "reason": "1", "observedGeneration": -1}
    status: dict[str, Any] = {
        "disruptionsAllowed": -1,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
        "conditions": [good, good, bad],
    }
    document = {"spec": {"minAvailable": -1}, "status": status}
    found = causes("policy", "poddisruptionbudgets", document, document, "status")
    assert found == [
        ("status.conditions[1]", 'Duplicate value: "A"'),
        ("status.conditions[2].type", "Required value: is required"),
        (
            "status.conditions[2].status",
            'Unsupported value: "Yes": supported values: "False", "True", "Unknown"',
        ),
        (
            "status.conditions[2].observedGeneration",
            "Invalid value: -1: must be greater than or equal to zero",
        ),
        (
            "status.conditions[2].reason",
            'Invalid value: "1": a condition reason must start with alphabetic character, '
            "optionally followed by a string of alphanumeric characters or '_,:', and must end "
            "with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  "
            "or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is "
            "'[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
        ),
        ("status.disruptionsAllowed", NEGATIVE),
    ]
    status["conditions"] = [{**good, "reason": "R" * 1025, "message": "m" * 32769}]
    status["disruptionsAllowed"] = 0
    assert causes("policy", "poddisruptionbudgets", document, document, "status") == [
        ("status.conditions[0].reason", "Too long: may not be more than 1024 bytes"),
        ("status.conditions[0].message", "Too long: may not be more than 32768 bytes"),
    ]
