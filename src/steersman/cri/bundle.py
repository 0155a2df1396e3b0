"""The OCI document of a container of the CRI: pure, from its configuration, image and sandbox.

Follows containerd's CRI plugin in what an option means. What cannot be had raises Failed; nothing
is left out in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from steersman.cri.messages.containers import (
    BIDIRECTIONAL,
    HOST_TO_CONTAINER,
    PRIVATE,
    STRICT,
    ContainerConfig,
    LinuxContainerSecurityContext,
    Mount,
)
from steersman.cri.messages.values import (
    LOCALHOST,
    NODE,
    POD,
    RUNTIME_DEFAULT,
    TARGET,
    Int64Value,
    LinuxContainerResources,
    SELinuxOption,
)
from steersman.images.documents import RunConfig
from steersman.model.kind import Document
from steersman.model.types.container import SELinuxOptions
from steersman.node.render.bundle import choose_capabilities, render_label
from steersman.runtime import spec
from steersman.wire.http2.grpc import INVALID_ARGUMENT, Failed

_PROPAGATION: Final = {HOST_TO_CONTAINER: "rslave", BIDIRECTIONAL: "rshared"}
_ETC: Final = ("hosts", "hostname", "resolv.conf")


class Ground(msgspec.Struct, frozen=True):
    """What a container stands on.

    pid, userns, shm:  of the sandbox
    pidns:             of one whose containers share their processes
    layers:            directories, top first
    etc:               the files that the sandbox has for /etc
    target:            the process whose processes are shared, 0 for nobody's
    devices:           those of the machine that it gets (linux.devices)
    seccomp:           the profile that it names, as it was read
    images:            where the images are that it mounts, by its paths
    """

    pid: int
    userns: str
    pidns: str
    shm: str
    layers: Sequence[Path]
    etc: Path
    log: str
    target: int = 0
    devices: Sequence[Document] = ()
    seccomp: Document | None = None
    images: Mapping[str, Path] = {}


def render(config: ContainerConfig, image: RunConfig, ground: Ground) -> Document:
    """Returns the document that the runtime makes the container from; raises Failed."""
    security = _security(config)
    resources = config.linux.resources if config.linux is not None else None
    options = security.namespace_options
    document = spec.container_document(
        args=_arguments(config, image),
        layers=[str(it) for it in ground.layers],
        sandbox_pid=ground.pid,
        userns=ground.userns,
        pidns=ground.pidns if options is None or options.pid == POD else "",
        env=_environment(config, image),
        cwd=config.working_dir or image.working_dir or "/",
        user=_user(security, image),
        capabilities=_capabilities(security),
        mounts=_mounts(config, ground),
        shm=ground.shm,
        resources=render_resources(resources),
        log=ground.log,
        terminal=config.tty,
        stdin=config.stdin,
        stdin_once=config.stdin_once,
        readonly_root=security.readonly_rootfs,
        no_new_privileges=security.no_new_privs,
        privileged=security.privileged,
        host_pid=options is not None and options.pid == NODE,
        seccomp=_seccomp(security),
        oom_score_adj=resources.oom_score_adj if resources is not None else None,
    )
    linux = document["linux"]
    # They are the kubelet's to choose, and none stands for an unmasked /proc
    linux["maskedPaths"] = list(security.masked_paths)
    linux["readonlyPaths"] = list(security.readonly_paths)
    if propagation := _root_propagation(config.mounts):
        linux["rootfsPropagation"] = propagation
    if ground.target:
        for namespace in linux["namespaces"]:
            if namespace["type"] == "pid":
                namespace["path"] = f"/proc/{ground.target}/ns/pid"
    if ground.seccomp is not None:
        linux["seccomp"] = ground.seccomp
    if security.capabilities is not None and security.capabilities.add_ambient_capabilities:
        names = [_full(it) for it in security.capabilities.add_ambient_capabilities]
        document["process"]["capabilities"] |= {"inheritable": names, "ambient": names}
    _label(document, security)
    _add_devices(document, config, ground.devices)
    return document


def _security(config: ContainerConfig) -> LinuxContainerSecurityContext:
    found = config.linux.security_context if config.linux is not None else None
    return found or LinuxContainerSecurityContext()


def refuse(config: ContainerConfig) -> None:
    """Raises Failed for what this runtime does not have, before anything is made for it."""
    security = _security(config)
    if security.run_as_user is None and not security.run_as_username and security.run_as_group:
        text = "user group must be specified with user or username"
        raise Failed(INVALID_ARGUMENT, text)


def _arguments(config: ContainerConfig, image: RunConfig) -> list[str]:
    command, arguments = list(config.command), list(config.args)
    if not command:
        command = list(image.entrypoint or ())
        arguments = arguments or list(image.cmd or ())
    if not command and not arguments:
        raise Failed(INVALID_ARGUMENT, "failed to generate spec: no command specified")
    return command + arguments


def _environment(config: ContainerConfig, image: RunConfig) -> list[str]:
    pairs = dict(it.partition("=")[::2] for it in image.env or ())
    pairs |= {it.key: it.value.decode("utf-8", "surrogateescape") for it in config.envs}
    return [f"{name}={value}" for name, value in pairs.items()]


def _user(security: LinuxContainerSecurityContext, image: RunConfig) -> Document:
    """Returns the user section; names are looked up in the container's own files."""
    name = _number(security.run_as_user) or security.run_as_username or image.user or "0"
    if security.run_as_group is not None:
        name = f"{name.partition(':')[0]}:{security.run_as_group.value}"
    groups = list(security.supplemental_groups)
    found: Document = {"uid": 0, "gid": 0, "username": name, "additionalGids": groups}
    if security.supplemental_groups_policy == STRICT:
        found["imageGroups"] = False
    return found


