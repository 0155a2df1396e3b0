"""managedFields after ordinary writes, compared with what upstream writes for the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steersman.model import ownership
from steersman.model.fields import comparison
from steersman.model.fields.fieldset import of_paths, text_of
from steersman.model.fields.shapes import MAX_PARTS, MAX_SHAPES, Shapes
from steersman.model.fields.structure import ElementError, structure_of
from steersman.model.ownership import counting, update
from steersman.model.schema import Node, builtin, from_openapi

POD = builtin().definition("io.k8s.api.core.v1.Pod")
DEPLOYMENT = builtin().definition("io.k8s.api.apps.v1.Deployment")
CONFIG_MAP = builtin().definition("io.k8s.api.core.v1.ConfigMap")
T1, T2, T3 = (f"2026-01-01T00:00:0{second}Z" for second in (1, 2, 3))
STATUS = of_paths(("f:status",))


def wrote(
    entries: list[dict[str, Any]], old: Any, new: Any, node: Node = POD, **more: Any
) -> list[dict[str, Any]]:
    options = {"manager": "one", "api_version": "v1", "time": T1, **more}
    before = copy.deepcopy((entries, old, new))
    after = update(entries, old, new, node, **options)
    assert (entries, old, new) == before
    return after


def fields_of(entries: list[dict[str, Any]], manager: str = "one") -> Any:
    (entry,) = (entry for entry in entries if entry["manager"] == manager)
    return entry["fieldsV1"]


def pod(**spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "nginx", "resources": {}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "uid": "1", "labels": {"app": "web"}},
        "spec": {"containers": [container], "securityContext": {}, **spec},
        "status": {},
    }


def test_a_created_pod_is_owned_as_upstream_writes_it() -> None:
    new = pod(
        tolerations=[{"key": "a"}],
        nodeSelector={"disk": "ssd"},
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    new["metadata"]["ownerReferences"] = [{"uid": "u", "name": "rs", "kind": "ReplicaSet"}]
    new["metadata"]["finalizers"] = ["x/y"]
    new["metadata"]["generateName"] = "p-"
    (entry,) = wrote([], None, new)
    assert entry == {
        "manager": "one",
        "operation": "Update",
        "apiVersion": "v1",
        "time": T1,
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {
                "f:generateName": {},
                "f:labels": {".": {}, "f:app": {}},
                "f:ownerReferences": {
                    ".": {},
                    'k:{"uid":"u"}': {},
                },
                "f:finalizers": {".": {}, 'v:"x/y"': {}},
            },
            # neither spec nor containers is anybody's: a fresh pod has them
            "f:spec": {
                "f:containers": {
                    'k:{"name":"main"}': {
                        ".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
                    }
                },
                "f:nodeSelector": {},
                "f:securityContext": {},
                "f:tolerations": {},
                "f:volumes": {
                    ".": {},
                    'k:{"name":"v"}': {".": {}, "f:emptyDir": {}, "f:name": {}},
                },
            },
        },
    }  # fmt: skip


def test_a_created_deployment_is_owned_as_upstream_writes_it() -> None:
    new = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]},
            },
        },
    }
    assert fields_of(wrote([], None, new, DEPLOYMENT)) == {
        "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {
                            ".": {},
                            "f:name": {},
                            "f:ports": {
                                ".": {},
                                # the default of a key counts where it is not given
                                'k:{"containerPort":80,"protocol":"TCP"}': {
                                    ".": {},
                                    "f:containerPort": {},
                                },
                            },
                        }
                    }
                },
            },
        }
    }


def test_a_custom_resource_owns_its_spec_itself() -> None:
    node = from_openapi(
        {
            "type": "object",
            "properties": {
                "metadata": {"type": "object"},
                "spec": {
                    "type": "object",
                    "properties": {
                        "size": {"type": "integer"},
                        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    },
                },
            },
        }
    )
    new = {"metadata": {"name": "n"}, "spec": {"size": 1, "free": {"a": {"b": [1]}, "c": {}}}}
    assert fields_of(wrote([], None, new, node)) == {
        "f:spec": {
            ".": {},
            "f:size": {},
            "f:free": {".": {}, "f:a": {".": {}, "f:b": {}}, "f:c": {}},
        }
    }


def test_setting_what_a_fresh_object_holds_is_no_change() -> None:
    node = builtin().definition("io.k8s.api.core.v1.Event")
    event = {"metadata": {"name": "e"}, "reportingComponent": "", "reason": "r"}
    assert fields_of(wrote([], None, event, node)) == {"f:reason": {}}
    event = {**event, "reportingComponent": "kubelet"}
    assert fields_of(wrote([], None, event, node)) == {"f:reason": {}, "f:reportingComponent": {}}
    empty = pod() | {"spec": {"containers": None}}
    assert "f:spec" not in fields_of(wrote([], None, empty))


def test_a_write_that_changes_nothing_adds_nothing_and_keeps_times() -> None:
    entries = wrote([], None, pod())
    assert wrote(entries, pod(), pod(), manager="two", time=T2) == entries
    changed_by_the_system = pod()
    changed_by_the_system["metadata"]["uid"] = "2"
    assert wrote(entries, pod(), changed_by_the_system, manager="two", time=T2) == entries


def test_a_changed_field_goes_over_to_the_writer() -> None:
    entries = wrote([], None, pod())
    changed = pod(hostNetwork=True)
    changed["spec"]["containers"][0]["image"] = "redis"
    changed["metadata"]["labels"] = {"app": "web", "tier": "x"}
    after = wrote(entries, pod(), changed, manager="two", time=T2)
    assert fields_of(after, "two") == {
        "f:metadata": {"f:labels": {"f:tier": {}}},
        "f:spec": {"f:containers": {'k:{"name":"main"}': {"f:image": {}}}, "f:hostNetwork": {}},
    }
    ours = fields_of(after)["f:spec"]["f:containers"]['k:{"name":"main"}']
    assert ours == {".": {}, "f:name": {}, "f:resources": {}}
    assert [entry["time"] for entry in after] == [T1, T2]


def test_a_removed_field_is_nobodys() -> None:
    entries = wrote([], None, pod(hostNetwork=True))
    after = wrote(entries, pod(hostNetwork=True), pod(), manager="two", time=T2)
    assert [entry["manager"] for entry in after] == ["one"]
    assert "f:hostNetwork" not in fields_of(after)["f:spec"]
    assert after[0]["time"] == T1


def test_an_entry_that_owns_nothing_any_more_goes() -> None:
    old = {"data": {"a": "1"}}
    entries = wrote([], None, {**old, "metadata": {"name": "c"}}, CONFIG_MAP)
    assert fields_of(entries) == {"f:data": {".": {}, "f:a": {}}}
    after = wrote(entries, old, {"data": {"a": "2"}}, CONFIG_MAP, manager="two", time=T2)
    assert fields_of(after) == {"f:data": {}}
    after = wrote(after, {"data": {"a": "2"}}, {}, CONFIG_MAP, manager="three", time=T3)
    assert after == []


def test_a_second_write_of_the_same_manager_joins_its_entry() -> None:
    old, new = {"data": {"a": "1"}}, {"data": {"a": "1", "b": "1"}}
    entries = wrote([], None, old, CONFIG_MAP)
    after = wrote(entries, old, new, CONFIG_MAP, time=T2)
    assert [entry["time"] for entry in after] == [T2]
    assert fields_of(after) == {"f:data": {".": {}, "f:a": {}, "f:b": {}}}


@pytest.mark.parametrize("other", [{"subresource": "status"}, {"api_version": "v2"}])
def test_another_subresource_or_version_is_another_entry(other: dict[str, Any]) -> None:
    old, new = {"data": {"a": "1"}}, {"data": {"a": "1", "b": "1"}}
    entries = wrote([], None, old, CONFIG_MAP)
    after = wrote(entries, old, new, CONFIG_MAP, time=T2, **other)
    assert [entry["time"] for entry in after] == [T1, T2]
    assert after[1].get("subresource") == other.get("subresource")


def test_an_appliers_entry_is_another_than_the_updaters() -> None:
    applied = {
        "manager": "one",
        "operation": "Apply",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "time": T3,
        "fieldsV1": {"f:data": {"f:a": {}}},
    }
    new = {"data": {"a": "1", "b": "1"}}
    after = wrote([applied], {"data": {"a": "1"}}, new, CONFIG_MAP, time=T1)
    assert [entry["operation"] for entry in after] == ["Apply", "Update"]


def test_what_is_reset_is_neither_owned_nor_lost() -> None:
    live = pod() | {"status": {"phase": "Running"}}
    entries = wrote([], None, live, manager="kubelet", subresource="status")
    written = pod(hostNetwork=True) | {"status": {"phase": "Failed"}}
    after = wrote(entries, live, written, time=T2, reset=STATUS)
    assert fields_of(after) == {"f:spec": {"f:hostNetwork": {}}}
    assert fields_of(after, "kubelet")["f:status"] == {"f:phase": {}}
    assert "f:status" not in fields_of(wrote([], None, live, reset=STATUS))


def test_a_writer_without_a_name_is_unknown() -> None:
    (entry,) = wrote([], None, {"data": {"a": "1"}}, CONFIG_MAP, manager="")
    assert entry["manager"] == "unknown"


def test_managed_fields_themselves_are_never_owned() -> None:
    old, new = pod(), pod(hostNetwork=True)
    old["metadata"]["managedFields"] = [{"manager": "x"}]
    new["metadata"]["managedFields"] = [{"manager": "y"}]
    assert fields_of(wrote([], old, new)) == {"f:spec": {"f:hostNetwork": {}}}
    assert "f:managedFields" not in fields_of(wrote([], None, new))["f:metadata"]


def _entry(manager: str, time: str | None, version: str = "v1", key: str = "") -> dict[str, Any]:
    entry = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": version,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {f"f:{key or manager}": {}}},
    }
    return entry if time is None else {**entry, "time": time}


def _clock(number: int) -> str:
    return f"2026-01-01T00:01:{number:02}Z"


def test_more_than_ten_updates_are_merged_oldest_first() -> None:
    entries = [_entry(f"m{number:02}", _clock(number)) for number in range(10)]
    data = {f"m{number:02}": "" for number in range(10)}
    new = {"data": {**data, "new": ""}}
    after = wrote(entries, {"data": data}, new, CONFIG_MAP, manager="new", time=_clock(30))
    assert len(after) == 10
    assert after[0]["manager"] == "ancient-changes"
    assert after[0]["fieldsV1"] == {"f:data": {"f:m00": {}, "f:m01": {}}}
    assert after[0]["time"] == _clock(1)
    assert [entry["manager"] for entry in after[1:]] == [f"m{n:02}" for n in range(2, 10)] + ["new"]
    newer = {"data": {**new["data"], "newer": ""}}
    after = wrote(after, new, newer, CONFIG_MAP, manager="newer", time=_clock(31))
    assert len(after) == 10
    assert after[0]["fieldsV1"] == {"f:data": {"f:m00": {}, "f:m01": {}, "f:m02": {}}}


def test_updates_of_different_versions_are_merged_apart() -> None:
    entries = [_entry(f"m{n:02}", _clock(n), f"v{n % 2}") for n in range(10)]
    data = {f"m{number:02}": "" for number in range(10)}
    new = {"data": {**data, "new": ""}}
    after = wrote(entries, {"data": data}, new, CONFIG_MAP, manager="new", time=_clock(30))
    assert len(after) == 10
    ancient = [entry for entry in after if entry["manager"] == "ancient-changes"]
    assert [(entry["apiVersion"], entry["fieldsV1"]) for entry in ancient] == [
        ("v0", {"f:data": {"f:m00": {}, "f:m02": {}}})
    ]


def test_entries_are_sorted_by_operation_time_and_name() -> None:
    apply = {**_entry("z", T3), "operation": "Apply"}
    given = [_entry("b", T2), _entry("c", T1), _entry("a", T2), _entry("d", None), apply]
    listed = ownership.in_order(given)
    assert [entry["manager"] for entry in listed] == ["z", "d", "c", "a", "b"]
    versions = [
        {**_entry("a", T1, "v2"), "subresource": "x"},
        _entry("a", T1, "v2"),
        _entry("a", T1),
    ]
    assert ownership.in_order(versions) == versions[::-1]
    zones = [_entry("late", "2026-01-01T00:00:00Z"), _entry("early", "2026-01-01T00:30:00+01:00")]
    assert [entry["manager"] for entry in ownership.in_order(zones)] == ["early", "late"]


def _live(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries)}}


def test_entries_of_the_request_count_before_those_of_the_live_object() -> None:
    ours, theirs = _entry("a", T1), _entry("b", T1)
    assert counting(_live(ours), _live(theirs)) == [theirs]
    assert counting(_live(ours), _live(theirs), "status") == [ours]
    assert counting(_live(ours), {}) == [ours]
    assert counting(None, _live(theirs)) == [theirs]
    assert counting(None, {}) == []


@pytest.mark.parametrize("given", [[], [{}]])
def test_an_empty_list_clears_managed_fields(given: list[Any]) -> None:
    assert counting(_live(_entry("a", T1)), _live(*given)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "Other"},
        {"apiVersion": ""},
        {"fieldsType": ""},
        {"fieldsType": "FieldsV2"},
        {"fieldsV1": {"nonsense": {}}},
        {"manager": 1},
        {"time": 1},
    ],
)
def test_entries_that_cannot_be_read_do_not_count(change: dict[str, Any]) -> None:
    ours = _entry("a", T1)
    assert counting(_live(ours), _live({**_entry("b", T1), **change})) == [ours]


def test_entries_from_outside_are_brought_into_our_form() -> None:
    theirs = {**_entry("b", T1), "fieldsV1": {"f:data": {"f:a": {".": {}}, "q:x": {}}}}
    (entry,) = counting(None, _live(theirs))
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_of_names_leaves_and_items_as_an_applier_owns_them() -> None:
    document = {
        "metadata": {"labels": {"app": "x"}, "annotations": {}},
        "spec": {
            "containers": [{"name": "main", "args": ["a"], "env": [{"name": "E"}]}],
            "tolerations": [],
            "volumes": [],
            "affinity": None,
        },
    }
    assert comparison.of(document, POD).tree == {
        "f:metadata": {"f:labels": {"f:app": {}}, "f:annotations": {}},
        "f:spec": {
            "f:containers": {
                'k:{"name":"main"}': {
                    ".": {},
                    "f:name": {},
                    "f:args": {},
                    "f:env": {'k:{"name":"E"}': {".": {}, "f:name": {}}},
                }
            },
            "f:tolerations": {},
            "f:affinity": {},
        },
    }


def _paths(fields: Any) -> list[str]:
    return [text_of(path) for path in fields]


SETS = from_openapi(
    {
        "type": "object",
        "properties": {
            "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "map": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {
                    "type": "object",
                    "properties": {
                        "k": {"type": "string", "default": "dk"},
                        "v": {"type": "integer"},
                    },
                },
            },
            "any": {"x-kubernetes-preserve-unknown-fields": True},
        },
    }
)

COMPARED: list[tuple[Any, Any, list[str], list[str]]] = [
    ({"set": ["a", "b"]}, {"set": ["b", "c"]}, ['.set[="c"]'], ['.set[="a"]']),
    ({"set": ["a"]}, {"set": []}, [], ['.set[="a"]']),
    ({"set": []}, {"set": None}, [".set"], []),
    ({"set": ["a", "b"]}, {"set": ["b", "a"]}, [], []),
    ({"map": [{"k": "x", "v": 1}]}, {"map": [{"k": "x", "v": 2}]}, ['.map[k="x"].v'], []),
    ({"map": [{"v": 1}]}, {"map": [{"k": "dk", "v": 1}]}, ['.map[k="dk"].k'], []),
    ({"map": [{"k": "x"}]}, {}, [], [".map", '.map[k="x"]', '.map[k="x"].k']),
    # what occurs twice is owned as one
    ({"set": ["a", "a"]}, {"set": ["a"]}, ['.set[="a"]'], ['.set[="a"]']),
    ({"set": ["a"]}, {"set": ["a", "a"]}, ['.set[="a"]'], ['.set[="a"]']),
    ({"set": ["a", "a"]}, {"set": ["a", "a", "a"]}, ['.set[="a"]'], []),
    ({"set": ["a", "a"]}, {"set": ["a", "a"]}, [], []),
    ({"any": {"a": 1}}, {"any": {"a": True}}, [".any.a"], []),
    ({"any": {"a": {"b": 1}}}, {"any": {"a": 2}}, [".any.a"], [".any.a.b"]),
    ({"any": {"a": [1]}}, {"any": {"a": [2]}}, [".any.a"], []),
]


@pytest.mark.parametrize(("old", "new", "changed", "removed"), COMPARED)
def test_two_objects_differ_in(old: Any, new: Any, changed: list[str], removed: list[str]) -> None:
    changes = comparison.compare(old, new, SETS)
    assert (_paths(changes.changed), _paths(changes.removed)) == (changed, removed)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"set": [None]}, "associative list without keys has an element that's an explicit null"),
        ({"set": [{}]}, "associative list without keys has an element that's a map type"),
        ({"set": [[]]}, "not supported: associative list with lists as elements"),
        ({"map": [None]}, "associative list with keys may not have a null element"),
        ({"map": [1]}, "associative list with keys may not have non-map elements"),
    ],
)
def test_items_that_cannot_be_told_apart_are_refused(document: Any, message: str) -> None:
    with pytest.raises(ElementError) as caught:
        comparison.compare(None, document, SETS)
    assert str(caught.value) == message
    # validation refuses such an object; until then nobody owns it
    assert wrote([], None, document, SETS) == []
    entries = [_entry("a", T1)]
    assert wrote(entries, {"plain": 1}, document, SETS) == entries


def test_an_item_without_any_key_is_refused() -> None:
    with pytest.raises(ElementError) as caught:
        comparison.compare(None, pod(containers=[{"image": "x"}]), POD)
    assert str(caught.value) == (
        'associative list with keys has an element that omits all key fields ["name"] '
        "(and doesn't have default values for any key fields)"
    )


def test_a_memory_of_shapes_is_bounded() -> None:
    shapes, structure = Shapes(), structure_of(CONFIG_MAP)
    for number in range(MAX_SHAPES + 1):
        shapes.answer({"data": {str(number): ""}}, structure, lambda: {"f:data": {}})
    assert len(shapes) == MAX_SHAPES // 2 + 1
    many = {"data": {"a": ""}, "metadata": {"finalizers": ["x"] * 3}}
    assert shapes.key(many, structure) is not None
    wide = {str(number): {} for number in range(MAX_PARTS)}
    assert shapes.key({"any": wide}, structure_of(SETS)) is None
    assert fields_of(wrote([], None, {"any": wide}, SETS))


def test_true_is_no_1_wherever_the_schema_is_open() -> None:
    old, new = {"any": {"a": {"b": 1}}}, {"any": {"a": {"b": True}}}
    assert _paths(comparison.compare(old, new, SETS).changed) == [".any.a.b"]
    revisions = builtin().definition("io.k8s.api.apps.v1.ControllerRevision")
    changes = comparison.compare({"data": {"a": 1}}, {"data": {"a": True}}, revisions)
    assert _paths(changes.changed) == [".data.a"]


def test_only_a_schema_that_is_closed_everywhere_is_definite() -> None:
    definite = {
        name: structure_of(builtin().definition(f"io.k8s.{name}")).definite
        for name in (
            "api.core.v1.Pod",
            "api.apps.v1.Deployment",
            "api.apps.v1.ControllerRevision",
            "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
        )
    }
    assert list(definite.values()) == [True, True, False, False]
    assert not structure_of(SETS).definite


def test_a_schema_that_holds_itself_can_be_owned() -> None:
    name = "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
    node = builtin().definition(f"io.k8s.{name}")
    schema = {"openAPIV3Schema": {"properties": {"a": {"properties": {"b": {"type": "string"}}}}}}
    versions = [{"name": "v1", "schema": schema}]
    new = {"metadata": {"name": "c"}, "spec": {"versions": versions}}
    fields = fields_of(wrote([], None, new, node))
    assert fields["f:spec"]["f:versions"] == {}


def test_as_many_updates_are_merged_as_are_too_many() -> None:
    entries = [_entry(f"m{number:02}", _clock(number)) for number in range(12)]
    data = {f"m{number:02}": "" for number in range(12)}
    new = {"data": {**data, "new": ""}}
    after = wrote(entries, {"data": data}, new, CONFIG_MAP, manager="new", time=_clock(30))
    assert len(after) == 10
    assert after[0]["fieldsV1"] == {"f:data": {f"f:m0{number}": {} for number in range(4)}}
