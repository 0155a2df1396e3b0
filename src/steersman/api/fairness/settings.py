"""What this server was told of how many requests it serves at once."""

from __future__ import annotations

import msgspec


class FlowSettings(msgspec.Struct, frozen=True):
    """The bounds of requests that read and that change something; with fairness their sum counts,
    without it each of them, and 0 is none."""

    reads: int = 400
    writes: int = 200
    fair: bool = True
