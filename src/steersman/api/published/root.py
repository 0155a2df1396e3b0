"""What stands at the root: the list of all paths, at `/` and `/index.html` (apiserver's
routes.Index). Not what answers them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson

from steersman.wire.message import Request, Response, User

PATHS = ("/", "/index.html")


def answering(
    groups: Callable[[], Iterable[tuple[str, Iterable[str]]]], others: Iterable[str]
) -> Callable[[Request, User], Response]:
    """Returns what answers: the groups with their versions as they are now, and other paths."""
    fixed = ("/api", "/apis", "/apis/", *others)

    def answer(_request: Request, _user: User) -> Response:
        found = set(fixed)
        for group, versions in groups():
            place = f"/apis/{group}" if group else "/api"
            found.update((place, *(f"{place}/{version}" for version in versions)))
        body = orjson.dumps({"paths": sorted(found)}, option=orjson.OPT_INDENT_2)
        return Response(body)

    return answer
