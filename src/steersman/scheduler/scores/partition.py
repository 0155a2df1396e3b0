"""A score of all fitting nodes at once: a number and the nodes that have it."""

from __future__ import annotations

from steersman.scheduler.state.bits import Bits

Part = tuple[int, Bits]
