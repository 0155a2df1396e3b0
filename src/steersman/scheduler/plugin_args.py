"""The arguments of plugins as a configuration file gives them (kubescheduler.config.k8s.io/v1),
and what they change in a profile. Ranges are upstream's (apis/config/validation)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from steersman.model.duration import parse_go
from steersman.model.gotext import quote
from steersman.model.types.scheduling import NodeAffinity, TopologySpreadConstraint
from steersman.scheduler.profile import SYSTEM_CONSTRAINTS, Profile
from steersman.scheduler.scores.allocation import LEAST, Strategy

MOST_OF_A_SHAPE: Final = 10  # scores of a shape go from 0 to this
STRATEGIES: Final = ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio")


class Refused(ValueError):
    """An argument cannot be; the message names its field."""


class Arguments(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What all arguments have; unknown fields are refused, as upstream's decoder does."""

    api_version: str = ""
    kind: str = ""


class Weighted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A resource and its weight."""

    name: str
    weight: int = 1


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A point of a shape."""

    utilization: int
    score: int


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A broken line from utilization (percent) to score."""

    shape: tuple[Point, ...] = ()


class Scoring(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How free room is scored."""

    type: str = LEAST.kind
    resources: tuple[Weighted, ...] = ()
    requested_to_capacity_ratio: Shape = Shape()


class FitArguments(Arguments, frozen=True):
    """NodeResourcesFitArgs."""

    ignored_resources: tuple[str, ...] = ()
    ignored_resource_groups: tuple[str, ...] = ()
    scoring_strategy: Scoring = Scoring()

    def change(self, profile: Profile) -> Profile:
        """Takes the arguments over."""
        given = self.scoring_strategy
        if given.type not in STRATEGIES:
            known = ", ".join(f'"{name}"' for name in STRATEGIES)
            text = f'Unsupported value: "{given.type}": supported values: {known}'
            raise Refused(f"scoringStrategy.type: {text}")
        for index, item in enumerate(given.resources):
            if not 0 < item.weight <= 100:
                text = f"resource weight of {item.name} not in valid range (0, 100]"
                path = f"scoringStrategy.resources[{index}].weight"
                raise Refused(f"{path}: Invalid value: {item.weight}: {text}")
        weights = tuple((it.name, it.weight) for it in given.resources) or LEAST.weights
        strategy = Strategy(given.type, weights, _shape(given))
        ignored = (frozenset(self.ignored_resources), frozenset(self.ignored_resource_groups))
        return msgspec.structs.replace(profile, strategy=strategy, ignored=ignored)


