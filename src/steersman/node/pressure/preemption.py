"""Which pods go so that a critical one, which is on the node already, fits: pure.

Source: kubelet's preemption/preemption.go. One rule: as few as possible go of the best class of
service, and of one class those that come nearest to what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from steersman.model.kinds.pod import Pod
from steersman.node.pressure.ranking import is_critical
from steersman.node.render import limits
from steersman.node.resizing.granting import requests_of

REASON: Final = "Preempting"
MESSAGE: Final = "Preempted in order to admit critical pod"
CONDITION: Final = "Pod was preempted by Kubelet to accommodate a critical pod."
Needed = Mapping[str, int]


def choose_victims(pod: Pod, others: Iterable[Pod], needed: Needed) -> list[Pod]:
    """Returns the pods that go for a critical one that lacks something; none where that would not
    be enough, or it is not critical."""
    if not is_critical(pod):
        return []
    classes: dict[str, list[Pod]] = {"BestEffort": [], "Burstable": [], "Guaranteed": []}
    for other in others:
        if _preemptable(pod, other):
            classes[limits.quality(other)].append(other)
    best_effort, burstable, guaranteed = classes.values()
    if _left(needed, best_effort + burstable + guaranteed):
        return []
    best = _nearest(guaranteed, _left(needed, best_effort + burstable))
    middle = _nearest(burstable, _left(needed, best_effort + best))
    least = _nearest(best_effort, _left(needed, middle + best))
    return [*least, *middle, *best]


def _preemptable(pod: Pod, other: Pod) -> bool:
    if is_critical(other):
        return pod.spec.priority > other.spec.priority
    return True


def _left(needed: Needed, pods: Iterable[Pod]) -> dict[str, int]:
    """Returns what is missing once some pods have gone."""
    found = dict(needed)
    for pod in pods:
        for name in found:
            found[name] -= _has(pod, name)
    return {name: amount for name, amount in found.items() if amount > 0}


def _has(pod: Pod, name: str) -> int:
    if name == "pods":
        return 1
    amount = requests_of(pod).get(name)
    if amount is None:
        return 0
    return amount.milli() if name == "cpu" else amount.value()


def _nearest(pods: list[Pod], needed: Needed) -> list[Pod]:
    """Returns pods that are enough, each time the one after which least is missing; of those
    equally near the smaller one."""
    pods, left, found = list(pods), dict(needed), []
    while left and pods:
        nearest = min(pods, key=lambda it: (_distance(it, left), _size(it)))
        pods.remove(nearest)
        found.append(nearest)
        left = _left(left, [nearest])
    return found


def _distance(pod: Pod, needed: Needed) -> float:
    shares = (max(amount - _has(pod, name), 0) / amount for name, amount in needed.items())
    return sum(it * it for it in shares)


def _size(pod: Pod) -> tuple[int, int]:
    return _has(pod, "memory"), _has(pod, "cpu")
