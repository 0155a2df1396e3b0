"""What the update of a pod's status may say (ValidatePodStatusUpdate in
pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.address_check import check_ip, is_ipv4

_SYSTEM_CONDITIONS: Final = ("PodScheduled", "Ready", "Initialized")
_MOST_ID: Final = 2**31 - 1
_HEALTHS: Final = ("Healthy", "Unhealthy", "Unknown")
_NOT_NEGATIVE: Final = "must be a non-negative integer"
# (field of the status, field of the spec)
_RESTARTED: Final = (
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
)
_EPHEMERAL: Final = "ephemeralContainerStatuses"
_NO_CLAIM: Final = (
    "must match one of the container's resource claims in a format "
    "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
)
_NO_REQUEST: Final = (
    "must match the extended resource name of an entry in spec.initContainers.resources.requests "
    "or spec.containers.resources.requests"
)
_NO_CONTAINER: Final = (
    "must match the name of an entry in spec.initContainers.name or spec.containers.name"
)


def check_status(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what is wrong with the update of a pod's status."""
    status, before = new.get("status") or {}, old.get("status") or {}
    spec = old.get("spec") or {}
    yield from _check_conditions(status.get("conditions") or ())
    yield from _check_nominated(status, before, spec)
    observed = status.get("observedGeneration") or 0
    if observed < 0:
        yield invalid("status.observedGeneration", observed, _NOT_NEGATIVE)
    yield from immutable("status.qosClass", status.get("qosClass", ""), before.get("qosClass", ""))
    yield from _check_transitions(status, before, spec)
    yield from _check_claims(status.get("resourceClaimStatuses") or (), spec)
    if (claim := status.get("extendedResourceClaimStatus")) is not None:
        yield from _check_extended(claim, spec, "status.extendedResourceClaimStatus")
    yield from _check_addresses(status, before, "podIPs")
    host = status.get("hostIPs") or ()
    if host and status.get("hostIP") != host[0].get("ip"):
        detail = "must be equal to `hostIP`"
        yield invalid("status.hostIPs[0].ip", host[0].get("ip", ""), detail)
    yield from _check_addresses(status, before, "hostIPs")
    for name in (*(of for of, _ in _RESTARTED), _EPHEMERAL):
        for index, one in enumerate(status.get(name) or ()):
            yield from _check_user(one.get("user") or {}, f"status.{name}[{index}].linux", spec)
    yield from _check_allocated(status, spec)


def _check_conditions(conditions: Sequence[Document]) -> Iterator[Cause]:
    for index, condition in enumerate(conditions):
        path, kind = f"metadata.conditions[{index}]", condition.get("type", "")
        observed = condition.get("observedGeneration") or 0
        if observed < 0:
            yield invalid(f"{path}.observedGeneration", observed, _NOT_NEGATIVE)
        if kind not in _SYSTEM_CONDITIONS:
            yield from each(f"{path}.Type", kind, names.qualified_name(kind))


def _check_nominated(status: Document, before: Document, spec: Document) -> Iterator[Cause]:
    path, nominated = "status.nominatedNodeName", status.get("nominatedNodeName")
    if not nominated or nominated == before.get("nominatedNodeName"):
        return
    yield from each(path, nominated, names.dns1123_subdomain(nominated))
    if spec.get("nodeName"):
        yield forbidden(path, "may not be set on pods that are already bound to a node")


def _check_claims(statuses: Sequence[Document], spec: Document) -> Iterator[Cause]:
    asked = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for index, one in enumerate(statuses):
        path, name = f"status.resourceClaimStatuses[{index}].name", one.get("name", "")
        if name not in asked:
            detail = "must match the name of an entry in `spec.resourceClaims`"
            yield invalid(path, name, detail)
        if name in seen:
            yield duplicate(path, name)
        seen.add(name)
        if (claim := one.get("resourceClaimName")) is not None:
            yield from each(path, claim, names.dns1123_subdomain(claim))


def _check_extended(claim: Document, spec: Document, path: str) -> Iterator[Cause]:
    """Checks by which requests of one claim containers get extended resources
    (validatePodExtendedResourceClaimStatus, whose path of a request's name has no index)."""
    mappings, where = claim.get("requestMappings") or (), f"{path}.requestMappings"
    containers = _by_name(spec, "initContainers") | _by_name(spec, "containers")
    if not mappings:
        yield required(where, "at least one request mapping is required")
    seen: set[tuple[str, ...]] = set()
    for index, one in enumerate(mappings):
        fields = ("containerName", "resourceName", "requestName")
        key = tuple(one.get(field, "") for field in fields)
        yield from _check_mapping(containers.get(key[0]), one, f"{where}[{index}]")
        yield from each(f"{path}.requestName", key[2], names.dns1123_label(key[2]))
        if key in seen:
            for field, value in zip(fields, key, strict=True):
                yield duplicate(f"{where}[{index}].{field}", value)
        seen.add(key)
    if not (name := claim.get("resourceClaimName")):
        yield required(f"{path}.resourceClaimName")
    else:
        yield from each(f"{path}.resourceClaimName", name, names.dns1123_subdomain(name))


def _by_name(spec: Document, name: str) -> dict[str, Document]:
    return {container.get("name", ""): container for container in spec.get(name) or ()}


