"""Printed columns of the kinds that have no file of their own, by plural.

Source: pkg/printers/internalversion/printers.go. A kind that is not here shows Name and Created At.
"""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model.kind import Column, Document
from steersman.model.kinds.printing import (
    AGE,
    NAME,
    at,
    text,
)


def _claim_state(claim: Document, _now: float) -> str:
    deleted = bool(at(claim, "metadata", "deletionTimestamp"))
    states = ["deleted"] if deleted else []
    if not at(claim, "status", "allocation"):
        return ",".join(states or ["pending"])
    reserved = ["reserved"] if at(claim, "status", "reservedFor") else []
    return ",".join([*states, "allocated", *reserved])


COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "deviceclasses": (NAME, AGE),
    "resourceclaims": (NAME, Column("State", _claim_state), AGE),
    "resourceclaimtemplates": (NAME, AGE),
    "resourceslices": (
        NAME,
        text("Node", "spec", "nodeName"),
        text("Driver", "spec", "driver"),
        text("Pool", "spec", "pool", "name"),
        AGE,
    ),
    "leasecandidates": (
        NAME,
        text("LeaseName", "spec", "leaseName"),
        text("BinaryVersion", "spec", "binaryVersion"),
        text("EmulationVersion", "spec", "emulationVersion"),
        AGE,
    ),
}
