"""What a LIST costs its client and everybody else: first byte, whole time, and the longest wait of
another client's GETs meanwhile.

A process of its own reads lists, so that reading megabytes does not make this one slow to see its
own answers.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from steersman.client import kubeconfig

LISTS = 20
QUIET_SECONDS = 2.0
PIECE_BYTES = 1 << 20


def connect(config: Path) -> http.client.HTTPSConnection:
    """Returns a connection to the server of a kubeconfig."""
    target = kubeconfig.read(config)
    connection = http.client.HTTPSConnection(target.host, target.port, context=target.tls)
    connection.connect()
    return connection


def lists(config: Path, path: str, count: int) -> list[tuple[float, float]]:
    """Reads a list over and over; returns the seconds to its first byte and to its last."""
    connection = connect(config)
    found = []
    for _ in range(count):
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.read(1), "a list is never empty"
        first = time.perf_counter() - began
        while answer.read(PIECE_BYTES):
            pass
        found.append((first, time.perf_counter() - began))
    return found


def waits(config: Path, path: str, goes_on: Callable[[], bool]) -> list[float]:
    """Gets an object over and over; returns the seconds that each answer took."""
    connection = connect(config)
    found = []
    while goes_on():
        began = time.perf_counter()
        connection.request("GET", path)
        connection.getresponse().read()
        found.append(time.perf_counter() - began)
    return found


def _reading(config: Path, path: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, str(config), path]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def alone(config: Path, path: str) -> list[tuple[float, float]]:
    """Returns the seconds to the first byte and to the last of each of `LISTS` lists."""
    found: list[tuple[float, float]] = json.loads(_reading(config, path).communicate()[0])
    return found


def beside(config: Path, path: str, other: str) -> tuple[list[float], list[float]]:
    """Returns the seconds that GETs of another path take, first alone, then while lists run."""
    ends = time.perf_counter() + QUIET_SECONDS
    quiet = waits(config, other, lambda: time.perf_counter() < ends)
    with _reading(config, path) as reading:
        return quiet, waits(config, other, lambda: reading.poll() is None)


if __name__ == "__main__":
    json.dump(lists(Path(sys.argv[1]), sys.argv[2], LISTS), sys.stdout)
