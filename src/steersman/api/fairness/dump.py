"""The pages /debug/api_priority_and_fairness/...: levels, queues and requests as they are now.

Follows apiserver's apf_controller_debug.go, down to how Go's tabwriter aligns columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from steersman.api.fairness.fairness import Fairness
from steersman.api.fairness.seats.level import Level
from steersman.api.fairness.seats.queues import Occupant, Queue
from steersman.api.fairness.serving import PLAIN_TEXT
from steersman.api.paths import Answer
from steersman.model.times import rfc3339_micro
from steersman.wire.message import Request, Response, User
from steersman.world.interface import World

ROOT: Final = "/debug/api_priority_and_fairness"
_LEVELS: Final = (
    "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests",
    "ExecutingRequests", "DispatchedRequests", "RejectedRequests", "TimedoutRequests",
    "CancelledRequests",
)  # fmt: skip
_QUEUES: Final = (
    "PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse",
    "NextDispatchR", "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum",
)  # fmt: skip
_REQUESTS: Final = (
    "PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue",
    "FlowDistingsher", "ArriveTime", "InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime",
)  # fmt: skip
_DETAILS: Final = (
    "UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource",
)  # fmt: skip
_LEAST_WIDTH: Final = 8
_NEVER: Final = "0001-01-01T00:00:00Z"


class Dump:
    """Answers the pages."""

    def __init__(self, fairness: Fairness, world: World) -> None:
        self._fairness = fairness
        self._world = world

    def paths(self) -> dict[str, Answer]:
        """Returns who answers which path."""
        return {
            f"{ROOT}/dump_priority_levels": lambda _request, _user: self._page(self._levels()),
            f"{ROOT}/dump_queues": lambda _request, _user: self._page(self._queues()),
            f"{ROOT}/dump_requests": self._requests,
        }

    def _requests(self, request: Request, _user: User) -> Response:
        details = bool(request.param("includeRequestDetails"))
        head = (*_REQUESTS, *_DETAILS) if details else _REQUESTS
        offset = self._world.wire_now() - self._world.monotonic()
        rows = (
            row_of(level, one, index, place, offset, details=details)
            for level in self._sorted()
            for one, index, place in _places(level)
        )
        return self._page([head, *rows])

    def _sorted(self) -> list[Level]:
        levels = self._fairness.configuration.levels
        return [levels[name] for name in sorted(levels)]

    def _page(self, rows: Iterable[Sequence[str]]) -> Response:
        return Response(aligned(list(rows)).encode(), content_type=PLAIN_TEXT)

    def _levels(self) -> Iterator[Sequence[str]]:
        yield _LEVELS
        figures = self._fairness.configuration.figures
        for level in self._sorted():
            dispatched = sum(one.dispatched for key, one in figures.items() if key[0] == level.name)
            numbers = (
                level.waiting,
                len(level.executing),
                dispatched,
                level.rejected,
                level.timed_out,
                level.cancelled,
            )
            active = sum(1 for queue in level.queues if queue.waiting)
            flags = ("true" if flag else "false" for flag in (level.idle, level.quiescing))
            yield level.name, str(active), *flags, *map(str, numbers)

    def _queues(self) -> Iterator[Sequence[str]]:
        yield _QUEUES
        for level in self._sorted():
            for queue in level.queues:
                yield level.name, *_row_of_queue(queue)


def _row_of_queue(queue: Queue) -> Iterator[str]:
    for count in (queue.index, len(queue.waiting), len(queue.executing), queue.seats):
        yield str(count)
    yield _seat_seconds(queue.next_r)
    yield str(sum(one.estimate.initial for one in queue.waiting))
    yield str(sum(one.seats for one in queue.waiting))
    yield _seat_seconds(queue.work)


def _places(level: Level) -> Iterator[tuple[Occupant, int, int]]:
    """Yields requests with their queue and their place in it; -1 for none."""
    for queue in level.queues:
        for place, one in enumerate(queue.waiting):
            yield one, queue.index, place
        for one in queue.executing:
            yield one, queue.index, -1
    for one in level.executing:
        if one.queue is None:
            yield one, -1, -1


def row_of(
    level: Level, one: Occupant, index: int, place: int, offset: float, *, details: bool
) -> Sequence[str]:
    """Returns a request's row; `offset` leads from the clock of requests to that of the world."""
    estimate, asked = one.estimate, one.asked
    row = (
        level.name,
        one.flow.schema,
        str(index),
        str(place),
        one.flow.distinguisher,
        rfc3339_micro(one.arrival + offset),
        str(estimate.initial),
        str(estimate.final),
        f"{estimate.seconds * 1000:g}ms" if estimate.seconds else "0s",
        rfc3339_micro(one.started + offset) if one.started >= 0 else _NEVER,
    )
    if not details:
        return row
    version = f"{asked.group}/{asked.version}" if asked.group else asked.version
    return (
        *row,
        one.user.name,
        asked.verb,
        asked.path,
        asked.namespace,
        asked.name,
        version,
        asked.resource,
        asked.subresource,
    )


def _seat_seconds(value: float) -> str:
    return f"{value:.8f}ss"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows as text: cells end with a comma, columns are as wide as their widest cell and
    one blank, eight at least."""
    widths = [
        max(_LEAST_WIDTH, *(len(row[column]) + 2 for row in rows))
        for column in range(len(rows[0]) - 1)
    ]
    lines = []
    for row in rows:
        cells = [f"{cell},".ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("".join(cells) + row[-1] + "\n")
    return "".join(lines)
