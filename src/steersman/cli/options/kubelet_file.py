"""`--config`: the kubelet's own file of options (KubeletConfiguration, version v1beta1).

What stands there counts where the option of the same meaning is not given, as with the kubelet. A
field that nobody reads here is refused by name, unless it says what this node does anyway or
nothing: 0, "" and [] stand for the default there.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from steersman.cli.failure import Failure, why

VERSION: Final = "kubelet.config.k8s.io/v1beta1"
KIND: Final = "KubeletConfiguration"


class _Wrong(Exception):
    """A value cannot be; the text says what it must be."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong("it must be a text")
    return value


def _path(value: Any) -> Path:
    return Path(_text(value))


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Wrong("it must be a whole number")
    return value


def _count(value: Any) -> str:
    return str(_number(value))


def _seconds(value: Any) -> int:
    from steersman.model.duration import parse_duration

    try:
        return int(parse_duration(_text(value)))
    except ValueError as error:
        raise _Wrong(str(error)) from None


def _list(value: Any) -> str:
    if not isinstance(value, list):
        raise _Wrong("it must be a list of texts")
    return ",".join(map(_text, value))


def _pairs(sign: str) -> Callable[[Any], str]:
    """Returns what reads a map of texts as an option has it: pairs with a sign, commas between."""

    def read(value: Any) -> str:
        if not isinstance(value, dict):
            raise _Wrong("it must be a map of texts")
        return ",".join(f"{_text(key)}{sign}{_text(one)}" for key, one in value.items())

    return read


def _headers(value: Any) -> str:
    if not isinstance(value, dict) or not all(isinstance(it, list) for it in value.values()):
        raise _Wrong("it must be a map of lists")
    pairs = ((key, one) for key, values in value.items() for one in values)
    return ",".join(f"{_text(key)}:{_text(one)}" for key, one in pairs)


def _priorities(value: Any) -> str:
    try:
        return ",".join(f"{it['priority']}={it['shutdownGracePeriodSeconds']}s" for it in value)
    except (KeyError, TypeError):
        raise _Wrong("it must be a list of priority and shutdownGracePeriodSeconds") from None


def _memory(value: Any) -> str:
    """Reads what is reserved of each NUMA node."""
    try:
        return ";".join(f"{it['numaNode']}:{_pairs('=')(it['limits'])}" for it in value)
    except (KeyError, TypeError):
        raise _Wrong("it must be a list of numaNode and limits") from None


def _swap(value: Any) -> str:
    if not isinstance(value, dict) or value.keys() - {"swapBehavior"}:
        raise _Wrong("it must be a map with swapBehavior alone")
    return _text(value.get("swapBehavior", ""))


def _truth(value: Any) -> str:
    if not isinstance(value, bool):
        raise _Wrong("it must be true or false")
    return str(value).lower()


