"""ReplicationController: the older ReplicaSet; the same plan, by adaptation
(pkg/controller/replication)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from steersman.controllers import ownership
from steersman.controllers.replicaset import Replication
from steersman.model.kind import Kind
from steersman.model.kinds.pod import POD
from steersman.model.kinds.replicaset import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from steersman.model.kinds.replicationcontroller import (
    REPLICATIONCONTROLLER,
    ReplicationController,
)
from steersman.model.ref import Ref
from steersman.model.types.selector import LabelSelector
from steersman.reconcile.rules import Rule, Watch, to_self


def as_set(found: ReplicationController) -> ReplicaSet:
    """Returns a replication controller in the form of a replica set, under its own name."""
    spec, status = found.spec, found.status
    return ReplicaSet(
        api_version=REPLICATIONCONTROLLER.api_version(),
        kind=REPLICATIONCONTROLLER.name,
        metadata=found.metadata,
        spec=ReplicaSetSpec(
            replicas=spec.replicas,
            min_ready_seconds=spec.min_ready_seconds,
            selector=LabelSelector(match_labels=spec.selector),
            template=spec.template,
        ),
        status=ReplicaSetStatus(
            replicas=status.replicas,
            fully_labeled_replicas=status.fully_labeled_replicas,
            ready_replicas=status.ready_replicas,
            available_replicas=status.available_replicas,
            observed_generation=status.observed_generation,
            conditions=status.conditions,
        ),
    )


class ReplicationControllerController(Replication):
    """See `reconcile.loop.Controller`."""

    kind: ClassVar[Kind] = REPLICATIONCONTROLLER
    name: ClassVar[str] = "replication-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(
            REPLICATIONCONTROLLER,
            partial(to_self, kind=REPLICATIONCONTROLLER),
            ownership.INDEXES,
        ),
        Watch(POD, partial(ownership.owners, REPLICATIONCONTROLLER), ownership.INDEXES),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("replicationcontrollers",), ("get", "update", "patch")),
        Rule(
            "",
            ("replicationcontrollers/status", "replicationcontrollers/finalizers"),
            ("update", "patch"),
        ),
        Rule("", ("pods",), ("create", "delete", "patch")),
    )

    def owner(self, ref: Ref) -> ReplicaSet | None:
        """Returns the replication controller of a key in the form that plans read."""
        found: ReplicationController | None = self._sets.get(ref)
        return as_set(found) if found is not None else None
