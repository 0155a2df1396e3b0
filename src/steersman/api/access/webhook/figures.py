"""What is counted of webhooks that authorize, by upstream's names (authorizer/webhook/metrics)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Final

from steersman.model.figures import Family, Histogram, Labels, Sample

# client_golang's DefBuckets
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SUCCESS, TIMEOUT, CANCELED, ERROR = "success", "timeout", "canceled", "error"
_START: Final = "apiserver_authorization_webhook"


class Figures:
    """Counts for all of a server's webhooks; their names come from its configuration."""

    def __init__(self) -> None:
        self._times: defaultdict[tuple[str, str], Histogram]
        self._times = defaultdict(partial(Histogram, SECONDS))
        self._open: Counter[tuple[str, str]] = Counter()

    def asked(self, name: str, result: str, seconds: float, *, is_open: bool) -> None:
        """Counts a webhook that was asked; `is_open`: it had no answer and others decide."""
        key = (name, result)
        self._times[key].observe(seconds)
        if is_open:
            self._open[key] += 1

    def families(self) -> Iterator[Family]:
        """Yields what was counted."""
        times = sorted(self._times.items())
        yield Family(
            f"{_START}_duration_seconds",
            "Request latency in seconds.",
            "histogram",
            [Sample(_labels(key), found) for key, found in times],
            "ALPHA",
        )
        yield Family(
            f"{_START}_evaluations_fail_open_total",
            "NoOpinion results due to webhook timeout or error.",
            "counter",
            [Sample(_labels(key), count) for key, count in sorted(self._open.items())],
            "ALPHA",
        )
        yield Family(
            f"{_START}_evaluations_total",
            "Round-trips to authorization webhooks.",
            "counter",
            [Sample(_labels(key), found.count) for key, found in times],
            "ALPHA",
        )


def _labels(key: tuple[str, str]) -> Labels:
    return (("name", key[0]), ("result", key[1]))
