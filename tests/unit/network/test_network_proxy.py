"""What the proxy makes of Services and EndpointSlices, and when it applies it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import msgspec
import pytest

from steersman.client.interface import Change, Listing
from steersman.client.view import FollowedViews
from steersman.model.kind import Kind
from steersman.model.kinds.endpointslice import ENDPOINTSLICE, EndpointSlice
from steersman.model.kinds.service import SERVICE, Service
from steersman.network import rules
from steersman.network.dns import followed
from steersman.network.nft import RulesRefused
from steersman.network.proxy import Proxy, plan_ports
from steersman.network.rules import Endpoint, ServicePort
from steersman.world.real import RealWorld

WAIT_SECONDS = 10.0
PODS = IPv4Network("10.244.0.0/24")
ADDRESS = "10.96.0.10"


def service(*ports: dict[str, Any], labels: Any = (), status: Any = None, **spec: Any) -> Service:
    document = {
        "metadata": {"namespace": "default", "name": "web", "labels": dict(labels)},
        "spec": {"clusterIP": ADDRESS, "ports": list(ports) or [{"port": 80}], **spec},
        "status": status or {},
    }
    return msgspec.convert(document, Service)


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


def slice_of(*endpoints: dict[str, Any], **fields: Any) -> EndpointSlice:
    document = {
        "metadata": {
            "namespace": "default",
            "name": "web-1",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": list(endpoints),
        **fields,
    }
    return msgspec.convert(document, EndpointSlice)


def planned(found: Service, *slices: EndpointSlice) -> list[ServicePort]:
    return list(plan_ports(found, slices))


def behind(found: Service, *slices: EndpointSlice) -> list[str]:
    """The endpoints of a Service's one port."""
    (port,) = planned(found, *slices)
    return [f"{one.address}:{one.port}" for one in port.endpoints]


def test_a_port_has_the_ready_endpoints_of_all_slices_in_order_and_once() -> None:
    first = slice_of(endpoint("10.244.0.3", ready=True), endpoint("10.244.0.2"))
    second = slice_of(endpoint("10.244.0.3", ready=True), endpoint("10.244.0.10", ready=True))
    (port,) = planned(service(), first, second)
    assert port == ServicePort(
        key="default/web::tcp:80",
        protocol="tcp",
        port=80,
        addresses=(IPv4Address(ADDRESS),),
        endpoints=tuple(Endpoint(IPv4Address(f"10.244.0.{number}"), 8080) for number in (2, 3, 10)),
        node_port=0,
    )


def test_endpoints_that_are_not_ready_are_left_out() -> None:
    found = slice_of(endpoint("10.244.0.2", ready=False), endpoint("10.244.0.3", ready=True))
    assert behind(service(), found) == ["10.244.0.3:8080"]


def test_terminating_endpoints_that_serve_stand_in_only_where_none_is_ready() -> None:
    ending = endpoint("10.244.0.2", ready=False, serving=True, terminating=True)
    unknown = endpoint("10.244.0.3", ready=False, terminating=True)
    silent = endpoint("10.244.0.4", ready=False, serving=False, terminating=True)
    starting = endpoint("10.244.0.5", ready=False, serving=True, terminating=False)
    found = slice_of(ending, unknown, silent, starting)
    assert behind(service(), found) == ["10.244.0.2:8080", "10.244.0.3:8080"]
    ready = slice_of(endpoint("10.244.0.6", ready=True))
    assert behind(service(), found, ready) == ["10.244.0.6:8080"]


