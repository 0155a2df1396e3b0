"""Counts requests and how long they took, and tells it as metrics.

Names, labels and buckets are those of kube-apiserver (staging/src/k8s.io/apiserver/pkg/endpoints/
metrics). Labels come from what the server serves, never from what a client makes up, so that their
number is bounded.
"""

from __future__ import annotations

import resource
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from steersman.api.access.authorization import Attributes
from steersman.model.figures import Family, Histogram, Labels, Sample, Type, exponential
from steersman.model.kind import Kind
from steersman.model.ref import Resource
from steersman.wire.message import Response

# Upper bounds in seconds
BUCKETS: Final = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30,
    45, 60,
)  # fmt: skip
# Those of what a request took without webhooks and waiting: the same from 50 ms on
_SLI_BUCKETS: Final = BUCKETS[2:]
_SIZES: Final = exponential(1000, 10, 7)
_DECISION_SECONDS: Final = exponential(0.001, 2, 15)
_READS: Final = ("GET", "LIST")
_VERBS: Final = {"create": "POST", "update": "PUT"}
_MUTATING: Final = ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION")
_STREAMS: Final = ("attach", "exec", "portforward", "proxy")
_STATM: Final = Path("/proc/self/statm")  # proc_pid_statm(5): the second number is resident pages
_DESCRIPTORS: Final = Path("/proc/self/fd")


class Series(NamedTuple):
    """What requests are told apart by, beside the code of their answer."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    scope: str = ""
    dry_run: str = ""


def series_of(asked: Attributes, kind: Kind | None, query: str, media_type: str) -> Series:
    """Returns what a request counts as; what is not served has no name."""
    if not asked.is_resource:
        return Series(asked.verb.upper())
    dry_run = "All" if "dryRun=All" in query else ""
    scope = "resource" if asked.name else "namespace" if asked.namespace else "cluster"
    verb = _VERBS.get(asked.verb) or asked.verb.upper()
    if verb == "PATCH" and media_type.startswith("application/apply-patch"):
        verb = "APPLY"
    if kind is None:
        return Series(verb, scope=scope, dry_run=dry_run)
    subresource = asked.subresource
    if subresource and kind.subresource(subresource) is None:
        subresource = ""
    if subresource in _STREAMS:
        verb = "CONNECT"
    group, version, plural = asked.group, asked.version, asked.resource
    return Series(verb, group, version, plural, subresource, scope, dry_run)


class Deprecated(NamedTuple):
    """Something deprecated that was asked for, and the minor release in which it went or goes."""

    group: str
    removed_release: str
    resource: str
    subresource: str
    version: str


class Tally:
    """The answers of one series: by code, by how long they took, and of reads by their size.

    `streams` says that they are streams to another server, which may never end. `moved` is by how
    much the buckets of what requests took by themselves differ from those of `times`.
    """

    __slots__ = ("codes", "inflight", "moved", "sizes", "streams", "times")

    def __init__(self, *, streams: bool, reads: bool) -> None:
        self.streams = streams
        self.codes: dict[int, int] = {}
        self.times = Histogram(BUCKETS)
        self.moved: Histogram | None = None
        self.sizes = Histogram(_SIZES) if reads else None
        self.inflight = 0  # requests that are being answered in a task

    def count(self, code: int, seconds: float, outside: float = 0.0) -> None:
        """Counts an answer; some of its time others had, or it waited for its turn."""
        self.codes[code] = self.codes.get(code, 0) + 1
        times = self.times
        times.counts[bisect_left(BUCKETS, seconds)] += 1  # `observe`, without the call
        times.sum += seconds
        if outside:
            self._move(seconds, seconds - outside)

    def _move(self, seconds: float, own: float) -> None:
        moved = self.moved = self.moved or Histogram(_SLI_BUCKETS)
        moved.counts[bisect_left(_SLI_BUCKETS, seconds)] -= 1
        moved.counts[bisect_left(_SLI_BUCKETS, own)] += 1
        moved.sum += own - seconds


def measure(sizes: Histogram, answer: Response) -> None:
    """Counts how long the body of a read is, once that is known."""
    body = answer.body
    if isinstance(body, bytes):
        sizes.observe(len(body))
    elif isinstance(body, AsyncIterator):
        answer.body = _measured(body, sizes)


async def _measured(body: AsyncIterator[bytes], sizes: Histogram) -> AsyncIterator[bytes]:
    size = 0
    try:
        async for piece in body:
            size += len(piece)
            yield piece
    finally:
        sizes.observe(size)
        if close := getattr(body, "aclose", None):
            await close()


class Outcomes:
    """How long decisions of one sort took, by what came of them."""

    def __init__(self) -> None:
        self.times: dict[str, Histogram] = {}

    def count(self, outcome: str, seconds: float) -> None:
        """Counts a decision."""
        if (times := self.times.get(outcome)) is None:
            times = self.times[outcome] = Histogram(_DECISION_SECONDS)
        times.counts[bisect_left(_DECISION_SECONDS, seconds)] += 1  # as above
        times.sum += seconds


class Meter:
    """The tallies since the server's start, which was at `started` (seconds since 1970)."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.tallies: dict[Series, Tally] = {}
        self.deprecated: dict[Deprecated, None] = {}
        self.authentications, self.authorizations = Outcomes(), Outcomes()
        self._answering = 0

    def of(self, series: Series) -> Tally:
        """Returns the tally of a series."""
        if (found := self.tallies.get(series)) is None:
            verb = series.verb
            found = self.tallies[series] = Tally(streams=verb == "CONNECT", reads=verb in _READS)
        return found

    def begin(self, tally: Tally) -> None:
        """Counts a request that is being answered in a task from now on."""
        tally.inflight += 1
        self._answering += not tally.streams

    def end(self, tally: Tally) -> None:
        """Counts it no more."""
        tally.inflight -= 1
        self._answering -= not tally.streams

    @property
    def busy(self) -> bool:
        """Whether a request is being answered, streams to other servers apart; a virtual clock asks
        whenever it would go on."""
        return self._answering > 0

    def inflight(self) -> dict[str, int]:
        """Returns how many requests are being answered, those that change something apart."""
        found = {"mutating": 0, "readOnly": 0}
        for series, tally in self.tallies.items():
            found["mutating" if series.verb in _MUTATING else "readOnly"] += tally.inflight
        return found


