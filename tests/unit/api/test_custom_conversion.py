"""Conversion webhooks: asked over HTTPS, believed only as far as upstream believes them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from customs import WIDGETS, definition, establish, version, widget
from hooks import listening
from served import APPLY, Served, serving
from steersman.api.custom.conversion import Unconverted, is_good_bundle, read_answer, settled
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld

Document = dict[str, Any]
Case = Callable[[Served, "Hook"], Coroutine[Any, Any, None]]

WAIT = 60.0
LATER = WIDGETS.replace("/v1/", "/v2/")
WIDE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class Hook:
    """A webhook that calls `size` in v1 what is `width` in v2, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.spoil: Callable[[Document], Document] = lambda answer: answer

    def handle(self, request: Request) -> Response:
        review = orjson.loads(request.body)
        asked = review["request"]
        self.asked.append(len(asked["objects"]))
        made = [self._made(one, asked["desiredAPIVersion"]) for one in asked["objects"]]
        result = {"status": "Success"}
        response = {"uid": asked["uid"], "convertedObjects": made, "result": result}
        answer = {key: review[key] for key in ("kind", "apiVersion")} | {"response": response}
        return Response(orjson.dumps(self.spoil(answer)))

    @staticmethod
    def _made(one: Document, wanted: str) -> Document:
        old, new = ("size", "width") if wanted.endswith("v2") else ("width", "size")
        spec = {new if name == old else name: value for name, value in one["spec"].items()}
        return {**one, "apiVersion": wanted, "spec": spec}


def hooked(tmp_path: Path, case: Case) -> None:
    """Runs a case with widgets in two versions between which a webhook converts."""

    async def main() -> None:
        world, hook = RealWorld(), Hook()
        async with listening(tmp_path, world, hook.handle) as place, serving(world) as api:
            port, bundle = place
            client = {"url": f"https://localhost:{port}/convert", "caBundle": bundle}
            async with asyncio.timeout(WAIT):
                await establish(api, converted(client))
                await case(api, hook)

    uvloop.run(main())


