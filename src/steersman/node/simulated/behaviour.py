"""How simulated nodes and pods behave: what is drawn for all, and what was said of one pod.

Times are in seconds of cluster time. What is said of a pod is exact; what is drawn lies between
the given time and twice it.
"""

from __future__ import annotations

import msgspec

from steersman.model.kinds.pod import Pod


class Behaviour(msgspec.Struct, frozen=True):
    """What is drawn for every pod, and how large a node is.

    crash_chance is the chance that a run of containers ends by itself with exit code 1; runs of
    pods that are not restarted always end, after `run_seconds`.
    """

    start_seconds: float = 0.0
    ready_seconds: float = 0.0
    stop_seconds: float = 0.0
    run_seconds: float = 1.0
    crash_chance: float = 0.0
    cpu: str = "32"
    memory: str = "128Gi"
    pods: str = "110"


class Ranges(msgspec.Struct, frozen=True):
    """Where addresses come from; `nodes` gives one to each node, `pods` one to each pod."""

    nodes: str = "172.30.0.0/16"
    pods: str = "10.128.0.0/9"


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a pod; None leaves it to what is drawn for all.

    start_after: how long image and containers take to be there
    ready_after: how long after that it is ready; `never_ready` says that it never is
    run_for:     how long each run of its containers takes, which then end with `exit_code`
    crash_after: the same, and `exit_code` is 1 where none is given
    stop_after:  how long it takes to end when it is deleted
    pull_fails:  the message with which its image cannot be pulled
    evict_after: how long it runs until its node is short of memory and evicts it
    """

    start_after: float | None = None
    ready_after: float | None = None
    never_ready: bool | None = None
    run_for: float | None = None
    crash_after: float | None = None
    exit_code: int | None = None
    stop_after: float | None = None
    pull_fails: str | None = None
    evict_after: float | None = None

    def over(self, other: Script) -> Script:
        """Returns what this says, and where it says nothing, what another does."""
        said = {
            name: value for name, value in msgspec.structs.asdict(self).items() if value is not None
        }
        return msgspec.structs.replace(other, **said)


NOTHING = Script()


class Rule(msgspec.Struct, frozen=True):
    """What is said of the pods with these labels, in one namespace or in all."""

    script: Script
    match: tuple[tuple[str, str], ...] = ()
    namespace: str = ""

    def takes(self, pod: Pod) -> bool:
        """Says whether a pod is meant."""
        if self.namespace not in ("", pod.metadata.namespace):
            return False
        return all(pod.metadata.labels.get(key) == value for key, value in self.match)


class Rules(msgspec.Struct, frozen=True):
    """What is said of a node and its pods; of several rules the first that takes a pod counts."""

    pods: tuple[Rule, ...] = ()
    die_after: float | None = None

    def of(self, pod: Pod) -> Script:
        """Returns what is said of a pod."""
        return next((rule.script for rule in self.pods if rule.takes(pod)), NOTHING)


NO_RULES = Rules()
