"""A node's kubelet is asked for its metrics, and what goes wrong is told."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from hooks import listening
from steersman.api.metrics import kubelet
from steersman.api.metrics.kubelet import asking
from steersman.api.metrics.scrape import Scrape
from steersman.api.subresources.kubelets import Kubelets, Undelivered
from steersman.model.kind import Document
from steersman.model.ref import Ref
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld

TOLD = b"node_cpu_usage_seconds_total 2\nnode_memory_working_set_bytes 3\n"


def scrape(
    tmp_path: Path, handle: Callable[[Request], Any], case: Callable[[Any, int], Any]
) -> None:
    """Runs a case with what asks a node whose kubelet is on loopback."""

    async def main() -> None:
        world = RealWorld()
        async with listening(tmp_path, world, handle) as (port, bundle):
            tls = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())

            def find(_ref: Ref) -> Document:
                address = {"type": "InternalIP", "address": "127.0.0.1"}
                ports = {"kubeletEndpoint": {"Port": port}}
                status = {"addresses": [address], "daemonEndpoints": ports}
                return {"metadata": {"name": "localhost"}, "status": status}

            kubelets = Kubelets(find, lambda: tls)
            async with asyncio.timeout(20):
                await case(asking(kubelets, world), port)
            await kubelets.of("localhost").transport.close()

    uvloop.run(main())


def why(tmp_path: Path, handle: Callable[[Request], Any]) -> tuple[str, int]:
    told = []

    async def case(ask: Any, port: int) -> None:
        with pytest.raises(Undelivered) as raised:
            await ask("localhost")
        told.append((raised.value.message, port))

    scrape(tmp_path, handle, case)
    return told[0]


def test_a_node_is_asked_and_read(tmp_path: Path) -> None:
    seen: list[str] = []

    def handle(request: Request) -> Response:
        seen.append(f"{request.method} {request.path}")
        return Response(TOLD)

    async def case(ask: Any, _port: int) -> None:
        found: Scrape = await ask("localhost")
        assert found.cpu is not None
        assert found.memory is not None
        assert (found.cpu.value, found.memory.value) == (2.0, 3.0)
        assert abs(found.time - RealWorld().now()) < 60

    scrape(tmp_path, handle, case)
    assert seen == ["GET /metrics/resource"]


def test_another_answer_is_told(tmp_path: Path) -> None:
    message, port = why(tmp_path, lambda _request: Response(TOLD, 503))
    assert message == f"127.0.0.1:{port} answers /metrics/resource with 503"
    message, port = why(tmp_path, lambda _request: Response(b"node_x -1\n"))
    assert message == f"127.0.0.1:{port}: '-1' is no amount"


def test_no_more_is_read_than_can_be_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubelet, "MOST_BYTES", 10)
    monkeypatch.setattr("steersman.api.metrics.scrape.MOST_BYTES", 10)
    message, _port = why(tmp_path, lambda _request: Response(TOLD))
    assert message.endswith(": the answer is longer than 10 bytes")


def test_a_node_that_is_away_is_told(tmp_path: Path) -> None:
    async def case(ask: Any, _port: int) -> None:
        with pytest.raises(Undelivered) as raised:
            await ask("localhost")
        assert raised.value.message == "dial tcp 127.0.0.1:1: connect: connection refused"

    async def main() -> None:
        def find(_ref: Ref) -> Document:
            address = {"type": "InternalIP", "address": "127.0.0.1"}
            status = {"addresses": [address], "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}
            return {"metadata": {"name": "localhost"}, "status": status}

        await case(asking(Kubelets(find, ssl.create_default_context), RealWorld()), 1)

    uvloop.run(main())
