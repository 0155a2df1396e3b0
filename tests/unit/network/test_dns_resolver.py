"""From a query's bytes to the answer's, and the sockets at which it comes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address

import pytest
from dns_cluster import (
    HEADLESS,
    NAMES,
    PEERS,
    ZONE,
    ListedNames,
    endpoint,
    query,
    service,
    slice_of,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from steersman.network.dns import forward, serve
from steersman.network.dns.forward import Forwarder
from steersman.network.dns.forward import Server as Nameserver
from steersman.network.dns.resolver import Resolver
from steersman.network.dns.serve import Server
from steersman.network.dns.sockets import Sockets
from steersman.network.dns.zone import Names
from steersman.wire import dns
from steersman.wire.dns import Edns, Message, Question, Record
from steersman.world.interface import Tasks, World
from steersman.world.real import RealWorld

SVC = "svc.cluster.local"
WAIT_SECONDS = 10.0
MANY = slice_of("peers", *(endpoint(f"10.244.1.{number}", ready=True) for number in range(1, 101)))


class Beyond:
    """The rest of the world: every name there has one address; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.answer: Callable[[Message], Message] = self.found

    def found(self, asked: Message) -> Message:
        record = Record(asked.questions[0].name, dns.A, 60, IPv4Address("198.51.100.1"))
        return dns.answering(asked, answers=(record,))

    async def datagram(
        self, _server: Nameserver, data: bytes, _fits: Callable[[bytes], bool]
    ) -> bytes:
        asked = dns.parse(data)
        self.asked += asked.questions
        return dns.encode(self.answer(asked))

    async def stream(self, server: Nameserver, data: bytes) -> bytes:
        raise OSError


def resolver(
    world: World, tasks: Tasks, beyond: Beyond, names: Names = NAMES, servers: int = 1
) -> Resolver:
    forwarder = Forwarder(lambda: [Nameserver("192.0.2.1")] * servers, beyond, world, tasks)
    return Resolver(lambda: ZONE, names, forwarder, world)


async def resolved(found: Resolver, data: bytes, limit: int = 1232) -> bytes:
    begun = found.begin(data, limit)
    return begun if isinstance(begun, bytes) else await found.finish(begun, limit)


def ask(
    asked: Message | bytes,
    *,
    limit: int = 1232,
    beyond: Beyond | None = None,
    names: Names = NAMES,
    servers: int = 1,
) -> Message | None:
    """The answer to a message or to bytes, None for none."""

    async def main() -> bytes:
        world = RealWorld()
        async with world.tasks() as tasks:
            made = resolver(world, tasks, beyond or Beyond(), names, servers)
            data = asked if isinstance(asked, bytes) else dns.encode(asked)
            return await resolved(made, data, limit)

    answer = asyncio.run(main())
    return dns.parse(answer) if answer else None


def test_the_cluster_s_names_are_answered_without_asking() -> None:
    beyond = Beyond()
    found = ask(query(f"web.default.{SVC}"), beyond=beyond)
    assert found is not None and found.id == 1 and len(found.answers) == 1
    assert ask(query(f"missing.default.{SVC}"), beyond=beyond).code == dns.NXDOMAIN  # type: ignore[union-attr]
    assert beyond.asked == []


def test_other_names_are_asked() -> None:
    beyond = Beyond()
    found = ask(query("example.org"), beyond=beyond)
    assert found is not None and str(found.answers[0].data) == "198.51.100.1"
    assert beyond.asked == [Question("example.org", dns.A)]


def test_where_nobody_answers_the_resolver_hears_that() -> None:
    for name in ("example.org", f"far.default.{SVC}"):
        found = ask(query(name), servers=0)
        assert found is not None and (found.code, found.answers) == (dns.SERVFAIL, ())


def test_an_external_name_brings_the_addresses_that_stand_at_its_end() -> None:
    beyond = Beyond()
    found = ask(query(f"far.default.{SVC}"), beyond=beyond)
    assert found is not None
    alias, address = found.answers
    assert (alias.type, alias.data) == (dns.CNAME, "Example.org")
    assert (address.name, str(address.data)) == ("Example.org", "198.51.100.1")
    assert beyond.asked == [Question("Example.org", dns.A)]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (replace(query("a"), opcode=4), dns.NOTIMP),
        (replace(query("a"), questions=()), dns.FORMERR),
        (replace(query("a"), questions=(Question("a", 1), Question("b", 1))), dns.FORMERR),
        (replace(query("a"), answers=(Record("a", 1, 0, ZONE.server),)), dns.FORMERR),
        (replace(query("a"), authority=(Record("a", 1, 0, ZONE.server),)), dns.FORMERR),
        (query("a", edns=Edns(version=1)), dns.BADVERS),
        (query("cluster.local", dns.AXFR), dns.REFUSED),
        (query("example.org", dns.IXFR), dns.REFUSED),
        (replace(query("a"), questions=(Question("version.bind", dns.TXT, 3),)), dns.REFUSED),
    ],
)
def test_what_nobody_answers_is_refused_with_its_code(asked: Message, code: int) -> None:
    beyond = Beyond()
    found = ask(asked, beyond=beyond)
    assert found is not None and (found.code, found.id, found.answers) == (code, 1, ())
    assert not found.recursion_available
    assert beyond.asked == []


