"""StatefulSet: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Raw

from steersman.model import names
from steersman.model.causes import (
    each,
    forbidden,
    invalid,
    not_negative,
    not_supported,
    required,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.former_workloads import in_apps
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, containers, ready_of
from steersman.model.kinds.subresources import SCALE, STATUS
from steersman.model.types import workload_check
from steersman.model.types.claim_check import check_claim
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.types.podspec_check import (
    check_restarting_template,
    check_template,
    check_template_metadata,
)
from steersman.model.types.selector import LabelSelector, compiled
from steersman.model.types.warnings import workload
from steersman.model.view import Object, View


class RollingUpdate(View, frozen=True):
    """Bounds of a rolling update."""

    partition: int = 0
    max_unavailable: int | str | None = None


class UpdateStrategy(View, frozen=True):
    """How pods are replaced: OnDelete or RollingUpdate."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class RetentionPolicy(View, frozen=True):
    """What happens to claims: Retain or Delete."""

    when_deleted: str = "Retain"
    when_scaled: str = "Retain"


class Ordinals(View, frozen=True):
    """Where the numbering starts."""

    start: int = 0


class StatefulSetSpec(View, frozen=True):
    """What a stateful set shall be; templates stay raw."""

    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    template: Raw = Raw(b"{}")
    volume_claim_templates: tuple[Mapping[str, Any], ...] = ()
    service_name: str = ""
    pod_management_policy: str = "OrderedReady"
    update_strategy: UpdateStrategy = UpdateStrategy()
    revision_history_limit: int = 10
    min_ready_seconds: int = 0
    persistent_volume_claim_retention_policy: RetentionPolicy = RetentionPolicy()
    ordinals: Ordinals | None = None


