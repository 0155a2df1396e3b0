"""Defaults of workloads that depend on other fields (pkg/apis/apps, batch and autoscaling).

Each function changes the document it is given, which is of the right shape and whose parts already
have their own defaults.
"""

from __future__ import annotations

from typing import Any, Final

from steersman.model.kind import Document

_MAX_INT32: Final = 2**31 - 1
CLAIM: Final = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
_JOB: Final = {"completionMode": "NonIndexed", "suspend": False, "manualSelector": False}


def rolling(kind_of_update: str, **bounds: Any) -> Any:
    """Returns a default that completes a strategy of a type with bounds where they are absent."""

    def complete(strategy: Document) -> None:
        if not strategy.get("type"):
            strategy["type"] = kind_of_update
        if strategy["type"] == kind_of_update:
            strategy["rollingUpdate"] = {**bounds, **strategy.get("rollingUpdate", {})}

    return complete


def stateful_strategy(strategy: Document) -> None:
    """Completes the update strategy of a StatefulSet; RollingUpdate by name stays bare."""
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        strategy["rollingUpdate"].setdefault("partition", 0)


def stateful_claims(spec: Document) -> None:
    """Says of the templates of a StatefulSet's claims what they are, as claims themselves do."""
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.update(CLAIM)
        claim.setdefault("status", {}).setdefault("phase", "Pending")


def job(document: Document) -> None:
    """Labels a Job like its pods, and completes it, what templates of a CronJob are not."""
    labels_of_template(document)
    if "spec" in document:
        _job_spec(document["spec"])


def _job_spec(spec: Document) -> None:
    """Completes a Job; neither completions nor parallelism given means one of each."""
    for name, value in _JOB.items():
        spec.setdefault(name, value)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    if "backoffLimit" not in spec:
        spec["backoffLimit"] = _MAX_INT32 if "backoffLimitPerIndex" in spec else 6
    if "podReplacementPolicy" not in spec:
        failed = "podFailurePolicy" in spec
        spec["podReplacementPolicy"] = "Failed" if failed else "TerminatingOrFailed"


def labels_of_template(document: Document) -> None:
    """Labels an object like its pods where it has no labels."""
    template = document.get("spec", {}).get("template", {})
    labels = template.get("metadata", {}).get("labels")
    metadata = document.setdefault("metadata", {})
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def replication_controller(document: Document) -> None:
    """Selects and labels like the template."""
    labels_of_template(document)
    spec = document.get("spec", {})
    labels = spec.get("template", {}).get("metadata", {}).get("labels")
    if labels and not spec.get("selector"):
        spec["selector"] = dict(labels)


_UP_POLICIES = (
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
)


def autoscaler(spec: Document) -> None:
    """Scales on 80 % of the requested processor time where no metric is given."""
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        up = {"stabilizationWindowSeconds": 0, "selectPolicy": "Max"}
        up_policies = [dict(policy) for policy in _UP_POLICIES]
        down_policies = [dict(_UP_POLICIES[1])]
        behavior["scaleUp"] = {**up, "policies": up_policies, **behavior.get("scaleUp", {})}
        down = {"selectPolicy": "Max", "policies": down_policies}
        behavior["scaleDown"] = {**down, **behavior.get("scaleDown", {})}
