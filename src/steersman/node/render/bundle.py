"""The OCI document of a container: pure, from the pod, the container and its image.

Security, resources and mounts follow the kubelet and containerd's CRI plugin. What cannot be had
raises BadConfiguration; nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from steersman.images.documents import RunConfig
from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import (
    Capabilities,
    Container,
    Profile,
    SecurityContext,
    SELinuxOptions,
    VolumeMount,
)
from steersman.node.objects import BadConfiguration
from steersman.node.render import limits
from steersman.node.render.expand import expand, references
from steersman.node.render.limits import Pin
from steersman.node.render.swap import NO_SWAP, Swap
from steersman.runtime import spec

_PROPAGATION = {
    "": "rprivate",
    "None": "rprivate",
    "HostToContainer": "rslave",
    "Bidirectional": "rshared",
}
# Users and groups beyond have other meanings to system calls (validation.IsValidUserID)
MAX_ID = (1 << 31) - 1
_DEVICE_MODE = 0o660  # a disk's, as udev makes it
_SELINUX_USUAL = ("system_u", "system_r", "container_t", "s0")
_ETC = ("hosts", "hostname", "resolv.conf")


class Device(msgspec.Struct, frozen=True):
    """A block device of the machine that a volume is."""

    major: int
    minor: int
    readonly: bool = False


class Ground(msgspec.Struct, frozen=True):
    """What a container stands on.

    layers:   directories, top first
    volumes:  where each volume is on the node
    readonly: those that the node keeps true, and nobody else writes to
    userns:   of a pod with users of its own; what is mounted has the owners that are on disk
    pidns:    of a pod whose containers share their processes
    seccomp:  the local profile that the container names (linux.seccomp)
    apparmor: the profile that RuntimeDefault means, empty where there is none
    devices:  what volumes are that containers use as devices
    pin:      on which processors it may run
    selinux:  whether the kernel labels by SELinux; else options for it mean nothing
    page_sizes: those of huge pages that are limited here
    swap:     how much of it containers may use
    """

    pid: int
    shm: str
    layers: Sequence[Path]
    volumes: Mapping[str, Path]
    readonly: Collection[str]
    etc: Path
    termination_log: Path
    log: Path
    memory_bytes: int
    userns: str = ""
    pidns: str = ""
    seccomp: Document | None = None
    apparmor: str = ""
    devices: Mapping[str, Device] = {}
    pin: Pin = Pin()
    selinux: bool = False
    page_sizes: Collection[int] = ()
    swap: Swap = NO_SWAP


def render_bundle(
    pod: Pod,
    container: Container,
    image: RunConfig,
    environment: Mapping[str, str],
    ground: Ground,
) -> Document:
    """Returns the document that the runtime makes the container from."""
    security = container.security_context or SecurityContext()
    privileged = bool(security.privileged)
    env = {**_image_environment(image), **environment}
    document = spec.container_document(
        args=render_arguments(container, image, env),
        layers=[str(layer) for layer in ground.layers],
        sandbox_pid=ground.pid,
        userns=ground.userns,
        pidns=ground.pidns,
        env=[f"{name}={value}" for name, value in env.items()],
        cwd=container.working_dir or image.working_dir or "/",
        user=_user(pod, container, image),
        capabilities=_capabilities(security),
        mounts=_mounts(container, ground, env),
        shm=ground.shm,
        resources=resources_of(pod, container, ground),
        log=str(ground.log),
        terminal=container.tty,
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        readonly_root=bool(security.read_only_root_filesystem),
        no_new_privileges=security.allow_privilege_escalation is False,
        privileged=privileged,
        host_pid=pod.spec.host_pid,
        seccomp=_seccomp(profile_of(pod, container), ground.seccomp),
        oom_score_adj=limits.oom_score(pod, container, ground.memory_bytes),
    )
    _add_devices(document, container, ground)
    if name := _apparmor(pod, container, ground.apparmor):
        document["process"]["apparmorProfile"] = name
    if ground.selinux and (label := _selinux(pod, container)):
        document["process"]["selinuxLabel"] = label
    if ground.seccomp is not None:
        document["linux"]["seccomp"] = ground.seccomp
    if security.proc_mount == "Unmasked":
        document["linux"]["maskedPaths"] = []
        document["linux"]["readonlyPaths"] = []
    return document


def resources_of(pod: Pod, container: Container, ground: Ground) -> Document:
    """Returns linux.resources of a container, for whichever engine."""
    return limits.render_resources(pod, container, ground.pin, ground.page_sizes, ground.swap)


def _add_devices(document: Document, container: Container, ground: Ground) -> None:
    """Shows volumes as devices, and lets the container use them (kubelet's makeBlockVolumes)."""
    for it in container.volume_devices:
        device = ground.devices[it.name]
        numbers = {"type": "b", "major": device.major, "minor": device.minor}
        access = "rm" if device.readonly else "rwm"
        node = {"path": it.device_path, "fileMode": _DEVICE_MODE, **numbers}
        document["linux"].setdefault("devices", []).append(node)
        rule = {"allow": True, "access": access, **numbers}
        document["linux"]["resources"]["devices"].append(rule)


def _image_environment(image: RunConfig) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in image.env or ())
    return {name: value for name, _, value in pairs}


