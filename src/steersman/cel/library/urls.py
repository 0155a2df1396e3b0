"""URLs (k8s.io/apiserver/pkg/cel/library/urls.go; Go's net/url reads a request URI)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.types import BOOL, STRING, list_of, map_of, opaque

URL_TYPE: Final = opaque("kubernetes.URL")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SAFE_PATH: Final = "/$&+,:;=@!'()*-._~"  # what Go's EscapedPath leaves as it is
_MOST_FIELDS: Final = 10_000  # of a query


@dataclass(frozen=True, slots=True)
class URL:
    """A parsed address."""

    type_name: ClassVar[str] = URL_TYPE.name
    text: str
    parts: SplitResult

    def equal(self, other: Any) -> bool:
        """Says whether another URL is the same text."""
        return isinstance(other, URL) and self.text == other.text


def parse_url(text: str) -> URL:
    """Reads an absolute address or an absolute path; raises EvaluationError."""
    problem = _problem(text)
    if problem:
        shown = f'parse "{text}": {problem}'
        raise EvaluationError(f"URL parse error during conversion from string: {shown}")
    return URL(text, urlsplit(text))


def _problem(text: str) -> str:
    if not text:
        return "empty url"
    if _CONTROL.search(text):
        return "net/url: invalid control character in URL"
    if (found := _ESCAPE.search(text)) is not None:
        return f'invalid URL escape "{text[found.start() : found.start() + 3]}"'
    if not text.startswith("/") and not _SCHEME.match(text):
        return "invalid URI for request"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        return str(error)
    if " " in parts.netloc:
        return 'invalid character " " in host name'
    return ""


def is_url(text: str) -> bool:
    """Says whether a text is an absolute address or an absolute path."""
    return not _problem(text)


def _host(url: URL) -> str:
    return url.parts.netloc.rpartition("@")[2]


def _hostname(url: URL) -> str:
    host = _host(url)
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _port(url: URL) -> str:
    return "" if url.parts.port is None else str(url.parts.port)


def _escaped_path(url: URL) -> str:
    return quote(unquote(url.parts.path), safe=_SAFE_PATH) or url.parts.path


def _query(url: URL) -> dict[str, list[str]]:
    return parse_qs(url.parts.query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)


FUNCTIONS: Final[Functions] = {
    "url": (Overload((STRING,), URL_TYPE, parse_url, scans=(0,)),),
    "isURL": (Overload((STRING,), BOOL, is_url, scans=(0,)),),
    "getScheme": (Overload((URL_TYPE,), STRING, lambda url: url.parts.scheme, member=True),),
    "getHost": (Overload((URL_TYPE,), STRING, _host, member=True),),
    "getHostname": (Overload((URL_TYPE,), STRING, _hostname, member=True),),
    "getPort": (Overload((URL_TYPE,), STRING, _port, member=True),),
    "getEscapedPath": (Overload((URL_TYPE,), STRING, _escaped_path, member=True),),
    "getQuery": (Overload((URL_TYPE,), map_of(STRING, list_of(STRING)), _query, member=True),),
}
