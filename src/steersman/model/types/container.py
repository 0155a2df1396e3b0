"""Container and what it is made of: typed forms. Checks live in `types.container_check`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import field

from steersman.model.types.reference import (
    FileKeySelector,
    KeySelector,
    ObjectFieldSelector,
    ResourceFieldSelector,
)
from steersman.model.view import View


class ContainerPort(View, frozen=True):
    """A port that a container listens on."""

    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0
    host_ip: str = field(default="", name="hostIP")


class EnvVarSource(View, frozen=True):
    """Where the value of a variable comes from; one field is set."""

    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None
    file_key_ref: FileKeySelector | None = None


class EnvVar(View, frozen=True):
    """One environment variable."""

    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class EnvSource(View, frozen=True):
    """A ConfigMap or Secret whose keys become variables."""

    name: str = ""
    optional: bool = False


class EnvFromSource(View, frozen=True):
    """Variables from all keys of an object; one reference is set."""

    prefix: str = ""
    config_map_ref: EnvSource | None = None
    secret_ref: EnvSource | None = None


class ResourceClaim(View, frozen=True):
    """The use of a claim by a container."""

    name: str = ""
    request: str = ""


class ResourceRequirements(View, frozen=True):
    """Requests and limits as canonical quantities."""

    limits: Mapping[str, str] = {}
    requests: Mapping[str, str] = {}
    claims: tuple[ResourceClaim, ...] = ()


class VolumeMount(View, frozen=True):
    """A volume at a path of the container."""

    name: str = ""
    mount_path: str = ""
    read_only: bool = False
    recursive_read_only: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: str = ""


class VolumeDevice(View, frozen=True):
    """A block device at a path of the container."""

    name: str = ""
    device_path: str = ""


class HTTPHeader(View, frozen=True):
    """A header that a probe sends."""

    name: str = ""
    value: str = ""


class HTTPGetAction(View, frozen=True):
    """A GET request; a port is a number or a port's name."""

    port: int | str = 0
    path: str = ""
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HTTPHeader, ...] = ()


class ExecAction(View, frozen=True):
    """A command run inside the container."""

    command: tuple[str, ...] = ()


class TCPSocketAction(View, frozen=True):
    """The opening of a TCP connection."""

    port: int | str = 0
    host: str = ""


class GRPCAction(View, frozen=True):
    """A gRPC health check."""

    port: int = 0
    service: str = ""


class SleepAction(View, frozen=True):
    """A pause."""

    seconds: int = 0


class Probe(View, frozen=True):
    """A check of a container; one action is set."""

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class LifecycleHandler(View, frozen=True):
    """What is done at one moment of a container's life; one action is set."""

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(View, frozen=True):
    """What is done after the start and before the end of a container."""

    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str = ""


class Capabilities(View, frozen=True):
    """Capabilities added to and dropped from the runtime's default set."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class Profile(View, frozen=True):
    """A seccomp or AppArmor profile: RuntimeDefault, Unconfined or Localhost."""

    type: str = ""
    localhost_profile: str = ""


class SELinuxOptions(View, frozen=True):
    """SELinux labels."""

    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SecurityContext(View, frozen=True):
    """Security of one container; None means: as the pod says."""

    capabilities: Capabilities | None = None
    privileged: bool | None = None
    se_linux_options: SELinuxOptions | None = None
    windows_options: Mapping[str, Any] | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    proc_mount: str = ""
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None


class ResizePolicy(View, frozen=True):
    """What a resize of a resource does to the container."""

    resource_name: str = ""
    restart_policy: str = ""


class RestartRule(View, frozen=True):
    """A rule on exit codes that decides what follows an exit."""

    action: str = ""
    exit_codes: Mapping[str, Any] = {}


class Container(View, frozen=True):
    """A container, an init container (restart_policy Always: a sidecar) or an ephemeral one."""

    name: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    resize_policy: tuple[ResizePolicy, ...] = ()
    restart_policy: str = ""
    restart_policy_rules: tuple[RestartRule, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    volume_devices: tuple[VolumeDevice, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    image_pull_policy: str = ""
    security_context: SecurityContext | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    target_container_name: str = ""
