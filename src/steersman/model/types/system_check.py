"""What pods of Linux and of Windows may say (validateOS, validateLinux, validateWindows and
their kin in pkg/apis/core/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from steersman.model import names
from steersman.model.causes import each, forbidden, invalid, not_supported, required
from steersman.model.errors import Cause
from steersman.model.kind import Document

_SYSTEMS: Final = ("linux", "windows")
_NOT_WINDOWS: Final = "cannot be set for a windows pod"
_NOT_LINUX: Final = "windows options cannot be set for a linux pod"
_OF_POD: Final = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
)
_OF_CONTAINER: Final = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)
# what a pod says of its host's namespaces, and whether false is as good as nothing
_NAMESPACES: Final = (
    ("hostUsers", False),
    ("hostPID", True),
    ("hostIPC", True),
    ("shareProcessNamespace", False),
)
_MOST_SPEC_KIB: Final = 64
_MOST_DOMAIN: Final = 256
_MOST_USER: Final = 104
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NET_BIOS: Final = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS_PART: Final = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS: Final = re.compile(rf"{_DNS_PART}(?:\.{_DNS_PART})*")
_NOT_IN_USER: Final = re.compile(r'["/\\:;|=,+*?<>@\[\]]')
_ONLY_DOTS: Final = re.compile("[. ]+")
_ALL_OR_NONE: Final = (
    "If pod contains any hostProcess containers then all containers must be HostProcess containers"
)


def all_containers(spec: Document, path: str) -> Iterator[tuple[str, Document]]:
    """Yields each container of a pod, of all sorts, with where it stands."""
    for name in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(name) or ()):
            yield f"{path}.{name}[{index}]", container


def check_system(spec: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the operating system of a pod, and what its pods cannot have."""
    if (system := spec.get("os")) is None:
        return
    name = system.get("name", "")
    if not name:
        yield required(f"{path}.os.name", "cannot be empty")
    elif name not in _SYSTEMS:
        yield not_supported(f"{path}.os", name, _SYSTEMS)
    elif name == "linux":
        for where, context in _contexts(spec, path):
            if context.get("windowsOptions") is not None:
                yield forbidden(f"{where}.windowsOptions", _NOT_LINUX)
    else:
        yield from _check_windows(spec, path)


def _contexts(spec: Document, path: str) -> Iterator[tuple[str, Document]]:
    yield f"{path}.securityContext", spec.get("securityContext") or {}
    for where, container in all_containers(spec, path):
        yield f"{where}.securityContext", container.get("securityContext") or {}


def _check_windows(spec: Document, path: str) -> Iterator[Cause]:
    for name, plain in _NAMESPACES:
        if spec.get(name) or (not plain and spec.get(name) is not None):
            yield forbidden(f"{path}.{name}", _NOT_WINDOWS)
    for where, context in _contexts(spec, path):
        fields = _OF_POD if where == f"{path}.securityContext" else _OF_CONTAINER
        for name in fields:
            if context.get(name) is not None and (name != "sysctls" or context[name]):
                yield forbidden(f"{where}.{name}", _NOT_WINDOWS)


def check_host_process(spec: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with containers that are processes of a Windows host."""
    whole = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    found = []
    for where, container in all_containers(spec, path):
        context = container.get("securityContext") or {}
        own = (context.get("windowsOptions") or {}).get("hostProcess")
        if whole is not None and own is not None and whole != own:
            detail = "pod hostProcess value must be identical if both are specified, was"
            field = f"{where}.securityContext.windowsOptions.hostProcess"
            yield invalid(field, own, f"{detail} {str(whole).lower()}")
        found.append(bool(whole if own is None else own))
    if not any(found):
        return
    if not all(found):
        yield invalid(path, "", _ALL_OR_NONE)
    if not spec.get("hostNetwork"):
        detail = "hostNetwork must be true if pod contains any hostProcess containers"
        yield invalid(f"{path}.hostNetwork", False, detail)


def check_windows_options(options: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with what a security context says of Windows."""
    if (name := options.get("gmsaCredentialSpecName")) is not None:
        yield from each(f"{path}.gmsaCredentialSpecName", name, names.dns1123_subdomain(name))
    if (text := options.get("gmsaCredentialSpec")) is not None:
        where, size = f"{path}.gmsaCredentialSpec", len(text.encode())
        if not size:
            yield invalid(where, text, "gmsaCredentialSpec cannot be an empty string")
        elif size > _MOST_SPEC_KIB * 1024:
            detail = f"gmsaCredentialSpec size must be under {_MOST_SPEC_KIB} KiB"
            yield invalid(where, text, detail)
    if (user := options.get("runAsUserName")) is not None:
        yield from each(f"{path}.runAsUserName", user, [*_user_problems(user)])


def _user_problems(text: str) -> Iterator[str]:
    if not text:
        yield "runAsUserName cannot be an empty string"
    elif _CONTROL.search(text):
        yield "runAsUserName cannot contain control characters"
    elif text.count("\\") > 1:
        yield "runAsUserName cannot contain more than one backslash"
    else:
        domain, slash, user = text.rpartition("\\")
        if len(domain.encode()) >= _MOST_DOMAIN:
            yield f"runAsUserName's Domain length must be under {_MOST_DOMAIN} characters"
        if slash and not (_NET_BIOS.fullmatch(domain) or _DNS.fullmatch(domain)):
            yield "runAsUserName's Domain doesn't match the NetBios nor the DNS format"
        yield from _account_problems(user)


def _account_problems(user: str) -> Iterator[str]:
    if not user:
        yield "runAsUserName's User cannot be empty"
    elif len(user.encode()) > _MOST_USER:
        yield f"runAsUserName's User length must not be longer than {_MOST_USER} characters"
    if _ONLY_DOTS.fullmatch(user):
        yield "runAsUserName's User cannot contain only periods or spaces"
    if _NOT_IN_USER.search(user):
        signs = r'"/\:;|=,+*?<>@[]'
        yield f"runAsUserName's User cannot contain the following characters: {signs}"
