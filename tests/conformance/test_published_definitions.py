"""Upstream's rows about definitions in OpenAPI documents, as they come, change and go."""

from __future__ import annotations

from typing import Any

import pytest

from customs import CRDS, definition, establish, version
from served import JSON_PATCH, Document, Served, served

FOO: Document = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {
                "bars": {
                    "description": "List of Bars and their specs.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"description": "Name of Bar.", "type": "string"},
                            "age": {"description": "Age of Bar.", "type": "string"},
                            "bazs": {"type": "array", "items": {"type": "string"}},
                        },
                    },
                }
            },
        },
        "status": {"description": "Status of Foo", "type": "object"},
    },
}
BOTH = ("v2", "v3")


def made(*names: str, group: str = "example.com", kind: str = "Foo") -> Document:
    """Returns a definition of one or more versions, of which the first is stored."""
    versions = [
        version(
            name,
            storage=not index,
            schema={"openAPIV3Schema": FOO},
            subresources={"status": {}},
        )
        for index, name in enumerate(names)
    ]
    found = definition(*versions, kind=kind)
    found["metadata"]["name"] = f"{kind.lower()}s.{group}"
    found["spec"]["group"] = group
    return found


async def described(api: Served, name: str, group: str = "example.com", kind: str = "Foo") -> Any:
    """Returns what both documents say of a version: None where neither says anything."""
    key = f"{'.'.join(reversed(group.split('.')))}.{name}.{kind}"
    second = (await api.get("/openapi/v2")).ok()
    found = second["definitions"].get(key)
    path = f"/apis/{group}/{name}/namespaces/{{namespace}}/{kind.lower()}s"
    assert (path in second["paths"]) is (found is not None)
    index = (await api.get("/openapi/v3")).ok()["paths"]
    assert (f"apis/{group}/{name}" in index) is (found is not None)
    if found is not None:
        third = await api.get(f"/openapi/v3/apis/{group}/{name}")
        assert key in third.ok()["components"]["schemas"]
    return found


async def published(api: Served, name: str, group: str = "example.com", kind: str = "Foo") -> None:
    """Checks that a version is described by the schema that was given."""
    found = await described(api, name, group, kind)
    assert found["description"] == FOO["description"]
    assert found["properties"]["spec"] == FOO["properties"]["spec"]
    assert found["properties"]["status"] == FOO["properties"]["status"]
    assert set(found["properties"]) == {"apiVersion", "kind", "metadata", "spec", "status"}
    (told,) = found["x-kubernetes-group-version-kind"]
    assert told == {"group": group, "version": name, "kind": kind}


@pytest.mark.parametrize(
    "several",
    [
        [{"group": "foo.example.com"}, {"group": "bar.example.com"}],
        [{"kind": "Foo"}, {"kind": "Waldo"}],
    ],
    ids=["groups", "kinds"],
)
def test_several_definitions_are_described_side_by_side(several: list[Document]) -> None:
    @served
    async def case(api: Served) -> None:
        for each in several:
            await establish(api, made("v1", **each))
        for each in several:
            await published(api, "v1", **each)

    case()


@served
async def test_several_versions_of_a_definition_are_described(api: Served) -> None:
    await establish(api, made(*BOTH))
    for name in BOTH:
        await published(api, name)


@served
async def test_a_version_that_is_renamed_is_described_by_its_new_name(api: Served) -> None:
    await establish(api, made(*BOTH))
    for name in BOTH:
        await published(api, name)
    rename = {"op": "test", "path": "/spec/versions/1/name", "value": "v3"}
    renamed = {**rename, "op": "replace", "value": "v4"}
    (await api.patch(f"{CRDS}/foos.example.com", [rename, renamed], JSON_PATCH)).ok()
    await published(api, "v4")
    assert await described(api, "v3") is None
    await published(api, "v2")


@served
async def test_a_version_that_is_served_no_longer_is_described_no_longer(api: Served) -> None:
    await establish(api, made(*BOTH))
    other = await described(api, "v2")
    unserved = {"op": "replace", "path": "/spec/versions/1/served", "value": False}
    (await api.patch(f"{CRDS}/foos.example.com", [unserved], JSON_PATCH)).ok()
    assert await described(api, "v3") is None
    assert await described(api, "v2") == other
