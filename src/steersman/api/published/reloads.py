"""Counts how often configurations were read again, and shows it under upstream's names
(apiserver's authenticationconfig, authorizationconfig and encryptionconfig metrics)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

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

    def render(self) -> str:
        """Returns the counts as Prometheus reads them."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for what in sorted({what for what, _ in self._counts}):
            name = f"apiserver_{what}_config_controller_automatic_reload"
            counts = {key: n for key, n in sorted(self._counts.items()) if key[0] == what}
            yield f"# HELP {name}s_total [ALPHA] Total number of {_TEXT.format(what)}."
            yield f"# TYPE {name}s_total counter"
            yield from (f'{name}s_total{{status="{key[1]}"}} {n}' for key, n in counts.items())
            yield f"# HELP {name}_last_timestamp_seconds [ALPHA] {_LAST.format(what)}."
            yield f"# TYPE {name}_last_timestamp_seconds gauge"
            for key in counts:
                last = self._last[key]
                yield f'{name}_last_timestamp_seconds{{status="{key[1]}"}} {last:.3f}'
