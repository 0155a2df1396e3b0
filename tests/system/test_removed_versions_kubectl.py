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
