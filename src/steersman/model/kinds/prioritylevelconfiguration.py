"""PriorityLevelConfiguration: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, NONE, at, field, text
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.removed import Life, removed
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

# In v1beta3 no shares meant the default, unless this said that none were meant
# (pkg/apis/flowcontrol/v1beta3/conversion.go)
_NONE_MEANT = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"
_SHARES = "nominalConcurrencyShares"


def _from_v1beta3(level: Document) -> Document:
    metadata = dict(level.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    meant = annotations.pop(_NONE_MEANT, None) is not None
    if meant:
        metadata.pop("annotations")
        metadata |= {"annotations": annotations} if annotations else {}
    limited = at(level, *_LIMITED)
    if meant or limited is None or limited.get(_SHARES) != 0:
        return {**level, "metadata": metadata}
    kept = {name: value for name, value in limited.items() if name != _SHARES}
    return {**level, "metadata": metadata, "spec": {**level["spec"], "limited": kept}}


def _to_v1beta3(level: Document) -> Document:
    if at(level, *_LIMITED, _SHARES) != 0:
        return level
    metadata = level["metadata"]
    annotations = {**(metadata.get("annotations") or {}), _NONE_MEANT: ""}
    return {**level, "metadata": {**metadata, "annotations": annotations}}


PRIORITYLEVELCONFIGURATION = Kind(
    group="flowcontrol.apiserver.k8s.io",
    name="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration"),),
    storage="v1",
    former=(
        removed(
            "flowcontrol.apiserver.k8s.io/v1beta3",
            "flowcontrol.v1beta3.PriorityLevelConfiguration",
            Life(29, 32, "flowcontrol.apiserver.k8s.io/v1"),
            _from_v1beta3,
            _to_v1beta3,
        ),
    ),
    columns=_COLUMNS,
    check=_check,
    view=PriorityLevelConfiguration,
    prepare=preparer(status={}),
    subresources=(STATUS_ALONE,),
    spec_fields=("spec",),
    complete=True,
)
