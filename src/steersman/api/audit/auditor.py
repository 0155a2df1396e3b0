"""Follows each request that the policy notes, from who sends it to the end of its answer, and has
an event written of each stage.

Follows apiserver's endpoints/filters/audit.go and authn_audit.go. Requests of clients that have
gone are complete all the same, as "Connection closed early".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from steersman.api.access.authentication import Authenticator
from steersman.api.access.authorization import Attributes
from steersman.api.audit import objects
from steersman.api.audit.policy import (
    COMPLETE,
    METADATA,
    NONE,
    PANIC,
    RECEIVED,
    RESPONSE,
    STARTED,
    Policy,
)
from steersman.api.audit.record import Answered, Record, render
from steersman.api.route import Kinds, parse
from steersman.model.errors import APIError, InternalError, Unauthorized
from steersman.wire.message import Channel, Push, Request, Response, Sink, Upgrade, User
from steersman.world.interface import World

Answer = Response | Coroutine[Any, Any, Response]

# What goes on after its answer has begun (BasicLongRunningRequestCheck)
LONG: Final = ("attach", "exec", "proxy", "log", "portforward")
# A client may choose its Audit-ID up to this length (maxAuditIDLength)
ID_CHARACTERS: Final = 64
# A longer list is noted without its objects: it would be held twice in memory
LIST_BYTES: Final = 64 * 1024 * 1024
NOT_STORED: Final = "Internal error occurred: failed to store audit event"
EARLY: Final = {"status": "Success", "message": "Connection closed early"}


class Log(Protocol):
    """Where events go."""

    name: str
    strict: bool  # a request of which nothing can be written is refused

    def write(self, line: bytes) -> bool:
        """Takes one event, a line of JSON; says whether it is kept."""


class Auditor:
    """See the module. What it counts is shown among the metrics; `errors` are counted by those
    behind it too."""

    def __init__(
        self,
        policy: Policy,
        logs: list[Log],
        kinds: Kinds,
        world: World,
        errors: Counter[str] | None = None,
        work: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        self._policy = policy
        self._logs = logs
        self._kinds = kinds
        self._world = world
        self.events = 0
        self.rejected = 0
        self.levels: Counter[int] = Counter()
        self.errors: Counter[str] = Counter() if errors is None else errors
        self.work = work  # what is to be run beside, for ever

    def identify(self, authenticator: Authenticator, request: Request) -> User:
        """Returns the user a request acts as, after noting who sends it; raises what
        `Authenticator.identify` raises."""
        try:
            sender = authenticator.authenticate(request)
        except Unauthorized as error:
            self.refused(request, error)
            raise
        record = self.begin(request, sender)
        acted = authenticator.acting(request, sender)
        if record is not None and acted.user is not sender:
            record.impersonated = acted
        return acted.user

    def begin(self, request: Request, user: User | None) -> Record | None:
        """Returns the record of a request whose sender is known, or known to be nobody, and writes
        that it came; None where nothing is kept of it. Asked again, it returns the same.

        Raises InternalError where nothing can be written and that is to end the request.
        """
        if isinstance(request.notes, Record):
            return request.notes
        asked = parse(request)
        verdict = self._policy.decide(user, asked)
        self.levels[verdict.level] += 1
        if verdict.level == NONE:
            return None
        chosen = request.headers.get("audit-id", "")
        uid = chosen if 0 < len(chosen) <= ID_CHARACTERS else self._world.uid()
        request.notes = record = Record(request, asked, user, verdict, uid)
        record.received = self._world.wire_now()
        if user is not None and not self._write(record, RECEIVED, None):
            record.closed = True
            self.rejected += 1
            raise InternalError(NOT_STORED)
        return record

    def refused(self, request: Request, error: APIError) -> None:
        """Writes that nobody knows who sent a request (WithFailedAuthenticationAudit)."""
        if (record := self.begin(request, None)) is not None:
            self._write(record, STARTED, self._told(record, error))
            record.closed = True

    def follow(self, request: Request, answer: Callable[[Request], Answer]) -> Answer:
        """Answers a request by `answer`, and writes what it comes to."""
        if request.user is not None:  # a part of this process
            self.begin(request, request.user)
        with _Ending(self, request):
            found = answer(request)
        if isinstance(found, Response):
            return self._answered(request, found)
        return self._awaited(request, found)

    async def _awaited(self, request: Request, answer: Coroutine[Any, Any, Response]) -> Response:
        with _Ending(self, request):
            found = await answer
        return self._answered(request, found)

    def _answered(self, request: Request, response: Response) -> Response:
        record = request.notes
        if not isinstance(record, Record) or record.closed:
            return response
        outcome = self._outcome(record, response)
        if _is_long(record.asked):
            self._write(record, STARTED, outcome)
        body = response.body
        goes_on = isinstance(body, Upgrade | AsyncIterator) or callable(body)
        if not goes_on or request.method == "HEAD":
            self.complete(record, outcome)
        elif isinstance(body, AsyncIterator) and self._is_kept(record):
            response.body = self._listed(record, outcome, response, body)
        else:
            response.body = _until_end(body, lambda: self.complete(record, outcome))
        return response

    @staticmethod
    def _is_kept(record: Record) -> bool:
        """Says whether a list that is written bit by bit is to be noted."""
        return record.verdict.level == RESPONSE and not _is_long(record.asked)

    def _listed(
        self, record: Record, outcome: Answered, response: Response, body: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        pieces: list[bytes] = []

        def end() -> None:
            whole = Response(b"".join(pieces), content_type=response.content_type)
            if not record.closed:
                outcome.document = objects.answered(self._kinds, whole, record.asked)
            self.complete(record, outcome)

        return _Pulled(body, end, pieces)

    def _outcome(self, record: Record, response: Response) -> Answered:
        code = 101 if isinstance(response.body, Upgrade) else response.status
        outcome = Answered(code, objects.told(response))
        if record.verdict.level == RESPONSE:
            outcome.document = objects.answered(self._kinds, response, record.asked)
        return self._with_sent(record, outcome)

    def _told(self, record: Record, error: APIError) -> Answered:
        document = error.status()
        outcome = Answered(error.code, document)
        outcome.document = document
        return self._with_sent(record, outcome)

    def _with_sent(self, record: Record, outcome: Answered) -> Answered:
        asked = record.asked
        if record.verdict.level > METADATA or asked.verb in ("create", "update"):
            outcome.sent = objects.sent(self._kinds, record.request, asked)
        return outcome

    def complete(self, record: Record, outcome: Answered) -> None:
        """Writes the end of a request, once."""
        if not record.closed:
            record.closed = True
            self._write(record, COMPLETE, outcome)

    def end(self, record: Record, error: BaseException) -> None:
        """Writes the end of a request that came to an error, or whose client went away."""
        if isinstance(error, APIError):
            outcome = self._told(record, error)
            if _is_long(record.asked):
                self._write(record, STARTED, outcome)
            self.complete(record, outcome)
        elif isinstance(error, Exception):
            record.closed = True
            message = f"APIServer panic'd: {type(error).__name__}"
            told = {"status": "Failure", "reason": "InternalError", "message": message}
            self._write(record, PANIC, self._with_sent(record, Answered(500, told)))
        else:  # cancelled
            self.complete(record, self._with_sent(record, Answered(200, EARLY)))

    def _write(self, record: Record, stage: str, outcome: Answered | None) -> bool:
        """Gives an event to every log; says whether the request may go on."""
        if stage in record.verdict.omitted:
            return True
        at = record.received if stage == RECEIVED else self._world.wire_now()
        line = render(record, stage, at, outcome)
        self.events += 1
        kept = True
        for log in self._logs:
            if not log.write(line):
                self.errors[log.name] += 1
                kept = kept and not log.strict
        return kept


class _Ending:
    """Has written what an error makes of a request; the error goes on."""

    __slots__ = ("_auditor", "_request")

    def __init__(self, auditor: Auditor, request: Request) -> None:
        self._auditor = auditor
        self._request = request

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        record = self._request.notes
        if error is not None and isinstance(record, Record) and not record.closed:
            self._auditor.end(record, error)


class _Pulled:
    """A pulled body that says when it ends, or when nobody takes it any more; `kept` takes what
    passes, up to a bound behind which the body cannot be read."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        ended: Callable[[], None],
        kept: list[bytes] | None = None,
    ) -> None:
        self._pieces = pieces
        self._ended = ended
        self._kept = kept
        self._kept_bytes = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self._ended()
            raise
        if self._kept is not None and self._kept_bytes <= LIST_BYTES:
            self._kept.append(piece)
            self._kept_bytes += len(piece)
        return piece

    async def aclose(self) -> None:
        """Ends the body."""
        self._ended()
        if close := getattr(self._pieces, "aclose", None):
            await close()


def _is_long(asked: Attributes) -> bool:
    return asked.verb == "watch" or asked.subresource in LONG


def _until_end(body: Any, ended: Callable[[], None]) -> Any:
    """Returns a body that goes on after its answer has begun, and says when it ends."""
    if isinstance(body, Upgrade):
        return _upgrade(body, ended)
    if isinstance(body, AsyncIterator):
        return _Pulled(body, ended)
    return _pushed(body, ended)


def _upgrade(upgrade: Upgrade, ended: Callable[[], None]) -> Upgrade:
    async def take(channel: Channel) -> None:
        try:
            await upgrade.take(channel)
        finally:
            ended()

    return Upgrade(take)


def _pushed(push: Push, ended: Callable[[], None]) -> Push:
    def begin(sink: Sink) -> Callable[[], None]:
        leave = push(sink)

        def end() -> None:
            leave()
            ended()

        return end

    return begin
