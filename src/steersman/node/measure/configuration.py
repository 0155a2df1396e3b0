"""`/configz`: the KubeletConfiguration (kubelet.config.k8s.io/v1beta1) that this agent keeps to.

Fields that mean nothing here are left out, since a reader would take them for true.
"""

from __future__ import annotations

from steersman.model.kind import Document
from steersman.node.register import LEASE_SECONDS, MOST_PODS
from steersman.runtime.logs import MAX_FILE_BYTES, MAX_FILES


def render_configuration(
    address: str, port: int, root: str, names: str, domain: str, placing: Document
) -> Document:
    """Returns the configuration; `root` is the control group of all pods, `names` the address of
    the cluster's DNS, `placing` who gets which part of the machine (render_settings)."""
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
        "maxPods": MOST_PODS,
        "nodeLeaseDurationSeconds": LEASE_SECONDS,
        **placing,
    }
