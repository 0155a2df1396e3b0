"""The sum of what the objects of one resource type use of one quota, kept by their changes.

The server admits by it and the controller reports it. It holds what each object adds, so that a
change costs the same however many there are.
"""

from __future__ import annotations

from typing import Any

from steersman.model.kinds.resourcequota import ResourceQuotaSpec
from steersman.model.quantity import Quantity
from steersman.model.quota.around import ALONE, Around
from steersman.model.quota.measure import Measure
from steersman.model.types.resources import ZERO, Amounts, add


class Tally:
    """See the module; `names` are the bounds that it sums up."""

    def __init__(self, spec: ResourceQuotaSpec, measure: Measure, around: Around = ALONE) -> None:
        self.names = frozenset(measure.bounded(spec.hard))
        self._spec = spec
        self._measure = measure
        self._around = around
        self._total: Amounts = dict.fromkeys(self.names, ZERO)
        self._each: dict[str, Amounts] = {}
        self._ending: dict[str, tuple[float, Any]] = {}

    def weigh(self, found: Any) -> Amounts:
        """Returns what an object uses of the quota, nothing where it is out of its scopes."""
        if not self._measure.covers(self._spec, found):
            return {}
        used = self._measure.usage(found, self._around)
        return {name: amount for name, amount in used.items() if name in self.names}

    def put(self, name: str, found: Any | None) -> None:
        """Takes in how an object is now; None where it is gone."""
        self._ending.pop(name, None)
        if found is None:
            self._set(name, {})
            return
        self._set(name, self.weigh(found))
        if (end := self._measure.ends_at(found)) is not None:
            self._ending[name] = (end, found)

    def used(self, now: float) -> Amounts:
        """Returns the sums; what has come to its end by now no longer counts."""
        for name, (end, _) in list(self._ending.items()):
            if now > end:
                del self._ending[name]
                self._set(name, {key: one for key, one in self._each[name].items() if _stays(key)})
        return self._total

    def changes_at(self) -> float | None:
        """Returns when the sums change next without any object changing."""
        return min((end for end, _ in self._ending.values()), default=None)

    def _set(self, name: str, used: Amounts) -> None:
        before = self._each.pop(name, {})
        add(self._total, {key: -amount for key, amount in before.items()})
        add(self._total, used)
        if used:
            self._each[name] = used


def _stays(name: str) -> bool:
    """Says whether a bound counts objects as long as they are stored."""
    return name.startswith("count/")


def excess(used: Amounts, more: Amounts, hard: dict[str, Quantity]) -> list[str]:
    """Returns which bounds would not hold with more."""
    return sorted(name for name, one in more.items() if used.get(name, ZERO) + one > hard[name])
