"""OpenAPI documents: what kubectl, client-go and helm look for in them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from steersman.api.published.openapi import OpenAPI
from steersman.api.published.schemas import closure, render
from steersman.model.errors import NotAcceptable
from steersman.model.kind import Kind, Subresource, Version
from steersman.wire.message import Request, Response, User

STATUS = Subresource("status", ("get", "patch", "update"))
SCALE = Subresource("scale", ("get", "patch", "update"), (), "autoscaling/v1 Scale")
DEPLOYMENT = Kind(
    group="apps",
    name="Deployment",
    plural="deployments",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.apps.v1.Deployment"),),
    storage="v1",
    subresources=(STATUS, SCALE),
)
NODE = Kind(
    group="",
    name="Node",
    plural="nodes",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.core.v1.Node"),),
    storage="v1",
    subresources=(STATUS, Subresource("proxy", ("create", "get"))),
)
POD = Kind(
    group="",
    name="Pod",
    plural="pods",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.Pod"),),
    storage="v1",
    subresources=(
        Subresource("log", ("get",)),
        Subresource("eviction", ("create",), (), "policy/v1 Eviction"),
    ),
)
REVIEW = Kind(
    group="authentication.k8s.io",
    name="TokenReview",
    plural="tokenreviews",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.authentication.v1.TokenReview"),),
    storage="v1",
    verbs=("create",),
    stored=False,
)
WIDGET = Kind(
    group="stable.example.com",
    name="Widget",
    plural="widgets",
    namespaced=True,
    versions=(Version("v1", ""),),
    storage="v1",
    strategic=False,
)
KINDS = [DEPLOYMENT, NODE, POD, REVIEW, WIDGET]
STRUCTURE = {
    "type": "object",
    "description": "A widget.",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {"size": {"type": "integer", "description": "How large."}},
            "required": ["size"],
        }
    },
}


def structure(kind: Kind, version: str) -> Mapping[str, Any] | None:
    return STRUCTURE if kind is WIDGET else None


def fresh() -> OpenAPI:
    return OpenAPI(lambda: KINDS, structure)


def ask(path: str, query: str = "", documents: OpenAPI | None = None, **headers: str) -> Any:
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    request = Request("GET", path, query, headers=sent)
    return asyncio.run((documents or fresh()).handle(request, User("jane")))


def body(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return orjson.loads(response.body)


APPS = fresh().build("apis/apps/v1", "v3")
CORE = fresh().build("api/v1", "v3")
ONE = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
GVK = {"group": "apps", "version": "v1", "kind": "Deployment"}


def test_the_index_says_where_each_document_is() -> None:
    paths = body(ask("/openapi/v3"))["paths"]
    assert list(paths) == [
        "api/v1",
        "apis/apps/v1",
        "apis/authentication.k8s.io/v1",
        "apis/stable.example.com/v1",
    ]
    url = paths["apis/apps/v1"]["serverRelativeURL"]
    path, _, query = url.partition("?")
    assert path == "/openapi/v3/apis/apps/v1"
    assert query.startswith("hash=")
    assert len(query) == 133
    answer = ask(path, query)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "public, immutable"
    assert body(answer)["info"] == {"title": "Kubernetes", "version": "v1.37.0"}


def test_an_old_address_leads_to_the_new_document() -> None:
    answer = ask("/openapi/v3/api/v1", "hash=OLD")
    assert answer.status == 301
    url = fresh().index()["paths"]["api/v1"]["serverRelativeURL"]
    assert answer.headers["location"] == url
    assert "cache-control" not in ask("/openapi/v3/api/v1").headers


def test_an_unknown_document_is_nobodys() -> None:
    for path in ("/openapi/v3/apis/none/v1", "/openapi/v3/x", "/openapi/v4", "/openapi"):
        assert ask(path) is None


@pytest.mark.parametrize(("path", "dialect"), [("/openapi/v3/api/v1", "v3"), ("/openapi/v2", "v2")])
def test_documents_have_a_binary_form_of_their_own(path: str, dialect: str) -> None:
    binary = f"application/com.github.proto-openapi.spec.{dialect}.v1.0+protobuf"
    documents = fresh()
    plain = ask(path, documents=documents)
    for accept in (binary, f"{binary.replace('.v1', '@v1')}, application/json"):
        answer = ask(path, documents=documents, accept=accept)
        assert (answer.status, answer.content_type) == (200, binary)
        assert answer.headers["etag"] != plain.headers["etag"]
        version = "2.0" if dialect == "v2" else "3.0.0"
        assert answer.body.startswith(bytes((10, len(version))) + version.encode())
        same = ask(path, documents=documents, accept=accept, if_none_match=answer.headers["etag"])
        assert (same.status, same.body, same.content_type) == (304, b"", binary)
    other = "v3" if dialect == "v2" else "v2"
    with pytest.raises(NotAcceptable):
        ask(path, accept=binary.replace(f".{dialect}.", f".{other}."))


def test_the_index_is_json_whatever_is_asked_for() -> None:
    answer = ask("/openapi/v3", accept="text/plain")
    assert (answer.status, answer.content_type) == (200, "application/json")


def test_the_binary_form_of_an_address_is_kept_for_ever() -> None:
    documents = fresh()
    url = documents.index()["paths"]["apis/apps/v1"]["serverRelativeURL"]
    path, _, query = url.partition("?")
    binary = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
    answer = ask(path, query, documents, accept=binary, accept_encoding="gzip")
    assert answer.headers["cache-control"] == "public, immutable"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert b"io.k8s.api.apps.v1.DeploymentSpec" in gzip.decompress(answer.body)


def test_a_document_is_compressed_for_who_takes_it_so() -> None:
    documents = fresh()
    plain = ask("/openapi/v3/api/v1", documents=documents)
    packed = ask("/openapi/v3/api/v1", documents=documents, accept_encoding="gzip, deflate")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) * 4 < len(plain.body)
    assert packed.headers["etag"] == f'"{hashlib.sha512(plain.body).hexdigest().upper()}"'
    same = ask("/openapi/v3/api/v1", documents=documents, if_none_match=plain.headers["etag"])
    assert (same.status, same.body) == (304, b"")


def test_documents_are_kept_until_the_kinds_change() -> None:
    kinds = [DEPLOYMENT]
    documents = OpenAPI(lambda: kinds)
    first = ask("/openapi/v2", documents=documents, accept_encoding="gzip")
    before = documents.hashes()["apis/apps/v1"]
    kinds.append(NODE)
    assert ask("/openapi/v2", documents=documents, accept_encoding="gzip").body is first.body
    documents.changed()
    assert ask("/openapi/v2", documents=documents, accept_encoding="gzip").body != first.body
    assert "api/v1" in documents.hashes()
    assert documents.hashes()["apis/apps/v1"] == before


def test_a_hash_changes_with_what_the_document_is_made_of() -> None:
    grown = {**STRUCTURE, "description": "Another."}
    other = OpenAPI(lambda: KINDS, lambda kind, _: grown if kind is WIDGET else None)
    key = "apis/stable.example.com/v1"
    assert other.hashes()[key] != fresh().hashes()[key]
    assert other.hashes()["api/v1"] == fresh().hashes()["api/v1"]


def test_paths_say_which_kind_they_serve() -> None:
    assert set(APPS["paths"]) == {
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/namespaces/{namespace}/deployments",
        ONE,
        f"{ONE}/status",
        f"{ONE}/scale",
    }
    actions = {
        method: operation["x-kubernetes-action"]
        for method, operation in APPS["paths"][ONE].items()
        if method != "parameters"
    }
    assert actions == {"get": "get", "put": "put", "patch": "patch", "delete": "delete"}
    collection = APPS["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]
    actions = {
        method: operation["x-kubernetes-action"]
        for method, operation in collection.items()
        if method != "parameters"
    }
    assert actions == {"get": "list", "post": "post", "delete": "deletecollection"}
    assert list(APPS["paths"]["/apis/apps/v1/deployments"]) == ["get"]
    for operation in (APPS["paths"][ONE]["get"], collection["get"]):
        assert operation["x-kubernetes-group-version-kind"] == GVK
    scale = APPS["paths"][f"{ONE}/scale"]["get"]["x-kubernetes-group-version-kind"]
    assert scale == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    status = APPS["paths"][f"{ONE}/status"]
    assert status["put"]["x-kubernetes-group-version-kind"] == GVK
    assert set(CORE["paths"]) >= {"/api/v1/nodes", "/api/v1/nodes/{name}"}
    assert "/api/v1/namespaces/{namespace}/nodes" not in CORE["paths"]


def test_every_operation_has_a_name_of_its_own() -> None:
    for dialect in ("v2", "v3"):
        document = fresh().build("", dialect)
        found = [
            operation["operationId"]
            for path in document["paths"].values()
            for method, operation in path.items()
            if method != "parameters"
        ]
        assert len(found) == len(set(found))
    assert APPS["paths"][ONE]["get"]["operationId"] == "readAppsV1NamespacedDeployment"
    assert CORE["paths"]["/api/v1/nodes"]["get"]["operationId"] == "listCoreV1Node"
    custom = fresh().build("apis/stable.example.com/v1", "v3")["paths"]
    everywhere = custom["/apis/stable.example.com/v1/widgets"]["get"]
    assert everywhere["operationId"] == "listStableExampleComV1WidgetForAllNamespaces"
    assert everywhere["tags"] == ["stable_v1"]
    reviews = fresh().build("apis/authentication.k8s.io/v1", "v3")["paths"]
    post = reviews["/apis/authentication.k8s.io/v1/tokenreviews"]["post"]
    assert post["operationId"] == "createAuthenticationV1TokenReview"


def queries(operation: Mapping[str, Any]) -> set[str]:
    return {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}


def test_writes_take_the_parameters_by_which_clients_know_what_is_served() -> None:
    patch = APPS["paths"][ONE]["patch"]
    assert queries(patch) == {"dryRun", "fieldManager", "fieldValidation", "force"}
    assert queries(APPS["paths"][ONE]["put"]) == {"dryRun", "fieldManager", "fieldValidation"}
    collection = APPS["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]
    assert "fieldValidation" in queries(collection["post"])
    deletion = {"dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"}
    choice = {
        "continue",
        "fieldSelector",
        "labelSelector",
        "limit",
        "resourceVersion",
        "resourceVersionMatch",
        "sendInitialEvents",
    }
    assert queries(collection["get"]) == {
        *choice,
        "allowWatchBookmarks",
        "timeoutSeconds",
        "watch",
    }
    assert queries(collection["delete"]) == choice | deletion
    assert queries(APPS["paths"][ONE]["delete"]) == deletion
    names = [one["name"] for one in APPS["paths"][ONE]["parameters"]]
    assert names == ["name", "namespace", "pretty"]
    assert [one["name"] for one in CORE["paths"]["/api/v1/nodes"]["parameters"]] == ["pretty"]


def test_a_patch_says_its_forms() -> None:
    content = APPS["paths"][ONE]["patch"]["requestBody"]["content"]
    assert set(content) == {
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    }
    custom = fresh().build("apis/stable.example.com/v1", "v3")
    one = "/apis/stable.example.com/v1/namespaces/{namespace}/widgets/{name}"
    content = custom["paths"][one]["patch"]["requestBody"]["content"]
    assert "application/strategic-merge-patch+json" not in content


def test_bodies_and_answers_refer_to_their_definitions() -> None:
    prefix = "#/components/schemas/"
    put = APPS["paths"][ONE]["put"]
    expected = {"$ref": f"{prefix}io.k8s.api.apps.v1.Deployment"}
    assert put["requestBody"]["content"]["application/json"]["schema"] == expected
    assert put["requestBody"]["required"] is True
    assert put["responses"]["201"]["content"]["application/json"]["schema"] == expected
    everywhere = APPS["paths"]["/apis/apps/v1/deployments"]["get"]["responses"]["200"]
    assert everywhere["content"]["application/json"]["schema"]["$ref"].endswith("DeploymentList")
    delete = APPS["paths"][ONE]["delete"]
    assert "required" not in delete["requestBody"]
    log = CORE["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/log"]["get"]
    assert log["responses"]["200"]["content"]["*/*"]["schema"] == {"type": "string"}
    eviction = CORE["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/eviction"]["post"]
    schema = eviction["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": f"{prefix}io.k8s.api.policy.v1.Eviction"}
    proxy = CORE["paths"]["/api/v1/nodes/{name}/proxy"]["get"]
    assert proxy["x-kubernetes-action"] == "connect"
    assert proxy["x-kubernetes-group-version-kind"]["kind"] == "NodeProxyOptions"
    assert "requestBody" not in CORE["paths"]["/api/v1/nodes/{name}/proxy"]["post"]


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(child) for child in value.values()))
    if isinstance(value, list):
        return set().union(*(references(child) for child in value))
    return set()


@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_everything_referred_to_is_there(dialect: Any) -> None:
    for key in ("", "api/v1", "apis/apps/v1", "apis/stable.example.com/v1"):
        document = fresh().build(key, dialect)
        if dialect == "v2":
            there, prefix = document["definitions"], "#/definitions/"
        else:
            there, prefix = document["components"]["schemas"], "#/components/schemas/"
        for reference in references(document):
            assert reference.removeprefix(prefix) in there


def test_definitions_carry_what_clients_merge_and_explain_by() -> None:
    schemas = APPS["components"]["schemas"]
    deployment = schemas["io.k8s.api.apps.v1.Deployment"]
    assert deployment["x-kubernetes-group-version-kind"] == [GVK]
    assert deployment["description"].startswith("Deployment enables declarative updates")
    spec = deployment["properties"]["spec"]
    assert spec["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}]
    assert spec["description"]
    env = schemas["io.k8s.api.core.v1.Container"]["properties"]["env"]
    assert env["x-kubernetes-patch-merge-key"] == "name"
    assert env["x-kubernetes-list-map-keys"] == ["name"]
    assert env["items"] == {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.EnvVar"}]}
    assert schemas["io.k8s.api.apps.v1.DeploymentSpec"]["required"] == ["selector", "template"]


QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
EITHER = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


def test_quantities_and_numbers_or_names_read_as_upstreams_do() -> None:
    new = APPS["components"]["schemas"]
    old = fresh().build("", "v2")["definitions"]
    assert new[QUANTITY]["oneOf"] == [{"type": "string"}, {"type": "number"}]
    assert new[EITHER]["oneOf"] == [{"type": "integer"}, {"type": "string"}]
    assert new[EITHER]["format"] == old[EITHER]["format"] == "int-or-string"
    assert old[QUANTITY]["type"] == old[EITHER]["type"] == "string"
    assert "oneOf" not in old[QUANTITY]


def test_the_old_document_says_the_same_in_its_own_words() -> None:
    document = fresh().build("", "v2")
    assert document["swagger"] == "2.0"
    put = document["paths"][ONE]["put"]
    (sent,) = [one for one in put["parameters"] if one["in"] == "body"]
    assert sent["schema"] == {"$ref": "#/definitions/io.k8s.api.apps.v1.Deployment"}
    assert sent["required"] is True
    assert put["x-kubernetes-group-version-kind"] == GVK
    spec = document["definitions"]["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"]
    assert spec["$ref"] == "#/definitions/io.k8s.api.apps.v1.DeploymentSpec"
    assert spec["description"]
    (parameter,) = [one for one in put["parameters"] if one["name"] == "dryRun"]
    assert parameter["type"] == "string"
    assert set(document["paths"]) >= set(APPS["paths"]) | set(CORE["paths"])


def test_a_custom_resource_is_described_by_its_own_schema() -> None:
    document = fresh().build("apis/stable.example.com/v1", "v3")
    widget = document["components"]["schemas"]["com.example.stable.v1.Widget"]
    assert widget["description"] == "A widget."
    assert widget["properties"]["spec"]["properties"]["size"]["description"] == "How large."
    assert widget["properties"]["spec"]["required"] == ["size"]
    meta = widget["properties"]["metadata"]["allOf"][0]["$ref"]
    assert meta.endswith("meta.v1.ObjectMeta")
    gvk = {"group": "stable.example.com", "version": "v1", "kind": "Widget"}
    assert widget["x-kubernetes-group-version-kind"] == [gvk]
    many = document["components"]["schemas"]["com.example.stable.v1.WidgetList"]
    assert many["required"] == ["items"]
    assert many["x-kubernetes-group-version-kind"][0]["kind"] == "WidgetList"


def test_a_closure_follows_references_everywhere_and_ends() -> None:
    shapes = {
        "a": {"properties": {"x": {"$ref": "b"}, "y": {"items": {"$ref": "c"}}}},
        "b": {"additionalProperties": {"$ref": "d"}},
        "c": {"properties": {"x": {"properties": {"z": {"$ref": "a"}}}}},
        "d": {},
        "e": {"$ref": "d"},
    }
    assert closure(shapes, ["a", "none"]) == ["a", "b", "c", "d"]
    assert closure(shapes, ["e"]) == ["d", "e"]


def test_a_definition_without_a_description_has_none() -> None:
    assert render("x", {"x": {"type": "object"}}, {}, "v3") == {"type": "object"}
