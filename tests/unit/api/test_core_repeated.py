"""Fields that a body gives twice: refused, told or ignored, in the order of the text."""

from __future__ import annotations

from typing import Any

import pytest

from customs import definition, establish, version
from served import APPLY, JSON_PATCH, MERGE, STRATEGIC, Answer, Served, served

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"

# Of upstream's own test of field validation (test/integration/apiserver/field_validation_test.go)
DEPLOYMENT = b"""{
  "apiVersion": "apps/v1",
  "kind": "Deployment",
  "metadata": {"name": "dupes", "labels": {"app": "nginx"}},
  "spec": {
    "unknown1": "val1",
    "unknownDupe": "valDupe",
    "unknownDupe": "valDupe2",
    "paused": true,
    "paused": false,
    "selector": {"matchLabels": {"app": "nginx"}},
    "template": {
      "metadata": {"labels": {"app": "nginx"}},
      "spec": {"containers": [{
        "name": "nginx",
        "image": "nginx:latest",
        "unknownNested": "val1",
        "imagePullPolicy": "Always",
        "imagePullPolicy": "Never"
      }]}
    }
  }
}"""
SAID = [
    'unknown field "spec.unknown1"',
    'unknown field "spec.unknownDupe"',
    'duplicate field "spec.paused"',
    'unknown field "spec.template.spec.containers[0].unknownNested"',
    'duplicate field "spec.template.spec.containers[0].imagePullPolicy"',
]


def said(answer: Answer) -> list[str]:
    """Returns the warnings of an answer."""
    header = answer.headers.get("Warning", "")
    texts = [text.removeprefix('299 - "').removesuffix('"') for text in header.split(", 299 - ")]
    plain = [text.replace('\\"', '"').removeprefix('"') for text in texts]
    return plain if header else []


@served
async def test_a_strict_server_refuses_unknown_and_repeated_fields_in_their_order(
    api: Served,
) -> None:
    answer = await api.post(DEPLOYMENTS, DEPLOYMENT, fieldValidation="Strict")
    assert (answer.code, answer.message) == (
        400,
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        + ", ".join(SAID),
    )
    assert (await api.get(f"{DEPLOYMENTS}/dupes")).code == 404


