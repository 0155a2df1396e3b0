"""A pod that the node does not take: what is observed of it."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from steersman.node.observed import Observed

# What the status says before the message; the event does not
REJECTED: Final = "Pod was rejected: "


def refused(seen: Observed, reason: str, message: str) -> Observed:
    """Returns what is observed of a pod that the node does not take (kubelet.go, rejectPod)."""
    return replace(seen, ended=(reason, f"{REJECTED}{message}"), unplaced=False)


def is_refused(seen: Observed) -> bool:
    """Whether the node has not taken a pod, of whose containers there is nothing to tell then."""
    return seen.ended is not None and seen.ended[1].startswith(REJECTED)
