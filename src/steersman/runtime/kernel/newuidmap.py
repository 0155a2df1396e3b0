"""newuidmap and newgidmap: what maps subordinate ids for who is not root (subuid(5), subgid(5)).

The only programs of others that the runtime runs, since only who is setuid root may do it. Rule:
they are found in fixed places, and get an empty environment.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .user_namespaces import Maps, Range

_PLACES = ("/usr/bin", "/bin", "/usr/local/bin")
_MAX_REASON_BYTES = 4096


def write_maps(child: int, maps: Maps) -> None:
    """Maps the ids of a process that has entered a new user namespace."""
    _run("newuidmap", child, maps.uids)
    _run("newgidmap", child, maps.gids)


def find(name: str) -> str:
    """Where a helper is; FileNotFoundError says what can be done without."""
    for place in _PLACES:
        if os.access(f"{place}/{name}", os.X_OK):
            return f"{place}/{name}"
    raise FileNotFoundError(
        f"{name} is not installed: without it only your own id can be mapped, "
        f"as containerID 0, hostID {os.geteuid()} (group {os.getegid()}), size 1"
    )


def _run(name: str, child: int, ranges: Sequence[Range]) -> None:
    program = find(name)
    numbers = [str(number) for entry in ranges for number in entry]
    reader, writer = os.pipe2(os.O_CLOEXEC)
    helper = os.posix_spawn(
        program,
        [name, str(child), *numbers],
        {},
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 2)],
    )
    os.close(writer)
    with open(reader, "rb") as file:
        said = file.read(_MAX_REASON_BYTES).decode("utf-8", "replace").strip()
    _, status = os.waitpid(helper, 0)
    if status:
        raise PermissionError(said or f"{name} failed with {os.waitstatus_to_exitcode(status)}")
