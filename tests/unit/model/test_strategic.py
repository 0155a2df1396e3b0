"""Strategic merge patch: the documentation's examples and upstream's own cases on real kinds."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steersman.model import strategic
from steersman.model.patch import PatchFailed, PatchMalformed
from steersman.model.schema import Node, builtin, from_openapi
from steersman.model.strategic import Unmergeable, merge

_LIST = {"type": "array", "items": {"type": "integer"}}
_MERGE = {"x-kubernetes-patch-strategy": "merge"}
_BY_NAME = {**_MERGE, "x-kubernetes-patch-merge-key": "name"}
_ITEM: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "integer"}, "mergingIntList": {**_LIST, **_MERGE}},
}
# a made-up kind like that of upstream's tests
NODE = from_openapi(
    {
        "type": "object",
        "properties": {
            "mergingIntList": {**_LIST, **_MERGE},
            "nonMergingIntList": _LIST,
            "mergingList": {"type": "array", "items": _ITEM, **_BY_NAME},
            "nonMergingList": {"type": "array", "items": _ITEM},
            "keyless": {"type": "array", "items": _ITEM, **_MERGE},
            "replacingItem": {"type": "object", "x-kubernetes-patch-strategy": "replace"},
            "simpleMap": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
)


def _named(*names: int, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, **more} for name in names]


MERGED: list[tuple[str, Any, Any, Any]] = [
    ("fields merge", {"a": 1, "b": {"c": 1}}, {"b": {"d": 2}}, {"a": 1, "b": {"c": 1, "d": 2}}),
    ("null removes", {"a": 1, "b": 2}, {"a": None, "x": None}, {"b": 2}),
    ("nulls of what is new drop", {}, {"a": {"b": None, "c": [{"d": None}]}}, {"a": {"c": [{}]}}),
    ("another type replaces", {"a": {"b": 1}}, {"a": [1]}, {"a": [1]}),
    ("a plain list replaces", {"nonMergingIntList": [1, 2]}, {"nonMergingIntList": [2, 3]},
     {"nonMergingIntList": [2, 3]}),
    ("an unknown list replaces", {"x": [1]}, {"x": [2]}, {"x": [2]}),
    ("plain values merge once each", {"mergingIntList": [1, 2]}, {"mergingIntList": [2, 3, 3]},
     {"mergingIntList": [1, 2, 3]}),
    ("plain values keep the patch's order", {"mergingIntList": [1, 2, 3]},
     {"mergingIntList": [3, 4, 1]}, {"mergingIntList": [2, 3, 4, 1]}),
    ("items merge by key", {"mergingList": [{"name": 1, "a": 1}, {"name": 2}]},
     {"mergingList": [{"name": 1, "b": 2}, {"name": 3}]},
     {"mergingList": [{"name": 1, "a": 1, "b": 2}, {"name": 3}, {"name": 2}]}),
    ("of equal keys the first merges", {"mergingList": [{"name": 1, "a": 1}, {"name": 1, "b": 1}]},
     {"mergingList": [{"name": 1, "c": 1}]},
     {"mergingList": [{"name": 1, "a": 1, "c": 1}, {"name": 1, "b": 1}]}),
    ("lists in items merge", {"mergingList": [{"name": 1, "mergingIntList": [1]}]},
     {"mergingList": [{"name": 1, "mergingIntList": [2]}]},
     {"mergingList": [{"name": 1, "mergingIntList": [2, 1]}]}),
    ("an empty patch list changes nothing", {"mergingList": _named(1)}, {"mergingList": []},
     {"mergingList": _named(1)}),
    ("items of the patch alone merge among themselves", {"mergingList": []},
     {"mergingList": [{"name": 1, "a": 1}, {"name": 2}, {"name": 1, "b": 2}]},
     {"mergingList": [{"name": 1, "a": 1, "b": 2}, {"name": 2}]}),
    ("a directive need not be among the keys to retain", {"a": 1, "mergingIntList": [1, 2, 3]},
     {"$retainKeys": ["mergingIntList"], "$deleteFromPrimitiveList/mergingIntList": [1],
      "$setElementOrder/mergingIntList": [3, 2]},
     {"mergingIntList": [3, 2]}),
    ("a list that is ordered and removed is removed", {"mergingList": _named(1, 2), "x": 1},
     {"$setElementOrder/mergingList": _named(2, 1), "mergingList": None}, {"x": 1}),
    ("a deleted item goes", {"mergingList": _named(1, 2, 1)},
     {"mergingList": [{"name": 1, "$patch": "delete"}]}, {"mergingList": _named(2)}),
    ("a replaced list keeps only the patch", {"mergingList": _named(1, 2)},
     {"mergingList": [{"name": 3}, {"$patch": "replace"}]}, {"mergingList": _named(3)}),
    ("a lone replace empties the list", {"mergingList": _named(1)},
     {"mergingList": [{"$patch": "replace"}]}, {"mergingList": []}),
    ("a replaced map keeps only the patch", {"simpleMap": {"a": "1"}},
     {"simpleMap": {"b": "2", "$patch": "replace"}}, {"simpleMap": {"b": "2"}}),
    ("a deleted map is empty", {"simpleMap": {"a": "1"}, "x": 1},
     {"simpleMap": {"$patch": "delete"}}, {"simpleMap": {}, "x": 1}),
    ("the whole object is replaced", {"a": 1}, {"b": 2, "$patch": "replace"}, {"b": 2}),
    ("a directive for what is not there does nothing", {"a": 1},
     {"simpleMap": {"$patch": "delete"}, "mergingList": [{"name": 1, "$patch": "delete"}]},
     {"a": 1, "mergingList": []}),
    ("a map with the replace strategy is replaced", {"replacingItem": {"a": 1}},
     {"replacingItem": {"b": 2}}, {"replacingItem": {"b": 2}}),
    ("what is not retained goes", {"simpleMap": {"a": "1", "b": "2"}},
     {"simpleMap": {"c": "3", "$retainKeys": ["b", "c"]}}, {"simpleMap": {"b": "2", "c": "3"}}),
    ("what is to go need not be retained", {"simpleMap": {"a": "1", "b": "2"}},
     {"simpleMap": {"b": None, "a": "1", "$retainKeys": ["a"]}}, {"simpleMap": {"a": "1"}}),
    ("plain values are deleted", {"mergingIntList": [1, 2, 3, 2]},
     {"$deleteFromPrimitiveList/mergingIntList": [2, 9]}, {"mergingIntList": [1, 3]}),
    ("plain values are deleted from any list", {"nonMergingIntList": [1, 2]},
     {"$deleteFromPrimitiveList/nonMergingIntList": [1]}, {"nonMergingIntList": [2]}),
    ("nothing is deleted from nothing", {}, {"$deleteFromPrimitiveList/mergingIntList": [1]}, {}),
    ("the order is set", {"mergingList": _named(1, 2, 3)},
     {"$setElementOrder/mergingList": _named(3, 1, 2)}, {"mergingList": _named(3, 1, 2)}),
    ("items the order does not name keep their place", {"mergingList": _named(1, 2, 3, 4)},
     {"$setElementOrder/mergingList": _named(4, 2)}, {"mergingList": _named(1, 3, 4, 2)}),
    ("new items stand where the order says", {"mergingIntList": [1, 2, 4]},
     {"$setElementOrder/mergingIntList": [1, 2, 3, 4], "mergingIntList": [3]},
     {"mergingIntList": [1, 2, 3, 4]}),
    ("order and deletion", {"mergingIntList": [1, 2, 3]},
     {"$setElementOrder/mergingIntList": [3, 1], "$deleteFromPrimitiveList/mergingIntList": [2]},
     {"mergingIntList": [3, 1]}),
    # one array in upstream: the added item takes the deleted one's place in the live order
    ("a new item takes a deleted one's place", {"mergingList": _named(1, 2, 4)},
     {"$setElementOrder/mergingList": _named(2, 3),
      "mergingList": [{"name": 3}, {"name": 1, "$patch": "delete"}]},
     {"mergingList": _named(2, 4, 3)}),
    ("a list that is new is ordered", {},
     {"$setElementOrder/mergingList": _named(1, 2), "mergingList": _named(1, 2)},
     {"mergingList": _named(1, 2)}),
    ("of an ordered list that is new nothing is to be deleted", {},
     {"$setElementOrder/mergingList": _named(2),
      "mergingList": [{"name": 1, "$patch": "delete"}, {"name": 2, "a": None}]},
     {"mergingList": _named(2)}),
    ("an order without a list does nothing", {}, {"$setElementOrder/mergingList": _named(1)}, {}),
    ("a map to be deleted takes along what stands there", {"a": 1, "b": 2},
     {"a": {"$patch": "delete"}}, {"b": 2}),
    ("nulls of a list that is new stay", {}, {"a": [None, 1]}, {"a": [None, 1]}),
    ("an empty order orders nothing", {"mergingIntList": [2]},
     {"$setElementOrder/mergingIntList": [], "mergingIntList": [1]}, {"mergingIntList": [2, 1]}),
    ("nothing merges with nothing", {"mergingList": []}, {"mergingList": []}, {"mergingList": []}),
    ("true is another key than 1", {"mergingList": [{"name": True, "a": 1}]},
     {"mergingList": _named(1)}, {"mergingList": [{"name": 1}, {"name": True, "a": 1}]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "patch", "result"), [case[1:] for case in MERGED], ids=[case[0] for case in MERGED]
)
def test_a_strategic_merge_patch_is_applied_and_changes_no_argument(
    document: Any, patch: Any, result: Any
) -> None:
    before = copy.deepcopy((document, patch))
    assert merge(document, patch, NODE) == result
    assert (document, patch) == before


def test_a_nested_patch_of_lists_is_json_where_the_schema_ends() -> None:
    assert merge({"a": {"l": [1]}}, {"a": {"l": [2], "m": {"n": None}}}, None) == {
        "a": {"l": [2], "m": {}}
    }


REFUSED: list[tuple[Any, Any, type[Exception], str]] = [
    ({}, [], PatchMalformed, "invalid JSON document"),
    ({}, {"$patch": "shred"}, Unmergeable, "unknown patch type: shred in map: map[$patch:shred]"),
    ({}, {"$patch": "merge"}, Unmergeable, "unknown patch type: merge in map: map[$patch:merge]"),
    ({"mergingList": _named(1)}, {"mergingList": [{"$patch": "merge"}]}, Unmergeable,
     "merging lists cannot yet be specified in the patch"),
    ({"mergingList": _named(1)}, {"mergingList": [{"$patch": "x"}]}, Unmergeable,
     "unknown patch type: x in map: map[$patch:x]"),
    ({"mergingList": _named(1)}, {"mergingList": [{"value": 1}]}, Unmergeable,
     "map: map[value:1] does not contain declared merge key: name"),
    ({"mergingList": _named(1)}, {"mergingList": [{"$patch": "delete"}]}, Unmergeable,
     "map: map[$patch:delete] does not contain declared merge key: name"),
    ({"mergingList": [{"value": [True, None]}]}, {"mergingList": _named(1)}, Unmergeable,
     "map: map[value:[true <nil>]] does not contain declared merge key: name"),
    ({"mergingList": _named(1)}, {"mergingList": [1]}, Unmergeable,
     "list element types are not identical: [[map[name:1]] [1]]"),
    ({"mergingIntList": [1]}, {"mergingIntList": [[1]]}, PatchFailed, ""),
    ({"keyless": [{}]}, {"keyless": [{}]}, Unmergeable, "cannot merge lists without merge key"),
    ({"a": 1}, {"a": 2, "$retainKeys": []}, PatchMalformed, "invalid patch format of retainKeys"),
    ({"a": 1}, {"$retainKeys": "a"}, PatchMalformed, "invalid patch format of retainKeys"),
    ({"mergingList": []}, {"$setElementOrder/mergingList": "x"}, Unmergeable,
     "expected a []interface {}, but received a string"),
    ({}, {"$setElementOrder/": []}, PatchMalformed, "invalid patch format of setElementOrder list"),
    ({}, {"$setElementOrder/mergingIntList": [1, 2], "mergingIntList": [2, 1]}, Unmergeable,
     "The order in patch list:\n[2 1]\n doesn't match $setElementOrder list:\n[1 2]\n"),
    ({"mergingIntList": [1]}, {"$deleteFromPrimitiveList/mergingIntList": ["a"]}, Unmergeable,
     "list element types are not identical: [[1] [a]]"),
    ({"mergingList": _named(1)}, {"$setElementOrder/mergingList": ["a"]}, Unmergeable,
     "expected a map[string]interface {}, but received a string"),
    ({"mergingList": [{"name": [1]}]}, {"mergingList": _named(1)}, Unmergeable,
     "[1] cannot be compared"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "patch", "kind", "message"), REFUSED)
def test_a_patch_that_cannot_be_merged_is_refused_in_upstreams_words(
    document: Any, patch: Any, kind: type[Any], message: str
) -> None:
    with pytest.raises(kind) as caught:
        merge(document, patch, NODE)
    if kind is PatchFailed:
        assert caught.value.why == "lists of lists are not supported"
    elif message.endswith("key"):
        assert caught.value.message.startswith(message)
    else:
        assert caught.value.message == message


def test_an_unmergeable_patch_is_a_500_without_reason_as_upstreams() -> None:
    status = Unmergeable("x").status()
    assert (status["code"], status.get("reason"), status["message"]) == (500, None, "x")


@pytest.fixture(scope="module")
def deployment() -> Node:
    return builtin().definition("io.k8s.api.apps.v1.Deployment")


LIVE = {
    "spec": {
        "replicas": 2,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "30%"}},
        "template": {
            "spec": {
                "containers": [
                    {"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]}
                ],
                "tolerations": [{"key": "dedicated", "value": "test-team"}],
            }
        },
    }
}


def test_containers_merge_by_name_and_tolerations_are_replaced(deployment: Node) -> None:
    """The documentation's example: update API objects in place using kubectl patch."""
    change = {
        "containers": [{"name": "side", "image": "redis"}],
        "tolerations": [{"key": "disktype", "value": "ssd"}],
    }
    merged = merge(LIVE, {"spec": {"template": {"spec": change}}}, deployment)
    spec = merged["spec"]["template"]["spec"]
    assert [item["name"] for item in spec["containers"]] == ["side", "main"]
    assert spec["tolerations"] == [{"key": "disktype", "value": "ssd"}]
    assert merged["spec"]["strategy"] is LIVE["spec"]["strategy"]


