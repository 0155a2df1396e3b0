"""Asks the node of a cluster to end its pods before it goes, and tells how that goes on.

The node says each pod that is at rest over a socket of ours; one that is begun again, or has no
pods, says so at once. Nothing is ended here: whoever gives up on it leaves the node as it was.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from steersman.cli.children import NODE_COMM
from steersman.cli.failure import Failure, Progress
from steersman.node.shutdown import asked

# The node's loop answers within milliseconds; it may be busy, or just be beginning
ANSWER_SECONDS = 20.0
MOST_NAMED = 3  # pods on the line of progress


def end_pods(run: Path, supervisor: int) -> list[str]:
    """Has the node of a supervisor end its pods; returns what to tell of it. Raises Failure."""
    node = _node_of(supervisor)
    if node is None:
        return ["There is no node here whose pods could end."]
    path = run / asked.SOCKET
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, Progress() as progress:
        listener.bind(str(path))
        try:
            progress.say("asking the node to end its pods")
            listener.listen(1)
            listener.settimeout(ANSWER_SECONDS)
            _ask(node)
            peer, _ = _accept(listener)
        finally:
            path.unlink()
        with peer, peer.makefile("rb") as lines:
            peer.settimeout(None)  # the node bounds each pod's time, and dies with its supervisor
            return list(_follow(lines, progress))


def _accept(listener: socket.socket) -> tuple[socket.socket, Any]:
    try:
        return listener.accept()
    except TimeoutError:
        text = "`steer down` without --graceful ends it all the same"
        raise Failure(f"the node does not answer: {text}") from None


def _follow(lines: IO[bytes], progress: Progress) -> Iterator[str]:
    """Reads what the node says until all pods are at rest; yields what to tell then."""
    waiting: list[str] = []
    late: list[str] = []
    ended = 0
    for line in lines:
        said = json.loads(line)
        if "pods" in said:
            waiting = said["pods"]
        elif "done" in said:
            yield f"{ended} {'pod has' if ended == 1 else 'pods have'} ended."
            yield from (f"{name} has not ended in its time." for name in late)
            return
        else:
            name = said.get("ended") or said["late"]
            waiting.remove(name)
            ended += "ended" in said
            late += [name] if "late" in said else []
        progress.say(_progress(waiting))
    raise Failure("the node ended before its pods did: see `steer logs node`")


def _progress(waiting: list[str]) -> str:
    named = ", ".join(waiting[:MOST_NAMED])
    more = ", ..." if len(waiting) > MOST_NAMED else ""
    return f"waiting for {len(waiting)} pods to end: {named}{more}"


def _ask(node: int) -> None:
    try:
        signal.pidfd_send_signal(node, asked.SIGNAL)
    except ProcessLookupError:
        raise Failure("the node ended just now: see `steer logs node`") from None
    finally:
        os.close(node)


def _node_of(supervisor: int) -> int | None:
    """Returns a descriptor of the node's process; None where a supervisor has none."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            descriptor = os.pidfd_open(int(entry.name))
        except ProcessLookupError:
            continue
        if _is_node(entry, supervisor):  # and as long as the descriptor is open no other
            return descriptor
        os.close(descriptor)
    return None


def _is_node(entry: Path, supervisor: int) -> bool:
    try:
        name, _, rest = (entry / "stat").read_text().partition(" (")[2].rpartition(") ")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return name == NODE_COMM and int(rest.split()[1]) == supervisor
