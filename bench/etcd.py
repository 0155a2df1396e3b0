"""Bare etcd puts: Debian's etcd-server with its defaults, driven over gRPC by h2load.

The peer of our Pod creations: values of the same stored size, on the same disk, one after the
other in the same run. h2load sends one prepared request, so the key is the same each time, which
is etcd's easiest case.
"""

from __future__ import annotations

import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 10.0


def available() -> bool:
    """Says whether etcd and h2load are installed."""
    return bool(shutil.which("etcd") and shutil.which("h2load"))


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(directory: Path) -> Iterator[tuple[int, int]]:
    """Runs an etcd whose data lie in a directory; gives its port and process."""
    port, peer = free_port(), free_port()
    urls = [f"http://127.0.0.1:{number}" for number in (port, peer)]
    command = [
        "etcd", "--data-dir", str(directory), "--log-level", "error",
        "--listen-client-urls", urls[0], "--advertise-client-urls", urls[0],
        "--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1],
        "--initial-cluster", f"default={urls[1]}",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def _wait(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("etcd does not answer")


def _field(number: int, data: bytes) -> bytes:
    length, size = len(data), b""
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + data


def put(port: int, value_bytes: int, count: int, clients: int) -> float:
    """Sends puts over so many connections and returns how many a second were answered."""
    message = _field(1, b"/registry/pods/bench/one") + _field(2, b"x" * value_bytes)
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"\0" + struct.pack(">I", len(message)) + message)
        body.flush()
        command = [
            "h2load", "-n", str(count), "-c", str(clients), "-m", "1", "-d", body.name,
            "-H", "content-type: application/grpc", "-H", "te: trailers",
            f"http://127.0.0.1:{port}/etcdserverpb.KV/Put",
        ]  # fmt: skip
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = re.search(r"finished in [^,]+, ([0-9.]+) req/s", done.stdout)
    if found is None or f"{count} succeeded" not in done.stdout:
        raise RuntimeError(f"h2load did not finish: {done.stdout[-500:]}")
    return float(found[1])
