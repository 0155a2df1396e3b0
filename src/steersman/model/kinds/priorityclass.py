"""PriorityClass: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from steersman.model.causes import forbidden, immutable, one_of
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, field, number, text
from steersman.model.removed import Life, removed
from steersman.model.types.metadata import check_metadata
from steersman.model.types.podspec_check import PREEMPTION_POLICIES
from steersman.model.view import Object


class PriorityClass(Object, frozen=True):
    """scheduling.k8s.io/v1 PriorityClass."""

    value: int = 0
    global_default: bool = False
    description: str = ""
    preemption_policy: str = "PreemptLowerPriority"


HIGHEST_USER_PRIORITY: Final = 1_000_000_000
SYSTEM_CRITICAL: Final = 2 * HIGHEST_USER_PRIORITY  # scheduling.SystemCriticalPriority
_SYSTEM_PREFIX: Final = "system-"
_SYSTEM_CLASSES: Final[Mapping[str, int]] = {
    "system-node-critical": SYSTEM_CRITICAL + 1000,
    "system-cluster-critical": SYSTEM_CRITICAL,
}
_RESERVED: Final = (
    f"priority class names with '{_SYSTEM_PREFIX}' prefix are reserved for system use only. error: "
)


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    if old is not None:
        if new.get("value", 0) != old.get("value", 0):
            yield forbidden("value", "may not be changed in an update.")
        policies = (document.get("preemptionPolicy") for document in (new, old))
        yield from immutable("preemptionPolicy", *policies)
        return
    name, value = (new.get("metadata") or {}).get("name", ""), new.get("value", 0)
    if name.startswith(_SYSTEM_PREFIX):
        if wrong := _unlike_system_class(name, value, bool(new.get("globalDefault"))):
            yield forbidden("metadata.name", _RESERVED + wrong)
    elif value > HIGHEST_USER_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        yield forbidden("value", detail)
    policy = new.get("preemptionPolicy")
    if policy is not None:
        yield from one_of("preemptionPolicy", policy, PREEMPTION_POLICIES)


def _unlike_system_class(name: str, value: int, default: bool) -> str:
    wanted = _SYSTEM_CLASSES.get(name)
    if wanted is None:
        return f"{name} is not a known system priority class"
    if value != wanted:
        return f"value of {name} PriorityClass must be {wanted}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""


_COLUMNS = (
    NAME,
    number("Value", "value"),
    Column("Global-Default", field("globalDefault", default=False), type="boolean"),
    AGE,
    text("PreemptionPolicy", "preemptionPolicy"),
)

PRIORITYCLASS = Kind(
    group="scheduling.k8s.io",
    name="PriorityClass",
    plural="priorityclasses",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.scheduling.v1.PriorityClass"),),
    storage="v1",
    former=(
        removed(
            "scheduling.k8s.io/v1beta1",
            "scheduling.v1beta1.PriorityClass",
            Life(14, 22, "scheduling.k8s.io/v1"),
        ),
    ),
    short_names=("pc",),
    columns=_COLUMNS,
    check=_check,
    view=PriorityClass,
    spec_fields=("value",),
    complete=True,
)
