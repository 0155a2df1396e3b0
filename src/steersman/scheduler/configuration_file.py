"""KubeSchedulerConfiguration v1: the profiles and times of a scheduler, read as files give them.

What concerns a process of its own (leader election, addresses, connections) is read over. What is
not supported is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from steersman.scheduler.configuration import SchedulerConfiguration
from steersman.scheduler.extenders.settings import Given as Extender
from steersman.scheduler.extenders.settings import ignored_of, settings_of
from steersman.scheduler.plugin_args import Refused, changed
from steersman.scheduler.profile import (
    DEFAULT_NAME,
    FILTERS,
    OTHERS,
    PLUGINS,
    WEIGHTS,
    Profile,
)
from steersman.scheduler.queue import FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS

GROUP: Final = "kubescheduler.config.k8s.io"
_READ_OVER: Final = frozenset(
    (
        "parallelism",
        "leaderElection",
        "clientConnection",
        "healthzBindAddress",
        "metricsBindAddress",
        "enableProfiling",
        "enableContentionProfiling",
        "delayCacheUntilActive",
    )
)
_ALL: Final = "*"


class _Plugin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    weight: int = 0


class _Set(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plugins switched on and off at one point."""

    enabled: tuple[_Plugin, ...] = ()
    disabled: tuple[_Plugin, ...] = ()

    def without(self, name: str) -> bool:
        """Says whether a plugin is switched off."""
        return any(it.name in (name, _ALL) for it in self.disabled)


