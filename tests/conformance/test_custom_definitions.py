"""Upstream's rows about CustomResourceDefinitions and what they serve, but for their documents."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import uvloop

from customs import CRDS, WIDGETS, definition, establish, gone, version, widget
from hooks import listening
from served import JSON_PATCH, Document, Served, Watched, served, serving
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld

ONE = f"{CRDS}/widgets.example.com"
LATER = WIDGETS.replace("/v1/", "/v2/")
WAIT_SECONDS = 60.0
STRING: Document = {"type": "string"}


def named(number: int, **labels: str) -> Document:
    """Returns one of several definitions."""
    made = definition(kind=f"Thing{number}")
    made["metadata"]["labels"] = labels
    return made


@served
async def test_a_definition_comes_and_goes(api: Served) -> None:
    await establish(api, definition())
    (await api.delete(ONE)).ok()
    await gone(api, ONE)


@served
async def test_definitions_are_listed_by_label_and_deleted_together(api: Served) -> None:
    await establish(api, definition())
    for number in range(10):
        await establish(api, named(number, batch="yes"))
    listed = await api.get(CRDS, labelSelector="batch=yes")
    assert len(listed.names) == 10
    (await api.delete(CRDS, labelSelector="batch=yes")).ok()
    for name in listed.names:
        await gone(api, f"{CRDS}/{name}")
    assert (await api.get(CRDS)).names == ["widgets.example.com"]


@served
async def test_the_status_of_a_definition_is_read_updated_and_patched(api: Served) -> None:
    await establish(api, definition())
    current = (await api.get(f"{ONE}/status")).ok()
    assert current["metadata"]["name"] == "widgets.example.com"
    updated = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set by test"}
    current["status"]["conditions"].append(updated)
    found = (await api.put(f"{ONE}/status", current)).ok()
    assert "StatusUpdate" in types(found)
    condition = {**updated, "type": "StatusPatched"}
    operation = {"op": "add", "path": "/status/conditions/-", "value": condition}
    (await api.patch(f"{ONE}/status", [operation], JSON_PATCH)).ok()
    assert {"StatusUpdate", "StatusPatched"} <= set(types((await api.get(ONE)).ok()))


def types(found: Document) -> list[str]:
    """Returns the types of a definition's conditions."""
    return [one["type"] for one in found["status"]["conditions"]]


@served
async def test_defaults_come_when_objects_are_written_and_when_old_ones_are_read(
    api: Served,
) -> None:
    await establish(api, definition(plain(a=STRING, b=STRING)))
    old = (await api.post(WIDGETS, {**widget("old"), "a": "given"})).ok()
    assert "b" not in old
    made = (await api.get(ONE)).ok()
    made["spec"]["versions"] = [plain(a={**STRING, "default": "A"}, b={**STRING, "default": "B"})]
    (await api.put(ONE, made)).ok()
    read = (await api.get(f"{WIDGETS}/old")).ok()
    assert (read["a"], read["b"]) == ("given", "B")
    new = (await api.post(WIDGETS, widget("new"))).ok()
    assert (new["a"], new["b"]) == ("A", "B")
    (listed, _) = (await api.get(WIDGETS)).ok()["items"]
    assert listed["b"] == "B"
    made = (await api.get(ONE)).ok()
    made["spec"]["versions"] = [plain(a={**STRING, "default": "C"}, b=STRING)]
    (await api.put(ONE, made)).ok()
    kept = (await api.get(f"{WIDGETS}/new")).ok()
    assert (kept["a"], kept["b"]) == ("A", "B")
    assert "b" not in (await api.get(f"{WIDGETS}/old")).ok()


