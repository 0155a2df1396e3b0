"""A cluster that shows an earlier minor, driven by kubectl."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from clusters import running

pytestmark = pytest.mark.system


def test_a_cluster_of_1_31_is_what_kubectl_finds(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here")
    words = ("--kubernetes-version", "1.31")
    with running(tmp_path / "data", tmp_path / "kubeconfig", *words) as cluster:
        version = json.loads(cluster.ok("version", "-o", "json"))
        assert version["serverVersion"]["gitVersion"] == "v1.31.0"
        resources = cluster.ok("api-resources", "--no-headers", "-o", "name").split()
        assert "deployments.apps" in resources
        assert not {"resourceclaims.resource.k8s.io", "servicecidrs.networking.k8s.io"} & set(
            resources
        )
        versions = cluster.ok("api-versions").split()
        assert "flowcontrol.apiserver.k8s.io/v1beta3" in versions
        assert "resource.k8s.io/v1" not in versions
        cluster.ok("create", "deployment", "web", "--image=web", "--replicas=2")
        cluster.ok("rollout", "status", "deployment/web", "--timeout=60s")
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "later"},
            "spec": {
                "resources": {"limits": {"cpu": "1"}},
                "containers": [{"name": "c", "image": "i"}],
            },
        }
        refused = cluster.refused("create", "-f", "-", stdin=json.dumps(pod))
        assert 'unknown field "spec.resources"' in refused
        cluster.ok("create", "--validate=ignore", "-f", "-", stdin=json.dumps(pod))
        assert cluster.ok("get", "pod", "later", "-o", "jsonpath={.spec.resources}") == ""
        assert "does not exist" in cluster.refused("explain", "pod.spec.resources")
