"""Events that are made smaller where they are too large (apiserver/plugin/pkg/audit/truncate).

An event that has its objects taken out says so in an annotation; one that is too large even then is
lost, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from steersman.api.audit.auditor import Log

PLUGIN: Final = "truncate"
ANNOTATION: Final = "audit.k8s.io/truncated"
_LARGE: Final = ("requestObject", "responseObject")


def cut(line: bytes, most_bytes: int) -> bytes | None:
    """Returns an event of at most so many bytes, None where it cannot be made so small."""
    if len(line) <= most_bytes:
        return line
    event = orjson.loads(line)
    if not any(name in event for name in _LARGE):
        return None
    kept = {name: value for name, value in event.items() if name not in _LARGE}
    kept["annotations"] = {**(event.get("annotations") or {}), ANNOTATION: "true"}
    made = orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE)
    return made if len(made) <= most_bytes else None


def batches(lines: Iterable[bytes], most_bytes: int) -> Iterator[list[bytes]]:
    """Yields events in batches of at most so many bytes, or of one."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and size + len(line) > most_bytes:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


class Truncated:
    """A log whose events are cut before it gets them; see `auditor.Log`."""

    def __init__(self, log: Log, most_bytes: int, errors: Counter[str]) -> None:
        self.name = log.name
        self.strict = log.strict
        self._log = log
        self._most_bytes = most_bytes
        self._errors = errors

    def write(self, line: bytes) -> bool:
        """Writes an event, smaller where it must be; one that is lost for its size is counted."""
        made = cut(line, self._most_bytes)
        if made is None:
            self._errors[PLUGIN] += 1
            return True
        return self._log.write(made)
