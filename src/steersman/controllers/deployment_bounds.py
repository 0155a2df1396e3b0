"""The numbers of a rollout: how many pods may be too many or missing, and what sets hold now.

Follows pkg/controller/deployment/util; stricter in one thing: a set counts with the pods it still
has, not only with those it shall have, so a rollout never goes above its surge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from steersman.model.kinds.deployment import Deployment, RollingUpdate
from steersman.model.kinds.replicaset import ReplicaSet


def scaled(amount: int | str, total: int, *, up: bool) -> int:
    """Returns a number, or a percentage of a total rounded up or down
    (intstr.GetScaledValueFromIntOrPercent)."""
    if isinstance(amount, int):
        return amount
    percent = int(amount.removesuffix("%"))
    return math.ceil(percent * total / 100) if up else percent * total // 100


def is_rolling(deployment: Deployment) -> bool:
    """Says whether pods are replaced step by step."""
    return deployment.spec.strategy.type != "Recreate"


def fence(deployment: Deployment) -> tuple[int, int]:
    """Returns surge and unavailable; both zero would never move, so then one may be missing."""
    bounds = deployment.spec.strategy.rolling_update or RollingUpdate()
    replicas = deployment.spec.replicas
    surge = scaled(bounds.max_surge, replicas, up=True)
    unavailable = scaled(bounds.max_unavailable, replicas, up=False)
    return surge, unavailable or (0 if surge else 1)


def max_surge(deployment: Deployment) -> int:
    """Returns how many pods there may be above the wanted number."""
    return fence(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Deployment) -> int:
    """Returns how many of the wanted pods may be missing."""
    if not is_rolling(deployment) or not deployment.spec.replicas:
        return 0
    return min(fence(deployment)[1], deployment.spec.replicas)


def wanted(sets: Iterable[ReplicaSet]) -> int:
    """Returns the pods that sets shall have."""
    return sum(found.spec.replicas for found in sets)


def settled(found: ReplicaSet) -> bool:
    """Says whether a set's own controller has seen its size and removed what was too much."""
    status = found.status
    observed = status.observed_generation >= found.metadata.generation
    return observed and status.replicas <= found.spec.replicas


def held(sets: Iterable[ReplicaSet]) -> int:
    """Returns the pods that observed sets have or shall have, whichever is more."""
    return sum(max(found.spec.replicas, found.status.replicas) for found in sets)


def available(sets: Iterable[ReplicaSet]) -> int:
    """Returns the available pods that sets will keep: those above the wanted number go."""
    return sum(min(found.spec.replicas, found.status.available_replicas) for found in sets)


def observed(sets: Iterable[ReplicaSet]) -> bool:
    """Says whether every set's status speaks of its present size."""
    return all(found.status.observed_generation >= found.metadata.generation for found in sets)


def proportion(
    found: ReplicaSet, deployment: Deployment, before: int | None, to_add: int, added: int
) -> int:
    """Returns the share of `to_add` (negative: to remove) that a set gets when a deployment is
    scaled in the middle of a rollout (deploymentutil.GetReplicaSetProportion)."""
    if not found.spec.replicas or to_add in (0, added):
        return 0
    share = _share(found, deployment, before)
    allowed = to_add - added
    return min(share, allowed) if to_add > 0 else max(share, allowed)


def _share(found: ReplicaSet, deployment: Deployment, before: int | None) -> int:
    size = found.spec.replicas
    if not deployment.spec.replicas:
        return -size
    base = before or deployment.status.replicas or size
    new = size * (deployment.spec.replicas + max_surge(deployment)) / base
    return int(new + 0.5) - size  # rounds half away from zero, as integer.RoundToInt32
