"""`/configz`: the KubeletConfiguration (kubelet.config.k8s.io/v1beta1) that this agent keeps to.

Fields that mean nothing here are left out, since a reader would take them for true.
"""

from __future__ import annotations

from collections.abc import Iterable

from steersman.model.kind import Document
from steersman.model.quantity import of_bytes
from steersman.node.pressure.images import Bounds
from steersman.node.pressure.monitor import Options
from steersman.node.pressure.thresholds import TRANSITION_SECONDS, Threshold
from steersman.node.register import LEASE_SECONDS
from steersman.node.status import go_duration
from steersman.runtime.logs import MAX_FILE_BYTES, MAX_FILES


def render_configuration(
    address: str, port: int, root: str, names: str, domain: str, *given: Document
) -> Document:
    """Returns the configuration; `root` is the control group of all pods, `names` the address of
    the cluster's DNS, `given` what else the node was told (render_settings, render_pressure)."""
    told = {name: value for each in given for name, value in each.items()}
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": address,
        "port": port,
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}},
        "authorization": {"mode": "Webhook"},
        "cgroupRoot": root,
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [names],
        "clusterDomain": domain,
        "containerLogMaxSize": f"{MAX_FILE_BYTES // (1024 * 1024)}Mi",
        "containerLogMaxFiles": MAX_FILES,
        "nodeLeaseDurationSeconds": LEASE_SECONDS,
        **told,
    }


def render_pressure(eviction: Options, images: Bounds) -> Document:
    """Returns the fields that say when pods and images go for the node's sake."""
    hard = [it for it in eviction.thresholds if it.hard]
    soft = [it for it in eviction.thresholds if not it.hard]
    graces = {it.signal: go_duration(it.grace_seconds) for it in soft}
    reclaim = {
        it.signal: _amount(it.reclaim, it.reclaim_percent)
        for it in eviction.thresholds
        if it.reclaim or it.reclaim_percent
    }
    found = {
        "imageMinimumGCAge": go_duration(images.least_seconds),
        "imageMaximumGCAge": go_duration(images.most_seconds),
        "imageGCHighThresholdPercent": images.high_percent,
        "imageGCLowThresholdPercent": images.low_percent,
        "evictionHard": _thresholds(hard),
        "evictionSoft": _thresholds(soft),
        "evictionSoftGracePeriod": graces,
        "evictionPressureTransitionPeriod": go_duration(TRANSITION_SECONDS),
        "evictionMaxPodGracePeriod": int(eviction.soft_grace_seconds),
        "evictionMinimumReclaim": reclaim,
    }
    return {name: value for name, value in found.items() if value not in ({}, 0)}


def _thresholds(found: Iterable[Threshold]) -> dict[str, str]:
    return {it.signal: _amount(it.amount, it.percent) for it in found}


def _amount(amount: int, percent: float) -> str:
    return f"{percent:g}%" if percent else str(of_bytes(amount))
