"""Which pods this node does not take for what they ask of the kernel: pure.

Sources: the kubelet's sysctl/allowlist.go, sysctl/safe_sysctls.go, component-helpers' sysctl
package; lifecycle/handlers.go for AppArmor.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.node.containers import all_containers

# Those that change one pod alone and cannot hurt the node; kernels before 5.6 lack some
SAFE_SYSCTLS: Final = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
)
_MOST_LENGTH: Final = 253
_SEGMENT: Final = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_PATTERN: Final = rf"^({_SEGMENT}[\./])*({_SEGMENT}|[a-z0-9][-_a-z0-9]*\*|\*)$"
_is_pattern = re.compile(_PATTERN).match
_IPC: Final = ("kernel.shm", "kernel.msg", "fs.mqueue.", "kernel.sem")


class BadSysctl(Exception):
    """What was allowed cannot be; the text says why."""


class Allowed(msgspec.Struct, frozen=True):
    """The sysctls that pods may have: whole names, and beginnings of names."""

    names: frozenset[str] = frozenset(SAFE_SYSCTLS)
    prefixes: tuple[str, ...] = ()


def parse_allowed(unsafe: Iterable[str]) -> Allowed:
    """Reads `--allowed-unsafe-sysctls`: names, or beginnings with `*`. Raises BadSysctl."""
    names, prefixes = set(SAFE_SYSCTLS), []
    for text in unsafe:
        if len(text) > _MOST_LENGTH or not _is_pattern(text):
            raise BadSysctl(
                f'sysctl "{text}" must have at most {_MOST_LENGTH} characters and match regex '
                f"{_PATTERN}"
            )
        name = normal_name(text)
        if not _namespace(name.removesuffix("*")):
            raise BadSysctl(f'the sysctls "{name}" are not known to be namespaced')
        if name.endswith("*"):
            prefixes.append(name[:-1])
        else:
            names.add(name)
    return Allowed(frozenset(names), tuple(prefixes))


def normal_name(name: str) -> str:
    """Returns a sysctl's name with dots between its parts, as sysctl(8) reads it: where a slash
    comes first, dots and slashes change places."""
    first = next((sign for sign in name if sign in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def _namespace(name: str) -> str:
    """Returns the kind of namespace that a sysctl belongs to, empty for none."""
    if name.startswith(_IPC):
        return "IPC"
    return "Net" if name.startswith("net.") else ""


def decide_admission(pod: Pod, allowed: Allowed, *, apparmor: bool) -> tuple[str, str] | None:
    """Returns reason and message of a pod that the node does not take, None where it does."""
    for sysctl in pod.spec.security_context.sysctls:
        if why := _refusal(pod, normal_name(sysctl.name), allowed):
            return "SysctlForbidden", f"forbidden sysctl: {why}"
    if not apparmor and _needs_apparmor(pod):
        return "AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"
    return None


def _refusal(pod: Pod, name: str, allowed: Allowed) -> str:
    if name not in allowed.names and not name.startswith(allowed.prefixes):
        return f'"{name}" not allowlisted'
    kind = _namespace(name)
    if (kind == "IPC" and pod.spec.host_ipc) or (kind == "Net" and pod.spec.host_network):
        return f'"{name}" not allowed with host {kind} enabled'
    return ""


def _needs_apparmor(pod: Pod) -> bool:
    profiles = [pod.spec.security_context.app_armor_profile]
    for container in all_containers(pod):
        own = container.security_context
        profiles.append(own.app_armor_profile if own is not None else None)
    return any(it is not None and it.type != "Unconfined" for it in profiles)
