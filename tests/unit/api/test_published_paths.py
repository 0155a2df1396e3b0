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
from steersman.wire.message import Request, User
from steersman.world.simulated import SimulatedWorld, simulate


class Kinds:
    def on_change(self, hear: Any) -> None:
        """Never changes."""

    def all(self) -> Any:
        return KINDS[2:4]


def answer(path: str, verifiers: str = "") -> Any:
    tokens = Cluster().tokens
    answers = document_paths(Kinds(), tokens, "10.0.0.1:6443", verifiers=verifiers)
    paths = Paths(Checks({}), answers)
    found = paths.handle(Request("GET", path), User("jane"))
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
