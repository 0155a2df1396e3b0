"""Bodies that are broken, odd or of another kind; unknown fields; protobuf."""

from __future__ import annotations

import copy
import random
from typing import Any

import orjson
import pytest

from served import (
    APPLY,
    DEPLOYMENTS,
    JSON_PATCH,
    MAPS,
    MERGE,
    NAMESPACES,
    PODS,
    STRATEGIC,
    Served,
    config_map,
    deployment,
    pod,
    served,
    service,
)
from steersman.api import body

UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): "
NO_KIND = "couldn't get version/kind; json parse error: "


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b"{", "unexpected end of JSON input ({)"),
        (b"xyz", "invalid character 'x' looking for beginning of value (78797a)"),
        (
            b'{"metadata": {"name": "a",}, "data": {}}',
            "invalid character '}' looking for beginning of object key string "
            '({"metadata": {"name": "a",}, " ...)',
        ),
        (
            b'{"kind": 1}',
            'json: cannot unmarshal number into Go struct field .kind of type string ({"kind": 1})',
        ),
    ],
)
@served
async def test_what_is_no_json_is_said_to_be_none(api: Served, body: bytes, why: str) -> None:
    for answer in (await api.post(MAPS, body), await api.put(f"{MAPS}/a", body)):
        assert (answer.code, answer.document["reason"]) == (400, "BadRequest")
        assert answer.message == UNRECOGNIZED + NO_KIND + why


@served
async def test_what_is_no_object_is_refused(api: Served) -> None:
    for text, name in ((b"[]", "array"), (b'"a"', "string"), (b"1", "number"), (b"true", "bool")):
        answer = await api.post(MAPS, text)
        assert answer.code == 400
        assert f"json: cannot unmarshal {name} into Go value of type struct" in answer.message


@served
async def test_an_object_of_another_kind_is_refused(api: Served) -> None:
    answer = await api.post(MAPS, service("a"))
    assert (answer.code, answer.message) == (
        400,
        'Service in version "v1" cannot be handled as a ConfigMap: converting (v1.Service) to '
        "(core.ConfigMap): unknown conversion",
    )
    answer = await api.post(MAPS, deployment("a"))
    assert answer.message == (
        "the API version in the data (apps/v1) does not match the expected API version (v1)"
    )
    answer = await api.post(MAPS, {"apiVersion": "v1", "kind": "Chair"})
    assert answer.message == (
        'Chair in version "v1" cannot be handled as a ConfigMap: no kind "Chair" is registered for '
        'version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30"'
    )
    answer = await api.post(MAPS, {**config_map("a"), "apiVersion": "v2"})
    assert 'no kind "ConfigMap" is registered for version "v2"' in answer.message


@served
async def test_a_field_of_the_wrong_type_is_named(api: Served) -> None:
    answer = await api.post(MAPS, {"metadata": {"name": "a"}, "data": {"k": 1}})
    assert (answer.code, answer.message) == (
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number '
        "into Go struct field ConfigMap.data of type string",
    )
    for metadata in ("text", [], 1):
        assert (await api.post(MAPS, {"metadata": metadata})).code == 400
        assert (await api.put(f"{MAPS}/a", {"metadata": metadata})).code == 400


@served
async def test_a_content_type_nobody_reads_is_refused(api: Served) -> None:
    answer = await api.post(MAPS, b"<a/>", content="text/xml")
    assert (answer.code, answer.document["reason"]) == (415, "UnsupportedMediaType")
    assert answer.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )
    (await api.post(MAPS, config_map("a"))).ok()
    answer = await api.patch(f"{MAPS}/a", {}, "application/json")
    assert (answer.code, answer.message) == (
        415,
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, "
        "application/strategic-merge-patch+json, application/apply-patch+yaml",
    )
    (await api.patch(f"{MAPS}/a", {}, f"{MERGE}; charset=utf-8")).ok()


@served
async def test_unknown_fields_are_warned_of_refused_or_passed_over(api: Served) -> None:
    given = pod("a")
    given["spec"]["colour"] = "red"
    given["spec"]["containers"][0]["size"] = 1
    answer = await api.post(PODS, given, fieldValidation="Strict")
    assert (answer.code, answer.message) == (
        400,
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field '
        '"spec.containers[0].size", unknown field "spec.colour"',
    )
    answer = await api.post(PODS, given, dryRun="All")
    assert answer.headers["Warning"] == (
        '299 - "unknown field \\"spec.containers[0].size\\"", '
        '299 - "unknown field \\"spec.colour\\""'
    )
    assert "colour" not in answer.ok()["spec"]
    answer = await api.post(PODS, given, fieldValidation="Ignore")
    assert "Warning" not in answer.headers
    patch = {"spec": {"colour": "red"}}
    assert (await api.patch(f"{PODS}/a", patch, fieldValidation="Strict")).code == 400
    assert "Warning" in (await api.patch(f"{PODS}/a", patch)).headers


