"""Removed versions in the model: conversions both ways, and who knows of them."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.model import builtin, schema
from steersman.model.kinds import ingress_v1beta1

OLD_BACKENDS = [
    ({"serviceName": "a", "servicePort": 80}, {"service": {"name": "a", "port": {"number": 80}}}),
    (
        {"serviceName": "a", "servicePort": "web"},
        {"service": {"name": "a", "port": {"name": "web"}}},
    ),
    ({"resource": {"kind": "K", "name": "n"}}, {"resource": {"kind": "K", "name": "n"}}),
]


def ingress(paths: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    rules = [{"host": "example.com", "http": {"paths": paths}}, {"host": "empty.example.com"}]
    return {"metadata": {"name": "i"}, "spec": {"rules": rules, **spec}, "status": {"a": 1}}


@pytest.mark.parametrize(("old", "new"), OLD_BACKENDS)
def test_a_backend_of_an_ingress_is_converted_both_ways(old: Any, new: Any) -> None:
    before = ingress([{"path": "/", "pathType": "Exact", "backend": old}], backend=old)
    after = ingress([{"path": "/", "pathType": "Exact", "backend": new}], defaultBackend=new)
    assert ingress_v1beta1.to_v1(before) == after
    assert ingress_v1beta1.from_v1(after) == before


def test_a_backend_without_port_or_name_is_told_as_go_tells_it() -> None:
    shown = ingress_v1beta1.from_v1({"spec": {"defaultBackend": {"service": {"name": "a"}}}})
    assert shown == {"spec": {"backend": {"serviceName": "a", "servicePort": 0}}}
    assert ingress_v1beta1.to_v1(shown) == {
        "spec": {"defaultBackend": {"service": {"name": "a", "port": {}}}}
    }
    assert ingress_v1beta1.to_v1({"spec": {"backend": {}}}) == {"spec": {"defaultBackend": {}}}


def test_a_path_without_a_type_is_left_to_the_implementation() -> None:
    made = ingress_v1beta1.to_v1(ingress([{"path": "/"}]))
    assert made["spec"]["rules"][0]["http"]["paths"] == [
        {"pathType": "ImplementationSpecific", "path": "/"}
    ]


def test_conversions_change_nothing_that_they_are_given() -> None:
    given = ingress([{"backend": {"serviceName": "a", "servicePort": 1}}])
    copy = ingress([{"backend": {"serviceName": "a", "servicePort": 1}}])
    ingress_v1beta1.from_v1(ingress_v1beta1.to_v1(given))
    assert given == copy


def removed() -> list[Any]:
    kinds = builtin.Registry(removed=True).all()
    return [(kind, version) for kind in kinds for version in kind.versions if version.gone]


def test_only_the_registry_of_a_server_knows_removed_versions() -> None:
    assert not any(version.gone for kind in builtin.all() for version in kind.versions)
    assert builtin.by_resource("networking.k8s.io", "v1beta1", "ingresses") is None
    assert builtin.by_resource("extensions", "v1beta1", "ingresses") is None
    registry = builtin.Registry(removed=True)
    kind = registry.by_resource("networking.k8s.io", "v1beta1", "ingresses")
    assert kind is not None
    assert [version.name for version in kind.versions] == ["v1", "v1beta1"]


@pytest.mark.parametrize(("kind", "version"), removed(), ids=lambda it: f"{it.name}")
def test_each_removed_version_has_a_definition_and_comes_last(kind: Any, version: Any) -> None:
    node = schema.builtin().definition(version.definition)
    assert {"metadata", "apiVersion", "kind"} <= set(node.fields)
    meant = [(it["group"], it["version"], it["kind"]) for it in node.raw[GVK]]
    assert (kind.group, version.name, kind.name) in meant
    assert version.deprecation.startswith(f"{kind.group}/{version.name} {kind.name} is deprecated")
    assert f"unavailable in v1.{version.gone}+" in version.deprecation
    still = [it for it in kind.versions if not it.gone]
    assert kind.versions[: len(still)] == tuple(still)
    assert kind.stored_with if not still else kind.storage in {it.name for it in still}


GVK = "x-kubernetes-group-version-kind"


def test_resources_of_two_groups_that_show_the_same_objects_are_alike() -> None:
    registry = builtin.Registry(removed=True)
    ours = ("networking.k8s.io", "ingresses")
    assert set(registry.alike(ours)) == {ours, ("extensions", "ingresses")}
    assert registry.alike(("", "pods")) == (("", "pods"),)
    assert set(registry.alike(("", "events"))) == {("", "events"), ("events.k8s.io", "events")}
    assert registry.alike(("example.com", "widgets")) == (("example.com", "widgets"),)
