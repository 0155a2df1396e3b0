"""What the processes of a cluster do alike: renewed certificates are taken at a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from pathlib import Path

from steersman.cluster.process import first_address, reload_on_hangup, stop_signal
from steersman.listen.certificates import ADMIN, SERVER, Certificates, ensure
from steersman.listen.serve import Server, tls_context
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld

WAIT_SECONDS = 60.0


def renewed(files: Certificates, *names: str) -> None:
    """Makes new certificates in place of some."""
    for name in names:
        files.certificate(name).unlink()
        files.key(name).unlink()
    ensure(files.directory, (), RealWorld().now())


def shown(files: Certificates, name: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(files.certificate(name).read_text())


def test_at_a_hangup_renewed_certificates_are_shown_to_new_connections(tmp_path: Path) -> None:
    seen: list[bytes | None] = []

    def handler(request: Request) -> Response:
        assert request.peer is not None
        seen.append(request.peer.certificate)
        return Response(b"ok")

    async def ask(port: int, client: ssl.SSLContext) -> bytes:
        """Asks once; returns what the server has shown."""
        reader, writer = await asyncio.open_connection("localhost", port, ssl=client)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"ok")
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return certificate

    async def main() -> None:
        files = ensure(tmp_path, (), RealWorld().now())
        listening = tls_context(files.certificate(), files.key(), files.ca)
        client = ssl.create_default_context(cafile=str(files.ca))
        client.load_cert_chain(files.certificate(ADMIN.file), files.key(ADMIN.file))
        reload_on_hangup(files, (SERVER, listening), (ADMIN.file, client))
        async with Server(handler, RealWorld()) as server:
            _, port = await server.listen("127.0.0.1", 0, listening)
            first = shown(files, SERVER), shown(files, ADMIN.file)
            assert (await ask(port, client), seen.pop()) == first
            renewed(files, SERVER, ADMIN.file)
            second = shown(files, SERVER), shown(files, ADMIN.file)
            assert first[0] != second[0] and first[1] != second[1]
            told = asyncio.Event()
            os.kill(os.getpid(), signal.SIGHUP)
            asyncio.get_running_loop().call_later(0, told.set)
            await told.wait()
            async with asyncio.timeout(WAIT_SECONDS):
                while (await ask(port, client), seen.pop()) != second:
                    pass

    asyncio.run(main())


def test_each_of_the_two_signals_stops_a_process() -> None:
    async def main(number: int) -> None:
        stop = stop_signal()
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(WAIT_SECONDS):
            await stop.wait()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.run(main(number))


def test_the_first_address_of_a_range_is_the_one_after_its_own() -> None:
    assert first_address("10.96.0.0/16") == "10.96.0.1"
    assert first_address("192.168.8.128/25") == "192.168.8.129"
