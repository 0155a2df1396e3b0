"""The document that the verb `spec` writes: where a bundle begins, as `runc spec` writes it.

Rule: what is written starts as it is, by this runtime and by any other.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "config.json"
_VERSION = "1.2.1"
_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_QUIET = ["nosuid", "noexec", "nodev"]
_MOUNTS: tuple[tuple[str, str, str, list[str]], ...] = (
    ("/proc", "proc", "proc", []),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ),
    ("/dev/shm", "tmpfs", "shm", [*_QUIET, "mode=1777", "size=65536k"]),
    ("/dev/mqueue", "mqueue", "mqueue", _QUIET),
    ("/sys", "sysfs", "sysfs", [*_QUIET, "ro"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", [*_QUIET, "relatime", "ro"]),
)
_MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"),
)
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def render(*, unified: bool) -> dict[str, Any]:
    """The document; `unified`: the machine has control groups of version 2 alone, of which a
    container sees its own."""
    namespaces = ["pid", "network", "ipc", "uts", "mount"] + ["cgroup"] * unified
    capabilities = {it: list(_CAPABILITIES) for it in ("bounding", "effective", "permitted")}
    return {
        "ociVersion": _VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [_PATH, "TERM=xterm"],
            "cwd": "/",
            "capabilities": capabilities,
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "runc",
        "mounts": [_mount(*it) for it in _MOUNTS],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": it} for it in namespaces],
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READONLY),
        },
    }


def rootless(document: dict[str, Any], uid: int, gid: int) -> dict[str, Any]:
    """The same for an ordinary user: their own id alone, no network and no group of their own."""
    linux = {it: value for it, value in document["linux"].items() if it != "resources"}
    kept = [it for it in linux["namespaces"] if it["type"] != "network"]
    linux["namespaces"] = [*kept, {"type": "user"}]
    linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    return {**document, "mounts": [_own(it) for it in document["mounts"]], "linux": linux}


def _mount(destination: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    found = {"destination": destination, "type": kind, "source": source}
    return {**found, "options": list(options)} if options else found


def _own(mount: dict[str, Any]) -> dict[str, Any]:
    """A mount as an ordinary user can have it: a sysfs is the network's owner's alone."""
    if mount["destination"] == "/sys":
        return _mount("/sys", "none", "/sys", ["rbind", *_QUIET, "ro"])
    options = mount.get("options", ())
    kept = [it for it in options if not it.startswith(("gid=", "uid="))]
    return {**mount, "options": kept} if options else mount


def write(directory: str, document: dict[str, Any]) -> None:
    """Writes a document into a bundle that has none yet."""
    import json

    path = os.path.join(directory, NAME)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise ValueError(f"File {NAME} exists. Remove it first") from None
    with open(descriptor, "w") as file:
        file.write(json.dumps(document, indent="\t") + "\n")
