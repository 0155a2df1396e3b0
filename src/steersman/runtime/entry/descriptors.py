"""The descriptors that a new process keeps of those it was forked with.

Rule: they get numbers of their own before anything else happens, and all others are closed.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import fcntl
import os

from ..kernel import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST = 3


class Descriptors:
    """What a container's process is given: its streams, the channel to who set it up, a gate.

    `gate` is a listening socket, or -1; `owners` are user namespaces, as Plan.owners has them.
    So many as `preserved` says, from 3 on, are the program's, and keep their numbers. `birth`
    are further flags for clone(2): the process may be its parent's sibling.
    """

    __slots__ = ("birth", "channel", "gate", "owners", "preserved", "streams")

    def __init__(
        self,
        channel: int,
        streams: Sequence[int],
        gate: int = -1,
        preserved: int = 0,
        birth: int = 0,
    ) -> None:
        self.birth = birth
        self.preserved = preserved
        self.channel = channel
        self.streams = streams
        self.gate = gate
        self.owners: list[int] = []

    def settle(self, *more: int) -> list[int]:
        """Renumbers all and closes what is none of them; gives the new numbers of `more`."""
        gates = [self.gate] if self.gate >= 0 else []
        start = FIRST + self.preserved
        settle(self.streams, start, self.channel, *gates, *self.owners, *more)
        self.channel = start
        self.gate = start + 1 if gates else -1
        first = start + 1 + len(gates)
        last = first + len(self.owners)
        self.owners = list(range(first, last))
        return list(range(last, last + len(more)))

    def owner(self, index: int) -> int:
        """The user namespace at an index of Plan.owners; -1 for -1."""
        return self.owners[index] if index >= 0 else -1

    def close_owners(self) -> None:
        """Lets go of the user namespaces, which live on with who is in them."""
        while self.owners:
            os.close(self.owners.pop())


def settle(streams: Sequence[int], start: int, *keep: int) -> None:
    """Leaves the three streams as 0 to 2, what lies below `start`, and `keep` from there on;
    closes all else."""
    _signal.set_wakeup_fd(-1)  # the shim's loop may have had itself woken by signals
    os.setsid()
    # Above all targets first, so that no dup2 overwrites a descriptor still needed.
    above = start + len(keep)
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, above) for number in (*streams, *keep)]
    targets = [*range(len(streams)), *range(start, above)]
    for target, descriptor in zip(targets, high, strict=True):
        os.dup2(descriptor, target, inheritable=target < FIRST)
    syscalls.close_range(above)
