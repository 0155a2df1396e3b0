"""PodSpec: its typed form. Checks live in `types.podspec_check`, defaults in
`types.pod_defaults`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import field

from steersman.model.types.container import (
    Container,
    Profile,
    ResourceRequirements,
    SELinuxOptions,
)
from steersman.model.types.reference import LocalObjectReference
from steersman.model.types.scheduling import (
    Affinity,
    SchedulingGate,
    Toleration,
    TopologySpreadConstraint,
)
from steersman.model.types.volume import Volume
from steersman.model.view import View


class HostAlias(View, frozen=True):
    """A line of the pod's hosts file."""

    ip: str = ""
    hostnames: tuple[str, ...] = ()


class DNSOption(View, frozen=True):
    """An option of resolv.conf; value None: the bare name."""

    name: str = ""
    value: str | None = None


class DNSConfig(View, frozen=True):
    """Additions to resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DNSOption, ...] = ()


class Sysctl(View, frozen=True):
    """A kernel parameter of the pod."""

    name: str = ""
    value: str = ""


class PodSecurityContext(View, frozen=True):
    """Security of all containers of a pod."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    fs_group: int | None = None
    fs_group_change_policy: str = ""
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = ""
    sysctls: tuple[Sysctl, ...] = ()
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None
    se_linux_options: SELinuxOptions | None = None
    windows_options: Mapping[str, Any] | None = None


class ReadinessGate(View, frozen=True):
    """A condition that must be True before the pod is ready."""

    condition_type: str = ""


class PodOS(View, frozen=True):
    """The operating system of a pod's containers."""

    name: str = ""


class PodResourceClaim(View, frozen=True):
    """A claim that the pod's containers may use by its name here."""

    name: str = ""
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


class PodSpec(View, frozen=True):
    """What a pod shall be."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    node_name: str = ""
    node_selector: Mapping[str, str] = {}
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    scheduling_gates: tuple[SchedulingGate, ...] = ()
    scheduler_name: str = "default-scheduler"
    priority: int = 0
    priority_class_name: str = ""
    preemption_policy: str = "PreemptLowerPriority"
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int | None = None
    dns_policy: str = "ClusterFirst"
    dns_config: DNSConfig | None = None
    service_account_name: str = ""
    automount_service_account_token: bool | None = None
    host_network: bool = False
    host_pid: bool = field(default=False, name="hostPID")
    host_ipc: bool = field(default=False, name="hostIPC")
    host_users: bool | None = None
    share_process_namespace: bool = False
    security_context: PodSecurityContext = PodSecurityContext()
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    hostname: str = ""
    hostname_override: str | None = None
    subdomain: str = ""
    set_hostname_as_fqdn: bool = field(default=False, name="setHostnameAsFQDN")
    host_aliases: tuple[HostAlias, ...] = ()
    readiness_gates: tuple[ReadinessGate, ...] = ()
    runtime_class_name: str = ""
    enable_service_links: bool = True
    overhead: Mapping[str, str] = {}
    os: PodOS | None = None
    resource_claims: tuple[PodResourceClaim, ...] = ()
    resources: ResourceRequirements | None = None
