"""A server that finds out who asks, and who may, by other rules than it began with."""

from __future__ import annotations

from typing import Any

import pytest

from served import MAPS, Served, served
from steersman.api.access.settings import AccessSettings
from steersman.api.tokens.jwt_settings import parse
from steersman.model.errors import Unauthorized
from steersman.wire.message import Peer, Request, User

JANE = User("jane", ("system:authenticated",))
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"


def settings(**fields: Any) -> AccessSettings:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    return AccessSettings(authentication=parse({**head, **fields}))


def nobody(api: Served, path: str) -> str:
    return api.assembly.access.identify(Request("GET", path, peer=Peer("192.0.2.1"))).name


@served
async def test_who_need_not_say_who_they_are_changes_while_the_server_runs(api: Served) -> None:
    assert nobody(api, "/version") == "system:anonymous"
    conditions = [{"path": "/livez"}]
    api.assembly.trust(settings(anonymous={"enabled": True, "conditions": conditions}))
    assert nobody(api, "/livez") == "system:anonymous"
    with pytest.raises(Unauthorized):
        nobody(api, "/version")
    api.assembly.trust(settings(anonymous={"enabled": False}))
    with pytest.raises(Unauthorized):
        nobody(api, "/livez")
    api.assembly.trust(AccessSettings())
    assert nobody(api, "/version") == "system:anonymous"


@served
async def test_who_decides_changes_while_the_server_runs(api: Served) -> None:
    assert (await api.get(MAPS, user=JANE)).code == 403
    api.assembly.authorize(AccessSettings(modes=("AlwaysAllow",)))
    assert (await api.get(MAPS, user=JANE)).code == 200
    api.assembly.authorize(AccessSettings(modes=("Node", "RBAC", "AlwaysDeny")))
    refused = await api.get(MAPS, user=JANE)
    assert refused.code == 403
    assert "Everything is forbidden." in refused.message
    assert (await api.get(MAPS)).code == 200, "system:masters are allowed everything"
