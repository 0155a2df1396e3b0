"""What is said of all paths: their list at the root, and of those that nobody answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from customs import WIDGETS, definition, establish
from served import MERGE, Served, served
from steersman.api.paths import Checks
from steersman.model.errors import UnknownPath
from steersman.wire import prometheus
from steersman.wire.message import Request
from steersman.wire.status import NO_PAGE, from_body, to_response

WIDGET = f"{WIDGETS}/one"
UNKNOWN = "the server could not find the requested resource"


@served
async def test_the_root_lists_all_paths(api: Served) -> None:
    await establish(api, definition())
    answer = await api.get("/")
    paths = answer.ok()["paths"]
    assert paths == sorted(set(paths))
    assert orjson.dumps(answer.document, option=orjson.OPT_INDENT_2).startswith(b'{\n  "paths"')
    core = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/"]
    assert paths[:5] == core
    for path in (
        "/apis/apps",
        "/apis/apps/v1",
        "/apis/example.com",
        "/apis/example.com/v1",
        "/healthz",
        "/livez/ping",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/readyz/ping",
        "/version",
    ):
        assert path in paths
        assert (await api.get(path)).code == 200
    assert not [path for path in paths if path.startswith("/debug") or path == "/"]
    assert (await api.get("/index.html")).document == answer.document


@served
async def test_an_unknown_path_is_told_by_who_would_have_had_it(api: Served) -> None:
    """Go's mux in a line of text, the services of upstream's router in a Status."""
    await establish(api, definition())
    for path in (
        "/foo",
        "/apis/none",
        "/apis/none/v1/foos",
        "/apis/example.com/v2",
        "/apis/example.com/v1/foos",
        "/apis/example.com/v1/widgets/one",
        "/apis/example.com/v2/namespaces/default/widgets",
        "/healthz/none",
        "/healthz/ping/more",
        "/healthzz",
        "/logs",
    ):
        answer = await api.get(path)
        assert (answer.code, answer.document) == (404, NO_PAGE), path
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/api/v2", "/api/v1/foos", "/version/foo", "/apis/apps/v9", "/apis/apps/v1/foos"):
        answer = await api.get(path)
        assert (answer.code, answer.document["reason"]) == (404, "NotFound"), path
        assert answer.message == UNKNOWN
        assert answer.document["details"] == {}


@served
async def test_a_custom_resource_has_no_other_subresources(api: Served) -> None:
    await establish(api, definition())
    answer = await api.get(f"{WIDGET}/nothing")
    assert (answer.code, answer.message) == (404, 'widgets.example.com "one" not found')
    created = await api.post("/apis/example.com/v1/widgets", {})
    assert (created.code, created.document) == (404, NO_PAGE)


@pytest.mark.parametrize("is_routed", [True, False])
def test_an_unknown_path_comes_back_as_the_same_error(is_routed: bool) -> None:
    sent = to_response(UnknownPath(is_routed=is_routed))
    assert isinstance(sent.body, bytes)
    found = from_body(sent.status, sent.body)
    assert (found.reason, found.message) == ("NotFound", UNKNOWN)


def test_the_outcomes_of_health_checks_are_counted() -> None:
    """Those that are asked together; not one that is asked alone, nor one left out."""
    wrong = [""]
    checks = Checks({"ping": lambda: "", "store": lambda: wrong[0]})

    def ask(path: str) -> None:
        path, _, query = path.partition("?")
        checks.answer(Request("GET", path, query))

    ask("/readyz")
    wrong[0] = "it is slow"
    for path in ("/readyz", "/livez?exclude=store", "/readyz/store", "/healthzz", "/healthz/a/b"):
        ask(path)
    text = prometheus.render(checks.families()).decode().splitlines()
    assert [line for line in text if line[0] != "#"] == [
        'kubernetes_healthcheck{name="ping",type="livez"} 1',
        'kubernetes_healthcheck{name="ping",type="readyz"} 1',
        'kubernetes_healthcheck{name="store",type="readyz"} 0',
        'kubernetes_healthchecks_total{name="ping",status="success",type="livez"} 1',
        'kubernetes_healthchecks_total{name="ping",status="success",type="readyz"} 2',
        'kubernetes_healthchecks_total{name="store",status="error",type="readyz"} 1',
        'kubernetes_healthchecks_total{name="store",status="success",type="readyz"} 1',
    ]


def asked(at: str, resource: Mapping[str, Any], verb: str) -> tuple[str, str, dict[str, Any]]:
    """Returns a request that a verb of discovery stands for, about an object that there is not."""
    plural, _, below = resource["name"].partition("/")
    many = f"{at}/namespaces/default/{plural}" if resource["namespaced"] else f"{at}/{plural}"
    one = f"{many}/none/{below}" if below else f"{many}/none"
    return {
        "get": ("GET", one, {}),
        "list": ("GET", many, {"limit": "1"}),
        "watch": ("GET", many, {"watch": "1", "resourceVersion": "none"}),
        "create": ("POST", one if below else many, {"body": {"spec": {}}}),
        "update": ("PUT", one, {"body": {}}),
        "patch": ("PATCH", one, {"body": {}, "content": MERGE}),
        "delete": ("DELETE", one, {}),
        "deletecollection": ("DELETE", many, {"labelSelector": "none=none"}),
    }[verb]


@served
async def test_whatever_discovery_names_is_answered(api: Served) -> None:
    """By somebody who knows the resource and the verb, whatever they then say."""
    groups = (await api.get("/apis")).ok()["groups"]
    places = [f"/apis/{told['groupVersion']}" for group in groups for told in group["versions"]]
    unanswered, number = [], 0
    for at in ("/api/v1", *places):
        for resource in (await api.get(at)).ok()["resources"]:
            for verb in resource["verbs"]:
                method, path, more = asked(at, resource, verb)
                answer = await api.ask(method, path, **more)
                number += 1
                odd = isinstance(answer.document, dict) and answer.document.get("message")
                if answer.code == 405 or odd == UNKNOWN or answer.document == NO_PAGE:
                    unanswered.append((path, verb, answer.code))
    assert not unanswered
    assert number > 900
