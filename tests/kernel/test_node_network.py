"""Upstream's rows of [sig-network] in which somebody answers: pods, Services, names, host ports.

Who asks and who answers is a socket inside of a pod's network or the machine's, and httpd in pods.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from node_cluster import Cluster, Session, ended, needs_root
from node_network import (
    OF_SERVICE,
    REFUSED,
    Inside,
    Network,
    echoing,
    get,
    hears,
    network,
    so,
    until,
)

from ports import free_port
from steersman.cli.directory import Directory
from steersman.client import kubeconfig
from steersman.client.client import whole
from steersman.client.http import HTTPTransport
from steersman.cluster.server import first_address
from steersman.listen import certificates
from steersman.listen.serve import tls_context
from steersman.model.errors import NotFound
from steersman.model.kinds.endpointslice import ENDPOINTSLICE
from steersman.model.kinds.ipaddress import IPADDRESS
from steersman.model.kinds.service import SERVICE
from steersman.wire.message import Request

# One cluster for all of them
pytestmark = [*needs_root, pytest.mark.xdist_group("node network")]
Scenario = Callable[[Network], Coroutine[Any, Any, None]]
DOMAIN = "default.svc.cluster.local"


def run(cluster: Cluster, scenario: Scenario) -> None:
    """Runs a scenario, and removes what it has made."""

    async def main(session: Session) -> None:
        async with network(cluster, session) as made:
            await scenario(made)

    cluster.run(main)


def node_address(cluster: Cluster) -> str:
    return first_address(Directory(cluster.data).identity().pod_cidr)


# Host ports


def test_one_host_port_leads_to_pods_by_address_and_protocol_over_restarts(
    cluster: Cluster,
) -> None:
    here, port = node_address(cluster), free_port()

    def asks(host_ip: str, protocol: str = "TCP") -> dict[str, Any]:
        found = {"hostPort": port, "containerPort": 8080, "protocol": protocol}
        return {"ports": [{**found, "hostIP": host_ip}]}

    async def scenario(made: Network) -> None:
        await made.pod("pod1", **asks("127.0.0.1"))
        second = await made.pod("pod2", **asks(here))
        third = await made.pod("pod3", **asks(here, "UDP"))
        assert get(made.node, "127.0.0.1", port) == "pod1"
        assert get(made.node, here, port) == "pod2"
        assert get(second, here, port) == "pod2"
        with echoing(third, 8080, "pod3") as answer:
            assert hears(made.node, here, port, answer) == "pod3"
        placed = {"nodeName": third.pod.spec.node_name}  # past the scheduler
        late = await made.session.create("late", spec=placed, **asks("0.0.0.0"))
        refused = await made.session.until("late", ended)
        assert late.metadata.uid == refused.metadata.uid
        assert (refused.status.reason, refused.status.message) == (
            "NodePorts",
            "Pod was rejected: Predicate NodePorts failed: "
            "node(s) didn't have free ports for the requested pod ports",
        )
        await made.session.delete("late", grace=0)
        killed = cluster.agent()
        os.kill(killed, signal.SIGKILL)
        assert get(made.node, "127.0.0.1", port) == "pod1"
        await made.pod("after")  # there is an agent again
        assert cluster.agent() != killed
        assert get(made.node, "127.0.0.1", port) == "pod1"
        await made.remove("pod1")
        await until(made.node, "127.0.0.1", port, REFUSED)
        assert get(made.node, here, port) == "pod2"
        await made.remove("pod2")
        await until(made.node, here, port, REFUSED)

    run(cluster, scenario)


# Networking


def test_pods_and_node_reach_every_pod_by_http_and_datagrams(cluster: Cluster) -> None:
    async def scenario(made: Network) -> None:
        pods = await made.pods("netserver-0", "netserver-1", "test-container")
        for asking in (*pods, made.node):
            for pod in pods:
                name = pod.pod.metadata.name
                assert get(asking, pod.address, 8080) == name
                with echoing(pod, 8081, name) as answer:
                    assert hears(asking, pod.address, 8081, answer) == name

    run(cluster, scenario)


# Services


def test_endpoints_follow_pods_port_by_port_and_traffic_follows_them(cluster: Cluster) -> None:
    """Rows "serve a basic endpoint from pods" and "serve multiport endpoints from pods"."""

    async def scenario(made: Network) -> None:
        ports = [
            {"name": "portname1", "port": 80, "targetPort": "first"},
            {"name": "portname2", "port": 81, "targetPort": "second"},
        ]
        service = await made.service("multi", app="multi", ports=ports)
        address = service["spec"]["clusterIP"]
        await made.endpoints("multi")
        assert get(made.node, address, 80) == REFUSED
        client = await made.pod("client")

        def named(name: str, number: int) -> dict[str, Any]:
            labels = {"app": "multi"}
            return {"labels": labels, "ports": [{"name": name, "containerPort": number}]}

        one = await made.pod("pod1", 100, **named("first", 100))
        await made.endpoints("multi", (one.address, 100))
        await until(client, address, 80, "pod1")
        two = await made.pod("pod2", 101, **named("second", 101))
        await made.endpoints("multi", (one.address, 100), (two.address, 101))
        for asking in (client, made.node):
            await until(asking, address, 81, "pod2")
            assert get(asking, address, 80) == "pod1"
        await made.remove("pod1")
        await made.endpoints("multi", (two.address, 101))
        await until(client, address, 80, REFUSED)
        assert get(client, address, 81) == "pod2"
        await made.remove("pod2")
        await made.endpoints("multi")
        await until(client, address, 81, REFUSED)

    run(cluster, scenario)


def test_one_port_serves_two_protocols_and_each_can_go(cluster: Cluster) -> None:
    async def scenario(made: Network) -> None:
        ports = [
            {"name": f"{kind}-port", "port": 80, "targetPort": 8080, "protocol": kind.upper()}
            for kind in ("tcp", "udp")
        ]
        address = (await made.service("both", app="both", ports=ports))["spec"]["clusterIP"]
        pod = await made.pod("pod", labels={"app": "both"})
        client = await made.pod("client")
        await made.endpoints("both", (pod.address, 8080), (pod.address, 8080))
        await until(client, address, 80, "pod")
        with echoing(pod, 8080, "pod") as answer:
            assert hears(client, address, 80, answer) == "pod"
        await made.change("both", ports=[ports[1]])
        await made.endpoints("both", (pod.address, 8080))
        await until(client, address, 80, REFUSED)
        with echoing(pod, 8080, "pod") as answer:
            assert hears(client, address, 80, answer) == "pod"
        await made.change("both", ports=[ports[0]])
        await until(client, address, 80, "pod")

    run(cluster, scenario)


def test_slices_made_by_hand_lead_a_service_to_their_addresses_and_ports(
    cluster: Cluster,
) -> None:
    """Rows of EndpointSlice with several addresses, and with several ports, in several slices."""

    async def scenario(made: Network) -> None:
        ports = [
            {"name": f"port{number}", "port": 80 + number, "targetPort": 8080 + number}
            for number in range(2)
        ]
        address = (await made.service("by-hand", ports=ports))["spec"]["clusterIP"]
        one = await made.pod("one", 8080)
        two = await made.pod("two", 8081)

        async def behind(name: str, pod: Inside, port: str, number: int) -> None:
            document = {
                "metadata": {"name": name, "labels": {OF_SERVICE: "by-hand"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [pod.address], "conditions": {"ready": True}}],
                "ports": [{"name": port, "port": number, "protocol": "TCP"}],
            }
            await made.client.create(ENDPOINTSLICE, document, namespace="default")

        await behind("a", one, "port0", 8080)
        await behind("b", two, "port1", 8081)
        for asking in (made.node, one):
            await until(asking, address, 80, "one")
            await until(asking, address, 81, "two")
        await made.client.delete(ENDPOINTSLICE.ref("default", "b"))
        second = one.listen(8081)  # the same address in both
        await behind("c", one, "port1", 8081)
        with serving(second, "again"):
            await until(two, address, 81, "again")
            assert get(two, address, 80) == "one"

    run(cluster, scenario)


@contextmanager
def serving(listener: Any, text: str, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    """Answers every HTTP request at a listener with a text and, where it is empty, with what was
    asked (agnhost porter, with --json-response)."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            said = {"Method": self.command, "Body": "foo"}
            body = (text or json.dumps(said)).encode()
            self.send_response(200)
            kind = "text/html" if text else "application/json"
            for name, value in (("content-type", kind), ("content-length", len(body))):
                self.send_header(name, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

        def log_message(self, *words: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    listener.settimeout(None)
    server.socket = tls.wrap_socket(listener, server_side=True) if tls else listener
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def reachable(made: Network, found: dict[str, Any], name: str, *asking: Any) -> None:
    """A Service of a name is reached by name, address and, where it has one, node port."""
    spec = found["spec"]
    (port,) = spec["ports"]
    client: Inside = asking[0]
    for place in (*asking, made.node):
        await until(place, spec["clusterIP"], port["port"], name)
        if number := port.get("nodePort"):
            await until(place, node_address(made.cluster), number, name)
    looked_up = client.run("nslookup", f"{found['metadata']['name']}.{DOMAIN}")
    assert f"Address: {spec['clusterIP']}\n" in looked_up


def test_a_node_port_is_reached_by_name_address_and_node(cluster: Cluster) -> None:
    async def scenario(made: Network) -> None:
        pod, client = await made.pods("web", "client")
        found = await made.service("nodeport-test", app="web", type="NodePort")
        await made.endpoints("nodeport-test", (pod.address, 8080))
        await reachable(made, found, "web", client, pod)

    run(cluster, scenario)


def test_a_service_changes_its_type_and_is_reached_as_that(cluster: Cluster) -> None:
    """The four rows "be able to change the type from ... to ..."."""

    async def scenario(made: Network) -> None:
        pod, client = await made.pods("web", "client")
        far = {"type": "ExternalName", "externalName": "example.com"}
        ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
        near = {"externalName": None, "ports": ports, "selector": {"app": "web"}}
        await made.service("changing", **far)
        for kind in ("ClusterIP", "NodePort"):
            found = await made.change("changing", type=kind, **near)
            await made.endpoints("changing", (pod.address, 8080))
            await reachable(made, found, "web", client)
            gone = {"clusterIP": None, "clusterIPs": None, "selector": None, "ports": None}
            away = await made.change("changing", **far, **gone)
            assert "clusterIP" not in away["spec"]
            said = client.run("nslookup", "-type=cname", f"changing.{DOMAIN}")
            assert "canonical name = example.com" in said
            with pytest.raises(NotFound):
                await made.client.get(IPADDRESS.ref("", found["spec"]["clusterIP"]))
            if number := found["spec"]["ports"][0].get("nodePort"):
                await until(made.node, node_address(cluster), number, REFUSED)

    run(cluster, scenario)


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
def test_clients_stay_where_a_service_says_so_and_that_can_be_switched(
    cluster: Cluster, kind: str
) -> None:
    """Rows "have session affinity work" and "switch session affinity", of both types."""
    tries = 15  # AffinityConfirmCount

    async def scenario(made: Network) -> None:
        pods = await made.pods("a", "b", "c", labels={"app": "affinity"})
        client = await made.pod("client")
        found = await made.service(
            "affinity", app="affinity", type=kind, sessionAffinity="ClientIP"
        )
        await made.endpoints("affinity", *((it.address, 8080) for it in pods))
        names = {it.pod.metadata.name for it in pods}
        (port,) = found["spec"]["ports"]
        at = (found["spec"]["clusterIP"], 80)
        if kind == "NodePort":
            at = (node_address(cluster), port["nodePort"])
        first = await until(client, *at, names)
        assert {get(client, *at) for _ in range(tries)} == {first}
        await made.change("affinity", sessionAffinity="None", sessionAffinityConfig=None)
        await until(client, *at, names - {first})
        await made.change("affinity", sessionAffinity="ClientIP")
        # A row of so many is chance once in some million runs where nobody stays
        await so(lambda: len({get(client, *at) for _ in range(tries)}) == 1)

    run(cluster, scenario)


def test_two_hundred_services_have_their_endpoints_soon(cluster: Cluster) -> None:
    """Row "Service endpoints latency": 200 Services, 15 at a time, each timed from its creation to
    its endpoints; half of them within 20 s and nearly all within 50 s."""
    trials, at_a_time = 200, asyncio.Semaphore(15)
    labels = {"row": "latency"}

    async def scenario(made: Network) -> None:
        pod = await made.pod("svc-latency")
        there = {f"latency-{number}": asyncio.Event() for number in range(trials)}
        before = await made.client.list(ENDPOINTSLICE, "default", labels="row=latency")

        async def listen() -> None:
            following = made.client.watch(
                ENDPOINTSLICE, "default", after=before.revision, labels="row=latency"
            )
            async for changes in following:
                for change in changes:
                    if change.object and (pod.address,) in [
                        it.addresses for it in change.object.endpoints
                    ]:
                        there[change.object.metadata.labels[OF_SERVICE]].set()

        async def once(name: str, reached: asyncio.Event) -> float:
            async with at_a_time:
                began = time.monotonic()
                spec = {"selector": {"app": "svc-latency"}, "ports": [{"port": 80}]}
                document = {"metadata": {"name": name, "labels": labels}, "spec": spec}
                await made.client.create(SERVICE, document, namespace="default")
                await reached.wait()
                return time.monotonic() - began

        listening = asyncio.create_task(listen())
        took = sorted(await asyncio.gather(*(once(*each) for each in there.items())))
        listening.cancel()
        await made.client.delete_collection(SERVICE, "default", labels="row=latency")
        assert took[trials // 2] < 20
        assert took[trials * 99 // 100] < 50

    run(cluster, scenario)


# Names


def found_in(text: str) -> set[str]:
    """Returns the addresses that nslookup found, without that of the server."""
    return set(re.findall(r"^Address: (\S+)$", text, re.M))


def test_services_are_found_by_every_form_of_their_names(cluster: Cluster) -> None:
    """Rows "DNS for services", "for the cluster" and "partial qualified names"."""

    async def scenario(made: Network) -> None:
        web, client = await made.pods("web", "client")
        service = await made.service("dns-test-service", app="web")
        await made.service("headless", app="web", clusterIP="None")
        for name in ("dns-test-service", "headless"):
            await made.endpoints(name, (web.address, 8080))
        own = service["spec"]["clusterIP"]
        for name, address in (("dns-test-service", own), ("headless", web.address)):
            for form in (name, f"{name}.default", f"{name}.default.svc", f"{name}.{DOMAIN}"):
                assert client.resolve(form) == {address}, form
            said = client.run("nslookup", "-type=srv", f"_http._tcp.{name}.{DOMAIN}")
            number = 80 if name == "dns-test-service" else 8080
            assert re.search(rf"service = \d+ \d+ {number} \S*{name}\.{DOMAIN}", said), said
        assert f"name = dns-test-service.{DOMAIN}" in client.run("nslookup", own)
        cluster_own = (await made.read("kubernetes"))["spec"]["clusterIP"]
        for form in ("kubernetes", "kubernetes.default", "kubernetes.default.svc", DOMAIN):
            name = f"kubernetes.{DOMAIN}" if form == DOMAIN else form
            assert client.resolve(name) == {cluster_own}, name

    run(cluster, scenario)


def test_pods_are_found_by_hostname_and_subdomain_and_know_themselves(cluster: Cluster) -> None:
    """Rows "/etc/hosts entries for the cluster" and "DNS for pods for Hostname", "Subdomain"."""

    async def scenario(made: Network) -> None:
        spec = {"hostname": "dns-querier-2", "subdomain": "dns-test-service-2"}
        await made.service("dns-test-service-2", app="querier", clusterIP="None")
        pod = await made.pod("named", labels={"app": "querier"}, spec=spec)
        await made.endpoints("dns-test-service-2", (pod.address, 8080))
        full = f"dns-querier-2.dns-test-service-2.{DOMAIN}"
        assert f"{pod.address}\t{full}\tdns-querier-2\n" in pod.run("cat", "/etc/hosts")
        for name in (full, f"dns-test-service-2.{DOMAIN}"):
            assert found_in(pod.run("nslookup", name)) == {pod.address}
        assert f"name = {full}" in pod.run("nslookup", pod.address)

    run(cluster, scenario)


def test_an_external_name_is_an_alias_that_changes_and_becomes_an_address(
    cluster: Cluster,
) -> None:
    async def scenario(made: Network) -> None:
        client = await made.pod("client")
        name = f"dns-test-service-3.{DOMAIN}"
        far = {"type": "ExternalName", "externalName": "foo.example.com"}
        await made.service("dns-test-service-3", **far)

        async def says(kind: str, wanted: str) -> None:
            await so(lambda: wanted in client.run("nslookup", f"-type={kind}", name))

        await says("cname", "canonical name = foo.example.com")
        await made.change("dns-test-service-3", externalName="bar.example.com")
        await says("cname", "canonical name = bar.example.com")
        ports = [{"name": "http", "port": 80, "targetPort": 80, "protocol": "TCP"}]
        near = {"type": "ClusterIP", "externalName": None, "ports": ports}
        found = await made.change("dns-test-service-3", **near)
        await says("a", f"Address: {found['spec']['clusterIP']}\n")

    run(cluster, scenario)


def test_a_pod_may_name_its_nameservers_itself(cluster: Cluster) -> None:
    async def scenario(made: Network) -> None:
        config = {"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"]}
        pod = await made.pod("configured", spec={"dnsPolicy": "None", "dnsConfig": config})
        said = pod.run("cat", "/etc/resolv.conf")
        assert said.splitlines() == ["search resolv.conf.local", "nameserver 1.1.1.1"]

    run(cluster, scenario)


# The API server's proxy


async def asked(cluster: Cluster, path: str, method: str = "GET") -> tuple[int, str]:
    """Asks the API server; returns the code and the body, or where a redirect leads."""
    transport = HTTPTransport(kubeconfig.read(cluster.kubeconfig))
    place, _, query = path.partition("?")
    try:
        answer = await transport.send(Request(method, place, query))
        body = (await whole(answer)).decode()
        return answer.status, (answer.headers or {}).get("location", body)
    finally:
        await transport.close()


PODS, SERVICES = (f"/api/v1/namespaces/default/{kind}" for kind in ("pods", "services"))


def test_every_verb_goes_through_the_proxy_to_pods_and_services(cluster: Cluster) -> None:
    async def scenario(made: Network) -> None:
        ports = [{"containerPort": 80}]
        pod = await made.pod("agnhost", 8080, ports=ports)
        await made.service("test-service", app="agnhost", ports=[{"port": 80}])
        await made.endpoints("test-service", (pod.address, 80))
        with serving(pod.listen(80), ""):
            for base in (f"{PODS}/agnhost/proxy", f"{SERVICES}/test-service/proxy"):
                for verb in ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"):
                    code, body = await asked(cluster, f"{base}/some/path/with/{verb}", verb)
                    said = "" if verb == "HEAD" else json.dumps({"Method": verb, "Body": "foo"})
                    assert (code, body) == (200, said), verb
                for verb in ("DELETE", "OPTIONS", "PATCH", "POST", "PUT"):
                    code, body = await asked(cluster, f"{base}?method={verb}", verb)
                    assert (code, json.loads(body)["Method"]) == (200, verb)
                for verb in ("GET", "HEAD"):
                    code, location = await asked(cluster, f"{base}?method={verb}", verb)
                    assert (code, location) == (301, f"{base}/?method={verb}")

    run(cluster, scenario)


def test_the_proxy_finds_ports_by_name_number_and_scheme_and_changes_links(
    cluster: Cluster, tmp_path: Path
) -> None:
    files = certificates.ensure(tmp_path, ["10.96.0.1"], time.time())
    tls = tls_context(files.certificate(), files.key(), files.ca)
    link, secure_link = (f'<a href="/{it}rewriteme">test</a>' for it in ("", "tls"))

    async def scenario(made: Network) -> None:
        named = {"dest1": 160, "dest2": 162, "tlsdest1": 460, "tlsdest2": 462}
        ports = [{"name": "first", "containerPort": 80}]
        ports += [{"name": name, "containerPort": number} for name, number in named.items()]
        pod = await made.pod("porter", ports=ports)
        of_service = [
            {"name": name, "port": number, "targetPort": target}
            for name, number, target in (
                ("portname1", 80, "dest1"),
                ("portname2", 81, 162),
                ("tlsportname1", 443, "tlsdest1"),
                ("tlsportname2", 444, 462),
            )
        ]
        await made.service("porter", app="porter", ports=of_service)
        await made.endpoints("porter", *((pod.address, number) for number in named.values()))
        texts = {80: link, 1080: link, 160: "foo", 162: "bar"}
        secure = {443: secure_link, 460: "tls baz", 462: "tls qux"}
        expected: dict[str, str] = {}
        for scheme in ("", "http:"):
            expected |= {
                f"{SERVICES}/{scheme}porter:portname1": "foo",
                f"{SERVICES}/{scheme}porter:portname2": "bar",
                f"{PODS}/{scheme}porter:1080": link,
                f"{PODS}/{scheme}porter:160": "foo",
                f"{PODS}/{scheme}porter:162": "bar",
            }
        expected |= {
            f"{SERVICES}/https:porter:tlsportname1": "tls baz",
            f"{SERVICES}/https:porter:tlsportname2": "tls qux",
            f"{PODS}/porter": link,
            f"{PODS}/https:porter:443": secure_link,
            f"{PODS}/https:porter:460": "tls baz",
            f"{PODS}/https:porter:462": "tls qux",
        }
        with served_at(pod, texts, None), served_at(pod, secure, tls):
            for place, text in expected.items():
                wanted = text.replace('href="/', f'href="{place}/proxy/')
                assert await asked(cluster, f"{place}/proxy/") == (200, wanted), place

    run(cluster, scenario)


@contextmanager
def served_at(pod: Inside, texts: dict[int, str], tls: ssl.SSLContext | None) -> Iterator[None]:
    """Answers at several ports of a pod."""
    if not texts:
        yield
        return
    (number, text), *rest = texts.items()
    with serving(pod.listen(number), text, tls), served_at(pod, dict(rest), tls):
        yield
