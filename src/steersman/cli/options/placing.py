"""The options of who gets which part of the machine, by the kubelet's names."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from steersman.cli.failure import Failure

if TYPE_CHECKING:
    from steersman.node.topology.settings import Settings

# Options that are given on as they are: name, form, default, what it is
TEXTS: Final = (
    (
        "--cpu-manager-policy",
        "POLICY",
        "none",
        "static: Guaranteed containers have whole processors for themselves",
    ),
    (
        "--cpu-manager-policy-options",
        "NAME=BOOL,...",
        "",
        "how processors are chosen, as full-pcpus-only=true",
    ),
    (
        "--reserved-cpus",
        "LIST",
        "",
        "processors that no container has for itself, as 0-1,4",
    ),
    (
        "--kube-reserved",
        "NAME=AMOUNT,...",
        "",
        "what pods do not get of cpu, memory, ephemeral-storage and pid, for the node agent's sake",
    ),
    ("--system-reserved", "NAME=AMOUNT,...", "", "the same for the system's sake"),
    (
        "--enforce-node-allocatable",
        "NAME,...",
        "pods",
        "what control groups enforce of it: pods have the rest together, system-reserved and "
        "kube-reserved (or these with -compressible: of processors alone) what is theirs; or none",
    ),
    ("--system-reserved-cgroup", "PATH", "", "the control group of the system"),
    ("--kube-reserved-cgroup", "PATH", "", "the one that the node agent is in"),
    (
        "--memory-manager-policy",
        "POLICY",
        "None",
        "Static: Guaranteed containers have their memory from certain NUMA nodes",
    ),
    (
        "--reserved-memory",
        "NODE:NAME=AMOUNT,...;...",
        "",
        "from which NUMA nodes what is reserved is, as 0:memory=1Gi",
    ),
    (
        "--topology-manager-policy",
        "POLICY",
        "none",
        "how near together what a container has must be: best-effort, restricted, single-numa-node",
    ),
    ("--topology-manager-scope", "SCOPE", "container", "what must be near together: or pod"),
    (
        "--topology-manager-policy-options",
        "NAME=VALUE,...",
        "",
        "prefer-closest-numa-nodes=BOOL, max-allowable-numa-nodes=N",
    ),
    (
        "--memory-swap-behavior",
        "BEHAVIOR",
        "NoSwap",
        "LimitedSwap: Burstable containers may use a share of the swap, with control groups of "
        "version 2",
    ),
    ("--max-pods", "N", "110", "how many pods the node takes"),
    ("--pod-max-pids", "N", "-1", "how many processes a pod may have (-1: as many as all may)"),
    ("--fail-swap-on", "BOOL", "false", "whether the node does not start where there is swap"),
)


def read_settings(arguments: argparse.Namespace) -> Settings:
    """Returns what was said; raises Failure with one line."""
    from steersman.node.topology.settings import BadSetting, parse_settings

    flags = {name: getattr(arguments, name[2:].replace("-", "_")) for name, *_ in TEXTS}
    try:
        return parse_settings(flags)
    except BadSetting as error:
        raise Failure(str(error)) from None
