"""Server-side apply: the documentation's rules and structured-merge-diff's own cases."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from steersman.model import ownership
from steersman.model.apply import (
    LAST_APPLIED,
    MAX_ANNOTATIONS_BYTES,
    ApplyFailed,
    Conflicts,
    apply,
)
from steersman.model.errors import BadRequest
from steersman.model.fields import granular
from steersman.model.fields.fieldset import of_paths
from steersman.model.fields.structure import structure_of
from steersman.model.schema import Node, builtin, from_openapi

DEPLOYMENT = builtin().definition("io.k8s.api.apps.v1.Deployment")
CONFIG_MAP = builtin().definition("io.k8s.api.core.v1.ConfigMap")
POD = builtin().definition("io.k8s.api.core.v1.Pod")
T1, T2, T3 = (f"2026-01-01T00:00:0{second}Z" for second in (1, 2, 3))


def put(live: Any, applied: Any, node: Node = CONFIG_MAP, **more: Any) -> dict[str, Any]:
    """Applies, and checks that no argument was changed."""
    options = {"manager": "one", "force": False, "api_version": "v1", "time": T1, **more}
    if "apiVersion" not in applied:
        applied = {"apiVersion": options["api_version"], **applied}
    before = copy.deepcopy((live, applied))
    result = apply(live, applied, node, **options)
    assert (live, applied) == before
    return result


def updated(live: Any, changed: Any, node: Node = CONFIG_MAP, **more: Any) -> dict[str, Any]:
    """Writes as an ordinary client does."""
    options = {"manager": "editor", "api_version": "v1", "time": T2, **more}
    entries = ownership.counting(live, changed, options.get("subresource", ""))
    managed = ownership.update(entries, live, changed, node, **options)
    return {**changed, "metadata": {**changed.get("metadata", {}), "managedFields": managed}}


def managers(document: dict[str, Any]) -> dict[str, Any]:
    entries = document["metadata"].get("managedFields", [])
    return {f"{entry['manager']} {entry['operation']}": entry["fieldsV1"] for entry in entries}


def data(**values: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c"}, "data": values}


def test_an_applied_object_is_owned_leaf_by_leaf() -> None:
    made = put(None, data(a="1", b="2"))
    assert made == {
        "apiVersion": "v1",
        "data": {"a": "1", "b": "2"},
        "metadata": {
            "name": "c",
            "managedFields": [
                {
                    "manager": "one",
                    "operation": "Apply",
                    "apiVersion": "v1",
                    "time": T1,
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}},
                }
            ],
        },
    }


def test_applying_the_same_again_changes_nothing() -> None:
    made = put(None, data(a="1"))
    assert put(made, data(a="1"), time=T2) == made


def test_a_field_given_up_goes() -> None:
    made = put(None, data(a="1", b="2"))
    left = put(made, data(a="1"), time=T2)
    assert left["data"] == {"a": "1"}
    assert managers(left) == {"one Apply": {"f:data": {"f:a": {}}}}
    assert left["metadata"]["managedFields"][0]["time"] == T2
    assert "data" not in put(left, {"metadata": {"name": "c"}})


def test_a_field_given_up_stays_while_somebody_else_owns_it() -> None:
    made = put(put(None, data(a="1", b="2")), data(b="2"), manager="two")
    left = put(made, data(a="1"))
    assert left["data"] == {"a": "1", "b": "2"}
    assert managers(left) == {
        "one Apply": {"f:data": {"f:a": {}}},
        "two Apply": {"f:data": {"f:b": {}}},
    }
    gone = put(left, {"metadata": {"name": "c"}}, manager="two")
    assert gone["data"] == {"a": "1"}


def test_a_field_given_up_stays_where_an_update_took_it_over() -> None:
    made = put(None, data(a="1"))
    edited = updated(made, {**made, "data": {"a": "2"}})
    assert managers(edited) == {"editor Update": {"f:data": {"f:a": {}}}}
    left = put(edited, {"metadata": {"name": "c"}}, time=T3)
    assert left["data"] == {"a": "2"}


def test_a_second_owner_of_the_same_value_is_noted_without_a_time() -> None:
    """Nothing of the object changed, so upstream takes no note of when."""
    made = put(None, data(a="1"))
    shared = put(made, data(a="1"), manager="two", time=T2)
    assert managers(shared) == {
        "one Apply": {"f:data": {"f:a": {}}},
        "two Apply": {"f:data": {"f:a": {}}},
    }
    times = {entry["manager"]: entry.get("time") for entry in shared["metadata"]["managedFields"]}
    assert times == {"one": T1, "two": None}


def test_another_value_for_anothers_field_is_a_conflict() -> None:
    made = put(None, data(a="1"))
    with pytest.raises(Conflicts) as caught:
        put(made, data(a="2"), manager="two")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    status = caught.value.status()
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert status["details"] == {
        "causes": [
            {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
        ]
    }


def test_conflicts_with_updates_name_version_and_subresource() -> None:
    live = {"apiVersion": "apps/v1", "metadata": {}, "spec": {"replicas": 1}}
    more = {"api_version": "apps/v1"}
    made = updated(None, live, DEPLOYMENT, manager="kubectl-client-side-apply", **more)
    with pytest.raises(Conflicts) as caught:
        put(made, {"spec": {"replicas": 2}}, DEPLOYMENT, **more)
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: '
        ".spec.replicas"
    )
    scaled = updated(
        made,
        {**made, "spec": {"replicas": 3}},
        DEPLOYMENT,
        manager="hpa",
        subresource="scale",
        **more,
    )
    with pytest.raises(
        Conflicts, match='conflict with "hpa" with subresource "scale" using apps/v1'
    ):
        put(scaled, {"spec": {"replicas": 2}}, DEPLOYMENT, **more)


def test_several_conflicts_are_listed_by_manager() -> None:
    made = put(put(None, data(a="1", b="1")), data(c="1"), manager="two")
    made = updated(made, {**made, "data": {**made["data"], "d": "1"}})
    with pytest.raises(Conflicts) as caught:
        put(made, data(a="2", b="2", c="2", d="2"), manager="three")
    assert caught.value.message == (
        'Apply failed with 4 conflicts: conflicts with "editor" using v1:\n- .data.d\n'
        'conflicts with "one":\n- .data.a\n- .data.b\nconflicts with "two":\n- .data.c'
    )
    assert [cause.field for cause in caught.value.causes] == [
        ".data.d",
        ".data.a",
        ".data.b",
        ".data.c",
    ]


def test_forcing_takes_the_field_from_its_owner() -> None:
    made = put(None, data(a="1", b="1"))
    taken = put(made, data(a="2"), manager="two", force=True, time=T2)
    assert taken["data"] == {"a": "2", "b": "1"}
    assert managers(taken) == {
        "one Apply": {"f:data": {"f:b": {}}},
        "two Apply": {"f:data": {"f:a": {}}},
    }
    alone = put(taken, data(a="3", b="3"), manager="two", force=True)
    assert list(managers(alone)) == ["two Apply"]


def test_what_an_object_held_before_the_first_apply_belongs_to_somebody() -> None:
    live = {"apiVersion": "v1", "metadata": {"name": "c", "uid": "1"}, "data": {"a": "1"}}
    with pytest.raises(Conflicts, match=r'"before-first-apply" using v1: \.data\.a'):
        put(live, data(a="2"))
    made = put(live, data(a="1", b="2"))
    assert managers(made) == {
        "one Apply": {"f:data": {"f:a": {}, "f:b": {}}},
        "before-first-apply Update": {"f:data": {".": {}, "f:a": {}}},
    }


def test_a_null_takes_a_field_away() -> None:
    made = put(None, {"spec": {"replicas": 3, "paused": True}}, DEPLOYMENT)
    left = put(made, {"spec": {"replicas": None, "paused": True}}, DEPLOYMENT)
    assert left["spec"] == {"paused": True}
    with pytest.raises(Conflicts, match=r"conflict with \"one\": .spec.paused"):
        put(left, {"spec": {"paused": None}}, DEPLOYMENT, manager="two")


def test_the_main_resource_cannot_own_the_status() -> None:
    reset = of_paths(("f:status",))
    live = {"metadata": {"name": "d"}, "spec": {"replicas": 1}, "status": {"replicas": 1}}
    made = updated(None, live, DEPLOYMENT, manager="controller", subresource="status")
    applied = {"spec": {"paused": True}, "status": {"replicas": 5}}
    put_in = put(made, applied, DEPLOYMENT, reset=reset)
    assert managers(put_in)["one Apply"] == {"f:spec": {"f:paused": {}}}
    assert managers(put_in)["controller Update"]["f:status"] == {"f:replicas": {}}


def containers(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": list(items)}}


def names(document: dict[str, Any], field: str = "containers") -> list[str]:
    return [item["name"] for item in document["spec"][field]]


def test_items_of_lists_merge_by_key_and_go_with_their_owner() -> None:
    made = put(None, containers({"name": "a", "image": "1"}, {"name": "b"}), POD)
    made = put(made, containers({"name": "c"}, {"name": "a", "tty": True}), POD, manager="two")
    assert made["spec"]["containers"][0] == {"name": "c"}
    assert {"name": "a", "image": "1", "tty": True} in made["spec"]["containers"]
    left = put(made, containers({"name": "b"}), POD)
    # the item stays, for somebody owns it, but what only we set goes
    assert {"name": "a", "tty": True} in left["spec"]["containers"]
    gone = put(left, {"metadata": {}}, POD, manager="two")
    assert names(gone) == ["b"]


def test_an_item_that_is_given_up_goes_with_fields_nobody_owns() -> None:
    made = put(None, containers({"name": "a"}, {"name": "b"}), POD)
    defaulted = copy.deepcopy(made)
    defaulted["spec"]["containers"][1]["imagePullPolicy"] = "Always"
    assert names(put(defaulted, containers({"name": "a"}), POD)) == ["a"]


def test_keys_have_their_defaults() -> None:
    live = containers({"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]})
    made = put(live, containers({"name": "a", "ports": [{"containerPort": 80, "name": "x"}]}), POD)
    assert made["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80, "protocol": "TCP", "name": "x"}
    ]


def test_atomic_lists_are_taken_whole() -> None:
    made = put(None, containers({"name": "a", "args": ["1"]}), POD)
    with pytest.raises(Conflicts, match=r'.spec.containers\[name="a"\].args'):
        put(made, containers({"name": "a", "args": ["1", "2"]}), POD, manager="two")
    forced = put(made, containers({"name": "a", "args": ["2"]}), POD, manager="two", force=True)
    assert forced["spec"]["containers"][0]["args"] == ["2"]


def test_sets_merge_by_value() -> None:
    made = put(None, {"metadata": {"finalizers": ["a", "b"]}})
    made = put(made, {"metadata": {"finalizers": ["c", "b"]}}, manager="two")
    assert sorted(made["metadata"]["finalizers"]) == ["a", "b", "c"]
    left = put(made, {"metadata": {"finalizers": ["a"]}})
    assert sorted(left["metadata"]["finalizers"]) == ["a", "b", "c"]
    gone = put(left, {"metadata": {}}, manager="two")
    assert gone["metadata"]["finalizers"] == ["a"]


def test_atomic_maps_are_taken_whole() -> None:
    made = put(None, {"spec": {"nodeSelector": {"a": "1"}}}, POD)
    forced = put(made, {"spec": {"nodeSelector": {"b": "1"}}}, POD, manager="two", force=True)
    assert forced["spec"]["nodeSelector"] == {"b": "1"}


FAILING: list[tuple[Any, str]] = [
    ({"spec": {"nope": 1}}, ".spec.nope: field not declared in schema"),
    ({"spec": {"replicas": "1"}}, ".spec.replicas: expected numeric (int or float), got string"),
    ({"spec": {"paused": "x"}}, ".spec.paused: expected boolean, got &{x}"),
    ({"spec": []}, ".spec: expected map, got &{[]}"),
    (
        {"metadata": {"labels": {"a": 1}}},
        ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}",
    ),
    ({"spec": {"template": {"spec": {"containers": {}}}}}, "expected list, got &{map[]}"),
    (
        {"spec": {"strategy": {"rollingUpdate": {"maxSurge": [1]}}}},
        ".spec.strategy.rollingUpdate.maxSurge: expected any scalar, got &{[1]}",
    ),
    (
        {"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}},
        '.spec.template.spec.containers: element 0: associative list with keys has an element that '
        'omits all key fields ["name"] (and doesn\'t have default values for any key fields)',
    ),
    (
        {"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}}},
        '.spec.template.spec.containers: duplicate entries for key [name="a"]',
    ),
    (
        {"spec": {"template": {"spec": {"containers": [{"name": "a", "tty": 1}]}}}},
        '.spec.template.spec.containers[name="a"].tty: expected boolean, got &{1}',
    ),
    (
        {"spec": {"template": {"spec": {"tolerations": [{}, {"key": []}]}}}},
        ".spec.template.spec.tolerations[1].key: expected string, got "
        "&value.valueUnstructured{Value:[]interface {}{}}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("applied", "message"), FAILING)
def test_a_configuration_that_does_not_fit_is_refused_in_upstreams_words(
    applied: Any, message: str
) -> None:
    named = {"name": "d", "namespace": "n", **applied.pop("metadata", {})}
    applied = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named, **applied}
    with pytest.raises(ApplyFailed) as caught:
        put(None, applied, DEPLOYMENT, api_version="apps/v1")
    start = "failed to create typed patch object (n/d; apps/v1, Kind=Deployment): "
    assert caught.value.message.startswith(start)
    assert caught.value.message.endswith(message)
    status = caught.value.status()
    assert (status["code"], status.get("reason")) == (500, None)


def test_several_problems_are_listed() -> None:
    with pytest.raises(ApplyFailed) as caught:
        put(None, {"metadata": {"name": 1}, "kind": "ConfigMap", "immutable": 1})
    assert caught.value.message == (
        "failed to create typed patch object (/1; /v1, Kind=ConfigMap): errors:\n"
        "  .metadata.name: expected string, got &value.valueUnstructured{Value:1}\n"
        "  .immutable: expected boolean, got &{1}"
    )


def test_managed_fields_cannot_be_applied() -> None:
    with pytest.raises(BadRequest) as caught:
        put(None, {"metadata": {"managedFields": []}})
    assert caught.value.message == "metadata.managedFields must be nil"
    assert put(None, {"metadata": {"managedFields": None}, "data": {"a": "1"}})


def test_another_version_cannot_be_applied() -> None:
    with pytest.raises(BadRequest) as caught:
        put(None, {"apiVersion": "v2"})
    assert caught.value.message == (
        "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1"
    )


def client_side(replicas: int, annotation: str | None = None) -> dict[str, Any]:
    """Returns a deployment as client-side apply leaves it."""
    last = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}}
    text = json.dumps(last) if annotation is None else annotation
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "annotations": {LAST_APPLIED: text}},
        "spec": {"replicas": replicas, "paused": True},
    }


APPS = {"api_version": "apps/v1"}


def test_kubectl_takes_over_what_it_applied_on_the_client_side() -> None:
    live = updated(None, client_side(3), DEPLOYMENT, manager="kubectl-client-side-apply", **APPS)
    applied = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 5}}
    made = put(live, applied, DEPLOYMENT, manager="kubectl", **APPS)
    assert made["spec"] == {"replicas": 5, "paused": True}
    assert managers(made)["kubectl Apply"] == {"f:spec": {"f:replicas": {}}}
    assert managers(made)["kubectl-client-side-apply Update"]["f:spec"] == {"f:paused": {}}
    # the annotation says what is applied now, so that the way back is open
    annotation = made["metadata"]["annotations"][LAST_APPLIED]
    assert annotation.endswith("}\n")
    assert json.loads(annotation) == {**applied, "metadata": {}}


def test_another_manager_takes_over_nothing() -> None:
    live = updated(None, client_side(3), DEPLOYMENT, manager="kubectl-client-side-apply", **APPS)
    with pytest.raises(Conflicts):
        put(live, {"spec": {"replicas": 5}}, DEPLOYMENT, manager="other", **APPS)
    made = put(live, {"spec": {"replicas": 3}}, DEPLOYMENT, manager="other", **APPS)
    annotations = made["metadata"]["annotations"]
    assert annotations == live["metadata"]["annotations"]


@pytest.mark.parametrize(
    "annotation",
    [
        "{",
        "[]",
        '{"apiVersion": "v1"}',
        "",
        '{"apiVersion": "apps/v2", "kind": "Deployment", "spec": {"replicas": 3}}',
        '{"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3, "nope": 1}}',
    ],
)
def test_a_useless_annotation_excuses_nothing(annotation: str) -> None:
    live = updated(None, client_side(3, annotation), DEPLOYMENT, **APPS)
    with pytest.raises(Conflicts, match="1 conflict: "):
        put(live, {"spec": {"replicas": 5}}, DEPLOYMENT, manager="kubectl", **APPS)


def test_kubectl_takes_over_nothing_that_changed_since() -> None:
    live = updated(None, client_side(4), DEPLOYMENT, manager="scaler", **APPS)
    with pytest.raises(Conflicts) as caught:
        put(live, {"spec": {"replicas": 5}}, DEPLOYMENT, manager="kubectl", **APPS)
    assert caught.value.message.endswith('conflict with "scaler" using apps/v1: .spec.replicas')
    live = updated(None, client_side(3), DEPLOYMENT, manager="scaler", **APPS)
    with pytest.raises(Conflicts) as caught:
        applied = {"spec": {"replicas": 5, "paused": False}}
        put(live, applied, DEPLOYMENT, manager="kubectl", **APPS)
    assert caught.value.message.endswith('conflict with "scaler" using apps/v1: .spec.paused')


def test_an_annotation_that_would_be_too_large_goes() -> None:
    live = updated(None, client_side(3), DEPLOYMENT, manager="kubectl-client-side-apply", **APPS)
    note = {"metadata": {"annotations": {"note": "x" * 200_000}}, "spec": {"replicas": 5}}
    made = put(live, note, DEPLOYMENT, manager="kubectl", **APPS)
    assert list(made["metadata"]["annotations"]) == ["note"]


ITEM = {"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "integer"}}}
LISTS = structure_of(
    from_openapi(
        {
            "type": "object",
            "properties": {
                "list": {
                    "type": "array",
                    "items": ITEM,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                },
                "set": {
                    "type": "array",
                    "items": {"type": "string"},
                    "x-kubernetes-list-type": "set",
                },
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                "any": {"x-kubernetes-preserve-unknown-fields": True},
            },
        }
    )
)

ORDERS = [
    ("abc", "", "abc"),
    ("", "abc", "abc"),
    ("abc", "c", "abc"),
    ("abc", "ca", "bca"),
    ("abc", "xc", "abxc"),
    ("abc", "ax", "abcx"),
    ("abcde", "edcba", "edcba"),
    ("abcde", "eca", "bdeca"),
    ("ab", "bca", "bca"),
    ("abc", "dab", "dabc"),
]


@pytest.mark.parametrize(("live", "applied", "merged"), ORDERS)
def test_lists_follow_the_applied_order_and_live_items_keep_their_place(
    live: str, applied: str, merged: str
) -> None:
    result = granular.merge({"set": list(live)}, {"set": list(applied)}, LISTS)["set"]
    assert sorted(result) == sorted({*live, *applied})
    assert [item for item in result if item in applied] == list(applied)
    only_live = [item for item in result if item not in applied]
    assert only_live == [item for item in live if item not in applied]
    assert "".join(result) == merged


MERGED: list[tuple[Any, Any, Any]] = [
    ({"map": {"a": 1}}, {"map": {}}, {"map": {"a": 1}}),
    ({"map": {"a": 1}}, {"map": None}, {"map": {"a": 1}}),
    ({"map": {}}, {"map": None}, {"map": None}),
    ({"map": None}, {"map": {}}, {"map": {}}),
    ({"set": ["a"]}, {"set": []}, {"set": ["a"]}),
    ({"any": {"a": 1}}, {"any": 2}, {"any": 2}),
    ({"any": 2}, {"any": {"a": 1}}, {"any": {"a": 1}}),
    ({"any": {"a": [1]}}, {"any": {"a": [2], "b": {}}}, {"any": {"a": [2], "b": {}}}),
    # live items that occur twice merge with nothing: the applied one takes their place
    ({"list": [{"name": "a", "v": 1}, {"name": "a", "v": 2}]}, {"list": [{"name": "a"}]},
     {"list": [{"name": "a"}]}),
    ({"list": [{"name": "a", "v": 1}, {"name": "a", "v": 2}]}, {"list": [{"name": "b"}]},
     {"list": [{"name": "a", "v": 1}, {"name": "a", "v": 2}, {"name": "b"}]}),
    ({"set": ["a", "a"]}, {"set": ["a"]}, {"set": ["a"]}),
]  # fmt: skip


@pytest.mark.parametrize(("live", "applied", "merged"), MERGED)
def test_an_applied_value_is_laid_over_the_live_one(live: Any, applied: Any, merged: Any) -> None:
    assert granular.merge(live, applied, LISTS) == merged


CUT: list[tuple[Any, Any, Any]] = [
    ({"map": {"a": 1, "b": 2}}, {"f:map": {"f:a": {}}}, {"map": {"b": 2}}),
    ({"map": {"a": 1}}, {"f:map": {"f:a": {}}}, {"map": None}),
    ({"map": {"a": 1}, "any": 1}, {"f:map": {}}, {"any": 1}),
    ({"map": {"a": 1}}, {"f:map": {}}, None),
    ({"map": {"a": 1}}, {}, {"map": {"a": 1}}),
    ({"set": ["a", "b"]}, {"f:set": {'v:"a"': {}}}, {"set": ["b"]}),
    ({"set": ["a"]}, {"f:set": {'v:"a"': {}}}, {"set": None}),
    ({"list": [{"name": "a", "v": 1}]}, {"f:list": {'k:{"name":"a"}': {"f:v": {}}}},
     {"list": [{"name": "a"}]}),
    ({"list": [{"name": "a"}, {"name": "b"}]}, {"f:list": {'k:{"name":"a"}': {}}},
     {"list": [{"name": "b"}]}),
    # a set may know of more below than there is: what is empty or atomic goes, a value stays
    ({"map": {}}, {"f:map": {"f:a": {}}}, {"map": None}),
    ({"any": {"a": [1]}}, {"f:any": {"f:a": {"f:b": {}}}}, {"any": {"a": None}}),
    ({"map": {"a": 1}}, {"f:map": {"f:a": {"f:b": {}}}}, {"map": {"a": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "gone", "left"), CUT)
def test_what_a_set_names_is_cut_out(value: Any, gone: Any, left: Any) -> None:
    before = copy.deepcopy(value)
    assert granular.remove(value, gone, LISTS) == left
    assert value == before


def test_named_fields_on_the_way_become_members_but_no_items_nor_keys() -> None:
    tree = {"f:list": {'k:{"name":"a"}': {"f:v": {}}}, "f:map": {"f:x": {".": {}, "f:y": {}}}}
    assert granular.with_named(tree, LISTS) == {
        "f:list": {".": {}, 'k:{"name":"a"}': {"f:v": {}}},
        "f:map": {".": {}, "f:x": {".": {}, "f:y": {}}},
    }


def test_an_annotation_of_the_largest_size_stays() -> None:
    live = updated(None, client_side(3), DEPLOYMENT, manager="kubectl-client-side-apply", **APPS)

    def made(length: int, replicas: int) -> dict[str, str]:
        note = {"metadata": {"annotations": {"note": "x" * length}}, "spec": {"replicas": replicas}}
        found = put(live, note, DEPLOYMENT, manager="kubectl", **APPS)
        annotations: dict[str, str] = found["metadata"]["annotations"]
        return annotations

    size = sum(len(name) + len(value) for name, value in made(10, 5).items())
    length, odd = divmod(MAX_ANNOTATIONS_BYTES - size, 2)
    assert LAST_APPLIED in made(10 + length, 15 if odd else 5)
    assert LAST_APPLIED not in made(11 + length, 15 if odd else 5)


def test_a_null_stays_where_the_schema_allows_one() -> None:
    number = {"type": "integer"}
    fields = {"n": {**number, "nullable": True}, "m": number}
    node = from_openapi(
        {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    )
    live = {"metadata": {}, "spec": {"n": 1, "m": 1}}
    made = put(live, {"spec": {"n": None, "m": None}}, node, force=True)
    assert made["spec"] == {"n": None}
