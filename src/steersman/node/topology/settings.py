"""What the flags of the kubelet say about who gets which part of the machine: read, not decided.

Names, values and what does not go together follow kubelet's options, cpumanager/policy_options.go
and topologymanager/policy_options.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast, get_args

import msgspec

from steersman.model.quantity import Quantity, parse
from steersman.node.machine import MOST_PODS
from steersman.node.render.swap import Behavior
from steersman.node.topology import memory
from steersman.node.topology.cpu_lists import CPUs, parse_list, render_list
from steersman.node.topology.merging import PolicyName, ScopeName
from steersman.node.topology.processors import POLICY, Options

# More than that and the sets of nodes are too many to be gone through
MOST_NODES: Final = 8
RESERVABLE: Final = ("cpu", "memory", "ephemeral-storage", "pid")
# What is enforced by control groups (kubelet/types, constants.go); of the latter two processors
# alone as well
PODS: Final = "pods"
SYSTEM, KUBE, COMPRESSIBLE = "system-reserved", "kube-reserved", "-compressible"
NONE: Final = "none"
_ENFORCEABLE: Final = (
    *(PODS, SYSTEM, f"{SYSTEM}{COMPRESSIBLE}", KUBE, f"{KUBE}{COMPRESSIBLE}"),
    NONE,
)
# The fields of the kubelet's configuration
_AMOUNTS: Final = {SYSTEM: "systemReserved", KUBE: "kubeReserved"}
_GROUPS: Final = {SYSTEM: "systemReservedCgroup", KUBE: "kubeReservedCgroup"}
_ENFORCE: Final = "enforceNodeAllocatable (--enforce-node-allocatable)"
_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")
_CLASHES: Final = (
    ("full-pcpus-only", "distribute-cpus-across-cores"),
    ("distribute-cpus-across-numa", "distribute-cpus-across-cores"),
    ("prefer-align-cpus-by-uncorecache", "distribute-cpus-across-cores"),
    ("prefer-align-cpus-by-uncorecache", "distribute-cpus-across-numa"),
)


class BadSetting(Exception):
    """A flag says what cannot be; the text names it."""


class Settings(msgspec.Struct, frozen=True):
    """What was said.

    reserved:         what is kept for the system and the node agent, by resource
    amounts:          the same for each of both
    reserved_memory:  where that is, by NUMA node
    enforced:         what of it control groups enforce
    groups:           those of the system and the node agent
    most_pods, pod_processes: how many pods there may be, and processes in each, -1 for any number
    """

    cpu_policy: str = "none"
    cpu_options: Options = Options()
    reserved_cpus: CPUs = frozenset()
    policy: PolicyName = "none"
    scope: ScopeName = "container"
    closest: bool = False
    most_nodes: int = MOST_NODES
    reserved: Mapping[str, Quantity] = {}
    memory_policy: str = "None"
    reserved_memory: Mapping[int, Mapping[str, Quantity]] = {}
    swap: Behavior = "NoSwap"
    fail_swap_on: bool = False
    most_pods: int = MOST_PODS
    pod_processes: int = -1
    amounts: Mapping[str, Mapping[str, Quantity]] = {}
    enforced: tuple[str, ...] = (PODS,)
    groups: Mapping[str, str] = {}


def parse_settings(flags: Mapping[str, str]) -> Settings:
    """Reads the flags by their names; what is not there has its default. Raises BadSetting."""
    policy = _one_of(flags, "--topology-manager-policy", get_args(PolicyName))
    scope = _one_of(flags, "--topology-manager-scope", get_args(ScopeName))
    cpu_policy = _one_of(flags, "--cpu-manager-policy", ("none", POLICY))
    closest, most = _topology_options(flags.get("--topology-manager-policy-options", ""))
    amounts = {kind: _reserved(f"--{kind}", flags) for kind in (KUBE, SYSTEM)}
    found = Settings(
        cpu_policy=cpu_policy,
        cpu_options=_cpu_options(flags.get("--cpu-manager-policy-options", "")),
        reserved_cpus=_cpus(flags.get("--reserved-cpus", "")),
        policy=cast(PolicyName, policy),
        scope=cast(ScopeName, scope),
        closest=closest,
        most_nodes=most,
        reserved=_together(*amounts.values()),
        amounts={kind: its for kind, its in amounts.items() if its},
        enforced=tuple(_words(flags.get("--enforce-node-allocatable") or PODS)),
        groups={kind: it for kind in (SYSTEM, KUBE) if (it := flags.get(f"--{kind}-cgroup"))},
        memory_policy=_one_of(flags, "--memory-manager-policy", ("None", memory.POLICY)),
        reserved_memory=_reserved_memory(flags.get("--reserved-memory", "")),
        swap=cast(Behavior, _one_of(flags, "--memory-swap-behavior", get_args(Behavior))),
        fail_swap_on=_flag("fail-swap-on", flags.get("--fail-swap-on") or "false"),
        most_pods=_count(flags, "--max-pods", MOST_PODS),
        pod_processes=_count(flags, "--pod-max-pids", -1),
    )
    if found.memory_policy == memory.POLICY and not memory_reserved(found, memory.MEMORY):
        raise BadSetting(
            "--memory-manager-policy Static: you should specify the system reserved memory: use "
            "--reserved-memory"
        )
    if cpu_policy == POLICY and not found.reserved_cpus and not reserved_millis(found):
        raise BadSetting(
            "--cpu-manager-policy static: the static policy requires systemreserved.cpu + "
            "kubereserved.cpu to be greater than zero: use --reserved-cpus or --kube-reserved"
        )
    if found.cpu_options.align_by_socket and policy == "single-numa-node":
        raise BadSetting(
            "Topolgy manager single-numa-node policy is incompatible with CPUManager "
            "align-by-socket policy option"
        )
    _check_enforced(found)
    if found.most_pods < 0:
        text = f"maxPods (--max-pods) {found.most_pods} must not be a negative number"
        raise BadSetting(f"invalid configuration: {text}")
    return found


def _count(flags: Mapping[str, str], name: str, default: int) -> int:
    text = flags.get(name) or str(default)
    try:
        return int(text)
    except ValueError:
        raise BadSetting(f"{name} {text}: it must be a whole number") from None


def _check_enforced(settings: Settings) -> None:
    """Raises BadSetting for what cannot be enforced (kubelet's validation.go)."""
    asked = settings.enforced
    for name in asked:
        if name not in _ENFORCEABLE:
            known = ", ".join(f'"{it}"' for it in _ENFORCEABLE[:-1])
            text = f'option "{name}" specified for {_ENFORCE}. Valid options are {known},'
            raise BadSetting(f'invalid configuration: {text} or "{NONE}"')
        kind = name.removesuffix(COMPRESSIBLE)
        if kind in _GROUPS and kind not in settings.groups:
            field = f"{_GROUPS[kind]} (--{kind}-cgroup)"
            text = f'{field} must be specified when "{name}" contained in {_ENFORCE}'
            raise BadSetting(f"invalid configuration: {text}")
    if NONE in asked and len(asked) > 1:
        text = f'{_ENFORCE} may not contain additional enforcements when "{NONE}" is specified'
        raise BadSetting(f"invalid configuration: {text}")
    if settings.reserved_cpus and settings.groups:
        groups = " or ".join(f"{_GROUPS[kind]} (--{kind}-cgroup)" for kind in (SYSTEM, KUBE))
        text = f"can't use reservedSystemCPUs (--reserved-cpus) with {groups}"
        raise BadSetting(f"invalid configuration: {text}")
    for kind, path in settings.groups.items():
        if not path.startswith("/") or ".." in path.split("/") or not path.strip("/"):
            raise BadSetting(f"--{kind}-cgroup {path}: it must be the path of a control group")


def render_settings(settings: Settings) -> dict[str, Any]:
    """Returns the fields of a KubeletConfiguration that say the same."""
    options = {
        name.replace("_", "-"): "true"
        for name in Options.__struct_fields__
        if getattr(settings.cpu_options, name)
    }
    found: dict[str, Any] = {
        "cpuManagerPolicy": settings.cpu_policy,
        "cpuManagerPolicyOptions": options,
        "memoryManagerPolicy": settings.memory_policy,
        "topologyManagerPolicy": settings.policy,
        "topologyManagerScope": settings.scope,
        "reservedSystemCPUs": render_list(settings.reserved_cpus),
        "reservedMemory": [
            {"numaNode": node, "limits": _texts(its)}
            for node, its in sorted(settings.reserved_memory.items())
        ],
        "memorySwap": {"swapBehavior": settings.swap},
        "maxPods": settings.most_pods,
        "podPidsLimit": settings.pod_processes,
        "enforceNodeAllocatable": list(settings.enforced),
        **{field: settings.groups.get(kind) for kind, field in _GROUPS.items()},
        **{field: _texts(settings.amounts.get(kind, {})) for kind, field in _AMOUNTS.items()},
    }
    told = {name: value for name, value in found.items() if value}
    return {**told, "failSwapOn": settings.fail_swap_on}


def _texts(amounts: Mapping[str, Quantity]) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}


