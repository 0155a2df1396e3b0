"""The annotations of static pods and of their mirrors (kubelet's pkg/kubelet/types)."""

from __future__ import annotations

from typing import Final

from steersman.model.kinds.pod import Pod

HASH: Final = "kubernetes.io/config.hash"
SEEN: Final = "kubernetes.io/config.seen"
SOURCE: Final = "kubernetes.io/config.source"
MIRROR: Final = "kubernetes.io/config.mirror"
FILE: Final = "file"


def is_mirror(pod: Pod) -> bool:
    """Whether a pod of the API shows a static one."""
    return MIRROR in pod.metadata.annotations


def is_static(pod: Pod) -> bool:
    """Whether a pod comes from a file of this machine: what the API gave never does, whatever its
    annotations say, which anybody may write who creates pods."""
    return pod.metadata.annotations.get(SOURCE) == FILE and not pod.metadata.resource_version
