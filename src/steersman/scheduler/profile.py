"""A profile: which plugins judge the pods of one scheduler name, with which weights and arguments.

The defaults are upstream's (apis/config/v1/default_plugins.go); `configuration` reads others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from steersman.model.types.scheduling import NodeAffinity, TopologySpreadConstraint
from steersman.scheduler.scores.allocation import LEAST, Strategy
from steersman.scheduler.scores.balanced_allocation import RESOURCES

DEFAULT_NAME: Final = "default-scheduler"
FLOW: Final = "flow"  # the scheduler whose pods are placed in batches, by the package of its name
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"

# Filters in upstream's order: the first refusal is the reason
FILTERS: Final = (
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
    "DynamicResources",
    "NodeDeclaredFeatures",
)
WEIGHTS: Final[Mapping[str, int]] = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeResourcesFit": 1,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
}
OTHERS: Final = (
    "SchedulingGates",
    "PrioritySort",
    "DefaultPreemption",
    "DefaultBinder",
)
PLUGINS: Final = frozenset((*FILTERS, *WEIGHTS, *OTHERS))

# What spreads pods without constraints of their own (podtopologyspread systemDefaultConstraints)
SYSTEM_CONSTRAINTS: Final = (
    TopologySpreadConstraint(3, HOSTNAME, "ScheduleAnyway"),
    TopologySpreadConstraint(5, ZONE, "ScheduleAnyway"),
)


class Profile(msgspec.Struct, frozen=True, eq=False):
    """One profile; compared by identity.

    `added_affinity` holds for every pod. `percentage` is of nodes to find fitting before the
    search among nodes not yet judged ends; 0 means upstream's share, which adapts to their number.
    `ignored` are extended resources and groups of them that need not be free.
    """

    name: str = DEFAULT_NAME
    filters: frozenset[str] = frozenset(FILTERS)
    weights: Mapping[str, int] = msgspec.field(default_factory=lambda: dict(WEIGHTS))
    preempts: bool = True
    strategy: Strategy = LEAST
    balanced: tuple[str, ...] = RESOURCES
    added_affinity: NodeAffinity | None = None
    default_constraints: tuple[TopologySpreadConstraint, ...] = SYSTEM_CONSTRAINTS
    system_constraints: bool = True  # those constraints are the system's, not an administrator's
    hard_affinity_weight: int = 1
    ignores_preferred_of_others: bool = False
    percentage: int = 0
    candidates_percent: int = 10  # of nodes that preemption looks at
    candidates_least: int = 100
    ignored: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    bind_timeout_seconds: float = 600.0
    device_timeout_seconds: float = 600.0


DEFAULT: Final = Profile()
