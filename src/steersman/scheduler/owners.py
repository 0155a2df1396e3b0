"""Among which pods a pod is spread by default: those of its Services and of its controller.

Follows pkg/scheduler/framework/plugins/helper/spread.go (DefaultSelector).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from steersman.client.interface import Views
from steersman.model import selectors
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.replicaset import REPLICASET
from steersman.model.kinds.replicationcontroller import REPLICATIONCONTROLLER
from steersman.model.kinds.service import SERVICE
from steersman.model.kinds.statefulset import STATEFULSET
from steersman.model.selectors import Requirement, Selector
from steersman.scheduler.state.neighbours import selector_of

KINDS: Final = (SERVICE, REPLICASET, STATEFULSET, REPLICATIONCONTROLLER)
MAX_KEPT: Final = 4096  # answers; then they are worked out again
_Key = tuple[str, frozenset[tuple[str, str]], str]


class Owners:
    """Answers from followed copies; remembered until a selector changes."""

    def __init__(self, views: Views) -> None:
        self._views = {kind.name: views.of(kind) for kind in KINDS}
        self._kept: dict[_Key, Selector | None] = {}
        for view in self._views.values():
            view.listen(self._hear)

    def _hear(self, old: Any | None, new: Any | None) -> None:
        if old is None or new is None or old.spec.selector != new.spec.selector:
            self._kept.clear()

    def selector(self, pod: Pod) -> Selector | None:
        """Returns what selects a pod's like, None where it has neither Service nor controller."""
        metadata = pod.metadata
        owner = metadata.controller
        key = (metadata.namespace, frozenset(metadata.labels.items()), owner.uid if owner else "")
        if key not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            found = (*self._of_services(pod), *self._of_owner(pod))
            self._kept[key] = Selector(found) if found else None
        return self._kept[key]

    def _of_services(self, pod: Pod) -> Iterable[Requirement]:
        merged: dict[str, str] = {}
        for service in self._views["Service"].list(pod.metadata.namespace):
            wanted = service.spec.selector
            if wanted and wanted.items() <= pod.metadata.labels.items():
                merged.update(wanted)
        return selectors.of_map(merged).requirements

    def _of_owner(self, pod: Pod) -> Iterable[Requirement]:
        owner = pod.metadata.controller
        if owner is None or (view := self._views.get(owner.kind)) is None:
            return ()
        kind = next(kind for kind in KINDS if kind.name == owner.kind)
        found = view.get(kind.ref(pod.metadata.namespace, owner.name))
        if found is None or not found.spec.selector:
            return ()
        if kind is REPLICATIONCONTROLLER:
            return selectors.of_map(found.spec.selector).requirements
        return selector_of(found.spec.selector).requirements
