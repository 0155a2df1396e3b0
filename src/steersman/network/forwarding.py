"""The kernel's switch for forwarding: on while a cluster of this machine needs it, then as found.

One record for all clusters, in a directory that is empty after a reboot, as the switch is then off.
It is not turned off where a link has come that is not a cluster's: its owner may count on it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

SWITCH = Path("/proc/sys/net/ipv4/ip_forward")
RECORD = "ip_forward"
# How the bridges of all clusters begin
BRIDGES = "steer-"


@contextmanager
def held(place: Path) -> Iterator[Path]:
    """Yields the record in a directory; clusters that come and go at once take turns."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(place / f"{RECORD}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place / RECORD
    finally:
        os.close(lock)


def links() -> set[str]:
    """Returns the names of the links of this network namespace."""
    return {name for _, name in socket.if_nameindex()}


def turn_on(record: Path) -> None:
    """Turns forwarding on; where it was off, that is noted first, with the links there were."""
    if SWITCH.read_text().strip() == "1":
        return
    record.write_text(json.dumps(sorted(links())))
    SWITCH.write_text("1")


def put_back(record: Path) -> None:
    """Turns forwarding off where it was found off and nobody needs it any more."""
    known = set(json.loads(record.read_text())) if record.exists() else None
    now = links()
    if plan_off(known, now):
        SWITCH.write_text("0")
    if not any(name.startswith(BRIDGES) for name in now):
        record.unlink(missing_ok=True)


def plan_off(known: set[str] | None, now: Iterable[str]) -> bool:
    """Says whether to turn it off: `known` are the links when it was turned on, None where it was
    on before."""
    return known is not None and not any(
        name.startswith(BRIDGES) or name not in known for name in now
    )
