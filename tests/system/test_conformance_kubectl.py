"""Upstream's rows that kubectl drives and that need no container, with the kubectl of 1.37."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clusters import Cluster
from customs import definition, version

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("newest")]

TIMEOUT = "--timeout=120s"
LABELS = {"app": "agnhost", "role": "primary"}
IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.53"
HTTPD = "registry.k8s.io/e2e-test-images/httpd:2.4.38-4"
BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.29-4"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
Document = dict[str, Any]


def primary(cluster: Cluster, namespace: str) -> str:
    """Creates upstream's controller of one pod; returns the pod's name once it is ready."""
    container = {"name": "agnhost-primary", "image": IMAGE, "ports": [{"containerPort": 6379}]}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}
    made = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": "agnhost-primary", "labels": LABELS},
        "spec": {"replicas": 1, "selector": LABELS, "template": template},
    }
    cluster.ok("create", "-n", namespace, "-f", "-", stdin=json.dumps(made))
    created = ("--for=jsonpath={.status.readyReplicas}=1", TIMEOUT)
    cluster.ok("wait", "-n", namespace, "rc/agnhost-primary", *created)
    name = cluster.ok("get", "-n", namespace, "pods", "-l", "app=agnhost", "-o", "name")
    return name.strip().removeprefix("pod/")


def running(cluster: Cluster, namespace: str, name: str, image: str, *words: str) -> None:
    """Runs a pod and waits until it runs."""
    cluster.ok("run", "-n", namespace, name, f"--image={image}", *words)
    cluster.ok("wait", "-n", namespace, f"pod/{name}", "--for=condition=Ready", TIMEOUT)


def image_of(cluster: Cluster, namespace: str, name: str) -> str:
    """Returns the image of a pod's container."""
    path = "jsonpath={.spec.containers[0].image}"
    return cluster.ok("get", "-n", namespace, "pod", name, "-o", path)


def test_the_first_version_is_among_those_that_can_be_used(cluster: Cluster) -> None:
    assert "v1" in cluster.ok("api-versions").splitlines()


def test_the_control_plane_is_in_the_information_about_the_cluster(cluster: Cluster) -> None:
    said = COLOUR.sub("", cluster.ok("cluster-info"))
    assert f"Kubernetes control plane is running at https://127.0.0.1:{cluster.port}" in said


def test_both_versions_are_printed(cluster: Cluster) -> None:
    said = cluster.ok("version")
    for line in ("Client Version: v1.37.", "Kustomize Version: v", "Server Version: v1.37."):
        assert any(each.startswith(line) for each in said.splitlines()), said
    told = json.loads(cluster.ok("version", "-o", "json"))
    for side in ("clientVersion", "serverVersion"):
        assert (told[side]["major"], told[side]["minor"]) == ("1", "37")
        assert told[side]["gitVersion"].startswith("v1.37.")


def shown(text: str, *wanted: tuple[str, ...]) -> None:
    """Checks that for each tuple there is a line with all of its words, in order of the tuples."""
    lines = iter(text.splitlines())
    for words in wanted:
        assert any(all(word in line for word in words) for line in lines), (words, text)


