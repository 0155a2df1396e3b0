"""Answers in Protocol Buffers, as client-go asks for them, and in YAML, whoever answers."""

from __future__ import annotations

import struct
from typing import Any

import orjson
import pytest
import yaml

from customs import definition, establish, widget
from served import DEPLOYMENTS, Document, Served, deployment, served
from steersman.api import read
from steersman.model.errors import Forbidden, NotAcceptable
from steersman.model.ref import Resource
from steersman.wire.media import refusal
from steersman.wire.message import User
from steersman.wire.protobuf.objects import decode, unwrap

PROTOBUF = "application/vnd.kubernetes.protobuf"
TYPED = f"{PROTOBUF},application/json"  # what a typed client of client-go accepts
OF_METADATA = f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
OF_METADATA_LIST = f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
MAPS = "/api/v1/namespaces/default/configmaps"
CORE, META = "io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."
CONFIG_MAPS = Resource("", "configmaps")
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def config_map(name: str, **data: str) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"name": name}},
        "data": data,
    }


def read_back(body: bytes, definition: str) -> Document:
    """Returns the document that a client reads in an answer."""
    found = unwrap(body)
    return {"kind": found.kind, "apiVersion": found.api_version, **decode(definition, found.raw)}


def parts(data: bytes) -> list[tuple[int, Any]]:
    """Reads a message's fields without knowing what they are."""
    found, at = [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        tag = varint()
        value: Any = varint()
        if tag & 7 == 2:
            value, at = data[at : at + value], at + value
        found.append((tag >> 3, value))
    return found


def listed(body: bytes, item: str) -> tuple[Document, list[Document]]:
    """Returns the metadata and the items of a list."""
    inside = parts(unwrap(body).raw)
    metadata = decode(META + "ListMeta", next(value for number, value in inside if number == 1))
    return metadata, [decode(item, value) for number, value in inside if number == 2]


def event(frame: bytes) -> tuple[str, bytes]:
    """Returns the type and the object of a watch's frame."""
    (size,) = struct.unpack(">I", frame[:4])
    assert size == len(frame) - 4, "a frame is its length and one event"
    inside = dict(parts(frame[4:]))
    return inside[1].decode(), dict(parts(inside[2]))[1]


@served
async def test_a_typed_client_is_answered_in_protocol_buffers(api: Served) -> None:
    made = await api.post(MAPS, config_map("a", key="yes"), accept=TYPED)
    assert made.code == 201
    got = await api.get(f"{MAPS}/a", accept=TYPED)
    plain = (await api.get(f"{MAPS}/a")).ok()
    assert plain["metadata"]["managedFields"]
    for answer in (made, got):
        assert read_back(answer.document, CORE + "ConfigMap") == plain


@served
async def test_a_list_is_one_message_with_its_metadata(api: Served) -> None:
    for name in ("a", "b", "c"):
        (await api.post(MAPS, config_map(name, key=name))).ok()
    answer = await api.get(MAPS, accept=PROTOBUF, limit="2", labelSelector="name")
    metadata, items = listed(answer.document, CORE + "ConfigMap")
    plain = (await api.get(MAPS, limit="2", labelSelector="name")).ok()
    assert (unwrap(answer.document).api_version, unwrap(answer.document).kind) == (
        "v1",
        "ConfigMapList",
    )
    assert metadata == plain["metadata"]
    assert metadata["continue"]
    assert items == plain["items"]


@served
async def test_a_long_list_lets_others_have_their_turn(api: Served) -> None:
    for number in range(4):
        text = "x" * read.BINARY_SLICE_BYTES
        (await api.post(MAPS, config_map(f"m{number}", k=text))).ok()
    items = listed((await api.get(MAPS, accept=TYPED)).document, CORE + "ConfigMap")[1]
    names = [item["metadata"]["name"] for item in items]
    assert names == ["kube-root-ca.crt", "m0", "m1", "m2", "m3"][-len(names) :]
    assert len(names) >= 4


@served
async def test_a_watch_tells_events_in_frames(api: Served) -> None:
    start = str(api.revision)
    watch = await api.watch(MAPS, accept=TYPED, resourceVersion=start)
    assert watch.content_type == f"{PROTOBUF};stream=watch"
    beside = await api.watch(MAPS, accept="application/json", resourceVersion=start)
    (await api.post(MAPS, config_map("a", key="1"))).ok()
    (await api.delete(f"{MAPS}/a")).ok()
    for expected in ("ADDED", "DELETED"):
        kind, body = event(await watch.next())
        assert kind == expected
        told = await beside.next()
        assert (told["type"], told["object"]) == (kind, read_back(body, CORE + "ConfigMap"))


@served
async def test_a_watch_tells_bookmarks_and_its_end_in_frames(api: Served) -> None:
    watch = await api.watch(
        MAPS, accept=TYPED, sendInitialEvents="true", allowWatchBookmarks="true",
        resourceVersionMatch="NotOlderThan", labelSelector="name=none",
    )  # fmt: skip
    kind, body = event(await watch.next())
    assert kind == "BOOKMARK"
    metadata = read_back(body, CORE + "ConfigMap")["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    api.assembly.cache.table(CONFIG_MAPS).dropped = api.revision  # what came before is forgotten
    old = await api.watch(MAPS, accept=TYPED, resourceVersion="1")
    kind, body = event(await old.next())
    assert (kind, old.finished) == ("ERROR", True)
    status = read_back(body, META + "Status")
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")


@served
async def test_the_metadata_of_a_list_is_not_that_of_an_object(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    events = "/apis/events.k8s.io/v1/namespaces/default/events"
    await establish(api, definition())
    (await api.post(WIDGETS, widget("w"))).ok()
    (await api.post(DEPLOYMENTS, deployment("a"))).ok()
    for path, wanted, what, found in (
        (MAPS, "PartialObjectMetadata", "a list", "core.ConfigMapList"),
        (f"{MAPS}/a", "PartialObjectMetadataList", "not a list", "core.ConfigMap"),
        (events, "PartialObjectMetadata", "a list", "core.EventList"),
        (WIDGETS, "PartialObjectMetadata", "a list", "unstructured.UnstructuredList"),
        (f"{WIDGETS}/w", "PartialObjectMetadataList", "not a list", "unstructured.Unstructured"),
        (DEPLOYMENTS, "PartialObjectMetadata", "a list", "apps.DeploymentList"),
        (f"{DEPLOYMENTS}/a/scale", "PartialObjectMetadataList", "not a list", "autoscaling.Scale"),
    ):
        for media in ("json", "yaml", "vnd.kubernetes.protobuf"):
            accept = f"application/{media};as={wanted};g=meta.k8s.io;v=v1,application/json"
            answer = await api.get(path, accept=accept)
            assert answer.code == 406, path
        answer = await api.get(path, accept=accept.replace(media, "json"))
        assert answer.document["reason"] == "NotAcceptable"
        assert answer.message == (
            f"you requested {wanted}, but the requested object is {what} (*{found})"
        )


@served
async def test_metadata_alone_has_this_form_for_every_kind(api: Served) -> None:
    await establish(api, definition())
    (await api.post(WIDGETS, widget("w"))).ok()
    (await api.post(MAPS, config_map("a"))).ok()
    for path in (f"{MAPS}/a", f"{WIDGETS}/w"):
        answer = await api.get(path, accept=f"{OF_METADATA},application/json")
        found = unwrap(answer.document)
        assert (found.api_version, found.kind) == ("meta.k8s.io/v1", "PartialObjectMetadata")
        inside = parts(found.raw)
        assert [number for number, _ in inside] == [1]
        expected = (await api.get(path)).ok()["metadata"]
        assert decode(META + "ObjectMeta", inside[0][1]) == expected
    answer = await api.get(WIDGETS, accept=OF_METADATA_LIST)
    assert unwrap(answer.document)[:2] == ("meta.k8s.io/v1", "PartialObjectMetadataList")
    (item,) = [value for number, value in parts(unwrap(answer.document).raw) if number == 2]
    metadata = decode(META + "ObjectMeta", dict(parts(item))[1])
    assert metadata["name"] == "w"


@served
async def test_custom_resources_have_no_such_form(api: Served) -> None:
    await establish(api, definition())
    (await api.post(WIDGETS, widget("w"))).ok()
    assert (await api.get(f"{WIDGETS}/w", accept=TYPED)).ok()["kind"] == "Widget"
    refused = await api.get(f"{WIDGETS}/w", accept=PROTOBUF)
    assert (refused.code, refused.message) == (
        406,
        "only the following media types are accepted: application/json, application/yaml",
    )


@served
async def test_a_definition_with_its_schema_has(api: Served) -> None:
    await establish(api, definition())
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
    answer = await api.get(path, accept=TYPED)
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
    assert read_back(answer.document, name) == (await api.get(path)).ok()


@pytest.mark.parametrize(
    ("method", "path", "code", "reason"),
    [
        ("GET", f"{MAPS}/none", 404, "NotFound"),
        ("POST", MAPS, 422, "Invalid"),
        ("DELETE", f"{MAPS}/none", 404, "NotFound"),
    ],
)
@served
async def test_an_error_is_told_in_the_form_that_was_asked_for(
    api: Served, method: str, path: str, code: int, reason: str
) -> None:
    body = config_map("Not A Name") if method == "POST" else None
    answer = await api.ask(method, path, body, accept=TYPED)
    status = read_back(answer.document, META + "Status")
    assert (answer.code, status["code"], status["reason"]) == (code, code, reason)
    plain = await api.ask(method, path, body)
    assert status == {key: value for key, value in plain.document.items() if value != {}} | {
        "metadata": {}
    }


@served
async def test_subresources_and_reviews_are_answered_so_too(api: Served) -> None:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": spec,
    }
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    (await api.post(deployments, workload)).ok()
    answer = await api.get(f"{deployments}/web/scale", accept=TYPED)
    scale = read_back(answer.document, "io.k8s.api.autoscaling.v1.Scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {"replicas": 2}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    }
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = await api.post(reviews, review, accept=TYPED)
    found = read_back(answer.document, "io.k8s.api.authorization.v1.SelfSubjectAccessReview")
    assert found["status"]["allowed"] is True
    gone = await api.delete(f"{deployments}/web", accept=TYPED)
    status = read_back(gone.document, META + "Status")
    assert (status["status"], status["details"]["name"]) == ("Success", "web")


@served
async def test_a_status_is_yaml_where_that_is_asked_for(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    gone = await api.delete(f"{MAPS}/a", accept="application/yaml")
    assert yaml.safe_load(gone.document)["status"] == "Success"
    missing = await api.get(f"{MAPS}/a", accept="application/yaml")
    assert (missing.code, yaml.safe_load(missing.document)["reason"]) == (404, "NotFound")


@served
async def test_a_watch_has_no_form_in_yaml(api: Served) -> None:
    refused = await api.get(MAPS, accept="application/yaml", watch="1")
    assert (refused.code, refused.message) == (
        406,
        "only the following media types are accepted: "
        f"application/json;stream=watch, {PROTOBUF};stream=watch",
    )


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("text/html,application/yaml", "application/yaml"),
        (f"{PROTOBUF},application/json", PROTOBUF),
        (f"application/json,{PROTOBUF}", "application/json"),
        (f"{PROTOBUF};stream=watch", PROTOBUF),
        (f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1, application/yaml", "application/yaml"),
        ("application/cbor,application/json", "application/json"),
    ],
)
def test_what_is_refused_before_a_call_is_known_is_told_as_it_was_asked_for(
    accept: str, media: str
) -> None:
    response = refusal(Forbidden("you may not"), accept)
    assert (response.status, response.content_type) == (403, media)
    assert isinstance(response.body, bytes)
    read = {
        "application/json": orjson.loads,
        "application/yaml": yaml.safe_load,
        PROTOBUF: lambda body: read_back(body, META + "Status"),
    }[media](response.body)
    assert (read["message"], read["reason"], read["code"]) == ("you may not", "Forbidden", 403)


def test_that_no_form_fits_is_told_in_json() -> None:
    response = refusal(NotAcceptable("only others"), PROTOBUF)
    assert (response.status, response.content_type) == (406, "application/json")


@served
async def test_who_may_not_is_told_so_in_protocol_buffers(api: Served) -> None:
    jane = User("jane", ("system:authenticated",))
    refused = await api.get(MAPS, accept=TYPED, user=jane)
    status = read_back(refused.document, META + "Status")
    assert (refused.code, status["reason"]) == (403, "Forbidden")
    nowhere = await api.get("/apis/apps/v1/things", accept=TYPED)
    assert read_back(nowhere.document, META + "Status")["code"] == 404
