"""Printed columns of the kinds that have no file of their own, by plural.

Source: pkg/printers/internalversion/printers.go. A kind that is not here shows Name and Created At.
"""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model.kind import Column, Document
from steersman.model.kinds.printing import (
    AGE,
    NAME,
    NONE,
    at,
    field,
    text,
)


def _dangling(schema: Document, _now: float) -> str:
    conditions = at(schema, "status", "conditions") or ()
    found = (one.get("status", "") for one in conditions if one.get("type") == "Dangling")
    return next(found, "?")


def _claim_state(claim: Document, _now: float) -> str:
    deleted = bool(at(claim, "metadata", "deletionTimestamp"))
    states = ["deleted"] if deleted else []
    if not at(claim, "status", "allocation"):
        return ",".join(states or ["pending"])
    reserved = ["reserved"] if at(claim, "status", "reservedFor") else []
    return ",".join([*states, "allocated", *reserved])


def _available(service: Document, _now: float) -> str:
    conditions = at(service, "status", "conditions") or ()
    for one in conditions:
        if one.get("type") == "Available":
            if one.get("status") == "True":
                return "True"
            return f"{one.get('status', '')} ({one.get('reason', '')})"
    return "Unknown"


def _api_service(service: Document, _now: float) -> str:
    target = at(service, "spec", "service")
    return f"{target.get('namespace', '')}/{target.get('name', '')}" if target else "Local"


def _migrated(migration: Document, _now: float) -> str:
    resource = at(migration, "spec", "resource") or {}
    return f"{resource.get('resource', '')}.{resource.get('group', '')}"


_LIMITED = ("spec", "limited")
_QUEUING = (*_LIMITED, "limitResponse", "queuing")

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "flowschemas": (
        NAME,
        text("PriorityLevel", "spec", "priorityLevelConfiguration", "name"),
        Column("MatchingPrecedence", field("spec", "matchingPrecedence", default=0)),
        text("DistinguisherMethod", "spec", "distinguisherMethod", "type", default=NONE),
        AGE,
        Column("MissingPL", _dangling),
    ),
    "prioritylevelconfigurations": (
        NAME,
        text("Type", "spec", "type"),
        Column(
            "NominalConcurrencyShares", field(*_LIMITED, "nominalConcurrencyShares", default=NONE)
        ),
        Column("Queues", field(*_QUEUING, "queues", default=NONE)),
        Column("HandSize", field(*_QUEUING, "handSize", default=NONE)),
        Column("QueueLengthLimit", field(*_QUEUING, "queueLengthLimit", default=NONE)),
        AGE,
    ),
    "apiservices": (
        NAME,
        Column("Service", _api_service),
        Column("Available", _available),
        AGE,
    ),
    "clustertrustbundles": (NAME, text("SignerName", "spec", "signerName", default=NONE)),
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
    "storageversionmigrations": (NAME, Column("Resource", _migrated)),
    "leasecandidates": (
        NAME,
        text("LeaseName", "spec", "leaseName"),
        text("BinaryVersion", "spec", "binaryVersion"),
        text("EmulationVersion", "spec", "emulationVersion"),
        AGE,
    ),
}
