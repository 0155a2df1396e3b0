"""Service rules as text: the whole of it for a small cluster, and what does not change it."""

from __future__ import annotations

import random
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from steersman.network import choosing, rules
from steersman.network.service_port import Endpoint, ServicePort

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "service_rules.nft"
PODS = IPv4Network("10.244.0.0/24")


def endpoints(*texts: str) -> tuple[Endpoint, ...]:
    pairs = (text.split(":") for text in texts)
    return tuple(Endpoint(IPv4Address(address), int(port)) for address, port in pairs)


WEB = ServicePort(
    "default/web:http:tcp:80",
    "tcp",
    80,
    (IPv4Address("10.96.0.10"),),
    endpoints("10.244.0.2:8080", "10.244.0.3:8080"),
    30080,
    external=(IPv4Address("192.0.2.7"),),
)
DNS = ServicePort(
    "kube-system/dns:dns:udp:53",
    "udp",
    53,
    (IPv4Address("10.96.0.53"),),
    endpoints("10.244.0.4:53"),
)
EMPTY = ServicePort("default/empty::tcp:80", "tcp", 80, (IPv4Address("10.96.0.11"),), (), 30081)

BALANCED = ServicePort(
    "default/balanced::tcp:443",
    "tcp",
    443,
    (IPv4Address("10.96.0.12"),),
    endpoints("10.244.0.5:8443", "10.245.0.5:8443"),
    30082,
    external=(IPv4Address("192.0.2.8"),),
    balanced=(IPv4Address("10.96.255.1"),),
    inside=endpoints("10.244.0.5:8443"),
    outside=(),
    sources=(IPv4Network("10.0.0.0/8"), IPv4Network("10.1.0.0/16"), IPv4Network("192.0.2.0/24")),
    affinity_seconds=600,
)
STAYING = {choosing.set_name(BALANCED, BALANCED.endpoints[0]): {"192.0.2.1": 9, "192.0.2.2": 700}}


def render(*ports: ServicePort) -> str:
    return rules.render("abc", "steer-abc", PODS, ports, STAYING)


def elements(text: str, head: str) -> str:
    """The elements of a set or map."""
    inner = text.split(f"  {head} {{\n", 1)[1].split("  }\n", 1)[0]
    return inner.split("elements = { ")[1].split(" }\n")[0] if "elements" in inner else ""


def test_the_whole_text_of_a_small_cluster() -> None:
    assert render(WEB, DNS, EMPTY, BALANCED) == GOLDEN.read_text()


def test_a_client_stays_with_an_endpoint_that_only_the_outside_reaches() -> None:
    staying = replace(BALANCED, inside=None, outside=endpoints("10.244.0.9:8443"), sources=None)
    text = render(staying)
    name = choosing.set_name(staying, endpoints("10.244.0.9:8443")[0])
    assert text.count(f"set {name} {{") == 1
    assert f"update @{name} {{ ip saddr }}" in text
    for used in set(re.findall(r"goto (e[0-9a-f]{16})", text)):
        assert text.count(f"chain {used} {{") == 1


def test_the_order_in_which_services_come_changes_nothing() -> None:
    ports = [WEB, DNS, EMPTY, BALANCED]
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
    thief = replace(DNS, key="a/thief", protocol="tcp", port=80, external=WEB.addresses)
    both = render(thief, WEB)
    own = elements(render(WEB), "map services")
    assert own.split(", ")[0] in elements(both, "map services")
    assert elements(both, "map services").count("10.96.0.10 . tcp . 80") == 1


def test_what_is_claimed_with_endpoints_is_not_refused_too() -> None:
    rival = replace(EMPTY, external=WEB.addresses)
    text = render(WEB, rival)
    assert elements(text, "set without_endpoints") == "10.96.0.11 . tcp . 80"


def test_an_endpoint_behind_two_services_is_in_the_set_of_itself_once() -> None:
    other = replace(WEB, key="default/other", addresses=(IPv4Address("10.96.0.12"),))
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


def guards(port: ServicePort) -> tuple[str, str]:
    """The guarded addresses and node ports."""
    text = render(port)
    return elements(text, "map guarded"), elements(text, "map guarded_ports")


