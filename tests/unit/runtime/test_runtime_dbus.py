"""D-Bus: messages to bytes and back, and what is refused."""

from __future__ import annotations

import pytest

from steersman.runtime import dbus
from steersman.runtime.dbus import Message


def test_messages_survive_their_way() -> None:
    body = ("text", True, 5, 1 << 40)
    one = Message(dbus.CALL, 7, "/a", "b.c", "D", "e.f", 3, "g.h", ":1", body)
    data = dbus.encode(one, "sbut")
    assert dbus.size_of(data[:16]) == len(data)
    assert dbus.decode(data) == one
    assert dbus.decode(dbus.encode(Message(dbus.SIGNAL, 1))) == Message(dbus.SIGNAL, 1)


def test_values_of_all_kinds_survive_their_way() -> None:
    kinds = "nqa(sv)as(uo)a{sb}aau"
    written = (-5, 6, [("a", ("u", 7)), ("b", ("as", ["x", "yz"]))], [], (8, "/o"), [("k", True)],
               [[1], [], [2, 3]])  # fmt: skip
    read = (-5, 6, [("a", 7), ("b", ["x", "yz"])], [], (8, "/o"), [("k", True)], [[1], [], [2, 3]])
    data = dbus.encode(Message(dbus.CALL, 7, body=written), kinds)
    assert dbus.decode(data).body == read
    assert list(dbus.split(kinds)) == ["n", "q", "a(sv)", "as", "(uo)", "a{sb}", "aau"]
    for wrong in ("a", "(s", "()", "z", "(" * 70 + "s" + ")" * 70, "a" * 70 + "s"):
        with pytest.raises(dbus.BadMessage):
            list(dbus.split(wrong))
    # The length of an array does not count what fills up before its first structure
    padded = dbus.encode(Message(dbus.CALL, 7, body=([(2,)],)), "a(u)")
    assert padded[-12:] == bytes((4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0))
    nested = dbus.encode(Message(dbus.CALL, 7, body=(("v", ("u", 1)),)), "v")
    with pytest.raises(dbus.BadMessage, match="a variant of type 'v'"):
        dbus.decode(nested)


def test_what_is_no_message_is_refused() -> None:
    whole = dbus.encode(Message(dbus.CALL, 7, "/a", "b.c", "D", body=("text",)), "s")
    for data in (b"", whole[:-1], whole + b"x", b"B" + whole[1:], whole[:3] + b"\2" + whole[4:]):
        with pytest.raises(dbus.BadMessage):
            dbus.decode(data)
    for place in range(16, len(whole)):
        broken = whole[:place] + b"\xff" + whole[place + 1 :]
        try:
            dbus.decode(broken)
        except dbus.BadMessage:
            continue
    # A text that says that it is longer than the message
    length = len(whole) - len("text") - 5
    with pytest.raises(dbus.BadMessage, match="ends within a value"):
        dbus.decode(whole[:length] + b"\x06" + whole[length + 1 :])
    with pytest.raises(dbus.BadMessage, match="too long"):
        dbus.size_of(whole[:4] + (1 << 20).to_bytes(4, "little") + whole[8:16])