@served
async def test_broken_patches_are_refused(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    for how in (MERGE, STRATEGIC, JSON_PATCH):
        answer = await api.patch(f"{MAPS}/a", b"{", how)
        assert (answer.code, answer.message) == (
            400,
            "error decoding patch: unexpected end of JSON input",
        )
    for how in (MERGE, STRATEGIC):
        for sent, sort in (("[]", "array"), ('"a"', "string"), ("1", "number"), ("true", "bool")):
            answer = await api.patch(f"{MAPS}/a", sent.encode(), how)
            assert (answer.code, answer.message) == (
                400,
                f"error decoding patch: json: cannot unmarshal {sort} into Go value of type "
                "map[string]interface {}",
            )
    answer = await api.patch(f"{MAPS}/a", b"a: [", APPLY, fieldManager="x")
    assert answer.code == 400
    assert answer.message.startswith("error decoding YAML")


ODD = (None, [], {}, "x", -1, 1.5, True, [None], {"": None}, "\U0001f600")


def twisted(value: Any, chance: random.Random) -> Any:
    """Returns a document with one value somewhere replaced by another of the wrong type."""
    document = copy.deepcopy(value)
    at = document
    while True:
        key = chance.choice(list(at) if isinstance(at, dict) else range(len(at)))
        inner = at[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            at = inner
            continue
        at[key] = chance.choice(ODD)
        return document


@pytest.mark.parametrize("seed", range(4))
@served
async def test_no_body_brings_the_server_down(api: Served, seed: int) -> None:
    chance = random.Random(seed)
    (await api.post(DEPLOYMENTS, deployment("d"))).ok()
    (await api.post(PODS, pod("p"))).ok()
    (await api.post(NAMESPACES, {"metadata": {"name": "n"}})).ok()
    account = "/api/v1/namespaces/default/serviceaccounts/default/token"
    scale = {"metadata": {"name": "d"}, "spec": {"replicas": 1}}
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "dryRun": ["All"]}
    ending = {"metadata": {"name": "n"}, "spec": {"finalizers": []}}
    targets: list[tuple[str, str, Any]] = [
        ("POST", DEPLOYMENTS, deployment("e")),
        ("PUT", f"{DEPLOYMENTS}/d", deployment("d")),
        ("POST", PODS, pod("q")),
        ("POST", "/api/v1/namespaces/default/services", service("s", type="NodePort")),
        ("PUT", f"{DEPLOYMENTS}/d/scale", scale),
        ("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"name": "n"}}),
        ("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}, "deleteOptions": options}),
        ("POST", account, {"spec": {"audiences": ["a"], "expirationSeconds": 700}}),
        ("PUT", f"{NAMESPACES}/n/finalize", ending),
        ("DELETE", f"{DEPLOYMENTS}/d", {**options, "propagationPolicy": "Orphan"}),
    ]
    for _ in range(150):
        method, path, body = chance.choice(targets)
        await api.ask(method, path, twisted(body, chance), dryRun="All")
        how = chance.choice([MERGE, STRATEGIC, APPLY])
        patch = twisted(deployment("d"), chance)
        await api.patch(f"{DEPLOYMENTS}/d", patch, how, dryRun="All", fieldManager="x")
        operations = [{"op": "replace", "path": "/spec/replicas", "value": 2}]
        await api.patch(f"{DEPLOYMENTS}/d", twisted(operations, chance), JSON_PATCH, dryRun="All")
    (await api.get(DEPLOYMENTS)).ok()
    assert orjson.dumps((await api.get(f"{DEPLOYMENTS}/d")).document)


def told(*texts: str) -> list[str]:
    """Returns the texts of the warnings that an answer carries."""
    headers = body.warnings(texts)
    return [] if headers is None else headers["Warning"].split(", ")


def test_a_warning_is_told_once_and_in_one_line() -> None:
    assert told("a", 'b "\\', "a") == ['299 - "a"', '299 - "b \\"\\\\"']
    assert told("", "a\r\nEvil: 1", "b\x85", "\ud800") == []


def test_warnings_that_are_too_long_together_are_cut() -> None:
    whole = [letter * 1024 for letter in "abcd"]
    assert told(*whole) == [f'299 - "{text}"' for text in whole]
    assert told(*whole, "e") == [f'299 - "{text[:256]}"' for text in (*whole, "e")]
    many = [f"{number:03}" + "x" * 300 for number in range(100)]
    assert told(*many) == [f'299 - "{text[:256]}"' for text in many[:16]]