def chains(text: str) -> dict[str, list[str]]:
    """The rules of the chains of ports, by their letter."""
    found = {}
    for chain in text.split("  chain ")[1:]:
        name, *lines = chain.splitlines()
        if name[1:2].isalnum() and len(name) == 19:
            found[name[0]] = [line.strip() for line in lines[: lines.index("  }")]]
    return found


def test_everybody_may_come_where_nothing_says_otherwise() -> None:
    assert guards(WEB) == guards(replace(WEB, outside=WEB.endpoints, inside=WEB.endpoints)) == (
        "", "",
    )  # fmt: skip


def test_what_has_no_endpoint_on_the_node_is_dropped_inside() -> None:
    address, _ = guards(replace(WEB, inside=()))
    assert address == "10.96.0.10 . tcp . 80 : drop"
    assert "10.96.0.10" not in elements(render(replace(WEB, inside=())), "map services")


def test_what_has_no_endpoint_on_the_node_is_dropped_for_those_outside_alone() -> None:
    port = replace(WEB, outside=(), balanced=(IPv4Address("10.96.255.1"),))
    address, number = guards(port)
    assert [it.split(" : goto ")[0] for it in address.split(", ")] == [
        "10.96.255.1 . tcp . 80", "192.0.2.7 . tcp . 80",
    ]  # fmt: skip
    assert number.startswith("tcp . 30080 : goto l")
    found = chains(render(port))
    inside = ["ip saddr 10.244.0.0/24", "fib saddr type local"]
    assert found["l"] == [*(f"{it} return" for it in inside), "drop"]
    assert found["o"] == [f"{it} goto s{number[-16:]}" for it in inside]


def test_source_ranges_hold_for_balanced_addresses_alone() -> None:
    ranges = (IPv4Network("10.0.0.0/9"), IPv4Network("10.128.0.0/9"))
    port = replace(WEB, balanced=(IPv4Address("10.96.255.1"),), sources=ranges)
    address, number = guards(port)
    assert address.split(" : ")[0] == "10.96.255.1 . tcp . 80" and number == ""
    assert chains(render(port))["g"] == ["ip saddr != { 10.0.0.0/8 } drop"]
    assert chains(render(replace(port, sources=())))["g"] == ["drop"]
    both = chains(render(replace(port, outside=())))["g"]
    assert both[0] == "ip saddr != { 10.0.0.0/8 } drop" and both[-1] == "drop" and len(both) == 4


def test_without_endpoints_nothing_is_guarded_because_all_is_refused() -> None:
    port = replace(
        WEB, endpoints=(), inside=(), outside=(), sources=(), balanced=(IPv4Address("10.96.255.1"),)
    )
    assert guards(port) == ("", "")
    assert elements(render(port), "set without_endpoints").count(" . tcp . 80") == 3


def test_a_balanced_address_is_its_owners_before_one_that_a_service_names() -> None:
    address = (IPv4Address("10.96.255.1"),)
    thief = replace(WEB, key="a/thief", addresses=(), external=address)
    owner = replace(WEB, balanced=address)
    led = elements(render(thief, owner), "map services").split(", ")
    own = elements(render(owner), "map services").split(", ")
    assert next(it for it in led if "255.1" in it) == next(it for it in own if "255.1" in it)


def test_clients_stay_no_longer_than_the_service_says_now() -> None:
    (first, _) = choosing.sets(BALANCED, STAYING), None
    text = "\n".join(first)
    assert "192.0.2.1 timeout 600s expires 9s, 192.0.2.2 timeout 600s expires 600s" in text
    gone = {name: {"192.0.2.1": 0} for name in STAYING}
    assert "elements" not in "\n".join(choosing.sets(BALANCED, gone))


def test_each_way_asks_only_its_own_endpoints_for_those_who_stay() -> None:
    found = chains(render(BALANCED))
    assert len([rule for rule in found["s"] if "goto e" in rule and "@a" in rule]) == 2
    assert len([rule for rule in found["i"] if "@a" in rule]) == 1


def test_a_balanced_address_without_ranges_is_open_to_all() -> None:
    open_to_all = replace(BALANCED, sources=None, outside=None, inside=None)
    assert choosing.guard_of(open_to_all, "balanced") == ""
    assert "goto g" not in render(open_to_all)
