"""Has the kernel hold pods to what is allocatable, and what is reserved for others to that.

Limits, events and words are the kubelet's (cm/node_container_manager_linux.go): of all pods by
their control group, of the system and of the node agent by groups that are there already.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Final

from steersman.model.kind import Document
from steersman.model.quantity import Quantity, of_bytes, of_milli
from steersman.node.machine import Facts
from steersman.node.render import huge_pages
from steersman.node.render.limits import render_shares
from steersman.node.topology.settings import (
    COMPRESSIBLE,
    KUBE,
    PODS,
    SYSTEM,
    BadSetting,
    Settings,
    reserved_millis,
)
from steersman.runtime.kernel import cgroups
from steersman.world.interface import World

ENFORCED: Final = "NodeAllocatableEnforced"
FAILED: Final = "FailedNodeAllocatableEnforcement"
RETRY_SECONDS: Final = 60.0  # kubelet's, until evictions have made room
PROCESSES: Final = "pid"
# What keeps the group of all pods, and its limits, while there is no pod
HELD: Final = "held"
# Those in which a group must be to be there (cgroup_v1_manager_linux.go)
_NEEDED: Final = ("cpu", "cpuacct", "cpuset", "memory", "systemd", "pids", "hugetlb")
_WHAT: Final = {KUBE: "Kube", SYSTEM: "System"}

Say = Callable[[str, str, str], None]


def decide_amounts(settings: Settings, facts: Facts) -> dict[str, Quantity]:
    """Returns what all pods may have together: what the machine has, without what is reserved
    where that is enforced. What evictions leave free is theirs until it comes to that."""
    found = {
        "cpu": of_milli(facts.cpus * 1000),
        "memory": of_bytes(facts.memory_bytes),
        PROCESSES: of_bytes(facts.processes),
        **{huge_pages.resource_of(size): of_bytes(size * n) for size, n in facts.pages.items()},
    }
    if PODS not in settings.enforced:
        return found
    kept = {**settings.reserved, "cpu": of_milli(reserved_millis(settings))}
    for name in found.keys() & kept.keys():
        left = found[name] - kept[name]
        found[name] = left if left.nanos > 0 else of_bytes(0)
    return found


def render_limits(
    amounts: Mapping[str, Quantity], sizes: Collection[int], *, compressible: bool = False
) -> Document:
    """Returns linux.resources of a group, of processors alone where the rest is not enforced."""
    found: Document = {}
    if "cpu" in amounts:
        found["cpu"] = {"shares": render_shares(amounts["cpu"].milli())}
    if compressible:
        return found
    if "memory" in amounts:
        found["memory"] = {"limit": amounts["memory"].value()}
    if PROCESSES in amounts:
        found["pids"] = {"limit": amounts[PROCESSES].value()}
    if any(name.startswith(huge_pages.RESOURCE) for name in amounts):
        texts = {name: str(amount) for name, amount in amounts.items()}
        found["hugepageLimits"] = huge_pages.render_limits(texts, sizes)
    return found


async def enforce_pods(path: str, limits: Document, say: Say, world: World) -> None:
    """Limits the group of all pods; what they use now may be more, and then it is tried again."""
    open_group = cgroups.opener(cgroups.find_hierarchies())
    group = open_group(path)
    while True:
        try:
            open_group(f"{path}/{HELD}").create()
            group.limit(limits)
        except OSError as error:
            text = f'Failed to update Node Allocatable Limits ["{path.strip("/")}"]: {error}'
            say("Warning", FAILED, text)
            await world.sleep(RETRY_SECONDS)
        else:
            say("Normal", ENFORCED, "Updated Node Allocatable limit across pods")
            return


def enforce_reserved(settings: Settings, say: Say) -> None:
    """Limits the groups of the system and of the node agent; raises BadSetting."""
    for suffix in ("", COMPRESSIBLE):
        for kind in (SYSTEM, KUBE):
            if kind + suffix not in settings.enforced:
                continue
            path, amounts = settings.groups[kind], settings.amounts.get(kind, {})
            try:
                _limit_existing(path, render_limits(amounts, (), compressible=bool(suffix)))
            except OSError as error:
                of = f"{_WHAT[kind]} Reserved{' Compressible' if suffix else ''}"
                text = f'Failed to enforce {of} Cgroup Limits on "{path}": {error}'
                say("Warning", FAILED, text)
                raise BadSetting(text) from error
            what = _WHAT[kind].lower()
            say("Normal", ENFORCED, f"Updated limits on {what} reserved cgroup {path}")


def _limit_existing(path: str, limits: Document) -> None:
    hierarchies = cgroups.find_hierarchies()
    clean = cgroups.check_path(path)
    version1, unified = hierarchies.version1, hierarchies.unified
    points = [version1[it] for it in _NEEDED if it in version1] or [unified]
    missing = [it + clean for it in dict.fromkeys(points) if not os.path.isdir(it + clean)]
    if missing:
        name = " ".join(f'"{part}"' for part in clean.strip("/").split("/"))
        raise OSError(f"cgroup [{name}] has some missing paths: {', '.join(missing)}")
    cgroups.opener(hierarchies)(clean).limit(limits)