def test_ports_find_their_number_in_each_slice_by_name_and_protocol() -> None:
    found = service(
        {"name": "http", "port": 80, "targetPort": "web"},
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "missing", "port": 99},
    )
    one = slice_of(
        endpoint("10.244.0.2"),
        ports=[
            {"name": "http", "port": 8080, "protocol": "TCP"},
            {"name": "dns", "port": 1, "protocol": "TCP"},
            {"name": "dns", "port": 5353, "protocol": "UDP"},
        ],
    )
    other = slice_of(endpoint("10.244.0.3"), ports=[{"name": "http", "port": 9090}])
    ports = {port.key: port for port in planned(found, one, other)}
    assert list(ports) == [
        "default/web:http:tcp:80", "default/web:dns:udp:53", "default/web:missing:tcp:99",
    ]  # fmt: skip
    http, dns, missing = ports.values()
    assert [(str(it.address), it.port) for it in http.endpoints] == [
        ("10.244.0.2", 8080), ("10.244.0.3", 9090),
    ]  # fmt: skip
    assert (dns.protocol, dns.endpoints) == ("udp", (Endpoint(IPv4Address("10.244.0.2"), 5353),))
    assert missing.endpoints == ()


def test_a_service_without_slices_has_its_port_without_endpoints() -> None:
    assert behind(service()) == []


@pytest.mark.parametrize(
    "found",
    [
        service(clusterIP="None"),
        service(clusterIP=""),
        service(clusterIP="fd00::1"),
        service(type="ExternalName", externalName="example.org"),
        service(type="ExternalName", externalIPs=["192.0.2.1"], clusterIP=""),
        service(clusterIP="None", externalIPs=["192.0.2.1"]),
        service(labels={"service.kubernetes.io/service-proxy-name": "other"}),
    ],
    ids=["headless", "none yet", "IPv6", "name", "name outside", "headless outside", "other proxy"],
)
def test_services_that_are_none_of_the_proxy_have_no_ports(found: Service) -> None:
    assert planned(found, slice_of(endpoint("10.244.0.2"))) == []


def test_slices_and_addresses_of_other_families_are_left_out() -> None:
    six = slice_of(endpoint("fd00::2"), addressType="IPv6")
    named = slice_of(endpoint("example.org"), addressType="FQDN")
    odd = slice_of(endpoint("fd00::2"), {"addresses": []}, endpoint("10.244.0.2"))
    unnumbered = slice_of(endpoint("10.244.0.9"), ports=[{"name": ""}])
    assert behind(service(), six, named, odd, unnumbered) == ["10.244.0.2:8080"]


def test_protocols_that_rules_do_not_know_are_left_out() -> None:
    found = service(
        {"name": "a", "port": 1, "protocol": "SCTP"}, {"name": "b", "port": 2, "protocol": "QUIC"}
    )
    assert [port.protocol for port in planned(found)] == ["sctp"]


def test_external_and_balancer_addresses_come_after_the_cluster_address_and_once() -> None:
    found = service(
        externalIPs=["192.0.2.1", ADDRESS, "fd00::1"],
        status={
            "loadBalancer": {
                "ingress": [
                    {"ip": "192.0.2.2", "ipMode": "VIP"},
                    {"ip": "192.0.2.3", "ipMode": "Proxy"},
                    {"hostname": "example.org"},
                    {"ip": "192.0.2.1"},
                ]
            }
        },
    )
    (port,) = planned(found)
    assert [str(address) for address in port.addresses] == [ADDRESS, "192.0.2.1", "192.0.2.2"]


def test_a_node_port_is_kept() -> None:
    (port,) = planned(service({"port": 80, "nodePort": 30080}, type="NodePort"))
    assert port.node_port == 30080


def test_a_slice_belongs_to_the_service_that_its_label_names() -> None:
    assert followed.service_of(slice_of()) == ("default/web",)
    assert followed.service_of(slice_of(metadata={"namespace": "default", "name": "x"})) == ()


class Cluster:
    """What is followed: Services and EndpointSlices as a test sets them."""

    def __init__(self) -> None:
        self.revision = 1
        self.items: dict[str, list[Any]] = {SERVICE.plural: [], ENDPOINTSLICE.plural: []}
        self.changes: dict[str, asyncio.Queue[tuple[Change, ...]]] = {
            plural: asyncio.Queue() for plural in self.items
        }

    async def list(self, kind: Kind, namespace: str = "", *, fields: str = "") -> Listing:
        return Listing(tuple(self.items[kind.plural]), self.revision)

    async def watch(
        self, kind: Kind, namespace: str = "", *, after: int, fields: str = ""
    ) -> AsyncIterator[tuple[Change, ...]]:
        while True:
            yield await self.changes[kind.plural].get()

    def metadata_only(self) -> Cluster:
        return self

    def change(self, kind: Kind, found: Any) -> None:
        self.revision += 1
        self.changes[kind.plural].put_nowait((Change("MODIFIED", found, self.revision),))


