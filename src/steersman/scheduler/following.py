"""Hears what changes in the cluster: into the snapshot, the queue, and to those it could help."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from steersman.client.interface import View, Views
from steersman.model.kinds.namespace import NAMESPACE, Namespace
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD, Pod
from steersman.scheduler.filters.scheduling_gates import gated
from steersman.scheduler.hints import (
    Alone,
    Waits,
    helped_by_device,
    helped_by_node,
    helped_by_pod,
    helped_by_volume,
)
from steersman.scheduler.queue import ANY_EVENT, PodQueue
from steersman.scheduler.state.snapshot import Placed, Snapshot

Hear = Callable[[Any | None, Any | None], None]
ENDED = ("Succeeded", "Failed")


def pends(pod: Pod, names: Iterable[str]) -> bool:
    """Says whether a pod is for one of the schedulers with these names, and has no node yet."""
    return (
        not pod.spec.node_name
        and pod.spec.scheduler_name in names
        and pod.metadata.deletion_timestamp is None
        and pod.status.phase not in ENDED
    )


def waits(pod: Pod, names: Iterable[str]) -> bool:
    """Says whether a pod is to be placed by one of the schedulers with these names."""
    return pends(pod, names) and not gated(pod)


def differs(old: Node | None, new: Node | None) -> bool:
    """Says whether a change of a node matters here; heartbeats do not."""
    if old is None or new is None:
        return True
    return (
        reshapes(old, new)
        or old.status.allocatable != new.status.allocatable
        or old.metadata.uid != new.metadata.uid
        or old.status.images != new.status.images
    )


def reshapes(old: Node | None, new: Node | None) -> bool:
    """Says whether a change alters what a node is, not only what room it has."""
    if old is None or new is None:
        return True
    return (
        old.spec != new.spec
        or old.metadata.labels != new.metadata.labels
        or old.status.declared_features != new.status.declared_features
    )


class Following:
    """The listener of one scheduler; `names` are those that pods name in spec.schedulerName."""

    def __init__(
        self, views: Views, snapshot: Snapshot, queue: PodQueue, names: Iterable[str]
    ) -> None:
        self._snapshot = snapshot
        self._queue = queue
        self._names = frozenset(names)
        self._pods = views.of(POD)
        self._heard: list[tuple[View, Hear]] = [
            (views.of(NAMESPACE), self.hear_namespace),
            (views.of(NODE), self.hear_node),
            (self._pods, self.hear_pod),
        ]

    def begin(self) -> list[Callable[[], None]]:
        """Listens, takes over what there is, and returns the ways out."""
        leave = []
        for view, hear in self._heard:
            leave.append(view.listen(hear))
            for found in list(view.list()):
                hear(None, found)
        return leave

    def gated(self) -> int:
        """Returns how many pods wait for their gates to go; looked for when somebody asks."""
        return sum(gated(pod) and pends(pod, self._names) for pod in self._pods.list())

    def hear_namespace(self, old: Namespace | None, new: Namespace | None) -> None:
        """Takes over the labels of a namespace."""
        if old is not None and new is not None and old.metadata.labels == new.metadata.labels:
            return
        found = new or old
        assert found is not None
        self._snapshot.namespace_changed(
            found.metadata.name, new.metadata.labels if new is not None else None
        )

    def hear_node(self, old: Node | None, new: Node | None) -> None:
        """Takes over a node."""
        if not differs(old, new):
            return
        state = self._snapshot.node_changed(old, new)
        reshaped = reshapes(old, new)
        if state.exists or reshaped:
            event = "NodeAdd" if old is None else "NodeUpdate"
            self._help(lambda group: helped_by_node(group, state, reshaped=reshaped), event)

    def hear_storage(self) -> None:
        """Tells those who wait for a claim, a volume or a class."""
        self._help(helped_by_volume)

    def hear_devices(self, delegated: frozenset[str]) -> None:
        """Tells those who wait for a claim or for devices; these meet the resources `delegated`."""
        self._snapshot.shapes.delegate(delegated)
        self._help(lambda group: helped_by_device(group, delegated))

    def hear_pod(self, old: Any | None, new: Any | None) -> None:
        """Takes over a pod."""
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._gone(old)
        if new is None:
            return
        if not new.spec.node_name:
            self._hear_unbound(new)
        elif new.status.phase in ENDED:
            self._gone(new)
        else:
            self._hear_bound(new)

    def _hear_unbound(self, pod: Pod) -> None:
        if not waits(pod, self._names):
            self._gone(pod)
            return
        uid = pod.metadata.uid
        if not self._queue.knows(uid) and pod.status.nominated_node_name:
            self._snapshot.nominate(pod, pod.status.nominated_node_name)
        self._queue.put(pod)

    def _hear_bound(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        self._queue.remove(uid)
        before = self._snapshot.placed(uid)
        self._snapshot.put(pod, pod.spec.node_name)
        after = self._snapshot.placed(uid)
        assert after is not None
        if before is None or before.assumed or before.flock is not after.flock:
            self._help(
                lambda group: helped_by_pod(group, None, after.flock, after.rules),
                "AssignedPodAdd",
            )

    def _gone(self, pod: Pod) -> None:
        self._queue.remove(pod.metadata.uid)
        self._snapshot.nominate(pod, "")
        if (placed := self._snapshot.remove(pod.metadata.uid)) is not None:
            self.left(placed)

    def left(self, placed: Placed) -> None:
        """Tells those whom the going of a pod could help."""
        state = placed.state if placed.state.exists else None
        self._help(
            lambda group: helped_by_pod(group, state, placed.flock, placed.rules),
            "AssignedPodDelete",
        )

    def _help(self, may: Callable[[Waits], bool], event: str = ANY_EVENT) -> None:
        def asked(group: Hashable) -> bool:
            if isinstance(group, Alone):
                return False
            return not isinstance(group, Waits) or may(group)

        self._queue.helped(asked, event)
