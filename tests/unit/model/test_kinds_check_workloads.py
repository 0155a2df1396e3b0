"""Workloads of apps: strategies as upstream shows them, what a stateful set says of its service and
its claims, what stays as it is, and the templates of a DaemonSet."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.checked import Causes, admitted, causes, kind_of

from steersman.model.errors import BadRequest
from steersman.model.types.workload_check import check_not_over, is_zero

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {"containers": [{"name": "a", "image": "i"}]},
}
WORKLOAD = {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
GENERATION = "deprecated.daemonset.template.generation"


def claimed(*specs: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"metadata": {"name": f"c{at}"}, "spec": spec} for at, spec in enumerate(specs)]


def stateful(old: dict[str, Any] | None = None, **spec: Any) -> Causes:
    before = None if old is None else {"spec": {**WORKLOAD, **old}}
    return causes("apps", "statefulsets", {"spec": {**WORKLOAD, **spec}}, before)


@pytest.mark.parametrize(
    ("plural", "field", "rolling", "shown"),
    [
        ("deployments", "strategy", {"maxSurge": 1}, '{"MaxUnavailable":0,"MaxSurge":1}'),
        ("daemonsets", "updateStrategy", {"maxSurge": 1}, '{"MaxUnavailable":0,"MaxSurge":1}'),
        (
            "statefulsets",
            "updateStrategy",
            {"partition": 2},
            '{"Partition":2,"MaxUnavailable":null}',
        ),
    ],
)
def test_a_strategy_of_no_type_is_shown_whole(
    plural: str, field: str, rolling: dict[str, Any], shown: str
) -> None:
    spec = {**WORKLOAD, field: {"type": "Wave", "rollingUpdate": rolling}}
    ((path, message),) = causes("apps", plural, {"spec": spec})
    assert path == f"spec.{field}"
    assert f'{{"Type":"Wave","RollingUpdate":{shown}}}: ' in message


def test_a_text_that_is_no_percentage_counts_as_nothing() -> None:
    strategy = {"rollingUpdate": {"maxUnavailable": "x", "maxSurge": "0%"}}
    found = causes("apps", "deployments", {"spec": {**WORKLOAD, "strategy": strategy}})
    assert [message.rpartition(": ")[2] for _field, message in found][1:] == [
        "may not be 0 when `maxSurge` is 0"
    ]
    found = causes("apps", "daemonsets", {"spec": {**WORKLOAD, "updateStrategy": strategy}})
    assert found[1:] == [
        (
            "spec.updateStrategy.rollingUpdate.maxUnavailable",
            "Required value: cannot be 0 when maxSurge is 0",
        )
    ]
    assert [is_zero(value) for value in ("3", "-1", "10%", 1)] == [False] * 4
    assert [is_zero(value) for value in ("0", "000%", "", 0, None)] == [True] * 5
    assert len(list(check_not_over("9" * 5000 + "%", "p"))) == 1


def test_what_governs_a_stateful_set_is_a_label_when_it_is_new() -> None:
    assert stateful(serviceName="a-b") == []
    assert stateful(serviceName="A_b") == [("spec.serviceName", f'Invalid value: "A_b": {LABEL}')]
    assert stateful({"serviceName": "A_b"}, serviceName="A_b", replicas=3) == []


def test_the_claims_of_a_new_stateful_set_are_checked() -> None:
    assert stateful(volumeClaimTemplates=claimed(CLAIM)) == []
    path = "spec.volumeClaimTemplates[1].spec"
    bad = claimed(CLAIM, {"storageClassName": "A"})
    found = stateful(volumeClaimTemplates=bad, replicas=-1)
    assert [field for field, _message in found] == [
        f"{path}.accessModes",
        f"{path}.resources[storage]",
        f"{path}.storageClassName",
        "spec.replicas",
    ]
    assert found[:2] == [
        (f"{path}.accessModes", "Required value: at least 1 access mode is required"),
        (f"{path}.resources[storage]", "Required value"),
    ]
    assert stateful({"volumeClaimTemplates": bad}, volumeClaimTemplates=bad) == []


def test_a_template_that_was_no_good_before_does_not_hold_up_a_stateful_set() -> None:
    empty = {**TEMPLATE, "spec": {}}
    assert stateful(template=empty) == [("spec.template.spec.containers", "Required value")]
    assert stateful({}, template=empty) == [("spec.template.spec.containers", "Required value")]
    assert stateful({"template": empty}, template=empty, replicas=3) == []
    labels = {"app": "a", "b": "no label"}
    named = {"metadata": {"labels": labels}, "spec": {}}
    found = stateful({"template": empty}, template=named)
    assert [field for field, _message in found] == ["spec.template.labels"]


def test_both_retentions_of_a_stateful_set_are_named_in_order() -> None:
    policy = {"whenScaled": "Never", "whenDeleted": "Now"}
    path = "spec.persistentVolumeClaimRetentionPolicy"
    supported = 'supported values: "Retain", "Delete"'
    assert stateful(persistentVolumeClaimRetentionPolicy=policy) == [
        (f"{path}.whenDeleted", f'Unsupported value: "Now": {supported}'),
        (f"{path}.whenScaled", f'Unsupported value: "Never": {supported}'),
    ]


@pytest.mark.parametrize(
    ("plural", "whole"),
    [
        ("statefulsets", ""),
        ("deployments", "invalid label selector"),
        ("replicasets", "invalid label selector"),
        ("daemonsets", None),
    ],
)
def test_a_selector_that_is_none_is_told_as_a_whole_too(plural: str, whole: str | None) -> None:
    selector = {"matchExpressions": [{"key": "a", "operator": "In"}]}
    found = causes("apps", plural, {"spec": {**WORKLOAD, "selector": selector}})
    lacks = "must be specified when `operator` is 'In' or 'NotIn'"
    shown = '{"matchExpressions":[{"key":"a","operator":"In"}]}'
    assert found == [
        ("spec.selector.matchExpressions[0].values", f"Required value: {lacks}"),
        *([] if whole is None else [("spec.selector", f"Invalid value: {shown}: {whole}")]),
    ]


def counted(new: dict[str, Any], old: dict[str, Any] | None, subresource: str = "") -> str:
    kind = kind_of("apps", "daemonsets")
    before = None if old is None else admitted(kind, old)
    made = kind.prepare(admitted(kind, new), before, subresource)
    annotations: dict[str, str] = made["metadata"]["annotations"]
    return annotations[GENERATION]


def daemon(number: str | None = None, image: str = "i") -> dict[str, Any]:
    spec = copy.deepcopy(WORKLOAD)
    spec["template"]["spec"]["containers"][0]["image"] = image
    annotations = {} if number is None else {GENERATION: number}
    return {"metadata": {"annotations": annotations}, "spec": spec}


def test_a_daemon_set_counts_its_templates_in_an_annotation() -> None:
    assert counted(daemon(), None) == "1"
    assert counted(daemon("-4"), None) == "1"
    assert counted(daemon("7"), None) == "7"
    assert counted(daemon(), daemon("7")) == "7"
    assert counted(daemon("9"), daemon("7")) == "7"
    assert counted(daemon(image="j"), daemon("7")) == "8"
    assert counted(daemon("9"), daemon("7"), "status") == "7"
    assert counted(daemon(image="j"), daemon()) == "1"


def test_a_count_of_templates_that_is_no_number_is_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        counted(daemon("x"), None)
    assert str(refused.value) == (
        'DaemonSet in version "v1" cannot be handled as a DaemonSet: strconv.ParseInt: parsing '
        '"x": invalid syntax'
    )
    for image in ("i", "j"):
        with pytest.raises(BadRequest):
            counted(daemon("1_0", image=image), daemon("7"))


def test_claims_of_a_stateful_set_from_before_they_said_what_they_are_are_the_same() -> None:
    kind = kind_of("apps", "statefulsets")
    new = admitted(kind, {"spec": {**WORKLOAD, "volumeClaimTemplates": claimed(CLAIM)}})
    old = copy.deepcopy(new)
    for name in ("apiVersion", "kind", "status"):
        del old["spec"]["volumeClaimTemplates"][0][name]
    assert list(kind.check(new, old, "")) == []
    old["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] = "d"
    assert [cause.field for cause in kind.check(new, old, "")] == ["spec"]


@pytest.mark.parametrize("plural", ["deployments", "replicasets"])
def test_there_are_no_fewer_than_no_pods_that_end(plural: str) -> None:
    document = {"spec": WORKLOAD, "status": {"terminatingReplicas": -1}}
    assert causes("apps", plural, document, document, "status") == [
        ("status.terminatingReplicas", "Invalid value: -1: must be greater than or equal to 0")
    ]
