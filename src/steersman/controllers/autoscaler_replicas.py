"""How many replicas a metric asks for, given what the pods use: pure, in thousandths.

Follows pkg/controller/podautoscaler/replica_calculator.go: what is within the tolerance changes
nothing, pods without metrics never turn the direction, pods that are not ready do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Final

import msgspec

from steersman.controllers.pods import is_ready
from steersman.model.kinds.pod import Pod
from steersman.model.quantity import parse
from steersman.model.times import seconds
from steersman.model.types.condition import condition

INITIALIZATION_SECONDS: Final = 300.0  # --horizontal-pod-autoscaler-cpu-initialization-period
INITIAL_READINESS_SECONDS: Final = 30.0  # --horizontal-pod-autoscaler-initial-readiness-delay
NO_PODS: Final = "no pods returned by selector while calculating replica count"


class NoProposal(Exception):
    """A metric does not say how many replicas there should be; the text says why."""


class Sample(msgspec.Struct, frozen=True):
    """What a pod uses, when it was measured and over how many seconds."""

    value: int
    time: float = 0.0
    window: float = 60.0


class Tolerance(msgspec.Struct, frozen=True):
    """How far usage may be from its target without anything being done."""

    up: float = 0.1
    down: float = 0.1

    def holds(self, ratio: float) -> bool:
        """Says whether a ratio of usage to target is near enough to one."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Groups(msgspec.Struct, frozen=True):
    """Pods by whether they count: how many do, and the names of the others."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


class Situation(msgspec.Struct, frozen=True):
    """The pods of a target, how many it wants, and how exact a metric is taken."""

    pods: Sequence[Pod]
    current: int
    tolerance: Tolerance
    now: float


Samples = Mapping[str, Sample]


def group(pods: Sequence[Pod], samples: Samples, *, of_cpu: bool, now: float) -> Groups:
    """Sorts pods by whether their samples count."""
    ready = 0
    unready, missing, ignored = set(), set(), set()
    for pod in pods:
        name = pod.metadata.name
        if pod.metadata.deletion_timestamp is not None or pod.status.phase == "Failed":
            ignored.add(name)
        elif pod.status.phase == "Pending":
            unready.add(name)
        elif name not in samples:
            missing.add(name)
        elif of_cpu and _is_starting(pod, samples[name], now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _is_starting(pod: Pod, sample: Sample, now: float) -> bool:
    """Says whether the processor time of a pod tells of its beginning and not of its work."""
    found = condition(pod.status.conditions, "Ready")
    if found is None or pod.status.start_time is None:
        return True
    began, changed = seconds(pod.status.start_time), seconds(found.last_transition_time)
    if began + INITIALIZATION_SECONDS > now:
        return found.status == "False" or sample.time < changed + sample.window
    return found.status == "False" and began + INITIAL_READINESS_SECONDS > changed


def requests(pods: Sequence[Pod], resource: str, container: str) -> dict[str, int]:
    """Returns what each pod requests of a resource; raises NoProposal where one does not say."""
    return {pod.metadata.name: _request(pod, resource, container) for pod in pods}


def _request(pod: Pod, resource: str, container: str) -> int:
    whole = pod.spec.resources
    if not container and whole is not None and resource in whole.requests:
        return parse(whole.requests[resource]).milli()
    sidecars = [one for one in pod.spec.init_containers if one.restart_policy == "Always"]
    total = 0
    for one in (*pod.spec.containers, *sidecars):
        if container not in ("", one.name):
            continue
        if (text := one.resources.requests.get(resource)) is None:
            name = pod.metadata.name
            raise NoProposal(
                f"missing request for {resource} in container {one.name} of Pod {name}"
            )
        total += parse(text).milli()
    return total


def by_utilization(
    of: Situation, samples: Samples, target: int, resource: str, container: str = ""
) -> tuple[int, int, int]:
    """Returns the replicas, the percentage of requests that is used, and the average use."""
    if not of.pods:
        raise NoProposal(NO_PODS)
    groups = group(of.pods, samples, of_cpu=resource == "cpu", now=of.now)
    counted = _without(samples, groups)
    asked = requests(of.pods, resource, container)
    if not counted:
        raise NoProposal("did not receive metrics for any ready pods")
    used = {name: sample.value for name, sample in counted.items()}
    ratio, percent, average = _utilization(used, asked, target)
    full = max(100, target)
    replicas = _settle(
        of,
        groups,
        ratio,
        used,
        lambda name: asked[name] * full // 100,
        lambda more: _utilization(more, asked, target)[0],
    )
    return replicas, percent, average


def by_average(of: Situation, samples: Samples, target: int, resource: str = "") -> tuple[int, int]:
    """Returns the replicas and the average of a metric of pods."""
    if not of.pods:
        raise NoProposal(NO_PODS)
    groups = group(of.pods, samples, of_cpu=resource == "cpu", now=of.now)
    counted = _without(samples, groups)
    if not counted:
        raise NoProposal("did not receive metrics for any ready pods")
    used = {name: sample.value for name, sample in counted.items()}
    average = sum(used.values()) // len(used)
    replicas = _settle(
        of,
        groups,
        average / target,
        used,
        lambda _name: target,
        lambda more: sum(more.values()) // len(more) / target,
    )
    return replicas, average


def by_value(of: Situation, value: int, target: int) -> int:
    """Returns the replicas for a metric that is divided by all ready pods."""
    ratio = value / target
    if of.current == 0:
        return ceil(ratio)
    if of.tolerance.holds(ratio):
        return of.current
    if not of.pods:
        raise NoProposal(f"unable to calculate ready pods: {NO_PODS}")
    ready = sum(pod.status.phase == "Running" and is_ready(pod) for pod in of.pods)
    return ceil(ratio * ready)


def by_share(of: Situation, running: int, value: int, target: int) -> tuple[int, int]:
    """Returns the replicas for a metric of which each replica is to have a share, and the share;
    `running` is how many the target says there are."""
    if running == 0:
        return ceil(value / target), 0
    near = of.tolerance.holds(value / (target * running))
    return running if near else ceil(value / target), ceil(value / running)


def _without(samples: Samples, groups: Groups) -> dict[str, Sample]:
    out = groups.ignored | groups.unready
    return {name: sample for name, sample in samples.items() if name not in out}


def _utilization(
    used: Mapping[str, int], asked: Mapping[str, int], target: int
) -> tuple[float, int, int]:
    known = [name for name in used if name in asked]
    total, wanted = sum(used[name] for name in known), sum(asked[name] for name in known)
    if wanted == 0:
        raise NoProposal("no metrics returned matched known pods")
    percent = total * 100 // wanted
    return percent / target, percent, total // len(known)


def _settle(
    of: Situation,
    groups: Groups,
    ratio: float,
    used: Mapping[str, int],
    full: Callable[[str], int],
    again: Callable[[Mapping[str, int]], float],
) -> int:
    """Returns the replicas for a ratio of usage to target; pods that do not say what they use are
    taken to use as much (`full`) or as little as speaks against a change."""
    rebalances = bool(groups.unready) and ratio > 1.0
    if not rebalances and not groups.missing:
        return of.current if of.tolerance.holds(ratio) else ceil(ratio * groups.ready)
    supposed = dict(used)
    if ratio != 1.0:
        supposed |= {name: full(name) if ratio < 1.0 else 0 for name in groups.missing}
    if rebalances:
        supposed |= dict.fromkeys(groups.unready, 0)
    new = again(supposed)
    if of.tolerance.holds(new) or (ratio < 1.0 < new) or (new < 1.0 < ratio):
        return of.current
    replicas = ceil(new * len(supposed))
    turns = (new < 1.0 and replicas > of.current) or (new > 1.0 and replicas < of.current)
    return of.current if turns else replicas