# Of each field: the option of the same meaning, and what reads its value
_FIELDS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "staticPodPath": ("pod_manifest_path", _path),
    "staticPodURL": ("manifest_url", _text),
    "staticPodURLHeader": ("manifest_url_header", _headers),
    "evictionHard": ("eviction_hard", _pairs("<")),
    "evictionSoft": ("eviction_soft", _pairs("<")),
    "evictionSoftGracePeriod": ("eviction_soft_grace_period", _pairs("=")),
    "evictionMinimumReclaim": ("eviction_minimum_reclaim", _pairs("=")),
    "evictionMaxPodGracePeriod": ("eviction_max_pod_grace_period", _number),
    "shutdownGracePeriod": ("shutdown_grace_period", _text),
    "shutdownGracePeriodCriticalPods": ("shutdown_grace_period_critical_pods", _text),
    "shutdownGracePeriodByPodPriority": ("shutdown_grace_period_by_pod_priority", _priorities),
    "allowedUnsafeSysctls": ("allowed_unsafe_sysctls", _list),
    "imageGCHighThresholdPercent": ("image_gc_high_threshold", _number),
    "imageGCLowThresholdPercent": ("image_gc_low_threshold", _number),
    "imageMinimumGCAge": ("minimum_image_ttl_seconds", _seconds),
    "imageMaximumGCAge": ("image_maximum_gc_age_seconds", _seconds),
    "cpuManagerPolicy": ("cpu_manager_policy", _text),
    "cpuManagerPolicyOptions": ("cpu_manager_policy_options", _pairs("=")),
    "memoryManagerPolicy": ("memory_manager_policy", _text),
    "topologyManagerPolicy": ("topology_manager_policy", _text),
    "topologyManagerScope": ("topology_manager_scope", _text),
    "topologyManagerPolicyOptions": ("topology_manager_policy_options", _pairs("=")),
    "reservedSystemCPUs": ("reserved_cpus", _text),
    "reservedMemory": ("reserved_memory", _memory),
    "kubeReserved": ("kube_reserved", _pairs("=")),
    "systemReserved": ("system_reserved", _pairs("=")),
    "enforceNodeAllocatable": ("enforce_node_allocatable", _list),
    "systemReservedCgroup": ("system_reserved_cgroup", _text),
    "kubeReservedCgroup": ("kube_reserved_cgroup", _text),
    "memorySwap": ("memory_swap_behavior", _swap),
    "failSwapOn": ("fail_swap_on", _truth),
    "maxPods": ("max_pods", _count),
    "podPidsLimit": ("pod_max_pids", _count),
}
# What this node does, and cannot be told to do otherwise
_FIXED: Final[Mapping[str, Any]] = {
    "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}},
    "authorization": {"mode": "Webhook"},
    "cgroupDriver": "cgroupfs",
    "clusterDomain": "cluster.local",
    "containerLogMaxFiles": 5,
    "containerLogMaxSize": "10Mi",
    "enableServer": True,
    "fileCheckFrequency": "20s",
    "hairpinMode": "hairpin-veth",
    "httpCheckFrequency": "20s",
    "nodeLeaseDurationSeconds": 40,
    "seccompDefault": True,
    "serializeImagePulls": False,
}
_UNSAID: Final[tuple[Any, ...]] = (None, "", "0s", 0, [], {})


def take(arguments: argparse.Namespace, path: Path, given: frozenset[str]) -> None:
    """Takes the options that a file says and nobody has given; raises Failure with one line."""
    from steersman.wire import yaml

    try:
        document = yaml.load(path.read_bytes())
    except (OSError, yaml.BadYAML) as error:
        raise Failure(f"--config {path}: {why(error)}") from None
    try:
        found = read(document)
    except ValueError as error:
        raise Failure(f"--config {path}: {error}") from None
    for option, value in found.items():
        if option not in given:
            setattr(arguments, option, value)


def read(document: Any) -> dict[str, Any]:
    """Returns what a document says of our options by their names; raises ValueError, which names
    every field that cannot be."""
    kind = (document.get("apiVersion"), document.get("kind")) if isinstance(document, dict) else ()
    if kind != (VERSION, KIND):
        raise ValueError(f"it must be a {KIND} of {VERSION}")
    found, wrong = {}, []
    for field, value in document.items():
        if field in ("apiVersion", "kind") or (value in _UNSAID and not isinstance(value, bool)):
            continue
        if field in _FIELDS:
            option, reader = _FIELDS[field]
            try:
                found[option] = reader(value)
            except _Wrong as error:
                wrong.append(f"{field}: {error}")
        elif field not in _FIXED or value != _FIXED[field]:
            wrong.append(f"{field}: {_refusal(field)}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return found


def _refusal(field: str) -> str:
    if field in _FIXED:
        return f"this node knows {_shown(_FIXED[field])} alone"
    close = difflib.get_close_matches(field, [*_FIELDS, *_FIXED], 1)
    return "this node does not read it" + (f" (is it {close[0]}?)" if close else "")


def _shown(value: Any) -> str:
    import json

    return json.dumps(value)
