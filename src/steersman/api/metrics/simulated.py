"""What pods of simulated nodes are said to use: nothing runs there, so somebody must say it.

The annotations `steersman.dev/cpu-usage` and `steersman.dev/memory-usage` of a pod hold an amount
for each of its containers (`250m`), or amounts by container (`web=250m,log=10m`). Without them a
container uses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from steersman.model.quantity import QuantityError, parse

CPU: Final = "steersman.dev/cpu-usage"
MEMORY: Final = "steersman.dev/memory-usage"


def use(annotations: Mapping[str, str], container: str) -> tuple[int, int]:
    """Returns billionths of a processor and bytes; what cannot be read counts as nothing."""
    return _nanos(annotations.get(CPU, ""), container), _nanos(
        annotations.get(MEMORY, ""), container
    ) // 10**9


def _nanos(text: str, container: str) -> int:
    amount = text
    if "=" in text:
        pairs = (part.partition("=") for part in text.split(","))
        amount = next((found for name, _, found in pairs if name.strip() == container), "")
    try:
        return max(0, parse(amount.strip()).nanos) if amount else 0
    except QuantityError:
        return 0
