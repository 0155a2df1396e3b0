"""What must hold of a cluster's state at one revision; pure, over documents.

Each rule sees all that was read and yields what is wrong, with the object. A controller that has
not seen the newest spec yet breaks nothing: then its bounds are not judged.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from steersman.client.client import path_of
from steersman.model import builtin, quantity
from steersman.model.kind import Document, Kind
from steersman.model.ref import Resource
from steersman.model.selectors import of_document
from steersman.testing.invariants.rollouts import bounds, is_active, is_ready, scaled

PODS = Resource("", "pods")
NAMESPACES = Resource("", "namespaces")  # held by the finalizers of their spec
NODES = Resource("", "nodes")
DEPLOYMENTS = Resource("apps", "deployments")
REPLICASETS = Resource("apps", "replicasets")
STATEFULSETS = Resource("apps", "statefulsets")
JOBS = Resource("batch", "jobs")
BUDGETS = Resource("policy", "poddisruptionbudgets")
# Read whole; of everything else the metadata
WHOLE = (PODS, NODES, DEPLOYMENTS, REPLICASETS, STATEFULSETS, JOBS, BUDGETS)
INDEX = "batch.kubernetes.io/job-completion-index"


class Violation(msgspec.Struct, frozen=True):
    """One rule that does not hold for one object."""

    path: str
    rule: str
    message: str


class State:
    """The documents of a cluster by resource, all of one revision."""

    def __init__(self, found: Mapping[Resource, Sequence[Document]]) -> None:
        self._found = found

    def all(self, resource: Resource) -> Sequence[Document]:
        """Returns the objects of a resource."""
        return self._found.get(resource, ())

    @property
    def resources(self) -> Iterable[Resource]:
        """What was read."""
        return self._found.keys()

    @cached_property
    def active_pods(self) -> Sequence[Document]:
        """The pods that have neither ended nor are being deleted."""
        return [pod for pod in self.all(PODS) if is_active(pod)]

    @cached_property
    def pods_of(self) -> Mapping[str, Sequence[Document]]:
        """The active pods by the uid of who controls them."""
        found = defaultdict(list)
        for pod in self.active_pods:
            found[controller(pod)].append(pod)
        return found

    @cached_property
    def by_uid(self) -> Mapping[str, Document]:
        """Every object that was read by its uid."""
        return {
            document["metadata"]["uid"]: document
            for documents in self._found.values()
            for document in documents
        }


def controller(document: Document) -> str:
    """Returns the uid of who controls an object, empty where nobody does."""
    owners = document["metadata"].get("ownerReferences") or ()
    return next((str(it["uid"]) for it in owners if it.get("controller")), "")


def is_seen(document: Document) -> bool:
    """Says whether its controller has seen the newest spec."""
    seen = (document.get("status") or {}).get("observedGeneration")
    return bool(seen == document["metadata"].get("generation"))


def place(resource: Resource, document: Document) -> str:
    """Returns the path of an object."""
    kind = builtin.registry().of(resource)
    assert kind is not None
    metadata = document["metadata"]
    return path_of(kind, metadata.get("namespace") or "", metadata["name"])


def check(state: State) -> list[Violation]:
    """Returns everything that does not hold."""
    return [
        Violation(place(resource, document), rule, message)
        for rule, (resource, find) in RULES.items()
        for document, message in find(state)
    ] + list(_check_lives(state))


Found = Iterator[tuple[Document, str]]


def _ordinals(state: State) -> Found:
    """No ordinal of a stateful set is there twice."""
    for one in state.all(STATEFULSETS):
        names = [pod["metadata"]["name"] for pod in state.pods_of.get(one["metadata"]["uid"], ())]
        count = Counter(name.rpartition("-")[2] for name in names)
        if twice := sorted(ordinal for ordinal, times in count.items() if times > 1):
            yield one, f"ordinals {', '.join(twice)} are there more than once: {sorted(names)}"


def _surge(state: State) -> Found:
    """Never more pods of a deployment than wanted and surge."""
    for one in filter(is_seen, state.all(DEPLOYMENTS)):
        most, _ = bounds(one)
        own = one["metadata"]["uid"]
        sets = [it for it in state.all(REPLICASETS) if controller(it) == own]
        if not all(map(is_seen, sets)):
            continue
        count = sum(len(state.pods_of.get(it["metadata"]["uid"], ())) for it in sets)
        if count > most:
            yield one, f"{count} pods are active, at most {most} may be"


def _jobs(state: State) -> Found:
    """Never more pods of a job at once than may be, and no index twice."""
    for one in state.all(JOBS):
        pods = state.pods_of.get(one["metadata"]["uid"], ())
        most = one["spec"].get("parallelism", 1)
        if len(pods) > most and not one["spec"].get("suspend"):
            yield one, f"{len(pods)} pods are active, at most {most} may be"
        marks = [it["metadata"].get("annotations") or {} for it in pods]
        indexes = Counter(str(it[INDEX]) for it in marks if INDEX in it)
        if twice := sorted(index for index, times in indexes.items() if times > 1):
            yield one, f"indexes {', '.join(twice)} run more than once"


def _budgets(state: State) -> Found:
    """No budget lets more pods go than there are to spare."""
    for one in filter(is_seen, state.all(BUDGETS)):
        status = one.get("status") or {}
        allowed = status.get("disruptionsAllowed", 0)
        namespace = one["metadata"]["namespace"]
        selector = of_document(one["spec"].get("selector"))
        healthy = sum(
            is_ready(pod)
            for pod in state.active_pods
            if pod["metadata"]["namespace"] == namespace
            and selector(pod["metadata"].get("labels") or {})
        )
        least = status.get("desiredHealthy", 0)
        least = max(least, _least(one["spec"].get("minAvailable"), status))
        if allowed > 0 and healthy - allowed < least:
            yield one, f"{allowed} of {healthy} healthy pods may go, {least} must stay"


def _least(amount: Any, status: Document) -> int:
    """Returns how many pods a budget wants; a share counts of those that are expected."""
    return 0 if amount is None else scaled(amount, status.get("expectedPods", 0), up=True)


def _nodes(state: State) -> Found:
    """No node has more pods than it has room for."""
    there: dict[str, list[Document]] = defaultdict(list)
    for pod in state.active_pods:
        there[pod["spec"].get("nodeName") or ""].append(pod)
    for node in state.all(NODES):
        pods = there.get(node["metadata"]["name"], ())
        room = (node.get("status") or {}).get("allocatable") or {}
        used: dict[str, quantity.Quantity] = {"pods": quantity.parse(len(pods))}
        for pod in pods:
            for name, amount in requests(pod).items():
                used[name] = used[name] + amount if name in used else amount
        for name in sorted(used.keys() & room.keys()):
            if used[name].milli() > quantity.parse(room[name]).milli():
                yield node, f"{len(pods)} pods ask for {used[name]} of {name}, it has {room[name]}"


def requests(pod: Document) -> dict[str, quantity.Quantity]:
    """Returns what a pod asks a node for: its containers and sidecars together, or the largest
    init container with the sidecars before it, and the overhead."""
    spec = pod["spec"]
    total: dict[str, quantity.Quantity] = {}
    most: dict[str, quantity.Quantity] = {}
    for one in spec.get("initContainers") or ():
        if one.get("restartPolicy") == "Always":
            total = _sum(total, _asks(one))
            most = _larger(most, total)
        else:
            most = _larger(most, _sum(total, _asks(one)))
    for one in spec.get("containers") or ():
        total = _sum(total, _asks(one))
    whole = {**_larger(total, most), **_asks(spec)}
    return _sum(whole, {k: quantity.parse(v) for k, v in (spec.get("overhead") or {}).items()})


def _asks(one: Document) -> dict[str, quantity.Quantity]:
    asked = (one.get("resources") or {}).get("requests") or {}
    return {name: quantity.parse(amount) for name, amount in asked.items()}


def _sum(
    one: Mapping[str, quantity.Quantity], other: Mapping[str, quantity.Quantity]
) -> dict[str, quantity.Quantity]:
    both = {name: one[name] + other[name] for name in one.keys() & other.keys()}
    return {**one, **other, **both}


def _larger(
    one: Mapping[str, quantity.Quantity], other: Mapping[str, quantity.Quantity]
) -> dict[str, quantity.Quantity]:
    both = {
        name: max(one[name], other[name], key=lambda it: it.milli())
        for name in one.keys() & other.keys()
    }
    return {**one, **other, **both}


RULES: Mapping[str, tuple[Resource, Callable[[State], Found]]] = {
    "ordinal-twice": (STATEFULSETS, _ordinals),
    "surge": (DEPLOYMENTS, _surge),
    "parallelism": (JOBS, _jobs),
    "budget": (BUDGETS, _budgets),
    "overcommitted": (NODES, _nodes),
}


def _check_lives(state: State) -> Iterator[Violation]:
    """Nothing outlives its finalizers, nor its owners."""
    kinds: dict[tuple[str, str], Kind] = {
        (kind.group, kind.name): kind for kind in builtin.all() if kind.resource in state.resources
    }
    for resource in state.resources:
        for document in state.all(resource):
            if resource != NAMESPACES and (why := _overdue(document)):
                yield Violation(place(resource, document), "finalizers-first", why)
            if why := _orphaned(document, state, kinds):
                yield Violation(place(resource, document), "owner-gone", why)


def _overdue(document: Document) -> str:
    metadata = document["metadata"]
    deleted = metadata.get("deletionTimestamp")
    held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
    if not deleted or held:
        return ""
    return f"was deleted at {deleted}, has no finalizer, and is still there"


def _orphaned(document: Document, state: State, kinds: Mapping[tuple[str, str], Kind]) -> str:
    """Says which owners are gone; owners of kinds that were not read may be anywhere."""
    metadata = document["metadata"]
    owners = metadata.get("ownerReferences") or ()
    if not owners or metadata.get("deletionTimestamp"):
        return ""
    for owner in owners:
        group = owner["apiVersion"].rpartition("/")[0]
        if (group, owner["kind"]) not in kinds or owner["uid"] in state.by_uid:
            return ""
    names = ", ".join(f"{it['kind']}/{it['name']}" for it in owners)
    return f"its owners are gone: {names}"