def render_arguments(container: Container, image: RunConfig, env: Mapping[str, str]) -> list[str]:
    """Returns what is executed: a command replaces the image's whole, arguments its own."""
    command = [expand(word, env) for word in container.command]
    arguments = [expand(word, env) for word in container.args]
    if not command:
        command = list(image.entrypoint or ())
        if not arguments:
            arguments = list(image.cmd or ())
    if not command and not arguments:
        raise BadConfiguration("failed to generate spec: no command specified")
    return command + arguments


def _user(pod: Pod, container: Container, image: RunConfig) -> Document:
    """Returns the user section; names are looked up in the container's own files."""
    own, shared = container.security_context or SecurityContext(), pod.spec.security_context
    uid = own.run_as_user if own.run_as_user is not None else shared.run_as_user
    gid = own.run_as_group if own.run_as_group is not None else shared.run_as_group
    check_non_root(pod, container, image, uid)
    name = str(uid) if uid is not None else image.user or "0"
    if gid is not None:
        name = f"{name.partition(':')[0]}:{gid}"
    groups = [*shared.supplemental_groups]
    if shared.fs_group is not None:
        groups.append(shared.fs_group)
    found = {"uid": 0, "gid": 0, "username": name, "additionalGids": groups}
    if shared.supplemental_groups_policy == "Strict":
        found["imageGroups"] = False
    return found


def check_non_root(pod: Pod, container: Container, image: RunConfig, uid: int | None) -> None:
    """Raises BadConfiguration for a container that must not run as root and would, or might."""
    own = container.security_context
    wanted = own.run_as_non_root if own is not None else None
    if wanted is None:
        wanted = pod.spec.security_context.run_as_non_root
    if not wanted:
        return
    where = (
        f'(pod: "{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})", '
        f"container: {container.name})"
    )
    if uid is not None:
        if uid == 0:
            text = "container's runAsUser breaks non-root policy"
            raise BadConfiguration(f"{text} {where}")
        return
    name = image.user.partition(":")[0]
    if name.isdecimal() and 0 < int(name) <= MAX_ID:
        return
    if not name or name.isdecimal():
        text = "container has runAsNonRoot and image will run as root"
    else:
        text = (
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            "cannot verify user is non-root"
        )
    raise BadConfiguration(f"{text} {where}")


def _capabilities(security: SecurityContext) -> list[str]:
    asked = security.capabilities or Capabilities()
    return choose_capabilities(asked.add, asked.drop)


def choose_capabilities(add: Collection[str], drop: Collection[str]) -> list[str]:
    """Returns the default set without what is dropped and with what is added; names in any case,
    with CAP_ and without."""
    names = list(spec.ALL_CAPABILITIES if "ALL" in add else spec.DEFAULT_CAPABILITIES)
    dropped = {_capability(name) for name in drop}
    names = [] if "ALL" in drop else [it for it in names if it not in dropped]
    for name in add:
        if name != "ALL" and _capability(name) not in names:
            names.append(_capability(name))
    return names