def test_answers_get_no_answers() -> None:
    assert ask(replace(query("a"), response=True)) is None


def test_what_cannot_be_read_is_said_to_be_that_and_noise_gets_nothing() -> None:
    found = ask(dns.encode(query("a"))[:-1])
    assert found is not None and (found.code, found.id) == (dns.FORMERR, 1)
    assert ask(b"noise") is None
    assert ask(b"\0\1\x80" + bytes(8)) is None
    assert ask(dns.encode(replace(query("a"), response=True))[:-1]) is None


@given(st.binary(max_size=100))
def test_whatever_comes_nothing_breaks(data: bytes) -> None:
    found = ask(data, servers=0)
    assert found is None or found.response


def test_a_datagram_holds_what_the_resolver_takes() -> None:
    names = ListedNames(HEADLESS, MANY)
    asked = query(f"peers.default.{SVC}")
    sizes = []
    for edns in (None, Edns(100), Edns(900), Edns(4096)):
        found = ask(replace(asked, edns=edns), names=names)
        assert found is not None and found.truncated
        sizes.append(len(found.answers))
    # a header of 12 bytes, a question of 37, answers of 16, EDNS of 11
    assert sizes == [(512 - 49) // 16, (512 - 60) // 16, (900 - 60) // 16, (1232 - 60) // 16]
    whole = ask(asked, names=names, limit=65535)
    assert whole is not None and len(whole.answers) == 100 and not whole.truncated


def test_an_answer_from_elsewhere_that_is_too_long_is_asked_for_again_over_a_connection() -> None:
    beyond = Beyond()
    text = Record("example.org", dns.TXT, 60, (bytes(255),) * 4)
    beyond.answer = lambda asked: dns.answering(asked, answers=(text,))
    found = ask(query("example.org", dns.TXT), beyond=beyond)
    assert found is not None and (found.truncated, found.answers) == (True, ())
    found = ask(query("example.org", dns.TXT), beyond=beyond, limit=65535)
    assert found is not None and (found.truncated, found.answers) == (False, (text,))
    found = ask(query("example.org", dns.TXT, edns=Edns(4096)), beyond=beyond)
    assert found is not None and found.answers == (text,)


def test_addresses_come_in_turn_and_names_stay_in_front() -> None:
    seen = {tuple(str(it.data) for it in peers()) for _ in range(64)}
    assert seen == {("10.244.0.5", "10.244.0.6"), ("10.244.0.6", "10.244.0.5")}


def test_an_alias_stays_in_front_of_the_addresses_that_take_turns() -> None:
    there = f"peers.default.{SVC}"
    alias = service("alias", type="ExternalName", clusterIP="", externalName=there)
    seen = set()
    for _ in range(64):
        found = ask(query(f"alias.default.{SVC}"), names=ListedNames(alias, HEADLESS, PEERS))
        assert found is not None
        seen.add(tuple(str(it.data) for it in found.answers))
    assert seen == {(there, "10.244.0.5", "10.244.0.6"), (there, "10.244.0.6", "10.244.0.5")}


def peers() -> tuple[Record, ...]:
    found = ask(query(f"peers.default.{SVC}"), names=ListedNames(HEADLESS, PEERS))
    assert found is not None
    return found.answers


def test_a_kept_answer_is_given_at_once() -> None:
    async def main() -> None:
        world, beyond = RealWorld(), Beyond()
        async with world.tasks() as tasks:
            made = resolver(world, tasks, beyond)
            data = dns.encode(query("example.org"))
            first = await resolved(made, data)
            assert made.begin(data, 1232) == first

    asyncio.run(main())


# Sockets


def serving(test: Callable[[str, int], Awaitable[None]], beyond: Beyond | None = None) -> None:
    async def main() -> None:
        world = RealWorld()
        async with world.tasks() as tasks:
            server = Server(resolver(world, tasks, beyond or Beyond()), world, tasks)
            port = await server.listen("127.0.0.1", 0)
            await asyncio.wait_for(test("127.0.0.1", port), WAIT_SECONDS)
            server.close()
            tasks.stop()

    asyncio.run(main())


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.settimeout(WAIT_SECONDS)
        yield made


def test_datagrams_are_answered_to_whom_they_came_from() -> None:
    async def test(host: str, port: int) -> None:
        sockets = Sockets()
        for name in (f"web.default.{SVC}", "example.org"):
            asked = query(name)
            data = await sockets.datagram(
                Nameserver(host, port),
                dns.encode(asked),
                lambda answer, asked=asked: forward.check_answer(asked, answer),  # type: ignore[misc]
            )
            assert len(dns.parse(data).answers) == 1

    serving(test)


def test_a_connection_answers_one_query_after_another() -> None:
    async def test(host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for name in (f"web.default.{SVC}", "example.org", f"missing.default.{SVC}"):
            data = dns.encode(query(name))
            writer.write(len(data).to_bytes(2, "big") + data)
            length = int.from_bytes(await reader.readexactly(2), "big")
            found = dns.parse(await reader.readexactly(length))
            assert found.questions[0].name == name
        writer.close()

    serving(test)


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x00\x05noise", b"\x00"], ids=repr)
def test_a_connection_with_nonsense_ends(data: bytes) -> None:
    async def test(host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()

    serving(test)


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x00\x05noise"], ids=["too long", "noise"])
def test_a_connection_with_nonsense_ends_though_its_client_would_go_on(data: bytes) -> None:
    async def test(host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(data)
        async with asyncio.timeout(serve.IDLE_SECONDS / 2):
            assert await reader.read() == b""
        writer.close()

    serving(test)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MOST_CONNECTIONS", 1)

    async def test(host: str, port: int) -> None:
        sockets = Sockets()
        reader, writer = await asyncio.open_connection(host, port)
        data = dns.encode(query(f"web.default.{SVC}"))
        writer.write(len(data).to_bytes(2, "big") + data)
        await reader.readexactly(2)
        with pytest.raises(ConnectionError):
            await sockets.stream(Nameserver(host, port), data)
        writer.close()

    serving(test)


def test_connections_and_queries_that_are_over_leave_their_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serve, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(serve, "MOST_WAITING", 1)

    async def test(host: str, port: int) -> None:
        server, sockets = Nameserver(host, port), Sockets()
        for name in ("a.org", "b.org", "c.org"):
            data = dns.encode(query(name))
            assert await sockets.datagram(server, data, lambda _: True)
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(len(data).to_bytes(2, "big") + data)
            writer.write_eof()
            assert len(await reader.read()) > 2
            writer.close()

    serving(test)


def test_silent_connections_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "IDLE_SECONDS", 0.01)

    async def test(host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        assert await reader.read() == b""
        writer.close()

    serving(test)


async def first_answer(host: str, port: int, *datagrams: bytes) -> Message:
    """Sends datagrams from one socket and returns the first answer that comes there."""
    loop = asyncio.get_running_loop()
    heard = loop.create_future()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _address: object) -> None:
            heard.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=(host, port))
    for data in datagrams:
        transport.sendto(data)
    answer = dns.parse(await heard)
    transport.close()
    return answer


class Silent(Beyond):
    """Nameservers that are asked and never answer."""

    async def datagram(
        self, server: Nameserver, data: bytes, fits: Callable[[bytes], bool]
    ) -> bytes:
        await super().datagram(server, data, fits)
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize("most", [0, 1])
def test_queries_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(serve, "MOST_WAITING", most)
    beyond = Silent()

    async def test(host: str, port: int) -> None:
        names = ("a.org", "b.org", f"web.default.{SVC}")
        found = await first_answer(host, port, *(dns.encode(query(name)) for name in names))
        assert found.questions[0].name == f"web.default.{SVC}"
        assert [it.name for it in beyond.asked] == ["a.org"][:most]

    serving(test, beyond)


def test_a_datagram_that_is_too_long_for_a_query_gets_no_answer() -> None:
    async def test(host: str, port: int) -> None:
        long = dns.encode(query("long")) + bytes(serve.QUERY_BYTES)
        found = await first_answer(host, port, long, dns.encode(query(f"web.default.{SVC}")))
        assert found.questions[0].name == f"web.default.{SVC}"

    serving(test)


def test_a_nameserver_that_is_not_there_refuses(connection: socket.socket) -> None:
    connection.bind(("127.0.0.1", 0))
    port = connection.getsockname()[1]
    connection.close()

    async def main() -> None:
        with pytest.raises(OSError):
            await asyncio.wait_for(
                Sockets().datagram(Nameserver("127.0.0.1", port), b"x", lambda _: True),
                WAIT_SECONDS,
            )

    asyncio.run(main())


def test_what_does_not_fit_is_not_taken_for_the_answer(connection: socket.socket) -> None:
    connection.bind(("127.0.0.1", 0))
    port = connection.getsockname()[1]

    async def main() -> bytes:
        asking = asyncio.ensure_future(
            Sockets().datagram(Nameserver("127.0.0.1", port), b"x", lambda data: data == b"good")
        )
        peer = (await asyncio.to_thread(connection.recvfrom, 100))[1]
        for data in (b"bad", b"good", b"late"):
            connection.sendto(data, peer)
        return await asyncio.wait_for(asking, WAIT_SECONDS)

    assert asyncio.run(main()) == b"good"


@pytest.mark.parametrize("whole", [True, False], ids=["answers", "ends"])
def test_over_a_connection_a_message_is_preceded_by_its_length(whole: bool) -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(7))
        writer.write(b"\x00\x04good" if whole else b"\x00\x04go")
        writer.close()

    async def main() -> bytes:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            asked = Sockets().stream(Nameserver("127.0.0.1", port), b"query")
            return await asyncio.wait_for(asked, WAIT_SECONDS)

    if whole:
        assert asyncio.run(main()) == b"good"
    else:
        with pytest.raises(ConnectionError, match="the nameserver ended the connection"):
            asyncio.run(main())
    assert heard == [b"\x00\x05query"]
