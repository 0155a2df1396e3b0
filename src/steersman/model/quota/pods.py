"""What a pod uses of a quota, what it must name, and its scopes (pkg/quota/v1/evaluator/core/pods).

A pod that has ended uses nothing but its place in `count/pods`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from steersman.model.kinds.pod import ContainerStatus, Pod
from steersman.model.kinds.resourcequota import ScopeRequirement
from steersman.model.quantity import NANO, Quantity
from steersman.model.quota.scopes import selects
from steersman.model.types.container import Container
from steersman.model.types.resource_check import (
    OF_DEVICE_CLASS,
    is_extended,
    is_huge_pages,
    is_native,
)
from steersman.model.types.resources import Amounts, add, amounts, qos_class, raise_to, together
from steersman.model.types.scheduling import PodAffinity, PodAffinityTerm

ONE: Final = Quantity(NANO)
COUNT: Final = "count/pods"
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
_NAMES: Final = frozenset(
    (
        COUNT,
        "pods",
        *_COMPUTE,
        *(f"requests.{name}" for name in _COMPUTE),
        *(f"limits.{name}" for name in _COMPUTE),
    )
)
# what every container must name where a quota bounds it: cpu and memory, by any of their names
_REQUIRED: Final = frozenset(
    f"{prefix}{name}" for prefix in ("", "requests.", "limits.") for name in ("cpu", "memory")
)
_ENDED: Final = ("Failed", "Succeeded")


def measures(name: str) -> bool:
    """Says whether a bound of this name is one on pods."""
    if name in _NAMES or name.startswith(("hugepages-", "requests.hugepages-")):
        return True
    return is_of_devices(name)


def is_of_devices(name: str) -> bool:
    """Says whether a bound is one on an extended resource, which nodes or DeviceClasses meet."""
    found = name.removeprefix("requests.")
    return found != name and (not is_native(found) or found.startswith(OF_DEVICE_CLASS))


def usage(pod: Pod) -> Amounts:
    """Returns what a pod uses, as long as it is not over."""
    if pod.status.phase in _ENDED:
        return {COUNT: ONE}
    used = _compute(_total(pod, "requests"), _total(pod, "limits"))
    return {COUNT: ONE, "pods": ONE, **used}


def ends_at(pod: Pod) -> float | None:
    """Returns when a pod that is being deleted counts no longer, whether its node says that it
    is gone or not; None where it is not being deleted."""
    meta = pod.metadata
    if meta.deletion_timestamp is None or meta.deletion_grace_period_seconds is None:
        return None
    return meta.deletion_timestamp.timestamp() + meta.deletion_grace_period_seconds


def missing(pod: Pod, bounded: Iterable[str]) -> str:
    """Returns what the containers of a pod must name and do not; "" where all is named."""
    required = sorted(_REQUIRED.intersection(bounded))
    resources = pod.spec.resources
    if resources and any(map(_is_pod_level, (*resources.requests, *resources.limits))):
        return ""
    lacking: dict[str, set[str]] = {}
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        found = container.resources
        named = _compute(amounts(found.requests), amounts(found.limits))
        for name in required:
            if name not in named:
                lacking.setdefault(name, set()).add(container.name)
    told = (f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking))
    return f"must specify {'; '.join(told)}" if lacking else ""


def in_scope(requirement: ScopeRequirement, pod: Pod) -> bool:
    """Says whether a pod is in a scope."""
    match requirement.scope_name:
        case "Terminating":
            return _is_terminating(pod)
        case "NotTerminating":
            return not _is_terminating(pod)
        case "BestEffort":
            return _is_best_effort(pod)
        case "NotBestEffort":
            return not _is_best_effort(pod)
        case "PriorityClass":
            name = pod.spec.priority_class_name
            return selects(requirement, (name,) if name else ())
        case "CrossNamespacePodAffinity":
            return any(map(_crosses, _terms(pod)))
    return False


def _is_terminating(pod: Pod) -> bool:
    deadline = pod.spec.active_deadline_seconds
    return deadline is not None and deadline >= 0


def _is_best_effort(pod: Pod) -> bool:
    if pod.status.qos_class:
        return pod.status.qos_class == "BestEffort"
    return qos_class(msgspec.to_builtins(pod.spec)) == "BestEffort"


def _terms(pod: Pod) -> Iterator[PodAffinityTerm]:
    affinity = pod.spec.affinity
    for rules in (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity else ():
        yield from _of(rules)


def _of(rules: PodAffinity | None) -> Iterator[PodAffinityTerm]:
    if rules is not None:
        yield from rules.required_during_scheduling_ignored_during_execution
        for weighted in rules.preferred_during_scheduling_ignored_during_execution:
            yield weighted.pod_affinity_term


def _crosses(term: PodAffinityTerm) -> bool:
    return bool(term.namespaces) or term.namespace_selector is not None


def _is_pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or is_huge_pages(name)


def _compute(requests: Amounts, limits: Amounts) -> Amounts:
    """Returns requests and limits under the names by which quotas bound them."""
    used: Amounts = {}
    for name in _COMPUTE:
        if name in requests:
            used[name] = used[f"requests.{name}"] = requests[name]
        if name in limits:
            used[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if is_huge_pages(name):
            used[name] = used[f"requests.{name}"] = amount
        elif is_extended(name) or name.startswith(OF_DEVICE_CLASS):
            used[f"requests.{name}"] = amount
    return used


def _total(pod: Pod, side: str) -> Amounts:
    """Returns what a pod asks for on one side, as it is being resized at most: its containers, or
    the hungriest moment of its beginning; what it says as a whole goes before that."""
    spec = pod.spec
    status = pod.status
    known = {one.name: one for one in (*status.container_statuses, *status.init_container_statuses)}
    infeasible = any(
        one.type == "PodResizePending" and one.reason == "Infeasible" for one in status.conditions
    )

    def wants(container: Container) -> Amounts:
        return _wants(container, known.get(container.name), side, infeasible)

    total = together(
        map(wants, spec.containers),
        ((wants(one), one.restart_policy == "Always") for one in spec.init_containers),
    )
    if spec.resources is not None:
        whole = amounts(getattr(spec.resources, side))
        total |= {name: amount for name, amount in whole.items() if _is_pod_level(name)}
    _add_overhead(total, spec.overhead, side)
    return total


def _add_overhead(total: Amounts, overhead: Mapping[str, str], side: str) -> None:
    """Adds what the pod costs beside its containers; to limits only where there are some."""
    more = amounts(overhead)
    if side == "limits":
        more = {name: amount for name, amount in more.items() if total.get(name)}
    add(total, more)


def _wants(
    container: Container, status: ContainerStatus | None, side: str, infeasible: bool
) -> Amounts:
    """Returns what a container asks for or still has, whichever is more (KEP-1287)."""
    wanted = amounts(getattr(container.resources, side))
    if status is None or status.resources is None:
        return wanted
    held = amounts(getattr(status.resources, side))
    if side == "requests":
        raise_to(held, amounts(status.allocated_resources))
    if not infeasible:
        raise_to(held, wanted)
    return held
