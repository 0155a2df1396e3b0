"""The API as one function from a request to its response: who, may they, which kind, which verb.

It knows the parts of the API and nothing of sockets; `api.serve` and the in-process client call
`Api.handle`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from steersman.api import body, keys
from steersman.api.access.authorization import Attributes
from steersman.api.access.awaiting import MOST_FETCHES, Awaiting, remembering
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.api.custom import conversion
from steersman.api.delete import Deleter
from steersman.api.encryption import reading
from steersman.api.fairness.seats.queues import Flow
from steersman.api.fairness.serving import Serving
from steersman.api.form import Form
from steersman.api.present import parse_accept
from steersman.api.published.meter import Deprecated, Meter, Tally, measure, series_of
from steersman.api.read import Reader
from steersman.api.route import Kinds, parse, unknown
from steersman.api.watch import Watches
from steersman.api.write import Writer
from steersman.model.errors import APIError, InternalError, NotFound, not_allowed, not_found
from steersman.model.kind import Kind, Version
from steersman.model.pack import NUMBER
from steersman.model.surface import Surface
from steersman.wire import media, pretty
from steersman.wire.message import JSON, Notes, Remarked, Request, Response, User

if TYPE_CHECKING:  # loaded where requests are noted
    from steersman.api.audit.auditor import Auditor

Awaited = Coroutine[Any, Any, Response]
Answer = Response | Awaited
Subresource = Callable[[Call], Answer]
Decided = TypeVar("Decided")

# What can be asked of a namespaced kind without naming a namespace
EVERYWHERE = ("list", "watch")
# What is relayed, and is nobody's here to lay out; and where documents are that are laid out
PROXY = "proxy"
DISCOVERY = "/api"
TOO_MUCH = "Internal error occurred: too much had to be fetched to decide"


class Access(Protocol):
    """Who asks, and may they."""

    def identify(self, request: Request) -> User:
        """Returns who asks; raises Unauthorized."""

    def require(self, user: User, attributes: Attributes, notes: Notes | None = None) -> None:
        """Raises Forbidden where they may not; has it noted either way."""


class Paths(Protocol):
    """What is served outside of resources: health, version, discovery, documents."""

    def handle(
        self, request: Request, user: User
    ) -> Response | Coroutine[Any, Any, Response | None] | None:
        """Returns the answer, None for an unknown path, at once or awaited."""


class Extension(Protocol):
    """Who answers for a whole group whose objects are not stored."""

    def is_local(self) -> bool:
        """Says whether it answers now."""

    def handle(self, request: Request, asked: Attributes) -> Awaited:
        """Answers a request to a resource of the group."""


class Api:
    """Routes requests to the parts that answer them."""

    def __init__(
        self,
        *,
        kinds: Kinds,
        cache: Cache,
        access: Access,
        paths: Paths,
        reader: Reader,
        watches: Watches,
        writer: Writer,
        deleter: Deleter,
        subresources: Mapping[tuple[str, str], Subresource],
        extensions: Mapping[str, Extension],
        reviews: Callable[[Call], Answer],
        meter: Meter,
        serving: Serving,
        monotonic: Callable[[], float],
        elsewhere: Callable[[Request, User], Answer | None],
        auditor: Auditor | None = None,
        surface: Surface | None = None,
    ) -> None:
        self._kinds = kinds
        self._surface = surface or Surface(NUMBER)
        self._cache = cache
        self._access = access
        self._paths = paths
        self._reader = reader
        self._watches = watches
        self._writer = writer
        self._deleter = deleter
        self._subresources = subresources
        self._extensions = extensions
        self._reviews = reviews
        self._meter = meter
        self._serving = serving
        self._monotonic = monotonic
        self._elsewhere = elsewhere  # what other servers serve behind this one
        self._auditor = auditor
        self._reads: dict[tuple[tuple[Any, ...], bool, bool], Tally] = {}
        self._forms: dict[tuple[str, str, str], Form] = {}

    def handle(self, request: Request) -> Answer:
        """Answers one request, counts it, and has it noted where there is an audit policy; raises
        the errors of `model.errors`."""
        if self._auditor is None:
            return self._handle(request)
        return self._auditor.follow(request, self._handle)

    def _handle(self, request: Request) -> Answer:
        began = self._monotonic()
        attributes = parse(request)
        try:
            user = request.user or self._access.identify(request)
        except APIError as error:
            self._tally(request, attributes).count(error.code, self._monotonic() - began)
            raise
        except Awaiting:
            return self._unknown(request, attributes, began)
        flow = self._serving.flow(user, attributes)
        if flow is not None and not self._serving.fits(flow, request, attributes, began):
            answer = self._once_there(request, user, attributes)
            return self._counted(flow, request, user, attributes, answer, began)
        return self._served(flow, request, user, attributes, began)

    def _served(
        self, flow: Flow | None, request: Request, user: User, attributes: Attributes, began: float
    ) -> Answer:
        """Answers one request whose turn it is."""
        try:
            answer = self._serve(request, user, attributes)
        except APIError as error:
            if flow is not None:
                error.headers = flow.headers
            self._tally(request, attributes).count(error.code, self._monotonic() - began)
            raise
        except Awaiting:
            answer = self._once_there(request, user, attributes)
        if isinstance(answer, Response):
            seconds = self._monotonic() - began
            tally = self._tally_of_read(request, attributes)
            tally.count(answer.status, seconds)
            if tally.sizes is not None:
                measure(tally.sizes, answer)
            if flow is not None:
                self._serving.served(flow, answer, request, user, attributes, seconds)
            return answer
        return self._counted(flow, request, user, attributes, answer, began)

    async def _unknown(self, request: Request, attributes: Attributes, began: float) -> Response:
        """Answers somebody who is known only after something has been fetched."""
        try:
            user = await _fetched(lambda: self._access.identify(request))
        except APIError as error:
            self._tally(request, attributes).count(error.code, self._monotonic() - began)
            raise
        flow = self._serving.flow(user, attributes)
        answer = self._once_there(request, user, attributes)
        return await self._counted(flow, request, user, attributes, answer, began)

    async def _once_there(self, request: Request, user: User, attributes: Attributes) -> Response:
        """Answers once what the decisions need has been fetched: those before the work, and those
        in its course, which then begins anew."""
        return await _fetched(lambda: self._serve(request, user, attributes))

    async def _counted(
        self,
        flow: Flow | None,
        request: Request,
        user: User,
        attributes: Attributes,
        answer: Awaited,
        began: float,
    ) -> Response:
        """Does what has to be waited for when it is the request's turn, and counts it."""
        tally = self._tally(request, attributes)
        self._meter.begin(tally)
        response = one = None
        try:
            if flow is not None:
                came = self._monotonic()
                one = self._serving.begin(flow, request, user, attributes, came)
                if one.started < 0:
                    if not await self._serving.turn(one):
                        response = self._serving.refused(flow)
                        return response
                    request.outside += one.started - came
            try:
                response = await answer
            except Awaiting:
                response = await self._once_there(request, user, attributes)
            return response
        except APIError as error:
            if flow is not None:
                error.headers = flow.headers
            tally.count(error.code, self._monotonic() - began, request.outside)
            raise
        finally:
            answer.close()  # where it never began
            now = self._monotonic()
            self._meter.end(tally)
            if response is not None:
                tally.count(response.status, now - began, request.outside)
                if tally.sizes is not None:
                    measure(tally.sizes, response)
            if one is not None and one.started >= 0:
                self._serving.end(one, request, response, now)

    def _tally(self, request: Request, asked: Attributes) -> Tally:
        """Returns where a request is counted."""
        kind = None
        if asked.is_resource:
            kind = self._kinds.by_resource(asked.group, asked.version, asked.resource)
        media_type = request.headers.get("content-type", "")
        return self._meter.of(series_of(asked, kind, request.query, media_type))

    def _tally_of_read(self, request: Request, asked: Attributes) -> Tally:
        """Returns the same for a request that was answered at once, as most reads are; remembered,
        since it costs more to find than to count."""
        key = (asked[:5], not asked.name, not asked.namespace)
        if (tally := self._reads.get(key)) is None or request.query:
            tally = self._tally(request, asked)
            if not request.query:
                self._reads[key] = tally
        return tally

    def _serve(self, request: Request, user: User, attributes: Attributes) -> Answer:
        self._access.require(user, attributes, request.notes)
        if not attributes.is_resource:
            return self._other(request, user)
        extension = self._extensions.get(attributes.group)
        if extension is not None and extension.is_local():
            return extension.handle(request, attributes)
        try:
            call = self.resolve(request, user, attributes)
        except NotFound:
            if (answer := self._elsewhere(request, user)) is not None:
                return answer
            raise
        return self._dispatch(call)

    def _other(self, request: Request, user: User) -> Answer:
        answer = self._paths.handle(request, user)
        if isinstance(answer, Coroutine):
            return self._awaited(answer, request, user)
        if answer is None:
            answer = self._elsewhere(request, user)
        elif request.path.startswith(DISCOVERY) and pretty.is_wanted(request):
            return pretty.laid_out(answer)
        if answer is None:
            raise unknown(request.path)
        return answer

    async def _awaited(
        self, coming: Coroutine[Any, Any, Response | None], request: Request, user: User
    ) -> Response:
        """Returns what an unknown path may only turn out to be in the end."""
        found = await coming
        answer = found if found is not None else self._elsewhere(request, user)
        if answer is None:
            raise unknown(request.path)
        return answer if isinstance(answer, Response) else await answer

    def resolve(self, request: Request, user: User, attributes: Attributes) -> Call:
        """Returns the call that a request to a resource makes; raises NotFound."""
        group, version, plural = attributes.group, attributes.version, attributes.resource
        kind = self._kinds.by_resource(group, version, plural)
        if kind is None or not _has_place(kind, attributes):
            raise unknown(request.path)
        form = self.form(kind, version)
        if kind.namespaced and not attributes.namespace and attributes.verb not in EVERYWHERE:
            raise not_allowed() if form.served.shape is None else unknown(request.path)
        if not self._surface.is_whole and is_outside(request):
            self._check_shown(request.path, kind, form.served, attributes.subresource)
        table = self._cache.table(keys.table_of(kind))
        presentation = parse_accept(
            request.headers.get("accept", ""),
            builtin=form.served.shape is None and not form.served.gone,
            stream=attributes.verb == "watch",
            listed="list" in kind.verbs,
        )
        call = Call(request, user, attributes, kind, form.served, form, table, presentation)
        if self._cache.unreadable:
            reading.check(call, self._cache.unreadable)
        return call

    def _check_shown(self, path: str, kind: Kind, version: Version, name: str) -> None:
        """Refuses what the minor that is served had not."""
        below = kind.subresource(name) if name else None
        if not self._surface.shows(version) or (
            below is not None and not self._surface.shows_below(below, version)
        ):
            raise unknown(path)

    def form(self, kind: Kind, version: str) -> Form:
        """Returns the encoding of a kind in a version."""
        key = (kind.group, kind.plural, version)
        if (form := self._forms.get(key)) is None or form.kind is not kind:
            form = self._forms[key] = Form(kind, version)
        return form

    def _dispatch(self, call: Call) -> Answer:
        media_type = call.presentation.media
        if media_type != JSON:
            return media.answered(
                lambda: self._in_json(call), lambda found: media.written(found, media_type)
            )
        if call.subresource != PROXY and pretty.is_wanted(call.request):
            return media.answered(lambda: self._in_json(call), pretty.laid_out)
        return self._in_json(call)

    def _in_json(self, call: Call) -> Answer:
        shape = call.version.shape
        answer = self._converted(call) if shape and shape.webhook else self._answer(call)
        if call.version.deprecation and call.version.deprecated <= self._surface.minor:
            self._note_deprecated(call)
            answer = _remarked(answer, call.version.deprecation)
        if isinstance(call.user, Remarked):
            answer = _remarked(answer, call.user.remark)
        return answer

    def _note_deprecated(self, call: Call) -> None:
        """Has it shown among the metrics that a version was asked for that is to go."""
        kind, version = call.kind, call.version
        gone = f"1.{version.gone}" if version.gone else ""
        if version.shape is None:  # what a definition calls deprecated is not told
            used = (kind.group, gone, kind.plural, call.subresource, version.name)
            self._meter.deprecated[Deprecated(*used)] = None

    def watch_events(self) -> dict[tuple[str, str, str], int]:
        """Returns how many events watches were sent, by group, plural name and version."""
        return {key: form.events_sent for key, form in self._forms.items()}

    def _answer(self, call: Call) -> Answer:
        attributes, kind = call.attributes, call.kind
        if not kind.stored:
            return self._reviews(call)
        if attributes.subresource:
            return self._subresource(call)
        verb = attributes.verb
        if verb not in kind.verbs:
            raise not_allowed()
        if verb == "get":
            return self._reader.get(call)
        if verb == "list":
            return self._reader.list(call)
        if verb == "watch":
            return self._watches.open(call)
        if verb == "create":
            if call.name:
                raise not_allowed()
            return self._writer.create(call)
        if verb == "update":
            return self._named(call, self._writer.update)
        if verb == "patch":
            return self._named(call, self._writer.patch)
        if verb == "delete":
            return self._deleter.delete(call)
        return self._deleter.delete_collection(call)

    @staticmethod
    def _named(call: Call, answer: Subresource) -> Answer:
        if not call.name:
            raise not_allowed()
        return answer(call)

    async def _converted(self, call: Call) -> Response:
        """Answers a call to a version whose objects a webhook converts: first those."""
        entries = call.table.ordered(call.namespace)
        if call.name:
            found = call.table.get(call.namespace, call.name)
            entries = [found] if found is not None else []
        await conversion.ready(call.form, entries)
        answer = self._answer(call)
        return answer if isinstance(answer, Response) else await answer

    def _subresource(self, call: Call) -> Answer:
        """Answers a subresource: by its own code, or by the verbs on the paths it writes."""
        name = call.attributes.subresource
        found = call.kind.subresource(name)
        last = call.request.path.rstrip("/").rpartition("/")[2]
        if found is None or (last != name and name != PROXY):  # a proxied path goes on
            if call.version.shape is not None:
                raise not_found(call.kind.group, call.kind.plural, call.name)
            raise unknown(call.request.path)
        proxied = name == PROXY and call.request.method == "OPTIONS"  # which is no verb of ours
        if call.attributes.verb not in found.verbs and not proxied:
            raise not_allowed()
        own = self._subresources.get((call.kind.plural, name)) or self._subresources.get(("", name))
        if own is not None:
            return own(call)
        if not found.writes:  # nothing of the object is meant, as with a proxy
            raise not_allowed()
        verb = call.attributes.verb
        if verb == "get":
            return self._reader.get(call)
        if verb == "update":
            return self._writer.update(call)
        if verb == "patch":
            return self._writer.patch(call)
        raise not_allowed()


