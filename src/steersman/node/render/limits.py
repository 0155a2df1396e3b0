"""Resources of containers and pods as the kernel takes them: pure.

Follows the kubelet's kuberuntime_container_linux.go and cm/helpers_linux.go.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.quantity import parse
from steersman.model.types.container import Container, ResourceRequirements
from steersman.model.types.resources import ZERO, qos_class, requested
from steersman.node.render import huge_pages
from steersman.node.render.swap import FILE, NO_SWAP, Swap, is_given, limit_of

PERIOD_MICROSECONDS = 100_000  # kubelet's cpuCFSQuotaPeriod
MIN_QUOTA_MICROSECONDS = 1_000
UNLIMITED = -1
MIN_SHARES, MAX_SHARES, SHARES_PER_CPU = 2, 262_144, 1024
GUARANTEED_OOM_SCORE = -997
BEST_EFFORT_OOM_SCORE = 1000


class Pin(msgspec.Struct, frozen=True):
    """Where a container may run and which nodes' memory it may use, as cpuset(7) writes it, empty
    for anywhere; `exclusive` where the processors are for it alone."""

    cpus: str = ""
    mems: str = ""
    exclusive: bool = False


NO_PIN = Pin()


def render_resources(
    pod: Pod,
    container: Container,
    pin: Pin = NO_PIN,
    page_sizes: Collection[int] = (),
    swap: Swap = NO_SWAP,
) -> Document:
    """Returns linux.resources of a container; a limit that it does not have is its pod's. One
    that has processors for itself needs no limit to them (DisableCPUQuotaWithExclusiveCPUs)."""
    whole = _whole(pod)
    limits, requests = container.resources.limits, container.resources.requests
    limits = {**whole.limits, **limits}
    milli = parse(requests.get("cpu") or limits.get("cpu") or "0").milli()
    quota = parse(limits["cpu"]).milli() if "cpu" in limits else 0
    memory = parse(limits["memory"]).value() if "memory" in limits else 0
    found = _resources(milli, 0 if pin.exclusive else quota, memory)
    for name, where in (("cpus", pin.cpus), ("mems", pin.mems)):
        if where:
            found["cpu"][name] = where
    if page_sizes:
        found["hugepageLimits"] = huge_pages.render_limits(limits, page_sizes)
    if swap.counted:
        given = is_given(pod, container, quality(pod), swap)
        found.get("memory", {}).pop("swap", None)
        found["unified"] = {FILE: str(limit_of(container, swap) if given else 0)}
    return found


def render_pod_resources(
    pod: Pod,
    *,
    exclusive: bool = False,
    page_sizes: Collection[int] = (),
    swap: Swap = NO_SWAP,
) -> Document:
    """Returns linux.resources of a pod, its overhead counted: what it says itself, else what its
    containers come to, a limit only where every one of them has one; none to processors where one
    of them has some for itself."""
    whole, overhead = _whole(pod), pod.spec.overhead
    extra_milli = parse(overhead.get("cpu", "0")).milli()
    extra_bytes = parse(overhead.get("memory", "0")).value()
    shares, quota, memory = extra_milli, extra_milli, extra_bytes
    cpu_bounded = memory_bounded = True
    for container in pod.spec.containers:
        limits, requests = container.resources.limits, container.resources.requests
        shares += parse(requests.get("cpu") or limits.get("cpu") or "0").milli()
        quota += parse(limits.get("cpu", "0")).milli()
        memory += parse(limits.get("memory", "0")).value()
        cpu_bounded = cpu_bounded and "cpu" in limits
        memory_bounded = memory_bounded and "memory" in limits
    if pod.spec.init_containers:  # the pod's limit would have to cover them too
        cpu_bounded = memory_bounded = False
    if "cpu" in whole.requests:
        shares = extra_milli + parse(whole.requests["cpu"]).milli()
    if "cpu" in whole.limits:
        cpu_bounded, quota = True, extra_milli + parse(whole.limits["cpu"]).milli()
    if "memory" in whole.limits:
        memory_bounded, memory = True, extra_bytes + parse(whole.limits["memory"]).value()
    cpu_bounded = cpu_bounded and not exclusive
    found = _resources(shares, quota if cpu_bounded else 0, memory if memory_bounded else 0)
    if page_sizes:
        found["hugepageLimits"] = huge_pages.render_pod_limits(pod, page_sizes)
    if swap.counted:  # its containers have limits of their own
        found.get("memory", {}).pop("swap", None)
    return found


def _whole(pod: Pod) -> ResourceRequirements:
    """Returns what a pod asks for as a whole (KEP-2837), nothing where it does not."""
    return pod.spec.resources or ResourceRequirements()


def render_shares(milli: int) -> int:
    """Returns the weight of so much processor, in thousandths (MilliCPUToShares)."""
    return max(MIN_SHARES, min(MAX_SHARES, milli * SHARES_PER_CPU // 1000))


def _resources(milli: int, quota_milli: int, memory_bytes: int) -> Document:
    cpu: Document = {"shares": render_shares(milli)}
    if quota_milli:
        quota = quota_milli * PERIOD_MICROSECONDS // 1000
        cpu |= {"quota": max(MIN_QUOTA_MICROSECONDS, quota), "period": PERIOD_MICROSECONDS}
    found: Document = {"cpu": cpu}
    if memory_bytes:
        # Without swap for containers, as the kubelet's NoSwap
        found["memory"] = {"limit": memory_bytes, "swap": memory_bytes}
    return found


def _shared_memory(pod: Pod) -> int:
    """Returns what each container counts of the memory that only the pod as a whole asked for."""
    spec = pod.spec
    whole = parse(_whole(pod).requests.get("memory", "0")).value()
    if not whole:
        return 0
    asked = requested(msgspec.to_builtins(spec)).get("memory", ZERO)
    return (whole - asked.value()) // len(spec.containers + spec.init_containers)


def explicit(resources: Document) -> Document:
    """Returns resources where what is not limited is said to be so; of swap that is counted by
    itself its own limit counts, which comes after."""
    cpu, memory = resources["cpu"], resources.get("memory", {})
    free = {"quota": UNLIMITED, "period": PERIOD_MICROSECONDS}
    unlimited = {"limit": UNLIMITED, "swap": UNLIMITED}
    found = {"cpu": {**free, **cpu}, "memory": {**unlimited, **memory}}
    if "unified" in resources:
        del found["memory"]["swap"]
        found["unified"] = resources["unified"]
    return found


def widened(wanted: Document, present: Document | None) -> Document:
    """Returns the greater of two limits for each resource; what is not limited is greatest."""
    one = explicit(wanted)
    other = explicit(present) if present is not None else one
    return {
        part: {name: _greater(value, other[part][name]) for name, value in one[part].items()}
        for part in one
    }


def _greater(one: int, other: int) -> int:
    return UNLIMITED if UNLIMITED in (one, other) else max(one, other)


def quality(pod: Pod) -> str:
    """Returns the pod's class of service."""
    return pod.status.qos_class or qos_class(msgspec.to_builtins(pod.spec))


def oom_score(pod: Pod, container: Container, memory_bytes: int) -> int:
    """Returns how readily the kernel kills a container (GetContainerOOMScoreAdjust)."""
    found = quality(pod)
    if found == "Guaranteed":
        return GUARANTEED_OOM_SCORE
    if found == "BestEffort":
        return BEST_EFFORT_OOM_SCORE
    asked = parse(container.resources.requests.get("memory", "0")).value()
    asked += _shared_memory(pod)
    score = 1000 - 1000 * asked // max(memory_bytes, 1)
    if score < 1000 + GUARANTEED_OOM_SCORE:
        return 1000 + GUARANTEED_OOM_SCORE
    return BEST_EFFORT_OOM_SCORE - 1 if score == BEST_EFFORT_OOM_SCORE else score
