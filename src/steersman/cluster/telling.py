"""What processes say of themselves beside what their parts counted; and where controllers and
scheduler say it, when they are a process of their own.

That answers `/metrics` and `/healthz` over a Unix socket beside the server's, for whoever may open
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from steersman.listen.serve import Server
from steersman.model.errors import UnknownPath
from steersman.model.figures import Family, Sample, Sources
from steersman.wire import prometheus
from steersman.wire.message import Handler, Request, Response

# Where several such processes stand for the same work, each has a socket
NAMES: Final = ("control.sock", *(f"control-{number}.sock" for number in range(2, 9)))
# What upstream calls the first of its stores
STORE: Final = "etcd-0"
BLOCK_BYTES: Final = 512  # inode(7): st_blocks, whatever a file system's own blocks are
PLAIN: Final = "text/plain; charset=utf-8"


def answers(sources: Sources) -> Handler:
    """Returns what answers; it raises UnknownPath for any other path."""

    def answer(request: Request) -> Response:
        if request.path == "/metrics":
            text = prometheus.render(sources.families())
            return Response(text, content_type=prometheus.CONTENT_TYPE)
        if request.path == "/healthz":
            return Response(b"ok", content_type=PLAIN)
        raise UnknownPath

    return answer


def of_process(started: float) -> Iterable[Family]:
    """Returns what there is to say of this process, which began at `started`."""
    from steersman.api.published import meter  # nothing else of the API is needed here

    return meter.of_process(started)


def of_store(directory: Path) -> Iterator[Family]:
    """Yields how much of the disk the store in a directory takes."""
    blocks = sum(file.stat().st_blocks for file in directory.iterdir())
    yield Family(
        "apiserver_storage_size_bytes",
        "Size of the storage database file physically allocated in bytes.",
        "gauge",
        [Sample((("storage_cluster_id", STORE),), blocks * BLOCK_BYTES)],
        "STABLE",
    )


def listen(server: Server, directory: Path) -> None:
    """Listens on the first of the sockets that no other process has; raises OSError."""
    *others, last = NAMES
    for name in others:
        try:
            server.listen_unix(directory / name)
            return
        except OSError:
            continue
    server.listen_unix(directory / last)
