"""Virtual time for one cluster: its clock, kept in a file so that it goes on where it was.

What stands in the file is never before a reading that somebody saw: after a crash the clock may
have jumped a little, and never goes back.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from steersman.world.clock import END, Clock
from steersman.world.real import RealWorld


class Damaged(ValueError):
    """The file cannot be used; the text says which and why."""


def open_clock(path: Path) -> Clock:
    """Returns the clock that a file keeps; a new one reads the time of the machine, at its rate.

    Raises Damaged.
    """

    def keep(reading: float, rate: float) -> None:
        write(path, reading, rate)

    wire = RealWorld()
    reading, rate = read(path) if path.exists() else (wire.wire_now(), 1.0)
    clock = Clock(reading, wire.monotonic, rate=rate, keep=keep)
    clock.save()
    return clock


def read(path: Path) -> tuple[float, float]:
    """Returns reading and rate; raises Damaged."""
    try:
        document = json.loads(path.read_bytes())
        reading, rate = float(document["reading"]), float(document["rate"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is damaged: {error}") from None
    if not (0 <= reading <= END and 0 <= rate < float("inf")):
        raise Damaged(f"{path} is damaged: no clock reads {reading} at the rate {rate}")
    return reading, rate


def write(path: Path, reading: float, rate: float) -> None:
    """Writes a reading down, so that a machine that fails has it or the one before."""
    partial = path.with_suffix(".partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"reading": reading, "rate": rate}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
