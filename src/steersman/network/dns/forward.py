"""Names beyond the cluster: asked of the machine's own nameservers, each question once at a time.

An answer is taken only from whom was asked, with the id (chosen by chance) and the question that
were sent. Who asks what is being asked already waits for the same answer, so that nameservers that
ask us in turn cannot make a storm: their question waits for itself and both end with the time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from ipaddress import ip_address
from typing import NamedTuple, Protocol

from steersman.wire import dns
from steersman.wire.dns import Edns, Malformed, Message, Question
from steersman.world.interface import Tasks, World

# A resolver gives up after 5 s (resolv.conf(5)): it should hear before that there is no answer
ALL_SECONDS = 4.0
SERVER_SECONDS = 2.0  # CoreDNS' forward waits as long for one of its servers
MOST_QUESTIONS = 256  # a socket and some kB each
MOST_SERVERS = 3  # as many as a resolver reads (resolv.conf(5), MAXNS)
# kubeadm's set-up keeps answers for 30 s at most; a message of common size, so 4 MB in all
MOST_KEPT_SECONDS = 30
MOST_KEPT = 1000
KEPT_BYTES = 4096
# The question is asked again elsewhere where a server says one of these
_ELSEWHERE = (dns.SERVFAIL, dns.REFUSED, dns.NOTIMP)


class Server(NamedTuple):
    """Where a nameserver is."""

    address: str
    port: int = 53


class Exchange(Protocol):
    """How messages go to a nameserver and come back; raises OSError."""

    async def datagram(self, server: Server, data: bytes, fits: Callable[[bytes], bool]) -> bytes:
        """Sends a datagram; returns the first one from there that fits."""

    async def stream(self, server: Server, data: bytes) -> bytes:
        """Sends a message over a connection; returns the one that comes back."""


class _Key(NamedTuple):
    """What makes two questions the same."""

    name: str
    type: int
    class_: int
    edns: bool
    dnssec: bool


class _Kept(NamedTuple):
    data: bytes
    since: float
    until: float


class Forwarder:
    """Asks nameservers; `servers` says which there are at present."""

    def __init__(
        self,
        servers: Callable[[], Sequence[Server]],
        exchange: Exchange,
        world: World,
        tasks: Tasks,
    ) -> None:
        self._servers = servers
        self._exchange = exchange
        self._world = world
        self._tasks = tasks
        self._asked: dict[_Key, asyncio.Task[bytes | None]] = {}
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    def recall(self, query: Message) -> bytes | None:
        """Returns an answer that is still good, None where somebody must be asked."""
        key = _key(query)
        kept = self._kept.get(key)
        now = self._world.monotonic()
        if kept is None or now >= kept.until:
            self._kept.pop(key, None)
            return None
        self._kept.move_to_end(key)
        return _addressed(query, dns.aged(kept.data, int(now - kept.since)))

    async def ask(self, query: Message) -> bytes | None:
        """Returns the bytes of the answer to a query, None where nobody gives one in time."""
        if (kept := self.recall(query)) is not None:
            return kept
        key = _key(query)
        asked = self._asked.get(key)
        if asked is None:
            if len(self._asked) >= MOST_QUESTIONS:
                return None
            asked = self._tasks.start(self._ask(key, query), name=f"ask for {key.name}")
            self._asked[key] = asked
            asked.add_done_callback(lambda _: self._asked.pop(key, None))
        found = await asyncio.shield(asked)
        return None if found is None else _addressed(query, found)

    async def _ask(self, key: _Key, query: Message) -> bytes | None:
        last: bytes | None = None
        try:
            async with self._world.timeout(ALL_SECONDS):
                for server in self._servers()[:MOST_SERVERS]:
                    found = await self._ask_one(server, query)
                    if found is None:
                        continue
                    last, answer = found, dns.parse(found)
                    if answer.code not in _ELSEWHERE:
                        self._keep(key, found, lifetime(answer))
                        return found
        except TimeoutError:
            return last
        return last

    async def _ask_one(self, server: Server, query: Message) -> bytes | None:
        """Returns what one server answers, None where it does not answer properly."""
        edns = Edns(dnssec=query.edns.dnssec) if query.edns else None
        message = Message(
            self._world.draw(1 << 16),
            query.questions,
            recursion_desired=True,
            unchecked=query.unchecked,
            edns=edns,
        )
        data = dns.encode(message)
        try:
            async with self._world.timeout(SERVER_SECONDS):
                found = await self._exchange.datagram(
                    server, data, lambda answer: check_answer(message, answer)
                )
                if dns.parse(found).truncated:
                    found = await self._exchange.stream(server, data)
        except (OSError, TimeoutError):
            return None
        return found if check_answer(message, found) else None

    def _keep(self, key: _Key, data: bytes, seconds: int) -> None:
        if seconds <= 0 or len(data) > KEPT_BYTES:
            return
        now = self._world.monotonic()
        self._kept[key] = _Kept(data, now, now + seconds)
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)


def _key(query: Message) -> _Key:
    (question,) = query.questions
    edns = query.edns
    return _Key(
        question.name.lower(),
        question.type,
        question.class_,
        edns is not None,
        edns is not None and edns.dnssec,
    )


def plan_servers(addresses: Iterable[str], own: Collection[str]) -> list[Server]:
    """Returns the nameservers that a machine's resolv.conf names, without those that are us: what
    is asked of them would come back."""
    found = []
    for text in addresses:
        try:
            address = str(ip_address(text))
        except ValueError:
            continue
        if address not in own:
            found.append(Server(address))
    return found


def check_answer(query: Message, data: bytes) -> bool:
    """Says whether bytes are an answer to a query."""
    try:
        found = dns.parse(data)
    except Malformed:
        return False
    return (
        found.response
        and found.id == query.id
        and found.opcode == query.opcode
        and [_small(it) for it in found.questions] == [_small(it) for it in query.questions]
    )


def _small(question: Question) -> Question:
    return question._replace(name=question.name.lower())


def lifetime(answer: Message) -> int:
    """Returns for how many seconds an answer may be kept (RFC 2308), 0 for not at all."""
    if answer.truncated or answer.code not in (dns.NOERROR, dns.NXDOMAIN):
        return 0
    times = [record.ttl for record in (*answer.answers, *answer.authority)]
    if answer.code == dns.NXDOMAIN or not answer.answers:
        told = [it.data for it in answer.authority if isinstance(it.data, dns.Authority)]
        times += [data.minimum for data in told] or [0]
    return min((*times, MOST_KEPT_SECONDS))


def _addressed(query: Message, data: bytes) -> bytes:
    """Returns an answer with a query's own id, wish for recursion and spelling of the name."""
    head = bytearray(data)
    head[0:2] = query.id.to_bytes(2, "big")
    head[2] = head[2] & 0xFE | query.recursion_desired
    head[3] |= 0x80  # recursion is available: it took place
    question = dns.encode(Message(0, query.questions))[dns.HEADER_BYTES :]
    head[dns.HEADER_BYTES : dns.HEADER_BYTES + len(question)] = question
    return bytes(head)