def _capability(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def profile_of(pod: Pod, container: Container) -> Profile | None:
    """Returns the seccomp profile that a container or else its pod names, None for neither; a
    privileged one is unconfined."""
    own = container.security_context or SecurityContext()
    if own.privileged:
        return Profile("Unconfined")
    return own.seccomp_profile or pod.spec.security_context.seccomp_profile


def _seccomp(profile: Profile | None, local: Document | None) -> str:
    if profile is None or profile.type == "RuntimeDefault":
        return "default"
    if profile.type == "Unconfined" or (profile.type == "Localhost" and local is not None):
        return ""
    raise BadConfiguration(f"seccomp profiles of type {profile.type} are not supported")


def _apparmor(pod: Pod, container: Container, default: str) -> str:
    """Returns the profile that is loaded on the node under that name, empty for none."""
    own = container.security_context or SecurityContext()
    profile = own.app_armor_profile or pod.spec.security_context.app_armor_profile
    if profile is None or own.privileged or profile.type == "Unconfined":
        return ""
    if profile.type == "Localhost":
        return profile.localhost_profile
    if not default:
        text = "the node could not load it (is apparmor_parser installed?)"
        raise BadConfiguration(f"there is no AppArmor profile for {profile.type}: {text}")
    return default


def _selinux(pod: Pod, container: Container) -> str:
    """Returns the label of a container's own options or else its pod's, empty for none."""
    own = container.security_context or SecurityContext()
    options = own.se_linux_options or pod.spec.security_context.se_linux_options
    return "" if own.privileged else render_label(options)


def render_label(options: SELinuxOptions | None) -> str:
    """Returns an SELinux label, empty where nothing is asked for; what is left out is as of any
    container (container-selinux's policy)."""
    if options is None or options == SELinuxOptions():
        return ""
    asked = (options.user, options.role, options.type, options.level)
    usual = zip(asked, _SELINUX_USUAL, strict=True)
    return ":".join(given or default for given, default in usual)


def _mounts(container: Container, ground: Ground, env: Mapping[str, str]) -> list[Document]:
    """Returns the bind mounts; what the pod mounts itself takes the place of our files."""
    ours = {f"/etc/{name}": ground.etc / name for name in _ETC}
    ours[container.termination_message_path] = ground.termination_log
    own = [_volume_mount(mount, ground, env) for mount in container.volume_mounts]
    taken = {mount["destination"].rstrip("/") for mount in own}
    found = [
        spec.bind_mount(str(source), path, recursive=False, mapped=bool(ground.userns))
        for path, source in ours.items()
        if path not in taken
    ]
    # What lies deeper comes later, so that it is not hidden
    return [*found, *sorted(own, key=lambda it: it["destination"].rstrip("/").count("/"))]


def _volume_mount(mount: VolumeMount, ground: Ground, env: Mapping[str, str]) -> Document:
    if mount.name not in ground.volumes:
        raise BadConfiguration(f"volume {mount.name} is not there")
    made = spec.bind_mount(
        str(ground.volumes[mount.name]),
        mount.mount_path,
        readonly=mount.read_only or mount.name in ground.readonly,
        propagation=_PROPAGATION[mount.mount_propagation],
        mapped=bool(ground.userns),
        subpath=subpath_of(mount, env),
    )
    if is_recursive(mount):
        made["options"].append("rro")
    return made


def is_recursive(mount: VolumeMount) -> bool:
    """Whether what is mounted inside of a volume is only read too (KEP-3857); the runtime can."""
    return mount.read_only and mount.recursive_read_only in ("Enabled", "IfPossible")


def subpath_of(mount: VolumeMount, env: Mapping[str, str]) -> str:
    """Returns the path in the volume; what an expression comes to is checked only here."""
    if not mount.sub_path_expr:
        return mount.sub_path
    if missing := [it for it in references(mount.sub_path_expr) if not env.get(it)]:
        raise BadConfiguration(f"missing value for {', '.join(missing)}")
    path = expand(mount.sub_path_expr, env)
    if path.startswith("/"):
        raise BadConfiguration(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise BadConfiguration(f"unable to provision SubPath `{path}`: must not contain '..'")
    return path
