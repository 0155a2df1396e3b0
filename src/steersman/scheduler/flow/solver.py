"""The one place that knows OR-Tools; loaded with the first batch. Deterministic.

See record 21: an extra, `steersman[flow]`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

from steersman.scheduler.flow.problem import FIRST, SINK, Problem

MODULE: Final = "ortools.graph.python.min_cost_flow"
NOT_INSTALLED: Final = (
    "the scheduler flow needs OR-Tools, which is not installed: pip install 'steersman[flow]'"
)


class NotInstalled(Exception):
    """OR-Tools cannot be loaded."""


class NotSolved(Exception):
    """The solver gave no optimum; the text is its status."""


def load() -> Any:
    """Returns OR-Tools' module; raises NotInstalled."""
    try:
        return importlib.import_module(MODULE)
    except ImportError as error:
        raise NotInstalled(NOT_INSTALLED) from error


def solve(problem: Problem) -> Sequence[tuple[int, int, int]]:
    """Returns how many pods of which class go to which group, all at the least cost."""
    solver = load().SimpleMinCostFlow()
    for index, supply in enumerate(problem.supplies):
        solver.set_node_supply(FIRST + index, supply)
    solver.set_node_supply(SINK, -sum(problem.supplies))
    for arc in problem.arcs:
        solver.add_arc_with_capacity_and_unit_cost(arc.tail, arc.head, arc.capacity, arc.cost)
    status = solver.solve()
    if status != solver.OPTIMAL:
        raise NotSolved(str(status))
    found: dict[tuple[int, int], int] = {}
    for number, arc in enumerate(problem.arcs):
        if arc.group >= 0 and (flow := solver.flow(number)):
            key = (arc.tail - FIRST, arc.group)
            found[key] = found.get(key, 0) + flow
    return [(index, group, flow) for (index, group), flow in found.items()]