def plain(name: str = "v1", **properties: Document) -> Document:
    """Returns a version with fields beside metadata, without subresources."""
    spec = {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    schema = {"type": "object", "properties": {**properties, **spec}}
    return version(name, schema={"openAPIV3Schema": schema}, subresources={})


@served
async def test_a_watch_of_objects_sees_them_come_change_and_go(api: Served) -> None:
    await establish(api, definition())
    first = await api.watch(WIDGETS, fieldSelector="metadata.name=name1")
    second = await api.watch(WIDGETS, fieldSelector="metadata.name=name2")
    for name in ("name1", "name2"):
        (await api.post(WIDGETS, widget(name))).ok()
    for name in ("name1", "name2"):
        (await api.patch(f"{WIDGETS}/{name}", {"metadata": {"labels": {"a": "b"}}})).ok()
    for name in ("name1", "name2"):
        (await api.delete(f"{WIDGETS}/{name}")).ok()
    for watch, name in ((first, "name1"), (second, "name2")):
        life = [(kind, name) for kind in ("ADDED", "MODIFIED", "DELETED")]
        assert watch.brief() == life


class Converter:
    """A webhook that says `hostPort` in v1 for what is `host` and `port` in v2, as upstream's."""

    def __init__(self) -> None:
        self.port = 0
        self.bundle = ""

    def handle(self, request: Request) -> Response:
        """Answers a review."""
        review = orjson.loads(request.body)
        asked = review["request"]
        made = [self.made(one, asked["desiredAPIVersion"]) for one in asked["objects"]]
        response = {"uid": asked["uid"], "convertedObjects": made, "result": {"status": "Success"}}
        head = {key: review[key] for key in ("kind", "apiVersion")}
        return Response(orjson.dumps({**head, "response": response}))

    @staticmethod
    def made(one: Document, wanted: str) -> Document:
        """Returns an object in another version."""
        found = {**one, "apiVersion": wanted}
        if wanted.endswith("v1"):
            host, port = found.pop("host", ""), found.pop("port", "")
            return {**found, "hostPort": f"{host}:{port}"}
        host, _, port = found.pop("hostPort").partition(":")
        return {**found, "host": host, "port": port}

    def definition(self) -> Document:
        """Returns the definition of both versions, of which the first is stored."""
        selectable = {"v1": ["hostPort"], "v2": ["host", "port"]}
        versions = [
            {
                **plain(name, **dict.fromkeys(fields, STRING)),
                "storage": name == "v1",
                "selectableFields": [{"jsonPath": f".{field}"} for field in fields],
            }
            for name, fields in selectable.items()
        ]
        made = definition(*versions)
        client = {"url": f"https://localhost:{self.port}/convert", "caBundle": self.bundle}
        webhook = {"clientConfig": client, "conversionReviewVersions": ["v1", "v1beta1"]}
        made["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        return made


def converting(tmp_path: Path, case: Any) -> None:
    """Runs a case with widgets of two versions between which a webhook converts."""

    async def main() -> None:
        world, converter = RealWorld(), Converter()
        async with listening(tmp_path, world, converter.handle) as place, serving(world) as api:
            converter.port, converter.bundle = place
            async with asyncio.timeout(WAIT_SECONDS):
                await establish(api, converter.definition())
                await case(api)

    uvloop.run(main())


def addressed(name: str, api: str, **fields: str) -> Document:
    """Returns a widget of a version with an address."""
    return {
        "apiVersion": f"example.com/{api}",
        "kind": "Widget",
        "metadata": {"name": name},
        **fields,
    }


def test_what_was_made_in_one_version_is_read_in_the_other(tmp_path: Path) -> None:
    async def case(api: Served) -> None:
        (await api.post(WIDGETS, addressed("one", "v1", hostPort="localhost:8080"))).ok()
        found = (await api.get(f"{LATER}/one")).ok()
        assert found["apiVersion"] == "example.com/v2"
        assert (found["host"], found["port"]) == ("localhost", "8080")
        assert "hostPort" not in found

    converting(tmp_path, case)


def test_a_list_converts_what_was_stored_in_either_version(tmp_path: Path) -> None:
    async def case(api: Served) -> None:
        (await api.post(WIDGETS, addressed("first", "v1", hostPort="localhost:8080"))).ok()
        moves = [
            {"op": "replace", "path": f"/spec/versions/{index}/storage", "value": is_stored}
            for index, is_stored in ((0, False), (1, True))
        ]
        (await api.patch(ONE, moves, JSON_PATCH)).ok()
        (await api.post(WIDGETS, addressed("second", "v1", hostPort="example:80"))).ok()
        assert (await api.get(ONE)).ok()["status"]["storedVersions"] == ["v1", "v2"]
        later = (await api.get(LATER)).ok()["items"]
        assert [(one["host"], one["port"]) for one in later] == [
            ("localhost", "8080"),
            ("example", "80"),
        ]
        earlier = (await api.get(WIDGETS)).ok()["items"]
        assert [one["hostPort"] for one in earlier] == ["localhost:8080", "example:80"]

    converting(tmp_path, case)


def test_fields_select_in_lists_watches_and_deletions_of_both_versions(tmp_path: Path) -> None:
    async def case(api: Served) -> None:
        by_host = await api.watch(LATER, fieldSelector="host=host1")
        by_both = await api.watch(LATER, fieldSelector="host=host1,port=80")
        earlier = await api.watch(WIDGETS, fieldSelector="hostPort=host1:80")
        # an informer lists and watches from there
        since = (await api.get(LATER, fieldSelector="host=host1")).revision
        informer = await api.watch(LATER, fieldSelector="host=host1", resourceVersion=since)
        for name, fields in (
            ("a", {"host": "host1", "port": "80"}),
            ("b", {"host": "host1", "port": "8080"}),
            ("c", {"host": "host2"}),
        ):
            (await api.post(LATER, addressed(name, "v2", **fields))).ok()
        assert (await api.get(LATER, fieldSelector="host=host1")).names == ["a", "b"]
        assert (await api.get(LATER, fieldSelector="host=host1,port=80")).names == ["a"]
        assert (await api.get(WIDGETS, fieldSelector="hostPort=host1:80")).names == ["a"]
        assert (await api.get(WIDGETS, fieldSelector="hostPort=host1:8080")).names == ["b"]
        (await api.delete(LATER, fieldSelector="host=host1,port=80")).ok()
        changed = (await api.get(f"{LATER}/b")).ok()
        (await api.put(f"{LATER}/b", {**changed, "host": "host2"})).ok()
        assert (await api.get(LATER, fieldSelector="host=host1")).names == []
        assert (await api.get(LATER, fieldSelector="host=host1,port=80")).names == []
        one = [("ADDED", "a"), ("DELETED", "a")]
        both = [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a"), ("DELETED", "b")]
        assert await told(by_host, 4) == await told(informer, 4) == both
        assert await told(by_both, 2) == one
        assert await told(earlier, 2) == one

    converting(tmp_path, case)


async def told(watch: Watched, count: int) -> list[tuple[str, str]]:
    """Returns type and name of so many events, after which nothing else came."""
    events = [await watch.next() for _ in range(count)]
    assert watch.brief() == []
    watch.close()
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events]
