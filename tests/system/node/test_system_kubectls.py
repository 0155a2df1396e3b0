"""Released kubectls of several ages do their work against a real node.

1.24 speaks SPDY alone and reads OpenAPI v2; 1.30 asks for OpenAPI v3 and still prefers SPDY; 1.37
streams over WebSocket and lists by watching.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from steered import (
    NGINX,
    TOOLS,
    Cluster,
    Refused,
    container,
    deployment,
    from_here,
    pod,
    read_until,
    run,
    service,
    started,
    succeeded,
)

from client_tools import tool

MINORS = ("1.24", "1.30", "1.37")
SECONDS = "--timeout=90s"
SERVE = (
    "trap 'exit 0' TERM; mkdir -p /tmp/www; echo hi > /tmp/www/index.html; "
    "echo hello; httpd -f -p 8080 -h /tmp/www & wait"
)


class Kubectl(NamedTuple):
    """One kubectl, one cluster, one namespace."""

    path: str
    cluster: Cluster
    namespace: str
    cache: Path

    def words(self, *words: str) -> list[str]:
        """Returns the command."""
        config = ("--kubeconfig", str(self.cluster.kubeconfig), "--cache-dir", str(self.cache))
        return [self.path, *config, "-n", self.namespace, *words]

    def __call__(self, *words: str, given: str = "", **environment: str) -> str:
        """Runs a command that succeeds; returns what it printed."""
        return succeeded(self.tried(*words, given=given, **environment))

    def tried(
        self, *words: str, given: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command."""
        words = ("env", *(f"{name}={text}" for name, text in environment.items()),
                 *self.words(*words))  # fmt: skip
        return run(words, input=given)

    def field(self, path: str, *what: str) -> str:
        """Returns a field of an object."""
        return self("get", *what, "-o", f"jsonpath={{{path}}}")

    def apply(self, *documents: dict[str, object]) -> str:
        """Applies documents."""
        text = "".join(f"---\n{json.dumps(each)}\n" for each in documents)
        return self("apply", "-f", "-", given=text)


@pytest.fixture(params=MINORS)
def kubectl(
    request: pytest.FixtureRequest, cluster: Cluster, namespace: str, tmp_path: Path
) -> Kubectl:
    """A kubectl in a namespace of the test's own."""
    return Kubectl(tool(f"kubectl-{request.param}"), cluster, namespace, tmp_path / "cache")


@pytest.fixture
def box(kubectl: Kubectl) -> Iterator[Kubectl]:
    """The same, with a pod that serves."""
    kubectl.apply(pod("box", container(SERVE), labels={"app": "box"}))
    kubectl("wait", "--for=condition=Ready", "pod/box", SECONDS)
    yield kubectl


def test_a_deployment_is_rolled_out_and_back(kubectl: Kubectl, shared: Path) -> None:
    manifest = str(shared / "manifests" / "deployment.yaml")
    name = "deployment/nginx-deployment"
    assert kubectl("apply", "-f", manifest) == "deployment.apps/nginx-deployment created\n"
    assert "successfully rolled out" in kubectl("rollout", "status", name, SECONDS)
    assert kubectl("apply", "-f", manifest) == "deployment.apps/nginx-deployment unchanged\n"
    head, row = kubectl("get", "deployments").splitlines()
    assert head.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert row.split()[:4] == ["nginx-deployment", "3/3", "3", "3"]
    kubectl("set", "image", name, f"nginx={TOOLS}")
    assert kubectl.field(".spec.template.spec.containers[0].image", name) == TOOLS
    kubectl("rollout", "undo", name)
    assert kubectl.field(".spec.template.spec.containers[0].image", name) == NGINX
    revisions = kubectl("rollout", "history", name).splitlines()[2:]
    assert [line.split()[0] for line in revisions if line] == ["2", "3"]
    kubectl("scale", name, "--replicas=1")
    kubectl("rollout", "status", name, SECONDS)
    told = kubectl("describe", name)
    assert "Replicas:               1 desired | 1 updated | 1 total | 1 available | 0 unav" in told
    assert "Scaled up replica set nginx-deployment-" in told
    assert kubectl("delete", name, "--cascade=foreground", SECONDS).startswith(
        'deployment.apps "nginx-deployment" deleted'
    )
    assert kubectl("get", "pods", "-o", "name") == ""


