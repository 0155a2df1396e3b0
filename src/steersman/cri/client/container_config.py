"""What a runtime makes a container from: pure, from what the agent orders, as the kubelet has it.

Source: kuberuntime_container.go, generateContainerConfig, and security_context.go. What the runtime
cannot do raises BadConfiguration; nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from steersman.cri.client.naming import render_annotations, render_labels
from steersman.cri.client.resources import render_resources
from steersman.cri.client.sandbox_config import (
    render_id,
    render_ids,
    render_namespaces,
    render_policy,
    render_selinux,
)
from steersman.cri.messages.containers import (
    BIDIRECTIONAL,
    HOST_TO_CONTAINER,
    PRIVATE,
    SIGNALS,
    Capability,
    CDIDevice,
    ContainerConfig,
    ContainerMetadata,
    Device,
    LinuxContainerConfig,
    LinuxContainerSecurityContext,
    Mount,
)
from steersman.cri.messages.values import (
    LOCALHOST,
    RUNTIME_DEFAULT,
    TARGET,
    UNCONFINED,
    ImageSpec,
    KeyValue,
    NamespaceOption,
    SecurityProfile,
)
from steersman.model.kind import Document
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import (
    Capabilities,
    Container,
    Profile,
    SecurityContext,
    VolumeMount,
)
from steersman.node.engine.interface import Handler, Order
from steersman.node.objects import BadConfiguration
from steersman.node.render import limits
from steersman.node.render.bundle import check_non_root, profile_of, resources_of, subpath_of
from steersman.node.render.expand import expand
from steersman.runtime.spec import MASKED_PATHS, READONLY_PATHS

_PROPAGATION: Final = {
    "": PRIVATE,
    "None": PRIVATE,
    "HostToContainer": HOST_TO_CONTAINER,
    "Bidirectional": BIDIRECTIONAL,
}
_PROFILES: Final = {
    "RuntimeDefault": RUNTIME_DEFAULT,
    "Unconfined": UNCONFINED,
    "Localhost": LOCALHOST,
}


def render_container(
    order: Order,
    cluster: str,
    handler: Handler,
    ids: Document,
    subpaths: Mapping[str, str],
    images: Mapping[str, ImageSpec],
    target: str,
    seccomp_root: str,
) -> ContainerConfig:
    """Returns the configuration of one run.

    subpaths: where on the machine a subPath of a mount is, by the mount's path
    images:   the volumes that are images, by name
    target:   the id of the container whose processes this one shall see, empty for none
    """
    pod, container, ground = order.pod, order.container, order.ground
    variables = order.variables
    stop = container.lifecycle.stop_signal if container.lifecycle is not None else ""
    return ContainerConfig(
        metadata=ContainerMetadata(container.name, order.attempt),
        image=ImageSpec(order.image.digest, user_specified_image=container.image),
        command=tuple(expand(it, variables) for it in container.command),
        args=tuple(expand(it, variables) for it in container.args),
        working_dir=container.working_dir,
        envs=tuple(KeyValue(name, value.encode()) for name, value in variables.items()),
        mounts=tuple(_mounts(order, handler, ids, subpaths, images)),
        devices=tuple(_devices(order)),
        CDI_devices=tuple(map(CDIDevice, order.injection.cdi)),
        labels=render_labels(pod, container, cluster),
        annotations={
            **order.injection.annotations,
            **render_annotations(pod, container, order.attempt),
        },
        log_path=f"{container.name}/{ground.log.name}",
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        tty=container.tty,
        linux=LinuxContainerConfig(
            resources=render_resources(
                resources_of(pod, container, ground),
                limits.oom_score(pod, container, ground.memory_bytes),
            ),
            security_context=_security(order, ids, target, seccomp_root),
        ),
        stop_signal=SIGNALS.index(stop) if stop in SIGNALS else 0,
    )


def _mounts(
    order: Order,
    handler: Handler,
    ids: Document,
    subpaths: Mapping[str, str],
    images: Mapping[str, ImageSpec],
) -> list[Mount]:
    """Returns the bind mounts; what the pod mounts itself takes the place of our files."""
    container, ground = order.container, order.ground
    maps = render_ids(ids.get("uidMappings", ())), render_ids(ids.get("gidMappings", ()))
    own = [
        _mount_image(it, images[it.name], order)
        if it.name in images
        else _mount(it, order, handler, subpaths)
        for it in container.volume_mounts
    ]
    taken = {it.container_path.rstrip("/") for it in own}
    ours = {"/etc/hosts": ground.etc / "hosts"}
    ours[container.termination_message_path] = ground.termination_log
    found = [Mount(path, str(source)) for path, source in ours.items() if path not in taken]
    injected = [
        Mount(it.target, it.source, readonly=it.readonly)
        for it in order.injection.mounts
        if it.target not in taken
    ]
    return [_mapped(it, *maps) for it in [*own, *found, *injected]]


def _mapped(mount: Mount, uids: tuple[Any, ...], gids: tuple[Any, ...]) -> Mount:
    return replace(mount, uidMappings=uids, gidMappings=gids) if uids else mount


def _mount_image(mount: VolumeMount, image: ImageSpec, order: Order) -> Mount:
    """Returns an image as a mount: the runtime shows it, or a part of it, for reading alone."""
    return Mount(
        container_path=mount.mount_path,
        readonly=True,
        image=image,
        image_sub_path=subpath_of(mount, order.variables),
    )


def _mount(
    mount: VolumeMount, order: Order, handler: Handler, subpaths: Mapping[str, str]
) -> Mount:
    ground = order.ground
    if mount.name not in ground.volumes:
        raise BadConfiguration(f"volume {mount.name} is not there")
    recursive = mount.recursive_read_only in ("Enabled", "IfPossible")
    if mount.recursive_read_only == "Enabled" and not handler.recursive_read_only_mounts:
        text = f'volume "{mount.name}" requested recursive read-only mode, but it is not supported '
        raise BadConfiguration(f"{text}by the runtime")
    return Mount(
        container_path=mount.mount_path,
        host_path=subpaths.get(mount.mount_path) or str(ground.volumes[mount.name]),
        readonly=mount.read_only or mount.name in ground.readonly,
        propagation=_PROPAGATION[mount.mount_propagation],
        recursive_read_only=recursive and handler.recursive_read_only_mounts,
    )


def _devices(order: Order) -> list[Device]:
    """Returns the volumes that the container uses as devices, and what plugins gave it."""
    found = [Device(it.target, it.source, it.access) for it in order.injection.devices]
    for it in order.container.volume_devices:
        access = "r" if order.ground.devices[it.name].readonly else "mrw"
        found.append(Device(it.device_path, str(order.ground.volumes[it.name]), access))
    return found


def _security(
    order: Order, ids: Document, target: str, seccomp_root: str
) -> LinuxContainerSecurityContext:
    pod, container = order.pod, order.container
    own, shared = container.security_context or SecurityContext(), pod.spec.security_context
    uid = own.run_as_user if own.run_as_user is not None else shared.run_as_user
    gid = own.run_as_group if own.run_as_group is not None else shared.run_as_group
    user = order.image.run_config.user
    check_non_root(pod, container, order.image.run_config, uid)
    number, name = _image_user(user) if uid is None else (uid, "")
    groups = [*shared.supplemental_groups]
    if shared.fs_group is not None:
        groups.append(shared.fs_group)
    asked = own.capabilities or Capabilities()
    masked = own.proc_mount != "Unmasked" and not own.privileged
    return LinuxContainerSecurityContext(
        capabilities=Capability(asked.add, asked.drop),
        privileged=bool(own.privileged),
        namespace_options=_namespaces(pod, ids, target),
        selinux_options=render_selinux(own.se_linux_options or shared.se_linux_options),
        run_as_user=render_id(number),
        run_as_username=name,
        run_as_group=render_id(gid),
        readonly_rootfs=bool(own.read_only_root_filesystem),
        supplemental_groups=tuple(groups),
        supplemental_groups_policy=render_policy(pod),
        no_new_privs=own.allow_privilege_escalation is False,
        masked_paths=tuple(MASKED_PATHS) if masked else (),
        readonly_paths=tuple(READONLY_PATHS) if masked else (),
        seccomp=_seccomp(pod, container, seccomp_root),
        apparmor=_apparmor(pod, own),
    )


def _image_user(user: str) -> tuple[int | None, str]:
    """Returns the user that an image names, as a number or a name."""
    name = user.partition(":")[0]
    return (int(name), "") if name.isdecimal() else (None, name)


def _namespaces(pod: Pod, ids: Document, target: str) -> NamespaceOption:
    options = render_namespaces(pod, ids)
    return replace(options, pid=TARGET, target_id=target) if target else options


def _seccomp(pod: Pod, container: Container, root: str) -> SecurityProfile:
    """Returns the profile; without one it is the runtime's default, as everywhere on a node."""
    profile = profile_of(pod, container) or Profile("RuntimeDefault")
    if profile.type == "Localhost":
        return SecurityProfile(LOCALHOST, f"{root}/{profile.localhost_profile}")
    return SecurityProfile(_PROFILES[profile.type])


def _apparmor(pod: Pod, own: SecurityContext) -> SecurityProfile | None:
    profile = own.app_armor_profile or pod.spec.security_context.app_armor_profile
    if profile is None or own.privileged:
        return None
    return SecurityProfile(_PROFILES[profile.type], profile.localhost_profile)
