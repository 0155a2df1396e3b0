"""Named formats and their problems (k8s.io/apiserver/pkg/cel/library/format.go)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.library import times, urls
from steersman.cel.types import STRING, list_of, opaque, optional_of
from steersman.cel.values import NONE, Optional
from steersman.model import names

FORMAT_TYPE: Final = opaque("kubernetes.NamedFormat")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")

Check = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Format:
    """A format that texts may have."""

    type_name: ClassVar[str] = FORMAT_TYPE.name
    name: str
    check: Check

    def equal(self, other: Any) -> bool:
        """Says whether another format is the same one."""
        return isinstance(other, Format) and self.name == other.name


def _prefix(check: Check) -> Check:
    return lambda text: check(names.without_trailing_dash(text))


def _uri(text: str) -> list[str]:
    try:
        urls.parse_url(text)
    except EvaluationError as error:
        return [str(error).partition("from string: ")[2]]
    return []


def _uuid(text: str) -> list[str]:
    return [] if _UUID.fullmatch(text) else ["does not match the UUID format"]


def _byte(text: str) -> list[str]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ["invalid base64"]
    return []


def _date(text: str) -> list[str]:
    try:
        good = len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        good = False
    return [] if good else ["invalid date"]


def _datetime(text: str) -> list[str]:
    try:
        times.parse_timestamp(text)
    except EvaluationError:
        return ["invalid datetime"]
    return []


FORMATS: Final[Mapping[str, Format]] = {
    name: Format(shown, check)
    for name, shown, check in (
        ("dns1123Label", "DNS1123Label", names.dns1123_label),
        ("dns1123Subdomain", "DNS1123Subdomain", names.dns1123_subdomain),
        ("dns1035Label", "DNS1035Label", names.dns1035_label),
        ("qualifiedName", "QualifiedName", names.qualified_name),
        ("dns1123LabelPrefix", "DNS1123LabelPrefix", _prefix(names.dns1123_label)),
        ("dns1123SubdomainPrefix", "DNS1123SubdomainPrefix", _prefix(names.dns1123_subdomain)),
        ("dns1035LabelPrefix", "DNS1035LabelPrefix", _prefix(names.dns1035_label)),
        ("labelValue", "LabelValue", names.label_value),
        ("uri", "URI", _uri),
        ("uuid", "UUID", _uuid),
        ("byte", "Byte", _byte),
        ("date", "Date", _date),
        ("datetime", "DateTime", _datetime),
    )
}


def _validate(format_: Format, text: str) -> Optional:
    problems = format_.check(text)
    return Optional(list(problems), True) if problems else NONE


def _named(name: str) -> Optional:
    found = FORMATS.get(name)
    return NONE if found is None else Optional(found, True)


def _constant(format_: Format) -> tuple[Overload, ...]:
    return (Overload((), FORMAT_TYPE, lambda: format_),)


FUNCTIONS: Final[Functions] = {
    "validate": (
        Overload(
            (FORMAT_TYPE, STRING), optional_of(list_of(STRING)), _validate, member=True, scans=(1,)
        ),
    ),
    "format.named": (Overload((STRING,), optional_of(FORMAT_TYPE), _named),),
    **{f"format.{name}": _constant(found) for name, found in FORMATS.items()},
}