def _check_mapping(container: Document | None, one: Document, path: str) -> Iterator[Cause]:
    if container is None:
        yield invalid(f"{path}.containerName", one.get("containerName", ""), _NO_CONTAINER)
        return
    resource = one.get("resourceName", "")
    if resource not in ((container.get("resources") or {}).get("requests") or {}):
        yield invalid(f"{path}.resourceName", resource, _NO_REQUEST)


def _check_user(user: Document, path: str, spec: Document) -> Iterator[Cause]:
    linux = user.get("linux")
    if linux is None:
        return
    if (spec.get("os") or {}).get("name") == "windows":
        yield forbidden(path, "cannot be set for a windows pod")
        return
    groups = enumerate(linux.get("supplementalGroups") or ())
    ids = {"uid": linux.get("uid", 0), "gid": linux.get("gid", 0)}
    ids |= {f"supplementalGroups[{index}]": group for index, group in groups}
    for name, number in ids.items():
        yield from each(f"{path}.{name}", number, names.in_range(number, 0, _MOST_ID))


def _check_allocated(status: Document, spec: Document) -> Iterator[Cause]:
    """Checks what is said of how the devices of containers are."""
    field = "allocatedResourcesStatus"
    for name, part in _RESTARTED:
        containers = _by_name(spec, part)
        for index, one in enumerate(status.get(name) or ()):
            container = containers.get(one.get("name", ""))
            for position, found in enumerate(one.get(field) or ()):
                path = f"status.{name}[{index}].{field}[{position}]"
                if container is not None:
                    yield from _check_asked(found.get("name", ""), container, f"{path}.name")
                yield from _check_healths(found.get("resources") or (), f"{path}.resources")
    for index, one in enumerate(status.get(_EPHEMERAL) or ()):
        if one.get(field):
            path = f"status.{_EPHEMERAL}[{index}].{field}"
            yield forbidden(path, "must not be specified in container status")


def _check_asked(name: str, container: Document, path: str) -> Iterator[Cause]:
    resources = container.get("resources") or {}
    if not name.startswith("claim:"):
        if name not in (resources.get("requests") or {}):
            yield invalid(path, name, "must match one of the container's resource requests")
        return
    claims = (
        "/".join(filter(None, (claim.get("name", ""), claim.get("request"))))
        for claim in resources.get("claims") or ()
    )
    if name.removeprefix("claim:") not in claims:
        yield invalid(path, name, _NO_CLAIM)


def _check_healths(resources: Sequence[Document], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, one in enumerate(resources):
        health, device = one.get("health", ""), one.get("resourceID", "")
        if health not in _HEALTHS:
            yield not_supported(f"{path}[{index}].health", health, _HEALTHS)
        if device in seen:
            yield duplicate(f"{path}[{index}].resourceID", device)
        seen.add(device)


def _check_transitions(status: Document, before: Document, spec: Document) -> Iterator[Cause]:
    anew = _may_restart_all(spec)
    for name, part in (*_RESTARTED, (_EPHEMERAL, "")):
        if part and anew:
            continue
        containers = _by_name(spec, part) if part else {}
        now = {one.get("name"): one for one in status.get(name) or ()}
        for index, one in enumerate(before.get(name) or ()):
            ended = (one.get("state") or {}).get("terminated")
            if ended is None or one.get("name") not in now:
                continue
            if (now[one["name"]].get("state") or {}).get("terminated") is not None:
                continue
            if not (part and _restarts(containers.get(one["name"]), spec, ended)):
                detail = "may not be transitioned to non-terminated state"
                yield forbidden(f"status.{name}[{index}].state", detail)


def _restarts(container: Document | None, spec: Document, ended: Document) -> bool:
    """Whether a container that ended begins anew: by its first rule for how it ended, by its own
    policy, or by the pod's (podutil's ContainerShouldRestart)."""
    code, policy = ended.get("exitCode") or 0, spec.get("restartPolicy")
    own = (container or {}).get("restartPolicy")
    if container is not None and own:
        rules = container.get("restartPolicyRules") or ()
        matching = (rule.get("action") for rule in rules if _matches(rule.get("exitCodes"), code))
        if next(matching, "") == "Restart":
            return True
        policy = own
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def _matches(codes: Document | None, code: int) -> bool:
    known = code in ((codes or {}).get("values") or ())
    operator = (codes or {}).get("operator")
    return known if operator == "In" else operator == "NotIn" and not known


def _may_restart_all(spec: Document) -> bool:
    """Whether a rule of a container has all of them begin anew (podutil's
    AllContainersCouldRestart)."""
    return any(
        rule.get("action") == "RestartAllContainers"
        for name in ("containers", "initContainers")
        for container in spec.get(name) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


def _check_addresses(status: Document, before: Document, name: str) -> Iterator[Cause]:
    addresses = [one.get("ip", "") for one in status.get(name) or ()]
    known = [one.get("ip", "") for one in before.get(name) or ()]
    for index, address in enumerate(addresses):
        yield from check_ip(f"status.{name}[{index}]", address, known)
    if len(addresses) < 2:
        return
    if len(addresses) > 2 or is_ipv4(addresses[0]) == is_ipv4(addresses[1]):
        detail = "may specify no more than one IP for each IP family"
        yield invalid(f"status.{name}", status[name], detail)
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            yield duplicate(f"status.{name}[{index}]", {"ip": address})
