"""What must hold of how objects end, after every commit: finalizers first, and a namespace after
all that is in it."""

from __future__ import annotations

from collections import defaultdict

from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.testing.invariants.rollouts import Broken

NAMESPACES = Resource("", "namespaces")
# Written about what happened, also while a namespace ends
EVENTS = frozenset((Resource("", "events"), Resource("events.k8s.io", "events")))


class Lifetimes:
    """Sees every commit and keeps what it needs to judge the next."""

    def __init__(self) -> None:
        self._last: dict[tuple[Resource, str, str], Document] = {}
        self._by_uid: dict[str, Document] = {}
        self._in: dict[str, set[tuple[Resource, str]]] = defaultdict(set)

    def get(self, resource: Resource, namespace: str, name: str) -> Document | None:
        """Returns an object as it was written last, None where there is none."""
        return self._last.get((resource, namespace, name))

    def living_owners(self, document: Document) -> list[str]:
        """Returns the names of an object's owners that are there and are not being deleted."""
        owners = document["metadata"].get("ownerReferences") or ()
        found = [self._by_uid.get(owner["uid"]) for owner in owners]
        there = [it["metadata"] for it in found if it is not None]
        return [str(it["name"]) for it in there if not it.get("deletionTimestamp")]

    def see(self, resource: Resource, namespace: str, name: str, new: Document | None) -> None:
        """Judges one write."""
        if new is not None:
            self._last[resource, namespace, name] = new
            self._by_uid[new["metadata"].get("uid", "")] = new
            if namespace and resource not in EVENTS:
                self._in[namespace].add((resource, name))
            return
        old = self._last.pop((resource, namespace, name), None)
        self._in[namespace].discard((resource, name))
        metadata = (old or {}).get("metadata") or {}
        self._by_uid.pop(metadata.get("uid", ""), None)
        if metadata.get("finalizers") and not metadata.get("deletionTimestamp"):
            raise Broken(f"{resource} {namespace}/{name} went before {metadata['finalizers']}")
        if resource == NAMESPACES and (left := self._in.pop(name, None)):
            raise Broken(f"the namespace {name} went before {sorted(left)[0]}")
