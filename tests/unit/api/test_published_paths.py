"""Which published document stands at which path."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import orjson
import pytest
from test_access_tokens import Cluster
from test_published_discovery import KINDS

from served import serving
from steersman.api.paths import Checks, Paths
from steersman.api.published.paths import document_paths
from steersman.model.errors import MethodNotAllowed
from steersman.wire.message import Request, User
from steersman.world.simulated import SimulatedWorld, simulate


class Kinds:
    def on_change(self, hear: Any) -> None:
        """Never changes."""

    def all(self) -> Any:
        return KINDS[2:4]


def answer(path: str, verifiers: str = "", method: str = "GET") -> Any:
    tokens = Cluster().tokens
    answers = document_paths(Kinds(), tokens, "10.0.0.1:6443", verifiers=verifiers)
    paths = Paths(Checks({}), answers)
    found = paths.handle(Request(method, path), User("jane"))
    return asyncio.run(found) if inspect.iscoroutine(found) else found


def kind_at(path: str) -> Any:
    return orjson.loads(answer(path).body).get("kind")


def test_discovery_and_documents_stand_where_clients_look() -> None:
    assert kind_at("/api") == "APIVersions"
    assert kind_at("/api/") == "APIVersions"
    assert kind_at("/api/v1") == "APIResourceList"
    assert kind_at("/apis") == "APIGroupList"
    assert orjson.loads(answer("/version").body)["major"] == "1"
    assert list(orjson.loads(answer("/openapi/v3").body)["paths"]) == ["api/v1"]
    assert orjson.loads(answer("/openapi/v2").body)["swagger"] == "2.0"
    assert orjson.loads(answer("/openapi/v3/api/v1").body)["openapi"] == "3.0.0"
    for path in ("/apis/none", "/openapi/v3/none", "/other"):
        assert answer(path) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_what_is_only_read_is_not_written(method: str) -> None:
    """As upstream's router says it; its plain handlers look at no method."""
    routes = ("/version", "/api", "/api/v1", "/openid/v1/jwks", "/.well-known/openid-configuration")
    for path in routes:
        with pytest.raises(MethodNotAllowed) as refused:
            answer(path, method=method)
        assert str(refused.value) == (
            "the server does not allow this method on the requested resource"
        )
    for path in ("/apis", "/openapi/v2", "/openapi/v3"):
        assert answer(path, method=method).body == answer(path).body
    for path in ("/apis/none", "/apis/none/v1", "/api/v2"):
        assert answer(path, method=method) is None


def checked(path: str) -> tuple[int, str]:
    """Returns what health checks of which one fails answer."""
    checks = Checks({"ping": lambda: "", "store": lambda: "it is slow"})
    path, _, query = path.partition("?")
    found = checks.answer(Request("GET", path, query))
    assert found is not None
    return found.status, found.body.decode()


def test_health_checks_are_told_as_upstream_tells_them() -> None:
    failed = "[+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n"
    assert checked("/readyz") == (500, failed)
    assert checked("/readyz/ping") == (200, "ok")
    assert checked("/readyz/store") == (500, "internal server error: it is slow\n")
    assert checked("/livez?exclude=store") == (200, "ok")
    assert checked("/livez?exclude=store&exclude=b&exclude=a&verbose") == (
        200,
        "[+]ping ok\n[+]store excluded: ok\n"
        'warn: some health checks cannot be excluded: no matches for "a","b"\n'
        "livez check passed\n",
    )


def test_checks_that_take_their_time_are_asked_where_they_are_wanted() -> None:
    asked: list[str] = []

    async def slow() -> str:
        asked.append("slow")
        return "it sleeps"

    def told(path: str) -> tuple[int, str]:
        path, _, query = path.partition("?")
        found = Checks({"ping": lambda: ""}, {"slow": slow}).answer(Request("GET", path, query))
        found = asyncio.run(found) if inspect.iscoroutine(found) else found
        return found.status, found.body.decode()

    assert told("/healthz/ping") == told("/healthz?exclude=slow") == (200, "ok")
    assert not asked
    assert told("/healthz/slow") == (500, "internal server error: it sleeps\n")
    failed = "[+]ping ok\n[-]slow failed: reason withheld\nhealthz check failed\n"
    assert told("/healthz") == (500, failed)
    assert Checks({}, {"slow": slow}).answer(Request("GET", "/healthz/none")) is None


def test_the_keys_of_tokens_are_published() -> None:
    keys = answer("/openid/v1/jwks")
    assert keys.content_type == "application/jwk-set+json"
    assert orjson.loads(keys.body)["keys"][0]["alg"] == "ES256"
    provider = orjson.loads(answer("/.well-known/openid-configuration").body)
    assert provider["jwks_uri"] == "https://10.0.0.1:6443/openid/v1/jwks"
    provider = orjson.loads(answer("/.well-known/openid-configuration", "10.9.0.1:1").body)
    assert provider["jwks_uri"] == "https://10.9.0.1:1/openid/v1/jwks"


@pytest.mark.parametrize(("node", "host"), [("", "127.0.0.1"), ("10.64.0.1", "10.64.0.1")])
def test_pods_are_led_to_the_keys_where_there_is_a_node(node: str, host: str) -> None:
    async def main(world: SimulatedWorld) -> None:
        async with serving(world, dns=(node, 53)) as api:
            provider = (await api.get("/.well-known/openid-configuration")).ok()
            assert provider["jwks_uri"] == f"https://{host}:6443/openid/v1/jwks"

    simulate(1, main)
