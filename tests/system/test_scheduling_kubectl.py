"""The scheduler as kubectl sees it: preemption, spreading, profiles and extenders of a
configuration file."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clusters import Cluster
from ports import free_port

pytestmark = pytest.mark.system
WAIT = "--timeout=60s"


def manifest(kind: str, name: str, namespace: str = "", **fields: Any) -> str:
    versions = {"PriorityClass": "scheduling.k8s.io/v1", "Deployment": "apps/v1"}
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    document = {"apiVersion": versions.get(kind, "v1"), "kind": kind, "metadata": metadata}
    return json.dumps({**document, **fields})


def asking(cpu: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i:1", "resources": {"requests": {"cpu": cpu}}}
    return {"containers": [container], "terminationGracePeriodSeconds": 0, **spec}


def create(cluster: Cluster, *documents: str) -> None:
    for document in documents:
        cluster.ok("create", "-f", "-", stdin=document)


def test_an_important_pod_takes_the_place_of_another(cluster: Cluster, namespace: str) -> None:
    here = {"nodeSelector": {"kubernetes.io/hostname": "simulated-0"}}
    high = f"high-{namespace}"
    create(
        cluster,
        manifest("PriorityClass", high, value=1000),
        manifest("Pod", "old", namespace, spec=asking("31", **here)),
    )
    cluster.ok("wait", "-n", namespace, "--for=condition=Ready", "pod/old", WAIT)
    spec = asking("30", priorityClassName=high, **here)
    create(cluster, manifest("Pod", "new", namespace, spec=spec))
    cluster.ok("wait", "-n", namespace, "--for=delete", "pod/old", WAIT)
    cluster.ok("wait", "-n", namespace, "--for=condition=Ready", "pod/new", WAIT)
    place = "jsonpath={.spec.nodeName}"
    assert cluster.ok("get", "pod", "new", "-n", namespace, "-o", place) == "simulated-0"
    uid = cluster.ok("get", "pod", "new", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
    events = cluster.ok("get", "events", "-n", namespace)
    assert f"Preempted by pod {uid} on node simulated-0" in events
    assert (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node "
        "affinity/selector."
    ) in events
    cluster.ok("delete", "priorityclass", high)


def test_pods_are_spread_and_one_too_many_says_why(cluster: Cluster, namespace: str) -> None:
    labels = {"app": "web"}
    apart = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    rules = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    template = {"metadata": {"labels": labels}, "spec": asking("1", affinity=rules)}
    spec = {"replicas": 4, "selector": {"matchLabels": labels}, "template": template}
    create(cluster, manifest("Deployment", "web", namespace, spec=spec))
    three = "jsonpath={.status.readyReplicas}=3"
    cluster.ok("wait", "-n", namespace, f"--for={three}", "deployment/web", WAIT)
    nodes = "jsonpath={.items[*].spec.nodeName}"
    found = cluster.ok("get", "pods", "-n", namespace, "-o", nodes).split()
    assert sorted(found) == ["simulated-0", "simulated-1", "simulated-2"]
    pending = ("get", "pods", "-n", namespace, "--field-selector=spec.nodeName=", "-o")
    said = cluster.ok(*pending, "jsonpath={.items[0].status.conditions[0].message}")
    assert said == (
        "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules. no new claims "
        "to deallocate, preemption: 0/3 nodes are available: 3 No preemption victims found for "
        "incoming pod."
    )


CONFIGURATION = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection:
  leaderElect: true
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    score:
      disabled:
      - name: '*'
      enabled:
      - name: NodeResourcesFit
  pluginConfig:
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy:
        type: MostAllocated
        resources:
        - name: cpu
          weight: 1
"""