def test_logs_and_exec(box: Kubectl) -> None:
    assert box("logs", "box") == "hello\n"
    followed = subprocess.PIPE
    with started(box.words("logs", "-f", "box"), stdout=followed) as process:
        assert read_until(process, "hello") == "hello\n"
    assert box("exec", "box", "--", "echo", "a", "b") == "a b\n"
    assert box("exec", "-i", "box", "--", "wc", "-c", given="x" * 100_000) == "100000\n"
    failed = box.tried("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (failed.returncode, failed.stdout) == (3, "out\n")
    assert failed.stderr == "err\ncommand terminated with exit code 3\n"


def test_files_are_copied_both_ways(box: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("some text")
    box("cp", str(tmp_path / "there"), "box:/tmp/here")
    assert box("exec", "box", "--", "cat", "/tmp/here") == "some text"
    box("cp", "box:/tmp/here", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "some text"


def test_a_port_is_forwarded(box: Kubectl) -> None:
    forward = box.words("port-forward", "--address=127.0.0.1", "pod/box", ":8080")
    with started(forward, stdout=subprocess.PIPE) as process:
        port = read_until(process, "->").split("127.0.0.1:")[1].split()[0]
        assert from_here(f"http://127.0.0.1:{port}/") == "hi"
        assert from_here(f"http://127.0.0.1:{port}/") == "hi"


def test_an_object_is_written_in_every_way(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=1")
    kubectl("label", "configmap", "c", "x=y")
    kubectl("annotate", "configmap", "c", "m=n")
    kubectl("patch", "configmap", "c", "--type=merge", "-p", '{"data":{"b":"2"}}')
    kubectl("patch", "cm/c", "--type=json", "-p", '[{"op":"add","path":"/data/d","value":"3"}]')
    kubectl("edit", "configmap", "c", KUBE_EDITOR="sed -i s/a:.*1.*$/a:\\ nine/")
    found = json.loads(kubectl("get", "configmap", "c", "-o", "json"))
    assert found["data"] == {"a": "nine", "b": "2", "d": "3"}
    assert found["metadata"]["labels"] == {"x": "y"}
    assert found["metadata"]["annotations"] == {"m": "n"}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "7"}}
    conflict = kubectl.tried("apply", "--server-side", "-f", "-", given=json.dumps(other))
    assert "conflict" in conflict.stderr and ".data.a" in conflict.stderr
    force = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    assert "serverside-applied" in kubectl(*force, given=json.dumps(other))
    assert kubectl.field(".data.a", "configmap", "c") == "7"
    changed = {**other, "data": {"a": "8"}}
    shown = kubectl.tried("diff", "--server-side", "-f", "-", given=json.dumps(changed))
    assert shown.returncode == 1 and '+  a: "8"' in shown.stdout
    kubectl("replace", "--force", "-f", "-", given=json.dumps(changed))
    assert json.loads(kubectl("get", "configmap", "c", "-o", "json"))["data"] == {"a": "8"}
    kubectl("delete", "configmap", "c")
    with pytest.raises(Refused, match='configmaps "c" not found'):
        kubectl("get", "configmap", "c")


def test_a_wrong_manifest_is_refused_with_its_path(kubectl: Kubectl) -> None:
    bad = pod("bad", container(SERVE, imagePullPolicy="Sometimes"))
    refused = kubectl.tried("apply", "-f", "-", given=json.dumps(bad)).stderr
    assert 'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes"' in refused
    unknown = pod("bad", container(SERVE, imagePolicy="Always"))
    refused = kubectl.tried("apply", "-f", "-", given=json.dumps(unknown)).stderr
    assert "unknown field" in refused and "imagePolicy" in refused
    assert kubectl("get", "pods", "-o", "name") == ""


def test_what_there_is_is_explained(kubectl: Kubectl) -> None:
    assert "deployments" in kubectl("api-resources", "--api-group=apps", "-o", "name")
    assert "apps/v1" in kubectl("api-versions").splitlines()
    told = kubectl("explain", "deployment.spec.strategy", "--recursive")
    assert "The deployment strategy to use to replace existing pods with new ones." in told
    assert "maxSurge" in told and "maxUnavailable" in told
    assert kubectl("auth", "can-i", "create", "deployments") == "yes\n"
    account = f"--as=system:serviceaccount:{kubectl.namespace}:default"
    assert kubectl.tried("auth", "can-i", "create", "deployments", account).stdout == "no\n"
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "is running at" in kubectl("cluster-info")


def test_a_service_is_exposed_and_run_pods_go(box: Kubectl) -> None:
    box("expose", "pod", "box", "--port=80", "--target-port=8080")
    assert box.field(".spec.ports[0].targetPort", "service", "box") == "8080"
    words = ("run", "once", f"--image={TOOLS}", "--restart=Never", "--rm", "-i", "--command", "--")
    assert "from inside" in box(*words, "sh", "-c", "sleep 1; echo from inside")
    assert box("get", "pods", "-o", "name") == "pod/box\n"


def test_a_node_is_cordoned_and_drained_of_a_pod(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("web", 1, container(SERVE)), service("web"))
    kubectl("rollout", "status", "deployment/web", SECONDS)
    node = kubectl.field(".items[0].spec.nodeName", "pods")
    before = kubectl("get", "pods", "-o", "name")
    kubectl("cordon", node)
    try:
        assert "SchedulingDisabled" in kubectl("get", "node", node)
        drained = kubectl(
            "drain", node, "--pod-selector=app=web", "--ignore-daemonsets", "--force", SECONDS
        )
        assert f"node/{node} drained" in drained
        kubectl("wait", "--for=jsonpath={.status.phase}=Pending", "pods", "-l", "app=web", SECONDS)
        assert kubectl("get", "pods", "-o", "name") != before
    finally:
        kubectl("uncordon", node)
    kubectl("rollout", "status", "deployment/web", SECONDS)
    assert kubectl("top", "node", node).split()[:2] == ["NAME", "CPU(cores)"]
