"""In which order groups and versions are told: the first version of a group is the preferred one.

Group priorities are facts of kube-apiserver's APIService registration; version order is
apimachinery's version.CompareKubeAwareVersionStrings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# Highest first; groups of custom resources follow by name
_GROUPS = (
    "apiregistration.k8s.io",
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "resource.k8s.io",
    "storagemigration.k8s.io",
    "extensions",
)
# The priority of the groups of custom resources
CUSTOM = 1000
_RANKS = {group: rank for rank, group in enumerate(_GROUPS)}
_VERSION = re.compile(r"v(\d{1,9})(?:(alpha|beta)(\d{1,9}))?")
_STABILITY = {"alpha": 0, "beta": 1, None: 2}


def sorted_groups(groups: Iterable[str], priorities: Mapping[str, int] | None = None) -> list[str]:
    """Returns groups, each once, as upstream lists them; `priorities` are those of groups that
    other servers serve."""
    known = priorities or {}

    def rank(group: str) -> tuple[int, int, str]:
        return _RANKS.get(group, len(_RANKS)), -known.get(group, CUSTOM), group

    return sorted(set(groups), key=rank)


def sorted_versions(versions: Iterable[str]) -> list[str]:
    """Returns versions, each once: stable before beta before alpha, newer before older; others
    last, by name."""
    return sorted(set(versions), key=_rank)


def _rank(version: str) -> tuple[bool, int, int, int, str]:
    found = _VERSION.fullmatch(version)
    if found is None:
        return (True, 0, 0, 0, version)
    major, stability, minor = found.groups()
    return (False, -_STABILITY[stability], -int(major), -int(minor or 0), "")
