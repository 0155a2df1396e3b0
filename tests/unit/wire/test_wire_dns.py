"""DNS messages: what is written is read again, what others wrote is read, garbage is refused."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from steersman.wire import dns
from steersman.wire.dns import Authority, Edns, Malformed, Message, Question, Record, Service

QUERY = Message(0x1234, (Question("web.default.svc.cluster.local", dns.A),), recursion_desired=True)
ADDRESS = Record("a.b", dns.A, 5, IPv4Address("10.0.0.1"))
NAMES = st.lists(st.binary(min_size=1, max_size=63), max_size=3).map(
    lambda labels: ".".join(dns._shown(label) for label in labels)
)
DATA = st.one_of(
    st.tuples(st.just(dns.A), st.ip_addresses(v=4)),
    st.tuples(st.just(dns.AAAA), st.ip_addresses(v=6)),
    st.tuples(st.sampled_from([dns.CNAME, dns.NS, dns.PTR]), NAMES),
    st.tuples(st.just(dns.TXT), st.lists(st.binary(max_size=255), max_size=3).map(tuple)),
    st.tuples(st.just(dns.SRV), st.builds(Service, *[st.integers(0, 0xFFFF)] * 3, NAMES)),
    st.tuples(
        st.just(dns.SOA), st.builds(Authority, NAMES, NAMES, *[st.integers(0, 2**32 - 1)] * 5)
    ),
    st.tuples(st.just(99), st.binary(max_size=50)),
)
RECORDS = st.lists(
    st.builds(
        lambda name, data, ttl: Record(name, data[0], ttl, data[1]),
        NAMES,
        DATA,
        st.integers(0, 2**31 - 1),
    ),
    max_size=4,
).map(tuple)
MESSAGES = st.builds(
    Message,
    id=st.integers(0, 0xFFFF),
    questions=st.lists(
        st.builds(Question, NAMES, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)), max_size=2
    ).map(tuple),
    answers=RECORDS,
    authority=RECORDS,
    additional=RECORDS,
    response=st.booleans(),
    opcode=st.integers(0, 15),
    authoritative=st.booleans(),
    truncated=st.booleans(),
    recursion_desired=st.booleans(),
    recursion_available=st.booleans(),
    authentic=st.booleans(),
    unchecked=st.booleans(),
    code=st.integers(0, 15),
    edns=st.none() | st.builds(Edns, st.integers(0, 0xFFFF), st.integers(0, 255), st.booleans()),
)


@given(MESSAGES)
def test_what_is_written_is_read_again(message: Message) -> None:
    assert dns.parse(dns.encode(message)) == message


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else(data: bytes) -> None:
    try:
        dns.parse(data)
    except Malformed:
        return


@given(MESSAGES, st.data())
def test_a_damaged_message_is_read_or_refused(message: Message, data: st.DataObject) -> None:
    damaged = bytearray(dns.encode(message))
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for tried in (bytes(damaged), bytes(damaged[: data.draw(st.integers(0, len(damaged)))])):
        try:
            dns.parse(tried)
            dns.aged(tried, 1)
        except Malformed:
            continue


@given(MESSAGES, st.integers(12, 600))
def test_a_message_never_takes_more_room_than_it_is_given(message: Message, limit: int) -> None:
    bare = replace(message, answers=(), authority=(), additional=(), truncated=False)
    limit = max(limit, len(dns.encode(bare)))
    written = dns.encode(replace(message, truncated=False), limit)
    assert len(written) <= limit
    found = dns.parse(written)
    assert found.answers == message.answers[: len(found.answers)]
    whole = (found.answers, found.authority) == (message.answers, message.authority)
    assert found.truncated is not whole


def test_a_query_as_a_resolver_writes_it() -> None:
    data = bytes.fromhex(
        "1234010000010000000000000377656207 64656661756c740373766307 636c757374657205"
    )
    data += b"local\0" + struct.pack("!HH", 1, 1)
    assert dns.parse(data) == QUERY
    assert dns.encode(QUERY) == data


def test_names_that_end_alike_are_written_once() -> None:
    one = Record("x.example.org", dns.CNAME, 1, "example.org")
    size = len(dns.encode(Message(1, answers=(one,))))
    assert size == 12 + 15 + 10 + 2
    three = dns.encode(Message(1, answers=(one, one, one)))
    assert len(three) == size + 2 * (2 + 10 + 2)
    assert dns.parse(three).answers == (one, one, one)


def test_the_target_of_a_service_is_never_a_pointer() -> None:
    record = Record("example.org", dns.SRV, 1, Service(0, 1, 80, "example.org"))
    assert dns.encode(Message(1, answers=(record,))).count(b"example") == 2


def test_a_pointer_is_never_beyond_what_a_pointer_can_say() -> None:
    filler = tuple(Record("", 99, 0, bytes(1000)) for _ in range(17))
    late = Record("late.example", dns.CNAME, 0, "late.example")
    message = Message(1, answers=(*filler, late, late))
    assert dns.parse(dns.encode(message)) == message


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",  # itself
        b"\x01a\xc0\x0c",  # its own beginning
        b"\xc0\x20",  # ahead
        b"\x40a",  # a kind of label that never came to be
        b"\x3fa",  # beyond the end
        b"\x01a",  # without an end
        (b"\x3f" + b"a" * 63) * 4 + b"\0",  # 257 bytes
    ],
)
def test_names_that_cannot_be_are_refused(name: bytes) -> None:
    head = struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0)
    with pytest.raises(Malformed):
        dns.parse(head + name + struct.pack("!HH", 1, 1))


def pointers(count: int) -> bytes:
    """A message whose second record has a name at the end of a way of so many pointers."""
    begin = 12 + 11
    chain = b"\0" + b"".join(
        struct.pack("!H", 0xC000 | (begin + max(0, 2 * number - 1))) for number in range(count - 1)
    )
    first = b"\0" + struct.pack("!HHIH", 99, 1, 0, len(chain)) + chain
    last = struct.pack("!H", 0xC000 | (begin + len(chain) - 2)) + struct.pack("!HHIH", 99, 1, 0, 0)
    return struct.pack("!HHHHHH", 1, 0, 0, 2, 0, 0) + first + last


def test_a_long_way_of_pointers_is_refused() -> None:
    assert dns.parse(pointers(128)).answers[1].name == ""
    with pytest.raises(Malformed):
        dns.parse(pointers(129))


@pytest.mark.parametrize(
    "name", ["a..b", ".", "a.", ".a", "a" * 64, "a." * 127 + "a", "grün", "a b", "a\\", "a\\300"]
)
def test_names_that_no_message_can_hold_are_refused(name: str) -> None:
    with pytest.raises(Malformed):
        dns.labels_of(name)


def test_the_longest_name_is_written_and_read() -> None:
    name = ".".join(["a" * 63] * 3 + ["b" * 61])
    message = Message(1, (Question(name, 1),))
    assert dns.parse(dns.encode(message)) == message
    with pytest.raises(Malformed):
        dns.labels_of(name + "b")


def test_bytes_that_text_cannot_show_are_escaped() -> None:
    name = "a\\046b\\032\\092\\255.org"
    assert dns.labels_of(name) == (b"a.b \\\xff", b"org")
    message = Message(1, (Question(name, 1),))
    assert dns.parse(dns.encode(message)) == message


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (dns.A, b"\1\2\3"),
        (dns.A, b"\1\2\3\4\5"),
        (dns.AAAA, bytes(15)),
        (dns.SRV, b"\0\0\0\0"),
        (dns.CNAME, b"\1a\0\0"),
        (dns.TXT, b"\5a"),
        (dns.SOA, b"\0\0" + bytes(19)),
    ],
)
def test_data_of_a_wrong_length_are_refused(kind: int, content: bytes) -> None:
    head = struct.pack("!HHHHHH", 1, 0, 0, 1, 0, 0)
    record = b"\0" + struct.pack("!HHIH", kind, 1, 0, len(content)) + content
    with pytest.raises(Malformed):
        dns.parse(head + record)


def test_records_of_other_classes_are_left_as_bytes() -> None:
    record = Record("version.bind", dns.A, 0, b"\1", 3)
    assert dns.parse(dns.encode(Message(1, answers=(record,)))).answers == (record,)


def test_a_code_beyond_four_bits_is_told_by_edns() -> None:
    message = Message(1, code=dns.BADVERS, edns=Edns())
    assert dns.parse(dns.encode(message)) == message
    assert dns.encode(message)[3] & 0xF == 0


def test_two_edns_records_or_one_out_of_place_are_refused() -> None:
    one = dns.encode(Message(1, edns=Edns()))
    option = one[12:]
    for counts in ((0, 0, 2), (1, 0, 0), (0, 1, 0)):
        head = struct.pack("!HHHHHH", 1, 0, 0, *counts)
        with pytest.raises(Malformed):
            dns.parse(head + option * max(counts))
    with pytest.raises(Malformed):
        dns.parse(one[:12] + b"\1a" + option)


def test_records_grow_older_and_edns_stays() -> None:
    other = Record("c", dns.TXT, 100, (b"x",))
    message = Message(1, answers=(ADDRESS, other), additional=(ADDRESS,), edns=Edns(dnssec=True))
    found = dns.parse(dns.aged(dns.encode(message), 7))
    assert [record.ttl for record in (*found.answers, *found.additional)] == [0, 93, 0]
    assert found.edns == message.edns


def test_a_negative_time_to_live_is_none() -> None:
    data = dns.encode(Message(1, answers=(ADDRESS._replace(ttl=0x80000001),)))
    assert dns.parse(data).answers[0].ttl == 0


def test_a_message_longer_than_can_be_is_refused() -> None:
    with pytest.raises(Malformed):
        dns.parse(bytes(65536))


def test_a_record_longer_than_can_be_is_refused() -> None:
    with pytest.raises(Malformed):
        dns.encode(Message(1, answers=(Record("", dns.TXT, 0, (bytes(256),)),)))
    with pytest.raises(Malformed):
        dns.encode(Message(1, answers=(Record("", 99, 0, bytes(65536)),)))


def test_an_answer_is_that_of_its_query() -> None:
    query = replace(QUERY, edns=Edns(4096, dnssec=True), unchecked=True)
    answer = dns.answering(query, dns.NXDOMAIN, authoritative=True)
    assert answer == Message(
        QUERY.id,
        QUERY.questions,
        response=True,
        authoritative=True,
        recursion_desired=True,
        recursion_available=True,
        unchecked=True,
        code=dns.NXDOMAIN,
        edns=Edns(1232, 0, True),
    )
    assert dns.answering(QUERY).edns is None


def test_addresses_are_read_as_such() -> None:
    six = Record("a", dns.AAAA, 1, IPv6Address("fd00::1"))
    found = dns.parse(dns.encode(Message(1, answers=(ADDRESS, six)))).answers
    assert found == (ADDRESS, six)


def test_what_comes_after_a_cut_is_left_out_too() -> None:
    long = Record("a.b", dns.TXT, 5, (bytes(200),))
    message = Message(1, answers=(long, long), authority=(ADDRESS,), additional=(ADDRESS,))
    found = dns.parse(dns.encode(message, 300))
    assert (len(found.answers), found.authority, found.additional) == (1, (), ())
    assert found.truncated
    fewer = dns.parse(dns.encode(Message(1, answers=(ADDRESS,), additional=(long, long)), 300))
    assert (len(fewer.additional), fewer.truncated) == (1, False)
