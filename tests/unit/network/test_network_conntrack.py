"""Which remembered exchanges of datagrams are forgotten, and how the kernel's words are read."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from steersman.network.conntrack import Flow, parse_flow, plan_behind, plan_forgotten
from steersman.network.service_port import Endpoint, ServicePort

PODS = IPv4Network("10.244.0.0/16")


def at(text: str) -> Endpoint:
    address, port = text.split(":")
    return Endpoint(IPv4Address(address), int(port))


DNS = ServicePort(
    "kube-system/dns::udp:53",
    "udp",
    53,
    (IPv4Address("10.96.0.10"),),
    (at("10.244.0.2:5353"), at("10.244.0.3:5353")),
    node_port=30053,
    external=(IPv4Address("192.0.2.7"),),
    balanced=(IPv4Address("10.96.255.1"),),
    inside=(at("10.244.0.8:5353"),),
    outside=(at("10.244.0.9:5353"),),
)


def forgotten(*flows: str) -> list[str]:
    """Those of some flows (asked > answers) that are forgotten."""
    parsed = []
    for text in flows:
        asked, answers = text.split(" > ")
        parsed.append(Flow(at(asked), at(answers), text.encode()))
    return [it.original.decode() for it in plan_forgotten(parsed, plan_behind([DNS]), PODS)]


def test_flows_to_endpoints_of_the_service_stay_by_every_way() -> None:
    for way in ("10.96.0.10:53", "192.0.2.7:53", "10.96.255.1:53", "192.0.2.1:30053"):
        for number in (2, 3, 8, 9):
            assert forgotten(f"{way} > 10.244.0.{number}:5353") == []


def test_flows_to_what_is_no_endpoint_any_more_are_forgotten_by_every_way() -> None:
    for way in ("10.96.0.10:53", "192.0.2.7:53", "10.96.255.1:53", "192.0.2.1:30053"):
        for other in ("10.244.0.4:5353", "10.244.0.2:53"):
            assert forgotten(f"{way} > {other}") == [f"{way} > {other}"]


def test_a_flow_that_began_before_there_was_an_endpoint_is_forgotten() -> None:
    assert forgotten("10.96.0.10:53 > 10.96.0.10:53") == ["10.96.0.10:53 > 10.96.0.10:53"]


def test_flows_of_others_stay() -> None:
    assert forgotten(
        "10.96.0.11:53 > 10.244.0.4:5353",
        "10.96.0.10:54 > 10.244.0.4:5353",
        "198.51.100.1:30053 > 198.51.100.1:30053",
        "198.51.100.1:53 > 198.51.100.1:53",
    ) == []  # fmt: skip


def test_services_without_datagrams_or_endpoints_are_not_looked_at() -> None:
    tcp = ServicePort("a", "tcp", 80, (IPv4Address("10.96.0.11"),), DNS.endpoints, 30080)
    empty = ServicePort("b", "udp", 80, (IPv4Address("10.96.0.12"),), (), 30081)
    assert plan_behind([tcp, empty]) == {}


# What the kernel says of a datagram from 10.244.7.4:40000 to 10.96.0.10:80, led to 10.244.7.2:8080
TOLD = bytes.fromhex(
    "34000180" "14000180" "080001000af40704" "080002000a60000a"
    "1c000280" "0500010011000000" "060002009c400000" "0600030000500000"
    "34000280" "14000180" "080001000af40702" "080002000af40704"
    "1c000280" "0500010011000000" "060002001f900000" "060003009c400000"
    "0800030000000188"
)  # fmt: skip


def test_the_words_of_the_kernel_are_read() -> None:
    flow = parse_flow(TOLD)
    assert flow is not None
    assert (flow.asked, flow.answers) == (at("10.96.0.10:80"), at("10.244.7.2:8080"))
    assert flow.original == TOLD[4:52]


def test_a_flow_without_an_address_or_a_port_is_left() -> None:
    for number in (b"\x08\0\2\0\x0a", b"\x06\0\3\0\0\x50", b"\x06\0\2\0\x1f\x90"):
        assert parse_flow(TOLD.replace(number, number[:2] + b"\x7f" + number[3:])) is None


def test_what_are_no_datagrams_is_left() -> None:
    assert parse_flow(TOLD.replace(b"\x05\0\1\0\x11", b"\x05\0\1\0\x06")) is None
    assert parse_flow(b"") is None


@given(st.binary(max_size=120))
def test_whatever_is_told_nothing_breaks(data: bytes) -> None:
    parse_flow(data)
    parse_flow(TOLD[:52] + data)
