"""Names beyond the cluster: whose answers are taken, how long asking takes, what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address

import pytest
from dns_cluster import query
from msgspec.structs import replace

from steersman.network.dns import forward
from steersman.network.dns.forward import Forwarder, Server, check_answer, lifetime, plan_servers
from steersman.wire import dns
from steersman.wire.dns import Authority, Edns, Message, Question, Record
from steersman.world.simulated import SimulatedWorld, simulate

FIRST, SECOND = Server("192.0.2.1"), Server("192.0.2.2")
ADDRESS = Record("example.org", dns.A, 60, IPv4Address("198.51.100.1"))
AUTHORITY = Record("org", dns.SOA, 900, Authority("ns.org", "me.org", 1, 2, 3, 4, 20))
Reply = Callable[[Message], Message | Exception | None]


def found(asked: Message) -> Message:
    name = asked.questions[0].name
    return replace(dns.answering(asked), answers=(ADDRESS._replace(name=name),))


class Nameservers:
    """Servers that say what a test has them say: None is silence."""

    def __init__(self, **replies: Reply) -> None:
        self.replies = {FIRST: replies.get("first", found), SECOND: replies.get("second", found)}
        self.long: Reply = found
        self.asked: list[tuple[Server, Message]] = []
        self.streams = 0

    async def datagram(self, server: Server, data: bytes, fits: Callable[[bytes], bool]) -> bytes:
        query = dns.parse(data)
        self.asked.append((server, query))
        reply = self.replies[server](query)
        if isinstance(reply, Exception):
            raise reply
        if reply is None or not fits(dns.encode(reply)):
            await asyncio.Event().wait()
        assert isinstance(reply, Message)
        return dns.encode(reply)

    async def stream(self, server: Server, data: bytes) -> bytes:
        self.streams += 1
        reply = self.long(dns.parse(data))
        if isinstance(reply, Exception):
            raise reply
        assert reply is not None
        return dns.encode(reply)


Test = Callable[[Forwarder, SimulatedWorld], Awaitable[None]]


def run(servers: Nameservers, test: Test, known: Sequence[Server] = (FIRST, SECOND)) -> None:
    async def main(world: SimulatedWorld) -> None:
        async with world.tasks() as tasks:
            await test(Forwarder(lambda: known, servers, world, tasks), world)
            tasks.stop()

    simulate(1, main)


async def ask(forwarder: Forwarder, asked: Message) -> Message | None:
    data = await forwarder.ask(asked)
    return None if data is None else dns.parse(data)


def test_the_first_server_is_asked_and_its_answer_given_to_the_query() -> None:
    servers = Nameservers()
    asked = replace(query("Example.ORG"), id=77, recursion_desired=False)

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        got = await ask(forwarder, asked)
        assert got is not None
        assert (got.id, got.questions) == (77, asked.questions)
        assert got.answers == (ADDRESS._replace(name="Example.ORG"),)
        assert (got.recursion_desired, got.recursion_available) == (False, True)
        ((server, sent),) = servers.asked
        assert server == FIRST and sent.recursion_desired and sent.id != 77
        assert sent.edns is None

    run(servers, test)


def test_ids_are_drawn_by_chance() -> None:
    servers = Nameservers()

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        for number in range(20):
            await ask(forwarder, query(f"n{number}.org"))
        assert len({sent.id for _, sent in servers.asked}) == 20

    run(servers, test)


@pytest.mark.parametrize("code", [dns.SERVFAIL, dns.REFUSED, dns.NOTIMP])
def test_a_server_that_does_not_want_leads_to_the_next(code: int) -> None:
    servers = Nameservers(first=lambda asked: dns.answering(asked, code))

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        got = await ask(forwarder, query("example.org"))
        assert got is not None and got.answers == (ADDRESS,)
        assert [server for server, _ in servers.asked] == [FIRST, SECOND]

    run(servers, test)


def test_where_no_server_wants_the_last_answer_is_given_and_not_kept() -> None:
    def unable(asked: Message) -> Message:
        return dns.answering(asked, dns.SERVFAIL)

    servers = Nameservers(first=unable, second=unable)

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        for _ in range(2):
            got = await ask(forwarder, query("example.org"))
            assert got is not None and got.code == dns.SERVFAIL
        assert len(servers.asked) == 4

    run(servers, test)


@pytest.mark.parametrize("reply", [None, ConnectionRefusedError()], ids=["silent", "refuses"])
def test_a_server_that_is_not_there_leads_to_the_next(reply: Exception | None) -> None:
    servers = Nameservers(first=lambda _: reply)

    async def test(forwarder: Forwarder, world: SimulatedWorld) -> None:
        got = await ask(forwarder, query("example.org"))
        assert got is not None and got.answers == (ADDRESS,)
        assert world.monotonic() == (0 if reply else forward.SERVER_SECONDS)

    run(servers, test)


def test_a_refusal_is_given_where_the_other_servers_are_silent() -> None:
    servers = Nameservers(
        first=lambda asked: dns.answering(asked, dns.SERVFAIL), second=lambda _: None
    )

    async def test(forwarder: Forwarder, world: SimulatedWorld) -> None:
        got = await ask(forwarder, query("example.org"))
        assert got is not None and got.code == dns.SERVFAIL
        assert world.monotonic() == forward.ALL_SECONDS

    run(servers, test, (FIRST, SECOND, SECOND))


def test_where_nobody_answers_that_is_said_before_resolvers_give_up() -> None:
    servers = Nameservers(first=lambda _: None, second=lambda _: None)
    many = (FIRST, SECOND, FIRST, SECOND)

    async def test(forwarder: Forwarder, world: SimulatedWorld) -> None:
        assert await forwarder.ask(query("example.org")) is None
        assert world.monotonic() == forward.ALL_SECONDS < 5

    run(servers, test, many)


def test_without_servers_there_is_no_answer_and_no_waiting() -> None:
    async def test(forwarder: Forwarder, world: SimulatedWorld) -> None:
        assert await forwarder.ask(query("example.org")) is None
        assert world.monotonic() == 0

    run(Nameservers(), test, ())


def test_no_more_servers_are_asked_than_a_resolver_reads() -> None:
    servers = Nameservers(first=lambda _: OSError(), second=lambda _: OSError())

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        assert await forwarder.ask(query("example.org")) is None
        assert len(servers.asked) == forward.MOST_SERVERS

    run(servers, test, (FIRST,) * 5)


def test_a_cut_answer_is_asked_for_over_a_connection() -> None:
    servers = Nameservers(first=lambda asked: dns.answering(asked, truncated=True))

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        got = await ask(forwarder, query("example.org"))
        assert got is not None and got.answers == (ADDRESS,)
        assert (servers.streams, len(servers.asked)) == (1, 1)
        servers.long = lambda asked: found(replace(asked, id=asked.id ^ 1))
        servers.replies[SECOND] = lambda asked: dns.answering(asked, dns.NXDOMAIN)
        got = await ask(forwarder, query("other.org"))
        assert got is not None and got.code == dns.NXDOMAIN

    run(servers, test)


def test_the_same_question_is_asked_once_at_a_time() -> None:
    servers = Nameservers()

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        queries = [replace(query("example.org"), id=number) for number in range(5)]
        queries[1] = replace(query("EXAMPLE.org"), id=1)
        got = await asyncio.gather(*(ask(forwarder, it) for it in queries))
        assert [it.id for it in got if it] == [0, 1, 2, 3, 4]
        assert [it.questions for it in got if it] == [it.questions for it in queries]
        assert len(servers.asked) == 1

    run(servers, test)


def test_a_server_that_asks_us_in_turn_makes_no_storm() -> None:
    servers = Nameservers(first=lambda _: None)

    async def test(forwarder: Forwarder, world: SimulatedWorld) -> None:
        first = asyncio.ensure_future(forwarder.ask(query("example.org")))
        await asyncio.sleep(0)
        again = [asyncio.ensure_future(forwarder.ask(query("example.org"))) for _ in range(50)]
        assert await asyncio.gather(first, *again) == [None] * 51
        assert len(servers.asked) == 1 and world.monotonic() == forward.SERVER_SECONDS

    run(servers, test, (FIRST,))


def test_who_gives_up_does_not_end_the_question_of_others() -> None:
    servers = Nameservers(first=lambda _: None)

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        impatient = asyncio.ensure_future(forwarder.ask(query("example.org")))
        patient = asyncio.ensure_future(ask(forwarder, query("example.org")))
        await asyncio.sleep(0)
        impatient.cancel()
        got = await patient
        assert got is not None and got.answers == (ADDRESS,)

    run(servers, test)


def test_questions_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "MOST_QUESTIONS", 2)
    servers = Nameservers()

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        got = await asyncio.gather(*(ask(forwarder, query(f"n{n}.org")) for n in range(3)))
        assert [it is None for it in got] == [False, False, True]
        assert await ask(forwarder, query("n2.org")) is not None

    run(servers, test)


def test_answers_are_kept_and_grow_older() -> None:
    servers = Nameservers()

    async def test(forwarder: Forwarder, world: SimulatedWorld) -> None:
        assert forwarder.recall(query("example.org")) is None
        await ask(forwarder, query("example.org"))
        await world.sleep(12)
        kept = forwarder.recall(replace(query("eXample.org"), id=5))
        assert kept is not None
        assert dns.parse(kept).answers == (ADDRESS._replace(name="eXample.org", ttl=48),)
        assert dns.parse(kept).id == 5
        await world.sleep(18)
        assert forwarder.recall(query("example.org")) is None
        await ask(forwarder, query("example.org"))
        assert len(servers.asked) == 2

    run(servers, test)


def test_what_is_kept_is_not_asked_for_again() -> None:
    servers = Nameservers()

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        for number in (5, 6):
            got = await ask(forwarder, replace(query("example.org"), id=number))
            assert got is not None and (got.id, got.answers) == (number, (ADDRESS,))
        assert len(servers.asked) == 1

    run(servers, test)


def test_recursion_took_place_whatever_the_nameserver_says_of_itself() -> None:
    servers = Nameservers(first=lambda asked: replace(found(asked), recursion_available=False))

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        got = await ask(forwarder, query("example.org"))
        assert got is not None and got.recursion_available

    run(servers, test)


def test_other_types_and_those_who_know_edns_have_answers_of_their_own() -> None:
    servers = Nameservers()

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        await ask(forwarder, query("example.org"))
        assert forwarder.recall(query("example.org", dns.AAAA)) is None
        for edns in (Edns(4096), Edns(4096, dnssec=True)):
            asked = query("example.org", edns=edns)
            assert forwarder.recall(asked) is None
            await ask(forwarder, asked)
            assert servers.asked[-1][1].edns == Edns(1232, 0, edns.dnssec)
            assert forwarder.recall(asked) is not None

    run(servers, test)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "MOST_KEPT", 2)

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        for name in ("a", "b"):
            await ask(forwarder, query(name))
        assert forwarder.recall(query("a")) is not None
        await ask(forwarder, query("c"))
        kept = [forwarder.recall(query(name)) is not None for name in ("a", "b", "c")]
        assert kept == [True, False, True]

    run(Nameservers(), test)


def test_long_answers_are_not_kept() -> None:
    def long(asked: Message) -> Message:
        return replace(found(asked), answers=(Record("x", dns.TXT, 60, (bytes(255),) * 16),))

    async def test(forwarder: Forwarder, _: SimulatedWorld) -> None:
        assert await ask(forwarder, query("example.org")) is not None
        assert forwarder.recall(query("example.org")) is None

    run(Nameservers(first=long), test)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Message(1, answers=(ADDRESS,)), 30),
        (Message(1, answers=(ADDRESS, ADDRESS._replace(ttl=9))), 9),
        (Message(1, answers=(ADDRESS,), authority=(ADDRESS._replace(ttl=8),)), 8),
        (Message(1, code=dns.NXDOMAIN, authority=(AUTHORITY,)), 20),
        (Message(1, authority=(AUTHORITY._replace(ttl=3),)), 3),
        (Message(1, authority=(ADDRESS, AUTHORITY)), 20),
        (Message(1), 0),
        (Message(1, code=dns.NXDOMAIN, answers=(ADDRESS,)), 0),
        (Message(1, code=dns.SERVFAIL, authority=(AUTHORITY,)), 0),
        (Message(1, answers=(ADDRESS,), truncated=True), 0),
    ],
)
def test_how_long_an_answer_is_good(answer: Message, seconds: int) -> None:
    assert lifetime(answer) == seconds


def test_only_an_answer_to_the_question_is_one() -> None:
    asked = query("example.org")
    good = found(asked)
    assert check_answer(asked, dns.encode(good))
    assert check_answer(asked, dns.encode(replace(good, questions=(Question("EXAMPLE.org", 1),))))
    for bad in (
        replace(good, id=asked.id ^ 1),
        replace(good, response=False),
        replace(good, opcode=4),
        replace(good, questions=()),
        replace(good, questions=(Question("example.com", dns.A),)),
        replace(good, questions=(Question("example.org", dns.AAAA),)),
        replace(good, questions=(*good.questions, *good.questions)),
    ):
        assert not check_answer(asked, dns.encode(bad))
    assert not check_answer(asked, b"garbage")


def test_nameservers_that_are_us_or_no_addresses_are_not_asked() -> None:
    texts = ["10.244.0.1", "192.0.2.1", "fe80::1%eth0", "nonsense", "FD00::1"]
    assert plan_servers(texts, {"10.244.0.1"}) == [
        Server("192.0.2.1"), Server("fe80::1%eth0"), Server("fd00::1"),
    ]  # fmt: skip
