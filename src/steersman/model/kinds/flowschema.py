"""FlowSchema: its view and its life in the API."""

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
from steersman.model.types.flow_check import check_schema, check_status
from steersman.model.types.metadata import check_metadata
from steersman.model.types.reference import LocalObjectReference
from steersman.model.view import Object, View


class FlowSchemaSpec(View, frozen=True):
    """Which requests go to which priority level; rules stay documents."""

    priority_level_configuration: LocalObjectReference = LocalObjectReference()
    matching_precedence: int = 1000
    distinguisher_method: Mapping[str, str] | None = None
    rules: tuple[Mapping[str, Any], ...] = ()


class FlowSchemaStatus(View, frozen=True):
    """What is known of it."""

    conditions: tuple[Condition, ...] = ()


class FlowSchema(Object, frozen=True):
    """flowcontrol.apiserver.k8s.io/v1 FlowSchema."""

    spec: FlowSchemaSpec = FlowSchemaSpec()
    status: FlowSchemaStatus = FlowSchemaStatus()


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    if not subresource:
        name = (new.get("metadata") or {}).get("name", "")
        yield from check_schema(new.get("spec") or {}, name)
    yield from check_status((new.get("status") or {}).get("conditions") or (), "status.conditions")


def _dangling(schema: Document, _now: float) -> str:
    conditions = at(schema, "status", "conditions") or ()
    found = (one.get("status", "") for one in conditions if one.get("type") == "Dangling")
    return next(found, "?")


_COLUMNS = (
    NAME,
    text("PriorityLevel", "spec", "priorityLevelConfiguration", "name"),
    Column("MatchingPrecedence", field("spec", "matchingPrecedence", default=0)),
    text("DistinguisherMethod", "spec", "distinguisherMethod", "type", default=NONE),
    AGE,
    Column("MissingPL", _dangling),
)

FLOWSCHEMA = Kind(
    group="flowcontrol.apiserver.k8s.io",
    name="FlowSchema",
    plural="flowschemas",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.flowcontrol.v1.FlowSchema"),),
    storage="v1",
    former=(
        removed(
            "flowcontrol.apiserver.k8s.io/v1beta3",
            "flowcontrol.v1beta3.FlowSchema",
            Life(29, 32, "flowcontrol.apiserver.k8s.io/v1"),
        ),
    ),
    columns=_COLUMNS,
    check=_check,
    view=FlowSchema,
    prepare=preparer(status={}),
    subresources=(STATUS_ALONE,),
    spec_fields=("spec",),
    complete=True,
)
