"""The control groups of pods by their class of service: burstable ones together have as much of the
processors as they ask for, those that ask for nothing what the others leave.

A pod keeps the group in which it began. Follows cm/qos_container_manager_linux.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.model.types.resources import ZERO, requested
from steersman.node.pressure.enforcing import HELD
from steersman.node.render.limits import MIN_SHARES, quality, render_shares
from steersman.runtime.kernel import cgroups

BURSTABLE: Final = "burstable"
BEST_EFFORT: Final = "besteffort"
_OF: Final[Mapping[str, str]] = {"Burstable": BURSTABLE, "BestEffort": BEST_EFFORT}


def group_of(pod: Pod) -> str:
    """Returns the group of a pod below that of all pods."""
    own = f"pod{pod.metadata.uid}"
    found = _OF.get(quality(pod))
    return own if found is None else f"{found}/{own}"


def groups_of(uid: str) -> tuple[str, ...]:
    """Returns all groups that a pod may have, where its class is not known."""
    return (f"pod{uid}", *(f"{found}/pod{uid}" for found in _OF.values()))


class ServiceClasses:
    """The groups of the classes below that of all pods; without one, nothing is done."""

    def __init__(self, root: str = "") -> None:
        self._root = root
        self._asked: dict[str, int] = {}
        self._told = -1

    def prepare(self) -> None:
        """Makes the groups, and what keeps them while no pod is in them; raises OSError."""
        if not self._root:
            return
        for name in _OF.values():
            self._open(f"{self._root}/{name}/{HELD}").create()
        self._limit(BEST_EFFORT, MIN_SHARES)
        self._tell()

    def put(self, pod: Pod) -> None:
        """Counts what a pod asks for that begins, goes on or was resized; raises OSError."""
        if quality(pod) == "Burstable" and self._root:
            asked = requested(msgspec.to_builtins(pod.spec)).get("cpu", ZERO)
            self._asked[pod.metadata.uid] = asked.milli()
            self._tell()

    def take(self, uid: str) -> None:
        """Counts a pod no more; raises OSError."""
        if self._asked.pop(uid, None) is not None:
            self._tell()

    def _tell(self) -> None:
        wanted = render_shares(sum(self._asked.values()))
        if wanted != self._told:
            self._limit(BURSTABLE, wanted)
            self._told = wanted

    def _limit(self, name: str, shares: int) -> None:
        self._open(f"{self._root}/{name}").limit({"cpu": {"shares": shares}})

    @cached_property
    def _open(self) -> Callable[[str], cgroups.Cgroup]:
        # looked up once: the table of mounts grows with every pod
        return cgroups.opener(cgroups.find_hierarchies())