def test_profiles_of_a_file_are_chosen_by_the_scheduler_name(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here")
    path = tmp_path / "scheduler.yaml"
    path.write_text(CONFIGURATION)
    made = Cluster(tmp_path / "data", tmp_path / "kubeconfig", free_port())
    path.with_name("bad.yaml").write_text(CONFIGURATION.replace("MostAllocated", "Best"))
    refused = made.up("--scheduler-config", str(path.with_name("bad.yaml")))
    assert refused.code != 0
    assert 'scoringStrategy.type: Unsupported value: "Best"' in refused.err
    started = made.up("--scheduler-config", str(path))
    assert started.code == 0, started.err
    try:
        names = [f"p{number}" for number in range(4)]
        for name in names:
            spec = asking("2", schedulerName="packing")
            create(made, manifest("Pod", name, "default", spec=spec))
            made.ok("wait", "--for=condition=Ready", f"pod/{name}", WAIT)
        nodes = made.ok("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()
        assert len(nodes) == len(names)
        assert len(set(nodes)) == 1
    finally:
        stopped = made.down()
    assert stopped.code == 0, stopped.err


EXTENDED = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
extenders:
- urlPrefix: http://127.0.0.1:{port}/cards
  filterVerb: filter
  nodeCacheCapable: true
  managedResources:
  - name: example.com/card
    ignoredByScheduler: true
"""


class Cards(BaseHTTPRequestHandler):
    """An extender that lets pods onto one node alone, or onto none while `full` is set."""

    full = True

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        passed = [] if Cards.full else ["simulated-1"]
        failed = {name: "no card is free" for name in asked["NodeNames"] if name not in passed}
        body = json.dumps({"NodeNames": passed, "FailedNodes": failed}).encode()
        self.send_response(200 if self.path == "/cards/filter" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Says nothing."""


@contextmanager
def extender() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cards)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_extender_refuses_is_named_by_why_and_lets_the_pod_go(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here")
    made = Cluster(tmp_path / "data", tmp_path / "kubeconfig", free_port())
    with extender() as port:
        path = tmp_path / "scheduler.yaml"
        path.write_text(EXTENDED.format(port=port))
        started = made.up("--scheduler-config", str(path))
        assert started.code == 0, started.err
        try:
            spec = asking("1")
            amounts = {"example.com/card": "1"}
            spec["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
            create(made, manifest("Pod", "card", "default", spec=spec))
            create(made, manifest("Pod", "plain", "default", spec=asking("1")))
            made.ok("wait", "--for=condition=Ready", "pod/plain", WAIT)
            refused = "jsonpath={.status.conditions[0].reason}=Unschedulable"
            made.ok("wait", f"--for={refused}", "pod/card", WAIT)
            said = made.ok("get", "pod", "card", "-o", "jsonpath={.status.conditions[0].message}")
            assert said.startswith("0/3 nodes are available: 3 no card is free. ")
            why = made.steer("why", "pod/card", "--kubeconfig", str(made.kubeconfig))
            assert f"refused by the scheduler's extender http://127.0.0.1:{port}/cards" in why.out
            Cards.full = False
            made.ok("label", "node", "simulated-0", "a=b")
            made.ok("wait", "--for=condition=Ready", "pod/card", WAIT)
            place = made.ok("get", "pod", "card", "-o", "jsonpath={.spec.nodeName}")
            assert place == "simulated-1"
        finally:
            stopped = made.down()
    assert stopped.code == 0, stopped.err


def test_a_deployment_of_the_scheduler_flow_is_spread_or_packed(
    cluster: Cluster, namespace: str
) -> None:
    pytest.importorskip("ortools", reason="OR-Tools is not installed")
    for name, told, expected in (("even", "spread", [4, 4, 4]), ("packed", "pack", [12])):
        labels = {"app": name}
        metadata = {"labels": labels, "annotations": {"flow.steersman.dev/policy": told}}
        template = {"metadata": metadata, "spec": asking("100m", schedulerName="flow")}
        spec = {"replicas": 12, "selector": {"matchLabels": labels}, "template": template}
        create(cluster, manifest("Deployment", name, namespace, spec=spec))
        ready = "jsonpath={.status.readyReplicas}=12"
        cluster.ok("wait", "-n", namespace, f"--for={ready}", f"deployment/{name}", WAIT)
        nodes = "jsonpath={.items[*].spec.nodeName}"
        found = cluster.ok("get", "pods", "-n", namespace, "-l", f"app={name}", "-o", nodes).split()
        assert sorted(found.count(node) for node in set(found)) == expected
    events = cluster.ok("get", "events", "-n", namespace)
    assert f"Successfully assigned {namespace}/packed-" in events


PODGROUPS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: podgroups.scheduling.x-k8s.io
spec:
  group: scheduling.x-k8s.io
  names: {kind: PodGroup, plural: podgroups, singular: podgroup, listKind: PodGroupList}
  scope: Namespaced
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              minMember: {type: integer, minimum: 1}
              scheduleTimeoutSeconds: {type: integer}
"""


def test_a_pod_group_is_bound_whole_or_not_at_all(cluster: Cluster, namespace: str) -> None:
    create(cluster, PODGROUPS)
    name = "podgroups.scheduling.x-k8s.io"
    established = "--for=condition=Established"
    cluster.ok("wait", established, f"customresourcedefinition/{name}", WAIT)
    cluster.forget()
    group = {
        "apiVersion": "scheduling.x-k8s.io/v1alpha1",
        "kind": "PodGroup",
        "metadata": {"name": "g", "namespace": namespace},
        "spec": {"minMember": 4},
    }
    create(cluster, json.dumps(group))
    labels = {"scheduling.x-k8s.io/pod-group": "g", "app": "g"}
    template = {"metadata": {"labels": labels}, "spec": asking("20")}
    spec = {"replicas": 4, "selector": {"matchLabels": {"app": "g"}}, "template": template}
    create(cluster, manifest("Deployment", "g", namespace, spec=spec))
    refused = "jsonpath={.status.conditions[0].reason}=Unschedulable"
    made = "jsonpath={.status.replicas}=4"
    cluster.ok("wait", "-n", namespace, f"--for={made}", "deployment/g", WAIT)
    cluster.ok("wait", "-n", namespace, f"--for={refused}", "pod", "--all", WAIT)
    nodes = "jsonpath={.items[*].spec.nodeName}"
    assert cluster.ok("get", "pods", "-n", namespace, "-o", nodes) == ""
    events = cluster.ok("get", "events", "-n", namespace)
    assert f"PodGroup {namespace}/g gets rejected due to Pod g-" in events
    assert "optimistic rejection in PostFilter" in events
    patch = '{"spec":{"minMember":3}}'
    cluster.ok("patch", "podgroup", "g", "-n", namespace, "--type=merge", "-p", patch)
    ready = "jsonpath={.status.readyReplicas}=3"
    cluster.ok("wait", "-n", namespace, f"--for={ready}", "deployment/g", WAIT)
    cluster.ok("delete", "deployment", "g", "-n", namespace, "--cascade=foreground")
    cluster.ok("delete", "customresourcedefinition", name)
    cluster.forget()
