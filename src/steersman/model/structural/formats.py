"""The formats of strings in a custom resource's schema, as kube-openapi's strfmt knows them.

A format that is not known here is ignored, as upstream does. All patterns are ours and linear.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

Is = Callable[[str], bool]

_HEX = "[0-9a-fA-F]"
_SHORT_NAME: Final = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_UNITS: Final = (
    ("ns", "nano"),
    ("us", "µs", "micro"),
    ("ms", "milli"),
    ("s", "sec"),
    ("m", "min"),
    ("h", "hr", "hour"),
    ("d", "day"),
    ("w", "wk", "week"),
)
_LONGEST_HOST: Final = 255
_LONGEST_LABEL: Final = 63
_LONGEST_NAME: Final = 253
_LONGEST_ADDRESS: Final = 1024  # RFC 5321 allows 320


def _matching(pattern: str) -> Is:
    found = re.compile(pattern, re.ASCII)
    return lambda text: found.fullmatch(text) is not None


def _uuid(third: str = "[0-9a-fA-F]", fourth: str = "[0-9a-fA-F]") -> Is:
    parts = (f"{_HEX}{{8}}", f"{_HEX}{{4}}", f"{third}{_HEX}{{3}}", f"{fourth}{_HEX}{{3}}")
    return _matching("-?".join([*parts, f"{_HEX}{{12}}"]))


_LETTER = r"[^\W\d_]"
_SIGN = r"[^\W_]"  # without symbols (\p{S}), which upstream's pattern takes as well
_is_host = re.compile(
    rf"{_SIGN}-?{_SIGN}{{0,62}}|(?:{_SIGN}(?:(?:{_SIGN}|-){{0,61}}{_SIGN})?\.)+{_LETTER}{{2,63}}"
).fullmatch


def _hostname(text: str) -> bool:
    labels = text.split(".")
    fits = len(text) <= _LONGEST_HOST and all(len(label) <= _LONGEST_LABEL for label in labels)
    return fits and _is_host(text) is not None


def _uri(text: str) -> bool:
    """Says what net/url.ParseRequestURI would: an absolute URI or an absolute path."""
    if not text or any(ord(sign) < 0x20 or ord(sign) == 0x7F or sign == " " for sign in text):
        return False
    if re.search(r"%(?![0-9a-fA-F]{2})", text):
        return False
    return text.startswith("/") or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:[^\s]", text) is not None


_ATOM = r"[^\s()<>\[\]:;@\\,.\"\x00-\x1f\x7f]+"
_is_address = re.compile(
    rf"(?:{_ATOM}(?:\.{_ATOM})*+|\"(?:[^\"\\]|\\.)*+\")@(?:{_ATOM}(?:\.{_ATOM})*+|\[[^\[\]\s]*\])"
).fullmatch


def _email(text: str) -> bool:
    """Says what net/mail.ParseAddress would: an address alone, or behind a name in brackets."""
    text = text.strip(" \t")
    if text.endswith(">"):
        _, bracket, text = text[:-1].rpartition("<")
        if not bracket:
            return False
    return len(text) <= _LONGEST_ADDRESS and _is_address(text) is not None


def _ip(text: str, sign: str) -> bool:
    try:
        ipaddress.ip_address(_sloppy(text) if sign == "." else text)
    except ValueError:
        return False
    return sign in text and "%" not in text


def _sloppy(text: str) -> str:
    """Returns an address without the leading zeros that netutils.ParseIPSloppy allows."""
    return re.sub(r"(?<![0-9a-fA-F:])0+(?=\d)", "", text)


def _cidr(text: str) -> bool:
    address, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit():
        return False
    try:
        ipaddress.ip_network(f"{_sloppy(address)}/{length}", strict=False)
    except ValueError:
        return False
    return True


def _mac(text: str) -> bool:
    pair, quad = f"{_HEX}{{2}}", f"{_HEX}{{4}}"
    for sign in ":-":
        if re.fullmatch(rf"{pair}(?:{sign}{pair})+", text):
            return text.count(sign) in (5, 7, 19)
    return re.fullmatch(rf"{quad}(?:\.{quad})+", text) is not None and text.count(".") in (2, 3, 9)


def _digits(text: str) -> str:
    return re.sub(r"[\s-]+", "", text)


def _isbn10(text: str) -> bool:
    found = _digits(text)
    if not re.fullmatch(r"[0-9]{9}[0-9X]", found):
        return False
    values = [10 if sign == "X" else int(sign) for sign in found]
    return sum(place * value for place, value in enumerate(values, 1)) % 11 == 0


def _isbn13(text: str) -> bool:
    found = _digits(text)
    if not re.fullmatch(r"[0-9]{13}", found):
        return False
    return sum((1, 3)[place % 2] * int(sign) for place, sign in enumerate(found)) % 10 == 0


_is_card = re.compile(
    r"4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11}"
).fullmatch


def _card(text: str) -> bool:
    found = re.sub(r"[^0-9]+", "", text)
    if not _is_card(found):
        return False
    total = 0
    for place, sign in enumerate(reversed(found)):
        value = int(sign) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _date(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))")


def _date_time(text: str) -> bool:
    date, t, time = text.lower().partition("t")
    found = _TIME.fullmatch(time)
    if not t or not _date(date) or found is None:
        return False
    return found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


_go_duration = re.compile(
    r"[-+]?(?:0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)"
).fullmatch


def _duration(text: str) -> bool:
    if _go_duration(text):
        return True
    before = ""
    for token in re.findall(r"[0-9]+|[A-Za-zµ]+|\s+|[^0-9A-Za-zµ\s]+", text):
        if before.isdigit() and _is_unit(token.lower()):
            return True
        before = before if token.isspace() else token
    return False


def _is_unit(unit: str) -> bool:
    return any(unit in names or unit.startswith(names[-1]) for names in _UNITS)


def _named(pattern: str, longest: int) -> Is:
    found = _matching(pattern)
    return lambda text: len(text) <= longest and found(text)


def _rgb(text: str) -> bool:
    part = r"(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])"
    return (
        re.fullmatch(rf"rgb\(\s*{part}\s*,\s*{part}\s*,\s*{part}\s*\)", text, re.ASCII) is not None
    )


# by name without dashes, as strfmt normalizes them
_FORMATS: Mapping[str, Is] = {
    "bsonobjectid": _matching(f"{_HEX}{{24}}"),
    "uri": _uri,
    "email": _email,
    "hostname": _hostname,
    "ipv4": lambda text: _ip(text, "."),
    "ipv6": lambda text: _ip(text, ":"),
    "cidr": _cidr,
    "mac": _mac,
    "uuid": _uuid(),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89abAB]"),
    "uuid5": _uuid("5", "[89abAB]"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _card,
    "ssn": _matching(r"\d{3}[- ]\d{2}[- ]\d{4}"),  # without separators it is too short
    "hexcolor": _matching(f"#?(?:{_HEX}{{3}}|{_HEX}{{6}})"),
    "rgbcolor": _rgb,
    "byte": _matching(
        r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"
    ),
    "password": lambda _text: True,
    "date": _date,
    "duration": _duration,
    "datetime": _date_time,
    "k8sshortname": _named(_SHORT_NAME, _LONGEST_LABEL),
    "k8slongname": _named(rf"{_SHORT_NAME}(?:\.{_SHORT_NAME})*", _LONGEST_NAME),
}
_OF_NUMBERS: Mapping[str, tuple[str, ...]] = {
    "integer": ("int32", "int64"),
    "number": ("float", "double"),
}


def is_known(kind: str, name: str) -> bool:
    """Says whether a format is looked at on values of a type (the empty one is any)."""
    if kind in ("", "string"):
        return name.replace("-", "") in _FORMATS
    return name in _OF_NUMBERS.get(kind, ())


def checker(name: str) -> Is | None:
    """Returns what says whether a text has a format, None for a format of numbers."""
    return _FORMATS.get(name.replace("-", ""))