def test_controllers_pods_services_nodes_and_more_are_described(
    cluster: Cluster, namespace: str
) -> None:
    pod = primary(cluster, namespace)
    cluster.ok("expose", "-n", namespace, "rc/agnhost-primary", "--name=agnhost-primary")
    head = [("Name:", "agnhost-primary"), ("Namespace:", namespace)]
    labels = [("Labels:", "app=agnhost"), ("role=primary",)]
    describe = ("describe", "-n", namespace)
    shown(
        cluster.ok(*describe, "pod", pod),
        *head,
        ("Node:", "simulated-"),
        *labels,
        ("Annotations:",),
        ("Status:", "Running"),
        ("IP:",),
        ("Controlled By:", "ReplicationController/agnhost-primary"),
        ("Image:", IMAGE),
        ("State:", "Running"),
        ("QoS Class:", "BestEffort"),
    )
    shown(
        cluster.ok(*describe, "rc", "agnhost-primary"),
        *head,
        ("Selector:", "app=agnhost,role=primary"),
        *labels,
        ("Annotations:",),
        ("Replicas:", "1 current", "1 desired"),
        ("Pods Status:", "1 Running", "0 Waiting", "0 Succeeded", "0 Failed"),
        ("Pod Template:",),
        ("Image:", IMAGE),
        ("Events:",),
    )
    shown(
        cluster.ok(*describe, "service", "agnhost-primary"),
        *head,
        *labels,
        ("Annotations:",),
        ("Selector:", "app=agnhost", "role=primary"),
        ("Type:", "ClusterIP"),
        ("IP:",),
        ("Port:", "<unset>", "6379/TCP"),
        ("Endpoints:", ":6379"),
        ("Session Affinity:", "None"),
    )
    shown(
        cluster.ok("describe", "node", "simulated-0"),
        ("Name:", "simulated-0"),
        ("Labels:",),
        ("Annotations:",),
        ("CreationTimestamp:",),
        ("Conditions:",),
        ("Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"),
        ("Addresses:",),
        ("Capacity:",),
        ("Version:",),
        ("Kubelet Version:",),
    )
    about = (("Name:", namespace), ("Labels:",), ("Annotations:",), ("Status:", "Active"))
    shown(cluster.ok("describe", "namespace", namespace), *about)
    described_cron_job(cluster, namespace)


def described_cron_job(cluster: Cluster, namespace: str) -> None:
    """Creates a CronJob and checks what is told of it."""
    pod = {"restartPolicy": "OnFailure", "containers": [{"name": "test", "image": BUSYBOX}]}
    job = {"parallelism": 1, "completions": 1, "template": {"spec": pod}}
    spec = {"schedule": "*/1 * * * *", "startingDeadlineSeconds": 30, "jobTemplate": {"spec": job}}
    made = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "cronjob-test"}}
    text = json.dumps({**made, "spec": spec})
    cluster.ok("create", "-n", namespace, "-f", "-", stdin=text)
    shown(
        cluster.ok("describe", "-n", namespace, "cronjob", "cronjob-test"),
        ("Name:", "cronjob-test"),
        ("Namespace:", namespace),
        ("Labels:",),
        ("Annotations:",),
        ("Schedule:", "*/1 * * * *"),
        ("Concurrency Policy:", "Allow"),
        ("Suspend:", "False"),
        ("Successful Job History Limit:", "3"),
        ("Failed Job History Limit:", "1"),
        ("Starting Deadline Seconds:", "30s"),
        ("Selector:",),
        ("Parallelism:",),
        ("Completions:",),
    )


def test_a_difference_of_a_deployment_is_found(cluster: Cluster, namespace: str) -> None:
    labels = {"app": "httpd"}
    pod = {"containers": [{"name": "httpd", "image": HTTPD}]}
    spec = {"selector": {"matchLabels": labels}, "replicas": 1}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "httpd-deployment"}}
    made["spec"] = {**spec, "template": {"metadata": {"labels": labels}, "spec": pod}}
    text = json.dumps(made)
    cluster.ok("create", "-n", namespace, "-f", "-", stdin=text)
    same = cluster.kubectl("diff", "-n", namespace, "-f", "-", stdin=text)
    assert same.code == 0, same
    changed = text.replace(HTTPD, BUSYBOX)
    said = cluster.kubectl("diff", "-n", namespace, "-f", "-", stdin=changed)
    assert said.code == 1, said
    assert re.search(rf"^-.*image: {re.escape(HTTPD)}$", said.out, re.MULTILINE)
    assert re.search(rf"^\+.*image: {re.escape(BUSYBOX)}$", said.out, re.MULTILINE)


def exposed(cluster: Cluster, namespace: str, name: str, port: int, pod: str) -> None:
    """Checks a Service's ports and that its endpoint is the pod at the port of its container."""
    found = json.loads(cluster.ok("get", "-n", namespace, "service", name, "-o", "json"))
    (told,) = found["spec"]["ports"]
    assert (told["port"], told["targetPort"]) == (port, 6379)
    address = cluster.ok("get", "-n", namespace, "pod", pod, "-o", "jsonpath={.status.podIP}")
    wanted = "--for=jsonpath={.subsets[0].addresses[0].ip}=" + address
    cluster.ok("wait", "-n", namespace, f"endpoints/{name}", wanted, TIMEOUT)
    path = "jsonpath={.subsets[*].ports[*].port}"
    assert cluster.ok("get", "-n", namespace, "endpoints", name, "-o", path) == "6379"


