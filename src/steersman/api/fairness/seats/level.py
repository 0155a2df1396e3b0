"""One priority level: its seats, its queues, and who is next.

Fair queuing as in apiserver's fairqueuing/queueset: each queue has its share of the seats, however
many requests wait in it. No clock and no tasks here: callers say what time it is, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from steersman.api.fairness.estimate import Estimate
from steersman.api.fairness.seats.demand import Demand, Observed
from steersman.api.fairness.seats.limits import Limits
from steersman.api.fairness.seats.pace import Pace
from steersman.api.fairness.seats.queues import GUESSED_SECONDS, Flow, Occupant, Queue, Queuing

QUEUE_FULL: Final = "queue-full"
NO_SEAT: Final = "concurrency-limit"
TIMED_OUT: Final = "time-out"
# Requests over which it is averaged how long they take (upstream takes 3 ms for granted; here it is
# the more the more there are, and what is under way would count for too little)
REMEMBERED: Final = 32


class Level:
    """See the module. `open` says whether one seat can be had at once."""

    def __init__(self, name: str, now: float, *, exempt: bool = False) -> None:
        self.name = name
        self.uid = ""
        self.exempt = exempt
        self.quiescing = False  # no longer wanted, and not yet empty
        self.limits = Limits(0, 0, 0)
        self.limit = 0  # seats that it has now
        self.most_seats = 0  # that one request may be taken to need; 0: no bound of the level's
        self.queuing = Queuing()
        self.queues: list[Queue] = []
        self.open = exempt
        self.demand = Demand(now)
        self.observed = Observed()
        self.smoothed = self.target = 0.0
        self.pace: Pace | None = None
        self.pressed: Callable[[], None] = lambda: None
        self.measured = False
        self.seats = self.seats_waiting = 0
        self.executing: dict[Occupant, None] = {}
        self.lingering: dict[Occupant, None] = {}  # answered, and occupying seats still
        self.waiting = 0
        self.rejected = self.timed_out = self.cancelled = 0
        self.guess = GUESSED_SECONDS  # what a request is taken to last
        self.progress = 0.0  # R, seat-seconds for each queue
        self._progress_at = now
        self._busy = 0  # queues with requests
        self._turn = 0  # of the hands that are dealt
        self._last = 0  # the queue that was served last

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is executed."""
        return not (self.waiting or self.executing)

    def configure(self, queuing: Queuing) -> None:
        """Takes other queues; those that are too many go when they are empty."""
        self.queuing = queuing
        for index in range(len(self.queues), queuing.queues):
            self.queues.append(Queue(index))
        self._drop_queues()

    def resume(self, now: float) -> None:
        """Has some of those who wait begin, in a new turn of the loop."""
        self._advance(now)
        self._dispatch(now)

    def set_limit(self, seats: int, now: float) -> None:
        """Gives the level so many seats."""
        self._advance(now)
        self.limit = seats
        self._dispatch(now)

    def fits(self, seats: int) -> bool:
        """Says whether seats can be had at once."""
        if self.exempt:
            return True
        if self.queuing.queues and (self.waiting or self.seats >= self.limit):
            return False
        return self._accommodates(seats)

    def _accommodates(self, seats: int) -> bool:
        """Says whether seats are free; what wants more than there are waits for all of them."""
        if seats > self.limit:
            return not self.executing
        return self.seats + seats <= self.limit

    def enter(self, one: Occupant, now: float) -> None:
        """Has a request occupy its seats, which must fit. No queue is needed for it as long as
        nobody waits."""
        one.started = now
        self.executing[one] = None
        one.flow.figures.dispatched += 1
        self.seats = seats = self.seats + one.seats
        if seats >= self.limit:
            self.open = self.exempt
        if self.measured or seats > self.limits.lower:
            self._measure(now)

    def queue(self, one: Occupant, now: float) -> str:
        """Has a request wait; returns why not, or the empty string."""
        if not self.queuing.queues:
            return self._reject(one, NO_SEAT)
        if not self.waiting:
            self._line_up(now)
        self._advance(now)
        queue = self._choose(one.flow)
        taken = self.seats + self.seats_waiting
        if taken >= self.limit and len(queue.waiting) >= self.queuing.length:
            return self._reject(one, QUEUE_FULL)
        if not (queue.waiting or queue.executing):
            queue.next_r = self.progress
            self._busy += 1
        one.queue, one.arrival_r = queue, self.progress
        queue.waiting[one] = None
        queue.work += one.work
        self._count_waiting(one, 1)
        one.flow.figures.lengths.observe(len(queue.waiting))
        queue.bound()
        self._measure(now)
        self._dispatch(now)
        return ""

    def _reject(self, one: Occupant, reason: str) -> str:
        self.rejected += 1
        one.flow.figures.rejected[reason] += 1
        return reason

    def withdraw(self, one: Occupant, now: float, *, late: bool) -> None:
        """Has a request wait no longer: it was too late for it, or nobody asks any more."""
        queue = one.queue
        assert queue is not None
        self._advance(now)
        self._take_out(one, queue)
        self._reject(one, TIMED_OUT)
        self.timed_out += late
        self.cancelled += not late
        one.flow.figures.given_up.observe(now - one.arrival)
        queue.bound()
        self._leave_queue(queue)
        self._measure(now)
        self._dispatch(now)

    def finish(self, one: Occupant, now: float) -> None:
        """Notes that a request is answered; its seats are free now, or when `release` is called
        where it wanted some after its answer."""
        del self.executing[one]
        seconds, figures = now - one.started, one.flow.figures
        (figures.begun if one.asked.verb == "watch" else figures.regular).observe(seconds)
        if one.queue is None and not (self.waiting or self.measured or one.estimate.seconds):
            self.seats = seats = self.seats - one.seats  # as nearly always
            self.open = self.exempt or seats < self.limit
            return
        if (queue := one.queue) is not None:
            self._advance(now)
            del queue.executing[one]
            queue.next_r -= one.estimate.initial * (one.guess - seconds)
            self.guess += (seconds - self.guess) / REMEMBERED
            queue.bound()
            self._leave_queue(queue)
        if one.estimate.seconds:
            self.lingering[one] = None
        else:
            self._free(one, now)

    def release(self, one: Occupant, now: float) -> None:
        """Frees the seats that a request held after its answer."""
        del self.lingering[one]
        self._free(one, now)

    def _free(self, one: Occupant, now: float) -> None:
        """Frees a request's seats for whoever is next."""
        if (queue := one.queue) is not None:
            self._advance(now)
            queue.seats -= one.seats
            self._drop_queues()
        self.seats -= one.seats
        if self.measured:
            self.demand.note(self.seats + self.seats_waiting, now)
        if self.waiting:
            self._dispatch(now)
        else:
            self.open = self.exempt or self.seats < self.limit

    def watch_demand(self, now: float) -> None:
        """Begins to measure how many seats there is a use for."""
        self.demand.reset(now)
        self.demand.note(self.seats + self.seats_waiting, now)
        self.demand.reset(now)
        self.measured = True

    def _measure(self, now: float) -> None:
        wanted = self.seats + self.seats_waiting
        if self.measured:
            self.demand.note(wanted, now)
        elif wanted > self.limits.lower and not self.exempt:
            self.pressed()

    def _advance(self, now: float) -> None:
        """Moves the progress on: each queue that is in use has its share of the seats in use. (Of
        the limit, says upstream, where both are the same while somebody waits; here fewer may be
        in use, since not all that have seats begin in one turn.)"""
        if self._busy:
            self.progress += self.seats / self._busy * (now - self._progress_at)
        self._progress_at = now

    def _choose(self, flow: Flow) -> Queue:
        """Returns the queue of a flow's hand in which the least work waits."""
        hand, queues = flow.hand, self.queues
        offset = self._turn % len(hand)
        self._turn += 1
        if not self.waiting:
            return queues[hand[offset]]
        turned = [queues[index] for index in (*hand[offset:], *hand[:offset])]
        return min(turned, key=lambda queue: queue.work)

    def _line_up(self, now: float) -> None:
        """Has those who occupy seats do so from a queue, now that somebody has to wait: what they
        hold counts when it is decided who is next."""
        self._progress_at = now
        for one in self.executing:
            if one.queue is None:
                queue = one.queue = self._choose(one.flow)
                self._occupy(one, queue)

    def _occupy(self, one: Occupant, queue: Queue) -> None:
        if not (queue.executing or queue.waiting):
            self._busy += 1
            queue.next_r = self.progress
        queue.executing[one] = None
        queue.seats += one.seats
        one.guess = self.guess
        queue.next_r += self._cost(one)

    def _dispatch(self, now: float) -> None:
        """Has those who wait begin, as long as there are seats."""
        while self.waiting and self.seats < self.limit:
            queue = self._next_queue()
            one = queue.first
            assert one is not None
            if not self._accommodates(one.seats):
                one.flow.figures.unaccommodated += 1
                break
            if self.pace is not None and not self.pace.take(self, now):
                break
            self._last = queue.index
            self._fit(one)
            self._occupy(one, queue)
            self._take_out(one, queue)
            self.enter(one, now)
            one.flow.figures.waited.observe(now - one.arrival)
            queue.bound()
            if one.wake is not None:
                one.wake()
        self.open = self.exempt or (not self.waiting and self.seats < self.limit)

    def _next_queue(self) -> Queue:
        """Returns the queue whose first request would end first; of equals, whose turn it is."""
        queues, guess, found, soonest = self.queues, self.guess, None, inf
        turn = (self._last + 1) % len(queues)
        for queue in (*queues[turn:], *queues[:turn]):
            if queue.waiting:  # as `_cost` says, without its call: there may be a hundred
                estimate = next(iter(queue.waiting)).estimate
                cost = estimate.initial * guess + estimate.final * estimate.seconds
                if queue.next_r + cost < soonest:
                    found, soonest = queue, queue.next_r + cost
        assert found is not None
        return found

    def _cost(self, one: Occupant) -> float:
        """Returns the seat-seconds that a request is taken to cost, by how long others took."""
        estimate = one.estimate
        return estimate.initial * self.guess + estimate.final * estimate.seconds

    def _fit(self, one: Occupant) -> None:
        """Makes what a request wants after its answer longer and narrower where it is too wide."""
        estimate = one.estimate
        if estimate.final > self.limit:
            seconds = estimate.final * estimate.seconds / self.limit
            one.estimate = Estimate(estimate.initial, self.limit, seconds)
            one.seats = one.estimate.seats

    def _take_out(self, one: Occupant, queue: Queue) -> None:
        del queue.waiting[one]
        queue.work = queue.work - one.work if queue.waiting else 0.0
        self._count_waiting(one, -1)

    def _count_waiting(self, one: Occupant, count: int) -> None:
        figures, seats = one.flow.figures, count * one.seats
        self.waiting += count
        self.seats_waiting += seats
        figures.waiting += count
        figures.seats_waiting += seats

    def _leave_queue(self, queue: Queue) -> None:
        if not (queue.executing or queue.waiting):
            self._busy -= 1
        self._drop_queues()

    def _drop_queues(self) -> None:
        """Lets queues go that are too many and empty; the last ones first."""
        queues = self.queues
        while len(queues) > self.queuing.queues:
            last = queues[-1]
            if last.waiting or last.executing or last.seats:
                return
            queues.pop()
