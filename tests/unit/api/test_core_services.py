"""Addresses and node ports of Services: taken once, given back, whoever races."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network

import pytest

from served import MERGE, SERVICES, Document, Served, served, service
from steersman.api.effects import services

ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
RANGE = ip_network("10.96.0.0/16")


async def create(api: Served, name: str, **spec: object) -> Document:
    spec_made: Document = (await api.post(SERVICES, service(name, **spec))).ok()["spec"]
    return spec_made


async def taken(api: Served) -> list[str]:
    return (await api.get(ADDRESSES)).names


@served
async def test_a_service_gets_an_address_that_is_an_object_of_its_own(api: Served) -> None:
    spec = await create(api, "a")
    assert ip_address(spec["clusterIP"]) in RANGE
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    address = (await api.get(f"{ADDRESSES}/{spec['clusterIP']}")).ok()
    assert address["spec"]["parentRef"] == {
        "group": "",
        "resource": "services",
        "namespace": "default",
        "name": "a",
    }
    assert address["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    (await api.delete(f"{SERVICES}/a")).ok()
    assert spec["clusterIP"] not in await taken(api)


@served
async def test_an_address_that_somebody_deletes_is_its_services_again_at_once(api: Served) -> None:
    address = (await create(api, "a"))["clusterIP"]
    (await api.delete(f"{ADDRESSES}/{address}")).ok()
    await api.world.sleep(1)
    found = (await api.get(f"{ADDRESSES}/{address}")).ok()
    assert found["spec"]["parentRef"]["name"] == "a"
    assert await told(api) == [
        (
            "Service",
            "ClusterIPNotAllocated",
            f"Cluster IP [IPv4]: {address} is not allocated; repairing",
        )
    ]
    (await api.delete(f"{SERVICES}/a")).ok()
    await api.world.sleep(1)
    assert address not in await taken(api)


@served
async def test_an_address_that_no_service_has_goes_after_a_minute_unless_it_is_somebody_elses(
    api: Served,
) -> None:
    await create(api, "a")
    names = {"10.96.3.1": "a", "10.96.3.2": "gone", "10.96.3.3": "gone"}
    for address, name in names.items():
        document = services.render_address(address, "default", name)
        if address.endswith("3"):
            document["metadata"]["labels"] = {services.MANAGED_BY: "example.com"}
        (await api.post(ADDRESSES, document)).ok()
    await api.world.sleep(30)
    assert "10.96.3.1" not in await taken(api)
    assert {"10.96.3.2", "10.96.3.3"} <= set(await taken(api))
    await api.world.sleep(40)
    assert "10.96.3.2" not in await taken(api)
    assert "10.96.3.3" in await taken(api)
    why = "for Service default"
    assert await told(api) == [
        ("IPAddress", "IPAddressNotAllocated",
         f"IPAddress: 10.96.3.2 {why}/gone appears to have leaked: cleaning up"),
        ("IPAddress", "IPAddressWrongReference",
         f"IPAddress: 10.96.3.1 {why}/a has a wrong reference; cleaning up"),
    ]  # fmt: skip


async def told(api: Served) -> list[tuple[str, str, str]]:
    found = (await api.get("/apis/events.k8s.io/v1/namespaces/default/events")).ok()["items"]
    return sorted((it["regarding"]["kind"], it["reason"], it["note"]) for it in found)


@served
async def test_fifty_who_race_get_fifty_addresses_and_ports(api: Served) -> None:
    made = await asyncio.gather(*(create(api, f"s{n}", type="NodePort") for n in range(50)))
    assert len({spec["clusterIP"] for spec in made}) == 50
    ports = {spec["ports"][0]["nodePort"] for spec in made}
    assert len(ports) == 50
    assert all(30000 <= port <= 32767 for port in ports)
    deletions = [api.delete(f"{SERVICES}/s{n}") for n in range(50)]
    for answer in await asyncio.gather(*deletions):
        answer.ok()
    assert await taken(api) == ["10.96.0.1", "10.96.0.10"]


@served
async def test_two_who_race_for_one_address_are_told_apart(api: Served) -> None:
    posts = [api.post(SERVICES, service(f"s{n}", clusterIP="10.96.1.1")) for n in range(5)]
    answers = await asyncio.gather(*posts)
    assert sorted(answer.code for answer in answers) == [201, 422, 422, 422, 422]
    refused = next(answer for answer in answers if answer.code == 422)
    assert refused.message.endswith(
        'spec.clusterIPs: Invalid value: ["10.96.1.1"]: failed to allocate IP 10.96.1.1: provided '
        "IP is already allocated"
    )


@served
async def test_an_address_outside_the_range_is_refused(api: Served) -> None:
    answer = await api.post(SERVICES, service("a", clusterIP="192.168.0.1"))
    assert (answer.code, answer.message) == (
        422,
        'Service "a" is invalid: spec.clusterIPs: Invalid value: ["192.168.0.1"]: failed to '
        "allocate IP 192.168.0.1: the provided network does not match the current range",
    )
    answer = await api.post(SERVICES, service("a", clusterIP="nonsense"))
    assert answer.code == 422
    assert "must be a valid IP address" in answer.message


@served
async def test_a_headless_service_takes_no_address(api: Served) -> None:
    before = await taken(api)
    spec = await create(api, "a", clusterIP="None")
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])
    assert await taken(api) == before


@served
async def test_an_address_stays_through_updates_that_leave_it_out(api: Served) -> None:
    spec = await create(api, "a")
    replaced = (await api.put(f"{SERVICES}/a", service("a"))).ok()["spec"]
    assert replaced["clusterIP"] == spec["clusterIP"]
    for other in ("10.96.9.9", "192.0.2.1", "None"):
        answer = await api.patch(f"{SERVICES}/a", {"spec": {"clusterIP": other}})
        assert answer.code == 422
        assert "may not change once set" in answer.message


@served
async def test_an_external_name_gives_the_address_back_and_takes_one_again(api: Served) -> None:
    spec = await create(api, "a", type="NodePort")
    outside = {"spec": {"type": "ExternalName", "externalName": "example.com", "ports": None}}
    changed = (await api.patch(f"{SERVICES}/a", outside)).ok()["spec"]
    for gone in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        assert gone not in changed
    assert spec["clusterIP"] not in await taken(api)
    inside = {"spec": {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80}]}}
    changed = (await api.patch(f"{SERVICES}/a", inside)).ok()["spec"]
    assert changed["clusterIP"] in await taken(api)


@served
async def test_an_external_name_is_refused_with_an_address(api: Served) -> None:
    before = await taken(api)
    outside = {"type": "ExternalName", "externalName": "example.com", "ports": None}
    for address in ("10.96.1.1", "None"):
        answer = await api.post(SERVICES, service("a", **outside, clusterIP=address))
        assert (answer.code, answer.message) == (
            422,
            'Service "a" is invalid: spec.clusterIPs: Forbidden: may not be set for ExternalName '
            "services",
        )
    assert await taken(api) == before


def test_the_ports_of_one_service_never_take_each_others_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services, "NODE_PORT_RANGE", range(30000, 30003))
    names = ("a", "b", "c")

    @served
    async def scenario(api: Served) -> None:
        ports = [{"name": name, "port": 80 + at} for at, name in enumerate(names)]
        made = (await create(api, "a", type="NodePort", ports=ports))["ports"]
        assert sorted(port["nodePort"] for port in made) == [30000, 30001, 30002]

    scenario()


@served
async def test_a_node_port_goes_with_the_type_that_needs_it(api: Served) -> None:
    spec = await create(api, "a", type="NodePort")
    port = spec["ports"][0]["nodePort"]
    kept = (await api.put(f"{SERVICES}/a", service("a", type="NodePort"))).ok()["spec"]
    assert kept["ports"][0]["nodePort"] == port, "an update that leaves it out keeps it"
    changed = (await api.patch(f"{SERVICES}/a", {"spec": {"type": "ClusterIP"}})).ok()["spec"]
    assert "nodePort" not in changed["ports"][0]
    fixed = [{"port": 80, "nodePort": port}]
    assert (await create(api, "b", type="NodePort", ports=fixed))["ports"][0]["nodePort"] == port


@served
async def test_a_port_that_another_has_taken_over_is_given_one_of_its_own(api: Served) -> None:
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
    made = (await create(api, "a", type="NodePort", ports=ports))["ports"]
    ports[1]["nodePort"] = had = made[0]["nodePort"]
    changed = await api.put(f"{SERVICES}/a", service("a", type="NodePort", ports=ports))
    first, second = (it["nodePort"] for it in changed.ok()["spec"]["ports"])
    assert second == had
    assert first not in (had, 0)


@served
async def test_fixed_node_ports_are_taken_once(api: Served) -> None:
    fixed = [{"port": 80, "nodePort": 30080}]
    await create(api, "a", type="NodePort", ports=fixed)
    answer = await api.post(SERVICES, service("b", type="NodePort", ports=fixed))
    assert (answer.code, answer.message) == (
        422,
        'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is '
        "already allocated",
    )
    low = [{"port": 80, "nodePort": 80}]
    answer = await api.post(SERVICES, service("b", type="NodePort", ports=low))
    assert answer.message == (
        'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not '
        "in the valid range. The range of valid ports is 30000-32767"
    )
    (await api.delete(f"{SERVICES}/a")).ok()
    await create(api, "b", type="NodePort", ports=fixed)


def test_when_all_node_ports_are_taken_the_next_is_one_that_was_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services, "NODE_PORT_RANGE", range(30000, 30003))

    @served
    async def scenario(api: Served) -> None:
        made = [await create(api, f"s{n}", type="NodePort") for n in range(3)]
        ports = [spec["ports"][0]["nodePort"] for spec in made]
        assert sorted(ports) == [30000, 30001, 30002]
        refused = await api.post(SERVICES, service("s3", type="NodePort"))
        assert (refused.code, refused.message) == (
            500,
            "Internal error occurred: failed to allocate a nodePort: range is full",
        )
        (await api.delete(f"{SERVICES}/s1")).ok()
        again = await create(api, "s3", type="NodePort")
        assert again["ports"][0]["nodePort"] == ports[1]

    scenario()


@served
async def test_one_node_port_serves_two_protocols(api: Served) -> None:
    ports = [
        {"name": "t", "port": 53, "protocol": "TCP", "nodePort": 30053},
        {"name": "u", "port": 53, "protocol": "UDP", "nodePort": 30053},
    ]
    spec = await create(api, "a", type="NodePort", ports=ports)
    assert [port["nodePort"] for port in spec["ports"]] == [30053, 30053]


@served
async def test_a_load_balancer_may_do_without_node_ports(api: Served) -> None:
    spec = await create(api, "a", type="LoadBalancer")
    assert spec["ports"][0]["nodePort"]
    spec = await create(api, "b", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert "nodePort" not in spec["ports"][0]


@served
async def test_a_service_that_ends_with_its_finalizer_gives_all_back(api: Served) -> None:
    given = service("a", type="NodePort", ports=[{"port": 80, "nodePort": 30081}])
    given["metadata"]["finalizers"] = ["example.com/x"]
    address = (await api.post(SERVICES, given)).ok()["spec"]["clusterIP"]
    (await api.delete(f"{SERVICES}/a")).ok()
    assert address in await taken(api)
    (await api.patch(f"{SERVICES}/a", {"metadata": {"finalizers": None}}, MERGE)).ok()
    assert address not in await taken(api)
    await create(api, "b", type="NodePort", ports=[{"port": 80, "nodePort": 30081}])


@pytest.mark.parametrize("spec", [{"ports": []}, {"type": "Weird"}])
@served
async def test_a_refused_service_takes_nothing(api: Served, spec: Document) -> None:
    before = await taken(api)
    assert (await api.post(SERVICES, service("a", **spec))).code == 422
    assert await taken(api) == before


@served
async def test_the_end_of_the_range_is_left_to_load_balancers(api: Served) -> None:
    for number in range(200):
        spec = await create(api, f"s{number}")
        assert not spec["clusterIP"].startswith("10.96.255.")
    asked = await create(api, "asked", clusterIP="10.96.255.9")
    assert asked["clusterIP"] == "10.96.255.9"


@served
async def test_a_policy_for_traffic_from_outside_stays_with_addresses_there(api: Served) -> None:
    for name, outside in (("a", {"externalIPs": ["1.2.3.4"]}), ("b", {})):
        spec = await create(api, name, type="NodePort", **outside)
        assert spec["externalTrafficPolicy"] == "Cluster"
        inner = {"spec": {"type": "ClusterIP"}}
        changed = (await api.patch(f"{SERVICES}/{name}", inner, MERGE)).ok()["spec"]
        assert changed.get("externalTrafficPolicy") == ("Cluster" if outside else None)


LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}


@served
async def test_a_health_check_gets_a_port_of_the_nodes_keeps_it_and_gives_it_back(
    api: Served,
) -> None:
    spec = await create(api, "a", **LOCAL)
    port, own = spec["healthCheckNodePort"], spec["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767 and port != own
    answer = await api.post(SERVICES, service("b", type="NodePort", ports=[taking(port)]))
    assert answer.document["details"]["causes"][0]["field"] == "spec.ports[0].nodePort"
    without = (await api.get(f"{SERVICES}/a")).ok()
    del without["spec"]["healthCheckNodePort"]
    assert (await api.put(f"{SERVICES}/a", without)).ok()["spec"]["healthCheckNodePort"] == port
    policy = {"spec": {"externalTrafficPolicy": "Cluster"}}
    changed = (await api.patch(f"{SERVICES}/a", policy, MERGE)).ok()["spec"]
    assert "healthCheckNodePort" not in changed and changed["ports"][0]["nodePort"] == own
    await create(api, "b", type="NodePort", ports=[taking(port)])
    again = (await create(api, "c", **LOCAL))["healthCheckNodePort"]
    assert again not in (port, own)


def taking(port: int) -> Document:
    return {"port": 80, "nodePort": port}


@served
async def test_a_health_check_never_gets_the_port_that_its_service_gets(api: Served) -> None:
    api.world.draw = lambda _count: 0  # type: ignore[method-assign]
    spec = await create(api, "a", **LOCAL)
    assert (spec["healthCheckNodePort"], spec["ports"][0]["nodePort"]) == (30000, 30001)


@served
async def test_a_health_check_may_ask_for_its_port(api: Served) -> None:
    spec = await create(api, "a", healthCheckNodePort=31234, **LOCAL)
    assert spec["healthCheckNodePort"] == 31234
    answer = await api.post(SERVICES, service("b", healthCheckNodePort=31234, **LOCAL))
    assert answer.code == 422
    (await api.delete(f"{SERVICES}/a")).ok()
    await create(api, "b", healthCheckNodePort=31234, **LOCAL)


RANGES = "/apis/networking.k8s.io/v1/servicecidrs"


async def conditions(api: Served, name: str) -> list[Document]:
    found: list[Document] = (await api.get(f"{RANGES}/{name}")).ok()["status"]["conditions"]
    return found


@served
async def test_the_range_of_the_server_is_a_ready_object_that_comes_back(api: Served) -> None:
    made = (await api.get(f"{RANGES}/kubernetes")).ok()
    assert made["spec"] == {"cidrs": ["10.96.0.0/16"]}
    (ready,) = await conditions(api, "kubernetes")
    assert ready.pop("lastTransitionTime") == made["metadata"]["creationTimestamp"]
    assert ready == {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    }
    (await api.delete(f"{RANGES}/kubernetes")).ok()
    await api.world.sleep(1)
    again = (await api.get(f"{RANGES}/kubernetes")).ok()
    assert again["metadata"]["uid"] != made["metadata"]["uid"]
    assert (await conditions(api, "kubernetes"))[0]["status"] == "True"


@served
async def test_addresses_come_from_every_range_that_is_ready(api: Served) -> None:
    other = {"metadata": {"name": "other"}, "spec": {"cidrs": ["10.200.0.0/29", "fd00::/64"]}}
    (await api.post(RANGES, other)).ok()
    named = await create(api, "named", clusterIP="10.200.0.3")
    assert named["clusterIP"] == "10.200.0.3"
    full = {"metadata": {"name": "kubernetes"}, "status": {"conditions": [NOT_READY]}}
    (await api.patch(f"{RANGES}/kubernetes/status", full)).ok()
    found = [(await create(api, f"s{number}"))["clusterIP"] for number in range(5)]
    assert sorted(found) == [f"10.200.0.{number}" for number in (1, 2, 4, 5, 6)]
    refused = await api.post(SERVICES, service("more"))
    assert (refused.code, refused.document["reason"]) == (500, "InternalError")
    assert "failed to allocate a serviceIP: range is full" in refused.message
    refused = await api.post(SERVICES, service("more", clusterIP="10.96.0.77"))
    assert refused.message.endswith("the provided network does not match the current range")


NOT_READY = {
    "type": "Ready",
    "status": "False",
    "reason": "Terminating",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


@served
async def test_a_range_that_is_going_gives_no_addresses(api: Served) -> None:
    metadata = {"name": "other", "finalizers": ["example.com/hold"]}
    (await api.post(RANGES, {"metadata": metadata, "spec": {"cidrs": ["10.200.0.0/29"]}})).ok()
    (await api.delete(f"{RANGES}/other")).ok()
    refused = await api.post(SERVICES, service("a", clusterIP="10.200.0.3"))
    assert refused.code == 422