def test_a_controller_and_a_service_are_exposed(cluster: Cluster, namespace: str) -> None:
    pod = primary(cluster, namespace)
    expose = ("expose", "-n", namespace)
    words = ("--name=rm2", "--port=1234", "--target-port=6379")
    cluster.ok(*expose, "rc", "agnhost-primary", *words)
    exposed(cluster, namespace, "rm2", 1234, pod)
    words = ("--name=rm3", "--port=2345", "--target-port=6379")
    cluster.ok(*expose, "service", "rm2", *words)
    exposed(cluster, namespace, "rm3", 2345, pod)


def test_a_label_comes_is_found_and_goes(cluster: Cluster, namespace: str) -> None:
    running(cluster, namespace, "pause", "registry.k8s.io/pause:3.10")
    label = ("label", "-n", namespace, "pods", "pause")
    column = ("get", "-n", namespace, "pod", "pause", "-L", "testing-label")
    chosen = (
        "get",
        "-n",
        namespace,
        "pods",
        "-l",
        "testing-label=testing-label-value",
        "-o",
        "name",
    )
    cluster.ok(*label, "testing-label=testing-label-value")
    assert "testing-label-value" in cluster.ok(*column)
    assert cluster.ok(*chosen) == "pod/pause\n"
    cluster.ok(*label, "testing-label-")
    assert "testing-label-value" not in cluster.ok(*column)
    assert cluster.ok(*chosen) == ""


