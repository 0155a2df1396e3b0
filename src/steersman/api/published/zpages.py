"""What the server says of itself to people: `/statusz` and `/flagz`, as text and as documents.

Follows component-base's zpages. Whoever reads metrics may read them (system:monitoring).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from steersman.api.published.negotiate import JSON, Form, choose
from steersman.model.errors import not_allowed
from steersman.model.kind import Document
from steersman.model.pack import NUMBER
from steersman.model.times import rfc3339
from steersman.wire.media import YAML, written
from steersman.wire.message import Request, Response, User

STATUS: Final = "/statusz"
FLAGS: Final = "/flagz"
_COMPONENT: Final = "kube-apiserver"
_GROUP: Final = "config.k8s.io"
_TEXT: Final = "text/plain; charset=utf-8"
_WARNING: Final = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility "
    "guarantees and is for debugging purposes only.\n"
)
# Paths that say nothing of the state of the server
_OTHERS: Final = ("/apis", "/api", "/openid", "/openapi", "/.well-known")

Answer = Callable[[Request, User], Any]


class Pages:
    """Answers for both; `paths` are those that there are."""

    def __init__(
        self,
        minor: int,
        started: float,
        now: Callable[[], float],
        flags: Mapping[str, str],
        paths: Iterable[str],
    ) -> None:
        self._minor = minor
        self._started = started
        self._now = now
        self._flags = dict(sorted(flags.items()))
        self._paths = _places((*paths, STATUS, FLAGS))

    def answers(self) -> Mapping[str, Answer]:
        """Returns who answers at which path."""
        return {STATUS: _answering("Statusz", self._status), FLAGS: _answering("Flagz", self._told)}

    def _status(self) -> tuple[str, Document]:
        up = max(int(self._now() - self._started), 0)
        began = f"{datetime.fromtimestamp(self._started, UTC):%a %b %e %H:%M:%S UTC %Y}"
        made_with, binary = f"python{platform.python_version()}", f"1.{NUMBER}.0"
        text = (
            f"Started: {began}\nUp: {up // 3600} hr {up // 60 % 60:02} min {up % 60:02} sec\n"
            f"Go version: {made_with}\nBinary version: {binary}\n"
            f"Emulation version: 1.{self._minor}\nPaths: {' '.join(self._paths)}\n"
        )
        document = {
            "startTime": rfc3339(self._started),
            "uptimeSeconds": up,
            "goVersion": made_with,
            "binaryVersion": binary,
            "emulationVersion": f"1.{self._minor}",
            "paths": list(self._paths),
        }
        return f"\n{text}", document

    def _told(self) -> tuple[str, Document]:
        text = "".join(f"{name}={value}\n" for name, value in self._flags.items())
        return text, {"flags": self._flags}


def _places(paths: Iterable[str]) -> tuple[str, ...]:
    """Returns the first parts of paths, each once."""
    found = {f"/{path.split('/')[1]}" for path in paths}
    return tuple(sorted(found.difference(_OTHERS)))


def _answering(kind: str, tell: Callable[[], tuple[str, Document]]) -> Answer:
    """Returns what answers in the form that is asked for; documents by name alone."""
    forms = (Form("text/plain", {}), *_documents(kind))

    def answer(request: Request, _user: User) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise not_allowed()
        chosen = choose(request.headers.get("accept", ""), forms)
        text, document = tell()
        if chosen is forms[0]:
            head = f"\n{_COMPONENT} {kind.lower()}\n{_WARNING}"
            return Response(f"{head}{text}".encode(), content_type=_TEXT)
        version = f"{_GROUP}/{chosen.parameters['v']}"
        head_of = {"kind": kind, "apiVersion": version, "metadata": {"name": _COMPONENT}}
        response = Response(orjson.dumps({**head_of, **document}))
        return response if chosen.media == JSON else written(response, chosen.media)

    return answer


def _documents(kind: str) -> tuple[Form, ...]:
    return tuple(
        Form(media, {"v": version, "g": _GROUP, "as": kind})
        for media in (JSON, YAML)
        for version in ("v1beta1", "v1alpha1")
    )
