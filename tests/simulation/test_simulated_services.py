"""Endpoints of services on a whole control plane."""

from __future__ import annotations

import asyncio
from typing import Any

from simulation.quiet import Quiet, pod_template, quietly
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.endpoints import ENDPOINTS
from steersman.model.kinds.endpointslice import ENDPOINTSLICE
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.service import SERVICE
from steersman.node.simulated.behaviour import Behaviour

APP = {"app": "web"}
NAME = "kubernetes.io/service-name=web"
PORTS = [{"name": "http", "port": 80, "targetPort": "http"}]


async def serve(quiet: Quiet, replicas: int, **spec: Any) -> None:
    selector = {"matchLabels": APP}
    deployment = {"replicas": replicas, "selector": selector, "template": pod_template(APP)}
    await quiet.create(DEPLOYMENT, "web", spec=deployment)
    await quiet.create(SERVICE, "web", spec={"selector": APP, "ports": PORTS, **spec})
    await quiet.until(lambda: ready_endpoints(quiet, replicas))


async def slices(quiet: Quiet) -> list[Any]:
    return await quiet.items(ENDPOINTSLICE, labels=NAME)


async def ready_endpoints(quiet: Quiet, number: int) -> bool:
    found = [it for one in await slices(quiet) for it in one.endpoints if it.conditions.ready]
    return len(found) == number