def test_the_pods_of_a_controller_are_given_annotations(cluster: Cluster, namespace: str) -> None:
    pod = primary(cluster, namespace)
    cluster.ok("patch", "-n", namespace, "pod", pod, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    path = "jsonpath={.items[*].metadata.annotations.x}"
    found = cluster.ok("get", "-n", namespace, "pods", "-l", "app=agnhost", "-o", path)
    assert found == "y"


def test_the_image_of_a_pod_is_replaced(cluster: Cluster, namespace: str) -> None:
    running(cluster, namespace, "e2e-test-httpd-pod", HTTPD, "--labels=run=e2e-test-httpd-pod")
    text = cluster.ok("get", "-n", namespace, "pod", "e2e-test-httpd-pod", "-o", "json")
    changed = text.replace(HTTPD, BUSYBOX)
    cluster.ok("replace", "-n", namespace, "-f", "-", stdin=changed)
    assert image_of(cluster, namespace, "e2e-test-httpd-pod") == BUSYBOX


def test_a_pod_is_run_that_never_starts_again(cluster: Cluster, namespace: str) -> None:
    words = ("run", "-n", namespace, "e2e-test-httpd-pod", "--restart=Never", f"--image={HTTPD}")
    cluster.ok(*words)
    assert image_of(cluster, namespace, "e2e-test-httpd-pod") == HTTPD
    path = "jsonpath={.spec.restartPolicy}"
    found = cluster.ok("get", "-n", namespace, "pod", "e2e-test-httpd-pod", "-o", path)
    assert found == "Never"


def test_what_is_changed_for_show_stays_as_it_was(cluster: Cluster, namespace: str) -> None:
    running(cluster, namespace, "e2e-test-httpd-pod", HTTPD)
    change = {"spec": {"containers": [{"name": "e2e-test-httpd-pod", "image": BUSYBOX}]}}
    words = ("patch", "-n", namespace, "pod", "e2e-test-httpd-pod", "--dry-run=server")
    shown_as = cluster.ok(*words, "-p", json.dumps(change), "-o", "json")
    assert json.loads(shown_as)["spec"]["containers"][0]["image"] == BUSYBOX
    assert image_of(cluster, namespace, "e2e-test-httpd-pod") == HTTPD


@contextmanager
def proxied(cluster: Cluster, *words: str) -> Iterator[str]:
    """Runs `kubectl proxy`; yields the line with which it says that it serves."""
    command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "proxy", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        try:
            yield proxy.stdout.readline()
        finally:
            proxy.terminate()


def fetched(*words: str) -> Document:
    """Returns the document at an address."""
    done = subprocess.run(["curl", "-sS", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: Document = json.loads(done.stdout)
    return found


def test_a_proxy_listens_at_a_port_of_its_choice(cluster: Cluster) -> None:
    with proxied(cluster, "--port=0", "--disable-filter=true") as line:
        found = re.fullmatch(r"Starting to serve on 127\.0\.0\.1:(\d+)\n", line)
        assert found and found[1] != "0", line
        assert fetched(f"http://127.0.0.1:{found[1]}/api/")["versions"] == ["v1"]


def test_a_proxy_listens_at_a_socket(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "test"
    with proxied(cluster, f"--unix-socket={path}") as line:
        assert line == f"Starting to serve on {path}\n"
        told = fetched("--unix-socket", str(path), "http://localhost/api/")
        assert told["versions"] == ["v1"]


def test_reviews_say_what_an_impersonated_account_may_do(cluster: Cluster, namespace: str) -> None:
    cluster.ok("create", "-n", namespace, "serviceaccount", "e2e")
    path = "jsonpath={.metadata.uid}"
    uid = cluster.ok("get", "-n", namespace, "serviceaccount", "e2e", "-o", path)
    user = f"system:serviceaccount:{namespace}:e2e"
    accounts = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    groups = ["system:authenticated", *accounts]
    subject = {"user": user, "groups": groups, "uid": uid}
    what = {"verb": "list", "resource": "configmaps", "version": "v1", "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": what, **subject},
    }

    def allowed(kind: str, *words: str) -> bool:
        made = json.dumps({**review, "kind": kind})
        found: Document = json.loads(
            cluster.ok("create", *words, "-f", "-", "-o", "json", stdin=made)
        )
        answer: bool = found["status"]["allowed"]
        return answer

    as_account = [f"--as={user}", f"--as-uid={uid}", *(f"--as-group={group}" for group in groups)]
    listing = ("get", "-n", namespace, "configmaps", "-o", "name", *as_account)
    said = cluster.refused(*listing)
    assert f'User "{user}" cannot list resource "configmaps"' in said
    assert not allowed("SubjectAccessReview")
    assert not allowed("LocalSubjectAccessReview", "-n", namespace)
    binding = ("create", "-n", namespace, "rolebinding", "e2e", "--clusterrole=view")
    cluster.ok(*binding, f"--serviceaccount={namespace}:e2e")
    assert cluster.ok(*listing) == "configmap/kube-root-ca.crt\n"
    assert allowed("SubjectAccessReview")
    assert allowed("LocalSubjectAccessReview", "-n", namespace)


def test_two_simulated_nodes_and_more_take_pods(cluster: Cluster) -> None:
    nodes = json.loads(cluster.ok("get", "nodes", "-o", "json"))["items"]
    free = [node for node in nodes if not {"taints", "unschedulable"} & set(node["spec"])]
    conditions = [it for node in free for it in node["status"]["conditions"]]
    assert len([it for it in conditions if (it["type"], it["status"]) == ("Ready", "True")]) >= 2


BARS = {
    "type": "array",
    "description": "List of Bars and their specs.",
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "description": "Name of Bar."},
            "age": {"type": "string", "description": "Age of Bar."},
            "feeling": {"type": "string", "description": "Feeling of Bar."},
            "bazs": {
                "type": "array",
                "description": "List of Bazs.",
                "items": {"type": "string"},
            },
        },
    },
}
BAR_SPEC = {"type": "object", "description": "Specification of Foo", "properties": {"bars": BARS}}


@contextmanager
def defined(cluster: Cluster, schema: Document) -> Iterator[str]:
    """Has a definition of one version with a schema for the time of a `with`; yields its plural."""
    made = definition(version(schema={"openAPIV3Schema": schema}, subresources={}), kind="Foo")
    cluster.ok("create", "-f", "-", stdin=json.dumps(made))
    cluster.ok("wait", "--for=condition=Established", "crd/foos.example.com", "--timeout=30s")
    cluster.forget()
    yield "foos"
    cluster.ok("delete", "crd", "foos.example.com", "--timeout=30s")
    cluster.forget()


