"""What a filter is, and how it says no."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from steersman.scheduler.state.demand import Demand
from steersman.scheduler.state.node import NodeState


class Refusal(msgspec.Struct, frozen=True):
    """Why a node is out of the question, and by which plugin; `final` where removing pods from
    the node could not help."""

    plugin: str
    reasons: tuple[str, ...]
    final: bool = True


# None where the pod may run on the node as far as this filter is concerned
Filter = Callable[[Demand, NodeState], Refusal | None]
