"""A registry on the loopback for tests: tokens, indexes, redirects, and faults on demand."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from layer_archives import digest

from steersman.images.documents import host_platform

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Answer:
    """What the server says; `raw` is sent as it is."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    chunked: bool = False

    def encode(self) -> bytes:
        if self.raw is not None:
            return self.raw
        headers = dict(self.headers)
        body = self.body
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
            half = len(body) // 2
            pieces = [body[:half], body[half:]]
            body = b"".join(b"%x;e=1\r\n%s\r\n" % (len(each), each) for each in pieces if each)
            body += b"0\r\n\r\n"
        else:
            headers["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {self.status} X", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


Special = Callable[[dict[str, str]], Answer]


@dataclass
class Registry:
    """`paths` are what it serves; `special` comes first; `asked` is what it was asked."""

    paths: dict[str, Answer] = field(default_factory=dict)
    special: dict[str, Special] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    token: str = ""
    login: str = ""  # what the token service, or without a token the registry, wants to see
    hold: asyncio.Event | None = None
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    open_now: int = 0
    open_most: int = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def count(self, part: str) -> int:
        return sum(part in path for path, _ in self.asked)

    def add(self, repository: str, tag: str, *layers: bytes, **edit: Any) -> str:
        """Publishes an image behind an index under a tag; returns the index' digest."""
        platform = {"os": "linux", "architecture": host_platform().architecture}
        blobs = [gzip.compress(each, mtime=0) for each in layers]
        config = json.dumps(
            {
                "architecture": edit.get("architecture", platform["architecture"]),
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]},
            }
        ).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "c", "digest": digest(config), "size": len(config)},
            "layers": [
                {"mediaType": "tar+gzip", "digest": digest(each), "size": len(each)}
                for each in blobs
            ],
            **edit.get("manifest", {}),
        }
        data = json.dumps(manifest).encode()
        child = {"mediaType": MANIFEST, "digest": digest(data), "size": len(data)}
        other = {**child, "digest": digest(b"other")}
        index = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [
                    {**other, "platform": {"os": "linux", "architecture": "vax"}},
                    {**other, "platform": {**platform, "os": "plan9"}},
                    {**child, "platform": {**platform, **edit.get("platform", {})}},
                ],
            }
        ).encode()
        base = f"/v2/{repository}"
        for name, body in ((tag, index), (digest(index), index), (digest(data), data)):
            self.paths[f"{base}/manifests/{name}"] = Answer(body=body)
        for body in (config, *blobs):
            self.paths[f"{base}/blobs/{digest(body)}"] = Answer(body=body)
        return digest(index)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split(" ")[1]
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        self.asked.append((path, headers))
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            if self.hold is not None and "/blobs/" in path:
                self.waiting.set()
                await self.hold.wait()
            writer.write(self._answer(path, headers).encode())
            await writer.drain()
        except ConnectionError:
            return  # the client has gone
        finally:
            self.open_now -= 1
            writer.close()

    def _answer(self, path: str, headers: dict[str, str]) -> Answer:
        bare = path.partition("?")[0]
        if bare in self.special:
            return self.special[bare](headers)
        asks = self.login and (bare == "/token" or not self.token)
        if asks and headers.get("authorization") != self.login:
            return Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}, b'{"errors":[]}')
        if bare == "/token":
            return Answer(body=json.dumps({"token": self.token}).encode())
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            challenge = (
                f'Bearer realm="http://{self.host}/token",service="s",scope="repository:x:pull"'
            )
            return Answer(401, {"WWW-Authenticate": challenge}, b'{"errors":[]}')
        error = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
        return self.paths.get(bare, Answer(404, {}, error))


@asynccontextmanager
async def serving(registry: Registry) -> AsyncIterator[Registry]:
    server = await asyncio.start_server(registry._serve, "127.0.0.1", 0)
    registry.port = server.sockets[0].getsockname()[1]
    async with server:
        yield registry
