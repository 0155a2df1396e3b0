"""What is checked of security contexts of pods and containers (pkg/apis/core/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from steersman.model import names
from steersman.model.causes import duplicate, each, invalid, not_supported, required, too_long
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.system_check import check_windows_options
from steersman.model.types.volume_check import check_descending

_MOST_ID: Final = 2**31 - 1
_PROFILES: Final = ("Localhost", "RuntimeDefault", "Unconfined")
_MOST_PROFILE_BYTES: Final = 4095  # PATH_MAX without its end
_PROC_MOUNTS: Final = ("Default", "Unmasked")
_MOST_SYSCTL_LENGTH: Final = 253
_SEGMENT: Final = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL: Final = rf"^({_SEGMENT}[\./])*{_SEGMENT}$"
_is_sysctl = re.compile(_SYSCTL).match


def _check_ids(context: Document, path: str, *fields: str) -> Iterator[Cause]:
    for name in fields:
        if (number := context.get(name)) is not None:
            yield from each(f"{path}.{name}", number, names.in_range(number, 0, _MOST_ID))


def check_pod_context(context: Document, spec: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the security context of a pod."""
    yield from _check_ids(context, path, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        where = f"{path}.supplementalGroups[{index}]"
        yield from each(where, group, names.in_range(group, 0, _MOST_ID))
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid(f"{path}.shareProcessNamespace", True, detail)
    if sysctls := context.get("sysctls"):
        yield from _check_sysctls(sysctls, f"{path}.sysctls", spec)
    policy = context.get("fsGroupChangePolicy")
    if policy is not None and policy not in ("Always", "OnRootMismatch"):
        supported = ("Always", "OnRootMismatch")
        yield not_supported(f"{path}.fsGroupChangePolicy", policy, supported)
    yield from _check_profiles(context, path)
    policy = context.get("supplementalGroupsPolicy")
    if policy is not None and policy not in ("Merge", "Strict"):
        yield not_supported(f"{path}.supplementalGroupsPolicy", policy, ("Merge", "Strict"))
    policy, supported = context.get("seLinuxChangePolicy"), ("MountOption", "Recursive")
    if policy is not None and policy not in supported:
        yield not_supported(f"{path}.seLinuxChangePolicy", policy, supported)


def _check_sysctls(sysctls: Sequence[Document], path: str, spec: Document) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        name, where = sysctl.get("name", ""), f"{path}[{index}].name"
        if not name:
            yield required(where)
        elif len(name) > _MOST_SYSCTL_LENGTH or not _is_sysctl(name):
            detail = f"must have at most {_MOST_SYSCTL_LENGTH} characters and match regex {_SYSCTL}"
            yield invalid(where, name, detail)
        elif name in seen:
            yield duplicate(where, name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            yield invalid(where, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and dotted.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")):
            yield invalid(where, name, "may not be specified when 'hostIPC' is true")
        seen.add(name)


def check_container_context(context: Document, path: str, host_users: bool) -> Iterator[Cause]:
    """Yields what is wrong with the security context of a container."""
    yield from _check_ids(context, path, "runAsUser", "runAsGroup")
    mount = context.get("procMount")
    if mount is not None:
        if mount not in _PROC_MOUNTS:
            yield not_supported(f"{path}.procMount", mount, _PROC_MOUNTS)
        if host_users and mount == "Unmasked":
            detail = "`hostUsers` must be false to use `Unmasked`"
            yield invalid(f"{path}.procMount", mount, detail)
    yield from _check_seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        prefix = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            yield invalid(path, context, f"{prefix} `privileged` to true")
        added = (context.get("capabilities") or {}).get("add") or ()
        if "CAP_SYS_ADMIN" in added:
            yield invalid(path, context, f"{prefix} `capabilities.Add` CAP_SYS_ADMIN")
    yield from _check_windows(context, path)
    yield from _check_app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def _check_windows(context: Document, path: str) -> Iterator[Cause]:
    if (options := context.get("windowsOptions")) is not None:
        yield from check_windows_options(options, f"{path}.windowsOptions")


def _check_profiles(context: Document, path: str) -> Iterator[Cause]:
    yield from _check_seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    yield from _check_windows(context, path)
    yield from _check_app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def _check_seccomp(profile: Document | None, path: str) -> Iterator[Cause]:
    if profile is None:
        return
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    where = f"{path}.localhostProfile"
    if not kind:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    elif kind not in _PROFILES:
        yield not_supported(f"{path}.type", kind, _PROFILES)
    if kind == "Localhost":
        if local is None:
            yield required(where, "must be set when seccomp type is Localhost")
        else:
            yield from check_descending(local, where)
    elif local is not None:
        yield invalid(where, profile, "can only be set when seccomp type is Localhost")


def _check_app_armor(profile: Document | None, path: str) -> Iterator[Cause]:
    if profile is None:
        return
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    where = f"{path}.localhostProfile"
    if not kind:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")
    elif kind not in _PROFILES:
        yield not_supported(f"{path}.type", kind, _PROFILES)
    elif kind == "Localhost":
        if local is not None and local.strip() != local:
            yield invalid(where, local, "must not be padded with whitespace")
        elif not local:
            yield required(where, "must be set when AppArmor type is Localhost")
        if local is not None and len(local.encode()) > _MOST_PROFILE_BYTES:
            yield too_long(where, _MOST_PROFILE_BYTES)
    elif local is not None:
        yield invalid(where, local, "can only be set when AppArmor type is Localhost")
