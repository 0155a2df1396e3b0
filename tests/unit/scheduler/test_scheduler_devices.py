"""Which devices the claims of a pod get on a node, as short documents say what there is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from scheduler_cluster import HeldViews
from steersman.model.kinds.deviceclass import DeviceClass
from steersman.model.kinds.devicetaintrule import DeviceTaintRule
from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, Allocation, ResourceClaim
from steersman.model.kinds.resourceslice import ResourceSlice
from steersman.scheduler.devices import allocator
from steersman.scheduler.devices.allocator import Search, TooLong
from steersman.scheduler.devices.inventory import Inventory
from steersman.scheduler.devices.result import allocation_of
from steersman.scheduler.devices.rule import DeviceRule, rule_of
from steersman.scheduler.devices.stock import Stock
from steersman.scheduler.profile import DEFAULT
from steersman.scheduler.state.node import NodeState

DRIVER = "d.example"


def decoded(document: dict[str, Any], kind: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document), type=kind)


def node(name: str = "n", **labels: str) -> NodeState:
    state = NodeState(name)
    state.set_node(decoded({"metadata": {"name": name, "labels": labels}}, Node))
    return state


def device(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, **fields}


def slice_of(*devices: dict[str, Any], name: str = "s", **spec: Any) -> ResourceSlice:
    pool = {"name": "p", "resourceSliceCount": 1, **spec.pop("pool", {})}
    places = ("allNodes", "nodeSelector", "perDeviceNodeSelection")
    placed = {} if any(place in spec for place in places) else {"nodeName": "n"}
    whole = {"driver": DRIVER, "pool": pool, **placed, "devices": list(devices), **spec}
    found: ResourceSlice = decoded({"metadata": {"name": name}, "spec": whole}, ResourceSlice)
    return found


def wish(**fields: Any) -> dict[str, Any]:
    return {"deviceClassName": "any", **fields}


def request(name: str = "r", **fields: Any) -> dict[str, Any]:
    return {"name": name, "exactly": wish(**fields)}


def claim(*requests: dict[str, Any], **devices: Any) -> ResourceClaim:
    spec = {"devices": {"requests": list(requests), **devices}}
    found: ResourceClaim = decoded({"metadata": {"name": "c"}, "spec": spec}, ResourceClaim)
    return found


CLASSES = {
    "any": decoded({"metadata": {"name": "any"}, "spec": {}}, DeviceClass),
    "big": decoded(
        {
            "spec": {
                "selectors": [
                    {"cel": {"expression": f'device.attributes["{DRIVER}"].size > 1'}},
                ],
                "config": [{"opaque": {"driver": DRIVER, "parameters": {"a": 1}}}],
            }
        },
        DeviceClass,
    ),
}
Got = list[list[str]] | None


def stock(
    *slices: ResourceSlice, taken: tuple[dict[str, Any], ...] = (), rules: tuple[Any, ...] = ()
) -> Stock:
    allocation = decoded({"devices": {"results": list(taken)}}, Allocation)
    return Stock(slices, [decoded(one, DeviceTaintRule) for one in rules], [allocation])


def search(
    there: Stock, *claims: ResourceClaim, on: NodeState | None = None
) -> allocator.Picks | None:
    return Search(claims, CLASSES.get, there, on or node()).run()


def got(there: Stock, *claims: ResourceClaim, on: NodeState | None = None) -> Got:
    found = search(there, *claims, on=on)
    if found is None:
        return None
    return [[f"{one.request}={one.candidate.device.name}" for one in picks] for _, picks in found]


def use(name: str, **fields: Any) -> dict[str, Any]:
    return {"request": "x", "driver": DRIVER, "pool": "p", "device": name, **fields}


TWO = slice_of(device("a"), device("b"))


def test_each_device_is_for_one() -> None:
    assert got(stock(TWO), claim(request())) == [["r=a"]]
    assert got(stock(TWO, taken=(use("a"),)), claim(request())) == [["r=b"]]
    assert got(stock(TWO), claim(request()), claim(request())) == [["r=a"], ["r=b"]]
    assert got(stock(TWO), claim(request(count=2))) == [["r=a", "r=b"]]
    assert got(stock(TWO), claim(request(count=3))) is None
    assert got(stock(TWO, taken=(use("a"), use("b"))), claim(request())) is None


def test_with_admin_access_what_is_in_use_counts_as_free_and_nothing_is_taken() -> None:
    there = stock(TWO, taken=(use("a"),))
    assert got(there, claim(request(adminAccess=True))) == [["r=a"]]
    there = stock(TWO, taken=(use("a", adminAccess=True),))
    assert got(there, claim(request())) == [["r=a"]]
    both = (claim(request(adminAccess=True)), claim(request()))
    assert got(stock(TWO), *both) == [["r=a"], ["r=a"]]


def test_classes_and_requests_select_devices() -> None:
    sized = [device(str(size), attributes={"size": {"int": size}}) for size in (1, 2, 3)]
    there = stock(slice_of(*sized))
    assert got(there, claim(request(deviceClassName="big"))) == [["r=2"]]
    selector = {"cel": {"expression": f'device.attributes["{DRIVER}"].size > 2'}}
    assert got(there, claim(request(selectors=[selector]))) == [["r=3"]]
    broken = {"cel": {"expression": f'device.attributes["{DRIVER}"].nothing'}}
    assert got(there, claim(request(selectors=[broken]))) is None


def test_all_devices_of_a_node_or_none() -> None:
    every = claim(request(allocationMode="All", count=0))
    assert got(stock(TWO), every) == [["r=a", "r=b"]]
    assert got(stock(TWO, taken=(use("b"),)), every) is None
    assert got(stock(), every) is None
    many = slice_of(*(device(f"d{number}") for number in range(33)))
    assert got(stock(many), every) is None
    incomplete = slice_of(device("c"), name="t", pool={"name": "q", "resourceSliceCount": 2})
    assert got(stock(TWO, incomplete), every) is None


def test_the_first_alternative_that_can_be_met_is() -> None:
    alternatives = [{"name": "two", **wish(count=2)}, {"name": "one", **wish()}]
    either = claim({"name": "r", "firstAvailable": alternatives})
    assert got(stock(TWO), either) == [["r/two=a", "r/two=b"]]
    assert got(stock(TWO, taken=(use("a"),)), either) == [["r/one=b"]]
    assert got(stock(TWO), either, claim(request())) == [["r/one=a"], ["r=b"]]


def test_of_a_pool_only_the_newest_generation_counts_once_it_is_whole() -> None:
    old = slice_of(device("a"), name="s1", pool={"generation": 1})
    new = slice_of(device("b"), name="s2", pool={"generation": 2, "resourceSliceCount": 2})
    more = slice_of(device("c"), name="s3", pool={"generation": 2, "resourceSliceCount": 2})
    assert got(stock(old), claim(request())) == [["r=a"]]
    assert got(stock(old, new), claim(request())) is None
    assert got(stock(old, more, new), claim(request())) == [["r=b"]]
    twice = slice_of(device("b"), name="s3", pool={"generation": 2, "resourceSliceCount": 2})
    assert got(stock(new, twice), claim(request())) is None


def attributed(name: str, **values: Any) -> dict[str, Any]:
    return device(name, attributes={f"x.y/{key}": {"string": one} for key, one in values.items()})


def test_devices_have_an_attribute_in_common_or_apart() -> None:
    there = stock(
        slice_of(
            attributed("a", numa="0"),
            attributed("b", numa="1"),
            device("none"),
            attributed("c", numa="1"),
        )
    )
    alike = [{"matchAttribute": "x.y/numa"}]
    apart = [{"distinctAttribute": "x.y/numa"}]
    assert got(there, claim(request(count=2), constraints=alike)) == [["r=b", "r=c"]]
    assert got(there, claim(request(count=2), constraints=apart)) == [["r=a", "r=b"]]
    assert got(there, claim(request(count=3), constraints=apart)) is None
    two = (request("q"), request("r", count=2))
    only = [{"matchAttribute": "x.y/numa", "requests": ["r"]}]
    assert got(there, claim(*two, constraints=only)) == [["q=a", "r=b", "r=c"]]


def test_an_attribute_in_the_drivers_domain_needs_no_domain_and_types_differ() -> None:
    there = stock(
        slice_of(
            device("a", attributes={"k": {"string": "1"}}),
            device("b", attributes={"k": {"int": 1}}),
            device("c", attributes={f"{DRIVER}/k": {"string": "1"}}),
        )
    )
    alike = claim(request(count=2), constraints=[{"matchAttribute": f"{DRIVER}/k"}])
    assert got(there, alike) == [["r=a", "r=c"]]


@pytest.mark.parametrize(
    ("effect", "tolerations", "free"),
    [
        ("NoSchedule", [], False),
        ("NoExecute", [], False),
        ("None", [], True),
        ("NoSchedule", [{"operator": "Exists"}], True),
        ("NoSchedule", [{"key": "k", "operator": "Exists"}], True),
        ("NoSchedule", [{"key": "q", "operator": "Exists"}], False),
        ("NoSchedule", [{"key": "k", "operator": "Equal", "value": "v"}], True),
        ("NoSchedule", [{"key": "k", "operator": "Equal", "value": "w"}], False),
        ("NoExecute", [{"operator": "Exists", "effect": "NoSchedule"}], False),
    ],
)
def test_tainted_devices_are_for_those_who_tolerate_it(
    effect: str, tolerations: list[Any], free: bool
) -> None:
    taint = {"key": "k", "value": "v", "effect": effect}
    wanted = claim(request(tolerations=tolerations))
    expected = [["r=a"]] if free else None
    assert got(stock(slice_of(device("a", taints=[taint]))), wanted) == expected
    rule = {"spec": {"deviceSelector": {"driver": DRIVER}, "taint": taint}}
    assert got(stock(slice_of(device("a")), rules=(rule,)), wanted) == expected


def test_a_rule_taints_what_it_selects() -> None:
    taint = {"key": "k", "effect": "NoSchedule"}

    def tainted(selector: Any) -> Got:
        rule = {"spec": {"taint": taint, **({"deviceSelector": selector} if selector else {})}}
        return got(stock(TWO, rules=(rule,)), claim(request()))

    assert tainted({"device": "a", "pool": "p"}) == [["r=b"]]
    assert tainted({"device": "a", "pool": "q"}) == [["r=a"]]
    assert tainted(None) == [["r=a"]]


def part(name: str, amount: int) -> dict[str, Any]:
    counters = {"memory": {"value": str(amount)}}
    return device(name, consumesCounters=[{"counterSet": "gpu", "counters": counters}])


def test_devices_that_share_counters_fit_together_or_not() -> None:
    pool = {"resourceSliceCount": 2}
    counters = {"name": "gpu", "counters": {"memory": {"value": "4"}}}
    shared = slice_of(name="s0", pool=pool, sharedCounters=[counters])
    parts = slice_of(part("whole", 4), part("a", 2), part("b", 2), name="s1", pool=pool)
    assert got(stock(shared, parts), claim(request())) == [["r=whole"]]
    assert got(stock(shared, parts), claim(request(count=2))) == [["r=a", "r=b"]]
    assert got(stock(shared, parts, taken=(use("a"),)), claim(request())) == [["r=b"]]
    assert got(stock(shared, parts, taken=(use("whole"),)), claim(request())) is None
    assert got(stock(shared, parts), claim(request(count=3))) is None


def shared_device(**policy: Any) -> Stock:
    capacity: dict[str, Any] = {"value": "10"}
    if policy:
        capacity["requestPolicy"] = policy
    return stock(slice_of(device("a", allowMultipleAllocations=True, capacity={"m": capacity})))


def taken_of(there: Stock, *amounts: str | None) -> list[int] | None:
    claims = [
        claim(request(**({} if one is None else {"capacity": {"requests": {"m": one}}})))
        for one in amounts
    ]
    found = search(there, *claims)
    if found is None:
        return None
    shares = [picks[0].share for _, picks in found]
    return [share["m"] // 10**9 for share in shares if share is not None]


def test_a_device_for_several_is_shared_by_its_capacity() -> None:
    assert taken_of(shared_device(), "4", "6") == [4, 6]
    assert taken_of(shared_device(), "4", "7") is None
    assert taken_of(shared_device(), None) == [10]
    assert taken_of(shared_device(default="3"), None, "7") == [3, 7]
    options = shared_device(default="2", validValues=["2", "5"])
    assert taken_of(options, "3") == [5]
    assert taken_of(options, "6") is None
    bounds = shared_device(default="2", validRange={"min": "2", "max": "8", "step": "3"})
    assert taken_of(bounds, "1") == [2]
    assert taken_of(bounds, "3") == [5]
    assert taken_of(bounds, "5") == [5]
    assert taken_of(bounds, "9") is None
    assert taken_of(bounds, "4", "4") == [5, 5]
    missing = claim(request(capacity={"requests": {"q": "1"}}))
    assert search(shared_device(), missing) is None


def test_what_others_share_of_a_device_is_not_free() -> None:
    capacity = {"m": {"value": "10"}}
    one = slice_of(device("a", allowMultipleAllocations=True, capacity=capacity))
    there = stock(one, taken=(use("a", shareID="x", consumedCapacity={"m": "7"}),))
    assert taken_of(there, "3") == [3]
    assert taken_of(there, "4") is None


def test_a_device_for_one_has_at_least_what_is_asked_for() -> None:
    there = stock(slice_of(device("a", capacity={"m": {"value": "1Gi"}}), device("b")))
    enough = claim(request(capacity={"requests": {"m": "1Gi"}}))
    assert got(there, enough) == [["r=a"]]
    assert got(there, claim(request(capacity={"requests": {"m": "2Gi"}}))) is None


def zone(name: str) -> dict[str, Any]:
    expression = {"key": "zone", "operator": "In", "values": [name]}
    return {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}


def test_devices_are_reached_from_the_nodes_of_their_slice() -> None:
    wanted, a, b = claim(request()), node("n", zone="a"), node("m", zone="b")
    assert got(stock(TWO), wanted, on=a) == [["r=a"]]
    assert got(stock(TWO), wanted, on=b) is None
    zonal = stock(slice_of(device("a"), nodeSelector=zone("b")))
    assert (got(zonal, wanted, on=a), got(zonal, wanted, on=b)) == (None, [["r=a"]])
    everywhere = stock(slice_of(device("a"), allNodes=True))
    assert got(everywhere, wanted, on=b) == [["r=a"]]
    each = (device("x", nodeName="m"), device("y", nodeSelector=zone("a")))
    mixed = stock(slice_of(*each, perDeviceNodeSelection=True))
    assert (got(mixed, wanted, on=a), got(mixed, wanted, on=b)) == ([["r=y"]], [["r=x"]])


def test_a_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "MOST_STEPS", 100)
    many = [attributed(f"d{number}", k=str(number)) for number in range(30)]
    hopeless = claim(request(count=2), constraints=[{"matchAttribute": "x.y/k"}])
    with pytest.raises(TooLong):
        search(stock(slice_of(*many)), hopeless)


def written(there: Stock, wanted: ResourceClaim, on: NodeState | None = None) -> Any:
    found = search(there, wanted, on=on)
    assert found is not None
    ((_, picks),) = found
    at = on.name if on is not None else "n"
    return allocation_of(wanted, picks, CLASSES.get, at, lambda: "id", "now")


def test_an_allocation_says_all_that_drivers_and_others_must_know() -> None:
    toleration = {"key": "k", "operator": "Exists", "effect": "NoSchedule"}
    taint = {"key": "k", "effect": "NoSchedule"}
    conditions = {"bindingConditions": ["Ready"], "bindingFailureConditions": ["Failed"]}
    attributes = {"size": {"int": 2}}
    one = device("a", attributes=attributes, taints=[taint], **conditions)
    own = {"opaque": {"driver": DRIVER, "parameters": {"b": 2}}}
    other = {"requests": ["q"], **own}
    wanted = claim(
        request(deviceClassName="big", tolerations=[toleration]),
        config=[own, {"requests": ["r"], **own}, other],
    )
    made = written(stock(slice_of(one)), wanted)
    assert made == {
        "devices": {
            "results": [
                {
                    "request": "r",
                    "driver": DRIVER,
                    "pool": "p",
                    "device": "a",
                    "tolerations": [toleration],
                    **conditions,
                }
            ],
            "config": [
                {
                    "source": "FromClass",
                    "requests": ["r"],
                    "opaque": {"driver": DRIVER, "parameters": {"a": 1}},
                },
                {"source": "FromClaim", **own},
                {"source": "FromClaim", "requests": ["r"], **own},
            ],
        },
        "nodeSelector": {
            "nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
            ]
        },
        "allocationTimestamp": "now",
    }


def test_an_allocation_belongs_to_all_nodes_from_which_its_devices_can_be_reached() -> None:
    everywhere = stock(slice_of(device("a"), allNodes=True))
    assert "nodeSelector" not in written(everywhere, claim(request()))
    zonal = slice_of(device("a"), device("b"), nodeSelector=zone("b"))
    made = written(stock(zonal), claim(request(count=2)), node("m", zone="b"))
    assert made["nodeSelector"] == zone("b")
    binding = stock(slice_of(device("a", bindsToNode=True), allNodes=True))
    selector = written(binding, claim(request()))["nodeSelector"]
    assert selector["nodeSelectorTerms"][0]["matchFields"][0]["values"] == ["n"]


def test_a_share_has_an_id_and_says_what_it_takes() -> None:
    capacity = {"m": {"value": "10", "requestPolicy": {"default": "2"}}}
    one = slice_of(device("a", allowMultipleAllocations=True, capacity=capacity), allNodes=True)
    (result,) = written(stock(one), claim(request()))["devices"]["results"]
    assert (result["shareID"], result["consumedCapacity"]) == ("id", {"m": "2"})
    admin = written(stock(TWO), claim(request(adminAccess=True)))
    assert admin["devices"]["results"][0]["adminAccess"] is True


ALLOCATED = {"allocation": {"devices": {"results": [use("a")]}}}


@pytest.mark.parametrize(
    ("status", "metadata", "named", "why"),
    [
        (
            {},
            {"deletionTimestamp": "2026-01-01T00:00:00Z"},
            {"resourceClaimName": "c"},
            'resourceclaim "c" is being deleted',
        ),
        (
            {**ALLOCATED, "reservedFor": [{"uid": str(number)} for number in range(256)]},
            {},
            {"resourceClaimName": "c"},
            "resourceclaim in use",
        ),
        ({}, {}, {"resourceClaimName": "d"}, 'resourceclaim.resource.k8s.io "d" not found'),
        (
            {},
            {},
            {"resourceClaimTemplateName": "t"},
            'pod "default/web": ResourceClaim not created yet',
        ),
        ({}, {}, {"resourceClaimName": "c"}, "request r: device class any does not exist"),
    ],
)
def test_a_pod_waits_for_what_its_claims_are_not_yet(
    status: dict[str, Any], metadata: dict[str, Any], named: dict[str, str], why: str
) -> None:
    assert rule_of(asking(named), DEFAULT, Inventory(held(status, metadata))) == why


def asking(named: dict[str, str]) -> Pod:
    spec = {"resourceClaims": [{"name": "x", **named}]}
    found: Pod = decoded({"metadata": {"name": "web", "namespace": "default"}, "spec": spec}, Pod)
    return found


def held(status: dict[str, Any], metadata: dict[str, Any]) -> HeldViews:
    names = {"name": "c", "namespace": "default", "uid": "u", **metadata}
    spec = {"devices": {"requests": [request()]}}
    return HeldViews((RESOURCECLAIM, {"metadata": names, "spec": spec, "status": status}))


def test_a_pod_waits_for_a_claim_that_is_being_allocated() -> None:
    inventory = Inventory(held({}, {}))
    inventory.promise("u", Allocation())
    named = {"resourceClaimName": "c"}
    why = "resource claim is in the process of being allocated"
    assert rule_of(asking(named), DEFAULT, inventory) == why
    inventory.withdraw("u")
    assert rule_of(asking(named), DEFAULT, inventory) != why


def test_a_pod_without_claims_has_no_rule() -> None:
    assert rule_of(decoded({}, Pod), DEFAULT, Inventory(HeldViews())) is None
    status = {**ALLOCATED, "reservedFor": [{"uid": "v"}]}
    rule = rule_of(asking({"resourceClaimName": "c"}), DEFAULT, Inventory(held(status, {})))
    assert isinstance(rule, DeviceRule)
    assert rule.refuse(node()) is None