@pytest.mark.parametrize(("how", "expected"), [("Warn", SAID), ("", SAID), ("Ignore", [])])
@served
async def test_others_tell_them_or_do_not_and_take_the_last(
    api: Served, how: str, expected: list[str]
) -> None:
    answer = await api.post(DEPLOYMENTS, DEPLOYMENT, fieldValidation=how)
    spec = answer.ok()["spec"]
    assert not spec.get("paused")
    assert spec["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Never"
    assert said(answer) == expected


@served
async def test_what_stands_in_a_field_that_was_given_before_is_not_repeated(api: Served) -> None:
    body = b"""{"metadata": {"name": "a", "labels": {"x": "1"}, "labels": {"x": "2", "y": "3"}},
                "data": {"k" : "1", "k" : "\\u0022", "other": "\\"x\\": 1"}}"""
    answer = await api.post(MAPS, body)
    assert answer.ok()["data"] == {"k": '"', "other": '"x": 1'}
    assert said(answer) == ['duplicate field "metadata.labels"', 'duplicate field "data.k"']


@pytest.mark.parametrize(
    "data",
    [b'{"k": "a\\u0022b"}', b'{"k\\u0022": "1", "l": "\\":\\""}', b'{"k":"\\ud800"}', b'{"":""}'],
)
@served
async def test_quotation_marks_in_texts_repeat_nothing(api: Served, data: bytes) -> None:
    answer = await api.post(MAPS, b'{"metadata":{"generateName":"a"},"data":%b}' % data)
    assert said(answer) == []


@served
async def test_a_known_template_hides_no_repeated_field(api: Served) -> None:
    def body(name: bytes, labels: bytes = b"", spec: bytes = b"") -> bytes:
        container = b'{"name":"c","image":"i"}'
        return b"".join(
            [
                b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%b"%b},' % (name, labels),
                b'"spec":{"containers":[%b]%b}}' % (container, spec),
            ]
        )

    for name in (b"a", b"b"):
        answer = await api.post(PODS, body(name))
        assert (answer.code, said(answer)) == (201, [])
    twice = body(b"c", b',"labels":{"x":"1","x":"2"}')
    assert said(await api.post(PODS, twice)) == ['duplicate field "metadata.labels.x"']
    for name in (b"d", b"e"):
        twice = body(name, b"", b',"hostNetwork":false,"hostNetwork":false')
        assert said(await api.post(PODS, twice)) == ['duplicate field "spec.hostNetwork"'], name
    refused = await api.post(PODS, body(b"f", b',"name":"g"'), fieldValidation="Strict")
    assert refused.message.endswith('strict decoding error: duplicate field "metadata.name"')


@served
async def test_of_a_custom_resource_all_that_is_repeated_is_told_first(api: Served) -> None:
    schema: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    known = version(schema={"openAPIV3Schema": {**schema, "properties": {"spec": schema}}})
    await establish(api, definition(known))
    body = b"""{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
                "spec": {"size": 1, "size": 2, "free": {"a": 1, "a": 2}}}"""
    refused = await api.post(WIDGETS, body, fieldValidation="Strict")
    assert refused.code == 400
    assert refused.message.endswith(
        'strict decoding error: duplicate field "spec.size", duplicate field "spec.free.a"'
    )


@pytest.mark.parametrize("how", [MERGE, STRATEGIC])
@served
async def test_a_patch_is_read_as_strictly(api: Served, how: str) -> None:
    (await api.post(MAPS, {"metadata": {"name": "a"}})).ok()
    body = b'{"data": {"k": "1", "k": "2"}, "nothing": 1}'
    refused = await api.patch(f"{MAPS}/a", body, how, fieldValidation="Strict")
    assert refused.code == 400
    assert refused.message.endswith(
        'strict decoding error: duplicate field "data.k", unknown field "nothing"'
    )
    answer = await api.patch(f"{MAPS}/a", body, how)
    assert answer.ok()["data"] == {"k": "2"}
    assert said(answer) == ['duplicate field "data.k"', 'unknown field "nothing"']


@served
async def test_a_json_patch_says_that_it_is_one(api: Served) -> None:
    (await api.post(MAPS, {"metadata": {"name": "a"}})).ok()
    body = b'[{"op": "add", "path": "/data", "value": {}, "value": {"k": "1"}}]'
    answer = await api.patch(f"{MAPS}/a", body, JSON_PATCH)
    assert answer.ok()["data"] == {"k": "1"}
    assert said(answer) == ['json patch duplicate field "[0].value"']


YAML = b"""apiVersion: v1
kind: ConfigMap
metadata:
  name: a
data:
  k: "1"
  k: "2"
nothing: x
"""
LINE = 'line 7: key "k" already set in map'


@served
async def test_yaml_tells_lines(api: Served) -> None:
    content = "application/yaml"
    refused = await api.post(MAPS, YAML, content=content, fieldValidation="Strict")
    assert refused.message.endswith(
        f'strict decoding error: yaml: unmarshal errors:\n  {LINE}, unknown field "nothing"'
    )
    answer = await api.post(MAPS, YAML, content=content)
    assert answer.ok()["data"] == {"k": "2"}
    assert said(answer) == [LINE, 'unknown field "nothing"']


@pytest.mark.parametrize("body", [YAML.replace(b"nothing: x\n", b"")])
@served
async def test_an_apply_tells_lines_too(api: Served, body: bytes) -> None:
    path = f"{MAPS}/a"
    refused = await api.patch(path, body, APPLY, fieldManager="m", fieldValidation="Strict")
    assert (refused.code, refused.message) == (
        400,
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
        f"  {LINE}",
    )
    answer = await api.patch(path, body, APPLY, fieldManager="m")
    assert answer.ok()["data"] == {"k": "2"}
    assert said(answer) == [LINE]
    as_json = b'{"apiVersion":"v1","kind":"ConfigMap",\n"data":{"k":"1","k":"3"}}'
    answer = await api.patch(path, as_json, APPLY, fieldManager="m")
    assert answer.ok()["data"] == {"k": "3"}
    assert said(answer) == ['line 2: key "k" already set in map']
