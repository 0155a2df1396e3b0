"""A whole server whose Secrets are sealed by a plugin's keys: health, restart, another plugin by a
configuration that is read again."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import uvloop

from kms_plugin import KMSPlugin
from ports import free_port
from steersman.api.encryption.configuration import Encryption, parse
from steersman.api.published.reloads import ENCRYPTION
from steersman.client import kubeconfig
from steersman.client.body import read_whole
from steersman.client.http import HTTPTransport
from steersman.cluster.reloading import Reload
from steersman.cluster.server import ServerSettings, serve
from steersman.listen.certificates import ADMIN, Certificates, ensure
from steersman.wire import yaml
from steersman.wire.message import Request
from steersman.world.real import RealWorld

SECRETS = "/api/v1/namespaces/default/secrets"
PASSWORD = base64.b64encode(b"correct horse").decode()
SECRET = {"metadata": {"name": "a"}, "data": {"password": PASSWORD}}
BOUND_SECONDS = 90.0
TRIES = 200


def configuration(name: str, socket: Path, *others: tuple[str, Path]) -> str:
    providers = [
        {"kms": {"apiVersion": "v2", "name": name, "endpoint": f"unix://{socket}"}}
        for name, socket in ((name, socket), *others)
    ]
    rule = {"resources": ["secrets"], "providers": providers}
    head = {"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1"}
    return orjson.dumps({**head, "resources": [rule]}).decode()


def read(path: Path) -> Encryption:
    return parse(yaml.load(path.read_bytes()))


class Client:
    """An administrator of a server."""

    def __init__(self, directory: Path, port: int, files: Certificates) -> None:
        text = kubeconfig.write(
            name="test",
            server=f"https://127.0.0.1:{port}",
            authority=files.ca.read_bytes(),
            certificate=files.certificate(ADMIN.file).read_bytes(),
            key=files.key(ADMIN.file).read_bytes(),
        )
        path = directory / "kubeconfig"
        path.write_text(text)
        self._transport = HTTPTransport(kubeconfig.read(path))

    async def ask(self, method: str, path: str, document: Any = None) -> tuple[int, str]:
        path, _, query = path.partition("?")
        body = b"" if document is None else orjson.dumps(document)
        headers = {"content-type": "application/json"}
        answer = await self._transport.send(Request(method, path, query, headers, body))
        found = await read_whole(answer.body, 1024 * 1024)
        assert found is not None
        return answer.status, found.decode()

    async def close(self) -> None:
        await self._transport.close()


@asynccontextmanager
async def serving(
    directory: Path, world: RealWorld, file: Path, *, again: bool = False
) -> AsyncIterator[Client]:
    """Runs a server on what it kept before."""
    files = ensure(directory / "pki", (), world.wire_now())
    port, stop, ready = free_port(), asyncio.Event(), asyncio.Event()
    settings = ServerSettings(
        store_directory=directory / "store",
        certificates=directory / "pki",
        socket=directory / "unused",
        port=port,
        service_cidr="10.96.0.0/16",
        pod_cidr="10.64.0.0/24",
        controllers=False,
        node=False,
        encryption=read(file),
        reloads=(Reload(ENCRYPTION, file, lambda: read(file)),) if again else (),
    )

    def report(news: dict[str, object]) -> None:
        if news["state"] == "ready":
            ready.set()

    running = asyncio.create_task(serve(settings, world, report, stop))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    client = Client(directory, port, files)
    try:
        yield client
    finally:
        await client.close()
        stop.set()
        await running


def kept(directory: Path) -> bytes:
    """Returns all bytes of the store's files."""
    return b"".join(path.read_bytes() for path in sorted((directory / "store").glob("history*")))


