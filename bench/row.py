"""One line of the table of benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """What was measured, in words, what is to be reached, processor time, and the raw figures."""

    what: str
    measured: str
    wanted: str
    cpu: str = ""
    raw: Any = None

    def __str__(self) -> str:
        reach = f" (to reach: {self.wanted})" if self.wanted else ""
        used = f", processor {self.cpu}" if self.cpu else ""
        return f"{self.what}: {self.measured}{reach}{used}"
