"""What is known of priority levels and their requests, as metrics.

Names, labels and buckets are upstream's (apiserver's util/flowcontrol/metrics).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from steersman.api.fairness.fairness import Fairness
from steersman.api.fairness.seats.figures import Figures
from steersman.api.fairness.seats.level import Level
from steersman.model.figures import Family, Histogram, Labels, Sample, Type

_PREFIX: Final = "apiserver_flowcontrol_"


class _OfLevel(NamedTuple):
    """One metric of each level: its name, stability, help, and how it is read."""

    name: str
    stability: str
    help: str
    read: Callable[[Level], float]


_OF_LEVELS: Final = (
    _OfLevel(
        "nominal_limit_seats",
        "BETA",
        "Seats of a level by its shares.",
        lambda one: one.limits.nominal,
    ),
    _OfLevel(
        "lower_limit_seats", "ALPHA", "Seats that a level keeps.", lambda one: one.limits.lower
    ),
    _OfLevel(
        "upper_limit_seats",
        "ALPHA",
        "Seats that a level may come to.",
        lambda one: one.limits.upper,
    ),
    _OfLevel("current_limit_seats", "ALPHA", "Seats that a level has now.", lambda one: one.limit),
    _OfLevel(
        "current_r", "ALPHA", "Seat-seconds of each queue of a level.", lambda one: one.progress
    ),
    _OfLevel(
        "demand_seats_high_watermark",
        "ALPHA",
        "Most seats wanted in the last period.",
        lambda one: one.observed.most,
    ),
    _OfLevel(
        "demand_seats_average",
        "ALPHA",
        "Seats wanted in the last period.",
        lambda one: one.observed.average,
    ),
    _OfLevel(
        "demand_seats_stdev",
        "ALPHA",
        "Deviation of the seats wanted.",
        lambda one: one.observed.deviation,
    ),
    _OfLevel(
        "demand_seats_smoothed",
        "ALPHA",
        "Seats wanted that are reckoned with.",
        lambda one: one.smoothed,
    ),
    _OfLevel("target_seats", "ALPHA", "Seats that a level should have.", lambda one: one.target),
)


def families(fairness: Fairness) -> Iterator[Family]:
    """Yields the metrics."""
    configuration = fairness.configuration
    levels = [configuration.levels[name] for name in sorted(configuration.levels)]
    for one in _OF_LEVELS:
        samples = [Sample((("priority_level", level.name),), one.read(level)) for level in levels]
        yield _family(one.name, "gauge", one.stability, one.help, samples)
    fair = [Sample((), fairness.borrowing.fair)]
    yield _family("seat_fair_frac", "gauge", "ALPHA", "Fair part of the seats.", fair)
    figures = {_labels(*key): one for key, one in sorted(configuration.figures.items())}
    occupied = {_labels(*key): found for key, found in _occupied(levels).items()}
    yield from _counts(figures, occupied)
    yield from _histograms(figures)


def _labels(level: str, schema: str) -> Labels:
    return (("flow_schema", schema), ("priority_level", level))


def _occupied(levels: Iterable[Level]) -> dict[tuple[str, str], tuple[int, int]]:
    """Returns how many requests are executed and how many seats they occupy, by their flow."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for level in levels:
        for running, occupants in ((1, level.executing), (0, level.lingering)):
            for one in occupants:
                key = (level.name, one.flow.schema)
                requests, seats = found.get(key, (0, 0))
                found[key] = (requests + running, seats + one.seats)
    return found


def _counts(
    figures: dict[Labels, Figures], occupied: dict[Labels, tuple[int, int]]
) -> Iterator[Family]:
    def each(read: Callable[[Figures], float]) -> list[Sample]:
        return [Sample(labels, read(one)) for labels, one in figures.items()]

    rejected = [
        Sample((*labels, ("reason", reason)), count)
        for labels, one in figures.items()
        for reason, count in sorted(one.rejected.items())
    ]
    requests = [Sample(labels, occupied.get(labels, (0, 0))[0]) for labels in figures]
    seats = [Sample(labels, occupied.get(labels, (0, 0))[1]) for labels in figures]
    told: tuple[tuple[str, Type, str, str, list[Sample]], ...] = (
        ("rejected_requests_total", "counter", "BETA", "Requests turned away.", rejected),
        (
            "dispatched_requests_total",
            "counter",
            "BETA",
            "Requests served.",
            each(lambda one: one.dispatched),
        ),
        (
            "current_inqueue_requests",
            "gauge",
            "BETA",
            "Requests that wait.",
            each(lambda one: one.waiting),
        ),
        (
            "current_inqueue_seats",
            "gauge",
            "ALPHA",
            "Seats that are waited for.",
            each(lambda one: one.seats_waiting),
        ),
        ("current_executing_requests", "gauge", "BETA", "Requests being served.", requests),
        ("current_executing_seats", "gauge", "BETA", "Seats in use.", seats),
        (
            "request_dispatch_no_accommodation_total",
            "counter",
            "ALPHA",
            "Times that the next request found too few seats.",
            each(lambda one: one.unaccommodated),
        ),
    )
    yield from (_family(*one) for one in told)


def _histograms(figures: dict[Labels, Figures]) -> Iterator[Family]:
    def each(read: Callable[[Figures], Histogram], *more: tuple[str, str]) -> list[Sample]:
        found = ((labels, read(one)) for labels, one in figures.items())
        return [Sample((*labels, *more), one) for labels, one in found if one.count]

    waited = [
        *each(_waited, ("execute", "true")),
        *each(lambda one: one.given_up, ("execute", "false")),
    ]
    ran = [
        *each(lambda one: one.regular, ("type", "regular")),
        *each(lambda one: one.begun, ("type", "watch")),
    ]
    for name, stability, text, samples in (
        (
            "request_queue_length_after_enqueue",
            "ALPHA",
            "Length of the queue that a request joined.",
            each(lambda one: one.lengths),
        ),
        ("request_wait_duration_seconds", "BETA", "How long requests waited.", waited),
        ("request_execution_seconds", "ALPHA", "How long requests occupied their seats.", ran),
        (
            "watch_count_samples",
            "ALPHA",
            "Watches that are told of a write.",
            each(lambda one: one.watches),
        ),
        ("work_estimated_seats", "ALPHA", "Seats that requests take.", each(_seats)),
    ):
        yield _family(name, "histogram", stability, text, samples)


def _waited(one: Figures) -> Histogram:
    """Returns how long those waited that were served; most of them not at all."""
    return _with(one.waited, one.waited.bounds[0], one.dispatched - one.waited.count)


def _seats(one: Figures) -> Histogram:
    """Returns how many seats requests took; most of them one."""
    asked = one.dispatched + one.waiting + one.rejected.total()
    return _with(one.seats, 1, asked - one.seats.count)


def _with(found: Histogram, value: float, times: int) -> Histogram:
    whole = Histogram(found.bounds)
    whole.counts = [found.counts[0] + times, *found.counts[1:]]
    whole.sum = found.sum + value * times
    return whole


def _family(name: str, kind: Type, stability: str, text: str, samples: Iterable[Sample]) -> Family:
    return Family(f"{_PREFIX}{name}", text, kind, list(samples), stability)
