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
        self._in: dict[str, set[tuple[Resource, str]]] = defaultdict(set)

    def see(self, resource: Resource, namespace: str, name: str, new: Document | None) -> None:
        """Judges one write."""
        if new is not None:
            self._last[resource, namespace, name] = new
            if namespace and resource not in EVENTS:
                self._in[namespace].add((resource, name))
            return
        old = self._last.pop((resource, namespace, name), None)
        self._in[namespace].discard((resource, name))
        metadata = (old or {}).get("metadata") or {}
        if metadata.get("finalizers") and not metadata.get("deletionTimestamp"):
            raise Broken(f"{resource} {namespace}/{name} went before {metadata['finalizers']}")
        if resource == NAMESPACES and (left := self._in.pop(name, None)):
            raise Broken(f"the namespace {name} went before {sorted(left)[0]}")
