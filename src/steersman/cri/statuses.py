"""What is said of sandboxes and containers: pure, from what is known of them."""

from __future__ import annotations

from typing import Any

from steersman.cri.messages import containers as of_containers
from steersman.cri.messages import sandboxes as of_sandboxes
from steersman.cri.messages.sandboxes import (
    NOT_READY,
    READY,
    LinuxPodSandboxStatus,
    Namespace,
    PodIP,
    PodSandboxNetworkStatus,
    PodSandboxStatus,
)
from steersman.cri.messages.values import ImageSpec, NamespaceOption
from steersman.cri.records import Container, Sandbox


def sandbox_state(sandbox: Sandbox) -> int:
    """Returns the PodSandboxState."""
    return READY if sandbox.ready else NOT_READY


def namespaces_of(sandbox: Sandbox) -> NamespaceOption:
    """Returns which namespaces a sandbox was made with."""
    linux = sandbox.config.linux
    security = linux.security_context if linux is not None else None
    options = security.namespace_options if security is not None else None
    return options or NamespaceOption()


def _of_sandbox(sandbox: Sandbox) -> dict[str, Any]:
    """Returns what lists and statuses say alike."""
    config = sandbox.config
    return {
        "id": sandbox.id,
        "metadata": config.metadata,
        "state": sandbox_state(sandbox),
        "created_at": sandbox.created_at,
        "labels": config.labels,
        "annotations": config.annotations,
        "runtime_handler": sandbox.handler,
    }


def sandbox_entry(sandbox: Sandbox) -> of_sandboxes.PodSandbox:
    """Returns what a list says of a sandbox."""
    return of_sandboxes.PodSandbox(**_of_sandbox(sandbox))


def sandbox_status(sandbox: Sandbox) -> PodSandboxStatus:
    """Returns all that is said of a sandbox."""
    ip, *others = sandbox.addresses or ("",)
    return PodSandboxStatus(
        **_of_sandbox(sandbox),
        network=PodSandboxNetworkStatus(ip, tuple(PodIP(it) for it in others)),
        linux=LinuxPodSandboxStatus(Namespace(namespaces_of(sandbox))),
    )


def _of_container(container: Container) -> dict[str, Any]:
    """Returns what lists and statuses say alike."""
    config, asked = container.config, container.config.image or ImageSpec()
    return {
        "id": container.id,
        "metadata": config.metadata,
        "state": container.state,
        "created_at": container.created_at,
        "image": ImageSpec(asked.image, user_specified_image=asked.user_specified_image),
        "image_ref": container.image_ref,
        "image_id": container.image_id,
        "labels": config.labels,
        "annotations": config.annotations,
    }


def container_entry(container: Container) -> of_containers.Container:
    """Returns what a list says of a container."""
    return of_containers.Container(**_of_container(container), pod_sandbox_id=container.sandbox)


def container_status(container: Container) -> of_containers.ContainerStatus:
    """Returns all that is said of a container."""
    config = container.config
    resources = config.linux.resources if config.linux is not None else None
    return of_containers.ContainerStatus(
        **_of_container(container),
        started_at=container.started_at,
        finished_at=container.finished_at,
        exit_code=container.exit_code,
        reason=container.reason,
        message=container.message,
        mounts=config.mounts,
        log_path=container.log,
        resources=None if resources is None else of_containers.ContainerResources(resources),
        user=_user(container),
        stop_signal=config.stop_signal,
    )


def _user(container: Container) -> of_containers.ContainerUser | None:
    if not container.user:
        return None
    uid, gid, *groups = container.user
    return of_containers.ContainerUser(of_containers.LinuxContainerUser(uid, gid, tuple(groups)))
