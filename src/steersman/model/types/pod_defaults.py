"""Defaults of pods and their parts that depend on other fields (pkg/apis/core/v1/defaults.go).

Each function changes the document it is given, which is of the right shape and whose parts already
have their own defaults.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from steersman.model.kind import Document
from steersman.model.types import resources as amounts

# Image names seen lately; a cluster has some hundreds of them
_IMAGES_KEPT: Final = 4096
# What a pod may ask for as a whole (IsSupportedPodLevelResource)
_OVERCOMMITTED: Final = ("cpu", "memory")
_HUGE_PAGES: Final = "hugepages-"


@lru_cache(_IMAGES_KEPT)
def pull_policy(image: str) -> str:
    """Returns Always for the tag `latest`, given or implied, and IfNotPresent otherwise."""
    name, digest, _ = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    implied = bool(name) and not tag and not digest
    return "Always" if tag == "latest" or implied else "IfNotPresent"


def container(document: Document) -> None:
    """Sets when the image is pulled."""
    if not document.get("imagePullPolicy"):
        document["imagePullPolicy"] = pull_policy(document.get("image", ""))


def volume(document: Document) -> None:
    """Makes a volume without a source an empty directory."""
    if len(document) == (1 if "name" in document else 0):
        document["emptyDir"] = {}
    elif (image := document.get("image")) is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = pull_policy(image.get("reference", ""))


def pod(document: Document) -> None:
    """Sets what pods have and templates have not: requests, host ports, service links."""
    spec = document.get("spec")
    if spec is None:
        return
    if "enableServiceLinks" not in spec:
        spec["enableServiceLinks"] = True
    for name in ("containers", "initContainers"):
        containers = spec.get(name)
        if containers:
            _request_limits(containers)
            if spec.get("hostNetwork"):
                _host_ports(containers)
    if resources := spec.get("resources"):
        _pod_limits(spec, resources)
        if resources.get("limits"):
            _pod_requests(spec, resources)


def _request_limits(containers: Iterable[Document]) -> None:
    for found in containers:
        resources = found.get("resources")
        limits = resources.get("limits") if resources else None
        if resources and limits:
            resources["requests"] = {**limits, **resources.get("requests", {})}


def _host_ports(containers: Iterable[Document]) -> None:
    for found in containers:
        for port in found.get("ports", ()):
            if not port.get("hostPort"):
                port["hostPort"] = port.get("containerPort", 0)


def _pod_limits(spec: Document, resources: Document) -> None:
    """Bounds the huge pages of a pod that asks for something as a whole by what its containers
    may have."""
    limits, requests = (dict(resources.get(side) or {}) for side in ("limits", "requests"))
    if not limits and not requests:
        return
    for name, amount in amounts.requested(spec, "limits").items():
        if name.startswith(_HUGE_PAGES) and name not in requests:
            limits.setdefault(name, str(amount))
    if limits:
        resources["limits"] = limits


def _pod_requests(spec: Document, resources: Document) -> None:
    requests = dict(resources.get("requests") or {})
    for name, amount in amounts.requested(spec).items():
        if name in _OVERCOMMITTED:
            requests.setdefault(name, str(amount))
    for name, limit in resources["limits"].items():
        if name in _OVERCOMMITTED or name.startswith(_HUGE_PAGES):
            requests.setdefault(name, limit)
    if requests:
        resources["requests"] = requests
