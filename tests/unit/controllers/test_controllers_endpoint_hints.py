"""For which zones and nodes endpoints are meant, and what is said where they cannot be shared."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest

from served import DEPLOYMENTS, Document, Served, deployment
from steersman.controllers.endpoint_hints import (
    NO_NODE_INFO,
    NO_ZONE,
    NOT_EVEN,
    TOO_FEW,
    NotShared,
    is_automatic,
    prefer,
    share_out,
    shares,
    terms,
)
from steersman.model.kinds.node import Node
from steersman.model.kinds.service import Service
from unit.controllers.views import decoded
from whole import gone, until, whole

NODES = "/api/v1/nodes"
SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
EVENTS = "/api/v1/namespaces/default/events"
MODE = "service.kubernetes.io/topology-mode"
EVEN = {"a": 0.5, "b": 0.5}


def endpoint(zone: str = "", node: str = "", *, ready: bool = True) -> dict[str, Any]:
    found = {"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}
    return found | ({"zone": zone} if zone else {}) | ({"nodeName": node} if node else {})


def for_zones(*zones: str) -> dict[str, Any]:
    return {"forZones": [{"name": it} for it in zones]}


def node(zone: str = "", cpu: str = "4", *, ready: str = "True", **labels: str) -> Node:
    if zone:
        labels["topology.kubernetes.io/zone"] = zone
    condition = {"type": "Ready", "status": ready}
    status = {"allocatable": {"cpu": cpu} if cpu else {}, "conditions": [condition]}
    document = {"metadata": {"name": "n", "labels": labels}, "status": status}
    found: Node = decoded(document, Node)
    return found


def service(**annotations: str) -> Service:
    named = {
        f"service.kubernetes.io/{key.replace('_', '-')}": it for key, it in annotations.items()
    }
    found: Service = decoded({"metadata": {"annotations": named}}, Service)
    return found


@pytest.mark.parametrize("distribution", ["PreferClose", "PreferSameZone", "PreferSameNode"])
def test_a_distribution_means_a_ready_endpoint_for_where_it_is(distribution: str) -> None:
    found = endpoint("a", "n")
    by_node = {"forNodes": [{"name": "n"}]} if distribution == "PreferSameNode" else {}
    assert prefer(distribution, found) == {**found, "hints": {**for_zones("a"), **by_node}}
    assert prefer(distribution, endpoint("a")) == {**endpoint("a"), "hints": for_zones("a")}
    homeless = endpoint("", "n")
    assert prefer(distribution, homeless) == homeless | ({"hints": by_node} if by_node else {})
    away = endpoint("a", "n", ready=False)
    assert prefer(distribution, away) == away


def test_no_distribution_or_one_that_is_unknown_means_no_hints() -> None:
    assert (
        prefer("", endpoint("a", "n")) == prefer("Other", endpoint("a", "n")) == endpoint("a", "n")
    )


def test_a_service_asks_for_shares_with_either_annotation_the_older_first() -> None:
    assert is_automatic(service(topology_mode="Auto"))
    assert is_automatic(service(topology_mode="auto"))
    assert is_automatic(service(topology_aware_hints="auto", topology_mode="Disabled"))
    assert not is_automatic(service(topology_aware_hints="Disabled", topology_mode="Auto"))
    assert not is_automatic(service(topology_aware_hints="", topology_mode="Auto"))
    assert not is_automatic(service())


def test_zones_have_shares_of_the_processors_of_ready_nodes() -> None:
    found = [node("a", "2"), node("a", "1"), node("b", "1"), node("b", "9", ready="False")]
    assert shares(found) == {"a": 0.75, "b": 0.25}
    ruling = {"node-role.kubernetes.io/control-plane": ""}
    assert shares([*found, node("c", "4", **ruling), node("", "", **ruling)]) == shares(found)
    assert terms(node("c", **{"node-role.kubernetes.io/master": ""})) is None
    assert terms(node("a", "2")) == ("a", "2")


@pytest.mark.parametrize(
    "odd", [node("", "1"), node("c", "0"), node("c", "")], ids=["zone", "nothing", "unsaid"]
)
def test_there_are_no_shares_where_one_node_does_not_say_all(odd: Node) -> None:
    assert shares([node("a"), node("b"), odd]) == {}


def test_there_are_no_shares_of_one_zone() -> None:
    assert shares([node("a"), node("a")]) == shares([]) == {}


def shared(zones: str, of: Any = EVEN) -> list[str]:
    """Returns for which zone each endpoint is meant; the letters are where they are."""
    found = share_out([endpoint(zone) for zone in zones], of)
    return [one["hints"]["forZones"][0]["name"] for one in found]


def test_endpoints_stay_in_their_zones_where_that_is_even() -> None:
    assert shared("ab") == ["a", "b"]
    assert shared("aabb") == ["a", "a", "b", "b"]
    assert shared("aaaabbb") == [*"aaaabbb"]  # half an endpoint is not moved


def test_zones_with_too_many_give_to_those_with_too_few() -> None:
    assert Counter(shared("aaaa")) == {"a": 2, "b": 2}
    assert Counter(shared("aaaaab")) == {"a": 3, "b": 3}
    uneven = {"a": 0.75, "b": 0.25}
    assert Counter(shared("aabb", uneven)) == {"a": 3, "b": 1}
    thirds = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    assert Counter(shared("aaaaaabbb", thirds)) == {"a": 3, "b": 3, "c": 3}
    assert Counter(shared("zzzz")) == {"z": 4}  # a zone without nodes gives nothing away


def test_endpoints_that_are_not_ready_have_no_part() -> None:
    away = endpoint("", ready=False)
    found = share_out([endpoint("a"), away, endpoint("b")], EVEN)
    assert [one.get("hints") for one in found] == [for_zones("a"), None, for_zones("b")]


@pytest.mark.parametrize(
    ("zones", "of", "why"),
    [
        ("ab", {}, NO_NODE_INFO),
        ("a", EVEN, f"{TOO_FEW} (1 endpoints, 2 zones)"),
        ("aab", EVEN, f"{NOT_EVEN} (3 endpoints, 2 zones)"),
    ],
)
def test_where_endpoints_cannot_be_shared_out_it_says_why(zones: str, of: Any, why: str) -> None:
    with pytest.raises(NotShared) as refused:
        share_out([endpoint(zone) for zone in zones], of)
    assert str(refused.value) == why


def test_an_endpoint_without_a_zone_keeps_all_from_being_shared_out() -> None:
    with pytest.raises(NotShared, match=NO_ZONE):
        share_out([endpoint("a"), endpoint(""), endpoint("b"), endpoint("b")], EVEN)


async def put(api: Served, replicas: int, **fields: Any) -> None:
    """Makes pods on two nodes, each in a zone of its own, and a service of them."""
    for number, zone in enumerate("ab"):
        await zoned(api, number, zone)
    (await api.post(DEPLOYMENTS, deployment("web", replicas))).ok()
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}], **fields.pop("spec", {})}
    (await api.post(SERVICES, {"metadata": {"name": "web", **fields}, "spec": spec})).ok()


async def zoned(api: Served, number: int, zone: str | None) -> None:
    change = {"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}
    (await api.patch(f"{NODES}/node-{number}", change)).ok()


async def endpoints(api: Served) -> list[Document]:
    of = {"labelSelector": "kubernetes.io/service-name=web"}
    found = (await api.get(SLICES, **of)).ok()["items"]
    return [endpoint for each in found for endpoint in each.get("endpoints") or ()]


async def meant(api: Served, count: int, *hints: str) -> None:
    """Waits until there are so many endpoints, all ready, and all have just these kinds of hints,
    each for where it is."""

    def right(found: Document) -> bool:
        own = {"forZones": [{"name": found["zone"]}], "forNodes": [{"name": found["nodeName"]}]}
        return found.get("hints", {}) == {name: own[name] for name in hints}

    async def all_are() -> bool:
        found = await endpoints(api)
        ready = [it for it in found if it["conditions"]["ready"]]
        return len(ready) == len(found) == count and all(map(right, found))

    await until(api, all_are)


async def told(api: Served, *wanted: tuple[str, str]) -> None:
    """Waits until just this has been told of hints, and who told it."""

    async def is_told() -> bool:
        found = (await api.get(EVENTS)).ok()["items"]
        hints = [it for it in found if it["reason"].startswith("TopologyAwareHints")]
        assert {it["source"]["component"] for it in hints} <= {"endpoint-slice-controller"}
        return sorted((it["type"], it["message"]) for it in hints) == sorted(wanted)

    await until(api, is_told)


@whole
async def test_endpoints_have_the_hints_of_a_services_distribution_as_long_as_it_has_one(
    api: Served,
) -> None:
    await put(api, 3, spec={"trafficDistribution": "PreferSameNode"})
    await meant(api, 3, "forZones", "forNodes")
    for wanted, hints in (("PreferClose", ("forZones",)), (None, ())):
        change = {"spec": {"trafficDistribution": wanted}}
        (await api.patch(f"{SERVICES}/web", change)).ok()
        await meant(api, 3, *hints)
    await told(api)


ENABLED = ("Normal", "Topology Aware Hints has been enabled, addressType: IPv4")
DISABLED = ("Warning", "Topology Aware Hints has been disabled, addressType: IPv4")
UNKNOWN = ("Warning", f"{NO_NODE_INFO}, addressType: IPv4")


@whole
async def test_endpoints_are_shared_out_while_the_nodes_and_the_service_let_them(
    api: Served,
) -> None:
    await put(api, 4)
    await meant(api, 4)
    automatic = {"metadata": {"annotations": {MODE: "Auto"}}, "spec": {"trafficDistribution": None}}
    (await api.patch(f"{SERVICES}/web", automatic)).ok()
    await meant(api, 4, "forZones")
    await told(api, ENABLED)
    await zoned(api, 1, None)
    await meant_for_nobody(api)
    await told(api, ENABLED, UNKNOWN)
    await zoned(api, 1, "b")
    await meant(api, 4, "forZones")
    await until(api, partial(told_twice, api, ENABLED[1]))
    (await api.patch(f"{SERVICES}/web", {"metadata": {"annotations": {MODE: None}}})).ok()
    await meant_for_nobody(api)
    await told(api, ENABLED, UNKNOWN, DISABLED)


async def told_twice(api: Served, text: str) -> bool:
    found = (await api.get(EVENTS)).ok()["items"]
    return [it["count"] for it in found if it["message"] == text] == [2]


@whole
async def test_a_service_that_is_made_anew_is_told_anew_that_its_endpoints_are_shared_out(
    api: Served,
) -> None:
    automatic = {"annotations": {MODE: "Auto"}}
    await put(api, 4, **automatic)
    await meant(api, 4, "forZones")
    before = (await api.get(SLICES, labelSelector="kubernetes.io/service-name=web")).names
    (await api.delete(f"{SERVICES}/web")).ok()
    for name in before:
        await gone(api, f"{SLICES}/{name}")
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    made = {"metadata": {"name": "web", **automatic}, "spec": spec}
    uid = (await api.post(SERVICES, made)).ok()["metadata"]["uid"]

    async def is_told() -> bool:
        found = (await api.get(EVENTS, fieldSelector=f"involvedObject.uid={uid}")).ok()["items"]
        return [(it["type"], it["message"]) for it in found] == [ENABLED]

    await until(api, is_told)


async def meant_for_nobody(api: Served) -> None:
    async def no_hints() -> bool:
        return not any(it.get("hints") for it in await endpoints(api))

    await until(api, no_hints)
