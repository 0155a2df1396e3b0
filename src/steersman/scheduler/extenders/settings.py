"""The extenders of a KubeSchedulerConfiguration v1: read strictly, refused in upstream's words.

Certificates and keys are read here, once; what is kept of them is a TLS context.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from steersman.client import kubeconfig
from steersman.client.http import Target
from steersman.model import names
from steersman.model.gotext import quote
from steersman.model.types.resource_check import is_extended
from steersman.scheduler.plugin_args import Refused

DEFAULT_SECONDS: Final = 5.0  # upstream DefaultExtenderTimeout


class Managed(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A resource that an extender manages; `ignored_by_scheduler`: by it alone."""

    name: str
    ignored_by_scheduler: bool = False


class TLS(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How an extender is known, and who the scheduler is to it; data is base64."""

    insecure: bool = False
    server_name: str = ""
    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    cert_data: str = ""
    key_data: str = ""
    ca_data: str = ""


class Given(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One extender as the file has it."""

    url_prefix: str = ""
    filter_verb: str = ""
    preempt_verb: str = ""
    prioritize_verb: str = ""
    weight: int = 0
    bind_verb: str = ""
    enable_https: bool = msgspec.field(default=False, name="enableHTTPS")
    tls_config: TLS | None = None
    http_timeout: str = ""
    node_cache_capable: bool = False
    managed_resources: tuple[Managed, ...] = ()
    ignorable: bool = False


class Settings(msgspec.Struct, frozen=True, eq=False):
    """One extender, ready to be asked; an empty verb is a step that it takes no part in.

    names_only: it knows the nodes and is told their names (nodeCacheCapable)
    managed: the resources of the pods that concern it; empty: all pods do
    """

    url: str
    target: Target
    filter_verb: str = ""
    prioritize_verb: str = ""
    preempt_verb: str = ""
    bind_verb: str = ""
    weight: int = 1
    timeout_seconds: float = DEFAULT_SECONDS
    names_only: bool = False
    managed: frozenset[str] = frozenset()
    ignorable: bool = False


def settings_of(extenders: Sequence[Given]) -> tuple[Settings, ...]:
    """Returns the extenders of a file; raises Refused with one line."""
    for problem in _problems(extenders):
        raise Refused(problem)
    return tuple(
        Settings(
            url=one.url_prefix,
            target=_target(f"extenders[{index}]", one),
            filter_verb=one.filter_verb,
            prioritize_verb=one.prioritize_verb,
            preempt_verb=one.preempt_verb,
            bind_verb=one.bind_verb,
            weight=one.weight,
            timeout_seconds=_seconds(f"extenders[{index}].httpTimeout", one.http_timeout),
            names_only=one.node_cache_capable,
            managed=frozenset(item.name for item in one.managed_resources),
            ignorable=one.ignorable,
        )
        for index, one in enumerate(extenders)
    )


def ignored_of(extenders: Iterable[Given]) -> frozenset[str]:
    """Returns the resources that NodeResourcesFit leaves to extenders."""
    return frozenset(
        item.name
        for one in extenders
        for item in one.managed_resources
        if item.ignored_by_scheduler
    )


def _problems(extenders: Sequence[Given]) -> Iterator[str]:
    """Yields what is wrong (apis/config/validation validateExtenders)."""
    managed: set[str] = set()
    for index, one in enumerate(extenders):
        path = f"extenders[{index}]"
        if one.prioritize_verb and one.weight <= 0:
            text = "must have a positive weight applied to it"
            yield f"{path}.weight: Invalid value: {one.weight}: {text}"
        for number, item in enumerate(one.managed_resources):
            place = f"{path}.managedResources[{number}].name: Invalid value: {quote(item.name)}"
            yield from (f"{place}: {text}" for text in _trouble(item.name))
            if item.name in managed:
                yield f"{place}: duplicate extender managed resource name"
            managed.add(item.name)
    if (binders := sum(bool(one.bind_verb) for one in extenders)) > 1:
        found = quote(f"found {binders} extenders implementing bind")
        yield f"extenders: Invalid value: {found}: only one extender can implement bind"


def _trouble(name: str) -> Sequence[str]:
    if problems := names.qualified_name(name):
        return problems
    return () if is_extended(name) else ("is an invalid extended resource name",)


def _seconds(path: str, text: str) -> float:
    from steersman.cel.errors import EvaluationError  # loaded with the first extender
    from steersman.cel.library.times import parse_duration

    if not text:
        return DEFAULT_SECONDS
    try:
        found = parse_duration(text).nanos / 1e9
    except EvaluationError as error:
        raise Refused(f"{path}: {error}") from None
    if found < 0:
        raise Refused(f"{path}: Invalid value: {quote(text)}: must not be negative")
    return found or DEFAULT_SECONDS


def _target(path: str, one: Given) -> Target:
    parts = urlsplit(one.url_prefix)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        value = quote(one.url_prefix)
        raise Refused(f"{path}.urlPrefix: Invalid value: {value}: must be an http or https URL")
    secure = parts.scheme == "https"
    given = one.tls_config or TLS()
    return Target(
        host=parts.hostname,
        port=parts.port or (443 if secure else 80),
        tls=_context(f"{path}.tlsConfig", given, one.enable_https) if secure else None,
        server_name=given.server_name,
        prefix=parts.path.rstrip("/"),
    )


def _context(path: str, given: TLS, enabled: bool) -> ssl.SSLContext:
    """Returns the settings of a connection. With enableHTTPS and no authority nobody is checked,
    as upstream has it (extender.go makeTransport)."""
    authority = _content(f"{path}.caData", given.ca_data, given.ca_file)
    if authority and given.insecure:
        text = "specifying a root certificates file with the insecure flag is not allowed"
        raise Refused(f"{path}: {text}")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority:
        try:
            made.load_verify_locations(cadata=authority.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError):
            raise Refused(f"{path}: unable to load root certificates") from None
    elif given.insecure or enabled:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    else:
        made.load_default_certs()
    certificate = _content(f"{path}.certData", given.cert_data, given.cert_file)
    key = _content(f"{path}.keyData", given.key_data, given.key_file)
    if bool(certificate) != bool(key):
        raise Refused(f"{path}: a certificate and its key are given together or not at all")
    if certificate:
        try:
            kubeconfig.load_pair(made, certificate, key)
        except ssl.SSLError:
            raise Refused(f"{path}: the certificate and its key do not fit each other") from None
    made.set_alpn_protocols(["http/1.1"])
    return made


def _content(path: str, data: str, file: str) -> bytes:
    """Returns what is given inline, else what is in a file."""
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error:
            raise Refused(f"{path} is not base64") from None
    if not file:
        return b""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
