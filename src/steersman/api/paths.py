"""What the server answers outside of resources: health, version, discovery, documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from steersman.model.figures import Family, Sample
from steersman.model.gotext import quote
from steersman.wire.message import Request, Response, User

Answer = Callable[[Request, User], Any]
Check = Callable[[], Awaitable[str]]
PLAIN_TEXT = "text/plain; charset=utf-8"
HEALTH = ("/healthz", "/livez", "/readyz")
ROOT = "/"


class Checks:
    """Named health checks; each says what is wrong, or the empty string. `slow` ones have to be
    waited for."""

    def __init__(
        self, checks: Mapping[str, Callable[[], str]], slow: Mapping[str, Check] | None = None
    ) -> None:
        self._checks = dict(checks)
        self._slow = dict(slow or {})
        self._names = [*checks, *self._slow]
        # (check, path) -> whether it was well at last, and how often it was how
        self._last: dict[tuple[str, str], bool] = {}
        self._counted: Counter[tuple[str, str, str]] = Counter()

    def paths(self) -> Iterator[str]:
        """Yields where they can be asked."""
        for path in HEALTH:
            yield path
            yield from (f"{path}/{name}" for name in self._names)

    def families(self) -> Iterator[Family]:
        """Yields how the checks that were asked together came out (KEP-3466)."""
        last = [
            Sample((("name", name), ("type", path)), float(well))
            for (name, path), well in sorted(self._last.items())
        ]
        help_of_last = "This metric records the result of a single healthcheck."
        yield Family("kubernetes_healthcheck", help_of_last, "gauge", last, "STABLE")
        counted = [
            Sample((("name", name), ("status", status), ("type", path)), float(number))
            for (name, path, status), number in sorted(self._counted.items())
        ]
        help_of_all = "This metric records the results of all healthcheck."
        yield Family("kubernetes_healthchecks_total", help_of_all, "counter", counted, "STABLE")

    def answer(self, request: Request) -> Any:
        """Answers `/readyz`, `/readyz/NAME`, with `verbose` and `exclude` as upstream does; None
        for a name that there is not."""
        parts = request.path.strip("/").split("/")
        if f"/{parts[0]}" not in HEALTH or len(parts) > 2:
            return None
        one = parts[1] if len(parts) == 2 else ""
        excluded = set(request.params.get("exclude", ())) if not one else set()
        wanted = [one] if one else [name for name in self._names if name not in excluded]
        if any(name in self._slow for name in wanted):
            return self._awaited(parts[0], one, wanted, excluded, request)
        found = {name: self._checks[name]() for name in wanted if name in self._checks}
        return self._told(parts[0], one, found, excluded, request)

    async def _awaited(
        self, path: str, one: str, wanted: Iterable[str], excluded: set[str], request: Request
    ) -> Response | None:
        found = {name: self._checks[name]() for name in wanted if name in self._checks}
        for name in wanted:
            if name in self._slow:
                found[name] = await self._slow[name]()
        return self._told(path, one, found, excluded, request)

    def _told(
        self, name: str, one: str, found: Mapping[str, str], excluded: set[str], request: Request
    ) -> Response | None:
        if one:
            return _one(found[one]) if one in found else None
        lines, failed = [], any(found.values())
        for check, wrong in found.items():
            self._last[check, name] = not wrong
            self._counted[check, name, "error" if wrong else "success"] += 1
        for check in self._names:
            if check in excluded:
                lines.append(f"[+]{check} excluded: ok")
            elif found[check]:
                lines.append(f"[-]{check} failed: reason withheld")
            else:
                lines.append(f"[+]{check} ok")
        if unknown := sorted(excluded - set(self._names)):
            named = ",".join(map(quote, unknown))
            what = "some health checks cannot be excluded: no matches for"
            lines.append(f"warn: {what} {named}")
        if not failed and "verbose" not in request.params:
            return Response(b"ok", content_type=PLAIN_TEXT)
        ending = f"{name} check failed" if failed else f"{name} check passed"
        text = "\n".join([*lines, ending]) + "\n"
        return Response(text.encode(), 500 if failed else 200, PLAIN_TEXT)


def _one(wrong: str) -> Response:
    body = f"internal server error: {wrong}\n" if wrong else "ok"
    return Response(body.encode(), 500 if wrong else 200, PLAIN_TEXT)


class Paths:
    """Finds who answers a path: the exact path first, then the longest prefix ending in a slash."""

    def __init__(self, checks: Checks, answers: Mapping[str, Answer]) -> None:
        self._checks = checks
        prefixes = [path for path in answers if path[-1] == "/" and path != ROOT]
        self._exact = {path: answers[path] for path in answers if path not in prefixes}
        self._prefixes = [(path, answers[path]) for path in sorted(prefixes, key=len, reverse=True)]

    def handle(self, request: Request, user: User) -> Any:
        """Returns the answer, None for an unknown path."""
        path = request.path.rstrip("/") or ROOT
        if path.startswith(HEALTH):
            return self._checks.answer(request)
        if (answer := self._exact.get(path)) is not None:
            return answer(request, user)
        for prefix, found in self._prefixes:
            if path.startswith(prefix):
                return found(request, user)
        return None
