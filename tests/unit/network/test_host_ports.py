"""Ports of the node that lead to pods: what is planned, rendered, forgotten, and when applied."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from steersman.model.types.container import ContainerPort
from steersman.network import host_ports
from steersman.network.conntrack import Flow, Plan
from steersman.network.host_ports import HostPort
from steersman.network.nft import RulesRefused, Unavailable
from steersman.network.pods import Applies, PodNetwork
from steersman.network.service_port import Endpoint

POD = IPv4Address("10.244.0.7")
HERE = IPv4Address("192.0.2.1")


def port(number: int, host_ip: str = "", protocol: str = "TCP", inner: int = 80) -> ContainerPort:
    return ContainerPort(container_port=inner, host_port=number, host_ip=host_ip, protocol=protocol)


def led(number: int, address: IPv4Address | None = None, pod: IPv4Address = POD) -> HostPort:
    return HostPort("tcp", number, Endpoint(pod, 80), address)


def test_a_port_leads_to_the_pod_on_the_address_that_it_names_or_on_all() -> None:
    asked = [port(0), port(8080), port(8081, "0.0.0.0"), port(8082, "192.0.2.1")]
    found = host_ports.plan([*asked, port(53, protocol="UDP", inner=5353)], POD)
    assert found == (
        led(8080),
        led(8081),
        led(8082, HERE),
        HostPort("udp", 53, Endpoint(POD, 5353)),
    )


def test_a_port_on_an_address_of_the_other_family_leads_nowhere() -> None:
    assert host_ports.plan([port(8080, "::1"), port(8080, "::")], POD) == ()


def test_without_ports_there_is_no_table() -> None:
    text = host_ports.render("x", "steer-x", [])
    assert text == "table ip steer_x_ports {}\ndelete table ip steer_x_ports\n"


def test_a_port_that_is_claimed_twice_is_the_first_ones() -> None:
    other = IPv4Address("10.244.0.8")
    text = host_ports.render(
        "x", "steer-x", [led(80), led(80, pod=other), led(81, HERE), led(81, HERE, other)]
    )
    assert "elements = { tcp . 80 : 10.244.0.7 . 80 }" in text
    assert "elements = { 192.0.2.1 . tcp . 81 : 10.244.0.7 . 80 }" in text


def at(text: str) -> Endpoint:
    address, number = text.split(":")
    return Endpoint(IPv4Address(address), int(number))


def test_datagrams_at_a_changed_port_that_go_elsewhere_are_forgotten() -> None:
    flows = [
        Flow(at(asked), at(answers), b"")
        for asked, answers in (
            ("192.0.2.1:53", "10.244.0.7:53"),  # as it leads now
            ("192.0.2.1:53", "10.244.0.6:53"),  # the pod before
            ("192.0.2.1:53", "192.0.2.1:53"),  # begun before there was a pod
            ("192.0.2.9:53", "10.244.0.7:53"),  # of an address that has a pod of its own
            ("192.0.2.1:54", "10.244.0.6:53"),  # of another port
            ("192.0.2.1:55", "10.244.0.7:53"),  # of one that leads nowhere any more
        )
    ]
    every = HostPort("udp", 53, Endpoint(POD, 53))
    own = HostPort("udp", 53, at("10.244.0.9:53"), IPv4Address("192.0.2.9"))
    gone = HostPort("udp", 55, Endpoint(POD, 53))
    changed = [every, gone, HostPort("tcp", 54, Endpoint(POD, 53))]
    found = list(host_ports.plan_forgotten(flows, changed, [every, own]))
    assert found == [flows[1], flows[2], flows[3], flows[5]]


class Kernel:
    """Bridge and rules that note what is done to them, in order."""

    name = "steer-x"

    def __init__(self) -> None:
        self.done: list[str] = []
        self.error: Exception | None = None
        self.forgotten: list[list[Flow]] = []
        self.addresses = iter(f"10.244.0.{number}" for number in range(2, 250))

    async def add(self, pod: str, namespace: Path) -> list[str]:
        self.done.append(f"connect {pod}")
        return [next(self.addresses)]

    async def delete(self, pod: str) -> None:
        self.done.append(f"disconnect {pod}")

    def restore(self, pod: str, addresses: Iterable[str]) -> None:
        self.done.append(f"restore {pod} {','.join(addresses)}")

    def let_loopback(self, *, out: bool) -> None:
        self.done.append("loopback out" if out else "loopback kept")

    async def apply(self, text: str) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        ports = [part for part in text.split("elements = { ") if part.startswith("tcp . ")]
        self.done.append(f"rules {ports[0].partition(' }')[0] if ports else ''}".strip())

    async def forget(self, plan: Plan) -> None:
        flow = Flow(at("192.0.2.1:53"), at("192.0.2.1:53"), b"")
        self.forgotten.append(list(plan([flow])))


def network(kernel: Kernel, applies: Applies | None = None) -> PodNetwork:
    return PodNetwork("x", kernel, applies or kernel, kernel.forget)


def test_rules_come_after_the_address_and_go_before_it() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        pods = network(kernel)
        assert await pods.add("a", Path("/ns"), [port(8080)]) == ["10.244.0.2"]
        await pods.delete("a")
        assert kernel.done == [
            "connect a",
            "rules tcp . 8080 : 10.244.0.2 . 80",
            "loopback out",
            "loopback kept",
            "rules",
            "disconnect a",
        ]

    asyncio.run(scenario())


def test_pods_without_ports_change_no_rules_but_the_first_clears_what_is_left() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        pods = network(kernel)
        for name in ("a", "b"):
            await pods.add(name, Path("/ns"))
        await pods.delete("a")
        assert kernel.done == [
            "connect a",
            "loopback kept",
            "rules",
            "connect b",
            "disconnect a",
        ]

    asyncio.run(scenario())


def test_ports_of_pods_from_before_are_in_the_first_rules() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        pods = network(kernel)
        pods.restore("old", ["10.244.0.99"], [port(9000)])
        await pods.add("a", Path("/ns"))
        await pods.delete("old")
        assert kernel.done == [
            "restore old 10.244.0.99",
            "connect a",
            "rules tcp . 9000 : 10.244.0.99 . 80",
            "loopback out",
            "loopback kept",
            "rules",
            "disconnect old",
        ]

    asyncio.run(scenario())


def test_pods_that_come_together_are_in_fewer_texts_than_there_are_pods() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        pods = network(kernel)
        await asyncio.gather(*(pods.add(f"p{n}", Path("/ns"), [port(8000 + n)]) for n in range(10)))
        texts = [it for it in kernel.done if it.startswith("rules")]
        assert len(texts) < 3
        assert texts[-1].count("tcp . ") == 10

    asyncio.run(scenario())


def test_rules_that_were_refused_are_tried_again_and_a_failure_leaves_no_port() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        pods = network(kernel)
        kernel.error = RulesRefused("no")
        with pytest.raises(RulesRefused):
            await pods.add("a", Path("/ns"), [port(8080)])
        kernel.error = None
        await pods.delete("a")
        assert kernel.done[-2:] == ["rules", "disconnect a"]
        await pods.add("b", Path("/ns"), [port(8081)])
        assert kernel.done[-2] == "rules tcp . 8081 : 10.244.0.3 . 80"

    asyncio.run(scenario())


def test_datagrams_are_forgotten_where_a_port_for_them_comes_or_goes_alone() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        pods = network(kernel)
        await pods.add("a", Path("/ns"), [port(53)])
        assert kernel.forgotten == []
        await pods.add("b", Path("/ns"), [port(53, protocol="UDP")])
        await pods.delete("b")
        assert [len(it) for it in kernel.forgotten] == [1, 1]

    asyncio.run(scenario())


def test_without_nftables_pods_are_connected_and_ports_refused() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        pods = PodNetwork("x", kernel, None, kernel.forget)
        await pods.add("a", Path("/ns"))
        with pytest.raises(Unavailable, match="host ports: nftables is not installed"):
            await pods.add("b", Path("/ns"), [port(8080)])
        await pods.delete("b")

    asyncio.run(scenario())
