"""Printed columns of the kinds that have no file of their own, by plural.

Source: pkg/printers/internalversion/printers.go. A kind that is not here shows Name and Created At.
"""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model.kind import Column
from steersman.model.kinds.printing import (
    AGE,
    NAME,
    text,
)

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "leasecandidates": (
        NAME,
        text("LeaseName", "spec", "leaseName"),
        text("BinaryVersion", "spec", "binaryVersion"),
        text("EmulationVersion", "spec", "emulationVersion"),
        AGE,
    ),
}
