"""What is counted of admission, by upstream's names (apiserver's admission/metrics).

How long each plugin takes is not: it would cost more than what most of them do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Final, Literal, NamedTuple

from steersman.model.figures import Family, Histogram, Labels, Sample

STEP_SECONDS: Final = (0.005, 0.025, 0.1, 0.5, 1, 2.5)
WEBHOOK_SECONDS: Final = (*STEP_SECONDS, 10, 25)
# Why a webhook's answer became a refusal
CALLING_ERROR: Final = "calling_webhook_error"
INTERNAL_ERROR: Final = "apiserver_internal_error"
NO_ERROR: Final = "no_error"
# Codes beyond it are not told apart
MOST_CODE: Final = 600

Step = Literal["admit", "validate"]


class Called(NamedTuple):
    """A webhook that was asked: its name, as what (admit, validating), about which operation."""

    name: str
    type: str
    operation: str


class Figures:
    """What was counted since the server's start. Names of webhooks come from configurations, which
    administrators write."""

    def __init__(self) -> None:
        self._steps: defaultdict[tuple[Step, str, bool], Histogram]
        self._steps = defaultdict(partial(Histogram, STEP_SECONDS))
        self._webhooks: defaultdict[tuple[Called, bool], Histogram]
        self._webhooks = defaultdict(partial(Histogram, WEBHOOK_SECONDS))
        self._codes: Counter[tuple[Called, int, bool]] = Counter()
        self._rejections: Counter[tuple[Called, str, int]] = Counter()
        self._opened: Counter[tuple[str, str]] = Counter()

    def step(self, step: Step, operation: str, rejected: bool, seconds: float) -> None:
        """Counts a pass of all plugins."""
        self._steps[step, operation, rejected].observe(seconds)

    def called(self, called: Called, code: int, error: str, seconds: float) -> None:
        """Counts a webhook that was asked; `error` is why it was refused, empty where not."""
        code, rejected = min(code, MOST_CODE), bool(error)
        self._webhooks[called, rejected].observe(seconds)
        self._codes[called, code, rejected] += 1
        if error:
            self._rejections[called, error, code if error == NO_ERROR else 0] += 1

    def failed_open(self, called: Called) -> None:
        """Counts a webhook that could not be asked and did not have to be."""
        self._opened[called.name, called.type] += 1

    def families(self) -> Iterator[Family]:
        """Yields what was counted."""
        steps = [
            Sample((("operation", operation), _rejected(rejected), ("type", step)), found)
            for (step, operation, rejected), found in sorted(self._steps.items(), key=_first)
        ]
        text = (
            "Admission sub-step latency histogram in seconds, broken out for each operation and "
            "API resource and step type (validate or admit)."
        )
        name = "apiserver_admission_step_admission_duration_seconds"
        yield Family(name, text, "histogram", steps, "STABLE")
        yield from self._of_webhooks()

    def _of_webhooks(self) -> Iterator[Family]:
        start = "apiserver_admission_webhook"
        yield Family(
            f"{start}_admission_duration_seconds",
            "Admission webhook latency histogram in seconds, identified by name and broken out for "
            "each operation and API resource and type (validate or admit).",
            "histogram",
            [
                Sample(_labels(called, rejected=_bool(rejected)), found)
                for (called, rejected), found in sorted(self._webhooks.items(), key=_first)
            ],
            "STABLE",
        )
        yield Family(
            f"{start}_fail_open_count",
            "Admission webhook fail open count, identified by name and broken out for each "
            "admission type (validating or admit).",
            "counter",
            [
                Sample((("name", name), ("type", kind)), count)
                for (name, kind), count in sorted(self._opened.items())
            ],
            "ALPHA",
        )
        yield Family(
            f"{start}_rejection_count",
            "Admission webhook rejection count, identified by name and broken out for each "
            "admission type (validating or admit) and operation.",
            "counter",
            [
                Sample(_labels(called, error_type=error, rejection_code=str(code)), count)
                for (called, error, code), count in sorted(self._rejections.items())
            ],
            "ALPHA",
        )
        yield Family(
            f"{start}_request_total",
            "Admission webhook request total, identified by name and broken out for each admission "
            "type (validating or admit) and operation.",
            "counter",
            [
                Sample(_labels(called, code=str(code), rejected=_bool(rejected)), count)
                for (called, code, rejected), count in sorted(self._codes.items())
            ],
            "ALPHA",
        )


class Timed:
    """Measures passes of all plugins: entered for each of them."""

    def __init__(self, figures: Figures, monotonic: Callable[[], float]) -> None:
        self.figures = figures
        self._monotonic = monotonic

    def step(self, step: Step, operation: str) -> AbstractContextManager[None]:
        """Returns the context in which the plugins are asked."""
        return _Pass(self.figures, self._monotonic, step, operation)


class _Pass:
    __slots__ = ("_began", "_figures", "_monotonic", "_of")

    def __init__(
        self, figures: Figures, monotonic: Callable[[], float], step: Step, operation: str
    ) -> None:
        self._figures = figures
        self._monotonic = monotonic
        self._of = (step, operation)
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = self._monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seconds = self._monotonic() - self._began
        self._figures.step(*self._of, kind is not None, seconds)


def _first(item: tuple[tuple[object, ...], Histogram]) -> str:
    return str(item[0])


def _bool(value: bool) -> str:
    return str(value).lower()


def _rejected(value: bool) -> tuple[str, str]:
    return ("rejected", _bool(value))


def _labels(called: Called, **more: str) -> Labels:
    told: Mapping[str, str] = {**called._asdict(), **more}
    return tuple(sorted(told.items()))
