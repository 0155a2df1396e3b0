"""What must hold after every commit, whatever was lost or late.

Surge: never more active pods of a deployment than wanted plus maxSurge. Availability: no
controller deletes a pod such that fewer than the wanted minimum stay available, but where a
deployment is made smaller in the middle of a rollout: its sets shrink in proportion then, ready or
not (upstream's deploymentutil.GetReplicaSetProportion). Placement: no
node gets more than it has room for, no pod changes its node.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from steersman.model.kind import Document
from steersman.model.ref import Resource

PODS = Resource("", "pods")
SETS = Resource("apps", "replicasets")
DEPLOYMENTS = Resource("apps", "deployments")
Key = tuple[str, str]


class Broken(AssertionError):
    """An invariant does not hold."""


def scaled(amount: int | str, total: int, *, up: bool) -> int:
    """Returns a number or a percentage of a total, independently of the code under test."""
    if isinstance(amount, int):
        return amount
    share = float(amount.rstrip("%")) * total / 100
    return math.ceil(share) if up else math.floor(share)


def bounds(deployment: Document) -> tuple[int, int]:
    """Returns the most pods there may be and the fewest that must stay available."""
    spec = deployment["spec"]
    wanted = spec["replicas"]
    strategy = spec["strategy"]
    if strategy["type"] == "Recreate":
        return wanted, 0
    rolling = strategy["rollingUpdate"]
    surge = scaled(rolling["maxSurge"], wanted, up=True)
    missing = scaled(rolling["maxUnavailable"], wanted, up=False)
    if not surge and not missing:
        missing = 1
    return wanted + surge, wanted - missing


def shrinks(old: Document, new: Document) -> bool:
    """Says whether a deployment is made smaller."""
    return bool(new["spec"]["replicas"] < old["spec"]["replicas"])


def is_complete(deployment: Document) -> bool:
    """Says whether a deployment says that all of its pods are as wanted."""
    status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
    seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return bool(seen and status.get("updatedReplicas", 0) == status.get("replicas", 0) == wanted)


def is_active(pod: Document) -> bool:
    """Says whether a pod counts."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and not pod["metadata"].get("deletionTimestamp")


def is_ready(pod: Document) -> bool:
    """Says whether a pod is ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(it["type"] == "Ready" and it["status"] == "True" for it in conditions)


class Invariants:
    """Sees every commit and keeps what it needs to judge the next."""

    def __init__(self, pods_per_node: int) -> None:
        self.commits = 0
        self.disturbed = False  # a pod failed by itself: the minimum may be missed
        self._pods_per_node = pods_per_node
        self._objects: dict[Resource, dict[Key, Document]] = {
            PODS: {},
            SETS: {},
            DEPLOYMENTS: {},
        }
        # what was wanted since the deployment was last as wanted: while it moves from one size
        # to another, the larger surge and the smaller minimum count
        self._most: dict[Key, int] = {}
        self._least: dict[Key, int] = {}

    def see(self, resource: Resource, namespace: str, name: str, new: Document | None) -> None:
        """Judges one write."""
        self.commits += 1
        objects = self._objects.get(resource)
        if objects is None:
            return
        key = (namespace, name)
        old = objects.get(key)
        if new is None:
            objects.pop(key, None)
        else:
            objects[key] = new
        if resource == DEPLOYMENTS and new is not None:
            self._widen(key, new)
            if old is not None and shrinks(old, new) and not is_complete(old):
                self._least[key] = 0
        if resource == PODS:
            self._judge_pod(old, new)

    def settle(self) -> None:
        """Takes the present wishes as the only ones: everything has come to rest."""
        for key, deployment in self._objects[DEPLOYMENTS].items():
            self._most[key], self._least[key] = bounds(deployment)

    def _widen(self, key: Key, deployment: Document) -> None:
        most, least = bounds(deployment)
        self._most[key] = max(most, self._most.get(key, 0))
        # a deployment that begins has nothing that could stay available
        self._least[key] = min(least, self._least.get(key, 0))

    def _judge_pod(self, old: Document | None, new: Document | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        key = self._deployment_of(pod)
        if key is not None:
            self._judge_surge(key)
            deleted = old is not None and is_active(old) and (new is None or not is_active(new))
            if deleted and is_ready(old or {}) and not self.disturbed:
                self._judge_minimum(key)
        self._judge_placement(old, new)

    def _deployment_of(self, pod: Document) -> Key | None:
        namespace = pod["metadata"]["namespace"]
        for owner in pod["metadata"].get("ownerReferences") or ():
            found = self._objects[SETS].get((namespace, owner["name"]))
            for above in (found or {}).get("metadata", {}).get("ownerReferences") or ():
                if above["kind"] == "Deployment":
                    return namespace, above["name"]
        return None

    def pods_of(self, key: Key) -> list[Document]:
        """Returns the active pods of a deployment."""
        return [
            pod
            for pod in self._objects[PODS].values()
            if is_active(pod) and self._deployment_of(pod) == key
        ]

    def _judge_surge(self, key: Key) -> None:
        count = len(self.pods_of(key))
        if key in self._most and count > self._most[key]:
            raise Broken(f"{key}: {count} pods, at most {self._most[key]} may be")

    def _judge_minimum(self, key: Key) -> None:
        count = sum(map(is_ready, self.pods_of(key)))
        if key in self._least and count < self._least[key]:
            raise Broken(f"{key}: {count} pods left available, {self._least[key]} must be")

    def _judge_placement(self, old: Document | None, new: Document | None) -> None:
        if new is None:
            return
        before: Any = ((old or {}).get("spec") or {}).get("nodeName")
        after = new["spec"].get("nodeName")
        same = old is not None and old["metadata"]["uid"] == new["metadata"]["uid"]
        if same and before and before != after:
            raise Broken(f"{new['metadata']['name']} moved from {before} to {after}")
        if after and before != after:
            running = filter(is_active, self._objects[PODS].values())
            crowd = Counter(pod["spec"].get("nodeName") for pod in running)
            if crowd[after] > self._pods_per_node:
                raise Broken(f"{after} has {crowd[after]} pods, {self._pods_per_node} fit")
