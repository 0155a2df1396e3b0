"""The options of pods/log, read from a query as upstream converts and validates PodLogOptions.

Used on both sides of the way to a log: by the API server, which refuses, and by the node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from steersman.model.errors import BadRequest, Cause, invalid
from steersman.wire.options import whole

STREAMS = ("All", "Stderr", "Stdout")
_FALSE = ("", "0", "f", "F", "FALSE", "false", "False")


class LogOptions(msgspec.Struct, frozen=True):
    """What of a log is wanted; None and "" say that nothing was asked.

    since_time: nanoseconds since 1970
    """

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since_seconds: int | None = None
    since_time: int | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None
    stream: str = "All"

    def since(self, now: float) -> int | None:
        """Returns the moment in nanoseconds from which on entries are wanted."""
        if self.since_seconds is not None:
            return int((now - self.since_seconds) * 1_000_000_000)
        return self.since_time


def parse(params: Mapping[str, Sequence[str]], pod: str) -> LogOptions:
    """Returns the options in a query; raises BadRequest, Invalid."""
    since_time = _first(params, "sinceTime")
    options = LogOptions(
        container=_first(params, "container"),
        follow=_flag(params, "follow"),
        previous=_flag(params, "previous"),
        timestamps=_flag(params, "timestamps"),
        since_seconds=_number(params, "sinceSeconds"),
        since_time=parse_time(since_time) if since_time else None,
        tail_lines=_number(params, "tailLines"),
        limit_bytes=_number(params, "limitBytes"),
        stream=_first(params, "stream") or "All",
    )
    if causes := list(_mistakes(options)):
        raise invalid("", "PodLogOptions", pod, causes)
    return options


def parse_time(text: str) -> int:
    """Returns an RFC 3339 time in nanoseconds since 1970; raises BadRequest."""
    try:
        seconds = datetime.fromisoformat(text)
    except ValueError:
        seconds = None
    if seconds is None or seconds.tzinfo is None or "T" not in text:
        raise BadRequest(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse it')
    whole = int(seconds.replace(microsecond=0).timestamp())
    _, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))] if dot else ""
    return whole * 1_000_000_000 + int(digits[:9].ljust(9, "0"))


def _first(params: Mapping[str, Sequence[str]], name: str) -> str:
    values = params.get(name)
    return values[0] if values else ""


def _flag(params: Mapping[str, Sequence[str]], name: str) -> bool:
    """Reads a boolean as Convert_Slice_string_To_bool: what is not false is true."""
    return name in params and _first(params, name) not in _FALSE


def _number(params: Mapping[str, Sequence[str]], name: str) -> int | None:
    text = _first(params, name)
    return whole(text) if text else None


def _mistakes(options: LogOptions) -> Iterator[Cause]:
    """Yields what ValidatePodLogOptions finds wrong."""
    if options.tail_lines is not None and options.tail_lines < 0:
        yield _wrong("tailLines", options.tail_lines, "must be greater than or equal to 0")
    if options.limit_bytes is not None and options.limit_bytes < 1:
        yield _wrong("limitBytes", options.limit_bytes, "must be greater than 0")
    if options.since_seconds is not None:
        if options.since_time is not None:
            why = "at most one of `sinceTime` or `sinceSeconds` may be specified"
            yield Cause("FieldValueForbidden", f"Forbidden: {why}")
        elif options.since_seconds < 1:
            yield _wrong("sinceSeconds", options.since_seconds, "must be greater than 0")
    if options.stream not in STREAMS:
        known = ", ".join(f'"{name}"' for name in STREAMS)
        why = f'Unsupported value: "{options.stream}": supported values: {known}'
        yield Cause("FieldValueNotSupported", why, "stream")
    if options.stream != "All" and options.tail_lines is not None:
        why = "`tailLines` and specific `stream` are mutually exclusive for now"
        yield Cause("FieldValueForbidden", f"Forbidden: {why}")


def _wrong(field: str, value: int, why: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", field)
