"""The APIServices with a Service as the server follows them, and the passing on of requests.

Nothing of it is touched by a request for what this server serves itself.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from steersman.api.aggregation.remote import Remote, Show, speaking
from steersman.api.aggregation.verdict import is_available
from steersman.api.cache import Cache, Entry, Event, Table
from steersman.api.hooks.client import Find, Unanswered
from steersman.api.paths import PLAIN_TEXT
from steersman.api.published.foreign import Foreign, Swagger
from steersman.api.subresources.kubelets import explain
from steersman.api.subresources.proxy import pass_on
from steersman.client.errors import Unreachable
from steersman.model.errors import ServiceUnavailable
from steersman.model.kinds.apiservice import APISERVICE
from steersman.wire.message import Request, Response, User
from steersman.world.interface import World

UNAVAILABLE: Final = "service unavailable"
# What a server said it serves is asked for again when somebody wants to know and it is older
# (upstream's discovery manager asks once a minute)
OLD_SECONDS: Final = 60.0


class Remotes:
    """See the module. `doubt` hears the names of those that should be checked again."""

    def __init__(self, cache: Cache, find: Find, show: Show, world: World) -> None:
        self._table: Table = cache.table(APISERVICE.resource)
        self._find = find
        self._show = show
        self._world = world
        self._remotes: dict[str, Remote] = {}
        self._heard: list[Callable[[], None]] = []
        self.doubt: Callable[[str], None] = lambda _name: None

    def follow(self) -> None:
        """Knows what is there and follows what comes."""
        for entry in self._table.ordered():
            self._take(entry)
        self._table.watch("", self._hear)

    def get(self, name: str) -> Remote | None:
        """Returns one by the name of its APIService."""
        return self._remotes.get(name)

    def of_service(self, namespace: str, name: str) -> list[str]:
        """Returns the names of those behind a Service."""
        wanted = (namespace, name)
        return [
            remote.name
            for remote in self._remotes.values()
            if (remote.spec["service"]["namespace"], remote.spec["service"]["name"]) == wanted
        ]

    def names(self) -> list[str]:
        """Returns all names."""
        return list(self._remotes)

    # Followed

    def _hear(self, event: Event) -> None:
        if event.new is not None:
            self._take(event.new)
        elif event.old is not None and self._remotes.pop(event.old.name, None) is not None:
            self.changed()

    def _take(self, entry: Entry) -> None:
        document = entry.document()
        known = self._remotes.get(entry.name)
        if document["spec"].get("service") is None:
            if known is not None:
                del self._remotes[entry.name]
                self.changed()
            return
        if known is not None and known.spec == document["spec"]:
            told = known.document.get("status") != document.get("status")
            known.take(document, entry.revision)
        else:
            told = False
            made = Remote(document, entry.revision, self._find, self._show, self._world)
            self._remotes[entry.name] = made
        self.changed()
        if not told:  # what was said of it here is no reason to look again
            self.doubt(entry.name)

    def changed(self) -> None:
        """Tells that what is told of them may be another."""
        for hear in self._heard:
            hear()

    # What documents tell; see `published.foreign.Foreigners`

    def told(self) -> list[Foreign]:
        """Returns what is told in discovery."""
        return [
            Foreign(
                remote.spec["group"],
                remote.spec["version"],
                remote.resources,
                is_available(remote.document) and remote.asked is not None,
                (remote.spec["groupPriorityMinimum"], remote.spec["versionPriority"]),
            )
            for remote in self._remotes.values()
        ]

    def documents(self) -> Mapping[str, str]:
        """Returns the addresses of their OpenAPI documents."""
        return {
            remote.root[1:]: remote.openapi
            for remote in self._remotes.values()
            if remote.openapi and is_available(remote.document)
        }

    async def swaggers(self) -> Sequence[Swagger]:
        """Returns what they say in OpenAPI version 2."""
        if not self._remotes:
            return ()
        from steersman.api.aggregation.swaggers import Swaggers  # with the first of them

        return await Swaggers(self._world).of(self._remotes.values())

    def refresh(self) -> None:
        """Has those checked again that were last asked long ago."""
        now = self._world.monotonic()
        for remote in self._remotes.values():
            if remote.asked is not None and now - remote.asked > OLD_SECONDS:
                self.doubt(remote.name)

    def on_change(self, hear: Callable[[], None]) -> None:
        """Calls `hear` after every change."""
        self._heard.append(hear)

    # Passed on

    def handle(
        self, request: Request, user: User
    ) -> Response | Coroutine[Any, Any, Response] | None:
        """Answers for another server, None for a path that belongs to none."""
        if not self._remotes or (remote := self._of(request.path)) is None:
            return None
        if not is_available(remote.document):
            return refused(UNAVAILABLE)
        return self._pass(remote, request, user)

    def _of(self, path: str) -> Remote | None:
        parts = path.removeprefix("/openapi/v3").split("/", 4)
        if len(parts) < 4 or parts[1] != "apis":
            return None
        return self._remotes.get(f"{parts[3]}.{parts[2]}")

    async def _pass(self, remote: Remote, given: Request, user: User) -> Response:
        request = Request(given.method, given.path, given.query, body=given.body)
        try:
            request.headers = speaking(given, user)
            transport = remote.transport(checked=True)
        except ServiceUnavailable as error:
            return refused(error.message)
        except Unanswered:
            self.doubt(remote.name)
            return refused(UNAVAILABLE)
        try:
            return await pass_on(transport, request, self._world)
        except Unreachable as error:
            self.doubt(remote.name)
            why = explain(str(transport.target).removeprefix("https://"), error)
            return refused(f"error trying to reach service: {why}")


def refused(why: str) -> Response:
    """Returns upstream's refusal: one line of text, no Status."""
    return Response(f"{why}\n".encode(), 503, PLAIN_TEXT, {"X-Content-Type-Options": "nosniff"})
