"""Kubeconfig files: read into a `Target` for the HTTP transport, and written for one cluster.

Errors name the file and the entry, never a secret.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from steersman.client.http import Target
from steersman.wire import yaml


class UserSettings(msgspec.Struct, frozen=True):
    """How one user shows itself to a server: a token, a password or a certificate with its key."""

    token: Callable[[], str] | None = None
    password: str = ""  # the name before a colon
    certificate: bytes = b""
    key: bytes = b""


class Users(msgspec.Struct, frozen=True):
    """The users of a file by name, and which of them the current context names."""

    named: Mapping[str, UserSettings] = msgspec.field(default_factory=dict)
    current: str = ""


class BadKubeconfig(Exception):
    """A kubeconfig cannot be used; the text says which file and what is wrong."""


def write(*, name: str, server: str, authority: bytes, certificate: bytes, key: bytes) -> str:
    """Returns a kubeconfig with one cluster, one user with a certificate, and one context."""

    def inline(content: bytes) -> str:
        return base64.b64encode(content).decode()

    quoted, user = json.dumps(name), json.dumps(f"{name}-admin")
    return f"""apiVersion: v1
kind: Config
clusters:
- name: {quoted}
  cluster:
    server: {json.dumps(server)}
    certificate-authority-data: {inline(authority)}
users:
- name: {user}
  user:
    client-certificate-data: {inline(certificate)}
    client-key-data: {inline(key)}
contexts:
- name: {quoted}
  context:
    cluster: {quoted}
    user: {user}
current-context: {quoted}
preferences: {{}}
"""


def load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Gives a context a certificate. OpenSSL reads files only, so it gets private ones; raises
    SSLError where the two do not fit."""
    with tempfile.TemporaryDirectory(prefix="steer-") as directory:
        files = [Path(directory, "certificate"), Path(directory, "key")]
        for file, content in zip(files, (certificate, key), strict=True):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as written:
                written.write(content)
        context.load_cert_chain(str(files[0]), str(files[1]))


def read(path: Path, context: str = "") -> Target:
    """Returns where a context leads, the current one by default; raises BadKubeconfig."""
    return _File(path).target(context)


def read_users(path: Path) -> Users:
    """Returns the users of a file, whatever clusters it names; raises BadKubeconfig."""
    return _File(path).users()


# how a user may show itself that is not done here
_OTHER_WAYS = ("exec", "auth-provider", "as")


class _File:
    """One kubeconfig while it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            found = yaml.load(path.read_bytes())
        except OSError as error:
            raise BadKubeconfig(f"{path} cannot be read: {error.strerror}") from error
        except yaml.BadYAML as error:
            raise BadKubeconfig(f"{path} is not YAML: {error}") from error
        if not isinstance(found, dict):
            raise BadKubeconfig(f"{path} is not a kubeconfig: it holds no map")
        self._document = found

    def target(self, context: str) -> Target:
        """Returns where a context leads."""
        name = context or self._document.get("current-context") or ""
        if not name:
            raise BadKubeconfig(f"{self._path} names no current-context")
        chosen = self._named("context", name)
        cluster = self._named("cluster", chosen.get("cluster") or "")
        user = self._named("user", chosen["user"]) if chosen.get("user") else {}
        server = urlsplit(str(cluster.get("server") or ""))
        if server.scheme not in ("http", "https") or not server.hostname:
            raise self._bad("cluster", chosen["cluster"], "has no server address")
        secure = server.scheme == "https"
        return Target(
            host=server.hostname,
            port=server.port or (443 if secure else 80),
            tls=self._tls(cluster, user) if secure else None,
            server_name=str(cluster.get("tls-server-name") or ""),
            token=self._token(user),
            prefix=server.path.rstrip("/"),
        )

    def users(self) -> Users:
        """Returns all users."""
        entries = self._document.get("users") or ()
        names = [one["name"] for one in entries if isinstance(one, dict) and one.get("name")]
        current = ""
        if chosen := self._document.get("current-context"):
            current = str(self._named("context", str(chosen)).get("user") or "")
        return Users({name: self._user(name) for name in names}, current)

    def _user(self, name: str) -> UserSettings:
        user = self._named("user", name)
        for field in _OTHER_WAYS:
            if user.get(field):
                raise self._bad("user", name, f"has {field}, which is not supported here")
        certificate, key = self._pair(user)
        if certificate:
            self._load(ssl.create_default_context(), certificate, key)
        password = ""
        if user.get("username") or user.get("password"):
            password = f"{user.get('username') or ''}:{user.get('password') or ''}"
        return UserSettings(self._token(user), password, certificate, key)

    def _named(self, what: str, name: str) -> Mapping[str, Any]:
        for entry in self._document.get(f"{what}s") or ():
            if isinstance(entry, dict) and entry.get("name") == name:
                content = entry.get(what)
                return content if isinstance(content, dict) else {}
        raise BadKubeconfig(f"{self._path} has no {what} {name!r}")

    def _bad(self, what: str, name: str, why: str) -> BadKubeconfig:
        return BadKubeconfig(f"{self._path}: {what} {name!r} {why}")

    def _tls(self, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
        authority = self._content(cluster, "certificate-authority")
        try:
            context = ssl.create_default_context(cadata=authority.decode() if authority else None)
        except (ssl.SSLError, UnicodeDecodeError, ValueError):
            raise BadKubeconfig(
                f"{self._path}: certificate-authority holds no certificate"
            ) from None
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate, key = self._pair(user)
        if certificate:
            self._load(context, certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _pair(self, user: Mapping[str, Any]) -> tuple[bytes, bytes]:
        certificate = self._content(user, "client-certificate")
        key = self._content(user, "client-key")
        if bool(certificate) != bool(key):
            missing = "client-key" if certificate else "client-certificate"
            raise BadKubeconfig(f"{self._path}: the user has no {missing}")
        return certificate, key

    def _load(self, context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
        try:
            load_pair(context, certificate, key)
        except ssl.SSLError:
            why = "client-certificate and client-key do not fit or cannot be read"
            raise BadKubeconfig(f"{self._path}: {why}") from None

    def _content(self, entry: Mapping[str, Any], field: str) -> bytes:
        """Returns what a field holds inline (`-data`) or by file, which may be relative."""
        if inline := entry.get(f"{field}-data"):
            try:
                return base64.b64decode(str(inline), validate=True)
            except binascii.Error:
                raise BadKubeconfig(f"{self._path}: {field}-data is not base64") from None
        if not (name := entry.get(field)):
            return b""
        file = self._path.parent / str(name)
        try:
            return file.read_bytes()
        except OSError as error:
            raise BadKubeconfig(f"{self._path}: {field}: {file}: {error.strerror}") from error

    def _token(self, user: Mapping[str, Any]) -> Callable[[], str] | None:
        """Returns what gives the bearer token; a token's file is read for each request, since it
        is renewed from outside."""
        if name := user.get("tokenFile"):
            file = self._path.parent / str(name)
            return lambda: file.read_text().strip()
        if (token := user.get("token")) and isinstance(token, str):
            return lambda: token
        return None
