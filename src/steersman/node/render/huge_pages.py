"""Huge pages: what a container or a pod may have of each size, and of which size a volume is.

Follows kuberuntime's GetHugepageLimitsFromResources and volume/emptydir's getPageSizeMountOption.
A size that was not asked for may not be used at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.quantity import of_bytes, parse
from steersman.model.types.resources import amounts, together
from steersman.node import containers
from steersman.node.objects import BadConfiguration

RESOURCE: Final = "hugepages-"
MEDIUM: Final = "HugePages"
_UNITS: Final = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))


def resource_of(size: int) -> str:
    """Returns the resource of pages of a size in bytes."""
    return f"{RESOURCE}{of_bytes(size)}"


def render_limits(limits: Mapping[str, str], sizes: Collection[int]) -> list[Document]:
    """Returns linux.resources.hugepageLimits for all sizes that this machine limits."""
    return [
        {"pageSize": _name(size), "limit": parse(limits.get(resource_of(size), "0")).value()}
        for size in sizes
    ]


def render_pod_limits(pod: Pod, sizes: Collection[int]) -> list[Document]:
    """Returns the same for a pod: what its containers may have together."""
    init = (
        (amounts(it.resources.limits), containers.is_sidecar(it)) for it in pod.spec.init_containers
    )
    found = together((amounts(it.resources.limits) for it in pod.spec.containers), init)
    if pod.spec.resources is not None:
        found |= amounts(pod.spec.resources.limits)
    return render_limits({name: str(amount) for name, amount in found.items()}, sizes)


def _name(size: int) -> str:
    """Returns a size as control groups name it (mem_fmt in mm/hugetlb_cgroup.c)."""
    unit, name = next((it for it in _UNITS if size >= it[0]), _UNITS[-1])
    return f"{size // unit}{name}"


def page_size(pod: Pod, medium: str) -> int:
    """Returns the size of the pages of a volume, which must be one that a container asks for.
    Raises BadConfiguration."""
    each = pod.spec.containers + pod.spec.init_containers
    asked = {
        parse(name.removeprefix(RESOURCE)).value()
        for one in each
        for name in one.resources.requests
        if name.startswith(RESOURCE)
    }
    if medium != MEDIUM:
        asked &= {parse(medium.removeprefix(f"{MEDIUM}-")).value()}
    if not asked:
        text = "hugepages storage requested, but there is no resource request for huge pages"
        raise BadConfiguration(f"medium {medium}: {text}")
    if len(asked) > 1:
        text = "can't be used if container requests multiple huge page sizes"
        raise BadConfiguration(f"medium: {medium} {text}")
    return asked.pop()
