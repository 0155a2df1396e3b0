"""Services: spread over ready endpoints, from this machine and from pods, the API's own too."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from steered import TOOLS, Cluster, container, deployment, from_here, pod, service

REQUESTS = 60
LISTENS = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
WEB = {
    "name": "main",
    "image": TOOLS,
    "ports": [{"containerPort": 80}],
    "readinessProbe": LISTENS,
}
GATE = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
IN_POD = """
import json, os, ssl, urllib.request
place = "/var/run/secrets/kubernetes.io/serviceaccount/"
token = open(place + "token").read()
context = ssl.create_default_context(cafile=place + "ca.crt")
host = os.environ["KUBERNETES_SERVICE_HOST"] + ":" + os.environ["KUBERNETES_SERVICE_PORT"]
def ask(path):
    request = urllib.request.Request("https://" + host + path)
    request.add_header("Authorization", "Bearer " + token)
    try:
        return urllib.request.urlopen(request, context=context, timeout=60).status
    except urllib.error.HTTPError as error:
        return json.load(error)["message"]
print(ask("/version"))
print(ask("/api/v1/namespaces/kube-system/secrets"))
"""


def address(cluster: Cluster, name: str, namespace: str) -> str:
    """Returns the address of a service."""
    return str(cluster.json("service", name, "-n", namespace)["spec"]["clusterIP"])


def spread(cluster: Cluster, namespace: str, url: str) -> Counter[str]:
    """Asks many times from a pod; returns who answered how often."""
    script = f"i=0; while [ $i -lt {REQUESTS} ]; do timeout 60 wget -qO- {url}; i=$((i+1)); done"
    text = cluster.kubectl("exec", "-n", namespace, "client", "--", "sh", "-c", script)
    return Counter(text.split())


def test_a_service_spreads_over_all_pods_from_here_and_from_a_pod(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply(namespace, deployment("web", 3, WEB), service("web"), pod("client"))
    cluster.wait("deployment/web", "condition=Available", "-n", namespace)
    cluster.wait("pod/client", "condition=Ready", "-n", namespace)
    cluster.wait_endpoints("web", namespace, 3)
    pods = cluster.json("pods", "-n", namespace, "-l", "app=web")["items"]
    names = {each["metadata"]["name"] for each in pods}
    url = f"http://{address(cluster, 'web', namespace)}/"
    inside = spread(cluster, namespace, url)
    assert set(inside) == names and sum(inside.values()) == REQUESTS
    assert min(inside.values()) > REQUESTS / 12
    # one of three is left out by so many by chance once in ten thousand million runs
    assert {from_here(url) for _ in range(REQUESTS)} == names
    one = sorted(names)[0]
    assert cluster.kubectl("exec", "-n", namespace, one, "--", "wget", "-qO-", url).strip() in names


def test_a_pod_that_is_not_ready_gets_no_traffic_and_a_service_without_endpoints_refuses(
    cluster: Cluster, namespace: str
) -> None:
    gated = {**WEB, "readinessProbe": GATE}
    cluster.apply(namespace, pod("gated", gated, labels={"app": "gated"}), service("gated"))
    cluster.wait("pod/gated", "jsonpath={.status.phase}=Running", "-n", namespace)
    url = f"http://{address(cluster, 'gated', namespace)}/"
    assert "Connection refused" in from_here(url)
    cluster.until_event("gated", "Unhealthy", "-n", namespace)
    cluster.kubectl("exec", "-n", namespace, "gated", "--", "touch", "/tmp/ready")
    cluster.wait("pod/gated", "condition=Ready", "-n", namespace)
    cluster.wait_endpoints("gated", namespace, 1)
    answered_within(url, "gated")
    cluster.kubectl("exec", "-n", namespace, "gated", "--", "rm", "/tmp/ready")
    cluster.wait("pod/gated", "condition=Ready=False", "-n", namespace)
    cluster.wait_endpoints("gated", namespace, 0)
    assert cluster.json("pod", "gated", "-n", namespace)["status"]["phase"] == "Running"


def answered_within(url: str, wanted: str, tries: int = 10) -> None:
    """Asks again while the rules follow the endpoints: wget itself takes some milliseconds."""
    answers = [from_here(url)]
    while answers[-1] != wanted and len(answers) < tries:
        answers.append(from_here(url))
    assert answers[-1] == wanted, answers


def test_a_pod_reaches_the_api_with_its_mounted_token_and_has_no_rights(
    cluster: Cluster, namespace: str, python_image: str
) -> None:
    words = [str(Path(sys.executable).resolve()), "-I", "-c", IN_POD]
    asking = {"name": "main", "image": python_image, "command": words}
    cluster.apply(namespace, pod("asking", asking, restartPolicy="Never"))
    cluster.wait("pod/asking", "jsonpath={.status.phase}=Succeeded", "-n", namespace)
    lines = cluster.kubectl("logs", "asking", "-n", namespace).splitlines()
    assert lines == [
        "200",
        f'secrets is forbidden: User "system:serviceaccount:{namespace}:default" cannot list '
        'resource "secrets" in API group "" in the namespace "kube-system"',
    ]


def test_a_named_target_port_and_a_second_port_reach_the_container(
    cluster: Cluster, namespace: str
) -> None:
    script = "mkdir -p /a; echo other > /a/index.html; httpd -p 8081 -h /a; exec sh /bin/serve"
    ports = [{"name": "web", "containerPort": 80}, {"name": "more", "containerPort": 8081}]
    two = container(script, ports=ports, readinessProbe=LISTENS)
    chosen = [
        {"name": "first", "port": 8000, "targetPort": "web"},
        {"name": "second", "port": 8001, "targetPort": "more"},
    ]
    cluster.apply(namespace, pod("two", two, labels={"app": "two"}), service("two", ports=chosen))
    cluster.wait("pod/two", "condition=Ready", "-n", namespace)
    cluster.wait_endpoints("two", namespace, 1)
    host = address(cluster, "two", namespace)
    answered_within(f"http://{host}:8000/", "two")
    answered_within(f"http://{host}:8001/", "other")