def reserved_millis(settings: Settings) -> int:
    """Returns how much processor is reserved, in thousandths; explicit processors count alone."""
    if settings.reserved_cpus:
        return 1000 * len(settings.reserved_cpus)
    asked = settings.reserved.get("cpu")
    return asked.milli() if asked is not None else 0


def memory_reserved(settings: Settings, name: str) -> int:
    """Returns how much is kept of one sort of memory, of all nodes."""
    its = settings.reserved_memory.values()
    return sum(amounts[name].value() for amounts in its if name in amounts)


def _one_of(flags: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    found = flags.get(name) or values[0]
    if found not in values:
        raise BadSetting(f"{name} {found}: must be one of {', '.join(values)}")
    return found


def _cpus(text: str) -> CPUs:
    try:
        return parse_list(text)
    except ValueError as error:
        raise BadSetting(f"--reserved-cpus {text}: {error}") from None


def _pairs(name: str, text: str) -> dict[str, str]:
    """Reads `NAME=VALUE,...`."""
    found: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key in found:
            raise BadSetting(f"{name}: malformed pair, expect string=string: {part}")
        found[key.strip()] = value.strip()
    return found


def _flag(name: str, value: str) -> bool:
    if value not in _TRUE + _FALSE:
        raise BadSetting(f'bad value for option "{name}": "{value}" is neither true nor false')
    return value in _TRUE


def _cpu_options(text: str) -> Options:
    pairs = _pairs("--cpu-manager-policy-options", text)
    names = {it.replace("_", "-"): it for it in Options.__struct_fields__}
    chosen = {}
    for name, value in pairs.items():
        if name not in names:
            raise BadSetting(f'unknown CPU Manager Policy option: "{name}"')
        chosen[names[name]] = _flag(name, value)
    for one, other in _CLASHES:
        if chosen.get(names[one]) and chosen.get(names[other]):
            text = f"static policy options {one} and {other} can not be used at the same time"
            raise BadSetting(text)
    return Options(**chosen)


def _topology_options(text: str) -> tuple[bool, int]:
    """Returns whether near nodes are wanted, and how many nodes there may be."""
    closest, most = False, MOST_NODES
    for name, value in _pairs("--topology-manager-policy-options", text).items():
        if name == "prefer-closest-numa-nodes":
            closest = _flag(name, value)
        elif name == "max-allowable-numa-nodes":
            most = _most_nodes(value)
        else:
            raise BadSetting(f'unknown Topology Manager Policy option: "{name}"')
    return closest, most


def _most_nodes(value: str) -> int:
    if not value.isdecimal():
        text = 'unable to convert policy option to integer "max-allowable-numa-nodes"'
        raise BadSetting(f"{text}: {value}")
    if int(value) < MOST_NODES:
        text = 'the minimum value of "max-allowable-numa-nodes" should not be less than'
        raise BadSetting(f"{text} {MOST_NODES}")
    return int(value)


def _reserved_memory(text: str) -> dict[int, dict[str, Quantity]]:
    """Reads `NODE:TYPE=AMOUNT,...;NODE:...`."""
    found: dict[int, dict[str, Quantity]] = {}
    for part in filter(None, text.split(";")):
        node, colon, amounts = part.partition(":")
        if not colon or not node.strip().isdecimal() or int(node) in found:
            form = "expected numaNodeID:type=quantity[,type=quantity...]"
            raise BadSetting(f"the reserved memory has incorrect format, {form}, got {part}")
        found[int(node)] = {
            name: _amount("--reserved-memory", name, value)
            for name, value in _pairs("--reserved-memory", amounts).items()
        }
    return found


def _amount(flag: str, name: str, value: str) -> Quantity:
    try:
        amount = parse(value)
    except ValueError:
        raise BadSetting(f"{flag}: {name}={value} is not a quantity") from None
    if amount.nanos < 0:
        raise BadSetting(f"{flag}: resource quantity for {name} cannot be negative")
    return amount


def _words(text: str) -> list[str]:
    return [it.strip() for it in text.split(",") if it.strip()]


def _reserved(flag: str, flags: Mapping[str, str]) -> dict[str, Quantity]:
    """Reads what is reserved for the node agent or for the system."""
    found: dict[str, Quantity] = {}
    for name, value in _pairs(flag, flags.get(flag, "")).items():
        if name not in RESERVABLE:
            raise BadSetting(f"{flag}: cannot reserve {name}")
        found[name] = _amount(flag, name, value)
    return found


def _together(*each: Mapping[str, Quantity]) -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}
    for amounts in each:
        for name, amount in amounts.items():
            found[name] = found[name] + amount if name in found else amount
    return found
