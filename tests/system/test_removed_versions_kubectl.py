"""Manifests of versions that 1.37 no longer serves, applied with kubectl as they stand."""

from __future__ import annotations

import json

import pytest

from clusters import Cluster

pytestmark = pytest.mark.system

WARNING = (
    "Warning: networking.k8s.io/v1beta1 Ingress is deprecated in v1.19+, unavailable in v1.22+; "
    "use networking.k8s.io/v1 Ingress"
)
INGRESS = """
apiVersion: networking.k8s.io/v1beta1
kind: Ingress
metadata:
  name: fanout
spec:
  rules:
  - host: foo.bar.com
    http:
      paths:
      - path: /foo
        backend:
          serviceName: service1
          servicePort: 4200
"""
BACKEND = "jsonpath={.spec.rules[0].http.paths[0].backend}"


def test_an_old_ingress_is_applied_changed_and_read_in_both_versions(
    cluster: Cluster, namespace: str
) -> None:
    applied = cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=INGRESS)
    assert applied.code == 0, applied.err
    assert WARNING in applied.err.splitlines()
    assert applied.out == "ingress.networking.k8s.io/fanout created\n"
    again = INGRESS.replace("4200", "4300")
    assert "configured" in cluster.ok("-n", namespace, "apply", "-f", "-", stdin=again)
    new = cluster.ok("-n", namespace, "get", "ingress", "fanout", "-o", BACKEND)
    assert json.loads(new) == {"service": {"name": "service1", "port": {"number": 4300}}}
    for resource in ("ingresses.v1beta1.networking.k8s.io", "ingresses.v1beta1.extensions"):
        old = cluster.ok("-n", namespace, "get", resource, "fanout", "-o", BACKEND)
        assert json.loads(old) == {"serviceName": "service1", "servicePort": 4300}
    served = cluster.ok(
        "-n", namespace, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=INGRESS
    )
    assert served == "ingress.networking.k8s.io/fanout serverside-applied\n"


def test_commands_that_list_everything_see_each_object_once(
    cluster: Cluster, namespace: str
) -> None:
    cluster.ok("-n", namespace, "apply", "-f", "-", stdin=INGRESS)
    cluster.ok("-n", namespace, "create", "deployment", "web", "--image=web", "--replicas=0")
    shown = cluster.kubectl("-n", namespace, "get", "all,ingresses", "-o", "name")
    assert shown.err == ""
    assert shown.out.split().count("deployment.apps/web") == 1
    assert shown.out.split().count("ingress.networking.k8s.io/fanout") == 1
    resources = cluster.ok("api-resources", "--no-headers").splitlines()
    named = [line.split() for line in resources if line.startswith("ingresses ")]
    assert [line[-3] for line in named] == ["extensions/v1beta1", "networking.k8s.io/v1"]


TEMPLATE = {
    "metadata": {"labels": {"app": "old"}},
    "spec": {"containers": [{"name": "c", "image": "web"}]},
}
JOB_TEMPLATE = {"spec": {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}}
SELECTOR = {"matchLabels": {"app": "old"}}
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "old"}
METRIC = {"type": "Resource", "resource": {"name": "cpu", "targetAverageUtilization": 50}}
USE = {"type": "Utilization", "averageUtilization": 50}
RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
# apiVersion, kind and the rest
OLD = [
    ("batch/v1beta1", "CronJob", {"spec": {"schedule": "* * * * *", "jobTemplate": JOB_TEMPLATE}}),
    ("policy/v1beta1", "PodDisruptionBudget", {"spec": {"minAvailable": 1, "selector": SELECTOR}}),
    (
        "autoscaling/v2beta1",
        "HorizontalPodAutoscaler",
        {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 2, "metrics": [METRIC]}},
    ),
    (
        "autoscaling/v2beta2",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "scaleTargetRef": TARGET,
                "maxReplicas": 2,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": USE}}],
            }
        },
    ),
    ("extensions/v1beta1", "Deployment", {"spec": {"replicas": 0, "template": TEMPLATE}}),
    ("apps/v1beta1", "Deployment", {"spec": {"replicas": 0, "template": TEMPLATE}}),
    (
        "apps/v1beta2",
        "StatefulSet",
        {
            "spec": {
                "replicas": 0,
                "template": TEMPLATE,
                "selector": SELECTOR,
                "serviceName": "old",
            }
        },
    ),
    ("extensions/v1beta1", "NetworkPolicy", {"spec": {"podSelector": {}}}),
    ("rbac.authorization.k8s.io/v1beta1", "Role", {"rules": [RULE]}),
    (
        "rbac.authorization.k8s.io/v1beta1",
        "RoleBinding",
        {
            "roleRef": {
                "kind": "Role",
                "name": "old",
                "apiGroup": "rbac.authorization.k8s.io",
            },
            "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
        },
    ),
    ("coordination.k8s.io/v1beta1", "Lease", {"spec": {"holderIdentity": "me"}}),
]


@pytest.mark.parametrize(("api_version", "kind", "rest"), OLD, ids=lambda it: str(it)[:40])
def test_a_manifest_of_a_removed_version_is_applied_as_it_stands(
    cluster: Cluster, namespace: str, api_version: str, kind: str, rest: dict[str, object]
) -> None:
    document = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "old"}, **rest}
    text = json.dumps(document)
    applied = cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=text)
    assert applied.code == 0, applied.err
    assert f"Warning: {api_version} {kind} is deprecated in " in applied.err
    again = cluster.ok("-n", namespace, "apply", "-f", "-", stdin=text)
    assert again.endswith("/old unchanged\n"), again
    shown = json.loads(cluster.ok("-n", namespace, "get", kind, "old", "-o", "json"))
    assert "beta" not in shown["apiVersion"]
    cluster.ok("-n", namespace, "delete", "-f", "-", "--wait=false", stdin=text)


def test_an_old_definition_serves_its_objects(cluster: Cluster, namespace: str) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1beta1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.old.example.com"},
        "spec": {
            "group": "old.example.com",
            "version": "v1alpha1",
            "names": {"plural": "gadgets", "kind": "Gadget"},
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "JSONPath": ".spec.size"}
            ],
            "validation": {
                "openAPIV3Schema": {
                    "properties": {"spec": {"properties": {"size": {"type": "integer"}}}}
                }
            },
        },
    }
    cluster.ok("apply", "-f", "-", stdin=json.dumps(definition))
    cluster.ok("wait", "--for=condition=Established", "crd/gadgets.old.example.com")
    cluster.forget()
    gadget = {
        "apiVersion": "old.example.com/v1alpha1",
        "kind": "Gadget",
        "metadata": {"name": "g"},
        "spec": {"size": 3, "unheard": "of"},
    }
    cluster.ok("-n", namespace, "apply", "-f", "-", stdin=json.dumps(gadget))
    shown = cluster.ok("-n", namespace, "get", "gadgets", "g", "--no-headers").split()
    assert shown[:2] == ["g", "3"]
    kept = cluster.ok("-n", namespace, "get", "gadgets", "g", "-o", "jsonpath={.spec.unheard}")
    assert kept == "of"
    old = cluster.ok(
        "get",
        "customresourcedefinitions.v1beta1.apiextensions.k8s.io",
        "-o",
        "json",
        "gadgets.old.example.com",
    )
    assert json.loads(old)["spec"]["version"] == "v1alpha1"
    cluster.ok("delete", "crd", "gadgets.old.example.com")
