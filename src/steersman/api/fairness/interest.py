"""Which watches a write will be told to: counted as they come and go.

Follows apiserver's util/flowcontrol/watch_tracker.go. Selectors are not looked at, but for the one
by which many nodes watch pods: each is told of its own alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from steersman.api.access.authorization import Attributes


class Interest:
    """Watches by what they are about: a kind, a namespace of it, one object."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str, str]] = Counter()
        self._totals: Counter[tuple[str, str]] = Counter()

    def add(self, asked: Attributes) -> Callable[[], None]:
        """Counts a watch; returns what to call when it has ended."""
        if asked.resource == "pods" and asked.selected("spec.nodeName"):
            return _nothing
        kind = (asked.group, asked.resource)
        key = (*kind, asked.namespace, asked.object_name)
        self._counts[key] += 1
        self._totals[kind] += 1

        def leave() -> None:
            self._counts[key] -= 1
            self._totals[kind] -= 1
            if not self._counts[key]:
                del self._counts[key]

        return leave

    def of(self, asked: Attributes) -> int:
        """Returns how many watches are told of a write."""
        group, resource = asked.group, asked.resource
        if not self._totals[group, resource]:
            return 0
        counts = self._counts
        found = counts[group, resource, "", ""]
        if asked.namespace:
            found += counts[group, resource, asked.namespace, ""]
        if asked.name:
            found += counts[group, resource, asked.namespace, asked.name]
        return found


def _nothing() -> None:
    """A watch that was not counted has ended."""
