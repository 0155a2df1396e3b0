"""An answer goes out after the disk has what it acknowledges: seen in a trace of system calls.

TLS hides what is written to a connection, so each connection asks one thing at a time: what the
server writes there after a request has come is its answer. What a commit writes is in plain sight
in the file, and with it the name of the object.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest
from test_durability import PATH, Api

from clusters import Cluster

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed here"),
]
CLIENTS = 4
EACH = 12
SECONDS = 120
RECEIVE = ("read", "readv", "recvfrom", "recvmsg")
SEND = ("write", "writev", "sendto", "sendmsg")
STORE = ("pwrite64", "fdatasync", "fsync")
# A page of the store's file, as strace writes it, fits
SHOWN_BYTES = 20_000
_CALL = re.compile(r"^(\d+) +(\w+)\(\d+<(.*?)>(?:,|\)| <)")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")
_NAME = re.compile(r"trace-\d+-\d+")


@dataclass
class Call:
    """One system call: the lines of the trace at which it began and returned."""

    name: str
    file: str
    text: str
    began: int
    ended: int = -1
    moved: bool = True  # it did what it was called for


@contextmanager
def traced(process: int, file: Path) -> Iterator[None]:
    """Writes the system calls of a process into a file."""
    calls = ",".join((*RECEIVE, *SEND, *STORE))
    words = ["strace", "-f", "-yy", "-s", str(SHOWN_BYTES), "-e", f"trace={calls}"]
    tracer = subprocess.Popen(
        [*words, "-o", str(file), "-p", str(process)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            pytest.skip(f"this kernel lets nobody trace here: {said.strip()}")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=SECONDS)


def parse(lines: list[str]) -> list[Call]:
    """Returns the calls of a trace in the order in which they began."""
    calls: list[Call] = []
    open_calls: dict[str, Call] = {}
    for number, line in enumerate(lines):
        if resumed := _RESUMED.match(line):
            call = open_calls.pop(resumed[1], None)
        elif begun := _CALL.match(line):
            call = Call(begun[2], begun[3], line, number)
            calls.append(call)
            if "<unfinished ...>" in line:
                open_calls[begun[1]] = call
                continue
        else:
            continue
        if call is not None:
            call.ended = number
            call.moved = " = -1 " not in line
    return calls


class Creator(threading.Thread):
    """Creates objects on one connection, one after the other."""

    def __init__(self, connection: http.client.HTTPSConnection, number: int) -> None:
        super().__init__()
        self._connection = connection
        self.port: int = connection.sock.getsockname()[1]
        self.names = [f"trace-{number}-{count}" for count in range(EACH)]
        self.created: list[str] = []

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def run(self) -> None:
        """Creates all of them."""
        for name in self.names:
            body = json.dumps({"metadata": {"name": name}})
            self._connection.request("POST", PATH, body, {"content-type": "application/json"})
            answer = self._connection.getresponse()
            if answer.status == 201:
                self.created.append(json.loads(answer.read())["metadata"]["name"])


def connected(api: Api) -> http.client.HTTPSConnection:
    """Returns a connection that has done its handshake and is known."""
    connection = api.connect()
    connection.request("GET", "/api/v1/namespaces/default")
    assert connection.getresponse().read()
    return connection


def answers(calls: list[Call], port: int) -> list[Call]:
    """Returns what the server has written to a connection for each request, in order."""
    here = [call for call in calls if call.file.endswith(f":{port}]") and call.moved]
    found = []
    for is_answer, group in groupby(here, lambda call: call.name in SEND):
        if is_answer:
            found.append(next(group))
    return found


def durable(calls: list[Call]) -> dict[str, int]:
    """Returns at which line of the trace the file was known to have each name."""
    written: dict[str, Call] = {}
    for call in calls:
        if call.name == "pwrite64":
            for name in _NAME.findall(call.text):
                written.setdefault(name, call)
    synced = [call for call in calls if call.name in ("fdatasync", "fsync") and call.moved]
    return {
        name: min(
            sync.ended for sync in synced if sync.file == call.file and sync.began > call.began
        )
        for name, call in written.items()
    }


def test_each_answer_is_written_after_its_objects_are_on_disk(
    lasting: Cluster, tmp_path: Path
) -> None:
    api, trace = Api(lasting), tmp_path / "trace"
    creators = [Creator(connected(api), number) for number in range(CLIENTS)]
    with traced(lasting.server(), trace):
        for creator in creators:
            creator.start()
        for creator in creators:
            creator.join(SECONDS)
    for creator in creators:
        creator.close()
    calls = parse(trace.read_text(errors="replace").splitlines())
    known = durable(calls)
    for creator in creators:
        assert creator.created == creator.names
        told = answers(calls, creator.port)
        assert len(told) == EACH
        for name, answer in zip(creator.names, told, strict=True):
            assert known[name] < answer.began, f"{name} was acknowledged before it was durable"


def test_the_reading_of_a_trace_sees_an_answer_that_comes_too_early() -> None:
    lines = [
        '7 read(9<TCP:[127.0.0.1:1->127.0.0.1:5]>, "x", 10) = 5',
        '8 pwrite64(4</d/store-wal>, "..trace-0-0..", 4096, 0 <unfinished ...>',
        "8 <... pwrite64 resumed>) = 4096",
        "8 fdatasync(4</d/store-wal> <unfinished ...>",
        '7 write(9<TCP:[127.0.0.1:1->127.0.0.1:5]>, "y", 3) = 3',
        "8 <... fdatasync resumed>) = 0",
        '7 read(9<TCP:[127.0.0.1:1->127.0.0.1:5]>, "", 10) = -1 EAGAIN',
        '7 write(9<TCP:[127.0.0.1:1->127.0.0.1:5]>, "z", 3) = 3',
    ]
    calls = parse(lines)
    assert durable(calls) == {"trace-0-0": 5}
    assert [answer.began for answer in answers(calls, 5)] == [4]
