"""What is checked of containers of all sorts (validateContainers in pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    forbidden,
    invalid,
    not_found,
    not_supported,
    one_of,
    required,
    too_many,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.handler_check import check_probes
from steersman.model.types.resource_check import check_requirements
from steersman.model.types.security_check import check_container_context
from steersman.model.types.volume_check import (
    Sources,
    check_descending,
    check_field,
    check_no_backsteps,
    check_resource_field,
    is_block,
)

PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES: Final = ("File", "FallbackToLogsOnError")
_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_PROPAGATIONS: Final = ("Bidirectional", "HostToContainer", "None")
_RESIZED: Final = ("cpu", "memory")
_RESIZE_POLICIES: Final = ("NotRequired", "RestartContainer")
_RULE_ACTIONS: Final = ("Restart", "RestartAllContainers")
_MOST_RULES: Final = 20
_MOST_CODES: Final = 255
_WINDOWS_SIGNALS: Final = ("SIGKILL", "SIGTERM")
_ENV_FIELDS: Final = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_NOT_FOR_INIT: Final = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
# what an ephemeral container may have (allowedEphemeralContainerFields)
_FOR_EPHEMERAL: Final = frozenset(
    (
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "envFrom",
        "env",
        "volumeMounts",
        "volumeDevices",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "imagePullPolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        "targetContainerName",
    )
)


class Surroundings(msgspec.Struct, frozen=True):
    """What the containers of a pod are checked against."""

    volumes: Sources
    claims: Collection[str]
    grace_seconds: int | None
    restart_policy: str
    host_users: bool
    system: str = ""


def check_containers(
    containers: Sequence[Document], path: str, around: Surroundings
) -> Iterator[Cause]:
    """Yields what is wrong with the main containers."""
    if not containers:
        yield required(path)
        return
    seen: set[str] = set()
    for index, container in enumerate(containers):
        where = f"{path}[{index}]"
        yield from _check_any(container, where, around)
        name = container.get("name", "")
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        yield from check_probes(container, where, around.grace_seconds)
        yield from _check_stop_signal(container, where, around.system)
        yield from _check_restarting(container, where)
    yield from _check_host_ports(containers, path)


def _check_restarting(container: Document, path: str) -> Iterator[Cause]:
    """Checks when a container begins anew (validateContainerRestartPolicy); since 1.34 main ones
    may have a policy too (ContainerRestartRules)."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    supported = ("Always", "OnFailure", "Never")
    if policy is None and rules:
        detail = "must specify restartPolicy when restart rules are used"
        yield required(f"{path}.restartPolicy", detail)
    elif policy is not None and policy not in supported:
        yield not_supported(f"{path}.restartPolicy", policy, supported)
    if len(rules) > _MOST_RULES:
        yield too_many(f"{path}.restartPolicyRules", len(rules), _MOST_RULES)
    for index, rule in enumerate(rules):
        yield from _check_rule(rule, f"{path}.restartPolicyRules[{index}]")


def _check_rule(rule: Document, path: str) -> Iterator[Cause]:
    if (action := rule.get("action", "")) not in _RULE_ACTIONS:
        yield not_supported(f"{path}.action", action, _RULE_ACTIONS)
    if (codes := rule.get("exitCodes")) is None:
        yield required(f"{path}.exitCodes", "must be specified")
        return
    if (operator := codes.get("operator", "")) not in ("In", "NotIn"):
        yield not_supported(f"{path}.exitCodes.operator", operator, ("In", "NotIn"))
    if (count := len(codes.get("values") or ())) > _MOST_CODES:
        yield too_many(f"{path}.exitCodes.values", count, _MOST_CODES)


def _check_stop_signal(container: Document, path: str, system: str) -> Iterator[Cause]:
    signal = (container.get("lifecycle") or {}).get("stopSignal")
    if signal is None:
        return
    where = f"{path}.lifecycle.stopSignal"
    if not system:
        yield forbidden(where, "may not be set for containers with empty `spec.os.name`")
    elif system == "windows" and signal not in _WINDOWS_SIGNALS:
        yield not_supported(where, signal, _WINDOWS_SIGNALS)


