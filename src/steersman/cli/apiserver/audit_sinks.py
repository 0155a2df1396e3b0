"""The options of the two places to which audit events go, the file and the webhook: how they wait,
and how large they may be. Names and defaults are upstream's (NewAuditOptions)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

from steersman.cli.failure import Failure

if TYPE_CHECKING:  # loaded with the server
    from steersman.api.audit.settings import Batching, Truncation

BATCH = "batch"
BLOCKING = "blocking"
STRICT = "blocking-strict"


class Option(NamedTuple):
    """One option behind `--audit-log-` and `--audit-webhook-`, its defaults and its meaning."""

    name: str
    kind: type
    log: Any
    webhook: Any
    text: str


_BATCH = (
    Option("batch-buffer-size", int, 10_000, 10_000, "events that wait at most in mode batch"),
    Option("batch-max-size", int, 1, 400, "events of one batch at most"),
    Option("batch-max-wait", str, "0s", "30s", "how long a batch is waited for"),
    Option("batch-throttle-enable", str, "false", "true", "whether batches are held back"),
    Option("batch-throttle-qps", float, 0.0, 10.0, "batches a second on average"),
    Option("batch-throttle-burst", int, 0, 15, "batches at once"),
)
_TRUNCATE = (
    Option("truncate-enabled", str, "false", "false", "whether large events are cut"),
    Option("truncate-max-batch-size", int, 10_485_760, 10_485_760, "bytes of one batch"),
    Option("truncate-max-event-size", int, 102_400, 102_400, "bytes of one event"),
)
_FLAGS = ("true", "false")


def add_options(parser: argparse.ArgumentParser, sink: str) -> None:
    """Adds the options of a place, `log` or `webhook`."""
    for option in (*_BATCH, *_TRUNCATE):
        default = getattr(option, sink)
        more: dict[str, Any] = {"type": option.kind, "metavar": option.kind.__name__.upper()}
        if default in _FLAGS:
            more = {"choices": _FLAGS, "nargs": "?", "const": "true"}
        text = f"{option.text} (default: {default})"
        parser.add_argument(f"--audit-{sink}-{option.name}", default=default, help=text, **more)


def words(arguments: argparse.Namespace, sink: str) -> list[str]:
    """Returns the options as they are given on to the server's process."""
    return [
        f"--audit-{sink}-{option.name}={given}"
        for option in (*_BATCH, *_TRUNCATE)
        if (given := _given(arguments, sink, option.name)) != getattr(option, sink)
    ]


def batching(arguments: argparse.Namespace, sink: str) -> Batching | None:
    """Returns how events of a place wait, None where they do not; raises Failure."""
    if _given(arguments, sink, "mode") != BATCH:
        return None
    from steersman.api.audit.settings import Batching

    throttled = _given(arguments, sink, "batch-throttle-enable") == "true"
    buffer, size = (
        _given(arguments, sink, f"batch-{name}") for name in ("buffer-size", "max-size")
    )
    rate, burst = (_given(arguments, sink, f"batch-throttle-{name}") for name in ("qps", "burst"))
    _check_positive(sink, "buffer size", buffer)
    _check_positive(sink, "max batch size", size)
    if throttled:
        _check_positive(sink, "throttle QPS", rate)
        _check_positive(sink, "throttle burst", burst)
    wait = seconds(arguments, sink, "batch-max-wait")
    return Batching(buffer, size, wait, *((rate, burst) if throttled else ()))


def truncation(arguments: argparse.Namespace, sink: str) -> Truncation | None:
    """Returns how large events may be, None for as large as they are; raises Failure."""
    if _given(arguments, sink, "truncate-enabled") != "true":
        return None
    from steersman.api.audit.settings import Truncation

    batch = _given(arguments, sink, "truncate-max-batch-size")
    event = _given(arguments, sink, "truncate-max-event-size")
    for name, given in (("batch", batch), ("event", event)):
        if given <= 0:
            raise Failure(
                f"invalid audit truncate {sink} max {name} size {given}, must be a positive number"
            )
    if batch < event:
        raise Failure(
            f"invalid audit truncate {sink} max event size ({event}), max batch size ({batch}) "
            "should be bigger"
        )
    return Truncation(event, batch)


def seconds(arguments: argparse.Namespace, sink: str, name: str) -> float:
    """Returns what an option that is a length of time says; raises Failure."""
    from steersman.api.access.webhook.settings import seconds as read

    given = _given(arguments, sink, name)
    try:
        return read(given)
    except ValueError as error:
        raise Failure(f"--audit-{sink}-{name} {given}: {error}") from error


def _check_positive(sink: str, what: str, given: float) -> None:
    if given <= 0:
        raise Failure(f"invalid audit batch {sink} {what} {given}, must be a positive number")


def _given(arguments: argparse.Namespace, sink: str, name: str) -> Any:
    return getattr(arguments, f"audit_{sink}_{name.replace('-', '_')}")
