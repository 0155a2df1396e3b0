"""What becomes of Services and EndpointSlices: ports, and who stands behind them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from proxied import ADDRESS, behind, endpoint, planned, service, slice_of

from steersman.model.kinds.service import Service
from steersman.network.dns import followed
from steersman.network.planning import Health, plan_health, plan_health_port
from steersman.network.service_port import Endpoint, ServicePort


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
    named = slice_of(endpoint("10.244.0.7"), addressType="FQDN")
    odd = slice_of(endpoint("fd00::2"), {"addresses": []}, endpoint("10.244.0.2"))
    unnumbered = slice_of(endpoint("10.244.0.9"), ports=[{"name": ""}])
    assert behind(service(), six, named, odd, unnumbered) == ["10.244.0.2:8080"]


def test_protocols_that_rules_do_not_know_are_left_out() -> None:
    found = service(
        {"name": "a", "port": 1, "protocol": "SCTP"}, {"name": "b", "port": 2, "protocol": "QUIC"}
    )
    assert [port.protocol for port in planned(found)] == ["sctp"]


def test_external_and_balancer_addresses_are_kept_apart_and_once() -> None:
    found = service(
        externalIPs=["192.0.2.1", ADDRESS, "fd00::1", "192.0.2.1"],
        status={
            "loadBalancer": {
                "ingress": [
                    {"ip": "192.0.2.2", "ipMode": "VIP"},
                    {"ip": "192.0.2.3", "ipMode": "Proxy"},
                    {"hostname": "example.org"},
                    {"ip": "192.0.2.1"},
                    {"ip": "192.0.2.2"},
                ]
            }
        },
    )
    (port,) = planned(found)
    assert port.addresses == (IPv4Address(ADDRESS),)
    assert port.external == (IPv4Address("192.0.2.1"),)
    assert port.balanced == (IPv4Address("192.0.2.2"),)


@pytest.mark.parametrize(
    ("ranges", "sources"),
    [
        ([], None),
        (["10.0.0.0/8", " 192.0.2.1/32 "], ("10.0.0.0/8", "192.0.2.1/32")),
        (["fd00::/8"], ()),
        (["10.1.2.3/8"], ("10.0.0.0/8",)),
    ],
)
def test_source_ranges_say_who_may_ask(ranges: list[str], sources: Any) -> None:
    (port,) = planned(service(loadBalancerSourceRanges=ranges))
    wanted = None if sources is None else tuple(IPv4Network(text) for text in sources)
    assert port.sources == wanted


def test_affinity_lasts_as_long_as_the_service_says() -> None:
    config = {"clientIP": {"timeoutSeconds": 60}}
    for found, seconds in (
        (service(), 0),
        (service(sessionAffinity="None", sessionAffinityConfig=config), 0),
        (service(sessionAffinity="ClientIP"), 10800),
        (service(sessionAffinity="ClientIP", sessionAffinityConfig={}), 10800),
        (service(sessionAffinity="ClientIP", sessionAffinityConfig=config), 60),
    ):
        assert planned(found)[0].affinity_seconds == seconds


def on(node: str, address: str, **conditions: bool) -> dict[str, Any]:
    return {**endpoint(address, **conditions), "nodeName": node}


def local(found: Service, *endpoints: dict[str, Any]) -> ServicePort:
    (port,) = planned(found, slice_of(*endpoints), node="here")
    return port


def addressed(found: tuple[Endpoint, ...] | None) -> list[str] | None:
    return None if found is None else [str(it.address) for it in found]


def test_traffic_policies_keep_to_the_endpoints_of_the_node() -> None:
    here, there = on("here", "10.244.0.2", ready=True), on("there", "10.245.0.2", ready=True)
    for policies, inside, outside in (
        ({}, None, None),
        ({"internalTrafficPolicy": "Local"}, ["10.244.0.2"], None),
        ({"externalTrafficPolicy": "Local"}, None, ["10.244.0.2"]),
    ):
        port = local(service(**policies), here, there)
        assert addressed(port.endpoints) == ["10.244.0.2", "10.245.0.2"]
        assert (addressed(port.inside), addressed(port.outside)) == (inside, outside)
    port = local(service(internalTrafficPolicy="Local", externalTrafficPolicy="Local"), there)
    assert (port.inside, port.outside) == ((), ())


def test_endpoints_that_end_here_serve_the_node_while_others_are_ready_elsewhere() -> None:
    ending = on("here", "10.244.0.2", ready=False, serving=True, terminating=True)
    there = on("there", "10.245.0.2", ready=True)
    port = local(service(externalTrafficPolicy="Local"), ending, there)
    assert addressed(port.endpoints) == ["10.245.0.2"]
    assert addressed(port.outside) == ["10.244.0.2"]


def hinted(address: str, zones: str = "", nodes: str = "", **fields: Any) -> dict[str, Any]:
    """Returns an endpoint that is ready, for the zones and nodes of some letters."""
    hints = {
        "forZones": [{"name": f"zone-{it}"} for it in zones],
        "forNodes": [{"name": f"node-{it}"} for it in nodes],
    }
    return {**endpoint(address, ready=True), "hints": hints, **fields}


def near(*endpoints: dict[str, Any], node: str = "node-a", zone: str = "zone-a") -> list[str]:
    """Returns the last digits of the endpoints that a node uses."""
    (port,) = planned(service(), slice_of(*endpoints), node=node, zone=zone)
    return [str(it.address).rsplit(".", 1)[1] for it in port.endpoints]


def test_a_node_uses_the_endpoints_that_are_meant_for_its_zone() -> None:
    found = (hinted("10.0.0.1", "a"), hinted("10.0.0.2", "b"), hinted("10.0.0.3", "ab"))
    assert near(*found) == ["1", "3"]
    assert near(*found, zone="zone-b") == ["2", "3"]


def test_hints_hold_where_each_ready_endpoint_has_one_and_some_are_for_this_zone() -> None:
    found = (hinted("10.0.0.1", "a"), hinted("10.0.0.2", "b"))
    assert near(*found, zone="zone-c") == near(*found, zone="") == ["1", "2"]
    assert near(*found, endpoint("10.0.0.3", ready=True)) == ["1", "2", "3"]
    assert near(*found, hinted("10.0.0.3")) == ["1", "2", "3"]
    ending = endpoint("10.0.0.4", ready=False, serving=True, terminating=True)
    assert near(*found, ending) == ["1"]


def test_what_is_meant_for_the_node_comes_before_what_is_meant_for_its_zone() -> None:
    found = (hinted("10.0.0.1", "a", "a"), hinted("10.0.0.2", "a", "b"))
    other = hinted("10.0.0.3", "b", "c")
    assert near(*found, other) == ["1"]
    assert near(*found, other, node="node-d") == ["1", "2"]
    assert near(*found, hinted("10.0.0.3", "a")) == ["1", "2", "3"]  # one is for no node


def test_where_only_ending_endpoints_are_left_hints_say_nothing() -> None:
    ending = {"conditions": {"ready": False, "serving": True, "terminating": True}}
    found = (hinted("10.0.0.1", "a", **ending), hinted("10.0.0.2", "b", **ending))
    assert near(*found) == ["1", "2"]


def test_a_traffic_policy_keeps_to_the_node_whatever_hints_say() -> None:
    local = hinted("10.0.0.1", "b", nodeName="node-a")
    other = hinted("10.0.0.2", "a", nodeName="node-b")
    found = service(externalTrafficPolicy="Local")
    (port,) = planned(found, slice_of(local, other), node="node-a", zone="zone-a")
    assert (addressed(port.endpoints), addressed(port.outside)) == (["10.0.0.2"], ["10.0.0.1"])
    assert addressed(port.reached) == ["10.0.0.1", "10.0.0.2"]


BALANCED = {
    "type": "LoadBalancer",
    "externalTrafficPolicy": "Local",
    "healthCheckNodePort": 31000,
}


def test_a_health_check_counts_the_endpoints_of_the_node_once() -> None:
    found = service({"name": "a", "port": 80}, {"name": "b", "port": 81}, **BALANCED)
    ports = [{"name": "a", "port": 8080}, {"name": "b", "port": 8081}]
    slices = [
        slice_of(
            on("here", "10.244.0.2", ready=True),
            on("here", "10.244.0.3", ready=True),
            on("there", "10.245.0.2", ready=True),
            ports=ports,
        )
    ]
    assert plan_health(found, slices, "here") == Health("default", "web", 31000, 2)
    assert plan_health(found, slices, "elsewhere") == Health("default", "web", 31000, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"healthCheckNodePort": 0},
        {"type": "NodePort"},
        {"externalTrafficPolicy": "Cluster"},
        {"clusterIP": "None"},
    ],
)
def test_services_without_a_health_check(change: dict[str, Any]) -> None:
    assert plan_health(service(**{**BALANCED, **change}), [], "here") is None


def test_a_health_check_is_reached_like_a_node_port() -> None:
    port = plan_health_port(Health("default", "web", 31000, 2), IPv4Address("10.244.0.1"))
    assert port == ServicePort(
        "default/web health",
        "tcp",
        31000,
        (),
        (Endpoint(IPv4Address("10.244.0.1"), 31000),),
        31000,
    )


def test_a_node_port_is_kept() -> None:
    (port,) = planned(service({"port": 80, "nodePort": 30080}, type="NodePort"))
    assert port.node_port == 30080


def test_a_slice_belongs_to_the_service_that_its_label_names() -> None:
    assert followed.service_of(slice_of()) == ("default/web",)
    assert followed.service_of(slice_of(metadata={"namespace": "default", "name": "x"})) == ()
