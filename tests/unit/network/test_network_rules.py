"""Service rules as text: the whole of it for a small cluster, and what does not change it."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from steersman.network import rules
from steersman.network.rules import Endpoint, ServicePort

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "service_rules.nft"
PODS = IPv4Network("10.244.0.0/24")


def endpoints(*texts: str) -> tuple[Endpoint, ...]:
    pairs = (text.split(":") for text in texts)
    return tuple(Endpoint(IPv4Address(address), int(port)) for address, port in pairs)


WEB = ServicePort(
    "default/web:http:tcp:80",
    "tcp",
    80,
    (IPv4Address("10.96.0.10"), IPv4Address("192.0.2.7")),
    endpoints("10.244.0.2:8080", "10.244.0.3:8080"),
    30080,
)
DNS = ServicePort(
    "kube-system/dns:dns:udp:53",
    "udp",
    53,
    (IPv4Address("10.96.0.53"),),
    endpoints("10.244.0.4:53"),
)
EMPTY = ServicePort("default/empty::tcp:80", "tcp", 80, (IPv4Address("10.96.0.11"),), (), 30081)


def render(*ports: ServicePort) -> str:
    return rules.render("abc", "steer-abc", PODS, ports)


def elements(text: str, head: str) -> str:
    """The elements of a set or map."""
    inner = text.split(f"  {head} {{\n", 1)[1].split("  }\n", 1)[0]
    return inner.split("elements = { ")[1].split(" }\n")[0] if "elements" in inner else ""


def test_the_whole_text_of_a_small_cluster() -> None:
    assert render(WEB, DNS, EMPTY) == GOLDEN.read_text()


def test_the_order_in_which_services_come_changes_nothing() -> None:
    ports = [WEB, DNS, EMPTY]
    for _ in range(5):
        random.Random(7).shuffle(ports)
        assert render(*ports) == GOLDEN.read_text()


def test_no_services_give_a_table_with_empty_sets() -> None:
    text = render()
    assert "elements" not in text
    assert "chain s" not in text
    assert f"ip saddr {PODS} ip daddr != {PODS} oifname" in text


def test_names_of_services_never_enter_the_text() -> None:
    evil = replace(WEB, key='x"; flush ruleset; #')
    text = render(evil)
    assert "flush" not in text and "x" + '"' not in text
    assert text.count("goto s") == 3


def test_a_cluster_address_is_its_owners_whatever_others_claim() -> None:
    thief = replace(
        DNS, key="a/thief", protocol="tcp", port=80, addresses=(DNS.addresses[0], WEB.addresses[0])
    )
    both = render(thief, WEB)
    own = elements(render(WEB), "map services")
    assert own.split(", ")[0] in elements(both, "map services")
    assert elements(both, "map services").count("10.96.0.10 . tcp . 80") == 1


def test_what_is_claimed_with_endpoints_is_not_refused_too() -> None:
    rival = replace(EMPTY, addresses=(EMPTY.addresses[0], WEB.addresses[0]))
    text = render(WEB, rival)
    assert elements(text, "set without_endpoints") == "10.96.0.11 . tcp . 80"


def test_an_endpoint_behind_two_services_is_in_the_set_of_itself_once() -> None:
    other = replace(WEB, key="default/other", addresses=(IPv4Address("10.96.0.12"),), node_port=0)
    text = render(WEB, other)
    assert elements(text, "set itself") == "10.244.0.2 . 10.244.0.2, 10.244.0.3 . 10.244.0.3"


def test_a_node_port_without_endpoints_is_left_to_the_node() -> None:
    assert elements(render(EMPTY), "map node_ports") == ""


def test_applying_replaces_the_table_whether_it_is_there_or_not() -> None:
    begin = "table ip steer_abc {}\ndelete table ip steer_abc\n"
    assert render(WEB).startswith(f"{begin}table ip steer_abc {{\n")
    assert rules.render_removal("abc") == begin


@given(st.permutations([WEB, DNS, EMPTY]), st.sets(st.integers(0, 2)))
def test_each_subset_renders_the_same_in_each_order(
    ports: list[ServicePort], chosen: set[int]
) -> None:
    some = [port for port in ports if [WEB, DNS, EMPTY].index(port) in chosen]
    assert render(*some) == render(*reversed(some))
