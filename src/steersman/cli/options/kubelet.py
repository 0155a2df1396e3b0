"""The options of the node agent, by the kubelet's names: read before anything starts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from steersman.cli.failure import Failure

_MANIFESTS: Final = "--pod-manifest-path"
# Options that are given on as they are: name, form, default, what it is. Shares of the disk are
# those of k3s: upstream's (10 and 15 %) are for a disk of the node's own, and many a person's is
# fuller
_TEXTS: Final = (
    (
        "--eviction-hard",
        "SIGNAL...",
        "memory.available<100Mi,nodefs.available<5%,nodefs.inodesFree<5%,"
        "imagefs.available<5%,imagefs.inodesFree<5%",
        "below which pods are evicted at once, '' for never",
    ),
    ("--eviction-soft", "SIGNAL...", "", "below which pods are evicted after a grace period"),
    (
        "--eviction-soft-grace-period",
        "SIGNAL...",
        "",
        "that grace of each, as memory.available=1m30s",
    ),
    (
        "--allowed-unsafe-sysctls",
        "NAME,...",
        "",
        "sysctls that pods may have beside the safe ones; a * at the end stands for the rest",
    ),
)
_NUMBERS: Final = (
    (
        "--eviction-max-pod-grace-period",
        0,
        "the longest time to end for a soft one, in s",
    ),
    ("--image-gc-high-threshold", 85, "percent of the disk above which unused images go"),
    ("--image-gc-low-threshold", 80, "percent of the disk down to which they go"),
    ("--minimum-image-ttl-seconds", 120, "the age before which no image goes"),
    ("--image-maximum-gc-age-seconds", 0, "how long an image may be unused, 0 for ever"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = "folder of static pods, which run without the API (default: DATA/manifests)"
    parser.add_argument(_MANIFESTS, type=Path, metavar="FOLDER", help=text)
    for name, form, default, what in _TEXTS:
        shown = f"{what} (default: {default})" if default else what
        text = shown.replace("%", "%%")
        parser.add_argument(name, default=default, metavar=form, help=text)
    for option, number, what in _NUMBERS:
        text = f"{what} (default: {number})"
        parser.add_argument(option, type=int, default=number, metavar="N", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the process of the node."""
    manifests: Path | None = arguments.pod_manifest_path
    found = [] if manifests is None else [f"{_MANIFESTS}={manifests.resolve()}"]
    texts = ((name, default) for name, _, default, _ in _TEXTS)
    for name, default in (*texts, *((name, number) for name, number, _ in _NUMBERS)):
        value = getattr(arguments, name[2:].replace("-", "_"))
        if value != default:
            found.append(f"{name}={value}")
    return found


def _check_sysctls(asked: list[str]) -> None:
    from steersman.node.admission import BadSysctl, parse_allowed

    try:
        parse_allowed(asked)
    except BadSysctl as error:
        raise Failure(f"--allowed-unsafe-sysctls: {error}") from None


def names(text: str) -> list[str]:
    """Returns what a list with commas names."""
    return [it for it in text.split(",") if it]


def check(arguments: argparse.Namespace) -> None:
    """Refuses what cannot be; raises Failure with one line."""
    from steersman.node.pressure.thresholds import BadThreshold, parse_thresholds

    try:
        parse_thresholds(
            arguments.eviction_hard, arguments.eviction_soft, arguments.eviction_soft_grace_period
        )
    except BadThreshold as error:
        raise Failure(str(error)) from None
    if arguments.allowed_unsafe_sysctls:
        _check_sysctls(names(arguments.allowed_unsafe_sysctls))
    low, high = arguments.image_gc_low_threshold, arguments.image_gc_high_threshold
    if not 0 <= low < high <= 100:
        text = "--image-gc-low-threshold must be below --image-gc-high-threshold"
        raise Failure(f"{text}, both from 0 to 100")
