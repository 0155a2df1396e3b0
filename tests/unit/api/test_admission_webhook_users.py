"""As whom admission webhooks are asked: users of a kubeconfig, by the name of the server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from hooks import MUTATING, VALIDATING, Hook, listening
from served import MAPS, config_map, prepare, serving
from steersman.api.admission.plugins.registry import AdmissionSettings
from steersman.api.hooks import credentials
from steersman.api.hooks.credentials import user_for
from steersman.client import kubeconfig
from steersman.client.kubeconfig import BadKubeconfig, Users, UserSettings
from steersman.listen import certificates
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld

HEAD = {"apiVersion": credentials.VERSION, "kind": credentials.KIND}
MUTATES, VALIDATES = credentials.PLUGINS


def users(*names: str, current: str = "") -> Users:
    return Users({name: UserSettings(password=name) for name in names}, current)


@pytest.mark.parametrize(
    ("names", "host", "port", "expected"),
    [
        (("a.b.svc:443", "*"), "a.b.svc", 443, "a.b.svc:443"),
        (("*.b.svc:443", "*.svc:443", "a.b.svc"), "a.b.svc", 443, "*.b.svc:443"),
        (("*.svc:443", "a.b.svc"), "a.b.svc", 443, "*.svc:443"),
        (("a.b.svc", "*"), "a.b.svc", 443, "a.b.svc"),
        (("*.b.svc", "*"), "a.b.svc", 443, "*.b.svc"),
        (("a.b.svc", "*.b.svc"), "a.b.svc", 8443, None),
        (("*.b.svc:8443", "*"), "a.b.svc", 8443, "*.b.svc:8443"),
        (("b.svc", "c"), "a.b.svc", 443, None),
        (("[::1]:443",), "::1", 443, "[::1]:443"),
        (("*", "me"), "a.b.svc", 443, "*"),
    ],
)
def test_a_user_is_found_by_the_name_of_the_server(
    names: tuple[str, ...], host: str, port: int, expected: str | None
) -> None:
    found = user_for(users(*names), host, port)
    assert (found.password if found else None) == expected


def test_else_it_is_the_user_of_the_current_context() -> None:
    found = user_for(users("me", "you", current="you"), "a", 443)
    assert found is not None and found.password == "you"
    assert user_for(Users(), "a", 443) is None


def why(document: Any) -> str:
    def read(_path: Path) -> Users:
        raise AssertionError("not read")

    with pytest.raises(ValueError, match=r".") as raised:
        credentials.parse(document, read)
    return str(raised.value)


def test_a_plugins_configuration_names_a_file_absolutely() -> None:
    assert credentials.parse(None, kubeconfig.read_users) == Users()
    assert credentials.parse(HEAD, kubeconfig.read_users) == Users()
    assert why({**HEAD, "kubeConfigFile": "a"}) == (
        'kubeConfigFile: Invalid value: "a": must be an absolute file path'
    )
    assert why({**HEAD, "kind": "Other"}).startswith("it is no WebhookAdmissionConfiguration of")
    assert why({**HEAD, "kubeconfigFile": "a"}).startswith("Object contains unknown field")
    assert why({**HEAD, "staticManifestsDir": "/a"}).startswith("staticManifestsDir: ")


def file(path: Path, *named: tuple[str, Any], **more: Any) -> Path:
    entries = [{"name": name, "user": user} for name, user in named]
    path.write_bytes(msgspec.json.encode({"users": entries, **more}))
    return path


def test_users_are_read_without_clusters(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("fresh\n")
    path = file(
        tmp_path / "config",
        ("a", {"token": "t"}),
        ("b", {"tokenFile": "token"}),
        ("c", {"username": "u", "password": "p"}),
        contexts=[{"name": "x", "context": {"user": "c"}}],
        **{"current-context": "x"},
    )
    found = kubeconfig.read_users(path)
    assert found.current == "c"
    tokens = {name: one.token() if one.token else "" for name, one in found.named.items()}
    assert tokens == {"a": "t", "b": "fresh", "c": ""}
    assert found.named["c"].password == "u:p"
    for field in ("exec", "auth-provider", "as"):
        with pytest.raises(BadKubeconfig, match=rf"user 'a' has {field}, which is not"):
            kubeconfig.read_users(file(tmp_path / "other", ("a", {field: {"x": "y"}})))
    with pytest.raises(BadKubeconfig, match="no client-key"):
        kubeconfig.read_users(file(tmp_path / "other", ("a", {"client-certificate": "token"})))


class Seen(Hook):
    """A webhook that notes who asks."""

    def __init__(self) -> None:
        super().__init__()
        self.askers: list[tuple[str, bool]] = []

    async def handle(self, request: Request) -> Response:
        known = request.peer is not None and request.peer.certificate is not None
        self.askers.append((request.headers.get("authorization", ""), known))
        return await super().handle(request)


def test_webhooks_are_asked_as_the_users_that_their_plugin_names(tmp_path: Path) -> None:
    hook = Seen()

    async def main() -> None:
        world = RealWorld()
        async with listening(tmp_path, world, hook.handle) as place:
            hook.port, hook.bundle = place
            pki = certificates.ensure(tmp_path / "pki", (), world.now())
            pair = {
                "client-certificate": str(pki.certificate("admin")),
                "client-key": str(pki.key("admin")),
            }
            named = ((f"localhost:{hook.port}", {"token": "abc", **pair}), ("*", {"token": "no"}))
            tokens = kubeconfig.read_users(file(tmp_path / "one", *named))
            basic = kubeconfig.read_users(
                file(tmp_path / "two", ("*", {"username": "u", "password": "p"}))
            )
            chosen = AdmissionSettings(webhook_users={MUTATES: tokens, VALIDATES: basic})
            async with serving(world, admission=chosen) as api, asyncio.timeout(60):
                await prepare(api)
                await hook.configure(api, MUTATING, hook.webhook("/change"))
                await hook.configure(api, VALIDATING, hook.webhook("/check"))
                (await api.post(MAPS, config_map("one"))).ok()

    uvloop.run(main())
    assert hook.paths == ["/change", "/check"]
    assert hook.askers == [("Bearer abc", True), ("Basic dTpw", False)]
