"""What an EncryptionConfiguration says of a key management service, with upstream's checks
(validateKMSConfiguration in apis/apiserver/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import msgspec

from steersman.model.duration import parse_duration
from steersman.model.gotext import quote

_TIMEOUT: Final = "3s"
_OLD: Final = (
    "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  "
    "Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature."
)


class KMSSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One plugin: its name, its socket, and how long it may take for an answer."""

    api_version: str = msgspec.field(default="", name="apiVersion")
    name: str = ""
    cachesize: int | None = None
    endpoint: str = ""
    timeout: str = _TIMEOUT

    @property
    def seconds(self) -> float:
        """How long an answer may take."""
        return parse_duration(self.timeout)

    @property
    def socket(self) -> str:
        """The path of the socket; one without a file begins with a null character."""
        path = urlsplit(self.endpoint).path
        return f"\0{path[2:]}" if path.startswith("/@") else path


def check(given: KMSSettings, taken: set[str], path: str) -> Iterator[str]:
    """Yields what is wrong; `taken` are the names of other plugins, and of this one afterwards."""
    name, version = given.name, given.api_version or "v1"
    if not name:
        yield f"{path}.name: Required value: name is a mandatory field for a provider"
    if version == "v2":
        yield from _name(name, taken, f"{path}.name")
    yield from _timeout(given.timeout, f"{path}.timeout")
    yield from _endpoint(given.endpoint, f"{path}.endpoint")
    if version != "v1" and given.cachesize is not None:
        what = f"{given.cachesize}: cachesize is not supported in v2"
        yield f"{path}.cachesize: Invalid value: {what}"
    if version not in ("v1", "v2"):
        what = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"
        yield f"{path}.apiVersion: Invalid value: {quote(version)}: {what}"
    elif version == "v1":
        yield f"{path}.apiVersion: {_OLD}"


def _name(name: str, taken: set[str], path: str) -> Iterator[str]:
    if ":" in name:
        what = f"invalid KMS provider name {name}, must not contain ':'"
        yield f"{path}: Invalid value: {quote(name)}: {what}"
    if name in taken:
        what = f"duplicate KMS provider name {name}, names must be unique"
        yield f"{path}: Invalid value: {quote(name)}: {what}"
    taken.add(name)


def _timeout(text: str, path: str) -> Iterator[str]:
    try:
        good = not text.startswith("-") and parse_duration(text) > 0
    except ValueError as error:
        yield f"{path}: Invalid value: {quote(text)}: {error}"
        return
    if not good:
        yield f"{path}: Invalid value: {quote(text)}: timeout should be a positive value"


def _endpoint(text: str, path: str) -> Iterator[str]:
    if not text:
        yield f'{path}: Invalid value: "": endpoint is a mandatory field for a kms'
        return
    try:
        scheme = urlsplit(text).scheme
    except ValueError as error:
        what = f"invalid endpoint for kms provider, error: {error}"
        yield f"{path}: Invalid value: {quote(text)}: {what}"
        return
    if scheme != "unix":
        what = f"unsupported scheme {quote(scheme)} for KMS provider, only unix is supported"
        yield f"{path}: Invalid value: {quote(text)}: {what}"
