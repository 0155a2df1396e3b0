"""When the proxy applies rules, and what of what it knows is in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import msgspec
import pytest
from proxied import endpoint, planned, service, slice_of

from steersman.client.interface import Change, Listing
from steersman.client.view import FollowedViews
from steersman.model.kind import Kind
from steersman.model.kinds.endpointslice import ENDPOINTSLICE
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.service import SERVICE
from steersman.network import choosing, conntrack, rules
from steersman.network.nft import RulesRefused
from steersman.network.planning import Health, plan_health_port
from steersman.network.proxy import Place, Proxy
from steersman.network.service_port import Endpoint, ServicePort
from steersman.world.real import RealWorld

WAIT_SECONDS = 60.0
PODS = IPv4Network("10.244.0.0/24")
GATEWAY = IPv4Address("10.244.0.1")
HERE = Place("abc", "here", "steer-abc", GATEWAY, PODS)


class Cluster:
    """What is followed: Services, EndpointSlices and the Node as a test sets them."""

    def __init__(self) -> None:
        self.revision = 1
        kinds = (SERVICE, ENDPOINTSLICE, NODE)
        self.items: dict[str, list[Any]] = {kind.plural: [] for kind in kinds}
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
        self.sets: dict[str, dict[str, int]] = {}
        self.read: list[str] = []
        self.behind: asyncio.Queue[dict[Any, Any]] = asyncio.Queue()
        self.told: asyncio.Queue[list[Health]] = asyncio.Queue()

    async def apply(self, text: str) -> None:
        self.begun.put_nowait(text)
        await self.free.wait()

    async def read_sets(self, table: str) -> Mapping[str, Mapping[str, int]]:
        self.read.append(table)
        return self.sets

    async def forget(self, behind: conntrack.Behind, pods: IPv4Network) -> None:
        assert pods == PODS
        self.behind.put_nowait(dict(behind))

    async def tell(self, checks: Iterable[Health]) -> None:
        self.told.put_nowait(list(checks))

    async def next(self) -> str:
        return await asyncio.wait_for(self.begun.get(), WAIT_SECONDS)


def run(
    test: Callable[[Cluster, Recorder, FollowedViews], Awaitable[None]],
    followed: type[Cluster] = Cluster,
) -> None:
    async def scenario() -> None:
        world = RealWorld()
        cluster, recorder = followed(), Recorder()
        async with world.tasks() as tasks:
            views = FollowedViews(cluster, world, tasks)
            found = Proxy(HERE, views, views.of(NODE), recorder, recorder, recorder.forget)
            tasks.start(found.run(), name="proxy")
            await test(cluster, recorder, views)
            tasks.stop()

    asyncio.run(scenario())


def rendered(*ports: ServicePort, remembered: Any = None) -> str:
    return rules.render("abc", "steer-abc", PODS, ports, remembered)


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


def node(zone: str, **labels: str) -> Node:
    labels = {"topology.kubernetes.io/zone": zone, **labels}
    return msgspec.convert({"metadata": {"name": "here", "labels": labels}}, Node)


def test_endpoints_are_chosen_for_the_zone_that_the_node_says_and_anew_when_it_changes() -> None:
    async def test(cluster: Cluster, recorder: Recorder, views: FollowedViews) -> None:
        await recorder.next()
        meant = {it: {"hints": {"forZones": [{"name": it}]}} for it in ("a", "b")}
        found = slice_of(
            {**endpoint("10.244.0.2", ready=True), **meant["a"]},
            {**endpoint("10.244.0.3", ready=True), **meant["b"]},
        )
        cluster.change(ENDPOINTSLICE, found)
        cluster.change(SERVICE, service())
        assert await recorder.next() == rendered(*planned(service(), found))
        for zone, other in (("a", ""), ("b", ""), ("b", "label"), ("", "")):
            cluster.change(NODE, node(zone, other=other))
            if other:
                continue
            assert await recorder.next() == rendered(*planned(service(), found, zone=zone))

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
            refusing = (Refusing(), Refusing(), Refusing().forget)
            found = Proxy(HERE, views, views.of(NODE), *refusing)
            with pytest.raises(RulesRefused, match="no such thing"):
                await asyncio.wait_for(found.run(), WAIT_SECONDS)
            tasks.stop()

    asyncio.run(scenario())


def test_clients_that_stay_are_read_before_new_rules_and_are_in_them() -> None:
    async def test(cluster: Cluster, recorder: Recorder, _: FollowedViews) -> None:
        await recorder.next()
        first = slice_of(endpoint("10.244.0.2"))
        cluster.change(ENDPOINTSLICE, first)
        cluster.change(SERVICE, service())
        await recorder.next()
        assert recorder.read == []
        loyal = service(sessionAffinity="ClientIP")
        (port,) = planned(loyal, first)
        name = choosing.set_name(port, Endpoint(IPv4Address("10.244.0.2"), 8080))
        recorder.sets = {name: {"192.0.2.1": 77}}
        cluster.change(SERVICE, loyal)
        text = await recorder.next()
        assert text == rendered(port, remembered=recorder.sets)
        assert "192.0.2.1 timeout 10800s expires 77s" in text
        assert recorder.read == ["steer_abc"]

    run(test)


def test_health_checks_are_told_and_reached_through_the_rules() -> None:
    async def test(cluster: Cluster, recorder: Recorder, _: FollowedViews) -> None:
        await recorder.next()
        assert await asyncio.wait_for(recorder.told.get(), WAIT_SECONDS) == []
        local = service(
            type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=31000
        )
        cluster.change(SERVICE, local)
        check = Health("default", "web", 31000, 0)
        assert await recorder.next() == rendered(*planned(local), plan_health_port(check, GATEWAY))
        assert await asyncio.wait_for(recorder.told.get(), WAIT_SECONDS) == [check]
        here = {**endpoint("10.244.0.2"), "nodeName": "here"}
        cluster.change(ENDPOINTSLICE, slice_of(here))
        assert await asyncio.wait_for(recorder.told.get(), WAIT_SECONDS) == [
            check._replace(endpoints=1)
        ]

    run(test)


def test_datagrams_that_lead_nowhere_are_forgotten_when_their_endpoints_change_alone() -> None:
    async def test(cluster: Cluster, recorder: Recorder, _: FollowedViews) -> None:
        await recorder.next()
        udp = service({"port": 53, "protocol": "UDP"})
        ports = [{"port": 5353, "protocol": "UDP"}]
        cluster.change(SERVICE, service(clusterIP="10.96.0.11", ports=[{"port": 80}]))
        cluster.change(SERVICE, udp)
        await recorder.next()
        found = slice_of(endpoint("10.244.0.2"), ports=ports)
        cluster.change(ENDPOINTSLICE, found)
        behind = await asyncio.wait_for(recorder.behind.get(), WAIT_SECONDS)
        assert behind == {
            (IPv4Address("10.96.0.10"), 53): {Endpoint(IPv4Address("10.244.0.2"), 5353)}
        }
        cluster.change(
            SERVICE, service({"port": 53, "protocol": "UDP"}, sessionAffinity="ClientIP")
        )
        await recorder.next()
        cluster.change(ENDPOINTSLICE, slice_of(ports=ports))
        assert await asyncio.wait_for(recorder.behind.get(), WAIT_SECONDS) == {}
        assert recorder.behind.empty()

    run(test)


def test_no_rules_are_applied_before_all_services_are_known() -> None:
    """Else a node that starts anew would take away for a while what its pods use."""

    class Slow(Cluster):
        def __init__(self) -> None:
            super().__init__()
            self.go = asyncio.Event()
            self.items[SERVICE.plural] = [service()]

        async def list(self, kind: Kind, namespace: str = "", *, fields: str = "") -> Listing:
            await self.go.wait()
            return await super().list(kind, namespace, fields=fields)

    async def test(cluster: Cluster, recorder: Recorder, _: FollowedViews) -> None:
        assert isinstance(cluster, Slow)
        for _turn in range(10):
            await asyncio.sleep(0)
        assert recorder.begun.empty()
        cluster.go.set()
        assert await recorder.next() == rendered(*planned(service()))

    run(test, Slow)
