"""From an object's name to the chain of its causes."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Final

from steersman.explain.cause import Cause
from steersman.explain.claim import of_claim
from steersman.explain.deletion import of_deletion
from steersman.explain.node import of_node
from steersman.explain.objects import Objects, about, name_of, namespace_of
from steersman.explain.pod import of_pod
from steersman.explain.scaling import of_autoscaler, of_budget
from steersman.explain.service import of_service
from steersman.explain.workload import (
    of_cron_job,
    of_daemons,
    of_deployment,
    of_job,
    of_replicas,
    of_stateful,
)
from steersman.model import builtin
from steersman.model.kind import Document, Kind
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.cronjob import CRONJOB
from steersman.model.kinds.csinode import CSINODE
from steersman.model.kinds.daemonset import DAEMONSET
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.horizontalpodautoscaler import HORIZONTALPODAUTOSCALER
from steersman.model.kinds.job import JOB
from steersman.model.kinds.namespace import NAMESPACE
from steersman.model.kinds.node import NODE
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.poddisruptionbudget import PODDISRUPTIONBUDGET
from steersman.model.kinds.printing import at
from steersman.model.kinds.replicaset import REPLICASET
from steersman.model.kinds.replicationcontroller import REPLICATIONCONTROLLER
from steersman.model.kinds.secret import SECRET
from steersman.model.kinds.service import SERVICE
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.model.kinds.statefulset import STATEFULSET
from steersman.model.kinds.storageclass import STORAGECLASS

Of = Callable[[Objects, Document], Cause]

_ANSWERED: Final[tuple[tuple[Kind, Of], ...]] = (
    (POD, of_pod),
    (DEPLOYMENT, of_deployment),
    (REPLICASET, lambda objects, it: of_replicas(objects, it, REPLICASET)),
    (REPLICATIONCONTROLLER, lambda objects, it: of_replicas(objects, it, REPLICATIONCONTROLLER)),
    (STATEFULSET, of_stateful),
    (DAEMONSET, of_daemons),
    (JOB, of_job),
    (CRONJOB, of_cron_job),
    (PERSISTENTVOLUMECLAIM, of_claim),
    (SERVICE, of_service),
    (NODE, of_node),
    (HORIZONTALPODAUTOSCALER, of_autoscaler),
    (PODDISRUPTIONBUDGET, of_budget),
)
_OF: Final = {kind.resource: of for kind, of in _ANSWERED}
# What is read of a cluster before it is asked
READ: Final = (
    *(kind for kind, _ in _ANSWERED),
    *(NAMESPACE, PERSISTENTVOLUME, STORAGECLASS, CSINODE, EVENT, SERVICEACCOUNT),
)
# Of these the names are enough, and what is in them is nobody's business here
NAMED: Final = (CONFIGMAP, SECRET)


def kind_of(word: str) -> Kind | None:
    """Returns the kind that a word names as kubectl reads it: `po`, `pods`, `deployment.apps`."""
    name, _, group = word.lower().partition(".")
    for kind in builtin.all():
        words = (kind.plural, kind.name.lower(), *kind.short_names)
        if name in words and kind.stored and group in ("", kind.group):
            return kind
    return None


def explain(objects: Objects, kind: Kind, namespace: str, name: str) -> Cause:
    """Returns why an object is not as wanted."""
    found = objects.get(kind, namespace, name)
    if found is None:
        return _of_nothing(objects, kind, namespace, name)
    of = _OF.get(kind.resource)
    if at(found, "metadata", "deletionTimestamp") and kind is not POD:
        return of_deletion(objects, kind, found)
    if of is None:
        finding = "is there; what would be the matter with one of its kind is not known here"
        return Cause(about(kind, name), finding, sound=True)
    return of(objects, found)


def _of_nothing(objects: Objects, kind: Kind, namespace: str, name: str) -> Cause:
    """Says that there is no such object, and which are like it."""
    there = [name_of(it) for it in objects.all(kind, namespace)]
    elsewhere = [namespace_of(it) for it in objects.all(kind) if name_of(it) == name]
    details = [f"the namespace {it} has one of this name" for it in elsewhere if it]
    details += [f"there is {about(kind, it)}" for it in get_close_matches(name, there)]
    where = f" in the namespace {namespace}" if kind.namespaced else ""
    return Cause(about(kind, name), f"does not exist{where}", details=tuple(details))
