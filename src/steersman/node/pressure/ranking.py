"""Who goes first under pressure, and in which words: pure. Source: eviction/helpers.go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.model.kinds.priorityclass import SYSTEM_CRITICAL
from steersman.model.quantity import of_bytes, parse
from steersman.model.types.resources import ZERO, Amounts, amounts, together
from steersman.node.containers import is_sidecar
from steersman.node.pressure.thresholds import RESOURCES, Level, Threshold
from steersman.node.resizing.granting import requests_of
from steersman.node.static.marks import is_static

_DISK: Final = "ephemeral-storage"


class Use(msgspec.Struct, frozen=True):
    """What a pod uses: bytes of memory and of disk, processes; memory and disk by container too."""

    memory: int = 0
    disk: int = 0
    processes: int = 0
    containers: Mapping[str, tuple[int, int]] = {}

    def of(self, resource: str) -> int:
        """Returns what it uses of a resource; of inodes nobody knows."""
        return {"memory": self.memory, "ephemeral-storage": self.disk}.get(resource, self.processes)


def is_critical(pod: Pod) -> bool:
    """Whether a pod is never evicted (kubetypes.IsCriticalPod)."""
    return is_static(pod) or pod.spec.priority >= SYSTEM_CRITICAL


def rank(resource: str, pods: Iterable[tuple[Pod, Use]]) -> list[tuple[Pod, Use]]:
    """Returns pods, the first to go in front: who uses more than it has asked for, then who is
    less important, then who uses most beyond its request."""

    def key(one: tuple[Pod, Use]) -> Any:
        pod, use = one
        over = use.of(resource) - requested(pod, resource)
        exceeds = over > 0 if resource in ("memory", "ephemeral-storage") else False
        return not exceeds, pod.spec.priority, -over

    return sorted(pods, key=key)


def requested(pod: Pod, resource: str) -> int:
    """Returns what a pod asked for."""
    return requests_of(pod).get(resource, ZERO).value()


def message(threshold: Threshold, level: Level, pod: Pod, use: Use) -> str:
    """Returns why a pod had to go."""
    resource = RESOURCES[threshold.signal]
    text = f"The node was low on resource: {resource}. "
    quantity, available = (
        _shown(resource, it) for it in (threshold.quantity(level), level.available)
    )
    text += f"Threshold quantity: {quantity}, available: {available}. "
    for container in pod.spec.containers:
        used = use.containers.get(container.name, (0, 0))[resource != "memory"]
        asked = parse(container.resources.requests.get(resource, "0"))
        if resource in ("memory", "ephemeral-storage") and used > asked.value():
            text += f"Container {container.name} was using {of_bytes(used)}, request is {asked}, "
            text += f"has larger consumption of {resource}. "
    return text


def _shown(resource: str, amount: int) -> str:
    return str(of_bytes(amount)) if resource in ("memory", "ephemeral-storage") else str(amount)


def exceeded(pod: Pod, use: Use, volumes: Mapping[str, int]) -> str:
    """Returns which bound of its own on the disk a pod has passed, empty for none; `volumes` are
    the sizes of its emptyDirs in bytes."""
    for volume in pod.spec.volumes:
        bound = volume.empty_dir.size_limit if volume.empty_dir is not None else None
        if bound and 0 < parse(bound).value() < volumes.get(volume.name, 0):
            return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{bound}". '
    total = _limits_of(pod).get(_DISK)
    if total is not None and use.disk > total.value():
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {total}. "
    limits = {it.name: it.resources.limits.get(_DISK) for it in pod.spec.containers}
    for name, limit in ((name, parse(text)) for name, text in limits.items() if text is not None):
        if use.containers.get(name, (0, 0))[1] > limit.value():
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return ""


def _limits_of(pod: Pod) -> Amounts:
    """Returns what the containers that have a limit may have together (PodLimits)."""
    spec = pod.spec
    init = ((amounts(it.resources.limits), is_sidecar(it)) for it in spec.init_containers)
    return together((amounts(it.resources.limits) for it in spec.containers), init)


def bound_of(text: str) -> str:
    """Returns what the bound is called that a pod has passed, by what `exceeded` says of it
    (eviction/eviction_manager.go)."""
    if text.startswith("Usage of EmptyDir"):
        return "emptydirfs.limit"
    return "ephemeralpodfs.limit" if text.startswith("Pod ") else "ephemeralcontainerfs.limit"


def has_bounds(pod: Pod) -> bool:
    """Whether a pod has a bound on the disk of its own."""
    bounded = any(it.empty_dir is not None and it.empty_dir.size_limit for it in pod.spec.volumes)
    return bounded or any("ephemeral-storage" in it.resources.limits for it in pod.spec.containers)
