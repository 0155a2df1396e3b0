"""From a query's bytes to the answer's: the cluster's names at once, others by asking.

A query that is nonsense gets the code that says so, what is no query gets nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from steersman.network.dns import zone as zones
from steersman.network.dns.forward import Forwarder
from steersman.network.dns.zone import Names, Zone
from steersman.wire import dns
from steersman.wire.dns import Malformed, Message, Record
from steersman.world.interface import World


class Resolver:
    """Answers for one cluster; `zone` says how the zone is at present."""

    def __init__(
        self, zone: Callable[[], Zone], names: Names, forwarder: Forwarder, world: World
    ) -> None:
        self._zone = zone
        self._names = names
        self._forwarder = forwarder
        self._world = world

    def begin(self, data: bytes, limit: int) -> bytes | Message:
        """Returns the answer to a query where it is known, empty where there is to be none, or the
        query where somebody must be asked.

        `limit` is what the way back can carry; datagrams are kept to what the query says too.
        """
        try:
            query = dns.parse(data)
        except Malformed:
            return _malformed(data)
        if query.response:
            return b""
        if code := check_query(query):
            return dns.encode(_refusal(query, code), room(query, limit))
        found = zones.answer(query, self._zone(), self._names)
        if found is None:
            kept = self._forwarder.recall(query)
            return query if kept is None else fitted(query, kept, limit)
        if zones.open_end(found, self._zone()):
            return query
        return dns.encode(self._turned(found), room(query, limit))

    def _turned(self, found: Message) -> Message:
        """Returns an answer with its addresses in turn, so that clients that take the first spread
        over all (kubeadm's `loadbalance`)."""
        first = next((n for n, it in enumerate(found.answers) if it.type != dns.CNAME), 0)
        names, rest = found.answers[:first], found.answers[first:]
        if len(rest) < 2:
            return found
        turn = self._world.draw(len(rest))
        return replace(found, answers=(*names, *rest[turn:], *rest[:turn]))

    async def finish(self, query: Message, limit: int) -> bytes:
        """Returns the answer to a query that `begin` gave back."""
        zone = self._zone()
        found = zones.answer(query, zone, self._names)
        target = zones.open_end(found, zone) if found else ""
        if found is None or not target:
            answer = await self._forwarder.ask(query)
            return self._failed(query, limit) if answer is None else fitted(query, answer, limit)
        question = query.questions[0]._replace(name=target)
        answer = await self._forwarder.ask(replace(query, questions=(question,)))
        if answer is None:
            return self._failed(query, limit)
        return dns.encode(zones.joined(found, dns.parse(answer)), room(query, limit))

    def _failed(self, query: Message, limit: int) -> bytes:
        return dns.encode(dns.answering(query, dns.SERVFAIL), room(query, limit))


def check_query(query: Message) -> int:
    """Returns the code that refuses a query, 0 for one that can be answered."""
    if query.opcode != dns.QUERY:
        return dns.NOTIMP
    if len(query.questions) != 1 or query.answers or query.authority:
        return dns.FORMERR
    if query.edns is not None and query.edns.version != 0:
        return dns.BADVERS
    (question,) = query.questions
    if question.class_ != dns.IN or question.type in (dns.AXFR, dns.IXFR):
        return dns.REFUSED
    return dns.NOERROR


def _refusal(query: Message, code: int) -> Message:
    return replace(dns.answering(query, code), recursion_available=False)


def _malformed(data: bytes) -> bytes:
    """Returns the answer to what cannot be read, none where it cannot have been a query."""
    if len(data) < dns.HEADER_BYTES or data[2] & 0x80:
        return b""
    number = int.from_bytes(data[:2], "big")
    return dns.encode(Message(number, response=True, code=dns.FORMERR))


def room(query: Message, limit: int) -> int:
    """Returns how many bytes an answer may have: on a connection what a message can have."""
    if limit > dns.DATAGRAM_BYTES:
        return limit
    wanted = query.edns.size if query.edns else dns.PLAIN_BYTES
    return min(limit, max(wanted, dns.PLAIN_BYTES))


def fitted(query: Message, answer: bytes, limit: int) -> bytes:
    """Returns the bytes of an answer where they fit, else that it is too long for a datagram."""
    if len(answer) <= room(query, limit):
        return answer
    code, nothing = dns.parse(answer).code, tuple[Record, ...]()
    return dns.encode(dns.answering(query, code, answers=nothing, truncated=True))
