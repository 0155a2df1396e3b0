"""DNS messages: bytes to values and back, no I/O (RFC 1035, SRV of RFC 2782, EDNS of RFC 6891).

A name is text without its last dot, `.` the separator, the root empty; a byte of a label that is
not printable, a dot or a backslash is written `\\DDD`. What cannot be read raises `Malformed` and
nothing else, whatever the bytes are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT = 1, 2, 5, 6, 12, 16, 28, 33, 41
# Questions about whole zones (RFC 5936), which nobody here answers
IXFR, AXFR = 251, 252
IN, ANY_CLASS = 1, 255
QUERY = 0
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

HEADER_BYTES = 12
# What every resolver takes in a datagram, and what is offered: below any MTU (RFC 9715)
PLAIN_BYTES, DATAGRAM_BYTES = 512, 1232
MESSAGE_BYTES = 65535
LABEL_BYTES, NAME_BYTES = 63, 255
# A name has fewer labels than this; each leads at most once to an earlier place
MOST_POINTERS = 128
_POINTER = 0xC0
_FARTHEST = 0x3FFF  # what a pointer can say
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_QUESTION = struct.Struct("!HH")
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _DESIRED, _AVAILABLE = 0x8000, 0x400, 0x200, 0x100, 0x80
_AUTHENTIC, _UNCHECKED = 0x20, 0x10
_DNSSEC_OK = 0x8000
_SPECIAL = re.compile(rb"[^!-~]|\\|\.")
_ESCAPED = re.compile(rb"\\([0-9]{3})|[^!-~]|\\|\.")


class Malformed(ValueError):
    """Bytes that are no DNS message, or a name that cannot be written as one."""


class Service(NamedTuple):
    """The data of an SRV record."""

    priority: int
    weight: int
    port: int
    target: str


class Authority(NamedTuple):
    """The data of an SOA record; times in seconds."""

    server: str
    mailbox: str
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int


Texts = tuple[bytes, ...]
# A name is the data of CNAME, NS and PTR; bytes that of every type that is not known here
Data = IPv4Address | IPv6Address | str | Service | Authority | Texts | bytes


class Question(NamedTuple):
    """What is asked."""

    name: str
    type: int
    class_: int = IN


class Record(NamedTuple):
    """One resource record of the class IN, but for those of another, whose data are bytes."""

    name: str
    type: int
    ttl: int
    data: Data
    class_: int = IN


class Edns(msgspec.Struct, frozen=True):
    """What a message says beyond RFC 1035: `size` in bytes of the datagrams its sender takes."""

    size: int = DATAGRAM_BYTES
    version: int = 0
    dnssec: bool = False


class Message(msgspec.Struct, frozen=True):
    """A query or an answer."""

    id: int
    questions: tuple[Question, ...] = ()
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    response: bool = False
    opcode: int = QUERY
    authoritative: bool = False
    truncated: bool = False
    recursion_desired: bool = False
    recursion_available: bool = False
    authentic: bool = False
    unchecked: bool = False
    code: int = NOERROR
    edns: Edns | None = None


def parse(data: bytes) -> Message:
    """Reads one message; raises Malformed."""
    if len(data) > MESSAGE_BYTES:
        raise Malformed("longer than a message can be")
    try:
        return _Reader(data).message()
    except (struct.error, IndexError) as error:
        raise Malformed("ends too early") from error


class _Reader:
    """Reads a message from its beginning; whatever lies beyond its end raises an error."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def message(self) -> Message:
        number, flags, questions, *counts = _HEADER.unpack_from(self._data)
        self._at = HEADER_BYTES
        asked = tuple(self._question() for _ in range(questions))
        answers, authority, additional = (
            [self._record() for _ in range(count)] for count in counts
        )
        options = [record for record, _ in additional if record.type == OPT]
        if len(options) > 1 or any(record.type == OPT for record, _ in (*answers, *authority)):
            raise Malformed("more than one OPT record, or one out of place")
        edns, extended = _edns(options)
        return Message(
            id=number,
            questions=asked,
            answers=tuple(record for record, _ in answers),
            authority=tuple(record for record, _ in authority),
            additional=tuple(record for record, _ in additional if record.type != OPT),
            response=bool(flags & _RESPONSE),
            opcode=flags >> 11 & 0xF,
            authoritative=bool(flags & _AUTHORITATIVE),
            truncated=bool(flags & _TRUNCATED),
            recursion_desired=bool(flags & _DESIRED),
            recursion_available=bool(flags & _AVAILABLE),
            authentic=bool(flags & _AUTHENTIC),
            unchecked=bool(flags & _UNCHECKED),
            code=flags & 0xF | extended << 4,
            edns=edns,
        )

    def _question(self) -> Question:
        name = self._name()
        kind, class_ = _QUESTION.unpack_from(self._data, self._at)
        self._at += _QUESTION.size
        return Question(name, kind, class_)

    def _record(self) -> tuple[Record, int]:
        """Returns a record and where its TTL stands."""
        name = self._name()
        kind, class_, ttl, length = _RECORD.unpack_from(self._data, self._at)
        place = self._at + _QUESTION.size
        self._at += _RECORD.size
        end = self._at + length
        if end > len(self._data):
            raise Malformed("a record ends too early")
        read = _READERS.get(kind) if class_ == IN else None
        data: Data = read(self, end) if read else self._bytes(length)
        if self._at != end:
            raise Malformed("a record's data have another length than it says")
        # A TTL with its highest bit set counts as 0 (RFC 2181 section 8); OPT has flags there
        aged = 0 if ttl >> 31 and kind != OPT else ttl
        return Record(name, kind, aged, data, class_), place

    def _bytes(self, length: int) -> bytes:
        found = self._data[self._at : self._at + length]
        if len(found) != length:
            raise Malformed("ends too early")
        self._at += length
        return found

    def _name(self) -> str:
        """Reads a name here, following pointers, each of which leads to an earlier place."""
        labels: list[str] = []
        size, at, behind, hops = 1, self._at, -1, 0
        lowest = at
        while length := self._data[at]:
            if length & _POINTER == _POINTER:
                target = (length & ~_POINTER) << 8 | self._data[at + 1]
                behind = at + 2 if behind < 0 else behind
                hops += 1
                if target >= lowest or hops > MOST_POINTERS:
                    raise Malformed("a name points at itself or ahead")
                at = lowest = target
                continue
            if length & _POINTER:
                raise Malformed("a label of an unknown kind")
            label = self._data[at + 1 : at + 1 + length]
            size += 1 + length
            if len(label) != length or size > NAME_BYTES:
                raise Malformed("a name is too long or ends too early")
            labels.append(_shown(label))
            at += 1 + length
        self._at = behind if behind >= 0 else at + 1
        return ".".join(labels)

    def _target(self, _end: int) -> str:
        return self._name()

    def _address(self, end: int) -> IPv4Address:
        return IPv4Address(self._exactly(4, end))

    def _long_address(self, end: int) -> IPv6Address:
        return IPv6Address(self._exactly(16, end))

    def _exactly(self, size: int, end: int) -> bytes:
        if end - self._at != size:
            raise Malformed("an address of a wrong length")
        return self._bytes(size)

    def _service(self, _end: int) -> Service:
        priority, weight, port = struct.unpack_from("!HHH", self._data, self._at)
        self._at += 6
        return Service(priority, weight, port, self._name())

    def _authority(self, _end: int) -> Authority:
        server, mailbox = self._name(), self._name()
        numbers = struct.unpack_from("!IIIII", self._data, self._at)
        self._at += 20
        return Authority(server, mailbox, *numbers)

    def _texts(self, end: int) -> Texts:
        found = []
        while self._at < end:
            length = self._data[self._at]
            self._at += 1
            found.append(self._bytes(length))
        return tuple(found)

    def places(self) -> list[tuple[Record, int]]:
        """Returns all records but OPT, each with the place of its TTL."""
        _, _, questions, *counts = _HEADER.unpack_from(self._data)
        self._at = HEADER_BYTES
        for _ in range(questions):
            self._question()
        found = [self._record() for _ in range(sum(counts))]
        return [(record, place) for record, place in found if record.type != OPT]