def _shape(given: Scoring) -> tuple[tuple[int, int], ...]:
    if given.type != "RequestedToCapacityRatio":
        return ()
    path = "scoringStrategy.requestedToCapacityRatio.shape"
    points = given.requested_to_capacity_ratio.shape
    if not points:
        raise Refused(f"{path}: Required value: at least one point must be specified")
    before = -1
    for index, point in enumerate(points):
        _in_range(f"{path}[{index}].utilization", point.utilization, 0, 100)
        _in_range(f"{path}[{index}].score", point.score, 0, MOST_OF_A_SHAPE)
        if point.utilization <= before:
            text = "values must be sorted in increasing order"
            value = point.utilization
            raise Refused(f"{path}[{index}].utilization: Invalid value: {value}: {text}")
        before = point.utilization
    return tuple((it.utilization, it.score * 100 // MOST_OF_A_SHAPE) for it in points)


class BalancedArguments(Arguments, frozen=True):
    """NodeResourcesBalancedAllocationArgs."""

    resources: tuple[Weighted, ...] = ()

    def change(self, profile: Profile) -> Profile:
        """Takes the arguments over."""
        seen: set[str] = set()
        for index, item in enumerate(self.resources):
            path = f"resources[{index}]"
            if item.name in seen:
                raise Refused(f"{path}.name: Duplicate value: {quote(item.name)}")
            if item.weight != 1:
                raise Refused(f"{path}.weight: Invalid value: {item.weight}: must be 1")
            seen.add(item.name)
        names = tuple(it.name for it in self.resources) or profile.balanced
        return msgspec.structs.replace(profile, balanced=names)


class AffinityArguments(Arguments, frozen=True):
    """NodeAffinityArgs."""

    added_affinity: NodeAffinity | None = None

    def change(self, profile: Profile) -> Profile:
        """Takes the arguments over."""
        return msgspec.structs.replace(profile, added_affinity=self.added_affinity)


class InterPodArguments(Arguments, frozen=True):
    """InterPodAffinityArgs."""

    hard_pod_affinity_weight: int = 1
    ignore_preferred_terms_of_existing_pods: bool = False

    def change(self, profile: Profile) -> Profile:
        """Takes the arguments over."""
        weight = self.hard_pod_affinity_weight
        _in_range("hardPodAffinityWeight", weight, 0, 100)
        ignores = self.ignore_preferred_terms_of_existing_pods
        return msgspec.structs.replace(
            profile, hard_affinity_weight=weight, ignores_preferred_of_others=ignores
        )


class SpreadArguments(Arguments, frozen=True):
    """PodTopologySpreadArgs."""

    default_constraints: tuple[TopologySpreadConstraint, ...] = ()
    defaulting_type: str = "System"

    def change(self, profile: Profile) -> Profile:
        """Takes the arguments over."""
        value, listed = self.defaulting_type, self.defaulting_type == "List"
        if value not in ("System", "List"):
            text = f'{quote(value)}: supported values: "System", "List"'
            raise Refused(f"defaultingType: Unsupported value: {text}")
        if self.default_constraints and not listed:
            text = "when .defaultConstraints are not empty"
            raise Refused(f'defaultingType: Invalid value: "{value}": {text}')
        _check_constraints(self.default_constraints)
        constraints = self.default_constraints if listed else SYSTEM_CONSTRAINTS
        return msgspec.structs.replace(
            profile, default_constraints=constraints, system_constraints=not listed
        )


def _check_constraints(constraints: Sequence[TopologySpreadConstraint]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(constraints):
        path = f"defaultConstraints[{index}]"
        if one.max_skew <= 0:
            text = "not in valid range (0, inf)"
            raise Refused(f"{path}.maxSkew: Invalid value: {one.max_skew}: {text}")
        for name, value in (
            ("topologyKey", one.topology_key),
            ("whenUnsatisfiable", one.when_unsatisfiable),
        ):
            if not value:
                raise Refused(f"{path}.{name}: Required value: can not be empty")
        if one.when_unsatisfiable not in ("DoNotSchedule", "ScheduleAnyway"):
            known = '"DoNotSchedule", "ScheduleAnyway"'
            text = f"{quote(one.when_unsatisfiable)}: supported values: {known}"
            raise Refused(f"{path}.whenUnsatisfiable: Unsupported value: {text}")
        if one.label_selector is not None:
            text = "constraint must not define a selector, as they deduced for each pod"
            raise Refused(f"{path}.labelSelector: Forbidden: {text}")
        key = one.topology_key, one.when_unsatisfiable
        if key in seen:
            raise Refused(f'{path}: Duplicate value: "{{{key[0]}, {key[1]}}}"')
        seen.add(key)


class PreemptionArguments(Arguments, frozen=True):
    """DefaultPreemptionArgs."""

    min_candidate_nodes_percentage: int = 10
    min_candidate_nodes_absolute: int = 100

    def change(self, profile: Profile) -> Profile:
        """Takes the arguments over."""
        percent, least = self.min_candidate_nodes_percentage, self.min_candidate_nodes_absolute
        _in_range("minCandidateNodesPercentage", percent, 0, 100)
        if least < 0:
            text = "not in valid range [0, inf)"
            raise Refused(f"minCandidateNodesAbsolute: Invalid value: {least}: {text}")
        if not percent and not least:
            text = "cannot be zero at the same time as minCandidateNodesAbsolute"
            raise Refused(f"minCandidateNodesPercentage: Invalid value: 0: {text}")
        return msgspec.structs.replace(
            profile, candidates_percent=percent, candidates_least=max(least, 1)
        )


class BindingArguments(Arguments, frozen=True):
    """VolumeBindingArgs."""

    bind_timeout_seconds: int = 600

    def change(self, profile: Profile) -> Profile:
        """Takes the arguments over."""
        seconds = self.bind_timeout_seconds
        if seconds < 0:
            text = "invalid BindTimeoutSeconds, should not be a negative value"
            raise Refused(f"bindTimeoutSeconds: Invalid value: {seconds}: {text}")
        return msgspec.structs.replace(profile, bind_timeout_seconds=seconds)


class DevicesArguments(Arguments, frozen=True):
    """DynamicResourcesArgs; a search ends after so many tries, whatever `filterTimeout` says."""

    filter_timeout: str = "10s"
    binding_timeout: str = "600s"

    def change(self, profile: Profile) -> Profile:
        """Takes the arguments over."""
        found = _seconds("filterTimeout", self.filter_timeout)
        if found < 0:
            text = "must be zero or positive"
            raise Refused(f"filterTimeout: Invalid value: {quote(self.filter_timeout)}: {text}")
        seconds = _seconds("bindingTimeout", self.binding_timeout)
        if seconds < 1:
            text = "must be at least 1 second"
            raise Refused(f"bindingTimeout: Invalid value: {quote(self.binding_timeout)}: {text}")
        return msgspec.structs.replace(profile, device_timeout_seconds=seconds)


def _seconds(path: str, text: str) -> float:
    try:
        return parse_go(text)
    except ValueError as error:
        raise Refused(f"{path}: {error}") from error


def _in_range(path: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Refused(f"{path}: Invalid value: {value}: not in valid range [{least}, {most}]")


_KNOWN: Mapping[str, Any] = {
    "NodeResourcesFit": FitArguments,
    "NodeResourcesBalancedAllocation": BalancedArguments,
    "NodeAffinity": AffinityArguments,
    "InterPodAffinity": InterPodArguments,
    "PodTopologySpread": SpreadArguments,
    "DefaultPreemption": PreemptionArguments,
    "VolumeBinding": BindingArguments,
    "DynamicResources": DevicesArguments,
}


def changed(profile: Profile, plugin: str, arguments: Any, path: str) -> Profile:
    """Returns a profile with a plugin's arguments, whose fields are named from `path` on; raises
    Refused."""
    if (kind := _KNOWN.get(plugin)) is None:
        raise Refused(f'no arguments are known for plugin "{plugin}"')
    try:
        change: Callable[[Profile], Profile] = msgspec.convert(arguments or {}, kind).change
    except msgspec.ValidationError as error:
        raise Refused(f"{plugin}: {error}") from error
    try:
        return change(profile)
    except Refused as error:
        raise Refused(f"{path}{error}") from error
