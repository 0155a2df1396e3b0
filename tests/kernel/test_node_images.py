"""Private images on a real node: a registry of the test's own wants a login, pods show theirs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from node_cluster import IMAGE, SLEEP, Cluster, Session, ended, needs_root, runs

from steersman.images.references import parse
from steersman.images.store import Store
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.secret import SECRET

pytestmark = needs_root
PASSWORD = "hush-hush"
AUTH = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()


class Registry:
    """Serves one image of a store to who shows the login; with `tokens` by way of a token."""

    def __init__(self, images: Path, tokens: bool) -> None:
        self._store = Store(images)
        self._image = self._store.find(parse(IMAGE))
        self._tokens = tokens
        self.host = ""
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            path = head[0].split(" ")[1]
            shown = next((it for it in head if it.lower().startswith("authorization: ")), "")
            self.asked.append(path)
            status, extra, body = self._answer(path.partition("?")[0], shown[15:])
            lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *extra, "", ""]
            writer.write("\r\n".join(lines).encode() + body)
            await writer.drain()
        writer.close()

    def _answer(self, path: str, shown: str) -> tuple[int, list[str], bytes]:
        if path == "/token" and shown == f"Basic {AUTH}":
            return 200, [], json.dumps({"token": "t0ken"}).encode()
        if path == "/token":
            return 401, [], b""
        if shown != ("Bearer t0ken" if self._tokens else f"Basic {AUTH}"):
            realm = f"http://{self.host}/token"
            kind = f'Bearer realm="{realm}",service="s"' if self._tokens else 'Basic realm="x"'
            return 401, [f"WWW-Authenticate: {kind}"], b""
        assert self._image is not None
        name = path.rpartition("/")[2]
        digest = name if name.startswith("sha256:") else self._image.digest
        return 200, [], self._store.blobs.read(digest)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Listens, and gives host and port."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self.host


def waits_with(reason: str, pod: Pod) -> bool:
    statuses = pod.status.container_statuses
    return bool(statuses) and (w := statuses[0].state.waiting) is not None and w.reason == reason


async def keep(session: Session, name: str, host: str, kind: str) -> None:
    """Makes a pull secret of one of the two kinds."""
    entries: dict[str, Any] = {host: {"auth": AUTH}}
    data = {".dockercfg": json.dumps(entries)}
    if kind == "dockerconfigjson":
        data = {".dockerconfigjson": json.dumps({"auths": entries})}
    document = {
        "metadata": {"name": name},
        "type": f"kubernetes.io/{kind}",
        "stringData": data,
    }
    await session.client.create(SECRET, document, namespace="default")


@pytest.mark.parametrize(("kind", "tokens"), [("dockerconfigjson", False), ("dockercfg", True)])
def test_a_pod_has_a_private_image_by_its_secret_and_no_other_pod_has(
    cluster: Cluster, kind: str, tokens: bool
) -> None:
    registry = Registry(cluster.data / "images", tokens)

    async def scenario(session: Session) -> None:
        async with registry.open() as host:
            image = f"{host}/team/app:1"
            await session.create("nobody", script=SLEEP, image=image)
            await session.until("nobody", lambda it: waits_with("ErrImagePull", it))
            await session.delete("nobody")
            await keep(session, f"pull-{kind}", host, kind)
            spec = {"imagePullSecrets": [{"name": f"pull-{kind}"}]}
            await session.create("ann", script=SLEEP, image=image, spec=spec)
            await session.until("ann", runs)
            asked = len(registry.asked)
            await session.create("twin", script=SLEEP, image=image, spec=spec)
            await session.until("twin", runs)
            assert len(registry.asked) == asked  # it is here, and they may have it
            await session.create("eve", script=SLEEP, image=image)
            pod = await session.until("eve", lambda it: waits_with("ErrImagePull", it))
            assert len(registry.asked) > asked
            listing = await session.client.list(EVENT, "default")
            told = [it.message for it in listing.items]
            assert not any(PASSWORD in it or AUTH in it for it in told)
            waiting = pod.status.container_statuses[0].state.waiting
            assert waiting is not None
            assert "pull access denied" in waiting.message
            for name in ("ann", "twin", "eve"):
                await session.delete(name)

    cluster.run(scenario)
    for log in (cluster.data / "logs").iterdir():
        text = log.read_text()
        assert PASSWORD not in text
        assert AUTH not in text


def test_the_nodes_own_login_is_for_all_of_its_pods(cluster: Cluster) -> None:
    registry = Registry(cluster.data / "images", tokens=False)

    async def scenario(session: Session) -> None:
        async with registry.open() as host:
            path = cluster.data / "node" / "config.json"
            path.write_text(json.dumps({"auths": {host: {"auth": AUTH}}}))
            await session.create("any", script=SLEEP, image=f"{host}/team/app:1")
            await session.until("any", runs)
            path.unlink()
            await session.create("other", script=SLEEP, image=f"{host}/team/app:1")
            await session.until("other", runs)
            for name in ("any", "other"):
                await session.delete(name)

    cluster.run(scenario)


def is_refused(pod: Pod) -> bool:
    """Whether a container could not be made."""
    waiting = [it.state.waiting for it in pod.status.container_statuses]
    return any(it is not None and it.reason.startswith("CreateContainer") for it in waiting)


def test_an_image_is_a_volume_that_is_only_read(cluster: Cluster) -> None:
    volumes = [
        {"name": "one", "image": {"reference": IMAGE}},
        {"name": "none", "image": {"reference": "none:1", "pullPolicy": "Never"}},
    ]
    mounts = [
        {"name": "one", "mountPath": "/v"},
        {"name": "one", "mountPath": "/w", "subPath": "etc"},
    ]
    script = "cat /v/etc/passwd /w/passwd; /v/bin/busybox true; touch /v/x || echo kept"

    async def scenario(session: Session) -> None:
        spec = {"restartPolicy": "Never", "volumes": volumes[:1]}
        await session.create("image", script=script, volumeMounts=mounts, spec=spec)
        pod = await session.until("image", lambda it: it.status.phase == "Succeeded")
        text = cluster.log(pod)
        assert text.count("root:x:0:0::/root:/bin/sh") == 2
        assert "Permission denied" in text  # noexec
        assert "Read-only file system" in text
        assert "kept\n" in text
        await session.delete("image")
        mount = [{"name": "one", "mountPath": "/v", "subPath": "no/such"}]
        spec = {"volumes": volumes[:1]}
        await session.create("lost", script=SLEEP, volumeMounts=mount, spec=spec)
        pod = await session.until("lost", is_refused)
        (lost,) = (it.state.waiting for it in pod.status.container_statuses)
        assert lost is not None and lost.reason == "CreateContainerError"
        assert lost.message.endswith("/v: No such file or directory")
        await session.delete("lost")
        spec = {"volumes": volumes[1:]}
        mount = [{"name": "none", "mountPath": "/v"}]
        pod = await session.create("none", script=SLEEP, volumeMounts=mount, spec=spec)
        fields = f"involvedObject.uid={pod.metadata.uid},reason=ErrImageNeverPull"
        listing = await session.client.list(EVENT, "default", fields=fields)
        told = [it.message for it in listing.items]
        watching = session.client.watch(EVENT, "default", after=listing.revision, fields=fields)
        while not told:
            async for changes in watching:
                told += [it.object.message for it in changes if it.object is not None]
                break
        assert told[0] == 'Container image "none:1" is not present with pull policy of Never'
        await session.delete("none")

    cluster.run(scenario)


def test_an_image_volume_of_the_policy_always_is_asked_for_each_time(cluster: Cluster) -> None:
    registry = Registry(cluster.data / "images", tokens=False)

    async def scenario(session: Session) -> None:
        async with registry.open() as host:
            await keep(session, "pull-volume", host, "dockerconfigjson")
            source = {"reference": f"{host}/team/volume:1", "pullPolicy": "Always"}
            spec = {
                "restartPolicy": "Never",
                "imagePullSecrets": [{"name": "pull-volume"}],
                "volumes": [{"name": "image", "image": source}],
            }
            mount = [{"name": "image", "mountPath": "/volume"}]
            asked: list[int] = []
            for name in ("first", "second"):
                script = "cat /volume/etc/passwd"
                await session.create(name, script=script, volumeMounts=mount, spec=spec)
                pod = await session.until(name, ended)
                assert cluster.log(pod) == "root:x:0:0::/root:/bin/sh\n"
                asked.append(sum("/manifests/" in it for it in registry.asked))
            assert 0 < asked[0] < asked[1]
            for name in ("first", "second"):
                await session.delete(name)

    cluster.run(scenario)
