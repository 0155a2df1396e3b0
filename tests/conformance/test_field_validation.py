"""Upstream's rows about fields that nobody knows and fields that come twice, refused if Strict."""

from __future__ import annotations

import copy

import orjson

from customs import definition, establish
from served import APPLY, DEPLOYMENTS, Answer, Document, Served, deployment, served

STRICT = {"fieldManager": "field_validation_mgr", "fieldValidation": "Strict"}
OPEN: Document = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
PORT: Document = {
    "type": "object",
    "required": ["containerPort", "protocol"],
    "properties": {
        "containerPort": {"type": "integer", "format": "int32"},
        "hostIP": {"type": "string"},
        "hostPort": {"type": "integer", "format": "int32"},
        "name": {"type": "string"},
        "protocol": {"type": "string"},
    },
}
FIELDS: Document = {
    "foo": {"type": "string"},
    "cronSpec": {
        "type": "string",
        "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$",
    },
    "ports": {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
        "items": PORT,
    },
}
EMBEDDED: Document = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        "spec": {"type": "object"},
    },
}
HEAD = """
apiVersion: example.com/v1beta1
kind: Noxu
metadata:
  name: mytest{metadata}
  finalizers:
  - test-finalizer
{root}spec:
{spec}  cronSpec: "* * * * */5"
  ports:
  - name: x
    containerPort: 80
    protocol: TCP"""


async def defined(api: Served, spec: Document | None) -> None:
    """Makes a definition of two versions, of which the schema has a spec, or takes anything."""
    schema: Document = {"type": "object", "properties": {"spec": spec}} if spec else OPEN
    versions = [
        {
            "name": name,
            "served": True,
            "storage": name == "v1beta1",
            "schema": {"openAPIV3Schema": copy.deepcopy(schema)},
        }
        for name in ("v1beta1", "v1beta2")
    ]
    made = definition(*versions, kind="Noxu", scope="Cluster")
    await establish(api, made)


async def applied(api: Served, spec: str, *, root: str = "", metadata: str = "") -> Answer:
    """Applies an object as YAML, strictly."""
    text = HEAD.format(spec=spec, root=root, metadata=metadata)
    path = "/apis/example.com/v1beta1/noxus/mytest"
    return await api.patch(path, text.encode(), APPLY, **STRICT)


@served
async def test_unknown_and_repeated_fields_of_a_typed_object(api: Served) -> None:
    text = orjson.dumps(deployment("nginx")).decode()
    once, twice = '"replicas":1', '"unknownField":"foo","replicas":2,"replicas":3'
    refused = await api.post(DEPLOYMENTS, text.replace(once, twice).encode(), **STRICT)
    assert refused.code == 400
    wanted = 'unknown field "spec.unknownField", duplicate field "spec.replicas"'
    assert f"strict decoding error: {wanted}" in refused.message


@served
async def test_unknown_metadata_of_a_typed_object(api: Served) -> None:
    made = deployment("nginx")
    made["metadata"]["unknownMeta"] = "foo"
    refused = await api.post(DEPLOYMENTS, made, **STRICT)
    assert refused.code == 400
    assert 'strict decoding error: unknown field "metadata.unknownMeta"' in refused.message


@served
async def test_a_valid_custom_resource_is_applied(api: Served) -> None:
    await defined(api, {"type": "object", "properties": FIELDS})
    made = (await applied(api, "  foo: foo1\n")).ok()
    assert made["spec"] == {
        "foo": "foo1",
        "cronSpec": "* * * * */5",
        "ports": [{"name": "x", "containerPort": 80, "protocol": "TCP"}],
    }


@served
async def test_without_a_schema_every_field_is_known(api: Served) -> None:
    await defined(api, None)
    made = (await applied(api, "  unknown: uk1\n")).ok()
    assert made["spec"]["unknown"] == "uk1"


@served
async def test_a_field_beyond_the_schema_is_refused(api: Served) -> None:
    await defined(api, {"type": "object", "properties": FIELDS})
    refused = await applied(api, "  foo: foo1\n", root="unknownField: unknown\n")
    assert refused.code >= 400
    assert ".unknownField: field not declared in schema" in refused.message


@served
async def test_unknown_metadata_of_a_custom_resource_and_of_what_it_embeds(api: Served) -> None:
    spec = {**OPEN, "properties": {**FIELDS, "template": EMBEDDED}}
    await defined(api, spec)
    embedded = """  template:
    apiversion: foo/v1
    kind: Sub
    metadata:
        unknownSubMeta: unknown
        name: subobject
        namespace: default
  foo: foo1
"""
    refused = await applied(api, embedded, metadata="\n  unknownMeta: unknown")
    assert refused.code >= 400
    inner = ".spec.template.metadata.unknownSubMeta: field not declared in schema"
    outer = ".metadata.unknownMeta: field not declared in schema"
    assert inner in refused.message or outer in refused.message


@served
async def test_what_comes_twice_is_refused_where_unknown_fields_are_kept(api: Served) -> None:
    await defined(api, {**OPEN, "properties": FIELDS})
    refused = await applied(api, "  unknown: uk1\n  foo: foo1\n  foo: foo2\n")
    assert refused.code >= 400
    assert 'line 11: key "foo" already set in map' in refused.message