def _number(value: Int64Value | None) -> str:
    return "" if value is None else str(value.value)


def _full(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def _capabilities(security: LinuxContainerSecurityContext) -> list[str]:
    asked = security.capabilities
    if asked is None:
        return choose_capabilities((), ())
    return choose_capabilities(asked.add_capabilities, asked.drop_capabilities)


def _mounts(config: ContainerConfig, ground: Ground) -> list[Document]:
    """Returns the bind mounts: the sandbox's files where nothing takes their place, then what lies
    deeper later, so that it is not hidden."""
    taken = {it.container_path.rstrip("/") for it in config.mounts}
    paths = {f"/etc/{name}": ground.etc / name for name in _ETC}
    files = [
        spec.bind_mount(str(source), path, recursive=False, mapped=bool(ground.userns))
        for path, source in paths.items()
        if path not in taken
    ]
    asked = sorted(config.mounts, key=lambda it: it.container_path.rstrip("/").count("/"))
    return [*files, *(_mount(it, ground.images.get(it.container_path)) for it in asked)]


def _mount(mount: Mount, image: Path | None) -> Document:
    if mount.recursive_read_only and not mount.readonly:
        text = f"recursive_read_only conflicts with readonly == false ({mount.container_path})"
        raise Failed(INVALID_ARGUMENT, text)
    if mount.recursive_read_only and mount.propagation != PRIVATE:
        text = "recursive_read_only conflicts with a propagation that is not private"
        raise Failed(INVALID_ARGUMENT, f"{text} ({mount.container_path})")
    made = spec.bind_mount(
        mount.host_path if image is None else str(image),
        mount.container_path,
        readonly=mount.readonly,
        propagation=_PROPAGATION.get(mount.propagation, "rprivate"),
        mapped=bool(mount.uidMappings),
        subpath="" if image is None else mount.image_sub_path,
    )
    if mount.recursive_read_only:
        made["options"].append("rro")
    return made


def _seccomp(security: LinuxContainerSecurityContext) -> str:
    """Returns the profile of ours; a container that names none is not confined."""
    profile = security.seccomp
    return "default" if profile is not None and profile.profile_type == RUNTIME_DEFAULT else ""


def _root_propagation(mounts: Sequence[Mount]) -> str:
    """Returns how the container's root must be for mounts to be seen on the other side."""
    kinds = {it.propagation for it in mounts}
    if BIDIRECTIONAL in kinds:
        return "rshared"
    return "rslave" if HOST_TO_CONTAINER in kinds else ""


def _label(document: Document, security: LinuxContainerSecurityContext) -> None:
    apparmor = security.apparmor
    if apparmor is not None and apparmor.profile_type == LOCALHOST and not security.privileged:
        document["process"]["apparmorProfile"] = apparmor.localhost_ref
    if (label := _selinux(security.selinux_options)) and not security.privileged:
        document["process"]["selinuxLabel"] = label


def _selinux(options: SELinuxOption | None) -> str:
    if options is None:
        return ""
    asked = SELinuxOptions(options.user, options.role, options.type, options.level)
    return render_label(asked)


def _add_devices(document: Document, config: ContainerConfig, found: Sequence[Document]) -> None:
    linux = document["linux"]
    if found:
        linux["devices"] = list(found)
    for device, asked in zip(found, config.devices, strict=True):
        rule = {it: device[it] for it in ("type", "major", "minor")}
        rule |= {"allow": True, "access": asked.permissions or "rwm"}
        linux["resources"]["devices"].append(rule)


def render_resources(asked: LinuxContainerResources | None) -> Document:
    """Returns linux.resources; what is 0 or empty is not limited."""
    if asked is None:
        return {}
    cpu = {
        "shares": asked.cpu_shares,
        "quota": asked.cpu_quota,
        "period": asked.cpu_period,
        "cpus": asked.cpuset_cpus,
        "mems": asked.cpuset_mems,
    }
    memory = {"limit": asked.memory_limit_in_bytes, "swap": asked.memory_swap_limit_in_bytes}
    found: Document = {
        "cpu": {name: value for name, value in cpu.items() if value},
        "memory": {name: value for name, value in memory.items() if value},
        "hugepageLimits": [
            {"pageSize": it.page_size, "limit": it.limit} for it in asked.hugepage_limits
        ],
        "unified": dict(asked.unified),
    }
    return {name: value for name, value in found.items() if value}


def joins(config: ContainerConfig) -> str:
    """Returns the container whose processes a container shares, empty for none."""
    options = _security(config).namespace_options
    return options.target_id if options is not None and options.pid == TARGET else ""


def profile_path(config: ContainerConfig) -> str:
    """Returns the file of the seccomp profile that a container names, empty for none."""
    security = _security(config)
    profile = security.seccomp
    if security.privileged or profile is None or profile.profile_type != LOCALHOST:
        return ""
    return profile.localhost_ref
