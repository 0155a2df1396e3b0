"""What names of the cluster mean: the DNS specification, and what it leaves open."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from dns_cluster import (
    HEADLESS,
    NAMES,
    ZONE,
    ListedNames,
    endpoint,
    query,
    service,
    slice_of,
)
from hypothesis import given
from hypothesis import strategies as st

from steersman.network.dns import zone as zones
from steersman.wire import dns
from steersman.wire.dns import Message, Record

SVC = "svc.cluster.local"


def asked(name: str, kind: int = dns.A, names: ListedNames = NAMES) -> Message:
    found = zones.answer(query(name, kind), ZONE, names)
    assert found is not None
    return found


def shown(found: Message) -> list[Any]:
    """The data of the answers as text."""
    return [str(it.data) if it.type in (dns.A, dns.AAAA) else it.data for it in found.answers]


def is_nothing(found: Message) -> bool:
    """Says whether a name is there without the type, as the SOA record tells."""
    return found.code == dns.NOERROR and not found.answers and has_authority(found)


def is_absent(found: Message) -> bool:
    return found.code == dns.NXDOMAIN and not found.answers and has_authority(found)


def has_authority(found: Message) -> bool:
    (record,) = found.authority
    return record == Record(
        "cluster.local",
        dns.SOA,
        5,
        dns.Authority("ns.dns.cluster.local", "hostmaster.cluster.local", 7, 7200, 1800, 86400, 5),
    )


def test_a_service_has_its_cluster_address() -> None:
    found = asked(f"web.default.{SVC}")
    assert found.answers == (Record(f"web.default.{SVC}", dns.A, 5, ZONE.server + 10),)
    assert found.authoritative and found.response and found.recursion_available
    assert not found.authority and found.code == dns.NOERROR


def test_addresses_are_told_by_their_family() -> None:
    assert shown(asked(f"both.default.{SVC}")) == ["10.96.0.21"]
    assert shown(asked(f"both.default.{SVC}", dns.AAAA)) == ["fd00::21"]
    assert is_nothing(asked(f"web.default.{SVC}", dns.AAAA))


def test_small_and_capital_letters_are_the_same_and_come_back_as_they_were_asked() -> None:
    found = asked(f"WEB.Default.{SVC.upper()}")
    assert shown(found) == ["10.96.0.20"]
    assert found.answers[0].name == f"WEB.Default.{SVC.upper()}"


@pytest.mark.parametrize(
    "name",
    [
        f"missing.default.{SVC}",
        f"web.other.{SVC}",
        f"other.{SVC}",
        f"a.b.c.web.default.{SVC}",
        f"10-244-0-9.web.default.{SVC}",
        f"_nothing._tcp.web.default.{SVC}",
        f"_http._udp.web.default.{SVC}",
        f"_http.tcp.web.default.{SVC}",
        f"http._tcp.web.default.{SVC}",
        f"_http._tcp.far.default.{SVC}",
        f"a.far.default.{SVC}",
        "web.default.cluster.local",
        "web.default.other.cluster.local",
        "web.cluster.local",
        "example.org.default.cluster.local",
        "1-2-3.default.pod.cluster.local",
        "other.pod.cluster.local",
        "a.b.c.pod.cluster.local",
        f"localhost.default.{SVC}",
    ],
)
def test_names_that_are_not_there_are_said_not_to_be(name: str) -> None:
    for kind in (dns.A, dns.AAAA, dns.SRV, dns.TXT):
        assert is_absent(asked(name, kind))


@pytest.mark.parametrize(
    "name", [SVC, f"default.{SVC}", "pod.cluster.local", "default.pod.cluster.local",
             "dns.cluster.local", "cluster.local", f"web.default.{SVC}", f"far.default.{SVC}"],
)  # fmt: skip
def test_names_without_records_of_the_type_are_there(name: str) -> None:
    assert is_nothing(asked(name, dns.TXT))
    assert is_nothing(asked(name, 255))


def test_a_headless_service_has_the_addresses_of_its_ready_endpoints() -> None:
    assert shown(asked(f"peers.default.{SVC}")) == ["10.244.0.5", "10.244.0.6"]


def test_a_headless_service_without_ready_endpoints_is_not_there() -> None:
    unready = slice_of("peers", endpoint("10.244.0.7", ready=False))
    for names in (ListedNames(HEADLESS), ListedNames(HEADLESS, unready)):
        assert is_absent(asked(f"peers.default.{SVC}", names=names))


def test_endpoints_that_are_not_ready_have_names_where_the_service_says_so() -> None:
    eager = service("peers", publishNotReadyAddresses=True)
    unready = slice_of("peers", endpoint("10.244.0.7", ready=False))
    assert shown(asked(f"peers.default.{SVC}", names=ListedNames(eager, unready))) == ["10.244.0.7"]


def test_endpoints_have_names_by_host_name_or_by_address() -> None:
    assert shown(asked(f"peer-0.peers.default.{SVC}")) == ["10.244.0.5"]
    assert shown(asked(f"10-244-0-6.peers.default.{SVC}")) == ["10.244.0.6"]
    assert shown(asked(f"10-244-0-8.web.default.{SVC}")) == ["10.244.0.8"]
    assert is_absent(asked(f"10-244-0-5.peers.default.{SVC}"))
    assert is_absent(asked(f"peer-2.peers.default.{SVC}"))


def test_a_headless_service_without_ports_has_addresses_and_no_service_records() -> None:
    names = ListedNames(
        service("peers", ports=[]), slice_of("peers", endpoint("10.244.0.5"), ports=[])
    )
    assert shown(asked(f"peers.default.{SVC}", names=names)) == ["10.244.0.5"]
    assert is_nothing(asked(f"peers.default.{SVC}", dns.SRV, names))


def test_a_port_of_a_service_is_named_with_its_protocol() -> None:
    for name, protocol, port in (("http", "tcp", 80), ("dns", "udp", 53), ("dns-tcp", "tcp", 53)):
        found = asked(f"_{name}._{protocol}.both.default.{SVC}", dns.SRV)
        assert shown(found) == [dns.Service(0, 100, port, f"both.default.{SVC}")]
    every = asked(f"both.default.{SVC}", dns.SRV)
    assert [it.port for it in shown(every)] == [80, 53]
    assert {it.weight for it in shown(every)} == {50}


def test_a_port_of_a_headless_service_leads_to_each_endpoint_by_name_and_address() -> None:
    found = asked(f"_http._tcp.peers.default.{SVC}", dns.SRV)
    first, second = f"peer-0.peers.default.{SVC}", f"10-244-0-6.peers.default.{SVC}"
    assert shown(found) == [dns.Service(0, 50, 8080, first), dns.Service(0, 50, 8080, second)]
    told = [(it.name, it.type, str(it.data)) for it in found.additional]
    assert told == [(first, dns.A, "10.244.0.5"), (second, dns.A, "10.244.0.6")]


def test_weights_are_never_nothing() -> None:
    many = slice_of("peers", *(endpoint(f"10.244.1.{number}") for number in range(1, 151)))
    found = asked(f"_http._tcp.peers.default.{SVC}", dns.SRV, ListedNames(HEADLESS, many))
    assert len(found.answers) == 150 and {it.weight for it in shown(found)} == {1}


def test_an_external_name_is_an_alias() -> None:
    for kind in (dns.A, dns.AAAA, dns.CNAME):
        found = asked(f"far.default.{SVC}", kind)
        assert found.answers == (Record(f"far.default.{SVC}", dns.CNAME, 5, "Example.org"),)
        beyond = "" if kind == dns.CNAME else "Example.org"
        assert zones.open_end(found, ZONE) == beyond


def test_an_external_name_that_is_an_address_is_no_name() -> None:
    names = ListedNames(service("far", type="ExternalName", externalName="192.0.2.1"))
    assert is_absent(asked(f"far.default.{SVC}", names=names))


def test_an_alias_of_a_service_brings_its_address() -> None:
    found = asked(f"near.default.{SVC}")
    assert shown(found) == [f"web.default.{SVC}", "10.96.0.20"]
    assert found.answers[1].name == f"web.default.{SVC}"
    assert zones.open_end(found, ZONE) == ""
    assert shown(asked(f"near.default.{SVC}", dns.CNAME)) == [f"web.default.{SVC}"]
    assert zones.open_end(asked(f"near.default.{SVC}", dns.AAAA), ZONE) == ""


def test_an_alias_of_an_alias_brings_the_address_at_the_end() -> None:
    names = [f"{name}.default.{SVC}" for name in ("first", "second", "web")]
    first, second = (
        service(name.split(".")[0], type="ExternalName", clusterIP="", externalName=after)
        for name, after in pairwise(names)
    )
    web = service("web", clusterIP="10.96.0.20")
    found = asked(names[0], names=ListedNames(first, second, web))
    assert shown(found) == [*names[1:], "10.96.0.20"]
    assert [it.name for it in found.answers] == names


def test_aliases_that_go_round_end() -> None:
    names = ListedNames(
        service("a", type="ExternalName", externalName=f"b.default.{SVC}"),
        service("b", type="ExternalName", externalName=f"a.default.{SVC}"),
    )
    found = asked(f"a.default.{SVC}", names=names)
    assert len(found.answers) == 1 + zones.MOST_ALIASES
    assert zones.open_end(found, ZONE) == ""


def test_an_alias_of_an_alias_beyond_the_cluster_is_followed_from_its_end() -> None:
    names = ListedNames(
        service("a", type="ExternalName", externalName=f"b.default.{SVC}"),
        service("b", type="ExternalName", externalName="example.org"),
    )
    found = asked(f"a.default.{SVC}", names=names)
    assert zones.open_end(found, ZONE) == "example.org"
    address = Record("example.org", dns.A, 60, ZONE.server)
    other = Record("example.org", dns.TXT, 60, (b"x",))
    joined = zones.joined(found, Message(2, answers=(other, address), code=dns.NOERROR))
    assert joined.answers == (*found.answers, address) and not joined.authoritative
    assert zones.joined(found, Message(2, code=dns.NXDOMAIN)).code == dns.NXDOMAIN


def test_pod_names_stand_for_the_address_that_they_are() -> None:
    assert shown(asked("10-244-0-9.default.pod.cluster.local")) == ["10.244.0.9"]
    assert is_nothing(asked("10-244-0-9.default.pod.cluster.local", dns.AAAA))
    assert shown(asked("fd00--9.default.pod.cluster.local", dns.AAAA)) == ["fd00::9"]
    whole = "fd00-1-2-3-4-5-6-9.default.pod.cluster.local"
    assert shown(asked(whole, dns.AAAA)) == ["fd00:1:2:3:4:5:6:9"]
    assert shown(asked("fd00-1--9.default.pod.cluster.local", dns.AAAA)) == ["fd00:1::9"]


def test_the_version_of_the_specification_is_told() -> None:
    found = asked("dns-version.cluster.local", dns.TXT)
    assert found.answers == (Record("dns-version.cluster.local", dns.TXT, 28800, (b"1.1.0",)),)
    assert is_nothing(asked("dns-version.cluster.local"))


def test_the_zone_tells_its_authority_and_its_server() -> None:
    assert is_nothing(asked("cluster.local"))
    soa = asked("cluster.local", dns.SOA)
    assert soa.answers[0].data.server == "ns.dns.cluster.local"  # type: ignore[union-attr]
    assert shown(asked("cluster.local", dns.NS)) == ["ns.dns.cluster.local"]
    assert shown(asked("ns.dns.cluster.local")) == ["10.96.0.10"]


def test_a_cluster_address_leads_back_to_its_service() -> None:
    found = asked("20.0.96.10.in-addr.arpa", dns.PTR)
    assert shown(found) == [f"web.default.{SVC}"]
    six = "1.2" + ".0" * 26 + ".0.0.d.f.ip6.arpa"
    assert shown(asked(six, dns.PTR)) == [f"both.default.{SVC}"]
    assert is_reverse_nothing(asked("20.0.96.10.in-addr.arpa", dns.A))


def is_reverse_nothing(found: Message) -> bool:
    owners = {record.name for record in found.authority}
    return (found.code, found.answers, owners) == (dns.NOERROR, (), {"96.10.in-addr.arpa"})


def test_an_endpoint_leads_back_to_its_names() -> None:
    assert shown(asked("5.0.244.10.in-addr.arpa", dns.PTR)) == [f"peer-0.peers.default.{SVC}"]
    assert shown(asked("8.0.244.10.in-addr.arpa", dns.PTR)) == [f"10-244-0-8.web.default.{SVC}"]


def test_a_slice_of_no_service_gives_no_name() -> None:
    alone = slice_of("peers", endpoint("10.244.0.5", ready=True), metadata={"name": "alone"})
    found = asked("5.0.244.10.in-addr.arpa", dns.PTR, ListedNames(HEADLESS, alone))
    assert (found.code, found.answers) == (dns.NXDOMAIN, ())


@pytest.mark.parametrize(
    ("address", "zone"),
    [("7.0.244.10", "244.10"), ("99.0.244.10", "244.10"), ("99.0.96.10", "96.10")],
)
def test_addresses_of_the_cluster_that_nobody_has_are_not_asked_elsewhere(
    address: str, zone: str
) -> None:
    found = asked(f"{address}.in-addr.arpa", dns.PTR)
    assert (found.code, found.answers) == (dns.NXDOMAIN, ())
    assert [record.name for record in found.authority] == [f"{zone}.in-addr.arpa"]


def test_names_of_this_machine_stay_here() -> None:
    for name in ("localhost", "a.localhost", "LocalHost"):
        assert shown(asked(name)) == ["127.0.0.1"]
        assert shown(asked(name, dns.AAAA)) == ["::1"]
        assert asked(name, dns.TXT).answers == ()
    assert shown(asked("1.0.0.127.in-addr.arpa", dns.PTR)) == ["localhost"]


@pytest.mark.parametrize(
    "name",
    [
        "example.org",
        "cluster.local.example.org",
        "notcluster.local",
        "local",
        "",
        "8.8.8.8.in-addr.arpa",
        "x.in-addr.arpa",
        "1.2.3.in-addr.arpa",
        "1.ip6.arpa",
        "22" + ".0" * 31 + ".ip6.arpa",
        "1" + ".0" * 32 + ".ip6.arpa",
    ],
)
def test_names_beyond_the_cluster_are_others_to_answer_for(name: str) -> None:
    assert zones.answer(query(name), ZONE, NAMES) is None


@given(
    st.lists(st.sampled_from(["web", "default", "svc", "pod", "_http", "_tcp", "10-244-0-5", "x"]),
             max_size=7),
    st.integers(0, 300),
)  # fmt: skip
def test_every_name_of_the_zone_has_an_answer_that_can_be_written(
    labels: list[str], kind: int
) -> None:
    found = asked(".".join([*labels, "cluster", "local"]), kind)
    assert dns.parse(dns.encode(found)) == found
    assert bool(found.answers) is not has_authority_record(found)


def has_authority_record(found: Message) -> bool:
    return any(record.type == dns.SOA for record in found.authority)