def check_init_containers(
    containers: Sequence[Document],
    main: Sequence[Document],
    path: str,
    around: Surroundings,
) -> Iterator[Cause]:
    """Yields what is wrong with init containers and sidecars."""
    seen = {container.get("name", "") for container in main}
    for index, container in enumerate(containers):
        where = f"{path}[{index}]"
        yield from _check_any(container, where, around)
        policy = container.get("restartPolicy")
        yield from _check_restarting(container, where)
        name = container.get("name", "")
        if name in seen:
            yield duplicate(f"{where}.name", name)
        elif name:
            seen.add(name)
        yield from _check_host_ports([container], path)
        if policy == "Always":
            yield from check_probes(container, where, around.grace_seconds)
            yield from _check_stop_signal(container, where, around.system)
        else:
            detail = "may not be set for init containers without restartPolicy=Always"
            present = (one for one in _NOT_FOR_INIT if container.get(one) is not None)
            yield from (forbidden(f"{where}.{one}", detail) for one in present)


def check_ephemeral_containers(
    containers: Sequence[Document],
    others: Sequence[Document],
    path: str,
    around: Surroundings,
) -> Iterator[Cause]:
    """Yields what is wrong with ephemeral containers."""
    other_names = {container.get("name", "") for container in others}
    seen = set(other_names)
    for index, container in enumerate(containers):
        where = f"{path}[{index}]"
        yield from _check_any(container, where, around)
        yield from check_image_spaces(container, where)
        name = container.get("name", "")
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in other_names:
            yield not_found(f"{where}.targetContainerName", target)
        yield from _check_ephemeral(container, where)


def _check_ephemeral(container: Document, path: str) -> Iterator[Cause]:
    detail = "cannot be set for an Ephemeral Container"
    for name, value in container.items():
        if name not in _FOR_EPHEMERAL and value:
            yield forbidden(f"{path}.{name}", detail)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for name in ("subPath", "subPathExpr"):
            if mount.get(name):
                yield forbidden(f"{path}.volumeMounts[{index}].{name}", detail)


def check_image_spaces(container: Document, path: str) -> Iterator[Cause]:
    """Checks of a pod's container (not of a template's) that its image is not padded."""
    image = container.get("image", "")
    if image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")


def _check_any(container: Document, path: str, around: Surroundings) -> Iterator[Cause]:
    """Checks what holds for all sorts of containers (validateContainerCommon)."""
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from each(f"{path}.name", name, names.dns1123_label(name))
    if not container.get("image"):
        yield required(f"{path}.image")
    policy = container.get("terminationMessagePolicy")
    yield from one_of(f"{path}.terminationMessagePolicy", policy, _MESSAGE_POLICIES)
    if ports := container.get("ports"):
        yield from _check_ports(ports, f"{path}.ports")
    for index, variable in enumerate(container.get("env") or ()):
        yield from _check_variable(variable, f"{path}.env[{index}]")
    for index, source in enumerate(container.get("envFrom") or ()):
        yield from _check_variables(source, f"{path}.envFrom", index)
    if mounts := container.get("volumeMounts"):
        yield from _check_mounts(mounts, container, f"{path}.volumeMounts", around.volumes)
    if devices := container.get("volumeDevices"):
        yield from _check_devices(devices, container, f"{path}.volumeDevices", around.volumes)
    policy = container.get("imagePullPolicy")
    yield from one_of(f"{path}.imagePullPolicy", policy, _PULL_POLICIES)
    if resources := container.get("resources"):
        yield from check_requirements(resources, f"{path}.resources", around.claims)
    if policies := container.get("resizePolicy"):
        yield from _check_resize(policies, f"{path}.resizePolicy", around.restart_policy)
    if (context := container.get("securityContext")) is not None:
        where = f"{path}.securityContext"
        yield from check_container_context(context, where, around.host_users)