def test_ready_pods_are_endpoints_with_their_addresses_ports_and_nodes() -> None:
    async def scenario(quiet: Quiet) -> None:
        zone = {"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}}
        for number in range(3):
            await quiet.admin.patch(NODE.ref("", f"node-{number}"), zone)
        await serve(quiet, 2)
        (one,) = await slices(quiet)
        pods = {pod.metadata.uid: pod for pod in await quiet.pods()}
        for endpoint in one.endpoints:
            pod = pods[endpoint.target_ref.uid]
            assert endpoint.addresses == (pod.status.pod_ip,)
            assert (endpoint.node_name, endpoint.zone) == (pod.spec.node_name, "a")
            conditions = endpoint.conditions
            assert (conditions.ready, conditions.serving, conditions.terminating) == (
                True,
                True,
                False,
            )
        (port,) = one.ports
        assert (port.name, port.port, port.protocol) == ("http", 80, "TCP")
        labels = one.metadata.labels
        manager = "endpointslice-controller.k8s.io"
        assert labels["endpointslice.kubernetes.io/managed-by"] == manager
        assert one.metadata.controller.name == "web"
        assert one.metadata.generate_name == "web-"

    quietly(scenario)


def test_a_pod_that_is_being_deleted_is_shown_as_terminating_and_then_gone() -> None:
    async def scenario(quiet: Quiet) -> None:
        await serve(quiet, 1)
        (pod,) = await quiet.pods()
        await quiet.admin.delete(POD.ref(*pod.key))
        await quiet.until(lambda: terminating(quiet, pod.metadata.uid))
        await quiet.until(lambda: quiet.gone(POD.ref(*pod.key)))
        await quiet.world.sleep(1)
        found = [it.target_ref.uid for one in await slices(quiet) for it in one.endpoints]
        assert pod.metadata.uid not in found

    quietly(scenario, behaviour=Behaviour(stop_seconds=5.0))


def test_pods_whose_node_is_gone_are_no_endpoints_but_where_all_are_published() -> None:
    async def scenario(quiet: Quiet) -> None:
        await serve(quiet, 3)
        everyone = {"selector": APP, "ports": PORTS, "publishNotReadyAddresses": True}
        await quiet.create(SERVICE, "everyone", spec=everyone)
        (pod, *_) = await quiet.pods()
        lost = NODE.ref("", pod.spec.node_name)
        left = sum(it.spec.node_name != lost.name for it in await quiet.pods())
        await quiet.admin.delete(lost)
        await quiet.until(lambda: ready_endpoints(quiet, left), within=5)
        published = await quiet.items(ENDPOINTSLICE, labels="kubernetes.io/service-name=everyone")
        assert sum(len(one.endpoints) for one in published) == 3

    quietly(scenario)


async def terminating(quiet: Quiet, uid: str) -> bool:
    for one in await slices(quiet):
        for it in one.endpoints:
            if it.target_ref.uid == uid and it.conditions.terminating:
                return not it.conditions.ready and bool(it.conditions.serving)
    return False


def test_a_service_without_pods_keeps_one_empty_slice_and_empty_endpoints() -> None:
    async def scenario(quiet: Quiet) -> None:
        await serve(quiet, 0)
        (one,) = await quiet.until(lambda: slices(quiet))
        assert (one.endpoints, one.ports) == ((), ())
        old = await quiet.until(lambda: endpoints(quiet))
        assert old.subsets == ()

    quietly(scenario)


async def endpoints(quiet: Quiet) -> Any:
    return await quiet.admin.get(ENDPOINTS.ref("default", "web"))


def test_more_than_a_hundred_pods_are_spread_over_slices() -> None:
    async def scenario(quiet: Quiet) -> None:
        await serve(quiet, 130)
        assert sorted(len(it.endpoints) for it in await slices(quiet)) == [30, 100]
        scale = {"spec": {"replicas": 5}}
        await quiet.admin.patch(DEPLOYMENT.ref("default", "web"), scale)
        await quiet.until(lambda: ready_endpoints(quiet, 5))
        old = await quiet.until(lambda: endpoints(quiet))
        assert sum(len(it.addresses) for it in old.subsets) == 5

    quietly(scenario)


def test_endpoints_tell_ready_from_not_ready_addresses() -> None:
    async def scenario(quiet: Quiet) -> None:
        await serve(quiet, 2)
        broken = pod_template(APP)["spec"]
        broken["containers"][0]["readinessProbe"] = {
            "initialDelaySeconds": 3000,
            "tcpSocket": {"port": 80},
        }
        await quiet.create(POD, "slow", metadata={"labels": APP}, spec=broken)
        found = await quiet.until(lambda: with_not_ready(quiet))
        (subset,) = found.subsets
        assert len(subset.addresses) == 2
        assert [it.target_ref.name for it in subset.not_ready_addresses] == ["slow"]
        assert [(it.name, it.port) for it in subset.ports] == [("http", 80)]
        managed = found.metadata.labels["endpoints.kubernetes.io/managed-by"]
        assert managed == "endpoint-controller"
        patch = {"spec": {"publishNotReadyAddresses": True}}
        await quiet.admin.patch(SERVICE.ref("default", "web"), patch)
        await quiet.until(lambda: ready_endpoints(quiet, 3))

    quietly(scenario)


async def with_not_ready(quiet: Quiet) -> Any:
    found = await endpoints(quiet)
    return found if any(it.not_ready_addresses for it in found.subsets) else None


def test_a_headless_service_is_marked_and_its_endpoints_go_with_it() -> None:
    async def scenario(quiet: Quiet) -> None:
        await serve(quiet, 1, clusterIP="None")
        (one,) = await slices(quiet)
        assert one.metadata.labels["service.kubernetes.io/headless"] == ""
        old = await quiet.until(lambda: endpoints(quiet))
        assert old.metadata.labels["service.kubernetes.io/headless"] == ""
        await quiet.admin.delete(SERVICE.ref("default", "web"))
        await quiet.until(lambda: none_left(quiet))

    quietly(scenario)


async def none_left(quiet: Quiet) -> bool:
    return not await slices(quiet) and await quiet.gone(ENDPOINTS.ref("default", "web"))


def balanced(found: Any) -> list[str]:
    return [one.ip for one in found.status.load_balancer.ingress]


BALANCED = {"type": "LoadBalancer", "selector": APP, "ports": PORTS}


def test_load_balancers_that_come_at_once_get_an_address_each_and_give_it_back() -> None:
    async def scenario(quiet: Quiet) -> None:
        names = [f"lb{number}" for number in range(20)]
        await asyncio.gather(*(quiet.create(SERVICE, name, spec=BALANCED) for name in names))
        await quiet.until(lambda: all_balanced(quiet, 20))
        given = [balanced(found) for found in await quiet.items(SERVICE) if balanced(found)]
        assert {len(one) for one in given} == {1}
        wanted = {f"10.96.255.{number}" for number in range(1, 21)}
        assert {address for one in given for address in one} == wanted
        event = ("EnsuredLoadBalancer", "Ensured load balancer")
        await quiet.until(lambda: has_event(quiet, event))
        # One after another: nobody was given an address twice
        await quiet.world.sleep(5)
        told = [it for it in await quiet.items(EVENT) if it.reason == event[0]]
        assert sorted((it.involved_object.name, it.count) for it in told) == [
            (name, 1) for name in sorted(names)
        ]
        plain = {"spec": {"type": "ClusterIP"}}
        (freed,) = balanced(await quiet.admin.patch(SERVICE.ref("default", "lb3"), plain))
        await quiet.until(lambda: all_balanced(quiet, 19))
        await quiet.create(SERVICE, "next", spec=BALANCED)
        await quiet.until(lambda: all_balanced(quiet, 20))
        assert balanced(await quiet.admin.get(SERVICE.ref("default", "next"))) == [freed]

    quietly(scenario)


async def all_balanced(quiet: Quiet, count: int) -> bool:
    return sum(bool(balanced(found)) for found in await quiet.items(SERVICE)) == count


async def has_event(quiet: Quiet, event: tuple[str, str]) -> bool:
    return event in await quiet.events("Service")


def test_endpoints_written_by_hand_are_copied_into_slices_while_their_service_selects_nobody() -> (
    None
):
    async def scenario(quiet: Quiet) -> None:
        subset = {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432}]}
        await quiet.create(ENDPOINTS, "web", subsets=[subset])
        await quiet.world.sleep(1)
        assert await slices(quiet) == []
        service = {"clusterIP": "None", "ports": [{"port": 5432}]}
        await quiet.create(SERVICE, "web", spec=service)
        (one,) = await quiet.until(lambda: slices(quiet))
        assert [it.addresses for it in one.endpoints] == [("192.0.2.7",)]
        manager = one.metadata.labels["endpointslice.kubernetes.io/managed-by"]
        assert manager == "endpointslicemirroring-controller.k8s.io"
        more = {"subsets": [{**subset, "addresses": [{"ip": "192.0.2.8"}]}]}
        await quiet.admin.patch(ENDPOINTS.ref("default", "web"), more)
        await quiet.until(lambda: moved(quiet, one.metadata.uid, "192.0.2.8"))
        await quiet.admin.patch(SERVICE.ref("default", "web"), {"spec": {"selector": APP}})
        await quiet.until(lambda: managed(quiet, "endpointslice-controller.k8s.io"))

    quietly(scenario)


async def moved(quiet: Quiet, uid: str, address: str) -> bool:
    (one,) = await slices(quiet)
    return one.metadata.uid == uid and one.endpoints[0].addresses == (address,)


async def managed(quiet: Quiet, by: str) -> bool:
    managers = [
        it.metadata.labels["endpointslice.kubernetes.io/managed-by"] for it in await slices(quiet)
    ]
    return managers == [by]
