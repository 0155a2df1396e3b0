"""Static pods from a URL, and several sources as one, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from test_static_pods import TEXT, names

from steersman.images.http import StreamHttp
from steersman.node.static import marks
from steersman.node.static.folder import Folder
from steersman.node.static.manifests import BadManifest, parse_manifest, parse_manifests
from steersman.node.static.source import Kept, Several
from steersman.node.static.url import Url
from steersman.world.real import RealWorld

URL = "http://h/x"
OTHER = TEXT.replace("name: web", "name: other")


def listed(*texts: str, kind: str = "PodList") -> str:
    items = "".join("- " + text.rstrip().replace("\n", "\n  ") + "\n" for text in texts)
    return f"apiVersion: v1\nkind: {kind}\nitems:\n{items}"


def parsed(text: str) -> list[str]:
    found = parse_manifests(text.encode(), URL, "vm", "2026-01-01T00:00:00Z", marks.HTTP)
    assert all(marks.is_static(it.pod) for it in found)
    assert {it.pod.metadata.annotations[marks.SOURCE] for it in found} <= {"http"}
    return [it.pod.metadata.name for it in found]


def refusal(text: str) -> str:
    with pytest.raises(BadManifest) as raised:
        parsed(text)
    return str(raised.value)


def test_a_url_gives_one_pod_or_a_list_of_them() -> None:
    assert parsed(TEXT) == ["web-vm"]
    assert parsed(listed(TEXT, OTHER)) == ["web-vm", "other-vm"]
    assert parsed(listed(TEXT, kind="List")) == ["web-vm"]
    bare = "\n".join(TEXT.splitlines()[2:])
    assert parsed(listed(bare)) == ["web-vm"], "the items of a list need not say what they are"
    assert parsed("apiVersion: v1\nkind: PodList\n") == []


def test_what_is_wrong_with_a_pod_of_a_list_is_told_with_its_line() -> None:
    assert refusal("[]") == f"{URL}:1: couldn't parse as pod: it is not of v1, kind Pod"
    wrong = listed(TEXT, OTHER.replace("busybox:1", "''"))
    said = "invalid pod: items[1].spec.containers[0].image: Required value"
    assert refusal(wrong) == f"{URL}:19: {said}"
    other = listed(TEXT, OTHER.replace("kind: Pod", "kind: Service"))
    assert refusal(other) == f"{URL}:13: couldn't parse as pod: it is not of v1, kind Pod"


def test_a_pod_of_a_url_is_another_than_that_of_a_file() -> None:
    (one,) = parse_manifests(TEXT.encode(), "/m/web.yaml", "vm", "", marks.HTTP)
    (other,) = parse_manifests(TEXT.encode(), "/m/web.yaml", "vm", "", marks.FILE)
    assert one.pod.metadata.uid != other.pod.metadata.uid


class Server:
    """A server of one document."""

    def __init__(self) -> None:
        self.text = TEXT
        self.status = "200 OK"
        self.heads: list[str] = []
        self.url = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        body = self.text.encode()
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            self.url = f"http://{host}:{port}/pods"
            yield


def test_a_url_is_asked_again_and_what_fails_changes_nothing() -> None:
    told: list[str] = []
    heard: list[list[str]] = []

    async def scenario() -> None:
        server = Server()
        async with server.up(), asyncio.timeout(20):
            headers = {"X-Own": "mine"}
            url = Url(server.url, headers, "vm", StreamHttp(), RealWorld(), told.append)
            url.listen(lambda: heard.append(names(url.pods)))
            server.status = "503 Service Unavailable"
            await url.look()
            await url.tried()
            assert (url.known, told) == (False, [f"{server.url}: the server answers 503"])
            server.status = "200 OK"
            await url.look()
            await url.synced()
            assert heard == [["web-vm"]]
            (first,) = url.pods.values()
            await url.look()
            assert heard == [["web-vm"]]
            for status, text in (("503 x", TEXT), ("200 OK", ""), ("200 OK", "a: [")):
                server.status, server.text = status, text
                await url.look()
                await url.look()
                assert names(url.pods) == ["web-vm"]
            assert len(told) == 4, "each is told once"
            assert told[2] == f"zero-length data received from {server.url}"
            server.text = listed(TEXT, OTHER)
            await url.look()
            assert heard[1:] == [["other-vm", "web-vm"]]
            server.text = TEXT
            await url.look()
            assert heard[2:] == [["web-vm"]]
            assert [*url.pods.values()] == [first], "it was seen first before"
            assert all("x-own: mine" in it.lower() for it in server.heads)
        await url.look()
        assert len(told) == 5
        assert "127.0.0.1" in told[-1]
        assert names(url.pods) == ["web-vm"]

    asyncio.run(scenario())


def test_several_sources_are_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = RealWorld()
        server = Server()
        server.text = OTHER
        (tmp_path / "web.yaml").write_text(TEXT)
        async with server.up(), asyncio.timeout(20), world.tasks() as tasks:
            folder = Folder(tmp_path, "vm", world, lambda _: None)
            url = Url(server.url, {}, "vm", StreamHttp(), world, lambda _: None)
            both = Several([folder, url])
            changed = asyncio.Event()
            both.listen(changed.set)
            tasks.start(folder.run(), name="folder")
            await changed.wait()
            assert (names(both.pods), both.known) == (["web-vm"], False)
            changed.clear()
            tasks.start(url.run(), name="url")
            await both.tried()
            await both.synced()
            assert changed.is_set()
            assert (names(both.pods), both.known) == (["other-vm", "web-vm"], True)
            tasks.stop()

    asyncio.run(scenario())


def test_of_one_pod_in_two_sources_the_first_counts() -> None:
    first, second, other = Kept(), Kept(), Kept()
    uid = "11111111-2222-3333-4444-555555555555"
    places = (first, "/first", "one"), (second, "/second", "two"), (other, "/third", "three")
    for source, place, name in places:
        text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, uid: {uid}}}\n"
        text += "spec: {containers: [{name: c, image: i}]}\n"
        source._keep([parse_manifest(text.encode(), Path(place), "vm", "2026-01-01T00:00:00Z")])
    both = Several([first, second, other])
    assert [it.pod.metadata.name for it in both.pods.values()] == ["one-vm"]