def _check_ports(ports: Sequence[Document], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        if name := port.get("name"):
            if problems := names.port_name(name):
                yield from each(f"{where}.name", name, problems)
            elif name in seen:
                yield duplicate(f"{where}.name", name)
            seen.add(name)
        if not (number := port.get("containerPort")):
            yield required(f"{where}.containerPort")
        else:
            yield from each(f"{where}.containerPort", number, names.port_number(number))
        if number := port.get("hostPort"):
            yield from each(f"{where}.hostPort", number, names.port_number(number))
        yield from one_of(f"{where}.protocol", port.get("protocol"), PROTOCOLS)


def _check_host_ports(containers: Sequence[Document], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for position, port in enumerate(container.get("ports") or ()):
            if not (number := port.get("hostPort")):
                continue
            text = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{number}"
            if text in seen:
                yield duplicate(f"{path}[{index}].ports[{position}].hostPort", text)
            seen.add(text)


def _check_variable(variable: Document, path: str) -> Iterator[Cause]:
    name = variable.get("name", "")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from each(f"{path}.name", name, names.relaxed_env_name(name))
    source = variable.get("valueFrom")
    if source is not None:
        yield from _check_variable_source(source, variable, f"{path}.valueFrom")


def _check_variable_source(source: Document, variable: Document, path: str) -> Iterator[Cause]:
    if (found := source.get("fieldRef")) is not None:
        yield from check_field(found, f"{path}.fieldRef", _ENV_FIELDS)
    if (found := source.get("resourceFieldRef")) is not None:
        yield from check_resource_field(found, f"{path}.resourceFieldRef", in_volume=False)
    for name in ("configMapKeyRef", "secretKeyRef"):
        if (found := source.get(name)) is not None:
            yield from _check_key(found, f"{path}.{name}")
    if (found := source.get("fileKeyRef")) is not None:
        yield from _check_file_key(found, f"{path}.fileKeyRef")
    if not source:
        listed = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        yield invalid(path, "", f"must specify one of: {listed}")
    elif variable.get("value"):
        yield invalid(path, "", "may not be specified when `value` is not empty")
    elif len(source) > 1:
        yield invalid(path, "", "may not have more than one field specified at a time")


def _check_key(reference: Document, path: str) -> Iterator[Cause]:
    name, key = reference.get("name", ""), reference.get("key", "")
    yield from each(f"{path}.name", name, names.dns1123_subdomain(name))
    if not key:
        yield required(f"{path}.key")
    else:
        yield from each(f"{path}.key", key, names.config_map_key(key))


def _check_file_key(reference: Document, path: str) -> Iterator[Cause]:
    checks: Mapping[str, Callable[[str], Sequence[str]]] = {
        "volumeName": names.dns1123_label,
        "path": lambda _: (),
        "key": names.relaxed_env_name,
    }
    for name, check in checks.items():
        if not (value := reference.get(name)):
            yield required(f"{path}.{name}")
        else:
            yield from each(f"{path}.{name}", value, check(value))
    if value := reference.get("path"):
        yield from check_descending(value, f"{path}.path")


def _check_variables(source: Document, path: str, index: int) -> Iterator[Cause]:
    where = f"{path}[{index}]"
    if prefix := source.get("prefix"):
        yield from each(f"{where}.prefix", prefix, names.relaxed_env_name(prefix))
    found = 0
    for kind in ("configMapRef", "secretRef"):
        if (reference := source.get(kind)) is None:
            continue
        found += 1
        if not (name := reference.get("name")):
            yield required(f"{where}.{kind}.name")
        else:
            problems = names.dns1123_subdomain(names.without_trailing_dash(name))
            yield from each(f"{where}.{kind}.name", name, problems)
    if not found:
        yield invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
    elif found > 1:
        yield invalid(path, "", "may not have more than one field specified at a time")


def _check_mounts(
    mounts: Sequence[Document], container: Document, path: str, volumes: Sources
) -> Iterator[Cause]:
    seen: set[str] = set()
    devices = {
        one.get("name"): one.get("devicePath") for one in container.get("volumeDevices") or ()
    }
    for index, mount in enumerate(mounts):
        where = f"{path}[{index}]"
        name, target = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{where}.name")
        if name not in volumes:
            yield not_found(f"{where}.name", name)
        if not target:
            yield required(f"{where}.mountPath")
        if target in seen:
            yield invalid(f"{where}.mountPath", target, "must be unique")
        seen.add(target)
        if name in devices:
            yield invalid(f"{where}.name", name, "must not already exist in volumeDevices")
        if target in devices.values():
            detail = "must not already exist as a path in volumeDevices"
            yield invalid(f"{where}.mountPath", target, detail)
        yield from _check_mount(mount, path, where, container)


def _check_mount(mount: Document, path: str, where: str, container: Document) -> Iterator[Cause]:
    # upstream reports these fields without the mount's index
    part, expression = mount.get("subPath"), mount.get("subPathExpr")
    if part:
        yield from check_descending(part, f"{path}.subPath")
    if expression:
        if part:
            detail = "subPathExpr and subPath are mutually exclusive"
            yield invalid(f"{where}.subPathExpr", expression, detail)
        yield from check_descending(expression, f"{path}.subPathExpr")
    if (propagation := mount.get("mountPropagation")) is not None:
        yield from _check_propagation(propagation, container, f"{path}.mountPropagation")
    if mount.get("recursiveReadOnly") is not None:
        yield from _check_recursive(mount, f"{path}.recursiveReadOnly")


def _check_propagation(propagation: str, container: Document, path: str) -> Iterator[Cause]:
    if propagation not in _PROPAGATIONS:
        yield not_supported(path, propagation, _PROPAGATIONS)
    privileged = (container.get("securityContext") or {}).get("privileged")
    if propagation == "Bidirectional" and not privileged:
        detail = "Bidirectional mount propagation is available only to privileged containers"
        yield forbidden(path, detail)


def _check_recursive(mount: Document, path: str) -> Iterator[Cause]:
    wanted = mount["recursiveReadOnly"]
    if wanted not in ("Disabled", "Enabled", "IfPossible"):
        yield not_supported(path, wanted, ("Disabled", "IfPossible", "Enabled"))
    elif wanted != "Disabled":
        if not mount.get("readOnly"):
            yield forbidden(path, "may only be specified when readOnly is true")
        if mount.get("mountPropagation") not in (None, "None"):
            detail = "may only be specified when mountPropagation is None or not specified"
            yield forbidden(path, detail)


def _check_devices(
    devices: Sequence[Document], container: Document, path: str, volumes: Sources
) -> Iterator[Cause]:
    mounts = {one.get("name"): one.get("mountPath") for one in container.get("volumeMounts") or ()}
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for index, device in enumerate(devices):
        where = f"{path}[{index}]"
        name, target = device.get("name", ""), device.get("devicePath", "")
        if not name:
            yield required(f"{where}.name")
        if name in seen_names:
            yield invalid(f"{where}.name", name, "must be unique")
        yield from _check_device_volume(name, f"{where}.name", volumes)
        if not target:
            yield required(f"{where}.devicePath")
        if target in seen_paths:
            yield invalid(f"{where}.devicePath", target, "must be unique")
        if list(check_no_backsteps(target, where)):
            yield invalid(f"{where}.devicePath", target, "can not contain backsteps ('..')")
        seen_paths.add(target)
        if name in mounts:
            yield invalid(f"{where}.name", name, "must not already exist in volumeMounts")
        if target in mounts.values():
            detail = "must not already exist as a path in volumeMounts"
            yield invalid(f"{where}.devicePath", target, detail)
        seen_names.add(name)


def _check_device_volume(name: str, path: str, volumes: Sources) -> Iterator[Cause]:
    if name not in volumes:
        yield not_found(path, name)
    elif not is_block(volumes[name]):
        detail = (
            "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        )
        yield invalid(path, name, detail)


def _check_resize(policies: Sequence[Document], path: str, restart_policy: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        resource, action = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if resource in seen:
            yield duplicate(f"{path}[{index}]", resource)
        seen.add(resource)
        yield from one_of(path, resource, _RESIZED)
        yield from one_of(path, action, _RESIZE_POLICIES)
        if restart_policy == "Never" and action != "NotRequired":
            detail = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            yield invalid(path, action, detail)