class StatefulSetStatus(View, frozen=True):
    """What is known of a stateful set."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()


class StatefulSet(Object, frozen=True):
    """apps/v1 StatefulSet."""

    spec: StatefulSetSpec = StatefulSetSpec()
    status: StatefulSetStatus = StatefulSetStatus()


_COLUMNS = (NAME, ready_of(), AGE, *containers("spec", "template"))

_COUNTS = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
_BOUNDED = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
_RETENTION = "persistentVolumeClaimRetentionPolicy"
_RETAINED = ("whenDeleted", "whenScaled")
_RETENTIONS = ("Retain", "Delete")
_CLAIMS = "volumeClaimTemplates"
_SAID = ("apiVersion", "kind", "status")
_BOUNDS: Mapping[str, Any] = {"partition": 0, "maxUnavailable": None}  # as Go prints them
_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_FORBIDDEN = (
    "updates to statefulset spec for fields other than "
    + ", ".join(f"'{name}'" for name in _CHANGEABLE[:-1])
    + f" and '{_CHANGEABLE[-1]}' are forbidden"
)


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, name=names.dns1123_label)
    if subresource == "status":
        status, ready = new.get("status") or {}, "status.readyReplicas"
        counts = (*_COUNTS, "observedGeneration", "collisionCount")
        yield from workload_check.check_counts(status, counts, _BOUNDED, ready)
        yield from workload_check.check_collisions(new, old)
        return
    spec = new.get("spec") or {}
    if old is None:
        yield from _check_spec(spec, None)
        return
    before = old.get("spec") or {}
    # what was no good before stays as it is: its pods could not be made
    sound = not any(_check_spec(before, before))
    yield from _check_spec(spec, before, sound=sound)
    if _fixed(spec) != _fixed(before):
        yield forbidden("spec", _FORBIDDEN)


def _fixed(spec: Document) -> Document:
    """Returns what of a spec cannot change; of claims it does not matter whether they say what
    they are."""
    fixed = {key: value for key, value in spec.items() if key not in _CHANGEABLE and value}
    claims = fixed.get(_CLAIMS) or ()
    bare = [{key: it for key, it in one.items() if key not in _SAID} for one in claims]
    return {**fixed, _CLAIMS: bare}


def _check_spec(spec: Document, before: Document | None, *, sound: bool = True) -> Iterator[Cause]:
    """Yields what is wrong with a spec; what cannot change is checked where there was none
    before, the template where the one before was `sound`."""
    yield from _check_policies(spec)
    if before is None:
        for index, claim in enumerate(spec.get(_CLAIMS) or ()):
            yield from check_claim(claim.get("spec") or {}, f"spec.{_CLAIMS}[{index}].spec")
    yield from workload_check.check_numbers(spec, "replicas", "minReadySeconds")
    start = (spec.get("ordinals") or {}).get("start")
    yield from not_negative("spec.ordinals.start", start)
    if before is None and (service := spec.get("serviceName")):
        yield from each("spec.serviceName", service, names.dns1123_label(service))
    yield from workload_check.check_selection(spec, "empty selector is invalid for statefulset")
    template = spec.get("template") or {}
    if compiled(spec.get("selector")) is None:
        yield invalid("spec.selector", spec.get("selector"), "")
    else:
        yield from workload_check.check_matching(spec)
        if sound:
            old = (before or {}).get("template")
            yield from check_template(_with_claims(template, spec), "spec.template", old)
        else:
            yield from check_template_metadata(template, "spec.template")
    yield from check_restarting_template(template, "spec.template", "StatefulSet")


def _with_claims(template: Document, spec: Document) -> Document:
    """Returns the template as its pods will have it: with the volumes of its claims, which its
    containers mount by name."""
    pod = template.get("spec") or {}
    volumes = list(pod.get("volumes") or ())
    present = {volume.get("name") for volume in volumes}
    for claim in spec.get(_CLAIMS) or ():
        name = (claim.get("metadata") or {}).get("name", "")
        if name not in present:
            volumes.append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    return {**template, "spec": {**pod, "volumes": volumes}} if volumes else template


def _check_policies(spec: Document) -> Iterator[Cause]:
    policy, strategy = spec.get("podManagementPolicy", ""), spec.get("updateStrategy") or {}
    if not policy:
        yield required("spec.podManagementPolicy")
    elif policy not in ("OrderedReady", "Parallel"):
        detail = "must be 'OrderedReady' or 'Parallel'"
        yield invalid("spec.podManagementPolicy", policy, detail)
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    path = "spec.updateStrategy"
    if not kind:
        yield required(path)
    elif kind == "OnDelete":
        if rolling is not None:
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            shown = workload_check.shown_bounds(rolling, **_BOUNDS)
            yield invalid(f"{path}.rollingUpdate", shown, detail)
    elif kind != "RollingUpdate":
        shown = workload_check.shown_strategy(strategy, **_BOUNDS)
        yield invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'")
    elif rolling is not None:
        yield from _check_rolling(rolling, f"{path}.rollingUpdate")
    retention = spec.get(_RETENTION) or dict.fromkeys(_RETAINED, _RETENTIONS[0])
    for name in _RETAINED:
        if (value := retention.get(name, "")) not in _RETENTIONS:
            yield not_supported(f"spec.{_RETENTION}.{name}", value, _RETENTIONS)


def _check_rolling(rolling: Document, path: str) -> Iterator[Cause]:
    yield from not_negative(f"{path}.partition", rolling.get("partition"))
    if (unavailable := rolling.get("maxUnavailable")) is not None:
        where = f"{path}.maxUnavailable"
        yield from workload_check.check_share(unavailable, where)
        if workload_check.is_zero(unavailable):
            yield invalid(where, unavailable, "cannot be 0")
        yield from workload_check.check_not_over(unavailable, where)


STATEFULSET = Kind(
    group="apps",
    name="StatefulSet",
    plural="statefulsets",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.apps.v1.StatefulSet"),),
    storage="v1",
    former=in_apps("StatefulSet"),
    short_names=("sts",),
    categories=("all",),
    columns=_COLUMNS,
    check=_check,
    warn=workload(),
    name_check=names.dns1123_label,
    view=StatefulSet,
    prepare=preparer(status={"replicas": 0, "availableReplicas": 0}),
    subresources=(SCALE, STATUS),
    spec_fields=("spec",),
    complete=True,
)
