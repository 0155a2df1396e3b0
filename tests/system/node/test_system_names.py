"""Names: what a pod's own resolver finds, and what it reaches by name."""

from __future__ import annotations

import re

from steered import (
    TOOLS,
    Cluster,
    container,
    deployment,
    environment,
    from_here,
    pod,
    service,
)

WEB = {"name": "main", "image": TOOLS, "ports": [{"containerPort": 80}]}
PEER = {"hostname": "peer-0", "subdomain": "peers"}


def inside(cluster: Cluster, namespace: str, *words: str) -> str:
    """Runs a command in the client pod; returns what it prints, also where it fails.

    Over SPDY: on a machine that has much to do, kubectl drops what a WebSocket brings before it has
    made its streams ("Unknown stream id 1, discarding message").
    """
    env = {**environment(), "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
    done = cluster.try_kubectl("exec", "-n", namespace, "client", "--", *words, env=env)
    return done.stdout + done.stderr


def addresses(text: str) -> set[str]:
    """Returns the addresses that nslookup found, without that of the server."""
    return set(re.findall(r"^Address: (\S+)$", text, re.M))


def lookup(cluster: Cluster, namespace: str, name: str, *words: str) -> str:
    return inside(cluster, namespace, "nslookup", *words, name)


def test_a_pod_finds_services_and_pods_by_name_and_reaches_them(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply(
        namespace,
        deployment("web", 2, WEB),
        service("web"),
        service("peers", clusterIP="None"),
        pod("peer", WEB, labels={"app": "peers"}, **PEER),
        pod("client"),
    )
    cluster.wait("deployment/web", "condition=Available", "-n", namespace)
    for name in ("peer", "client"):
        cluster.wait(f"pod/{name}", "condition=Ready", "-n", namespace)
    found = cluster.json("service", "web", "-n", namespace)["spec"]["clusterIP"]
    peer = cluster.json("pod", "peer", "-n", namespace)["status"]["podIP"]
    cluster.wait_endpoints("peers", namespace, 1)
    cluster.wait_endpoints("web", namespace, 2)
    full = f"{namespace}.svc.cluster.local"
    assert addresses(lookup(cluster, namespace, f"web.{full}")) == {found}
    assert addresses(lookup(cluster, namespace, f"peers.{full}")) == {peer}
    assert addresses(lookup(cluster, namespace, f"peer-0.peers.{full}")) == {peer}
    assert f"name = peer-0.peers.{full}" in lookup(cluster, namespace, peer)
    assert "NXDOMAIN" in lookup(cluster, namespace, f"missing.{full}")
    pods = cluster.json("pods", "-n", namespace, "-l", "app=web")["items"]
    names = {each["metadata"]["name"] for each in pods}
    for url in (f"http://web.{full}/", f"http://web.{namespace}.svc/", "http://web/"):
        assert inside(cluster, namespace, "timeout", "5", "wget", "-qO-", url).strip() in names
    assert "peer" in inside(cluster, namespace, "wget", "-qO-", f"http://peer-0.peers.{full}/")


def test_an_external_name_leads_to_where_it_says(cluster: Cluster, namespace: str) -> None:
    target = "kubernetes.default.svc.cluster.local"
    spec = {"type": "ExternalName", "externalName": target}
    alias = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "far"}, "spec": spec}
    cluster.apply(namespace, alias, pod("client"))
    cluster.wait("pod/client", "condition=Ready", "-n", namespace)
    text = lookup(cluster, namespace, f"far.{namespace}.svc.cluster.local")
    own = cluster.json("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]
    assert f"canonical name = {target}" in text
    assert addresses(text) == {own}


def test_a_pod_hears_what_its_resolver_cannot_hold(cluster: Cluster, namespace: str) -> None:
    config = {"searches": [f"d{number}.example" for number in range(30)]}
    cluster.apply(namespace, pod("client", dnsConfig=config))
    event = cluster.until_event("client", "DNSConfigForming", "-n", namespace)
    assert event["message"].startswith("Search Line limits were exceeded, some search paths have")


def test_a_load_balancer_answers_on_its_address_and_clients_stay(
    cluster: Cluster, namespace: str
) -> None:
    balanced = service("web", type="LoadBalancer", sessionAffinity="ClientIP")
    cluster.apply(namespace, deployment("web", 3, WEB), balanced, pod("client"))
    cluster.wait("deployment/web", "condition=Available", "-n", namespace)
    cluster.wait("service/web", "jsonpath={.status.loadBalancer.ingress}", "-n", namespace)
    cluster.wait("pod/client", "condition=Ready", "-n", namespace)
    cluster.wait_endpoints("web", namespace, 3)
    found = cluster.json("service", "web", "-n", namespace)
    (ingress,) = found["status"]["loadBalancer"]["ingress"]
    assert ingress["ipMode"] == "VIP"
    row = cluster.kubectl("get", "service", "web", "-n", namespace, "--no-headers").split()
    assert row[3] == ingress["ip"]
    pods = cluster.json("pods", "-n", namespace, "-l", "app=web")["items"]
    names = {each["metadata"]["name"] for each in pods}
    url = f"http://{ingress['ip']}/"
    assert {from_here(url) for _ in range(8)} < names
    assert inside(cluster, namespace, "wget", "-qO-", url).strip() in names


def test_a_pod_of_the_host_network_asks_the_cluster_where_its_policy_says_so(
    cluster: Cluster, namespace: str
) -> None:
    script = "nslookup kubernetes.default.svc.cluster.local"
    for name, policy in (("host", "ClusterFirst"), ("both", "ClusterFirstWithHostNet")):
        spec = {"hostNetwork": True, "dnsPolicy": policy, "restartPolicy": "Never"}
        cluster.apply(namespace, pod(name, container(f"{script}; exit 0"), **spec))
        cluster.wait(f"pod/{name}", "jsonpath={.status.phase}=Succeeded", "-n", namespace)
    own = cluster.json("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]
    assert own in addresses(cluster.kubectl("logs", "both", "-n", namespace))
    assert own not in cluster.kubectl("logs", "host", "-n", namespace)
