"""linux.resources of the OCI as the CRI has them: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.cri.messages.values import HugepageLimit, LinuxContainerResources


def render_resources(resources: Mapping[str, Any], oom_score: int = 0) -> LinuxContainerResources:
    """Returns limits; what is not mentioned is 0, which means: as it is."""
    cpu, memory = resources.get("cpu", {}), resources.get("memory", {})
    return LinuxContainerResources(
        cpu_period=cpu.get("period", 0),
        cpu_quota=cpu.get("quota", 0),
        cpu_shares=cpu.get("shares", 0),
        memory_limit_in_bytes=memory.get("limit", 0),
        memory_swap_limit_in_bytes=memory.get("swap", 0),
        oom_score_adj=oom_score,
        cpuset_cpus=cpu.get("cpus", ""),
        cpuset_mems=cpu.get("mems", ""),
        hugepage_limits=tuple(
            HugepageLimit(it["pageSize"], it["limit"]) for it in resources.get("hugepageLimits", ())
        ),
        unified=resources.get("unified", {}),
    )
