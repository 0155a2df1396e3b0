"""What the server answers outside of resources: health, version, discovery, documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from steersman.model.gotext import quote
from steersman.wire.message import Request, Response, User

Answer = Callable[[Request, User], Any]
PLAIN_TEXT = "text/plain; charset=utf-8"
HEALTH = ("/healthz", "/livez", "/readyz")


class Checks:
    """Named health checks; each says what is wrong, or the empty string."""

    def __init__(self, checks: Mapping[str, Callable[[], str]]) -> None:
        self._checks = dict(checks)

    def answer(self, request: Request) -> Response | None:
        """Answers `/readyz`, `/readyz/NAME`, with `verbose` and `exclude` as upstream does."""
        parts = request.path.strip("/").split("/")
        name = parts[0]
        if len(parts) == 2:
            return self._one(parts[1])
        excluded = set(request.params.get("exclude", ()))
        lines, failed = [], False
        for check, ask in self._checks.items():
            if check in excluded:
                lines.append(f"[+]{check} excluded: ok")
                continue
            wrong = ask()
            failed |= bool(wrong)
            lines.append(f"[-]{check} failed: reason withheld" if wrong else f"[+]{check} ok")
        if unknown := sorted(excluded - set(self._checks)):
            named = ",".join(map(quote, unknown))
            what = "some health checks cannot be excluded: no matches for"
            lines.append(f"warn: {what} {named}")
        if not failed and "verbose" not in request.params:
            return Response(b"ok", content_type=PLAIN_TEXT)
        ending = f"{name} check failed" if failed else f"{name} check passed"
        text = "\n".join([*lines, ending]) + "\n"
        return Response(text.encode(), 500 if failed else 200, PLAIN_TEXT)

    def _one(self, name: str) -> Response | None:
        if name not in self._checks:
            return None
        wrong = self._checks[name]()
        body = f"internal server error: {wrong}\n" if wrong else "ok"
        return Response(body.encode(), 500 if wrong else 200, PLAIN_TEXT)


class Paths:
    """Finds who answers a path: the exact path first, then the longest prefix ending in a slash."""

    def __init__(self, checks: Checks, answers: Mapping[str, Answer]) -> None:
        self._checks = checks
        self._exact = {path: answer for path, answer in answers.items() if path[-1] != "/"}
        prefixes = [path for path in answers if path[-1] == "/"]
        self._prefixes = [(path, answers[path]) for path in sorted(prefixes, key=len, reverse=True)]

    def handle(self, request: Request, user: User) -> Any:
        """Returns the answer, None for an unknown path."""
        path = request.path.rstrip("/") or "/"
        if path.startswith(HEALTH):
            return self._checks.answer(request)
        if (answer := self._exact.get(path)) is not None:
            return answer(request, user)
        for prefix, found in self._prefixes:
            if path.startswith(prefix):
                return found(request, user)
        return None
