"""How much swap a container may use: the kubelet's memorySwap.swapBehavior (KEP-2400), pure.

Follows kuberuntime's swapConfigurationHelper. Version 1 of control groups counts memory and swap
together and has no share to give: nobody gets any there, nor on machines without accounting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.model.quantity import parse
from steersman.model.types.container import Container

Behavior = Literal["NoSwap", "LimitedSwap"]
FILE: Final = "memory.swap.max"
# scheduling.SystemCriticalPriority
CRITICAL_PRIORITY: Final = 2_000_000_000


class Swap(msgspec.Struct, frozen=True):
    """What the machine has, and what pods get of it. `counted` says that groups count swap by
    itself (version 2)."""

    behavior: Behavior = "NoSwap"
    counted: bool = False
    memory_bytes: int = 0
    swap_bytes: int = 0


NO_SWAP: Final = Swap()


def is_given(pod: Pod, container: Container, quality: str, swap: Swap) -> bool:
    """Whether a container may use some: one of a Burstable pod that asks for memory, and not for
    as much as it may have (GetContainerSwapBehavior)."""
    if swap.behavior != "LimitedSwap" or not swap.counted or quality != "Burstable":
        return False
    if (pod.spec.priority or 0) >= CRITICAL_PRIORITY:
        return False
    asked = _memory(container.resources.requests)
    return bool(asked) and asked != _memory(container.resources.limits)


def limit_of(container: Container, swap: Swap) -> int:
    """Returns its share: that of its request of the memory of the machine
    (calcSwapForBurstablePods)."""
    asked = _memory(container.resources.requests)
    if not 0 < asked <= swap.memory_bytes:
        return 0
    return int(asked / swap.memory_bytes * swap.swap_bytes)


def _memory(amounts: Mapping[str, str]) -> int:
    return parse(amounts.get("memory", "0")).value()