class _Points(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    multi_point: _Set = _Set()
    pre_enqueue: _Set = _Set()
    queue_sort: _Set = _Set()
    pre_filter: _Set = _Set()
    filter: _Set = _Set()
    post_filter: _Set = _Set()
    pre_score: _Set = _Set()
    score: _Set = _Set()
    reserve: _Set = _Set()
    permit: _Set = _Set()
    pre_bind: _Set = _Set()
    bind: _Set = _Set()
    post_bind: _Set = _Set()


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    args: Any = None


class _Profile(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    scheduler_name: str = ""
    percentage_of_nodes_to_score: int | None = None
    plugins: _Points = _Points()
    plugin_config: tuple[_Given, ...] = ()


class _File(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    api_version: str
    kind: str
    profiles: tuple[_Profile, ...] = ()
    percentage_of_nodes_to_score: int = 0
    pod_initial_backoff_seconds: int = int(FIRST_BACKOFF_SECONDS)
    pod_max_backoff_seconds: int = int(LAST_BACKOFF_SECONDS)
    extenders: tuple[Extender, ...] = ()


def parse(document: Any) -> SchedulerConfiguration:
    """Reads a configuration; raises Refused with one line."""
    if not isinstance(document, dict):
        raise Refused("a KubeSchedulerConfiguration is expected")
    known = {name: value for name, value in document.items() if name not in _READ_OVER}
    try:
        file = msgspec.convert(known, _File)
    except msgspec.ValidationError as error:
        raise Refused(str(error)) from error
    _check(file)
    parallelism = document.get("parallelism", 1)
    if isinstance(parallelism, int) and parallelism <= 0:
        text = "should be an integer value greater than zero"
        raise Refused(f"parallelism: Invalid value: {parallelism}: {text}")
    profiles: dict[str, Profile] = {}
    for index, given in enumerate(file.profiles or (_Profile(),)):
        name = given.scheduler_name or (DEFAULT_NAME if len(file.profiles) < 2 else "")
        path = f"profiles[{index}].schedulerName"
        if not name:
            raise Refused(f"{path}: Required value")
        if name in profiles:
            first_of = list(profiles).index(name)
            raise Refused(f"{path}: Duplicate value: profiles[{first_of}].schedulerName")
        profile = _profile(name, given, file.percentage_of_nodes_to_score, f"profiles[{index}]")
        profiles[name] = _ignoring(profile, ignored_of(file.extenders))
    first, last = file.pod_initial_backoff_seconds, file.pod_max_backoff_seconds
    extenders = settings_of(file.extenders)
    return SchedulerConfiguration(profiles, float(first), float(last), extenders)


def _ignoring(profile: Profile, names: frozenset[str]) -> Profile:
    """Adds the resources that extenders look after instead of NodeResourcesFit."""
    if not names:
        return profile
    known, groups = profile.ignored
    return msgspec.structs.replace(profile, ignored=(known | names, groups))


def _check(file: _File) -> None:
    if (file.api_version, file.kind) != (f"{GROUP}/v1", "KubeSchedulerConfiguration"):
        raise Refused(
            f"{file.api_version} {file.kind} is not {GROUP}/v1 KubeSchedulerConfiguration"
        )
    first, last = file.pod_initial_backoff_seconds, file.pod_max_backoff_seconds
    if first <= 0:
        raise Refused(f"podInitialBackoffSeconds: Invalid value: {first}: must be greater than 0")
    if last < first:
        text = "must be greater than or equal to PodInitialBackoffSeconds"
        raise Refused(f"podMaxBackoffSeconds: Invalid value: {last}: {text}")


def _profile(name: str, given: _Profile, percentage: int, path: str) -> Profile:
    own = given.percentage_of_nodes_to_score
    percentage = percentage if own is None else own
    if not 0 <= percentage <= 100:
        text = "not in valid range [0-100]"
        raise Refused(f"percentageOfNodesToScore: Invalid value: {percentage}: {text}")
    points = given.plugins
    for plugin in _named(points):
        if plugin.name not in PLUGINS:
            raise Refused(f'plugin "{plugin.name}" does not exist')
    enabled = _enabled(points.multi_point)
    profile = Profile(
        name=name,
        filters=_filters(points, enabled),
        weights=_weights(points.score, enabled),
        preempts="DefaultPreemption" in _at(points.post_filter, enabled),
        percentage=percentage,
    )
    _check_plugins(name, points, enabled)
    seen: set[str] = set()
    for index, item in enumerate(given.plugin_config):
        place = f"{path}.pluginConfig[{index}]"
        if item.name in seen:
            raise Refused(f'{place}: Duplicate value: "{item.name}"')
        seen.add(item.name)
        profile = changed(profile, item.name, item.args, f"{place}.args.")
    return profile


def _check_plugins(name: str, points: _Points, enabled: Mapping[str, int]) -> None:
    """Refuses a profile without the plugins that every pod needs (runtime.NewFramework)."""
    of = f'profile with scheduler name "{name}"'
    if "PrioritySort" not in _at(points.queue_sort, enabled):
        raise Refused(f"only one queue sort plugin required for {of}, but got 0")
    if "DefaultBinder" not in _at(points.bind, enabled):
        raise Refused(f"at least one bind plugin is needed for {of}")


def _named(points: _Points) -> Iterator[_Plugin]:
    for name in points.__struct_fields__:
        found: _Set = getattr(points, name)
        yield from found.enabled
        yield from (it for it in found.disabled if it.name != _ALL)


def _enabled(given: _Set) -> dict[str, int]:
    """Returns the plugins that are on at all points, with their weights (0: its own)."""
    defaults = dict.fromkeys((*FILTERS, *WEIGHTS, *OTHERS), 0)
    kept = {name: weight for name, weight in defaults.items() if not given.without(name)}
    return {**kept, **_explicit(given)}


def _explicit(given: _Set) -> dict[str, int]:
    return {it.name: it.weight or 1 for it in given.enabled}


def _at(given: _Set, enabled: Mapping[str, int]) -> dict[str, int]:
    kept = {name: weight for name, weight in enabled.items() if not given.without(name)}
    return {**kept, **_explicit(given)}


def _filters(points: _Points, enabled: Mapping[str, int]) -> frozenset[str]:
    return frozenset(_at(points.filter, enabled)) & frozenset(FILTERS)


def _weights(given: _Set, enabled: Mapping[str, int]) -> dict[str, int]:
    found = _at(given, enabled)
    return {name: weight or WEIGHTS[name] for name, weight in found.items() if name in WEIGHTS}
