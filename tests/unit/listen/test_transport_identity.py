"""Who a client says it is: believed over the server's own socket, never sent or believed over TCP.

Client, server and authenticator are the real ones; only the answer is the test's.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from steersman.api.access.authentication import remote_user
from steersman.client.http import HTTPTransport, Target
from steersman.listen import certificates
from steersman.listen.serve import Server, tls_context
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld

WAIT_SECONDS = 60.0
USER = "system:node:one"
GROUPS = ("system:nodes", "a, b")


def answer(request: Request) -> Response:
    """Says whom the server believes to see, and whom the headers name."""
    user = remote_user(request)
    believed = f"{user.name}|{'|'.join(user.groups)}" if user else "nobody"
    named = request.headers.get("x-remote-user", "")
    return Response(f"{believed}/{named}".encode())


def ask(tmp_path: Path, *, over_tcp: bool, request: Request) -> str:
    async def main() -> str:
        files = certificates.ensure(tmp_path / "pki", (), RealWorld().now())
        async with Server(answer, RealWorld()) as server:
            context = tls_context(files.certificate(), files.key(), files.ca)
            _, port = await server.listen("127.0.0.1", 0, context)
            server.listen_unix(tmp_path / "s")
            if over_tcp:
                trusting = ssl.create_default_context(cafile=str(files.ca))
                target = Target("127.0.0.1", port, trusting, user=USER, groups=GROUPS)
            else:
                target = Target(socket=str(tmp_path / "s"), user=USER, groups=GROUPS)
            transport = HTTPTransport(target)
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    response = await transport.send(request)
            finally:
                await transport.close()
            assert isinstance(response.body, bytes)
            return response.body.decode()

    return uvloop.run(main())


def test_over_the_unix_socket_the_target_says_who_asks(tmp_path: Path) -> None:
    found = ask(tmp_path, over_tcp=False, request=Request("GET", "/"))
    assert found == f"{USER}|system:nodes|a, b|system:authenticated/{USER}"


def test_over_tcp_a_target_names_nobody(tmp_path: Path) -> None:
    assert ask(tmp_path, over_tcp=True, request=Request("GET", "/")) == "nobody/"


def test_over_tcp_forged_headers_are_not_believed(tmp_path: Path) -> None:
    forged = {"x-remote-user": "admin", "x-remote-group": "system:masters"}
    found = ask(tmp_path, over_tcp=True, request=Request("GET", "/", headers=forged))
    assert found == "nobody/admin"


def test_connections_are_of_tls_1_2_or_later_and_are_not_negotiated_anew(tmp_path: Path) -> None:
    files = certificates.ensure(tmp_path, (), RealWorld().now())
    optional = tls_context(files.certificate(), files.key(), files.ca)
    assert optional.minimum_version == ssl.TLSVersion.TLSv1_2
    assert optional.options & ssl.OP_NO_RENEGOTIATION
    assert optional.verify_mode == ssl.CERT_OPTIONAL
    required = tls_context(files.certificate(), files.key(), files.ca, require_client=True)
    assert required.verify_mode == ssl.CERT_REQUIRED


AES_128, AES_256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"


def agreed(client: ssl.SSLContext, server: ssl.SSLContext) -> str:
    """Returns the cipher of a handshake without sockets."""
    one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(one, other, server_hostname="localhost"),
        server.wrap_bio(other, one, server_side=True),
    ]
    for end in (*ends, *ends):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    cipher = ends[0].cipher()
    assert cipher is not None
    return cipher[0]


@pytest.mark.parametrize("order", [(AES_128, AES_256), (AES_256, AES_128)])
def test_of_the_ciphers_it_offers_a_client_gets_the_one_it_prefers(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    files = certificates.ensure(tmp_path, (), RealWorld().now())
    client = ssl.create_default_context(cafile=str(files.ca))
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # its order is one that Python can set
    client.set_ciphers(":".join(order))
    assert agreed(client, tls_context(files.certificate(), files.key(), files.ca)) == order[0]
