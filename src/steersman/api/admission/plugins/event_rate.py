"""EventRateLimit: so many Events a second, by server, namespace, user, or source and object.

Follows plugin/pkg/admission/eventratelimit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final

import msgspec

from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.plugins.plain import is_of
from steersman.api.call import Call
from steersman.model.errors import TooManyRequests
from steersman.model.gotext import quote
from steersman.model.kind import Document

VERSION: Final = "eventratelimit.admission.k8s.io/v1alpha1"
TYPES: Final = ("Namespace", "Server", "SourceAndObject", "User")
# Buckets that are kept of one limit where the file does not say
CACHE_SIZE: Final = 4096
_SOURCE: Final = ("component", "host")
_OBJECT: Final = ("kind", "namespace", "name", "uid", "apiVersion")


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One limit: `qps` events a second, `burst` at once."""

    type: str = ""
    qps: int = 0
    burst: int = 0
    cacheSize: int = 0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration."""

    kind: str = ""
    apiVersion: str = ""
    limits: tuple[Limit, ...] = ()


def parse(document: Any) -> Sequence[Limit]:
    """Returns what a configuration says, None for none; raises ValueError."""
    try:
        found = msgspec.convert(document if document is not None else {}, Limits)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if document is not None and (found.kind, found.apiVersion) != ("Configuration", VERSION):
        raise ValueError(f"it is no Configuration of {VERSION}")
    problems = list(_problems(found.limits))
    if problems:
        raise ValueError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    return found.limits


def _problems(limits: Sequence[Limit]) -> Iterator[str]:
    if not limits:
        yield "limits: Invalid value: []: must not be empty"
    for index, one in enumerate(limits):
        path = f"limits[{index}]"
        if one.type not in TYPES:
            known = ", ".join(map(quote, TYPES))
            yield f"{path}.type: Unsupported value: {quote(one.type)}: supported values: {known}"
        for name, value in (("burst", one.burst), ("qps", one.qps)):
            if value <= 0:
                yield f"{path}.{name}: Invalid value: {value}: must be positive"
        if one.type != "Server" and one.cacheSize < 0:
            yield f"{path}.cacheSize: Invalid value: {one.cacheSize}: must not be negative"


class Buckets:
    """The tokens that are left of one limit, for each key; who asked longest ago is forgotten."""

    def __init__(self, limit: Limit, monotonic: Callable[[], float]) -> None:
        self.limit = limit
        self._monotonic = monotonic
        self._left: dict[str, tuple[float, float]] = {}  # tokens, and when

    def take(self, key: str) -> bool:
        """Takes a token; says whether there was one."""
        limit, now = self.limit, self._monotonic()
        tokens, since = self._left.pop(key, (float(limit.burst), now))
        tokens = min(tokens + (now - since) * limit.qps, float(limit.burst))
        allowed = tokens >= 1
        if len(self._left) >= (limit.cacheSize or CACHE_SIZE):
            del self._left[next(iter(self._left))]
        self._left[key] = (tokens - allowed, now)
        return allowed


class EventRateLimit(Plugin):
    """See the module."""

    name = "EventRateLimit"
    about = frozenset({"Event"})

    def __init__(self, limits: Sequence[Limit], monotonic: Callable[[], float]) -> None:
        self._buckets = [Buckets(limit, monotonic) for limit in limits]

    def check(self, change: Change) -> None:
        """Refuses an Event over a limit; all limits are asked, the last refusal is told."""
        if change.operation == "DELETE" or not is_of(change.call, "", "Event"):
            return
        wrong = ""
        for buckets in self._buckets:
            kind = buckets.limit.type
            key = _key(kind, change)
            if not buckets.take(key):
                wrong = f"limit reached on type {kind} for key {key}"
        if wrong:
            raise TooManyRequests(f"Too many requests, please try again later: {wrong}")

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on how many came before."""
        return None if is_of(call, "", "Event") else ()


def _key(kind: str, change: Change) -> str:
    if kind == "Namespace":
        return change.namespace
    if kind == "User":
        return change.call.user.name
    if kind == "Server":
        return ""
    event = change.new or {}
    source, about = event.get("source") or {}, event.get("involvedObject") or {}
    texts = [source.get(name, "") for name in _SOURCE] + [about.get(name, "") for name in _OBJECT]
    return "".join(texts)
