"""The registry against the list of kinds that upstream serves, and the views against the schema."""

from __future__ import annotations

import datetime
import types
import typing
from typing import Any

import msgspec
import pytest

from steersman.model import builtin, schema
from steersman.model.kind import Kind
from steersman.model.schema import Node

ALL = builtin.all()
WITH_VIEW = [kind for kind in ALL if kind.view is not None]


def _id(kind: Kind) -> str:
    return str(kind.resource)


def test_the_index_names_what_the_modules_hold() -> None:
    for kind in ALL:
        version = kind.versions[0].name
        assert builtin.by_resource(kind.group, version, kind.plural) is kind
        assert builtin.by_kind(kind.group, version, kind.name) is kind


def test_every_stable_stored_kind_of_the_schema_is_served() -> None:
    served = {(kind.group, version.name, kind.name) for kind in ALL for version in kind.versions}
    expected = set()
    for name in schema.builtin():
        raw = schema.builtin().definition(name).raw
        for gvk in raw.get("x-kubernetes-group-version-kind", ()):
            fields = raw.get("properties", {})
            if "metadata" in fields and "items" not in fields and "beta" not in gvk["version"]:
                expected.add((gvk["group"], gvk["version"], gvk["kind"]))
    expected = {gvk for gvk in expected if "alpha" not in gvk[1]}
    not_resources = {"Status", "Scale", "TokenRequest"}
    expected = {
        gvk
        for gvk in expected
        if gvk[2] not in not_resources and gvk[:1] + gvk[2:] != ("policy", "Eviction")
    }
    assert served == expected


def test_unstable_kinds_are_served_on_demand_only() -> None:
    assert builtin.by_resource("scheduling.k8s.io", "v1beta1", "podgroups") is None
    unstable = builtin.Registry(unstable=True)
    assert unstable.by_resource("scheduling.k8s.io", "v1beta1", "podgroups") is not None
    assert unstable.by_kind("scheduling.k8s.io", "v1alpha3", "PodGroup") is not None


def test_an_unserved_version_is_not_found() -> None:
    assert builtin.by_resource("apps", "v1beta1", "deployments") is None
    assert builtin.by_resource("apps", "v1", "pods") is None
    assert builtin.by_kind("", "v2", "Pod") is None
    assert builtin.by_kind("", "v1", "Nothing") is None


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_every_version_has_its_definition(kind: Kind) -> None:
    for version in kind.versions:
        node = schema.builtin().definition(version.definition)
        gvks = node.raw["x-kubernetes-group-version-kind"]
        assert {"group": kind.group, "version": version.name, "kind": kind.name} in gvks


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_a_kind_has_a_status_subresource_only_where_the_schema_has_a_status(kind: Kind) -> None:
    node = schema.builtin().definition(kind.versions[0].definition)
    if kind.subresource("status") is not None:
        assert "status" in node.fields
    assert set(kind.spec_fields) <= node.fields.keys()
    assert set(kind.spec_metadata) <= node.fields["metadata"].fields.keys()


@pytest.mark.parametrize("kind", WITH_VIEW, ids=_id)
def test_every_field_of_a_view_stands_in_the_schema(kind: Kind) -> None:
    name = "v1" if kind.stored_with else kind.storage
    definition = next(v.definition for v in kind.versions if v.name == name)
    if kind.stored_with is not None:
        definition = "io.k8s.api.core.v1.Event"
    assert kind.view is not None
    _compare(kind.view, schema.builtin().definition(definition), kind.name)


_SHARED = {  # fields of shared views that only some of the definitions have
    "Condition": {
        "observedGeneration",
        "lastTransitionTime",
        "lastProbeTime",
        "lastUpdateTime",
        "lastHeartbeatTime",
    },
    "Container": {"targetContainerName"},
    "ConfigMapVolume": {"defaultMode"},
    "DownwardVolume": {"defaultMode"},
    "LifecycleHandler": set(),
    "ObjectReference": {"namespace", "uid", "resourceVersion", "fieldPath"},
    "HintTarget": set(),
}


def _compare(view: type[Any], node: Node, path: str) -> None:
    hints = typing.get_type_hints(view)
    for field in msgspec.structs.fields(view):
        name = field.encode_name
        where = f"{path}.{name}"
        if name not in node.fields:
            assert name in _SHARED.get(view.__name__, ()), where
            continue
        _compare_type(hints[field.name], node.fields[name], where)


def _compare_type(hint: Any, node: Node, path: str) -> None:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        kinds = [argument for argument in arguments if argument is not type(None)]
        if len(kinds) > 1:
            assert node.type in ("int-or-string", "quantity"), path
            return None
        return _compare_type(kinds[0], node, path)
    if hint is Any or hint is msgspec.Raw:
        return None
    if origin is tuple:
        assert node.type == "array", path
        assert node.items is not None
        return _compare_type(arguments[0], node.items, path)
    if origin is not None:  # Mapping
        assert node.type == "object", path
        if node.values is not None:
            _compare_type(arguments[1], node.values, path)
        return None
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _compare(hint, node, path)
    expected = {
        str: ("string", "quantity"),
        int: ("integer",),
        bool: ("boolean",),
        bytes: ("string",),
        datetime.datetime: ("string",),
    }[hint]
    assert node.type in expected, (path, node.type)
    return None


def test_the_kinds_whose_deletion_answers_with_the_object_are_upstreams() -> None:
    """What the OpenAPI document of 1.37 says of each DELETE."""
    found = {kind.name for kind in builtin.all() if kind.returns_deleted}
    assert found == {
        "CSIDriver",
        "CSINode",
        "DeviceClass",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodTemplate",
        "ResourceClaim",
        "ResourceClaimTemplate",
        "ResourceQuota",
        "ResourceSlice",
        "Service",
        "ServiceAccount",
        "StorageClass",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
