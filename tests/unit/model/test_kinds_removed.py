"""Removed versions in the model: conversions both ways, and who knows of them."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.model import builtin, schema
from steersman.model.kinds import customresourcedefinition_v1beta1 as definitions
from steersman.model.kinds import ingress_v1beta1

OLD_BACKENDS = [
    ({"serviceName": "a", "servicePort": 80}, {"service": {"name": "a", "port": {"number": 80}}}),
    (
        {"serviceName": "a", "servicePort": "web"},
        {"service": {"name": "a", "port": {"name": "web"}}},
    ),
    ({"resource": {"kind": "K", "name": "n"}}, {"resource": {"kind": "K", "name": "n"}}),
]


def ingress(paths: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    rules = [{"host": "example.com", "http": {"paths": paths}}, {"host": "empty.example.com"}]
    return {"metadata": {"name": "i"}, "spec": {"rules": rules, **spec}, "status": {"a": 1}}


@pytest.mark.parametrize(("old", "new"), OLD_BACKENDS)
def test_a_backend_of_an_ingress_is_converted_both_ways(old: Any, new: Any) -> None:
    before = ingress([{"path": "/", "pathType": "Exact", "backend": old}], backend=old)
    after = ingress([{"path": "/", "pathType": "Exact", "backend": new}], defaultBackend=new)
    assert ingress_v1beta1.to_v1(before) == after
    assert ingress_v1beta1.from_v1(after) == before


def test_a_backend_without_port_or_name_is_told_as_go_tells_it() -> None:
    shown = ingress_v1beta1.from_v1({"spec": {"defaultBackend": {"service": {"name": "a"}}}})
    assert shown == {"spec": {"backend": {"serviceName": "a", "servicePort": 0}}}
    assert ingress_v1beta1.to_v1(shown) == {
        "spec": {"defaultBackend": {"service": {"name": "a", "port": {}}}}
    }
    assert ingress_v1beta1.to_v1({"spec": {"backend": {}}}) == {"spec": {"defaultBackend": {}}}


def test_a_path_without_a_type_is_left_to_the_implementation() -> None:
    made = ingress_v1beta1.to_v1(ingress([{"path": "/"}]))
    assert made["spec"]["rules"][0]["http"]["paths"] == [
        {"pathType": "ImplementationSpecific", "path": "/"}
    ]


def test_conversions_change_nothing_that_they_are_given() -> None:
    given = ingress([{"backend": {"serviceName": "a", "servicePort": 1}}])
    copy = ingress([{"backend": {"serviceName": "a", "servicePort": 1}}])
    ingress_v1beta1.from_v1(ingress_v1beta1.to_v1(given))
    assert given == copy


def removed() -> list[Any]:
    kinds = builtin.Registry(removed=True).all()
    return [(kind, version) for kind in kinds for version in kind.versions if version.gone]


def test_only_the_registry_of_a_server_knows_removed_versions() -> None:
    assert not any(version.gone for kind in builtin.all() for version in kind.versions)
    assert builtin.by_resource("networking.k8s.io", "v1beta1", "ingresses") is None
    assert builtin.by_resource("extensions", "v1beta1", "ingresses") is None
    registry = builtin.Registry(removed=True)
    kind = registry.by_resource("networking.k8s.io", "v1beta1", "ingresses")
    assert kind is not None
    assert [version.name for version in kind.versions] == ["v1", "v1beta1"]


@pytest.mark.parametrize(("kind", "version"), removed(), ids=lambda it: f"{it.name}")
def test_each_removed_version_has_a_definition_and_comes_last(kind: Any, version: Any) -> None:
    node = schema.builtin().definition(version.definition)
    assert {"metadata", "apiVersion", "kind"} <= set(node.fields)
    meant = [(it["group"], it["version"], it["kind"]) for it in node.raw[GVK]]
    assert (kind.group, version.name, kind.name) in meant
    assert version.deprecation.startswith(f"{kind.group}/{version.name} {kind.name} is deprecated")
    assert f"unavailable in v1.{version.gone}+" in version.deprecation
    still = [it for it in kind.versions if not it.gone]
    assert kind.versions[: len(still)] == tuple(still)
    assert kind.stored_with if not still else kind.storage in {it.name for it in still}


GVK = "x-kubernetes-group-version-kind"


def test_resources_of_two_groups_that_show_the_same_objects_are_alike() -> None:
    registry = builtin.Registry(removed=True)
    ours = ("networking.k8s.io", "ingresses")
    assert set(registry.alike(ours)) == {ours, ("extensions", "ingresses")}
    assert registry.alike(("", "pods")) == (("", "pods"),)
    assert set(registry.alike(("", "events"))) == {("", "events"), ("events.k8s.io", "events")}
    assert registry.alike(("example.com", "widgets")) == (("example.com", "widgets"),)


def version_of(api_version: str, plural: str) -> Any:
    group, _, name = api_version.rpartition("/")
    kind = builtin.Registry(removed=True).by_resource(group, name, plural)
    assert kind is not None
    found = kind.version(name)
    assert found is not None
    return found


def converted(api_version: str, plural: str, document: dict[str, Any]) -> Any:
    convert = version_of(api_version, plural).to_storage
    return document if convert is None else convert(document)


def workload(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {}}
    return {"metadata": {"name": "w"}, "spec": {"template": template, **spec}}


@pytest.mark.parametrize("api_version", ["extensions/v1beta1", "apps/v1beta1"])
def test_a_workload_without_a_selector_selects_the_pods_of_its_template(api_version: str) -> None:
    made = converted(api_version, "deployments", workload())
    assert made["spec"]["selector"] == {"matchLabels": {"app": "a"}}
    assert made["metadata"] == {"name": "w", "labels": {"app": "a"}}
    selector = {"matchLabels": {"b": "c"}}
    made = converted(api_version, "deployments", workload(selector=selector))
    assert made["spec"]["selector"] == selector


@pytest.mark.parametrize(
    ("api_version", "plural", "expected"),
    [
        (
            "extensions/v1beta1",
            "deployments",
            {
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1},
                },
                "revisionHistoryLimit": 2**31 - 1,
                "progressDeadlineSeconds": 2**31 - 1,
            },
        ),
        ("apps/v1beta1", "deployments", {"revisionHistoryLimit": 2}),
        ("apps/v1beta2", "deployments", {}),
        ("apps/v1beta1", "statefulsets", {"updateStrategy": {"type": "OnDelete"}}),
        ("extensions/v1beta1", "daemonsets", {"updateStrategy": {"type": "OnDelete"}}),
        ("extensions/v1beta1", "replicasets", {}),
    ],
)
def test_what_an_old_workload_leaves_out_means_what_it_meant(
    api_version: str, plural: str, expected: dict[str, Any]
) -> None:
    made = converted(api_version, plural, workload())["spec"]
    made.pop("template")
    made.pop("selector", None)
    assert made == expected


def test_an_old_strategy_is_completed_by_its_type() -> None:
    def strategy(given: dict[str, Any]) -> Any:
        made = converted("extensions/v1beta1", "deployments", workload(strategy=given))
        return made["spec"]["strategy"]

    bounds = {"maxUnavailable": 1, "maxSurge": 3}
    assert strategy({"rollingUpdate": {"maxSurge": 3}}) == {
        "type": "RollingUpdate",
        "rollingUpdate": bounds,
    }
    assert strategy({"type": "Recreate"}) == {"type": "Recreate"}
    update = {"rollingUpdate": {"maxUnavailable": 2}}
    made = converted("extensions/v1beta1", "daemonsets", workload(updateStrategy=update))
    assert made["spec"]["updateStrategy"] == {"type": "OnDelete", **update}


KEY = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"matchExpressions": [{"key": KEY, "operator": "Exists"}]}),
        ({"matchExpressions": [{"key": KEY, "operator": "DoesNotExist"}]}, {}),
        ({"matchLabels": {"a": "b"}}, {"matchLabels": {"a": "b"}}),
    ],
)
def test_an_empty_selector_of_an_old_budget_selects_no_pod(old: Any, new: Any) -> None:
    version = version_of("policy/v1beta1", "poddisruptionbudgets")
    before, after = {"spec": {"selector": old}}, {"spec": {"selector": new}}
    assert version.to_storage(before) == after
    assert version.from_storage(after) == before
    assert version.to_storage({"spec": {}}) == {"spec": {}}


FLAT = [
    {"type": "Resource", "resource": {"name": "cpu", "targetAverageUtilization": 50}},
    {"type": "Pods", "pods": {"metricName": "m", "targetAverageValue": "5"}},
    {
        "type": "External",
        "external": {"metricName": "m", "metricSelector": {}, "targetValue": "5"},
    },
    {
        "type": "Object",
        "object": {"metricName": "m", "targetValue": "5", "target": {"kind": "K", "name": "n"}},
    },
]


def test_an_autoscaler_of_v2beta1_is_converted_both_ways() -> None:
    version = version_of("autoscaling/v2beta1", "horizontalpodautoscalers")
    old = {"metadata": {"name": "h"}, "spec": {"metrics": FLAT}}
    new = version.to_storage(old)
    assert [metric["type"] for metric in new["spec"]["metrics"]] == [it["type"] for it in FLAT]
    assert new["spec"]["metrics"][0]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 50},
    }
    assert new["spec"]["metrics"][3]["object"] == {
        "describedObject": {"kind": "K", "name": "n"},
        "metric": {"name": "m"},
        "target": {"type": "Value", "value": "5"},
    }
    assert version.from_storage(new) == old


def test_how_fast_an_autoscaler_scales_is_kept_in_an_annotation() -> None:
    version = version_of("autoscaling/v2beta1", "horizontalpodautoscalers")
    behavior = {"scaleUp": {"stabilizationWindowSeconds": 3}}
    new = {"metadata": {"name": "h", "annotations": {"a": "b"}}, "spec": {"behavior": behavior}}
    old = version.from_storage(new)
    assert old["spec"] == {}
    assert set(old["metadata"]["annotations"]) == {
        "a",
        "autoscaling.alpha.kubernetes.io/behavior",
    }
    assert version.to_storage(old) == new


COLUMN = {"name": "Size", "type": "integer", "JSONPath": ".spec.size"}
PROPERTIES = {"spec": {"properties": {"size": {"type": "integer"}}}}


def definition(**spec: Any) -> Any:
    names = {"plural": "widgets", "kind": "Widget"}
    version = version_of("apiextensions.k8s.io/v1beta1", "customresourcedefinitions")
    document = {"metadata": {}, "spec": {"group": "example.com", "names": names, **spec}}
    return version.to_storage(document)["spec"], version.from_storage


def test_what_an_old_definition_says_once_is_said_for_each_version() -> None:
    versions = [
        {"name": "v2", "served": True, "storage": True},
        {"name": "v1", "served": True, "storage": False, "schema": {"openAPIV3Schema": {}}},
    ]
    spec, from_storage = definition(
        version="v2",
        versions=versions,
        validation={"openAPIV3Schema": {"properties": PROPERTIES}},
        subresources={"status": {}},
        additionalPrinterColumns=[COLUMN],
        preserveUnknownFields=False,
    )
    inner = {"type": "object", "properties": {"size": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": inner}}
    column = {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
    shared = {"subresources": {"status": {}}, "additionalPrinterColumns": [column]}
    assert spec["versions"] == [
        {**versions[0], **shared, "schema": {"openAPIV3Schema": schema}},
        {**versions[1], **shared, "schema": {"openAPIV3Schema": {"type": "object"}}},
    ]
    assert spec["scope"] == "Namespaced"
    assert "version" not in spec and "preserveUnknownFields" not in spec
    shown = from_storage({"spec": spec})["spec"]
    assert shown["version"] == "v2"
    assert shown["additionalPrinterColumns"] == [COLUMN]
    assert shown["subresources"] == {"status": {}}
    assert "validation" not in shown, "the schemas differ"
    assert shown["preserveUnknownFields"] is False


def test_an_old_definition_of_one_version_keeps_unknown_fields() -> None:
    spec, from_storage = definition(
        version="v1", validation={"openAPIV3Schema": {"properties": PROPERTIES}}
    )
    (version,) = spec["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1", True, True)
    keep = {"x-kubernetes-preserve-unknown-fields": True}
    assert version["schema"]["openAPIV3Schema"] == {
        "type": "object",
        "properties": {"spec": {**PROPERTIES["spec"], "type": "object", **keep}},
        **keep,
    }
    assert from_storage({"spec": spec})["spec"]["validation"] == version["schema"]
    spec, _ = definition(version="v1")
    assert spec["versions"][0]["schema"] == {"openAPIV3Schema": {"type": "object", **keep}}


def test_a_conversion_webhook_of_an_old_definition_is_converted_both_ways() -> None:
    client = {"url": "https://example.com"}
    old = {"strategy": "Webhook", "webhookClientConfig": client}
    spec, from_storage = definition(version="v1", conversion=old)
    webhook = {"clientConfig": client, "conversionReviewVersions": ["v1beta1"]}
    assert spec["conversion"] == {"strategy": "Webhook", "webhook": webhook}
    shown = from_storage({"spec": spec})["spec"]
    assert shown["conversion"] == {**old, "conversionReviewVersions": ["v1beta1"]}
    spec, _ = definition(version="v1", conversion={"strategy": "None"})
    assert spec["conversion"] == {"strategy": "None"}


NONE_MEANT = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"


def test_no_shares_in_v1beta3_are_the_default_unless_they_are_meant() -> None:
    version = version_of("flowcontrol.apiserver.k8s.io/v1beta3", "prioritylevelconfigurations")
    none = {"limited": {"nominalConcurrencyShares": 0, "lendablePercent": 1}}
    made = version.to_storage({"metadata": {"name": "p"}, "spec": none})
    assert made["spec"] == {"limited": {"lendablePercent": 1}}
    new = {"metadata": {"name": "p", "annotations": {"a": "b"}}, "spec": none}
    old = version.from_storage(new)
    assert old["metadata"]["annotations"] == {"a": "b", NONE_MEANT: ""}
    assert version.to_storage(old) == new
    some = {"metadata": {"name": "p"}, "spec": {"limited": {"nominalConcurrencyShares": 3}}}
    assert version.to_storage(some) == some
    assert version.from_storage(some) == some


@pytest.mark.parametrize("text", ["3", "[3]", "{", '{"a": 1}', '[{"type": 3}]', "null"])
def test_an_annotation_that_holds_no_metrics_is_dropped(text: str) -> None:
    version = builtin.registry().by_resource("autoscaling", "v1", "horizontalpodautoscalers")
    assert version is not None
    to_v2 = version.versions[1].to_storage
    assert to_v2 is not None
    name = "autoscaling.alpha.kubernetes.io/metrics"
    made = to_v2({"metadata": {"name": "h", "annotations": {name: text}}, "spec": {}})
    assert made["spec"] == {}
    assert made["metadata"] == {"name": "h"}


def test_what_went_with_1_16_is_described_under_its_own_names() -> None:
    known = schema.earlier()
    spec = known["io.k8s.api.apps.v1beta1.DeploymentSpec"]
    assert spec["required"] == ["template"]
    strategy = spec["properties"]["strategy"]["$ref"]
    assert strategy == "io.k8s.api.apps.v1beta1.DeploymentStrategy"
    assert strategy in known
    template = spec["properties"]["template"]["$ref"]
    assert template == "io.k8s.api.core.v1.PodTemplateSpec"
    assert "selector" in known["io.k8s.api.apps.v1beta2.DeploymentSpec"]["required"]
    policy = known["io.k8s.api.extensions.v1beta1.NetworkPolicy"]
    assert policy[GVK] == [{"group": "extensions", "kind": "NetworkPolicy", "version": "v1beta1"}]
    assert not set(known) & set(schema.builtin().shapes)


def test_what_is_no_spec_is_left_alone_by_every_conversion() -> None:
    document = {"metadata": {"name": "x"}}
    for convert in (ingress_v1beta1.to_v1, ingress_v1beta1.from_v1, definitions.to_v1,
                    definitions.from_v1):  # fmt: skip
        assert convert(document) == document


@pytest.mark.parametrize(
    ("port", "service"),
    [
        ({"serviceName": "", "servicePort": 0}, None),
        ({"serviceName": "a", "servicePort": 0}, {"name": "a", "port": {}}),
        ({"serviceName": "a", "servicePort": ""}, {"name": "a", "port": {}}),
        ({"serviceName": "", "servicePort": 80}, {"name": "", "port": {"number": 80}}),
        ({"servicePort": "web"}, {"name": "", "port": {"name": "web"}}),
    ],
)
def test_a_backend_names_a_service_where_it_has_a_name_or_a_port(port: Any, service: Any) -> None:
    made = ingress_v1beta1.to_v1({"spec": {"backend": port}})["spec"]["defaultBackend"]
    assert made == ({} if service is None else {"service": service})


def test_a_rule_without_paths_is_kept() -> None:
    document = {"spec": {"rules": [{"host": "h", "http": {}}, {"http": {"paths": [{}]}}]}}
    assert ingress_v1beta1.from_v1(document) == document
    made = ingress_v1beta1.to_v1(document)["spec"]["rules"]
    assert made[0] == {"host": "h", "http": {}}
    assert made[1]["http"]["paths"] == [{"pathType": "ImplementationSpecific"}]


KEEP = {"x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("schema", "plain", "kept"),
    [
        ({"properties": {}}, {"type": "object", "properties": {}},
         {"type": "object", "properties": {}, **KEEP}),
        ({"items": {"properties": {}}},
         {"type": "array", "items": {"type": "object", "properties": {}}},
         {"type": "array", "items": {"type": "object", "properties": {}, **KEEP}}),
        ({"additionalProperties": {"type": "string"}},
         {"type": "object", "additionalProperties": {"type": "string"}},
         {"type": "object", "additionalProperties": {"type": "string"}}),
        ({"x-kubernetes-int-or-string": True, "items": {}},
         {"x-kubernetes-int-or-string": True, "items": {}},
         {"x-kubernetes-int-or-string": True, "items": {}}),
        ({"type": "string"}, {"type": "string"}, {"type": "string"}),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": False},
         {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
         {"type": "object", "x-kubernetes-preserve-unknown-fields": False}),
        ({}, {}, {}),
        (True, True, True),
    ],
)  # fmt: skip
def test_a_schema_gets_the_types_that_it_implies(schema: Any, plain: Any, kept: Any) -> None:
    assert definitions.typed(schema, False) == plain
    assert definitions.typed(schema, True) == kept


def test_what_versions_share_is_said_once_and_what_they_do_not_is_said_for_each() -> None:
    one = {"name": "v1", "subresources": {"status": {}}, "schema": {"s": 1}}
    two = {"name": "v2", "subresources": {}, "schema": {"s": 1}}
    document = {"spec": {"versions": [one, two], "preserveUnknownFields": True}}
    spec = definitions.from_v1(document)["spec"]
    assert spec == {
        "version": "v1",
        "validation": {"s": 1},
        "versions": [
            {"name": "v1", "subresources": {"status": {}}},
            {"name": "v2", "subresources": {}},
        ],
        "preserveUnknownFields": True,
    }
    assert definitions.from_v1({"spec": {}})["spec"] == {
        "versions": [],
        "preserveUnknownFields": False,
    }
    assert document["spec"]["versions"] == [one, two]


def test_a_webhook_says_which_reviews_it_takes_or_takes_the_old_ones() -> None:
    spec, _ = definition(
        version="v1", conversion={"strategy": "Webhook", "conversionReviewVersions": ["v1"]}
    )
    webhook = {"conversionReviewVersions": ["v1"]}
    assert spec["conversion"] == {"strategy": "Webhook", "webhook": webhook}
    spec, _ = definition(
        version="v1", conversion={"strategy": "None", "webhookClientConfig": {"url": "u"}}
    )
    assert spec["conversion"] == {"strategy": "None"}
    spec, _ = definition(version="v1", scope="Cluster")
    assert spec["scope"] == "Cluster"


def test_the_present_metrics_of_an_old_autoscaler_are_converted_too() -> None:
    version = version_of("autoscaling/v2beta1", "horizontalpodautoscalers")
    flat = {"type": "Resource", "resource": {"name": "cpu", "currentAverageUtilization": 5}}
    deep = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 5}}}
    old = {"metadata": {"name": "h"}, "status": {"currentMetrics": [flat], "x": 1}}
    new = {"metadata": {"name": "h"}, "status": {"currentMetrics": [deep], "x": 1}}
    assert version.to_storage(old) == new
    assert version.from_storage(new) == old
