"""How long a job waits after failures of its pods: 10 s, doubling up to 10 min.

Follows pkg/controller/job/backoff_utils.go.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from steersman.controllers import job_index
from steersman.model.kinds.pod import Pod
from steersman.model.times import seconds
from steersman.model.types.condition import condition

FIRST_SECONDS = 10.0  # upstream DefaultJobPodFailureBackOff
LAST_SECONDS = 600.0  # upstream MaxJobPodFailureBackOff


class Failures(msgspec.Struct, frozen=True):
    """The failures since the last success, and when the last one was (0: there was none)."""

    count: int = 0
    last: float = 0.0

    def after(self, succeeded: Sequence[Pod], failed: Sequence[Pod]) -> Failures:
        """Returns the failures after some more pods ended."""
        times = sorted(map(finished_at, failed))
        if not succeeded:
            return Failures(self.count + len(times), times[-1]) if times else self
        success = max(map(finished_at, succeeded))
        later = [time for time in times if time > success]
        return Failures(len(later), later[-1] if later else 0.0)

    def remaining(self, now: float) -> float:
        """Returns the seconds until the next pod may be created."""
        if not self.count:
            return 0.0
        wait = min(FIRST_SECONDS * 2.0 ** min(self.count - 1, 16), LAST_SECONDS)
        return max(0.0, self.last + wait - now)


def of_index(replaced: Pod | None, now: float) -> float:
    """Returns the seconds until an index may be tried again; `replaced` is its last failed pod."""
    if replaced is None:
        return 0.0
    count = job_index.failures_of(replaced) + job_index.ignored_of(replaced) + 1
    return Failures(count, finished_at(replaced)).remaining(now)


def finished_at(pod: Pod) -> float:
    """Returns when a pod ended: by its containers, its Ready condition, its deletion, its birth."""
    ends = [it.state.terminated for it in pod.status.container_statuses]
    times = [seconds(it.finished_at) for it in ends if it is not None]
    if times and len(times) == len(ends) and all(times):
        return max(times)
    ready = condition(pod.status.conditions, "Ready")
    if ready is not None and ready.status == "False" and ready.last_transition_time is not None:
        return seconds(ready.last_transition_time)
    metadata = pod.metadata
    if metadata.deletion_timestamp is not None:
        grace = metadata.deletion_grace_period_seconds or 0
        return seconds(metadata.deletion_timestamp) - grace
    return seconds(metadata.creation_timestamp)
