"""PriorityLevelConfiguration: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, NONE, field, text
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.types.condition import Condition
from steersman.model.types.flow_check import check_level, check_status
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class PriorityLevelSpec(View, frozen=True):
    """How many requests of the level run at once, and what happens to the others."""

    type: str = ""
    limited: Mapping[str, Any] | None = None
    exempt: Mapping[str, Any] | None = None


class PriorityLevelStatus(View, frozen=True):
    """What is known of it."""

    conditions: tuple[Condition, ...] = ()


class PriorityLevelConfiguration(Object, frozen=True):
    """flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration."""

    spec: PriorityLevelSpec = PriorityLevelSpec()
    status: PriorityLevelStatus = PriorityLevelStatus()


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    if not subresource:
        name = (new.get("metadata") or {}).get("name", "")
        yield from check_level(new.get("spec") or {}, name)
    yield from check_status((new.get("status") or {}).get("conditions") or (), "status.conditions")


_LIMITED = ("spec", "limited")
_QUEUING = (*_LIMITED, "limitResponse", "queuing")

_COLUMNS = (
    NAME,
    text("Type", "spec", "type"),
    Column("NominalConcurrencyShares", field(*_LIMITED, "nominalConcurrencyShares", default=NONE)),
    Column("Queues", field(*_QUEUING, "queues", default=NONE)),
    Column("HandSize", field(*_QUEUING, "handSize", default=NONE)),
    Column("QueueLengthLimit", field(*_QUEUING, "queueLengthLimit", default=NONE)),
    AGE,
)

PRIORITYLEVELCONFIGURATION = Kind(
    group="flowcontrol.apiserver.k8s.io",
    name="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration"),),
    storage="v1",
    columns=_COLUMNS,
    check=_check,
    view=PriorityLevelConfiguration,
    prepare=preparer(status={}),
    subresources=(STATUS_ALONE,),
    spec_fields=("spec",),
    complete=True,
)
