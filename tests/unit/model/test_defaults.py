"""Defaults: whole documents as upstream completes them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steersman.model import decode, defaults, schema

CONTAINER = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "IfNotPresent",
    "resources": {},
}
POD_SPEC = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}


def admit(definition: str, document: dict[str, Any]) -> dict[str, Any]:
    admitted = decode.admit(definition, document, "Kind", "v1")
    assert admitted.unknown == ()
    return admitted.document


def core(name: str, document: dict[str, Any]) -> dict[str, Any]:
    return admit(f"io.k8s.api.core.v1.{name}", document)


def container(**fields: Any) -> dict[str, Any]:
    return core("Container", fields)


def test_every_default_names_a_field_of_its_definition() -> None:
    for name, found in defaults.definitions().items():
        node = schema.builtin().definition(name)
        for field in (*found.zero, *found.unset):
            assert field in node.fields, (name, field)


def test_a_bare_pod_gets_upstreams_defaults() -> None:
    given = {"spec": {"containers": [{"name": "a", "image": "nginx:1.14.2"}]}}
    assert core("Pod", given) == {
        "spec": {
            **POD_SPEC,
            "enableServiceLinks": True,
            "containers": [{"name": "a", "image": "nginx:1.14.2", **CONTAINER}],
        }
    }


def test_what_a_client_gives_is_kept() -> None:
    given = {
        "spec": {
            "dnsPolicy": "Default",
            "restartPolicy": "Never",
            "schedulerName": "mine",
            "securityContext": {"runAsUser": 1},
            "terminationGracePeriodSeconds": 0,
            "enableServiceLinks": False,
            "containers": [
                {
                    "name": "a",
                    "image": "nginx",
                    "imagePullPolicy": "Never",
                    "terminationMessagePath": "/tmp/x",
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                }
            ],
        }
    }
    assert core("Pod", copy.deepcopy(given)) == given


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.14.2", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:" + "a" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "a" * 64, "Always"),
        ("", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert container(image=image)["imagePullPolicy"] == policy


def test_an_empty_text_counts_as_absent() -> None:
    spec = core("PodSpec", {"dnsPolicy": "", "restartPolicy": ""})
    assert spec == POD_SPEC


def test_a_pods_requests_default_to_its_limits_and_a_templates_do_not() -> None:
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    given = {"spec": {"containers": [{"name": "a", "resources": dict(resources)}]}}
    found = core("Pod", given)["spec"]["containers"][0]["resources"]
    assert found["requests"] == {"cpu": "500m", "memory": "1Gi"}
    given = {"spec": {"initContainers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}]}}
    found = core("Pod", given)["spec"]["initContainers"][0]["resources"]
    assert found == {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    given = {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}]}}
    found = core("PodTemplateSpec", given)["spec"]["containers"][0]["resources"]
    assert found == {"limits": {"cpu": "1"}}


def test_pod_level_requests_follow_the_containers_then_the_limits() -> None:
    given = {
        "spec": {
            "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "300m"}}},
                {"name": "b", "resources": {"requests": {"cpu": "200m"}}},
            ],
        }
    }
    found = core("Pod", given)["spec"]["resources"]
    assert found["requests"] == {"cpu": "500m", "memory": "1Gi"}


def test_pod_level_limits_of_huge_pages_follow_the_containers() -> None:
    def whole(**resources: Any) -> Any:
        pages = {"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}}
        containers = [{"name": name, "resources": copy.deepcopy(pages)} for name in "ab"]
        given = {"spec": {"resources": resources, "containers": containers}}
        return core("Pod", given)["spec"]["resources"]

    assert whole() == {}
    assert whole(requests={"cpu": "3"}) == {
        "requests": {"cpu": "3", "hugepages-2Mi": "8Mi"},
        "limits": {"hugepages-2Mi": "8Mi"},
    }
    assert whole(limits={"cpu": "3", "hugepages-2Mi": "16Mi"}) == {
        "requests": {"cpu": "2", "hugepages-2Mi": "16Mi"},
        "limits": {"cpu": "3", "hugepages-2Mi": "16Mi"},
    }
    asked = {"requests": {"hugepages-2Mi": "8Mi"}}
    assert whole(**copy.deepcopy(asked)) == asked


@pytest.mark.parametrize(
    ("given", "kept"),
    [("0.0001", "1m"), ("1.00001", "1001m"), ("-0.1m", "-1m"), ("1500u", "2m"), ("1.5", "1500m")],
)
def test_amounts_of_resources_are_rounded_up_to_thousandths(given: str, kept: str) -> None:
    resources = {"requests": {"cpu": given}}
    for name in ("Container", "EphemeralContainer"):
        found = core(name, {"resources": copy.deepcopy(resources)})
        assert found["resources"]["requests"] == {"cpu": kept}
    assert core("ResourceQuotaSpec", {"hard": {"cpu": given}}) == {"hard": {"cpu": kept}}
    overhead = admit("io.k8s.api.node.v1.Overhead", {"podFixed": {"cpu": given}})
    assert overhead == {"podFixed": {"cpu": kept}}


def test_amounts_that_are_no_list_of_resources_are_kept_as_they_are() -> None:
    assert core("EmptyDirVolumeSource", {"sizeLimit": "1500u"}) == {"sizeLimit": "1500u"}
    asked = {"requests": {"a": "1500u"}}
    assert admit("io.k8s.api.resource.v1.CapacityRequirements", dict(asked)) == asked


def test_host_ports_follow_container_ports_on_the_hosts_network() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]
    given = {"spec": {"hostNetwork": True, "containers": [{"name": "a", "ports": ports}]}}
    found = core("Pod", given)["spec"]["containers"][0]["ports"]
    assert [port["hostPort"] for port in found] == [80, 8081]
    given = {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}}
    found = core("Pod", given)["spec"]["containers"][0]["ports"]
    assert found == [{"containerPort": 80, "protocol": "TCP"}]


def test_probes_and_their_actions_are_completed() -> None:
    assert core("Probe", {"httpGet": {"port": 80}, "timeoutSeconds": 0}) == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert core("GRPCAction", {"port": 1}) == {"port": 1, "service": ""}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": "a"}, {"name": "a", "emptyDir": {}}),
        ({"name": "a", "secret": {}}, {"name": "a", "secret": {"defaultMode": 420}}),
        ({"name": "a", "configMap": {}}, {"name": "a", "configMap": {"defaultMode": 420}}),
        ({"name": "a", "downwardAPI": {}}, {"name": "a", "downwardAPI": {"defaultMode": 420}}),
        (
            {"name": "a", "hostPath": {"path": "/"}},
            {"name": "a", "hostPath": {"path": "/", "type": ""}},
        ),
        (
            {"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "name": "a",
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                },
            },
        ),
        (
            {"name": "a", "image": {"reference": "x:1"}},
            {"name": "a", "image": {"reference": "x:1", "pullPolicy": "IfNotPresent"}},
        ),
    ],
)
def test_volumes_are_completed(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert core("Volume", given) == expected


def test_a_deployment_rolls_by_quarters() -> None:
    found = admit("io.k8s.api.apps.v1.DeploymentSpec", {"template": {"spec": {"containers": []}}})
    assert found == {
        "replicas": 1,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
        },
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "template": {"metadata": {}, "spec": {**POD_SPEC, "containers": []}},
    }


def test_a_given_strategy_is_completed_and_recreate_stays_bare() -> None:
    definition = "io.k8s.api.apps.v1.DeploymentSpec"
    given = {"replicas": 0, "strategy": {"rollingUpdate": {"maxSurge": 1}}}
    found = admit(definition, given)
    assert found["replicas"] == 0
    assert found["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 1},
    }
    assert admit(definition, {"strategy": {"type": "Recreate"}})["strategy"] == {"type": "Recreate"}


def test_two_documents_do_not_share_their_defaults() -> None:
    definition = "io.k8s.api.apps.v1.DeploymentSpec"
    first, second = admit(definition, {}), admit(definition, {})
    first["strategy"]["rollingUpdate"]["maxSurge"] = 5
    assert second["strategy"]["rollingUpdate"]["maxSurge"] == "25%"
    driver = "io.k8s.api.storage.v1.CSIDriverSpec"
    admit(driver, {})["volumeLifecycleModes"].append("Ephemeral")
    assert admit(driver, {})["volumeLifecycleModes"] == ["Persistent"]


def template() -> dict[str, Any]:
    return core("PodTemplateSpec", {})


def test_the_other_workloads() -> None:
    replica_set = admit("io.k8s.api.apps.v1.ReplicaSetSpec", {})
    assert replica_set == {"replicas": 1, "template": template()}
    assert admit("io.k8s.api.apps.v1.DaemonSetSpec", {}) == {
        "template": template(),
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
        },
        "revisionHistoryLimit": 10,
    }
    assert admit("io.k8s.api.apps.v1.StatefulSetSpec", {}) == {
        "template": template(),
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    }
    strategy = {"updateStrategy": {"type": "RollingUpdate"}}
    found = admit("io.k8s.api.apps.v1.StatefulSetSpec", strategy)
    assert found["updateStrategy"] == {"type": "RollingUpdate"}


JOB = {
    "backoffLimit": 6,
    "completionMode": "NonIndexed",
    "suspend": False,
    "manualSelector": False,
    "podReplacementPolicy": "TerminatingOrFailed",
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {**JOB, "completions": 1, "parallelism": 1}),
        ({"parallelism": 2}, {**JOB, "parallelism": 2}),
        ({"completions": 2}, {**JOB, "completions": 2, "parallelism": 1}),
        (
            {"backoffLimitPerIndex": 1},
            {
                **JOB,
                "completions": 1,
                "parallelism": 1,
                "backoffLimit": 2147483647,
                "backoffLimitPerIndex": 1,
            },
        ),
    ],
)
def test_a_job_runs_once(given: dict[str, Any], expected: dict[str, Any]) -> None:
    found = admit("io.k8s.api.batch.v1.Job", {"spec": given})
    assert found["spec"] == {**expected, "template": template()}


def test_a_job_is_labelled_like_its_pods() -> None:
    labels = {"app": "a"}
    given = {"spec": {"template": {"metadata": {"labels": labels}}}}
    assert admit("io.k8s.api.batch.v1.Job", given)["metadata"]["labels"] == labels
    given = {
        "metadata": {"labels": {"b": "c"}},
        "spec": {"template": {"metadata": {"labels": labels}}},
    }
    assert admit("io.k8s.api.batch.v1.Job", given)["metadata"]["labels"] == {"b": "c"}


def test_the_jobs_of_a_cron_job_are_completed_when_they_are_made() -> None:
    found = admit("io.k8s.api.batch.v1.CronJobSpec", {"jobTemplate": {"spec": {}}})
    assert found["jobTemplate"]["spec"] == {"template": template()}


def test_the_claims_of_a_stateful_set_say_what_they_are() -> None:
    claims = [{"metadata": {"name": "a"}, "kind": "Claim"}]
    found = admit("io.k8s.api.apps.v1.StatefulSetSpec", {"volumeClaimTemplates": claims})
    assert found["volumeClaimTemplates"] == [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "a"},
            "spec": {"volumeMode": "Filesystem", "resources": {}},
            "status": {"phase": "Pending"},
        }
    ]


def test_a_cron_job() -> None:
    assert admit("io.k8s.api.batch.v1.CronJobSpec", {"schedule": "* * * * *"}) == {
        "schedule": "* * * * *",
        "jobTemplate": admit("io.k8s.api.batch.v1.JobTemplateSpec", {}),
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }


CLUSTER_IP = {
    "type": "ClusterIP",
    "sessionAffinity": "None",
    "internalTrafficPolicy": "Cluster",
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, CLUSTER_IP),
        (
            {"ports": [{"port": 80}, {"port": 81, "targetPort": "http", "protocol": "UDP"}]},
            {
                **CLUSTER_IP,
                "ports": [
                    {"port": 80, "protocol": "TCP", "targetPort": 80},
                    {"port": 81, "protocol": "UDP", "targetPort": "http"},
                ],
            },
        ),
        (
            {"sessionAffinity": "ClientIP"},
            {
                **CLUSTER_IP,
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
            },
        ),
        (
            {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}},
            CLUSTER_IP,
        ),
        (
            {"type": "NodePort"},
            {**CLUSTER_IP, "type": "NodePort", "externalTrafficPolicy": "Cluster"},
        ),
        (
            {"type": "LoadBalancer"},
            {
                **CLUSTER_IP,
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Cluster",
                "allocateLoadBalancerNodePorts": True,
            },
        ),
        (
            {"externalIPs": ["1.2.3.4"]},
            {**CLUSTER_IP, "externalIPs": ["1.2.3.4"], "externalTrafficPolicy": "Cluster"},
        ),
        (
            {"type": "ExternalName", "externalName": "a.b"},
            {"type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"},
        ),
    ],
)
def test_services_are_completed_by_their_type(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert core("ServiceSpec", given) == expected


def test_a_namespace_is_labelled_with_its_name() -> None:
    found = core("Namespace", {"metadata": {"name": "a"}})
    assert found["metadata"] == {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}}
    found = core("Namespace", {"metadata": {"generateName": "a"}})
    assert found["metadata"] == {"generateName": "a"}


@pytest.mark.parametrize(
    ("definition", "given", "expected"),
    [
        ("core.v1.Secret", {}, {"type": "Opaque"}),
        ("core.v1.ConfigMap", {}, {}),
        (
            "core.v1.NodeStatus",
            {"capacity": {"cpu": "1"}},
            {"capacity": {"cpu": "1"}, "allocatable": {"cpu": "1"}},
        ),
        ("core.v1.EndpointPort", {"port": 1}, {"port": 1, "protocol": "TCP"}),
        ("discovery.v1.EndpointPort", {"port": 1}, {"port": 1, "protocol": "TCP", "name": ""}),
        (
            "core.v1.LimitRangeItem",
            {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1"}},
            {
                "type": "Container",
                "max": {"cpu": "2"},
                "min": {"cpu": "1", "memory": "1"},
                "default": {"cpu": "2"},
                "defaultRequest": {"cpu": "2", "memory": "1"},
            },
        ),
        ("core.v1.LimitRangeItem", {"type": "Pod"}, {"type": "Pod"}),
        (
            "rbac.v1.RoleBinding",
            {
                "roleRef": {"kind": "Role", "name": "a"},
                "subjects": [
                    {"kind": "User", "name": "a"},
                    {"kind": "ServiceAccount", "name": "b"},
                ],
            },
            {
                "roleRef": {
                    "kind": "Role",
                    "name": "a",
                    "apiGroup": "rbac.authorization.k8s.io",
                },
                "subjects": [
                    {"kind": "User", "name": "a", "apiGroup": "rbac.authorization.k8s.io"},
                    {"kind": "ServiceAccount", "name": "b"},
                ],
            },
        ),
        (
            "networking.v1.NetworkPolicySpec",
            {"egress": [{"ports": [{"port": 1}]}]},
            {
                "podSelector": {},
                "egress": [{"ports": [{"port": 1, "protocol": "TCP"}]}],
                "policyTypes": ["Ingress", "Egress"],
            },
        ),
        (
            "storage.v1.StorageClass",
            {},
            {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
        ),
        (
            "admissionregistration.v1.ValidatingWebhook",
            {"rules": [{}], "clientConfig": {"service": {}}},
            {
                "rules": [{"scope": "*"}],
                "clientConfig": {"service": {"port": 443}},
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "timeoutSeconds": 10,
                "namespaceSelector": {},
                "objectSelector": {},
            },
        ),
        (
            "autoscaling.v2.HorizontalPodAutoscalerSpec",
            {"maxReplicas": 3},
            {
                "maxReplicas": 3,
                "minReplicas": 1,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 80},
                        },
                    }
                ],
            },
        ),
    ],
)
def test_other_definitions(
    definition: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert admit(f"io.k8s.api.{definition}", given) == expected


def test_a_definitions_names_follow_its_kind() -> None:
    names = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionNames"
    assert admit(names, {"kind": "CronTab", "plural": "crontabs"}) == {
        "kind": "CronTab",
        "plural": "crontabs",
        "singular": "crontab",
        "listKind": "CronTabList",
    }


FLOW = "io.k8s.api.flowcontrol.v1"


@pytest.mark.parametrize(
    ("definition", "given", "expected"),
    [
        (
            f"{FLOW}.LimitResponse",
            {"type": "Queue", "queuing": {"queues": 0, "handSize": 3}},
            {"type": "Queue", "queuing": {"queues": 64, "handSize": 3, "queueLengthLimit": 50}},
        ),
        (f"{FLOW}.LimitResponse", {"type": "Reject"}, {"type": "Reject"}),
        (
            f"{FLOW}.PriorityLevelConfigurationSpec",
            {"type": "Exempt", "exempt": {}},
            {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
        ),
        (f"{FLOW}.PriorityLevelConfigurationSpec", {"type": "Exempt"}, {"type": "Exempt"}),
        (
            f"{FLOW}.QueuingConfiguration",
            {"queues": 1},
            {"queues": 1, "handSize": 8, "queueLengthLimit": 50},
        ),
        (
            f"{FLOW}.LimitedPriorityLevelConfiguration",
            {},
            {"nominalConcurrencyShares": 30, "lendablePercent": 0},
        ),
        (
            "io.k8s.api.resource.v1.ExactDeviceRequest",
            {},
            {"allocationMode": "ExactCount", "count": 1},
        ),
        (
            "io.k8s.api.resource.v1.ExactDeviceRequest",
            {"allocationMode": "All"},
            {"allocationMode": "All"},
        ),
        (
            "io.k8s.api.core.v1.ReplicationController",
            {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}},
            {
                "metadata": {"labels": {"a": "b"}},
                "spec": {
                    "replicas": 1,
                    "selector": {"a": "b"},
                    "template": {
                        "metadata": {"labels": {"a": "b"}},
                        "spec": {
                            "dnsPolicy": "ClusterFirst",
                            "restartPolicy": "Always",
                            "schedulerName": "default-scheduler",
                            "securityContext": {},
                            "terminationGracePeriodSeconds": 30,
                        },
                    },
                },
            },
        ),
        (
            "io.k8s.api.core.v1.Service",
            {
                "spec": {"type": "LoadBalancer"},
                "status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}, {"hostname": "h"}]}},
            },
            {
                "spec": {
                    **CLUSTER_IP,
                    "type": "LoadBalancer",
                    "externalTrafficPolicy": "Cluster",
                    "allocateLoadBalancerNodePorts": True,
                },
                "status": {
                    "loadBalancer": {
                        "ingress": [{"ip": "1.1.1.1", "ipMode": "VIP"}, {"hostname": "h"}]
                    }
                },
            },
        ),
        (
            "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec",
            {"metrics": [{"type": "Pods"}], "behavior": {"scaleDown": {"selectPolicy": "Min"}}},
            {
                "minReplicas": 1,
                "metrics": [{"type": "Pods"}],
                "behavior": {
                    "scaleUp": {
                        "stabilizationWindowSeconds": 0,
                        "selectPolicy": "Max",
                        "policies": [
                            {"type": "Pods", "value": 4, "periodSeconds": 15},
                            {"type": "Percent", "value": 100, "periodSeconds": 15},
                        ],
                    },
                    "scaleDown": {
                        "selectPolicy": "Min",
                        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                    },
                },
            },
        ),
    ],
)
def test_rarer_definitions(
    definition: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert admit(definition, given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"podCIDR": "10.0.0.0/24"}, ("10.0.0.0/24", ["10.0.0.0/24"])),
        ({"podCIDRs": ["10.0.0.0/24"]}, ("10.0.0.0/24", ["10.0.0.0/24"])),
        (
            {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64"]},
            ("10.0.0.0/24", ["10.0.0.0/24", "fd00::/64"]),
        ),
        (
            {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.1.0/24", "fd00::/64"]},
            ("10.0.0.0/24", ["10.0.0.0/24"]),
        ),
        ({}, (None, None)),
    ],
)
def test_the_range_of_a_node_and_its_ranges_say_the_same(
    given: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    found = core("NodeSpec", given)
    assert (found.get("podCIDR"), found.get("podCIDRs")) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"podIP": "10.0.0.1"}, ("10.0.0.1", [{"ip": "10.0.0.1"}])),
        ({"podIPs": [{"ip": "10.0.0.1"}]}, ("10.0.0.1", [{"ip": "10.0.0.1"}])),
        (
            {"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}]},
            ("10.0.0.2", [{"ip": "10.0.0.2"}]),
        ),
        ({}, (None, None)),
    ],
)
def test_the_address_of_a_pod_and_its_addresses_say_the_same(
    given: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    found = core("PodStatus", given)
    assert (found.get("podIP"), found.get("podIPs")) == expected
