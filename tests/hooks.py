"""An admission webhook on loopback for tests, and the configurations that name it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson
import uvloop

from served import Served, prepare, serving
from steersman.listen import certificates, serve
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld

Document = dict[str, Any]
Case = Callable[[Served, "Hook"], Coroutine[Any, Any, None]]

GROUP = "/apis/admissionregistration.k8s.io/v1"
MUTATING = f"{GROUP}/mutatingwebhookconfigurations"
VALIDATING = f"{GROUP}/validatingwebhookconfigurations"
WAIT_SECONDS = 60.0
MAPS_RULE: Document = {
    "operations": ["*"],
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["configmaps"],
}


class Hook:
    """A webhook server: keeps what it was asked by path, and answers what the test wants."""

    def __init__(self, port: int = 0, bundle: str = "") -> None:
        self.port = port
        self.bundle = bundle
        self.asked: list[tuple[str, Document]] = []
        self.answers: dict[str, Callable[[Document], Document]] = {}
        self.spoil: Callable[[Document], Document] = lambda answer: answer
        self.status = 200
        self.gate: asyncio.Event | None = None
        self.crowd = 0
        self.full = asyncio.Event()

    async def handle(self, request: Request) -> Response:
        """Answers a review, once the gate is open; `full` tells that `crowd` have come."""
        asked = orjson.loads(request.body)["request"]
        self.asked.append((request.path, asked))
        if len(self.asked) == self.crowd:
            self.full.set()
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.get(request.path, lambda _asked: {"allowed": True})(asked)
        whole = {
            "kind": "AdmissionReview",
            "apiVersion": "admission.k8s.io/v1",
            "response": {"uid": asked["uid"], **answer},
        }
        return Response(orjson.dumps(self.spoil(whole)), self.status)

    @property
    def paths(self) -> list[str]:
        """The paths that were asked, in order."""
        return [path for path, _ in self.asked]

    def client(self, path: str) -> Document:
        """Returns a clientConfig."""
        return {"url": f"https://localhost:{self.port}{path}", "caBundle": self.bundle}

    def webhook(self, path: str = "/ask", **more: Any) -> Document:
        """Returns a webhook about ConfigMaps."""
        return {
            "name": f"{path.strip('/')}.example.com",
            "clientConfig": self.client(path),
            "rules": [MAPS_RULE],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **more,
        }

    async def configure(
        self, api: Served, where: str, *webhooks: Document, name: str = "w"
    ) -> None:
        """Creates a configuration."""
        kind = "MutatingWebhookConfiguration"
        if where == VALIDATING:
            kind = "ValidatingWebhookConfiguration"
        head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind}
        made = {**head, "metadata": {"name": name}, "webhooks": list(webhooks)}
        (await api.post(where, made)).ok()


def patch(*operations: Document) -> Document:
    """Returns an answer that patches."""
    encoded = base64.b64encode(orjson.dumps(operations)).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def add(path: str, value: Any) -> Document:
    """Returns an operation that adds."""
    return {"op": "add", "path": path, "value": value}


@asynccontextmanager
async def listening(
    directory: Path, world: RealWorld, handle: Callable[[Request], Any]
) -> AsyncIterator[tuple[int, str]]:
    """Serves over TLS on loopback; yields the port and the bundle, as a webhook's client has it."""
    files = certificates.ensure(directory / "pki", (), world.now())
    tls = serve.tls_context(files.certificate(), files.key(), files.ca)
    async with serve.Server(handle, world) as server:  # type: ignore[arg-type]
        _, port = await server.listen("127.0.0.1", 0, tls)
        yield port, base64.b64encode(files.ca.read_bytes()).decode()


class Peer(Protocol):
    """A server on loopback that ours speaks with, and how it is reached."""

    port: int
    bundle: str

    def handle(self, request: Request) -> Any:
        """Answers a request, at once or awaited."""


class Clock(RealWorld):
    """Real, but that the test may say that time has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.passed


P = TypeVar("P", bound=Peer)


def beside(tmp_path: Path, peer: P, case: Callable[[Served, P], Coroutine[Any, Any, None]]) -> None:
    """Runs a case with a server and a peer that it can reach."""

    async def main() -> None:
        world = RealWorld()
        async with listening(tmp_path, world, peer.handle) as place, serving(world) as api:
            peer.port, peer.bundle = place
            await prepare(api)
            async with asyncio.timeout(WAIT_SECONDS):
                await case(api, peer)

    uvloop.run(main())


def hooked(tmp_path: Path, case: Case) -> None:
    """Runs a case with a server and a webhook that it can reach."""
    beside(tmp_path, Hook(), case)
