"""Counts how often configurations were read again, and shows it under upstream's names
(apiserver's authenticationconfig, authorizationconfig and encryptionconfig metrics)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steersman.model.figures import Family, Labels, Sample

AUTHENTICATION: Final = "authentication"
AUTHORIZATION: Final = "authorization"
ENCRYPTION: Final = "encryption"
_TEXT: Final = "reloads of {} configuration split by status"
_LAST: Final = "Timestamp of the last automatic reload of {} configuration split by status"


class Reloads:
    """What has been read again, and whether it could be used."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._last: dict[tuple[str, str], float] = {}

    def count(self, what: str, now: float, *, used: bool) -> None:
        """Counts a configuration that was read again; `now` is in seconds since 1970."""
        key = (what, "success" if used else "failure")
        self._counts[key] = self._counts.get(key, 0) + 1
        self._last[key] = now

    def families(self) -> Iterator[Family]:
        """Yields the counts."""
        for what in sorted({what for what, _ in self._counts}):
            name = f"apiserver_{what}_config_controller_automatic_reload"
            counted = [key for key in sorted(self._counts) if key[0] == what]
            yield Family(
                f"{name}s_total",
                f"Total number of {_TEXT.format(what)}.",
                "counter",
                [Sample(_labels(key), self._counts[key]) for key in counted],
                "ALPHA",
            )
            yield Family(
                f"{name}_last_timestamp_seconds",
                f"{_LAST.format(what)}.",
                "gauge",
                [Sample(_labels(key), round(self._last[key], 3)) for key in counted],
                "ALPHA",
            )


def _labels(key: tuple[str, str]) -> Labels:
    return (("status", key[1]),)
