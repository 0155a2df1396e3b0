"""How long a failed daemon pod stays on its node: 1 s, doubling up to 15 min, as nodes may refuse
what they get for ever.

Follows failedPodsBackoff in pkg/controller/daemon. Kept in memory only, as upstream's is.
"""

from __future__ import annotations

from typing import Final

import msgspec

from steersman.model.kinds.daemonset import DaemonSet

FIRST_SECONDS: Final = 1.0
LAST_SECONDS: Final = 900.0
FORGET_SECONDS: Final = 2 * LAST_SECONDS  # without a failure (client-go flowcontrol.Backoff)
SWEEP_SECONDS: Final = 60.0  # upstream BackoffGCInterval

_Key = tuple[str, int, str]  # uid and observed generation of a set, name of a node


class _Failed(msgspec.Struct, frozen=True):
    delay: float
    at: float


class FailedPods:
    """When pods of which set last failed on which node."""

    def __init__(self) -> None:
        self._of: dict[_Key, _Failed] = {}
        self._swept = 0.0

    def __len__(self) -> int:
        return len(self._of)

    def wait(self, owner: DaemonSet, node: str, now: float) -> float:
        """Returns the seconds until a failed pod may go, 0 for at once."""
        found = self._of.get(_key(owner, node))
        return max(0.0, found.at + found.delay - now) if found is not None else 0.0

    def note(self, owner: DaemonSet, node: str, now: float) -> None:
        """Notes that a failed pod goes; the next one stays for twice as long."""
        self._sweep(now)
        key = _key(owner, node)
        found = self._of.get(key)
        known = found is not None and now <= found.at + FORGET_SECONDS
        delay = min(found.delay * 2, LAST_SECONDS) if found is not None and known else FIRST_SECONDS
        self._of[key] = _Failed(delay, now)

    def _sweep(self, now: float) -> None:
        if now >= self._swept + SWEEP_SECONDS:
            self._swept = now
            self._of = {key: it for key, it in self._of.items() if now <= it.at + FORGET_SECONDS}


def _key(owner: DaemonSet, node: str) -> _Key:
    return owner.metadata.uid, owner.status.observed_generation, node
