"""`/statusz` and `/flagz`: text for people, documents for who names them."""

from __future__ import annotations

import orjson
import pytest
import yaml

from served import Served, served
from steersman.api.published.zpages import Pages
from steersman.model.errors import MethodNotAllowed, NotAcceptable
from steersman.wire.message import Request, Response, User

WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility "
    "guarantees and is for debugging purposes only.\n"
)
JANE = User("jane")


def ask(path: str, accept: str = "", method: str = "GET") -> Response:
    pages = Pages(
        36,
        1_700_000_000.0,
        lambda: 1_700_003_723.9,
        {"port": "6443", "data-dir": "/a"},
        ("/healthz/ping", "/healthz", "/metrics", "/openapi/v2", "/api"),
    )
    headers = {"accept": accept} if accept else {}
    found: Response = pages.answers()[path](Request(method, path, headers=headers), JANE)
    return found


@pytest.mark.parametrize("accept", ["", "text/plain", "*/*", "application/json;as=Other,*/*"])
def test_people_are_told_in_lines(accept: str) -> None:
    answer = ask("/statusz", accept)
    assert answer.content_type == "text/plain; charset=utf-8"
    assert isinstance(answer.body, bytes)
    text = answer.body.decode()
    assert text.startswith(f"\nkube-apiserver statusz\n{WARNING}\n")
    lines = text.splitlines()
    assert lines[4:6] == ["Started: Tue Nov 14 22:13:20 UTC 2023", "Up: 1 hr 02 min 03 sec"]
    assert lines[7:] == [
        "Binary version: 1.37.0",
        "Emulation version: 1.36",
        "Paths: /flagz /healthz /metrics /statusz",
    ]
    flags = ask("/flagz", accept).body
    assert flags == f"\nkube-apiserver flagz\n{WARNING}data-dir=/a\nport=6443\n".encode()


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha1"])
def test_documents_are_told_to_who_names_them(version: str) -> None:
    asked = f"application/json;v={version};g=config.k8s.io;as="
    body = ask("/statusz", f"{asked}Statusz").body
    assert isinstance(body, bytes)
    found = orjson.loads(body)
    assert found.pop("goVersion").startswith("python3.")
    head = {"apiVersion": f"config.k8s.io/{version}", "metadata": {"name": "kube-apiserver"}}
    assert found == {
        **head,
        "kind": "Statusz",
        "startTime": "2023-11-14T22:13:20Z",
        "uptimeSeconds": 3723,
        "binaryVersion": "1.37.0",
        "emulationVersion": "1.36",
        "paths": ["/flagz", "/healthz", "/metrics", "/statusz"],
    }
    answer = ask("/flagz", f"{asked.replace('json', 'yaml')}Flagz")
    assert answer.content_type == "application/yaml"
    assert isinstance(answer.body, bytes)
    flags = {"data-dir": "/a", "port": "6443"}
    assert yaml.safe_load(answer.body) == {**head, "kind": "Flagz", "flags": flags}


@pytest.mark.parametrize(
    "accept",
    ["application/json", "application/xml", "application/json;v=v1beta1;g=config.k8s.io;as=Flagz"],
)
def test_other_forms_are_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        ask("/statusz", accept)


def test_nothing_else_can_be_done_with_them() -> None:
    with pytest.raises(MethodNotAllowed):
        ask("/flagz", method="POST")


@served
async def test_who_reads_metrics_may_read_them_and_nobody_else(api: Served) -> None:
    monitor = User("m", ("system:monitoring", "system:authenticated"))
    for path in ("/statusz", "/flagz"):
        assert (await api.get(path, user=monitor)).code == 200
        assert (await api.get(path, user=User("x", ("system:authenticated",)))).code == 403
        assert path in (await api.get("/")).document["paths"]
