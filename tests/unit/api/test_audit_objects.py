"""The documents of requests and answers, as the audit log shows them."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.api.access.authorization import Attributes
from steersman.api.audit.objects import answered, sent, told
from steersman.api.audit.record import without_owners
from steersman.model.builtin import Registry
from steersman.wire.message import Request, Response

KINDS = Registry()
PODS = Attributes("create", "", "v1", "pods", namespace="default")
MAPS = Attributes("create", "", "v1", "configmaps", namespace="default")
PATH = Attributes("post", path="/livez", is_resource=False)
HEAD = {"kind": "ConfigMap", "apiVersion": "v1"}


def shown(asked: Attributes, body: bytes, media: str = "application/json") -> Any:
    return sent(KINDS, Request("POST", "/x", headers={"content-type": media}, body=body), asked)


def test_an_object_is_shown_under_its_kind() -> None:
    assert shown(MAPS, b'{"data": {"a": "b"}}') == {**HEAD, "data": {"a": "b"}}
    assert shown(MAPS, b"data: {a: b}", "application/yaml") == {**HEAD, "data": {"a": "b"}}


@pytest.mark.parametrize(
    "asked",
    [
        PATH,
        PODS._replace(subresource="proxy"),
        PODS._replace(resource="things"),
        PODS._replace(version="v9"),
        PODS._replace(group="example.com"),
    ],
)
def test_what_is_not_for_this_server_is_not_shown(asked: Attributes) -> None:
    assert shown(asked, b"{}") is None
    assert answered(KINDS, Response(b'{"kind": "X"}'), asked) is None or asked is PATH


def test_a_body_that_cannot_be_read_shows_nothing() -> None:
    for body in (b"", b"{", b"[]", b'{"kind": "Pod", "apiVersion": "v1"}'):
        assert shown(MAPS, body) is None
    assert shown(MAPS, b"{}", "text/plain") is None


def test_a_patch_is_shown_as_it_was_sent() -> None:
    patch = MAPS._replace(verb="patch", name="a")
    assert shown(patch, b'[{"op": "remove"}]', "application/json-patch+json") == [{"op": "remove"}]
    assert shown(patch, b"data: {a: b}", "application/apply-patch+yaml") == {"data": {"a": "b"}}


def test_what_is_no_object_of_the_resource_is_shown_as_what_it_is() -> None:
    for verb in "delete", "deletecollection":
        options = shown(MAPS._replace(verb=verb), b'{"gracePeriodSeconds": 5}')
        assert options["gracePeriodSeconds"] == 5
    bound = shown(PODS._replace(subresource="binding"), b'{"target": {"name": "n1"}}')
    assert bound["target"] == {"name": "n1"}


def test_the_owners_of_fields_are_left_out_of_objects_lists_and_tables() -> None:
    owned = {"metadata": {"name": "a", "managedFields": []}, "rows": [1]}
    bare = {"metadata": {"name": "a"}, "rows": [1]}
    assert without_owners(owned) == bare
    assert without_owners({"metadata": {}, "items": [owned]}) == {"metadata": {}, "items": [bare]}
    table = {"kind": "Table", "rows": [{"cells": [1], "object": owned}]}
    assert without_owners(table) == {"kind": "Table", "rows": [{"cells": [1], "object": bare}]}
    other = {"kind": "Other", "rows": [{"object": owned}]}
    assert without_owners(other) == other
    assert without_owners("text") == "text"


@pytest.mark.parametrize(
    ("response", "document"),
    [
        (Response(b'{"kind": "ConfigMap"}'), {"kind": "ConfigMap"}),
        (Response([b'{"kind":', b'"List"}']), {"kind": "List"}),
        (Response(b"kind: ConfigMap", content_type="application/yaml"), {"kind": "ConfigMap"}),
        (Response(b"{}"), None),
        (Response(b'["kind"]'), None),
        (Response(b"{"), None),
        (Response(b'{"kind": "X"}', content_type="text/plain"), None),
        (Response(lambda _sink: lambda: None), None),
    ],
)
def test_an_answer_is_shown_where_it_is_an_object(response: Response, document: Any) -> None:
    assert answered(KINDS, response, MAPS) == document
    assert answered(KINDS, response, MAPS._replace(subresource="proxy")) is None


def test_an_answer_is_a_status_where_it_says_so_at_its_start() -> None:
    status = {"kind": "Status", "code": 404}
    assert told(Response(b'{"kind":"Status","code":404}')) == status
    assert told(Response(b"kind: Status\ncode: 404", content_type="application/yaml")) == status
    assert told(Response(b'{"kind":"ConfigMap","data":{"kind":"Status"}}')) is None
    assert told(Response(b'["Status"]')) is None
    assert told(Response([b'{"kind":"Status"}'])) is None