def converted(client: Document) -> Document:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": WIDE}}}
    first = version(schema=schema, subresources={})
    made = definition(first, {**first, "name": "v2", "storage": False})
    webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
    made["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    return made


def test_objects_are_read_and_written_in_both_versions(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        made = (await api.post(LATER, {**widget("one", api="v2"), "spec": {"width": 3}})).ok()
        assert (made["apiVersion"], made["spec"]) == ("example.com/v2", {"width": 3})
        assert (await api.get(f"{WIDGETS}/one")).ok()["spec"] == {"size": 3}
        (await api.post(WIDGETS, widget("two", size=4))).ok()
        listed = (await api.get(LATER)).ok()["items"]
        assert [one["spec"] for one in listed] == [{"width": 3}, {"width": 4}]
        patched = (await api.patch(f"{LATER}/two", {"spec": {"width": 5}})).ok()
        assert patched["spec"] == {"width": 5} and patched["metadata"]["generation"] == 2
        assert (await api.get(f"{WIDGETS}/two")).ok()["spec"] == {"size": 5}
        before = len(hook.asked)
        assert (await api.get(f"{LATER}/two")).ok()["spec"] == {"width": 5}
        assert len(hook.asked) == before, "what is known is not asked again"
        assert (await api.delete(f"{LATER}/two")).code == 200

    hooked(tmp_path, case)


def test_who_applied_in_another_version_is_told_by_the_names_of_that(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        first = {**widget("one"), "spec": {"size": 3, "kept": 1}}
        ways = {"how": APPLY, "fieldManager": "ann"}
        (await api.patch(f"{WIDGETS}/one", first, **ways)).ok()
        other = {**widget("one", api="v2"), "spec": {"width": 4}}
        ways = {"how": APPLY, "fieldManager": "bob"}
        refused = await api.patch(f"{LATER}/one", other, **ways)
        assert refused.code == 409
        assert refused.message == ('Apply failed with 1 conflict: conflict with "ann": .spec.size')
        other["spec"] = {"width": 3}
        shared = (await api.patch(f"{LATER}/one", other, **ways)).ok()
        assert {one["manager"] for one in shared["metadata"]["managedFields"]} == {"ann", "bob"}
        other["spec"] = {"width": 4}
        forced = (await api.patch(f"{LATER}/one", other, **ways, force="true")).ok()
        assert forced["spec"] == {"width": 4, "kept": 1}
        owned = {one["manager"]: one for one in forced["metadata"]["managedFields"]}
        assert owned["ann"]["fieldsV1"] == {"f:spec": {"f:kept": {}}}
        assert owned["bob"]["fieldsV1"] == {"f:spec": {"f:width": {}}}
        assert owned["bob"]["apiVersion"] == "example.com/v2"

    hooked(tmp_path, case)


def test_an_update_takes_fields_from_who_wrote_in_another_version(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        first = {**widget("one"), "spec": {"size": 3, "kept": 1}}
        (await api.patch(f"{WIDGETS}/one", first, how=APPLY, fieldManager="ann")).ok()
        change = {"spec": {"width": 4}}
        changed = (await api.patch(f"{LATER}/one", change, fieldManager="bob")).ok()
        owned = {one["manager"]: one["fieldsV1"] for one in changed["metadata"]["managedFields"]}
        assert owned["ann"] == {"f:spec": {"f:kept": {}}}
        assert owned["bob"] == {"f:spec": {"f:width": {}}}
        hook.spoil = lambda _answer: {}
        change = {"spec": {"size": 5}}
        kept = (await api.patch(f"{WIDGETS}/one", change, fieldManager="eve")).ok()
        assert kept["spec"] == {"size": 5, "kept": 1}
        assert kept["metadata"]["managedFields"] == changed["metadata"]["managedFields"]

    hooked(tmp_path, case)


def test_an_apply_fails_with_the_webhook_that_it_needs(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        first = {**widget("one"), "spec": {"size": 3}}
        (await api.patch(f"{WIDGETS}/one", first, how=APPLY, fieldManager="ann")).ok()
        (await api.get(f"{LATER}/one")).ok()
        hook.spoil = lambda _answer: {}
        other = {**widget("one", api="v2"), "spec": {"width": 4}}
        failed = await api.patch(f"{LATER}/one", other, how=APPLY, fieldManager="bob")
        assert (failed.code, "conversion webhook for example.com/v2" in failed.message) == (
            500,
            True,
        )
        hook.spoil = lambda answer: answer
        assert (await api.patch(f"{LATER}/one", other, how=APPLY, fieldManager="bob")).code == 409

    hooked(tmp_path, case)


def test_a_list_is_converted_in_one_review(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        for number in range(5):
            (await api.post(WIDGETS, widget(f"w{number}"))).ok()
        hook.asked.clear()
        assert len((await api.get(LATER)).names) == 5
        assert hook.asked == [5]

    hooked(tmp_path, case)


def test_a_watch_tells_converted_objects_in_order(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        (await api.post(WIDGETS, widget("one", size=1))).ok()
        watch = await api.watch(LATER)
        assert (await watch.next())["object"]["spec"] == {"width": 1}
        for size in (2, 3):
            (await api.patch(f"{WIDGETS}/one", {"spec": {"size": size}})).ok()
        (await api.delete(f"{WIDGETS}/one")).ok()
        told = [await watch.next() for _ in range(3)]
        assert [(one["type"], one["object"]["spec"]["width"]) for one in told] == [
            ("MODIFIED", 2),
            ("MODIFIED", 3),
            ("DELETED", 3),
        ]
        hook.spoil = lambda _answer: {}
        (await api.post(WIDGETS, widget("two"))).ok()
        assert (await watch.next())["type"] == "ERROR"
        await watch.end()

    hooked(tmp_path, case)


def test_what_a_webhook_gets_wrong_is_said(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        (await api.post(WIDGETS, widget("one"))).ok()

        def less(answer: Document) -> Document:
            return {**answer, "response": {**answer["response"], "convertedObjects": []}}

        hook.spoil = less
        failed = await api.get(f"{LATER}/one")
        start = "conversion webhook for example.com/v1, Kind=Widget"
        assert (failed.code, failed.message) == (500, f"{start} returned 0 objects, expected 1")
        hook.spoil = lambda answer: {**answer, "kind": "Other"}
        failed = await api.get(LATER)
        assert failed.message == (
            f"{start} failed: expected webhook response of apiextensions.k8s.io/v1, "
            "Kind=ConversionReview, got apiextensions.k8s.io/v1, Kind=Other"
        )
        hook.spoil = lambda answer: answer
        assert (await api.get(f"{LATER}/one")).code == 200

    hooked(tmp_path, case)


def test_a_webhook_that_is_not_there_fails_the_request_alone() -> None:
    async def main() -> None:
        async with serving(RealWorld()) as api:  # type: ignore[arg-type]
            service = {"name": "hook", "namespace": "default", "path": "/c"}
            await establish(api, converted({"service": service}))
            (await api.post(WIDGETS, widget("one"))).ok()
            failed = await api.get(f"{LATER}/one")
            assert failed.code == 500 and failed.message.endswith('service "hook" not found')
            assert (await api.get(f"{WIDGETS}/one")).code == 200

    uvloop.run(main())


OLD: Document = {
    "apiVersion": "e/v1",
    "kind": "W",
    "metadata": {"name": "n", "uid": "u", "labels": {"a": "b"}, "finalizers": ["x/y"]},
}


def new(**change: Any) -> Document:
    return {**OLD, "apiVersion": "e/v2", **change}


def test_only_labels_and_annotations_may_differ_afterwards() -> None:
    metadata = {"name": "n", "uid": "u", "annotations": {"c": "d"}, "generation": 9}
    assert settled(OLD, new(metadata=metadata), "e/v2")["metadata"] == {
        "name": "n",
        "uid": "u",
        "finalizers": ["x/y"],
        "annotations": {"c": "d"},
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"apiVersion": "e/v3"}, "invalid groupVersion (expected e/v2, received e/v3)"),
        ({"kind": "X"}, "invalid kind (expected W, received X)"),
        ({"metadata": {"name": "m", "uid": "u"}}, "must have the same name: n != m"),
        ({"metadata": {"name": "n"}}, "must have the same UID: u != "),
        ({"metadata": []}, "invalid metadata of type []interface {} in converted object"),
        (
            {"metadata": {"name": "n", "uid": "u", "labels": {"a": 1}}},
            "metadata.labels[a] must be a string, but is int64 in converted object",
        ),
    ],
)
def test_an_object_that_became_another_is_refused(change: Document, told: str) -> None:
    with pytest.raises(Unconverted) as caught:
        settled(OLD, new(**change), "e/v2")
    assert str(caught.value) == told


def test_an_answer_must_be_to_the_question() -> None:
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview"}
    for answer, told in (
        ([], "expected webhook response of"),
        (head, "no response provided"),
        ({**head, "response": {"uid": "x"}}, 'expected response.uid="u", got "x"'),
        ({**head, "response": {"uid": "u"}}, "response.result.status was '', not 'Success'"),
        (
            {**head, "response": {"uid": "u", "result": {"status": "Failure", "message": "no"}}},
            "no",
        ),
    ):
        with pytest.raises(Unconverted, match=told.replace("(", r"\(")):
            read_answer(answer, "v1", "u")


def test_certificates_that_cannot_be_read_are_noticed() -> None:
    assert is_good_bundle(definition())
    bad = base64.b64encode(b"no certificate").decode()
    assert not is_good_bundle(converted({"url": "https://h", "caBundle": bad}))


def test_an_answer_of_the_old_version_need_not_say_what_it_is() -> None:
    response = {"result": {"status": "Success"}, "convertedObjects": [1]}
    assert read_answer({"response": response}, "v1beta1", "u") == [1]
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview"}
    assert read_answer({**head, "response": {**response, "uid": "u"}}, "v1", "u") == [1]
    for result in (None, "Success", {"status": "Success", "message": "m"}):
        given = {"response": {**response, "result": result}}
        if isinstance(result, dict):
            assert read_answer(given, "v1beta1", "u") == [1]
            continue
        with pytest.raises(Unconverted, match="'', not 'Success'"):
            read_answer(given, "v1beta1", "u")


@pytest.mark.parametrize(
    ("converted", "told"),
    [
        ([], "Object 'Kind' is missing"),
        ({"apiVersion": "e/v2", "kind": "W"}, "missing metadata in converted object"),
        (
            new(metadata={"name": "n", "uid": "u", "namespace": "s"}),
            "must have the same namespace:  != s",
        ),
        (
            new(metadata={"name": "n", "uid": "u", "annotations": []}),
            "invalid metadata.annotations of type []interface {} in converted object",
        ),
    ],
)
def test_what_is_no_object_of_the_same_name_is_refused(converted: Any, told: str) -> None:
    with pytest.raises(Unconverted) as caught:
        settled(OLD, converted, "e/v2")
    assert str(caught.value) == told


def test_labels_of_a_converted_object_are_good_labels() -> None:
    bad = new(metadata={"name": "n", "uid": "u", "labels": {"a b": "x", "c": "d e"}})
    with pytest.raises(Unconverted) as caught:
        settled(OLD, bad, "e/v2")
    assert str(caught.value).startswith("[metadata.labels: Invalid value: ")