def foo(**fields: Any) -> str:
    """Returns an object as JSON."""
    head = {"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "test-foo"}}
    return json.dumps({**head, **fields})


def taken(cluster: Cluster, namespace: str, text: str) -> Document:
    """Creates and deletes, applies and deletes an object; returns it as it was."""
    for verb in ("create", "apply"):
        cluster.ok(verb, "-n", namespace, "-f", "-", stdin=text)
        found: Document = json.loads(
            cluster.ok("get", "-n", namespace, "foos", "test-foo", "-o", "json")
        )
        cluster.ok("delete", "-n", namespace, "foos", "test-foo")
    return found


def test_a_definition_with_a_schema_says_what_is_wrong_and_explains_itself(
    cluster: Cluster, namespace: str
) -> None:
    schema = {
        "type": "object",
        "description": "Foo CRD for Testing",
        "properties": {
            "spec": BAR_SPEC,
            "status": {"type": "object", "description": "Status of Foo"},
        },
    }
    with defined(cluster, schema) as foos:
        taken(cluster, namespace, foo(spec={"bars": [{"name": "test-bar", "age": "10"}]}))
        bad = [
            (foo(spec={"foo": True}), 'unknown field "spec.foo"'),
            (foo(spec={"bars": [{"age": "10"}]}), "spec.bars[0].name: Required value"),
        ]
        for text, told in bad:
            for verb in ("create", "apply"):
                said = cluster.refused(verb, "-n", namespace, "-f", "-", stdin=text)
                assert told in said
        assert "Foo CRD for Testing" in cluster.ok("explain", foos)
        shown(cluster.ok("explain", foos), ("KIND:", "Foo"), ("VERSION:", "v1"), ("metadata",))
        spec = cluster.ok("explain", f"{foos}.spec")
        shown(spec, ("DESCRIPTION:",), ("Specification of Foo",), ("bars", "<[]Object>"))
        shown(
            cluster.ok("explain", f"{foos}.spec.bars"),
            ("List of Bars and their specs.",),
            ("bazs",),
        )
        deep = cluster.ok("explain", f"{foos}.spec.bars", "--recursive")
        shown(deep, ("FIELDS:",), ("age", "<string>"), ("bazs", "<[]string>"), ("name", "<string>"))
        assert 'field "bars2" does not exist' in cluster.refused("explain", f"{foos}.spec.bars2")


def test_a_definition_without_a_schema_takes_anything(cluster: Cluster, namespace: str) -> None:
    with defined(cluster, OPEN) as foos:
        found = taken(cluster, namespace, foo(a={"b": [{"c": 1}]}))
        assert found["a"] == {"b": [{"c": 1}]}
        shown(cluster.ok("explain", foos), ("KIND:", "Foo"), ("DESCRIPTION:",), ("<empty>",))


def test_a_definition_that_keeps_unknown_fields_takes_them_beside_its_own(
    cluster: Cluster, namespace: str
) -> None:
    described = {"spec": BAR_SPEC, "status": {"type": "object"}}
    with defined(cluster, {**OPEN, "properties": described}) as foos:
        found = taken(cluster, namespace, foo(someField="someValue"))
        assert found["someField"] == "someValue"
        shown(cluster.ok("explain", foos), ("KIND:", "Foo"))


def test_a_definition_that_keeps_unknown_fields_below_takes_them_there(
    cluster: Cluster, namespace: str
) -> None:
    spec = {
        **OPEN,
        "description": "Specification of Foo",
        "properties": {"dummy": {"type": "string"}},
    }
    with defined(cluster, {"type": "object", "properties": {"spec": spec}}) as foos:
        bars = [{"name": "test-bar", "beyond": {"a": 1}}]
        found = taken(cluster, namespace, foo(spec={"bars": bars, "dummy": "known"}))
        assert found["spec"] == {"bars": bars, "dummy": "known"}
        shown(cluster.ok("explain", foos), ("KIND:", "Foo"))
        shown(cluster.ok("explain", f"{foos}.spec"), ("Specification of Foo",), ("dummy",))