def families(
    meter: Meter,
    objects: Mapping[Resource, int],
    watches: Mapping[Resource, int],
    events: Mapping[tuple[str, str, str], int] | None = None,
) -> Iterator[Family]:
    """Yields what was counted; `objects` and `watches` are counts by resource, `events` those that
    watches were sent by group, plural name and version."""
    yield from _requests(meter)
    yield from _decisions("authentication", "attempts", meter.authentications)
    yield from _decisions("authorization", "attempts_total", meter.authorizations)
    inflight: dict[Labels, float] = {
        (("request_kind", kind),): n for kind, n in sorted(meter.inflight().items())
    }
    yield _family("apiserver_current_inflight_requests", "gauge", "STABLE", inflight)
    yield _family(
        "apiserver_longrunning_requests",
        "gauge",
        "STABLE",
        {
            (("component", "apiserver"), *_named(one), ("verb", "WATCH")): count
            for one, count in sorted(watches.items())
            if count
        },
    )
    sent = {
        (*_named(Resource(group, plural)), ("version", version)): count
        for (group, plural, version), count in sorted((events or {}).items())
        if count
    }
    yield _family("apiserver_watch_events_total", "counter", "BETA", sent)
    deprecated = {_pairs(one._asdict()): 1 for one in sorted(meter.deprecated)}
    yield _family("apiserver_requested_deprecated_apis", "gauge", "STABLE", deprecated)
    counts = {_named(one): count for one, count in sorted(objects.items())}
    yield _family("apiserver_resource_objects", "gauge", "ALPHA", counts)
    whole: dict[Labels, float] = {
        (("resource", _whole(one)),): count for one, count in sorted(objects.items())
    }
    yield _family("apiserver_storage_objects", "gauge", "STABLE", whole)
    yield from of_process(meter.started)


_HELP: Final = {
    "apiserver_request_total": "Requests answered, by verb, resource and code.",
    "apiserver_request_duration_seconds": "How long answers took, by verb and resource.",
    "apiserver_request_sli_duration_seconds": "Response latency distribution (not counting webhook "
    "duration and priority & fairness queue wait times) in seconds for each verb, group, version, "
    "resource, subresource, scope and component.",
    "apiserver_response_sizes": "Response size distribution in bytes for each group, version, "
    "verb, resource, subresource, scope and component.",
    "authentication_attempts": "Counter of authenticated attempts.",
    "authentication_duration_seconds": "Authentication duration in seconds broken out by result.",
    "authorization_attempts_total": "Counter of authorization attempts broken down by result. It "
    "can be either 'allowed', 'denied', 'no-opinion' or 'error'.",
    "authorization_duration_seconds": "Authorization duration in seconds broken out by result.",
    "apiserver_current_inflight_requests": "Requests that are being answered now.",
    "apiserver_longrunning_requests": "Watches that are open now.",
    "apiserver_watch_events_total": "Events that watches were sent.",
    "apiserver_requested_deprecated_apis": "Deprecated versions that were asked for.",
    "apiserver_resource_objects": "Objects that are stored, by resource.",
    "apiserver_storage_objects": "Objects that are stored, by resource.",
    "process_cpu_seconds_total": "Processor time of the process.",
    "process_resident_memory_bytes": "Memory of the process.",
    "process_open_fds": "Open descriptors of the process.",
    "process_start_time_seconds": "When the process started, since 1970.",
}


