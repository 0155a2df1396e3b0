"""What was given out, on disk, in the files of the kubelet (cpumanager/state, memorymanager/state).

Follows checkpoint.go: what counts is `data`, text of JSON with a checksum of its own; the same
stands beside it for older readers. A file that is not whole is never gone on from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from steersman.node.record import replace_file

_OFFSET: Final = 2166136261
_PRIME: Final = 16777619
_MASK: Final = 0xFFFFFFFF
CORRUPTED: Final = "checkpoint is corrupted"


class BadState(Exception):
    """What a file says cannot be gone on from; the text says what to do."""


def write(path: Path, document: dict[str, Any]) -> None:
    """Replaces the file."""
    data = msgspec.json.encode(document).decode()
    sealed = {**document, "checksum": 0, "data": data, "dataChecksum": checksum(data)}
    replace_file(path, msgspec.json.encode(sealed))


def read(path: Path) -> dict[str, Any] | None:
    """Returns what the file says, None where there is none. Raises ValueError."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    sealed = msgspec.json.decode(text, type=dict[str, Any])
    data = sealed.get("data")
    if not isinstance(data, str) or checksum(data) != sealed.get("dataChecksum"):
        raise ValueError(CORRUPTED)
    return msgspec.json.decode(data, type=dict[str, Any])


def checksum(data: str) -> int:
    """Returns 32 bits of FNV-1a over what go-spew prints of a string (checksum.New)."""
    found = _OFFSET
    for byte in f"(string){data}".encode():
        found = ((found ^ byte) * _PRIME) & _MASK
    return found


def refusal(kind: str, path: Path, why: object) -> BadState:
    """Returns the error of a file that cannot be used, in the kubelet's words."""
    todo = f'please drain this node and delete the {kind} manager checkpoint file "{path}"'
    return BadState(
        f"could not restore state from checkpoint: {why}, {todo} before restarting Kubelet"
    )


def check_absent(kind: str, path: Path, policy: str) -> None:
    """Removes the file of a policy that is not in force any more, and has nothing given out.
    Raises BadState where something is."""
    try:
        document = read(path)
    except (ValueError, msgspec.DecodeError) as error:
        raise refusal(kind, path, error) from error
    if document is None:
        return
    if document.get("entries"):
        before = document.get("policyName")
        text = f'configured policy "{policy}" differs from state checkpoint policy "{before}"'
        raise refusal(kind, path, text)
    path.unlink()
