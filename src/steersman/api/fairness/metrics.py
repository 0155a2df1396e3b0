"""What is known of priority levels and their requests, as Prometheus reads it.

Names, labels and buckets are upstream's (apiserver's util/flowcontrol/metrics).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from steersman.api.fairness.fairness import Fairness
from steersman.api.fairness.seats.figures import Figures, Histogram
from steersman.api.fairness.seats.level import Level

_PREFIX: Final = "apiserver_flowcontrol_"


class _Family(NamedTuple):
    """One metric of each level: its name, stability, help, and how it is read."""

    name: str
    stability: str
    help: str
    read: Callable[[Level], float]


_OF_LEVELS: Final = (
    _Family(
        "nominal_limit_seats",
        "BETA",
        "Seats of a level by its shares.",
        lambda one: one.limits.nominal,
    ),
    _Family(
        "lower_limit_seats", "ALPHA", "Seats that a level keeps.", lambda one: one.limits.lower
    ),
    _Family(
        "upper_limit_seats",
        "ALPHA",
        "Seats that a level may come to.",
        lambda one: one.limits.upper,
    ),
    _Family("current_limit_seats", "ALPHA", "Seats that a level has now.", lambda one: one.limit),
    _Family(
        "current_r", "ALPHA", "Seat-seconds of each queue of a level.", lambda one: one.progress
    ),
    _Family(
        "demand_seats_high_watermark",
        "ALPHA",
        "Most seats wanted in the last period.",
        lambda one: one.observed.most,
    ),
    _Family(
        "demand_seats_average",
        "ALPHA",
        "Seats wanted in the last period.",
        lambda one: one.observed.average,
    ),
    _Family(
        "demand_seats_stdev",
        "ALPHA",
        "Deviation of the seats wanted.",
        lambda one: one.observed.deviation,
    ),
    _Family(
        "demand_seats_smoothed",
        "ALPHA",
        "Seats wanted that are reckoned with.",
        lambda one: one.smoothed,
    ),
    _Family("target_seats", "ALPHA", "Seats that a level should have.", lambda one: one.target),
)


def render(fairness: Fairness) -> list[str]:
    """Returns the lines."""
    configuration = fairness.configuration
    levels = [configuration.levels[name] for name in sorted(configuration.levels)]
    lines: list[str] = []
    for family in _OF_LEVELS:
        samples = ((f'priority_level="{one.name}"', family.read(one)) for one in levels)
        lines += _samples(family.name, "gauge", family.stability, family.help, samples)
    lines += _samples(
        "seat_fair_frac",
        "gauge",
        "ALPHA",
        "Fair part of the seats.",
        [("", fairness.borrowing.fair)],
    )
    figures = {_labels(*key): one for key, one in sorted(configuration.figures.items())}
    occupied = {_labels(*key): found for key, found in _occupied(levels).items()}
    return [*lines, *_counts(figures, occupied), *_histograms(figures)]


def _labels(level: str, schema: str) -> str:
    return f'flow_schema="{schema}",priority_level="{level}"'


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


def _counts(figures: dict[str, Figures], occupied: dict[str, tuple[int, int]]) -> Iterator[str]:
    def each(read: Callable[[Figures], float]) -> list[tuple[str, float]]:
        return [(labels, read(one)) for labels, one in figures.items()]

    rejected = [
        (f'{labels},reason="{reason}"', count)
        for labels, one in figures.items()
        for reason, count in sorted(one.rejected.items())
    ]
    requests = [(labels, occupied.get(labels, (0, 0))[0]) for labels in figures]
    seats = [(labels, occupied.get(labels, (0, 0))[1]) for labels in figures]
    for name, kind, stability, text, samples in (
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
    ):
        yield from _samples(name, kind, stability, text, samples)


def _histograms(figures: dict[str, Figures]) -> Iterator[str]:
    def each(read: Callable[[Figures], Histogram], more: str = "") -> list[tuple[str, Histogram]]:
        return [(labels + more, read(one)) for labels, one in figures.items()]

    waited = [
        *each(_waited, ',execute="true"'),
        *each(lambda one: one.given_up, ',execute="false"'),
    ]
    ran = [
        *each(lambda one: one.regular, ',type="regular"'),
        *each(lambda one: one.begun, ',type="watch"'),
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
        yield from _head(name, "histogram", stability, text)
        for labels, one in samples:
            if one.count:
                yield from _histogram(f"{_PREFIX}{name}", labels, one)


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


def _head(name: str, kind: str, stability: str, text: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} [{stability}] {text}"
    yield f"# TYPE {_PREFIX}{name} {kind}"


def _samples(
    name: str, kind: str, stability: str, text: str, samples: Iterable[tuple[str, float]]
) -> Iterator[str]:
    yield from _head(name, kind, stability, text)
    for labels, value in samples:
        yield f"{_PREFIX}{name}{{{labels}}} {value}" if labels else f"{_PREFIX}{name} {value}"


def _histogram(name: str, labels: str, one: Histogram) -> Iterator[str]:
    total = 0
    for bound, count in zip((*one.bounds, "+Inf"), one.counts, strict=True):
        total += count
        yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
    yield f"{name}_sum{{{labels}}} {one.sum:.6f}"
    yield f"{name}_count{{{labels}}} {total}"
