"""Reads the names in an X.509 certificate in DER, and nothing else of it.

The TLS layer has verified the chain, so the server needs no certificate library to learn who a
client is. Bounds are checked at every step; a malformed certificate raises ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06
_VERSION = 0xA0
_BEFORE_ISSUER = 2  # serialNumber, signature
_BEFORE_SUBJECT = 4  # serialNumber, signature, issuer, validity (RFC 5280, 4.1)

COMMON_NAME = bytes.fromhex("550403")
ORGANIZATION = bytes.fromhex("55040a")
# 1.3.6.1.4.1.57683.2: the UID of a user (KEP-4943, x509 client UID)
USER_ID = bytes.fromhex("2b0601040183c25302")

_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}


class Subject(NamedTuple):
    """What of a subject Kubernetes reads."""

    common_name: str
    organizations: tuple[str, ...]
    uid: str


class _Element(NamedTuple):
    tag: int
    value: memoryview
    end: int


def subject(certificate: bytes) -> Subject:
    """Returns the subject of a certificate; of several common names the last counts."""
    return _read(_name(certificate, _BEFORE_SUBJECT))


def issuer_name(certificate: bytes) -> bytes:
    """Returns the name of a certificate's issuer as it is encoded."""
    return bytes(_name(certificate, _BEFORE_ISSUER))


def subject_name(certificate: bytes) -> bytes:
    """Returns the name of a certificate's subject as it is encoded."""
    return bytes(_name(certificate, _BEFORE_SUBJECT))


def request_subject(request: bytes) -> Subject:
    """Returns the subject of a certificate signing request (RFC 2986)."""
    outer = _expect(memoryview(request), 0, _SEQUENCE)
    fields = _expect(outer.value, 0, _SEQUENCE).value
    version = _element(fields, 0)
    return _read(_expect(fields, version.end, _SEQUENCE).value)


def _read(name_of_subject: memoryview) -> Subject:
    name = uid = ""
    organizations: list[str] = []
    for kind, text in _attributes(name_of_subject):
        if kind == COMMON_NAME:
            name = text
        elif kind == ORGANIZATION:
            organizations.append(text)
        elif kind == USER_ID:
            uid = text
    return Subject(name, tuple(organizations), uid)


def _name(certificate: bytes, before: int) -> memoryview:
    """Returns a name that stands in a certificate after so many fields."""
    outer = _expect(memoryview(certificate), 0, _SEQUENCE)
    fields = _expect(outer.value, 0, _SEQUENCE).value
    at = 0
    first = _element(fields, at)
    if first.tag == _VERSION:
        at = first.end
    for _ in range(before):
        at = _element(fields, at).end
    return _expect(fields, at, _SEQUENCE).value


def _attributes(name: memoryview) -> Iterator[tuple[bytes, str]]:
    for group in _children(name, _SET):
        for pair in _children(group.value, _SEQUENCE):
            kind = _expect(pair.value, 0, _OID)
            text = _element(pair.value, kind.end)
            if (encoding := _ENCODINGS.get(text.tag)) is not None:
                yield bytes(kind.value), bytes(text.value).decode(encoding)


def _children(data: memoryview, tag: int) -> Iterator[_Element]:
    at = 0
    while at < len(data):
        element = _expect(data, at, tag)
        yield element
        at = element.end


def _expect(data: memoryview, at: int, tag: int) -> _Element:
    element = _element(data, at)
    if element.tag != tag:
        raise ValueError(f"DER: found tag {element.tag:#x} where {tag:#x} must be")
    return element


def _element(data: memoryview, at: int) -> _Element:
    if at + 2 > len(data):
        raise ValueError("DER: the data ends within an element")
    tag, length, start = data[at], data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or start + size > len(data):
            raise ValueError("DER: a length is not one that a certificate has")
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise ValueError("DER: an element is longer than what holds it")
    return _Element(tag, data[start : start + length], start + length)
