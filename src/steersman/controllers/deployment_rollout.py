"""How many pods each set of a deployment shall have next: scaling, rolling update, Recreate.

Pure. Each step returns new sizes by set name, as {set: size}; an empty one means: nothing to do
now. Follows pkg/controller/deployment/{sync,rolling,recreate}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steersman.controllers import deployment_bounds as bounds
from steersman.controllers.deployment_revision import DESIRED, MOST, oldest_first
from steersman.model.kinds.deployment import Deployment
from steersman.model.kinds.replicaset import ReplicaSet
from steersman.model.times import seconds

Sizes = list[tuple[ReplicaSet, int]]


def active(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Returns the sets that shall have pods."""
    return [found for found in sets if found.spec.replicas > 0]


def number_of(found: ReplicaSet, annotation: str) -> int | None:
    """Returns a size noted on a set, None where there is none."""
    text = found.metadata.annotations.get(annotation, "")
    return int(text) if text.isdecimal() else None


def is_scaling(deployment: Deployment, sets: Iterable[ReplicaSet]) -> bool:
    """Says whether the deployment's size changed since its sets were sized."""
    noted = (number_of(found, DESIRED) for found in active(sets))
    return any(size is not None and size != deployment.spec.replicas for size in noted)


def size_of_new(deployment: Deployment, sets: Sequence[ReplicaSet], new: ReplicaSet | None) -> int:
    """Returns the size to which the new set may grow now (deploymentutil.NewRSNewReplicas)."""
    size = new.spec.replicas if new else 0
    if not bounds.is_rolling(deployment):
        return deployment.spec.replicas
    if not bounds.observed(sets):
        return size
    room = deployment.spec.replicas + bounds.max_surge(deployment) - bounds.held(sets)
    return size + max(0, min(room, deployment.spec.replicas - size))


def decide_scale(
    deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]
) -> Sizes:
    """Returns sizes after the deployment was scaled, in a rollout by proportion (sync.go)."""
    one = _only_one(new, old)
    if one is not None:
        return [(one, _when_settled(deployment, one, new, old))]
    if _saturated(deployment, new):
        return [(found, 0) for found in active(old)]
    if bounds.is_rolling(deployment):
        return _by_proportion(deployment, active([*old, *([new] if new else [])]))
    return []


def _only_one(new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """Returns the one active set, or the latest where none is; None where several are."""
    alive = active([*old, *([new] if new else [])])
    if not alive:
        return new or next(iter(reversed(oldest_first(old))), None)
    return alive[0] if len(alive) == 1 else None


def _when_settled(
    deployment: Deployment, one: ReplicaSet, new: ReplicaSet | None, old: Sequence[ReplicaSet]
) -> int:
    """Returns the deployment's size, or the present one while other sets still have pods."""
    others = [found for found in (*old, new) if found is not None and found is not one]
    size = deployment.spec.replicas
    if size <= one.spec.replicas or all(map(bounds.settled, others)):
        return size
    return one.spec.replicas


def _saturated(deployment: Deployment, new: ReplicaSet | None) -> bool:
    size = deployment.spec.replicas
    return (
        new is not None
        and new.spec.replicas == size
        and number_of(new, DESIRED) == size
        and new.status.available_replicas == size
    )


def _by_proportion(deployment: Deployment, alive: list[ReplicaSet]) -> Sizes:
    size = deployment.spec.replicas
    allowed = size + bounds.max_surge(deployment) if size else 0
    to_add = allowed - bounds.wanted(alive)
    if to_add > 0 and not all(map(bounds.settled, alive)):
        return []
    newer = 1 if to_add < 0 else -1  # growing: larger, then newer first; shrinking: older first
    alive.sort(key=lambda it: (-it.spec.replicas, newer * seconds(it.metadata.creation_timestamp)))
    sizes, added = [], 0
    for found in alive:
        share = bounds.proportion(found, deployment, number_of(found, MOST), to_add, added)
        sizes.append((found, found.spec.replicas + share))
        added += share
    if to_add and sizes:
        found, first = sizes[0]
        sizes[0] = (found, max(0, first + to_add - added))
    return sizes


def decide_rolling(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> Sizes:
    """Returns the next step of a rolling update: first the new set, then the old ones."""
    size = deployment.spec.replicas
    if new.spec.replicas > size:
        return [(new, size)]
    grown = size_of_new(deployment, [*old, new], new)
    if grown != new.spec.replicas:
        return [(new, grown)]
    return _shrink(deployment, new, active(old))


def _shrink(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> Sizes:
    if not old or not bounds.observed([*old, new]):
        return []
    least = deployment.spec.replicas - bounds.max_unavailable(deployment)
    new_missing = new.spec.replicas - min(new.spec.replicas, new.status.available_replicas)
    room = bounds.wanted([*old, new]) - least - new_missing
    if room <= 0:
        return []
    sizes = {found.metadata.uid: found.spec.replicas for found in old}
    by_age = oldest_first(old)
    _drop_unhealthy(by_age, sizes, room)
    spare = bounds.available([*old, new]) - least
    _drop_available(by_age, sizes, spare)
    return [
        (found, sizes[found.metadata.uid])
        for found in by_age
        if sizes[found.metadata.uid] != found.spec.replicas
    ]


def _drop_unhealthy(old: Sequence[ReplicaSet], sizes: dict[str, int], room: int) -> None:
    """Takes away pods that are not available anyway (cleanupUnhealthyReplicas)."""
    for found in old:
        size = sizes[found.metadata.uid]
        gone = min(room, max(0, size - found.status.available_replicas))
        sizes[found.metadata.uid] = size - gone
        room -= gone


def _drop_available(old: Sequence[ReplicaSet], sizes: dict[str, int], spare: int) -> None:
    """Takes away available pods as far as enough stay (scaleDownOldReplicaSetsForRollingUpdate)."""
    for found in old:
        if spare <= 0:
            return
        gone = min(spare, sizes[found.metadata.uid])
        sizes[found.metadata.uid] -= gone
        spare -= gone
