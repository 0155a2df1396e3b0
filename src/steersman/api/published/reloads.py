"""Counts how often configurations were read again, and shows it under upstream's names
(apiserver's authenticationconfig, authorizationconfig and encryptionconfig metrics)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Final

from steersman.model.figures import Family, Labels, Sample

AUTHENTICATION: Final = "authentication"
AUTHORIZATION: Final = "authorization"
ENCRYPTION: Final = "encryption"
_TEXT: Final = "reloads of {} configuration split by status and apiserver identity"
_LAST: Final = (
    "Timestamp of the last automatic reload of {} configuration split by status and apiserver "
    "identity"
)


class Reloads:
    """What has been read again, and whether it could be used."""

    def __init__(self, host: str) -> None:
        self._server = identity_hash(host)
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
            stability = "ALPHA" if what == ENCRYPTION else "BETA"
            counted = [key for key in sorted(self._counts) if key[0] == what]
            yield Family(
                f"{name}s_total",
                f"Total number of {_TEXT.format(what)}.",
                "counter",
                [Sample(self._labels(key), self._counts[key]) for key in counted],
                stability,
            )
            yield Family(
                f"{name}_last_timestamp_seconds",
                f"{_LAST.format(what)}.",
                "gauge",
                [Sample(self._labels(key), round(self._last[key], 3)) for key in counted],
                stability,
            )

    def _labels(self, key: tuple[str, str]) -> Labels:
        return (("apiserver_id_hash", self._server), ("status", key[1]))


def identity_hash(host: str) -> str:
    """Returns what metrics call an API server on a host: a hash of its identity (KEP-1965), which
    is made of the host's name and its own."""
    parts = b"".join(len(part).to_bytes(2) + part for part in (host.encode(), b"kube-apiserver"))
    digest = base64.b32encode(hashlib.sha256(parts).digest()[:16]).decode()
    identity = f"apiserver-{digest.rstrip('=').lower()}"
    return f"sha256:{hashlib.sha256(identity.encode()).hexdigest()}"