def test_secrets_are_sealed_by_the_plugins_key_and_read_after_a_restart(tmp_path: Path) -> None:
    vault, socket, file = KMSPlugin(), tmp_path / "kms.sock", tmp_path / "encryption.yaml"
    file.write_text(configuration("vault", socket))

    async def main() -> None:
        world = RealWorld()
        async with asyncio.timeout(BOUND_SECONDS), vault.serving(socket, world):
            async with serving(tmp_path, world, file) as client:
                assert (await client.ask("POST", SECRETS, SECRET))[0] == 201
                assert await client.ask("GET", "/healthz/kms-providers") == (200, "ok")
                _, text = await client.ask("GET", "/readyz?verbose")
                assert "[+]kms-providers ok\n" in text
                _, text = await client.ask("GET", "/livez?verbose&exclude=kms-providers")
                assert "[+]kms-providers excluded: ok\n" in text
            found = kept(tmp_path)
            assert b"k8s:enc:kms:v2:vault:" in found
            assert PASSWORD.encode() not in found
            async with serving(tmp_path, world, file) as client:
                status, text = await client.ask("GET", f"{SECRETS}/a")
                assert (status, orjson.loads(text)["data"]) == (200, SECRET["data"])

    uvloop.run(main())
    assert vault.asked.count("Decrypt") == 1


def test_another_plugin_seals_once_the_configuration_names_it(tmp_path: Path) -> None:
    vault, other, file = KMSPlugin(), KMSPlugin("key-9"), tmp_path / "encryption.yaml"
    sockets = (tmp_path / "kms.sock", tmp_path / "other.sock")
    file.write_text(configuration("vault", sockets[0]))

    async def sealed_by_other(client: Client) -> bool:
        """Writes the Secret as it is, and says by whom it is sealed then."""
        _, text = await client.ask("GET", f"{SECRETS}/a")
        await client.ask("PUT", f"{SECRETS}/a", orjson.loads(text))
        return b"k8s:enc:kms:v2:other:" in kept(tmp_path)

    async def main() -> None:
        world = RealWorld()
        async with (
            asyncio.timeout(BOUND_SECONDS),
            vault.serving(sockets[0], world),
            other.serving(sockets[1], world),
            serving(tmp_path, world, file, again=True) as client,
        ):
            assert (await client.ask("POST", SECRETS, SECRET))[0] == 201
            both = configuration("other", sockets[1], ("vault", sockets[0]))
            replaced = tmp_path / "next"
            replaced.write_text(both)
            replaced.rename(file)
            for _ in range(TRIES):
                if await sealed_by_other(client):
                    break
                await world.wire_sleep(0.02)
            else:
                raise AssertionError("the Secret is not sealed by the other plugin")
            status, text = await client.ask("GET", f"{SECRETS}/a")
            assert (status, orjson.loads(text)["data"]) == (200, SECRET["data"])
            assert await client.ask("GET", "/healthz/kms-providers") == (200, "ok")

    uvloop.run(main())


def test_a_configuration_whose_plugin_is_not_there_changes_nothing(tmp_path: Path) -> None:
    vault, file = KMSPlugin(), tmp_path / "encryption.yaml"
    socket, nobody = tmp_path / "kms.sock", tmp_path / "nobody.sock"
    file.write_text(configuration("vault", socket))

    async def main() -> None:
        from steersman.cluster import kms_plugins

        world = RealWorld()
        async with asyncio.timeout(BOUND_SECONDS), vault.serving(socket, world):
            used: list[Encryption] = []

            class Store:
                def use(self, encryption: Encryption, _kept: Any) -> None:
                    used.append(encryption)

            plugins = kms_plugins.KMSPlugins(Store(), read(file), world)  # type: ignore[arg-type]
            await plugins.begin()
            async with world.tasks() as tasks:
                file.write_text(configuration("other", nobody))
                plugins.use(read(file), tasks, list)
                file.write_text(configuration("vault", socket))
                plugins.use(read(file), tasks, list)
                while not used:
                    await world.wire_sleep(0.01)
                tasks.stop()
            assert [one.plugins[0].settings.name for one in used] == ["vault"]
            plugins.close()

    uvloop.run(main())
