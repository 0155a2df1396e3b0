"""Logins for registries, as Docker's configuration files and pull secrets hold them: pure.

Which entry is for which image follows kubelet's credentialprovider/keyring.go. One rule: a password
is never part of a text; a login shows its user's name alone.
"""

import base64
import binascii
import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from steersman.images.references import DEFAULT_DOMAIN, Reference

CONFIG_LIMIT = 1 << 20  # bytes of a file; a Secret has no more either
HUB = "index.docker.io"


class BadCredentials(ValueError):
    """A configuration cannot be read; the text holds nothing of it."""


class Login(msgspec.Struct, frozen=True):
    """A user of a registry."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.username!r})"

    def header(self) -> str:
        """Returns the value of Authorization (RFC 7617)."""
        text = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(text).decode()}"


class Entry(msgspec.Struct, frozen=True):
    """A login and the images that it is for: `host` may have `*` in its labels."""

    host: str
    path: str
    login: Login

    def fits(self, reference: Reference) -> bool:
        """Whether it is for an image."""
        domain = reference.domain
        hub = domain == DEFAULT_DOMAIN and self.host in (HUB, DEFAULT_DOMAIN)
        if not hub and not _hosts_match(self.host, domain):
            return False
        return not self.path or _is_prefix(self.path, reference.path)


def parse_config(data: bytes) -> list[Entry]:
    """Returns the entries of a config.json; raises BadCredentials."""
    found = _mapping(data)
    auths = found.get("auths", {})
    return list(_entries(auths if isinstance(auths, dict) else {}))


def parse_legacy(data: bytes) -> list[Entry]:
    """Returns the entries of a .dockercfg; raises BadCredentials."""
    return list(_entries(_mapping(data)))


def entries_in(auths: Mapping[str, Any]) -> tuple[Entry, ...]:
    """Returns the entries of a mapping of places to logins; raises BadCredentials."""
    return tuple(_entries(auths))


def fits(pattern: str, reference: Reference) -> bool:
    """Whether an image is of a place: a host that may have `*` in its labels, port, path."""
    return Entry(*_place(pattern), Login("", "")).fits(reference)


def logins_for(reference: Reference, entries: Iterable[Entry]) -> list[Login]:
    """Returns the logins for an image, that of the longest path first, each once."""
    fitting = [it for it in entries if it.fits(reference)]
    fitting.sort(key=lambda it: (it.host, it.path), reverse=True)
    return list(dict.fromkeys(it.login for it in fitting))


def _mapping(data: bytes) -> Mapping[str, Any]:
    if len(data) > CONFIG_LIMIT:
        raise BadCredentials(f"the configuration has more than {CONFIG_LIMIT} bytes")
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise BadCredentials("the configuration is not JSON") from None
    if not isinstance(found, dict):
        raise BadCredentials("the configuration is no object")
    return found


def _entries(auths: Mapping[str, Any]) -> Iterator[Entry]:
    for key, value in auths.items():
        login = _login(value) if isinstance(value, dict) else None
        if login is not None:
            host, path = _place(key)
            yield Entry(host, path, login)


def _login(value: Mapping[str, Any]) -> Login | None:
    """Returns the login of an entry; None for none (one that a helper of Docker's keeps)."""
    username, password, auth = (value.get(name) for name in ("username", "password", "auth"))
    if isinstance(auth, str) and auth:
        try:
            text = base64.b64decode(auth, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise BadCredentials("an entry's auth is not base64") from None
        username, found, password = text.partition(":")
        if not found:
            raise BadCredentials("an entry's auth has no colon")
    if not isinstance(username, str) or not isinstance(password, str) or not username:
        return None
    return Login(username, password.rstrip("\0"))


def _place(key: str) -> tuple[str, str]:
    """Returns host (and port) and path of an entry's key, which may be a URL."""
    parts = urlsplit(key if "://" in key else f"https://{key}")
    path = parts.path
    if path.startswith(("/v1/", "/v2/")) or path in ("/v1", "/v2"):
        path = path[3:]
    return parts.netloc.lower(), path.strip("/")


def _hosts_match(pattern: str, domain: str) -> bool:
    """Whether a host is as a pattern says, label by label; ports must be the same."""
    wanted, _, wanted_port = pattern.partition(":")
    host, _, port = domain.partition(":")
    labels, others = wanted.split("."), host.split(".")
    if wanted_port != port or len(labels) != len(others):
        return False
    return all(map(fnmatch.fnmatchcase, others, labels))


def _is_prefix(path: str, whole: str) -> bool:
    return whole == path or whole.startswith(f"{path}/")