_READERS: dict[int, Callable[[_Reader, int], Data]] = {
    A: _Reader._address,
    AAAA: _Reader._long_address,
    NS: _Reader._target,
    CNAME: _Reader._target,
    PTR: _Reader._target,
    SRV: _Reader._service,
    SOA: _Reader._authority,
    TXT: _Reader._texts,
}


def _edns(options: list[Record]) -> tuple[Edns | None, int]:
    """Returns what an OPT record says, and the upper bits of the code."""
    if not options:
        return None, 0
    (found,) = options
    if found.name:
        raise Malformed("an OPT record that is not the root's")
    version, dnssec = found.ttl >> 16 & 0xFF, bool(found.ttl & _DNSSEC_OK)
    return Edns(found.class_, version, dnssec), found.ttl >> 24


def _shown(label: bytes) -> str:
    return _SPECIAL.sub(lambda found: b"\\%03d" % found[0][0], label).decode("ascii")


def labels_of(name: str) -> tuple[bytes, ...]:
    """Returns the labels of a name; raises Malformed for one that no message can hold."""
    if not name:
        return ()
    try:
        labels = tuple(_label(text) for text in name.encode("ascii").split(b"."))
    except UnicodeEncodeError as error:
        raise Malformed("a name that is not ASCII") from error
    if sum(len(label) + 1 for label in labels) >= NAME_BYTES:
        raise Malformed("a name that is too long")
    return labels


def _label(text: bytes) -> bytes:
    def plain(found: re.Match[bytes]) -> bytes:
        number = int(found[1]) if found[1] else -1
        if not 0 <= number < 256:
            raise Malformed("a label with what must be escaped")
        return bytes((number,))

    label = _ESCAPED.sub(plain, text)
    if not 0 < len(label) <= LABEL_BYTES:
        raise Malformed("a label that is empty or too long")
    return label