async def _fetched(decide: Callable[[], Decided | Coroutine[Any, Any, Decided]]) -> Decided:
    """Returns what `decide` comes to once all that it needs has been fetched; after each fetch it
    begins anew. Raises what `decide` raises."""
    with remembering():
        for _ in range(MOST_FETCHES):
            try:
                found = decide()
                return await found if isinstance(found, Coroutine) else found
            except Awaiting as missing:
                await missing.fetch()
    raise InternalError(TOO_MUCH)


async def _remarked(answer: Answer, remark: str) -> Response:
    """Tells a client something of the version or the token that it uses."""
    response = answer if isinstance(answer, Response) else await answer
    headers = dict(response.headers or {})
    told = (body.warnings((remark,)) or {})["Warning"]
    headers["Warning"] = ", ".join(filter(None, (told, headers.get("Warning"))))
    return Response(response.body, response.status, response.content_type, headers)


def is_outside(request: Request) -> bool:
    """Says whether a request comes from outside the server: its own parts know all kinds, whatever
    minor it serves."""
    return request.peer is not None and not request.peer.local


def _has_place(kind: Kind, attributes: Attributes) -> bool:
    """Says whether there is such a path: an object of a namespaced kind stands in a namespace, one
    of a cluster-scoped kind does not (whoever was allowed something in a namespace was allowed
    nothing outside of it)."""
    if kind.namespaced:
        return bool(attributes.namespace) or not attributes.name
    if kind.plural == "namespaces" and not kind.group:
        return attributes.namespace in ("", attributes.name)
    return not attributes.namespace
