"""Decides whether the node grants what a pod asks for now: pure, but for the sums of all pods.

Follows kubelet's allocation_manager.go. One rule: until something else is granted, a pod is what
was granted last, whatever its spec says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from steersman.model.kinds.pod import Pod
from steersman.model.quantity import Quantity, parse
from steersman.model.types.condition import condition
from steersman.model.types.container import Container, ResourceRequirements
from steersman.model.types.resources import ZERO, Amounts, add, amounts, together
from steersman.node import containers
from steersman.node.observed import Observed, Resize
from steersman.node.render import limits
from steersman.node.render.swap import NO_SWAP, Swap, is_given

RESIZABLE = ("cpu", "memory")
DEFERRED, INFEASIBLE = "Deferred", "Infeasible"
PENDING = "PodResizePending"
WHOLE = ""  # the name under which a pod's own resources are granted
_QUALITIES = ("Guaranteed", "Burstable", "BestEffort")


def resizable(pod: Pod) -> tuple[Container, ...]:
    """Returns the containers whose resources may change: containers and sidecars."""
    sidecars = tuple(it for it in pod.spec.init_containers if containers.is_sidecar(it))
    return sidecars + pod.spec.containers


def first_grants(pod: Pod) -> dict[str, ResourceRequirements]:
    """Returns what a pod is granted as it comes: all that its containers ask for, and under no
    name what it asks for as a whole. One that asks for nothing is granted nothing to be
    remembered, since its class of service cannot change."""
    asked = {it.name: it.resources for it in resizable(pod)}
    if pod.spec.resources is not None:
        asked[WHOLE] = pod.spec.resources
    return asked if any(it.limits or it.requests for it in asked.values()) else {}


def granted(pod: Pod, seen: Observed) -> Pod:
    """Returns the pod with the resources that the node has granted it."""
    grants = seen.grants
    asked = {it.name: it.resources for it in resizable(pod)}
    whole = grants.get(WHOLE) if grants else pod.spec.resources
    if whole == pod.spec.resources and all(
        grants.get(name, resources) == resources for name, resources in asked.items()
    ):
        return pod

    def give(container: Container) -> Container:
        return replace(container, resources=grants.get(container.name, container.resources))

    spec = replace(
        pod.spec,
        containers=tuple(map(give, pod.spec.containers)),
        init_containers=tuple(map(give, pod.spec.init_containers)),
        resources=whole,
    )
    return replace(pod, spec=spec)


def requests_of(pod: Pod) -> Amounts:
    """Returns what a pod counts for on its node: what its containers ask for together, what it
    asks for as a whole instead, which can only be what a pod may, and its overhead."""
    init = (
        (amounts(it.resources.requests), containers.is_sidecar(it))
        for it in pod.spec.init_containers
    )
    found = together((amounts(it.resources.requests) for it in pod.spec.containers), init)
    if pod.spec.resources is not None:
        found |= amounts(pod.spec.resources.requests)
    add(found, amounts(pod.spec.overhead))
    return found


class Waiting(NamedTuple):
    """A pod that waits for more: what goes before what else, and who tries again."""

    priority: int
    quality: str
    since: float
    retry: Callable[[], None]


def waiting(pod: Pod, now: float, retry: Callable[[], None]) -> Waiting:
    """Returns a pod whose resize is deferred, since its condition says so or now."""
    pending = condition(pod.status.conditions, PENDING)
    told = pending.last_transition_time if pending is not None else None
    since = told.timestamp() if told is not None else now
    return Waiting(pod.spec.priority, limits.quality(pod), since, retry)


def retry_order(found: Iterable[Waiting]) -> list[Waiting]:
    """Returns who is tried first: of higher priority, of the better class of service, who has
    waited longer (sortPendingResizes)."""

    def rank(it: Waiting) -> tuple[int, int, float]:
        return -it.priority, _QUALITIES.index(it.quality), it.since

    return sorted(found, key=rank)


class Grants:
    """What all pods of the node have been granted together; who waits tries again when it
    shrinks."""

    def __init__(self) -> None:
        self._held: dict[str, Amounts] = {}
        self._waiting: dict[str, Waiting] = {}

    def note(self, uid: str, held: Amounts | None) -> None:
        """Takes what a pod holds now; None for nothing any more."""
        before = self._held.pop(uid, {})
        if held is not None:
            self._held[uid] = held
        shrinks = any(_of(held or {}, name) < _of(before, name) for name in RESIZABLE)
        if shrinks:
            # Who still cannot have it waits again
            found, self._waiting = self._waiting, {}
            for one in retry_order(found.values()):
                one.retry()

    def wait(self, uid: str, one: Waiting) -> None:
        """Has a pod try once when there is more to be had than now, when its turn comes."""
        self._waiting[uid] = one

    def others(self, uid: str) -> Amounts:
        """Returns what all pods but one hold."""
        total: Amounts = {}
        for other, held in self._held.items():
            if other != uid:
                add(total, held)
        return total

    def count(self) -> int:
        """Returns how many pods hold something, if only a place."""
        return len(self._held)


def _of(held: Mapping[str, Quantity], name: str) -> Quantity:
    return held.get(name, ZERO)


class Refusal(msgspec.Struct, frozen=True):
    """Why what is asked for is not granted: never (Infeasible) or not now (Deferred)."""

    reason: str
    message: str


class _Claim(NamedTuple):
    """What is asked of one resource, what others have of it and what there is; processor in
    thousandths."""

    asked: int
    used: int
    room: int

    def fits(self) -> bool:
        """Whether it can be had; nothing always can."""
        return not self.asked or self.asked + self.used <= self.room


def _claim(
    name: str,
    wanted: Mapping[str, Quantity],
    others: Mapping[str, Quantity],
    allocatable: Mapping[str, str],
) -> _Claim:
    found = _of(wanted, name), _of(others, name), parse(allocatable.get(name, "0"))
    return _Claim(*(it.milli() if name == "cpu" else it.value() for it in found))


def _shortage(name: str, claim: _Claim) -> str:
    told = f"{name}, requested: {claim.asked}, used: {claim.used}, capacity: {claim.room}"
    return f"Node didn't have enough resource: {told}"


def decide_grant(
    pod: Pod,
    others: Mapping[str, Quantity],
    allocatable: Mapping[str, str],
    fixed: str = "",
    swap: Swap = NO_SWAP,
) -> Refusal | None:
    """Returns why a pod cannot have what it asks for, None where it can. `fixed` is the policy
    that gives Guaranteed pods parts of the machine for as long as they run."""
    if fixed and limits.quality(pod) == "Guaranteed":
        text = f"Resize is infeasible for Guaranteed Pods alongside {fixed} static policy"
        return Refusal(INFEASIBLE, text)
    wanted = requests_of(pod)
    claims = {name: _claim(name, wanted, others, allocatable) for name in RESIZABLE}
    for name in ("memory", "cpu"):
        claim = claims[name]
        if claim.asked > claim.room:
            text = f"{name}, requested: {claim.asked}, capacity: {claim.room}"
            return Refusal(INFEASIBLE, f"Node didn't have enough capacity: {text}")
    if any(_swaps(pod, it, swap) for it in resizable(pod)):
        text = "In-place resize of containers with swap is not supported."
        return Refusal(INFEASIBLE, text)
    for name, claim in claims.items():
        if not claim.fits():
            return Refusal(DEFERRED, _shortage(name, claim))
    return None


def _swaps(pod: Pod, container: Container, swap: Swap) -> bool:
    """Whether a container has a share of swap by a request that cannot change while it runs."""
    restarts = any(
        it.resource_name == "memory" and it.restart_policy == "RestartContainer"
        for it in container.resize_policy
    )
    return not restarts and is_given(pod, container, limits.quality(pod), swap)


def decide_admission(
    pod: Pod, others: Mapping[str, Quantity], count: int, allocatable: Mapping[str, str]
) -> tuple[str, str] | None:
    """Returns reason and message where a pod that has come does not fit beside `count` others
    (lifecycle/predicate.go), or is for another system; None where it may begin."""
    if pod.spec.os is not None and pod.spec.os.name != "linux":
        text = "Failed to admit pod as the OS field doesn't match node OS"
        return "PodOSNotSupported", text
    for name, claim in _claims(pod, others, count, allocatable):
        if not claim.fits():
            return f"OutOf{name}", _shortage(name, claim)
    return None


def decide_shortage(
    pod: Pod, others: Mapping[str, Quantity], count: int, allocatable: Mapping[str, str]
) -> dict[str, int]:
    """Returns how much a pod that has come lacks of what, processor in thousandths."""
    claims = _claims(pod, others, count, allocatable)
    return {it: one.asked + one.used - one.room for it, one in claims if not one.fits()}


def _claims(
    pod: Pod, others: Mapping[str, Quantity], count: int, allocatable: Mapping[str, str]
) -> list[tuple[str, _Claim]]:
    most = int(allocatable.get("pods", count + 1))
    wanted = requests_of(pod)
    # What no node is known to have is the scheduler's to find
    known = [it for it in wanted if it in allocatable]
    claims = [(it, _claim(it, wanted, others, allocatable)) for it in known]
    return [("pods", _Claim(1, count, most)), *claims]


def is_asked(pod: Pod, seen: Observed) -> bool:
    """Whether a pod asks for other resources than were granted."""
    return granted(pod, seen) is not pod


def grant(pod: Pod, seen: Observed) -> Observed:
    """Returns what is observed once all that a pod asks for is granted."""
    present = limits.render_pod_resources(granted(pod, seen))
    if seen.pod_limits is not None:  # the resize before is not carried out yet
        present = limits.widened(present, seen.pod_limits)
    resize = Resize(generation=pod.metadata.generation)
    return replace(seen, grants=first_grants(pod), pod_limits=present, resize=resize, refused=None)


def carried_out(pod: Pod, seen: Observed, changed: Iterable[str]) -> Observed:
    """Returns what is observed once the groups of a pod and of some containers are as granted."""
    given = {it.name: it.resources for it in resizable(pod)}
    for name in changed:
        seen = seen.having(name, replace(seen.of(name), resources=given[name]))
    resize = seen.resize and replace(seen.resize, pod_done=True, error="")
    return replace(seen, pod_limits=None, resize=resize)


# What has been granted and is not carried out yet


def changes(container: Container, seen: Observed) -> set[str]:
    """Returns the resources of a running container that are not as granted."""
    known = seen.of(container.name)
    if not known.running:
        return set()
    given = known.resources or ResourceRequirements()
    return {it for it in RESIZABLE if _differs(container.resources, given, it)}


def inherits(pod: Pod, container: Container, seen: Observed) -> bool:
    """Whether a running container has a limit of its pod's, which may be another one now."""
    whole = pod.spec.resources.limits if pod.spec.resources is not None else {}
    own = container.resources.limits
    return seen.of(container.name).running and any(
        it in whole and it not in own for it in RESIZABLE
    )


def _differs(one: ResourceRequirements, other: ResourceRequirements, name: str) -> bool:
    sides = ((one.requests, other.requests), (one.limits, other.limits))
    return any(_amount(a, name) != _amount(b, name) for a, b in sides)


def _amount(side: Mapping[str, str], name: str) -> Quantity | None:
    return parse(side[name]) if name in side else None


def needs_restart(container: Container, seen: Observed) -> bool:
    """Whether a container must begin anew for what was granted (resizePolicy)."""
    policies = {it.resource_name: it.restart_policy for it in container.resize_policy}
    changed = changes(container, seen)
    return any(policies.get(name) == "RestartContainer" for name in changed)


def is_carried_out(pod: Pod, seen: Observed) -> bool:
    """Whether every group of a pod, with the resources granted, is as it should be."""
    done = seen.resize is None or seen.resize.pod_done
    return done and not any(changes(it, seen) for it in resizable(pod))


def is_over(pod: Pod, seen: Observed) -> bool:
    """Whether a resize is carried out and what had to begin anew for it has."""
    runs = (seen.of(it.name).exited for it in resizable(pod))
    return is_carried_out(pod, seen) and not any(run is not None and run.again for run in runs)
