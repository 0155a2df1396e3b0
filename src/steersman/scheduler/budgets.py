"""The disruption budgets of the cluster, understood once for each change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steersman.client.interface import Views
from steersman.model.kinds.poddisruptionbudget import PODDISRUPTIONBUDGET, PodDisruptionBudget
from steersman.scheduler.preemption import Budget
from steersman.scheduler.state.neighbours import selector_of


def budget_of(found: PodDisruptionBudget) -> Budget:
    """Returns what preemption needs of a budget."""
    status = found.status
    return Budget(
        found.metadata.namespace,
        selector_of(found.spec.selector),
        status.disruptions_allowed,
        frozenset(status.disrupted_pods),
    )


class Budgets:
    """All budgets; the same sequence until one changes."""

    def __init__(self, views: Views) -> None:
        self._view = views.of(PODDISRUPTIONBUDGET)
        self._view.listen(self._hear)
        self._known: Sequence[Budget] | None = None

    def _hear(self, _old: Any | None, _new: Any | None) -> None:
        self._known = None

    def all(self) -> Sequence[Budget]:
        """Returns the budgets, by namespace and name."""
        if self._known is None:
            found = sorted(self._view.list(), key=lambda it: it.key)
            self._known = [budget_of(it) for it in found]
        return self._known
