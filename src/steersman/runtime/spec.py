"""OCI documents for containers of a pod, in the form that `Engine.create` takes.

Pure. A document is the runtime-spec's config.json, with what Steersman adds under "steersman":
layers (directories, top first; in place of root.path), log (path of the CRI log), seccomp
("default" for the default profile), stdin, stdinOnce. A bind mount may have a "subPath".
"""

from __future__ import annotations

from .container import EXTRA
from .kernel.capabilities import DEFAULT, NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Document = dict[str, Any]

OCI_VERSION = "1.2.0"
# What containerd hides from a container that is not privileged.
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)
ALL_CAPABILITIES = NAMES
DEFAULT_CAPABILITIES = DEFAULT


def default_mounts(shm: str = "", *, privileged: bool = False) -> list[Document]:
    """The kernel file systems of a container; `shm` is the pod's shared memory directory."""
    system = ["nosuid", "noexec", "nodev", "rw" if privileged else "ro"]
    mounts: list[Document] = [
        _mount("/proc", "proc", ["nosuid", "noexec", "nodev"]),
        _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount("/dev/pts", "devpts", _PTS_OPTIONS),
        _mount("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
        _mount("/sys", "sysfs", system),
        _mount("/sys/fs/cgroup", "cgroup", [*system, "relatime"]),
    ]
    if shm:
        mounts.append(bind_mount(shm, "/dev/shm"))
    else:
        mounts.append(_mount("/dev/shm", "tmpfs", _SHM_OPTIONS))
    return mounts


_PTS_OPTIONS = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
_SHM_OPTIONS = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]


def _mount(destination: str, kind: str, options: list[str]) -> Document:
    return {"destination": destination, "type": kind, "source": kind, "options": options}


def bind_mount(
    source: str,
    destination: str,
    *,
    readonly: bool = False,
    recursive: bool = True,
    propagation: str = "rprivate",
    subpath: str = "",
    mapped: bool = False,
) -> Document:
    """A bind mount; `subpath` is looked up beneath `source` and cannot leave it.

    With `mapped` owners are shown as the container's user namespace has them.
    """
    options = ["rbind" if recursive else "bind", propagation, "ro" if readonly else "rw"]
    mount: Document = {
        "destination": destination,
        "type": "bind",
        "source": source,
        "options": options,
    }
    if mapped:
        options.append("idmap")
    if subpath:
        mount["subPath"] = subpath
    return mount


def pod_namespaces(
    sandbox_pid: int, *, host_pid: bool = False, userns: str = "", pidns: str = ""
) -> list[Document]:
    """The namespaces of a container in the pod whose shim has that id, and that user namespace;
    a pid namespace of its own unless there is one at `pidns`."""
    joined = [
        {"type": kind, "path": f"/proc/{sandbox_pid}/ns/{name}"}
        for kind, name in (("network", "net"), ("ipc", "ipc"), ("uts", "uts"))
    ]
    own: list[Document] = [{"type": "mount"}, {"type": "cgroup"}]
    if userns:
        own.append({"type": "user", "path": userns})
    if not host_pid:
        own.append({"type": "pid", "path": pidns} if pidns else {"type": "pid"})
    return [*joined, *own]


def container_document(
    *,
    args: Sequence[str],
    layers: Sequence[str],
    sandbox_pid: int,
    userns: str = "",
    pidns: str = "",
    env: Sequence[str] = (),
    cwd: str = "/",
    user: Document | None = None,
    capabilities: Sequence[str] = DEFAULT_CAPABILITIES,
    mounts: Sequence[Document] = (),
    shm: str = "",
    resources: Document | None = None,
    log: str = "",
    terminal: bool = False,
    stdin: bool = False,
    stdin_once: bool = False,
    readonly_root: bool = False,
    no_new_privileges: bool = False,
    privileged: bool = False,
    host_pid: bool = False,
    seccomp: str = "default",
    oom_score_adj: int | None = None,
) -> Document:
    """The document of one container; a caller may change what it returns before `create`."""
    names = list(ALL_CAPABILITIES if privileged else capabilities)
    process: Document = {
        "args": list(args),
        "env": list(env),
        "cwd": cwd,
        "user": user or {"uid": 0, "gid": 0},
        "terminal": terminal,
        "noNewPrivileges": no_new_privileges,
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), names),
    }
    if oom_score_adj is not None:
        process["oomScoreAdj"] = oom_score_adj
    devices = [{"allow": True, "access": "rwm"}] if privileged else []
    return {
        "ociVersion": OCI_VERSION,
        "process": process,
        "root": {"readonly": readonly_root},
        "mounts": [*default_mounts(shm, privileged=privileged), *mounts],
        "linux": {
            "namespaces": pod_namespaces(
                sandbox_pid, host_pid=host_pid, userns=userns, pidns=pidns
            ),
            "resources": {**(resources or {}), "devices": devices},
            "maskedPaths": [] if privileged else list(MASKED_PATHS),
            "readonlyPaths": [] if privileged else list(READONLY_PATHS),
        },
        EXTRA: {
            "layers": list(layers),
            "log": log,
            "seccomp": "" if privileged else seccomp,
            "stdin": stdin,
            "stdinOnce": stdin_once,
        },
    }