def _family(
    name: str,
    kind: Type,
    stability: str,
    values: Mapping[Labels, float] | Mapping[Labels, Histogram],
) -> Family:
    samples = [Sample(labels, value) for labels, value in values.items()]
    return Family(name, _HELP[name], kind, samples, stability)


def _requests(meter: Meter) -> Iterator[Family]:
    tallies = {_labels(series): tally for series, tally in sorted(meter.tallies.items())}
    counts = {
        (("code", str(code)), *labels): count
        for labels, tally in tallies.items()
        for code, count in sorted(tally.codes.items())
    }
    yield _family("apiserver_request_total", "counter", "STABLE", counts)
    times = {labels: tally.times for labels, tally in tallies.items()}
    yield _family("apiserver_request_duration_seconds", "histogram", "STABLE", times)
    own: dict[Labels, Histogram] = {}
    sizes: dict[Labels, Histogram] = {}
    for series, tally in sorted(meter.tallies.items()):
        labels = _without_dry_run(series)
        _add(own, labels, *_own(tally.times))
        if tally.moved is not None:
            _add(own, labels, tally.moved.counts, tally.moved.sum)
        if tally.sizes is not None and tally.sizes.count:
            _add(sizes, labels, tally.sizes.counts, tally.sizes.sum, _SIZES)
    yield _family("apiserver_request_sli_duration_seconds", "histogram", "ALPHA", own)
    yield _family("apiserver_response_sizes", "histogram", "STABLE", sizes)


def _own(times: Histogram) -> tuple[Sequence[int], float]:
    """Returns the counts of durations by the coarser buckets."""
    finer = len(BUCKETS) - len(_SLI_BUCKETS) + 1
    return [sum(times.counts[:finer]), *times.counts[finer:]], times.sum


def _add(
    found: dict[Labels, Histogram],
    labels: Labels,
    counts: Sequence[int],
    total: float,
    bounds: Sequence[float] = _SLI_BUCKETS,
) -> None:
    """Adds to a histogram of these labels."""
    histogram = found.setdefault(labels, Histogram(bounds))
    histogram.counts = [a + b for a, b in zip(histogram.counts, counts, strict=True)]
    histogram.sum += total


def _decisions(what: str, attempts: str, outcomes: Outcomes) -> Iterator[Family]:
    times: dict[Labels, Histogram] = {
        (("result", outcome),): found for outcome, found in sorted(outcomes.times.items())
    }
    counts = {labels: found.count for labels, found in times.items()}
    yield _family(f"{what}_{attempts}", "counter", "ALPHA", counts)
    yield _family(f"{what}_duration_seconds", "histogram", "ALPHA", times)


def _labels(series: Series) -> Labels:
    return _pairs({"component": "apiserver", **series._asdict()})


def _without_dry_run(series: Series) -> Labels:
    """Returns the labels of what is told of dry runs and others together."""
    return tuple(pair for pair in _labels(series) if pair[0] != "dry_run")


def _pairs(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _named(one: Resource) -> Labels:
    return (("group", one.group), ("resource", one.plural))


def _whole(one: Resource) -> str:
    return f"{one.plural}.{one.group}" if one.group else one.plural


def of_process(started: float) -> Iterator[Family]:
    """Yields what there is to say of this process, which began at `started`."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    values: dict[str, float] = {
        "process_cpu_seconds_total": round(used.ru_utime + used.ru_stime, 6),
        "process_start_time_seconds": round(started, 3),
    }
    if _STATM.exists():  # Linux
        pages = int(_STATM.read_text().split()[1])
        values["process_resident_memory_bytes"] = pages * resource.getpagesize()
        values["process_open_fds"] = sum(1 for _ in _DESCRIPTORS.iterdir())
    for name, value in values.items():
        kind: Type = "counter" if name.endswith("_total") else "gauge"
        yield Family(name, _HELP[name], kind, [Sample((), value)])