def encode(message: Message, limit: int = MESSAGE_BYTES) -> bytes:
    """Returns the bytes of a message in at most `limit` bytes.

    What does not fit is left out from the end; where answers or authority are left out the message
    says that it is truncated. Raises Malformed for names or texts that cannot be.
    """
    writer = _Writer()
    for question in message.questions:
        writer.question(question)
    room = limit - (_OPTION_BYTES if message.edns else 0)
    counts, whole = [], True
    for part in (message.answers, message.authority, message.additional):
        fitting = len(writer.fitting(part, room)) if whole else 0
        counts.append(fitting)
        whole = whole and fitting == len(part)
    cut = counts[:2] != [len(message.answers), len(message.authority)]
    if message.edns is not None:
        writer.option(message.edns, message.code)
        counts[2] += 1
    flags = _flags(replace(message, truncated=message.truncated or cut))
    head = _HEADER.pack(message.id, flags, len(message.questions), *counts)
    return head + bytes(writer.data[HEADER_BYTES:])


_OPTION_BYTES = 11


def _flags(message: Message) -> int:
    flags = (message.opcode & 0xF) << 11 | message.code & 0xF
    for bit, told in (
        (_RESPONSE, message.response),
        (_AUTHORITATIVE, message.authoritative),
        (_TRUNCATED, message.truncated),
        (_DESIRED, message.recursion_desired),
        (_AVAILABLE, message.recursion_available),
        (_AUTHENTIC, message.authentic),
        (_UNCHECKED, message.unchecked),
    ):
        flags |= bit if told else 0
    return flags


class _Writer:
    """Writes a message; names that end like earlier ones point there."""

    def __init__(self) -> None:
        self.data = bytearray(HEADER_BYTES)
        self._places: dict[tuple[bytes, ...], int] = {}

    def question(self, question: Question) -> None:
        self.name(question.name)
        self.data += _QUESTION.pack(question.type, question.class_)

    def fitting(self, records: tuple[Record, ...], room: int) -> list[Record]:
        """Writes records until one would go beyond the room; returns those it wrote.

        After a record that was taken back no name may be written: it might point there.
        """
        for count, record in enumerate(records):
            before = len(self.data)
            self.record(record)
            if len(self.data) > room:
                del self.data[before:]
                return list(records[:count])
        return list(records)

    def record(self, record: Record) -> None:
        self.name(record.name)
        self.data += _RECORD.pack(record.type, record.class_, record.ttl, 0)
        begin = len(self.data)
        self._content(record.data)
        length = len(self.data) - begin
        if length > 0xFFFF:
            raise Malformed("a record that is too long")
        self.data[begin - 2 : begin] = struct.pack("!H", length)

    def _content(self, data: Data) -> None:
        match data:
            case IPv4Address() | IPv6Address():
                self.data += data.packed
            case str():
                self.name(data)
            case Service():
                self.data += struct.pack("!HHH", *data[:3])
                self.name(data.target, short=False)
            case Authority():
                self.name(data.server)
                self.name(data.mailbox)
                self.data += struct.pack("!IIIII", *data[2:])
            case bytes():
                self.data += data
            case _:
                for text in data:
                    if len(text) > 255:
                        raise Malformed("a text that is too long")
                    self.data += bytes((len(text),)) + text

    def option(self, edns: Edns, code: int) -> None:
        flags = (code >> 4 & 0xFF) << 24 | edns.version << 16 | (_DNSSEC_OK if edns.dnssec else 0)
        self.data += b"\0" + _RECORD.pack(OPT, edns.size, flags, 0)

    def name(self, name: str, *, short: bool = True) -> None:
        """Writes a name, with a pointer for the longest ending that stands somewhere already."""
        labels = labels_of(name)
        for index, label in enumerate(labels):
            ending = labels[index:]
            if short and (place := self._places.get(ending)) is not None:
                self.data += struct.pack("!H", _POINTER << 8 | place)
                return
            if len(self.data) <= _FARTHEST:
                self._places.setdefault(ending, len(self.data))
            self.data += bytes((len(label),)) + label
        self.data += b"\0"


def aged(data: bytes, seconds: int) -> bytes:
    """Returns a message whose records have so many seconds less to live; raises Malformed."""
    made = bytearray(data)
    try:
        for record, place in _Reader(data).places():
            made[place : place + 4] = struct.pack("!I", max(0, record.ttl - seconds))
    except (struct.error, IndexError) as error:
        raise Malformed("ends too early") from error
    return bytes(made)


def answering(query: Message, code: int = NOERROR, **fields: object) -> Message:
    """Returns an answer to a query: its id, question and, where it has that, EDNS."""
    edns = Edns(dnssec=query.edns.dnssec) if query.edns else None
    answer = Message(
        id=query.id,
        questions=query.questions[:1],
        response=True,
        opcode=query.opcode,
        recursion_desired=query.recursion_desired,
        recursion_available=True,
        unchecked=query.unchecked,
        code=code,
        edns=edns,
    )
    return replace(answer, **fields)