def test_retain_keys_changes_the_strategy_of_a_deployment(deployment: Node) -> None:
    """The documentation's example of the retainKeys strategy."""
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert merge(LIVE, patch, deployment)["spec"]["strategy"] == {"type": "Recreate"}


def test_ports_of_containers_merge_by_number(deployment: Node) -> None:
    container = {"name": "main", "ports": [{"containerPort": 80, "name": "http"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    merged = merge(LIVE, patch, deployment)
    ports = merged["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert ports == [{"containerPort": 80, "name": "http"}]


def test_conditions_of_a_pod_merge_by_type() -> None:
    pod = builtin().definition("io.k8s.api.core.v1.Pod")
    live = {
        "status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Initialized"}]}
    }
    patch = {
        "status": {
            "$setElementOrder/conditions": [{"type": "Ready"}, {"type": "Initialized"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
    }
    assert merge(live, patch, pod)["status"]["conditions"] == [
        {"type": "Ready", "status": "True"},
        {"type": "Initialized"},
    ]


def test_finalizers_are_a_merging_list_of_plain_values() -> None:
    pod = builtin().definition("io.k8s.api.core.v1.Pod")
    live = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}
    assert set(merge(live, patch, pod)["metadata"]["finalizers"]) == {"b", "c"}
    assert strategic.merge(live, {}, pod) == live
