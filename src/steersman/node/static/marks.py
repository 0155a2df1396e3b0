"""The annotations of static pods and of their mirrors (kubelet's pkg/kubelet/types)."""

from __future__ import annotations

from typing import Final

from steersman.model.kinds.pod import Pod

HASH: Final = "kubernetes.io/config.hash"
SEEN: Final = "kubernetes.io/config.seen"
SOURCE: Final = "kubernetes.io/config.source"
MIRROR: Final = "kubernetes.io/config.mirror"
FILE: Final = "file"
HTTP: Final = "http"


def is_mirror(pod: Pod) -> bool:
    """Whether a pod of the API shows a static one."""
    return MIRROR in pod.metadata.annotations


def is_static(pod: Pod) -> bool:
    """Whether a pod comes from a file of this machine, or from a URL that it was told: what the
    API gave never does, whatever its annotations say, which anybody may write who creates pods."""
    comes_from = pod.metadata.annotations.get(SOURCE)
    return comes_from in (FILE, HTTP) and not pod.metadata.resource_version
