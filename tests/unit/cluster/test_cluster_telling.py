"""What processes say of themselves, and where."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop

from steersman.client.body import read_whole
from steersman.client.http import HTTPTransport, Target
from steersman.cluster import telling
from steersman.listen.serve import Server
from steersman.model.figures import Family, Sample, Sources
from steersman.wire import prometheus
from steersman.wire.message import Request
from steersman.world.real import RealWorld


async def asked(path: Path, what: str) -> tuple[int, bytes]:
    transport = HTTPTransport(Target(socket=str(path)))
    try:
        answer = await transport.send(Request("GET", what))
        return answer.status, await read_whole(answer.body, 100_000) or b""
    finally:
        await transport.close()


def test_each_process_has_a_socket_and_the_next_takes_the_place_of_one_that_is_gone(
    tmp_path: Path,
) -> None:
    sources = Sources()
    sources.add(lambda: [Family("m", "h", "gauge", [Sample((), 7)])])

    async def main() -> None:
        world = RealWorld()
        async with asyncio.timeout(60):
            async with Server(telling.answers(sources), world) as first:
                telling.listen(first, tmp_path)
                async with Server(telling.answers(Sources()), world) as second:
                    telling.listen(second, tmp_path)
                    assert (await asked(tmp_path / "control-2.sock", "/metrics"))[1] == b""
                status, text = await asked(tmp_path / "control.sock", "/metrics")
                assert (status, text) == (200, b"# HELP m h\n# TYPE m gauge\nm 7\n")
                assert await asked(tmp_path / "control.sock", "/healthz") == (200, b"ok")
                assert (await asked(tmp_path / "control.sock", "/api"))[0] == 404
            async with Server(telling.answers(sources), world) as third:
                telling.listen(third, tmp_path)
                assert (await asked(tmp_path / "control.sock", "/healthz"))[0] == 200

    uvloop.run(main())
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_which_nobody_may_listen_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with Server(telling.answers(Sources()), RealWorld()) as server:
            with pytest.raises(OSError, match="No such file"):
                telling.listen(server, tmp_path / "none")

    uvloop.run(main())


def test_the_size_of_a_store_is_what_its_files_take_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    (tmp_path / "b").write_bytes(b"x")
    text = prometheus.render(telling.of_store(tmp_path)).decode()
    line = text.splitlines()[2]
    name, size = line.split()
    assert name == 'apiserver_storage_size_bytes{storage_cluster_id="etcd-0"}'
    assert 100_000 < int(size) < 200_000