class Recorder:
    """Notes what is applied; holds each application until it is let go."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.free = asyncio.Event()
        self.free.set()

    async def apply(self, text: str) -> None:
        self.begun.put_nowait(text)
        await self.free.wait()

    async def next(self) -> str:
        return await asyncio.wait_for(self.begun.get(), WAIT_SECONDS)


def run(test: Callable[[Cluster, Recorder, FollowedViews], Awaitable[None]]) -> None:
    async def scenario() -> None:
        world = RealWorld()
        cluster, recorder = Cluster(), Recorder()
        async with world.tasks() as tasks:
            views = FollowedViews(cluster, world, tasks)
            found = Proxy("abc", "steer-abc", PODS, views, recorder)
            tasks.start(found.run(), name="proxy")
            await test(cluster, recorder, views)
            tasks.stop()

    asyncio.run(scenario())


def rendered(*ports: ServicePort) -> str:
    return rules.render("abc", "steer-abc", PODS, ports)


def test_rules_are_applied_at_the_start_even_when_there_is_no_service() -> None:
    async def test(_: Cluster, recorder: Recorder, __: FollowedViews) -> None:
        assert await recorder.next() == rendered()

    run(test)


def test_changes_of_services_and_of_endpoints_reach_the_rules() -> None:
    async def test(cluster: Cluster, recorder: Recorder, _: FollowedViews) -> None:
        await recorder.next()
        cluster.change(SERVICE, service())
        assert await recorder.next() == rendered(*planned(service()))
        found = slice_of(endpoint("10.244.0.2"))
        cluster.change(ENDPOINTSLICE, found)
        assert await recorder.next() == rendered(*planned(service(), found))

    run(test)


def test_what_comes_while_rules_are_applied_is_in_the_next_application_together() -> None:
    async def test(cluster: Cluster, recorder: Recorder, views: FollowedViews) -> None:
        recorder.free.clear()
        await recorder.next()
        cluster.change(SERVICE, service())
        for number in range(2, 20):
            found = slice_of(endpoint(f"10.244.0.{number}"))
            cluster.change(ENDPOINTSLICE, found)
        await asyncio.wait_for(views.of(ENDPOINTSLICE).reached(cluster.revision), WAIT_SECONDS)
        assert recorder.begun.empty()
        recorder.free.set()
        assert await recorder.next() == rendered(*planned(service(), found))
        assert recorder.begun.empty()

    run(test)


def test_a_change_that_the_rules_do_not_show_is_not_applied() -> None:
    async def test(cluster: Cluster, recorder: Recorder, views: FollowedViews) -> None:
        await recorder.next()
        for found in (service(clusterIP="None"), service(clusterIP="None", labels={"a": "b"})):
            cluster.change(SERVICE, found)
            await asyncio.wait_for(views.of(SERVICE).reached(cluster.revision), WAIT_SECONDS)
            await asyncio.sleep(0)  # the proxy has its turn
        other = service(clusterIP="10.96.0.99")
        cluster.change(SERVICE, other)
        assert await recorder.next() == rendered(*planned(other))
        assert recorder.begun.empty()

    run(test)


def test_refused_rules_end_the_proxy_with_the_reason() -> None:
    class Refusing(Recorder):
        async def apply(self, text: str) -> None:
            raise RulesRefused("no such thing")

    async def scenario() -> None:
        world = RealWorld()
        async with world.tasks() as tasks:
            views = FollowedViews(Cluster(), world, tasks)
            found = Proxy("abc", "steer-abc", PODS, views, Refusing())
            with pytest.raises(RulesRefused, match="no such thing"):
                await asyncio.wait_for(found.run(), WAIT_SECONDS)
            tasks.stop()

    asyncio.run(scenario())
