"""Released helms install a chart against a real node, wait for it, change it, and take it away."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from steered import NGINX, TOOLS, Cluster, environment, run, succeeded

from client_tools import tool

VERSIONS = ("3.17", "4.3")
WAIT = ("--wait", "--timeout=90s")
FILES = {
    "Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n",
    "values.yaml": "replicas: 2\nsize: 1\nbroken: false\n",
    "crds/widget.yaml": """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: NAMED.helm.example.com}
spec:
  group: helm.example.com
  names: {kind: Widget, plural: NAMED}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer}}}}
""",
    "templates/web.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}", labels: {app: web}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: IMAGE
        {{ if .Values.broken }}command: [/nothing/here]{{ end }}
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}"}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: helm.example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: {{ .Values.size }}}
""",
    "templates/hook.yaml": """
apiVersion: batch/v1
kind: Job
metadata:
  name: "before"
  annotations: {helm.sh/hook: pre-upgrade, helm.sh/hook-delete-policy: before-hook-creation}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: TOOL, command: [/bin/true]}]
""",
    "templates/tests/ask.yaml": """
apiVersion: v1
kind: Pod
metadata: {name: ask, annotations: {helm.sh/hook: test}}
spec:
  restartPolicy: Never
  containers:
  - {name: main, image: TOOL, command: [wget, -qO-, "http://{{ .Release.Name }}"]}
""",
}


class Helm(NamedTuple):
    """One helm, one cluster, one namespace, one chart."""

    path: str
    cluster: Cluster
    namespace: str
    home: Path
    plural: str

    @property
    def chart(self) -> str:
        """The chart's directory."""
        return str(self.home / "chart")

    def __call__(self, *words: str) -> str:
        """Runs a command that succeeds; returns what it printed."""
        return succeeded(self.tried(*words))

    def tried(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command; what helm keeps stays in the test's directory."""
        kept = {f"HELM_{name}_HOME": str(self.home / name) for name in ("CACHE", "CONFIG", "DATA")}
        config = ("--kubeconfig", str(self.cluster.kubeconfig), "-n", self.namespace)
        return run([self.path, *config, *words], env={**environment(), **kept})

    def get(self, *what: str) -> str:
        """Returns names and fields by kubectl."""
        return self.cluster.kubectl("get", "-n", self.namespace, *what)


@pytest.fixture(params=VERSIONS)
def helm(request: pytest.FixtureRequest, cluster: Cluster, namespace: str, tmp_path: Path) -> Helm:
    """A helm with a chart: a definition, a Deployment, a hook and a test."""
    plural = f"widgets{request.param.replace('.', '')}"
    for name, text in FILES.items():
        file = tmp_path / "chart" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        text = text.replace("NAMED", plural).replace("IMAGE", NGINX).replace("TOOL", TOOLS)
        file.write_text(text.replace("Widget", plural.capitalize()))
    return Helm(tool(f"helm-{request.param}"), cluster, namespace, tmp_path, plural)


def test_a_release_lives_its_whole_life(helm: Helm) -> None:
    said = helm("install", "web", helm.chart, *WAIT)
    assert "STATUS: deployed" in said
    ready = ("deployment", "web", "-o", "jsonpath={.status.readyReplicas}")
    assert helm.get(*ready) == "2"
    assert helm.get(helm.plural, "w", "-o", "jsonpath={.spec.size}") == "1"
    assert helm.get("jobs", "-o", "name") == ""
    helm("upgrade", "web", helm.chart, "--set", "replicas=3,size=5", *WAIT)
    assert helm.get(*ready) == "3"
    assert helm.get(helm.plural, "w", "-o", "jsonpath={.spec.size}") == "5"
    assert helm.get("job", "before", "-o", "jsonpath={.status.succeeded}") == "1"
    assert "Phase:          Succeeded" in helm("test", "web", "--timeout=90s")
    helm("rollback", "web", "1", *WAIT)
    assert helm.get("deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2"
    history = json.loads(helm("history", "web", "-o", "json"))
    assert [(each["revision"], each["status"]) for each in history] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]
    assert [each["name"] for each in json.loads(helm("list", "-o", "json"))] == ["web"]
    helm("uninstall", "web", *WAIT)
    assert helm.get("deployments,services", "-o", "name") == ""
    helm.cluster.kubectl("delete", "crd", f"{helm.plural}.helm.example.com")


def test_a_release_that_does_not_become_ready_is_taken_back(helm: Helm) -> None:
    helm("install", "web", helm.chart, *WAIT)
    broken = ("--set", "broken=true", "--wait", "--timeout=4s")
    atomic = "--rollback-on-failure" if "helm-4" in helm.path else "--atomic"
    failed = helm.tried("upgrade", "web", helm.chart, *broken, atomic)
    assert failed.returncode != 0
    assert "UPGRADE FAILED" in failed.stderr
    assert json.loads(helm("status", "web", "-o", "json"))["version"] == 3
    assert helm.get("deployment", "web", "-o", "jsonpath={..command}") == ""
    helm("uninstall", "web")
    helm.cluster.kubectl("delete", "crd", f"{helm.plural}.helm.example.com")
