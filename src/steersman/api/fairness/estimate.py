"""How many seats a request takes: lists by what they read, writes by who watches.

Follows apiserver's util/flowcontrol/request: lists by the bytes they hold in memory
(SizeBasedListCostEstimate, on since 1.34), writes by the watches that must be told of them.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from steersman.api.access.authorization import Attributes
from steersman.api.cache import Table
from steersman.wire.message import Request

# A seat for so many bytes that are held at once, and the most for what comes from the cache
BYTES_OF_SEAT: Final = 100_000
CACHED_BYTES: Final = 1_000_000
MOST_LIST_SEATS: Final = 100
# A seat for so many watches, for so long after the answer
WATCHES_OF_SEAT: Final = 10
EVENT_SECONDS: Final = 0.005
MOST_WRITE_SEATS: Final = 10
WRITES: Final = ("create", "update", "patch", "delete")


class Estimate(NamedTuple):
    """Seats while a request is answered, then for `seconds` after its answer."""

    initial: int = 1
    final: int = 0
    seconds: float = 0.0

    @property
    def seats(self) -> int:
        """The seats that are held all the time."""
        return max(self.initial, self.final)


ONE: Final = Estimate()


def of_read(asked: Attributes, request: Request, table: Table, most: int) -> Estimate:
    """Returns what a list or a watch takes; `most` is the bound of its level, 0 for none."""
    most = min(most or MOST_LIST_SEATS, MOST_LIST_SEATS)
    query = bool(request.query)
    if asked.verb == "watch" and query and not _begins_with_list(request):
        return ONE
    try:
        limit = int(request.param("limit", "0") or 0) if query else 0
    except ValueError:
        return Estimate(most)  # it will be refused
    count = len(table)
    if not count:
        return ONE
    cached = asked.verb == "watch" or not query or _is_cached(request, limit)
    held = _held(asked, request, count, limit, cached) * table.bytes / count
    if cached:
        held = min(held, CACHED_BYTES)
    return Estimate(min(max(math.ceil(held / BYTES_OF_SEAT), 1), most))


def _begins_with_list(request: Request) -> bool:
    """Says whether a watch begins with what is there."""
    if request.flag("sendInitialEvents"):
        return True
    return request.param("resourceVersion") in ("", "0")


def _is_cached(request: Request, limit: int) -> bool:
    """Says whether a list is answered from memory (delegator.ShouldDelegateList)."""
    match, revision = request.param("resourceVersionMatch"), request.param("resourceVersion")
    if match:
        return match == "NotOlderThan"
    if request.param("continue"):
        return False
    return not (limit > 0 and revision not in ("", "0"))


def _held(asked: Attributes, request: Request, count: int, limit: int, cached: bool) -> float:
    """Returns how many objects are held at once."""
    if asked.object_name:
        return 1
    limited = min(limit, count) if limit > 0 else count
    if not cached and (request.param("fieldSelector") or request.param("labelSelector")):
        return max(limited, count // 2)
    return limited


def of_write(watches: int, most: int) -> Estimate:
    """Returns what a write takes that so many watches are told of."""
    if watches < WATCHES_OF_SEAT:
        return ONE
    wanted = math.ceil(watches / WATCHES_OF_SEAT)
    final = min(wanted, most or MOST_WRITE_SEATS, MOST_WRITE_SEATS)
    return Estimate(1, final, wanted * EVENT_SECONDS / final)
