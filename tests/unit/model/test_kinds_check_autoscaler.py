"""HorizontalPodAutoscaler: bounds, metrics and behavior."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import NEGATIVE, Causes, causes

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
REQUIRED = "Required value"
AVERAGE = {"type": "AverageValue", "averageValue": "5"}
USE = {"type": "Utilization", "averageUtilization": 50}
VALUE = {"type": "Value", "value": "5"}
NAMED = {"name": "m"}
TYPES = '"ContainerResource", "External", "Object", "Pods", "Resource"'
POLICY = {"type": "Pods", "value": 1, "periodSeconds": 60}
SOUND = [
    {"type": "Resource", "resource": {"name": "cpu", "target": USE}},
    {"type": "Pods", "pods": {"metric": NAMED, "target": AVERAGE}},
    {"type": "External", "external": {"metric": NAMED, "target": VALUE}},
    {
        "type": "Object",
        "object": {"metric": NAMED, "target": VALUE, "describedObject": TARGET},
    },
    {
        "type": "ContainerResource",
        "containerResource": {"name": "memory", "container": "c", "target": AVERAGE},
    },
]


def scaled(old: dict[str, Any] | None = None, **spec: Any) -> Causes:
    base = {"maxReplicas": 2, "scaleTargetRef": TARGET}
    before = None if old is None else {"spec": {**base, **old}}
    new = {"spec": {**base, **spec}}
    return causes("autoscaling", "horizontalpodautoscalers", new, before)


def test_a_sound_autoscaler_passes() -> None:
    behavior = {"scaleUp": {"policies": [POLICY], "tolerance": "0", "selectPolicy": "Min"}}
    assert scaled(metrics=SOUND, behavior=behavior) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"minReplicas": 3},
            [
                (
                    "spec.maxReplicas",
                    "Invalid value: 2: must be greater than or equal to `minReplicas`",
                )
            ],
        ),
        (
            {"maxReplicas": 0},
            [
                (
                    "spec.maxReplicas",
                    "Invalid value: 0: must be greater than or equal to `minReplicas`",
                ),
                ("spec.maxReplicas", REQUIRED),
            ],
        ),
        (
            {"maxReplicas": -1, "minReplicas": -2},
            [
                ("spec.minReplicas", "Invalid value: -2: must be greater than or equal to 0"),
                ("spec.maxReplicas", "Invalid value: -1: must be greater than or equal to 1"),
            ],
        ),
        (
            {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "", "name": "a/b"}},
            [
                ("spec.scaleTargetRef.kind", REQUIRED),
                ("spec.scaleTargetRef.name", "Invalid value: \"a/b\": may not contain '/'"),
            ],
        ),
        (
            {
                "behavior": {
                    "scaleDown": {
                        "stabilizationWindowSeconds": 3601,
                        "selectPolicy": "Mean",
                        "policies": [],
                        "tolerance": "-1",
                    },
                    "scaleUp": {
                        "stabilizationWindowSeconds": -1,
                        "policies": [{"type": "Nodes", "value": 0, "periodSeconds": 1801}],
                    },
                }
            },
            [
                (
                    "spec.behavior.scaleUp.stabilizationWindowSeconds",
                    "Invalid value: -1: must be greater than or equal to zero",
                ),
                (
                    "spec.behavior.scaleUp.policies[0].type",
                    'Unsupported value: "Nodes": supported values: "Percent", "Pods"',
                ),
                (
                    "spec.behavior.scaleUp.policies[0].value",
                    "Invalid value: 0: must be greater than zero",
                ),
                (
                    "spec.behavior.scaleUp.policies[0].periodSeconds",
                    "Invalid value: 1801: must be less than or equal to 1800",
                ),
                (
                    "spec.behavior.scaleDown.stabilizationWindowSeconds",
                    "Invalid value: 3601: must be less than or equal to 3600",
                ),
                (
                    "spec.behavior.scaleDown.selectPolicy",
                    'Unsupported value: "Mean": supported values: "Disabled", "Max", "Min"',
                ),
                (
                    "spec.behavior.scaleDown.policies",
                    f"{REQUIRED}: must specify at least one Policy",
                ),
                (
                    "spec.behavior.scaleDown.tolerance",
                    'Invalid value: "-1": must be greater than or equal to 0',
                ),
            ],
        ),
    ],
)
def test_bounds_and_behavior(spec: dict[str, Any], expected: Causes) -> None:
    assert scaled(**spec) == expected


def test_there_may_be_none_where_a_metric_tells_when_there_must_be_some() -> None:
    assert scaled(minReplicas=0, metrics=[SOUND[2]]) == []
    assert scaled(minReplicas=0, metrics=[SOUND[3]]) == []
    assert scaled(minReplicas=0, metrics=[SOUND[0]]) == [
        (
            "spec.metrics",
            "Forbidden: must specify at least one Object or External metric to support scaling to "
            "zero replicas",
        )
    ]


def versioned(version: str, kind: str = "Deployment") -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "name": "d"}


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        (versioned("apps/v1"), ""),
        (versioned("v1", "ReplicationController"), ""),
        ({"kind": "ReplicationController", "name": "d"}, ""),
        (versioned(""), "apiVersion must specify API group"),
        (versioned("/"), "apiVersion must specify API group"),
        (versioned("v1"), "apiVersion must specify API group"),
        (versioned("a/b/c"), "unexpected GroupVersion string: a/b/c"),
        (
            versioned("a/b/c", "ReplicationController"),
            "unexpected GroupVersion string: a/b/c",
        ),
    ],
)
def test_what_is_scaled_is_of_a_group_unless_its_kind_stays(
    reference: dict[str, Any], problem: str
) -> None:
    where = "spec.scaleTargetRef.apiVersion"
    shown = reference.get("apiVersion", "")
    expected = [(where, f'Invalid value: "{shown}": {problem}')] if problem else []
    assert scaled(scaleTargetRef=reference) == expected
    assert scaled({}, scaleTargetRef=reference) == expected
    assert scaled({"scaleTargetRef": reference}, scaleTargetRef=reference) == []


def test_what_a_metric_describes_may_be_of_the_core_group_alone() -> None:
    def described(version: str) -> list[dict[str, Any]]:
        source = {"metric": NAMED, "target": VALUE, "describedObject": versioned(version)}
        return [{"type": "Object", "object": source}]

    assert scaled(metrics=described("v1")) == []
    assert scaled(metrics=described("")) == []
    problem = [
        (
            "spec.metrics[0].object.describedObject.apiVersion",
            'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        )
    ]
    assert scaled(metrics=described("a/b/c")) == problem
    assert scaled({"metrics": described("v1")}, metrics=described("a/b/c")) == problem
    assert scaled({"metrics": described("d/e/f")}, metrics=described("a/b/c")) == []


EITHER = f"{REQUIRED}: must set either a target raw value or a target utilization"
BOTH_RAW = "Forbidden: may not set both a target raw value and a target utilization"


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (
            {"type": ""},
            [
                ("type", f"{REQUIRED}: must specify a metric source type"),
                ("type", f'Unsupported value: "": supported values: {TYPES}'),
                ("type", f'Unsupported value: "": supported values: {TYPES}'),
            ],
        ),
        (
            {"type": "Pods"},
            [("pods", f"{REQUIRED}: must populate information for the given metric source")],
        ),
        (
            {**SOUND[0], "pods": {"metric": {}, "target": {}}},
            [
                ("pods.metric.name", f"{REQUIRED}: must specify a metric name"),
                ("pods.target.type", f"{REQUIRED}: must specify a metric target type"),
                (
                    "pods.target.type",
                    'Invalid value: "": must be either Utilization, Value, or AverageValue',
                ),
                (
                    "pods.target.averageValue",
                    f"{REQUIRED}: must specify a positive target averageValue",
                ),
                ("pods", "Forbidden: must populate the given metric source only"),
            ],
        ),
        (
            {"type": "Resource", "resource": {"name": "", "target": {"type": "Value"}}},
            [
                ("resource.name", f"{REQUIRED}: must specify a resource name"),
                ("resource.target.averageUtilization", EITHER),
            ],
        ),
        (
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {**AVERAGE, "averageUtilization": 0}},
            },
            [
                (
                    "resource.target.averageUtilization",
                    "Invalid value: 0: must be greater than 0",
                ),
                ("resource.target.averageValue", BOTH_RAW),
            ],
        ),
        (
            {
                "type": "ContainerResource",
                "containerResource": {"name": "storage", "container": "C", "target": USE},
            },
            [
                (
                    "containerResource.name",
                    'Invalid value: "storage": must be a standard resource for containers',
                ),
                (
                    "containerResource.container",
                    'Invalid value: "C": a lowercase RFC 1123 label must consist of lower case '
                    "alphanumeric characters or '-', and must start and end with an alphanumeric "
                    "character (e.g. 'my-name',  or '123-abc', regex used for validation is "
                    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                ),
            ],
        ),
        (
            {
                "type": "ContainerResource",
                "containerResource": {"name": "", "container": "", "target": {"type": "Value"}},
            },
            [
                ("containerResource.name", f"{REQUIRED}: must specify a resource name"),
                ("containerResource.container", f"{REQUIRED}: must specify a container"),
                ("containerResource.target.averageUtilization", EITHER),
            ],
        ),
        (
            {
                "type": "Object",
                "object": {
                    "metric": {"name": "a%"},
                    "target": {"type": "Value"},
                    "describedObject": {"kind": "K", "name": ""},
                },
            },
            [
                ("object.describedObject.name", REQUIRED),
                ("object.metric.name", "Invalid value: \"a%\": may not contain '%'"),
                (
                    "object.target.averageValue",
                    f"{REQUIRED}: must set either a target value or averageValue",
                ),
            ],
        ),
        (
            {"type": "External", "external": {"metric": NAMED, "target": {"type": "Value"}}},
            [
                (
                    "external.target.averageValue",
                    f"{REQUIRED}: must set either a target value for metric or a per-pod target",
                )
            ],
        ),
        (
            {
                "type": "External",
                "external": {
                    "metric": NAMED,
                    "target": {"type": "Value", "value": "0", "averageValue": "-1"},
                },
            },
            [
                ("external.target.value", 'Invalid value: "0": must be positive'),
                ("external.target.averageValue", 'Invalid value: "-1": must be positive'),
                (
                    "external.target.value",
                    "Forbidden: may not set both a target value for metric and a per-pod target",
                ),
            ],
        ),
    ],
)
def test_metrics(metric: dict[str, Any], expected: Causes) -> None:
    found = scaled(metrics=[metric])
    assert [(field.removeprefix("spec.metrics[0]."), text) for field, text in found] == expected


def test_the_counts_of_its_status_are_not_negative() -> None:
    status = {"currentReplicas": -1, "desiredReplicas": -1}
    document = {"spec": {"maxReplicas": 0, "scaleTargetRef": TARGET}, "status": status}
    found = causes("autoscaling", "horizontalpodautoscalers", document, document, "status")
    assert found == [
        ("status.currentReplicas", NEGATIVE),
        ("status.desiredReplicas", NEGATIVE),
    ]
