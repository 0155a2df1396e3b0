"""Extended resources that devices meet: which class gives which, and what a claim asks for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scheduler_cluster import Cluster, HeldViews
from scheduler_cluster import node as cluster_node
from steersman.model.kinds.deviceclass import DEVICECLASS, DeviceClass
from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, Allocation
from steersman.model.kinds.resourceslice import RESOURCESLICE
from steersman.model.types.resource_check import OF_DEVICE_CLASS
from steersman.scheduler.decide import Chosen, decide
from steersman.scheduler.devices.extended import (
    classes_by_resource,
    document_of,
    extended_of,
    status_of,
    variant,
)
from steersman.scheduler.devices.inventory import Inventory
from steersman.scheduler.devices.rule import DeviceRule, rule_of
from steersman.scheduler.filters import node_resources_fit
from steersman.scheduler.hints import Waits, helped_by_device
from steersman.scheduler.profile import DEFAULT, Profile
from steersman.scheduler.scores.allocation import Strategy
from steersman.scheduler.state.demand import Shapes, demand_of
from steersman.scheduler.state.node import NodeState

GPU, NIC = "example.com/gpu", "example.com/nic"
CLASSES = {GPU: "gpus", NIC: "nics"}


def device_class(name: str, resource: str = "", made: int = 1) -> dict[str, Any]:
    named = {"extendedResourceName": resource} if resource else {}
    metadata = {"name": name, "creationTimestamp": f"2026-01-01T00:00:{made:02}Z"}
    return {"metadata": metadata, "spec": named}


def container(name: str, gpus: int = 0, nics: int = 0, **more: Any) -> dict[str, Any]:
    asked = {"cpu": "1", GPU: str(gpus), NIC: str(nics)}
    requests = {key: count for key, count in asked.items() if count != "0"}
    return {"name": name, "resources": {"requests": requests}, **more}


def pod(*containers: dict[str, Any], early: tuple[dict[str, Any], ...] = (), **spec: Any) -> Pod:
    metadata = {"name": "web", "namespace": "default", "uid": "u"}
    whole = {"containers": list(containers), "initContainers": list(early), **spec}
    return msgspec.convert({"metadata": metadata, "spec": whole}, Pod)


def node(**allocatable: str) -> NodeState:
    state = NodeState("n")
    names = {"gpu": GPU, "nic": NIC}
    listed = {names.get(name, name): count for name, count in allocatable.items()}
    room = {"cpu": "8", "pods": "10", **listed}
    document = {"metadata": {"name": "n"}, "status": {"allocatable": room}}
    state.set_node(msgspec.convert(document, Node))
    return state


def asked(found: Pod, *names: str) -> tuple[list[tuple[str, str, int]], list[tuple[str, str]]]:
    """Returns the requests of a claim, and which container gets which of them."""
    made = variant(found, names or (GPU,), CLASSES)
    requests = [
        (it.name, it.exactly.device_class_name, it.exactly.count)
        for it in made.claim.spec.devices.requests
        if it.exactly is not None
    ]
    return requests, [(it.container_name, it.request_name) for it in made.mappings]


def test_a_resource_is_met_by_the_class_made_last_and_every_class_has_a_name_of_its_own() -> None:
    listed = [
        device_class("b", GPU, made=2),
        device_class("c", GPU, made=2),
        device_class("a", GPU, made=1),
        device_class("plain"),
    ]
    found = classes_by_resource(msgspec.convert(it, DeviceClass) for it in listed)
    own = {OF_DEVICE_CLASS + name: name for name in ("a", "b", "c", "plain")}
    assert found == {GPU: "b", **own}


def test_each_container_has_a_request_named_by_its_place_and_that_of_the_resource() -> None:
    both = pod(container("a", gpus=2, nics=1), container("b", gpus=1))
    requests, mappings = asked(both, NIC, GPU)
    assert requests == [
        ("container-0-request-1", "gpus", 2),
        ("container-0-request-2", "nics", 1),
        ("container-1-request-1", "gpus", 1),
    ]
    assert mappings == [
        ("a", "container-0-request-1"),
        ("b", "container-1-request-1"),
        ("a", "container-0-request-2"),
    ]


def test_who_initializes_uses_what_others_have_later_and_more_only_where_that_is_missing() -> None:
    one = pod(container("main", gpus=2), early=(container("init", gpus=1),))
    assert asked(one) == (
        [("container-1-request-1", "gpus", 2)],
        [("main", "container-1-request-1"), ("init", "container-1-request-1")],
    )
    more = pod(
        container("main", gpus=1),
        early=(container("first", gpus=2), container("second", gpus=4)),
    )
    assert asked(more) == (
        [("container-1-request-1", "gpus", 3), ("container-2-request-1", "gpus", 1)],
        [
            ("main", "container-2-request-1"),
            ("first", "container-2-request-1"),
            ("first", "container-1-request-1"),
            ("second", "container-2-request-1"),
            ("second", "container-1-request-1"),
        ],
    )


def test_a_sidecar_keeps_its_devices_and_only_those_before_it_may_use_them() -> None:
    found = pod(
        container("main"),
        early=(
            container("before", gpus=1),
            container("side", gpus=1, restartPolicy="Always"),
            container("behind", gpus=1),
        ),
    )
    requests, mappings = asked(found)
    assert requests == [("container-1-request-1", "gpus", 1), ("container-2-request-1", "gpus", 1)]
    assert mappings == [
        ("side", "container-1-request-1"),
        ("before", "container-1-request-1"),
        ("behind", "container-2-request-1"),
    ]


def test_devices_meet_what_a_node_does_not_have_by_itself() -> None:
    found = extended_of(pod(container("a", gpus=1, nics=1)), CLASSES)
    assert found is not None and found.names == {GPU, NIC}
    assert found.without({GPU: 4, NIC: 1}) is None
    lacking = found.without({NIC: 1})
    assert lacking is not None and [it.resource_name for it in lacking.mappings] == [GPU]
    assert found.without({NIC: 2, GPU: 0}) is lacking  # made once for all nodes of a kind
    assert extended_of(pod(container("a")), CLASSES) is None
    assert extended_of(pod(container("a", gpus=1)), {NIC: "nics"}) is None


def test_a_claim_is_its_pods_and_protected_and_the_pod_says_who_gets_what() -> None:
    found = pod(container("a", gpus=2))
    made = variant(found, (GPU,), CLASSES)
    document = document_of(found, made.claim)
    assert document == {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "generateName": "web-extended-resources-",
            "namespace": "default",
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u", "controller": True}
            ],
            "annotations": {"resource.kubernetes.io/extended-resource-claim": "true"},
            "finalizers": ["resource.kubernetes.io/delete-protection"],
        },
        "spec": {
            "devices": {
                "requests": [
                    {
                        "name": "container-0-request-1",
                        "exactly": {
                            "deviceClassName": "gpus",
                            "allocationMode": "ExactCount",
                            "count": 2,
                        },
                    }
                ]
            }
        },
    }
    mapping = {
        "containerName": "a",
        "resourceName": GPU,
        "requestName": "container-0-request-1",
    }
    told = {"resourceClaimName": made.claim.metadata.name, "requestMappings": [mapping]}
    assert status_of(made.claim, made.mappings) == {"status": {"extendedResourceClaimStatus": told}}


def test_room_is_not_asked_for_what_devices_meet_unless_the_node_has_it_by_itself() -> None:
    spec = pod(container("a", gpus=2)).spec
    plain, delegated = demand_of(spec), demand_of(spec, frozenset(CLASSES))
    assert delegated.delegated == {GPU}
    refusal = node_resources_fit.refuse(plain, node())
    assert refusal is not None and refusal.reasons == ("Insufficient example.com/gpu",)
    assert node_resources_fit.refuse(delegated, node()) is None
    assert node_resources_fit.refuse(delegated, node(gpu="2")) is None
    refusal = node_resources_fit.refuse(delegated, node(gpu="1"))
    assert refusal is not None and refusal.final
    full = node_resources_fit.refuse(delegated, node(cpu="0"))
    assert full is not None and full.reasons == ("Insufficient cpu",)


def test_shapes_are_worked_out_anew_when_other_resources_are_met() -> None:
    shapes, found = Shapes(), pod(container("a", gpus=1))
    before = shapes.of(found)
    shapes.delegate(frozenset(CLASSES))
    after = shapes.of(found)
    assert (before.delegated, after.delegated) == (frozenset(), {GPU})
    shapes.delegate(frozenset(CLASSES))
    assert shapes.of(found) is after


@pytest.mark.parametrize(
    ("before", "now", "helps"),
    [((), (), False), ((), (GPU,), True), ((), (NIC,), False), ((GPU,), (GPU,), False)],
)
def test_a_class_helps_who_waits_for_the_resource_that_it_gives(
    before: tuple[str, ...], now: tuple[str, ...], helps: bool
) -> None:
    demand = demand_of(pod(container("a", gpus=1)).spec, frozenset(before))
    waits = Waits(demand, None, None, frozenset())  # type: ignore[arg-type]
    assert helped_by_device(waits, frozenset(now)) is helps


def held(*more: tuple[Any, dict[str, Any]]) -> Inventory:
    """Returns an inventory with one device on the node."""
    pool = {"name": "p", "resourceSliceCount": 1}
    spec = {"driver": "d.example", "pool": pool, "nodeName": "n", "devices": [{"name": "d0"}]}
    views = HeldViews(
        (DEVICECLASS, device_class("gpus", GPU)),
        (RESOURCESLICE, {"metadata": {"name": "s"}, "spec": spec}),
        *more,
    )
    return Inventory(views)


def test_a_pod_gets_devices_for_its_extended_resources() -> None:
    rule = rule_of(pod(container("a", gpus=1)), DEFAULT, held())
    assert isinstance(rule, DeviceRule)
    assert rule.refuse(node()) is None
    claims = rule.choice(node())
    ((claim, (pick,)),) = claims.picks
    assert (pick.request, pick.candidate.device.name) == ("container-0-request-1", "d0")
    assert [it.container_name for it in claims.mappings] == ["a"]
    assert claim.metadata.name == "<extended-resources>"
    many = rule_of(pod(container("a", gpus=2)), DEFAULT, held())
    assert isinstance(many, DeviceRule)
    refusal = many.refuse(node())
    assert refusal is not None and refusal.reasons == ("cannot allocate all claims",)
    assert many.refuse(node(gpu="2")) is None
    assert not many.choice(node(gpu="2"))


def test_who_asks_for_nothing_of_the_kind_has_no_rule() -> None:
    assert rule_of(pod(container("a")), DEFAULT, held()) is None
    without = Profile(filters=frozenset({"NodeResourcesFit"}))
    assert rule_of(pod(container("a", gpus=1)), without, held()) is None


def test_what_was_promised_to_a_claim_that_is_not_made_yet_is_taken() -> None:
    inventory, found = held(), pod(container("a", gpus=1))
    rule = rule_of(found, DEFAULT, inventory)
    assert isinstance(rule, DeviceRule) and rule.refuse(node()) is None
    ((claim, _),) = rule.choice(node()).picks
    result = {"request": "r", "driver": "d.example", "pool": "p", "device": "d0"}
    allocation = msgspec.convert({"devices": {"results": [result]}}, Allocation)
    inventory.promise(claim.metadata.uid, allocation)
    other = rule_of(found, DEFAULT, inventory)
    assert isinstance(other, DeviceRule) and other.refuse(node()) is not None


def test_a_claim_of_an_earlier_attempt_keeps_a_pod_from_all_nodes_until_it_is_gone() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u", "controller": True}
    metadata = {
        "name": "web-extended-resources-x",
        "namespace": "default",
        "uid": "c",
        "annotations": {"resource.kubernetes.io/extended-resource-claim": "true"},
        "ownerReferences": [owner],
    }
    found = pod(container("a", gpus=1))
    rule = rule_of(found, DEFAULT, held((RESOURCECLAIM, {"metadata": metadata})))
    assert isinstance(rule, DeviceRule)
    refusal = rule.refuse(node())
    assert refusal is not None
    assert refusal.reasons == ("cannot schedule extended resource claim",)
    stale = rule.movable(found)
    assert stale is not None and stale.metadata.uid == "c"
    other = {**metadata, "ownerReferences": [{**owner, "uid": "another"}]}
    free = rule_of(found, DEFAULT, held((RESOURCECLAIM, {"metadata": other})))
    assert isinstance(free, DeviceRule) and free.refuse(node()) is None


def stocked(**nodes: tuple[int, int]) -> Inventory:
    """Returns an inventory with so many devices on each node, so many of them taken; those of
    another make are not of the class."""
    gpus = device_class("gpus", GPU)
    chosen = {"cel": {"expression": "device.attributes['d.example'].make == 'gpu'"}}
    gpus["spec"]["selectors"] = [chosen]
    views = HeldViews((DEVICECLASS, gpus))
    for name, (there, taken) in nodes.items():
        makes = ["gpu"] * there + ["nic"]
        devices = [
            {"name": f"d{place}", "attributes": {"make": {"string": make}}}
            for place, make in enumerate(makes)
        ]
        spec = {"driver": "d.example", "nodeName": name, "devices": devices}
        spec["pool"] = {"name": name, "generation": 1, "resourceSliceCount": 1}
        views.put(RESOURCESLICE, {"metadata": {"name": name}, "spec": spec})
        results = [
            {"request": "r", "driver": "d.example", "pool": name, "device": f"d{place}"}
            for place in range(taken)
        ]
        status = {"allocation": {"devices": {"results": results}}}
        metadata = {"name": f"c-{name}", "namespace": "default", "uid": f"c-{name}"}
        views.put(RESOURCECLAIM, {"metadata": metadata, "spec": {}, "status": status})
    return Inventory(views)


@pytest.mark.parametrize(
    ("strategy", "balanced", "best"),
    [
        (Strategy("MostAllocated", ((GPU, 1),)), (), "a"),
        (Strategy("LeastAllocated", ((GPU, 1), ("cpu", 1))), (), "b"),
        (Strategy(weights=()), ("cpu", GPU), "b"),
    ],
)
def test_devices_that_meet_a_resource_count_where_the_resource_is_scored(
    strategy: Strategy, balanced: tuple[str, ...], best: str
) -> None:
    weights = {"NodeResourcesFit": 1, "NodeResourcesBalancedAllocation": 1}
    profile = Profile(weights=weights, strategy=strategy, balanced=balanced)
    room = {"cpu": "8", "memory": "8Gi", "pods": "9"}
    cluster = Cluster(*(cluster_node(name, room) for name in "ab"), profile=profile)
    inventory = stocked(a=(4, 2), b=(2, 0))
    cluster.snapshot.shapes.delegate(frozenset(inventory.resources()))
    found = pod(container("x", gpus=1))
    rule = rule_of(found, profile, inventory)
    assert isinstance(rule, DeviceRule)
    for draw in (0.0, 0.99):
        answer = decide(cluster.memory.of(found, profile, local=rule), draw=draw)
        assert isinstance(answer, Chosen) and answer.node.name == best
