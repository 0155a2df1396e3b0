"""What a job's policies say: which failures of pods count, and when enough indexes succeeded.

Follows pod_failure_policy.go and success_policy.go in pkg/controller/job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from steersman.controllers import job_index
from steersman.controllers.job_index import Indexes
from steersman.model.kinds.pod import ContainerStatus, Pod

Policy = Mapping[str, Any] | None


class Match(msgspec.Struct, frozen=True):
    """What the first matching rule makes of a failed pod: why the job fails (empty: it does not),
    whether the failure counts, and the rule's action (empty: no rule matched)."""

    message: str = ""
    counts: bool = True
    action: str = ""


def match(policy: Policy, pod: Pod) -> Match:
    """Returns what a pod failure policy makes of a failed pod."""
    for position, rule in enumerate((policy or {}).get("rules") or ()):
        if (wanted := rule.get("onExitCodes")) is not None:
            if (ended := _ended_with(pod, wanted)) is not None:
                return _matched(rule["action"], _exited(pod, ended, position))
        elif kind := _condition(pod, rule.get("onPodConditions") or ()):
            named = f"Pod {pod.metadata.namespace}/{pod.metadata.name} has condition {kind}"
            text = f"{named} matching FailJob rule at index {position}"
            return _matched(rule["action"], text)
    return Match()


def _matched(action: str, message: str) -> Match:
    return Match(message if action == "FailJob" else "", action != "Ignore", action)


def _exited(pod: Pod, ended: ContainerStatus, position: int) -> str:
    assert ended.state.terminated is not None
    of = f"{ended.name} for pod {pod.metadata.namespace}/{pod.metadata.name}"
    code = ended.state.terminated.exit_code
    return f"Container {of} failed with exit code {code} matching FailJob rule at index {position}"


def _ended_with(pod: Pod, wanted: Mapping[str, Any]) -> ContainerStatus | None:
    status = pod.status
    for found in (*status.container_statuses, *status.init_container_statuses):
        ended = found.state.terminated
        if ended is None or not ended.exit_code:
            continue
        if wanted.get("containerName") not in (None, found.name):
            continue
        listed = ended.exit_code in (wanted.get("values") or ())
        if wanted.get("operator") == ("In" if listed else "NotIn"):
            return found
    return None


def _condition(pod: Pod, patterns: Iterable[Mapping[str, Any]]) -> str:
    wanted = {(it.get("type"), it.get("status", "True")) for it in patterns}
    found = (it.type for it in pod.status.conditions if (it.type, it.status) in wanted)
    return next(found, "")


def succeeded(policy: Policy, completions: int, done: Indexes) -> str:
    """Returns which rule of a success policy is met, as a condition says it; empty: none is."""
    for position, rule in enumerate((policy or {}).get("rules") or ()):
        count = rule.get("succeededCount")
        if (text := rule.get("succeededIndexes")) is not None:
            wanted = job_index.parse(text, completions)
            met = len(wanted & done)
            is_met = bool(wanted) and (met == len(wanted) or (count is not None and met >= count))
        else:
            is_met = count is not None and len(done) >= count
        if is_met and done:
            return f"Matched rules at index {position}"
    return ""
