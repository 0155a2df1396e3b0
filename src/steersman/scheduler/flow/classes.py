"""Equal pods as one class: asked about once, and one node of the flow problem. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.scheduler.flow.policy import BadPolicy, Policy, parse_policy, told
from steersman.scheduler.memory import Ask
from steersman.scheduler.state.snapshot import Snapshot


class PodClass(msgspec.Struct):
    """Pods that ask for the same under the same policy, in the order of their coming."""

    ask: Ask
    policy: Policy
    pods: list[Pod]


class Sorted(msgspec.Struct, frozen=True):
    """A batch: classes, pods that are decided one by one, and pods whose annotations are bad."""

    classes: tuple[PodClass, ...]
    single: tuple[Pod, ...]
    bad: tuple[tuple[Pod, str], ...]


Asking = Callable[[Pod], Ask | None]


def sort(pods: Iterable[Pod], snapshot: Snapshot, asking: Asking) -> Sorted:
    """Sorts a batch. `asking` makes the question of a pod, None where its volumes or devices are
    to be looked at node by node; it is asked for the first pod of its like alone.

    Pods that are nominated, that take ports, or that mind their neighbours are single too: what
    one of them takes is not a number that adds up.
    """
    known: dict[Hashable, PodClass | str | None] = {}
    single, bad, classes = [], [], []
    for pod in pods:
        key = _key(pod, snapshot)
        if key not in known:
            found = known[key] = _class(pod, asking)
            if isinstance(found, PodClass):
                classes.append(found)
        found = known[key]
        if isinstance(found, str):
            bad.append((pod, found))
        elif found is None or snapshot.nominated(pod.metadata.uid):
            single.append(pod)
        else:
            found.pods.append(pod)
    return Sorted(tuple(it for it in classes if it.pods), tuple(single), tuple(bad))


def _key(pod: Pod, snapshot: Snapshot) -> Hashable:
    metadata = pod.metadata
    labels = frozenset(metadata.labels.items())
    volumes = pod.spec.volumes or pod.spec.resource_claims
    own = metadata.uid if volumes and _personal(pod) else ""
    return (snapshot.shapes.of(pod), metadata.namespace, labels, told(metadata.annotations), own)


def _personal(pod: Pod) -> bool:
    """Says whether a pod has claims, which are nobody else's."""
    claims = any(
        it.persistent_volume_claim is not None or it.ephemeral is not None
        for it in pod.spec.volumes
    )
    return claims or bool(pod.spec.resource_claims)


def _class(pod: Pod, asking: Asking) -> PodClass | str | None:
    try:
        policy = parse_policy(told(pod.metadata.annotations))
    except BadPolicy as error:
        return str(error)
    ask = asking(pod)
    if ask is None or ask.hood.filters or ask.local is not None or ask.demand.ports:
        return None
    return PodClass(ask, policy, [])
