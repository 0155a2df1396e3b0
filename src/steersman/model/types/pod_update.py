"""What an update may change of a pod, through the pod itself and through its subresources.

Sources: ValidatePodUpdate, ValidatePodStatusUpdate, ValidatePodEphemeralContainersUpdate,
ValidatePodResize in pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

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
from steersman.model.gotext import shown
from steersman.model.kind import Document
from steersman.model.types.address_check import check_ip, is_ipv4
from steersman.model.types.container_check import check_image_spaces
from steersman.model.types.resources import qos_class

_CHANGEABLE: Final = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
_MIRROR: Final = "kubernetes.io/config.mirror"
_SYSTEM_CONDITIONS: Final = ("PodScheduled", "Ready", "Initialized")
_MOST_SECONDS: Final = 2**31 - 1
_MOST_ID: Final = 2**31 - 1


def check_update(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what an update of a pod changes and may not."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    for name in ("containers", "initContainers"):
        now, then = spec.get(name) or (), before.get(name) or ()
        if len(now) != len(then):
            yield forbidden(f"spec.{name}", "pod updates may not add or remove containers")
            return
        for index, container in enumerate(now):
            where = f"spec.{name}[{index}]"
            if not container.get("image"):
                yield required(f"{where}.image")
            yield from check_image_spaces(container, where)
    stop = False
    for cause in _check_deadline(spec, before):
        stop = stop or cause.message.endswith(("inclusive", "previous value"))
        yield cause
    if stop:
        return
    yield from _check_tolerations(spec, before)
    yield from _check_gates(spec, before)
    if spec != before:
        yield from _check_rest(spec, before)


def _check_deadline(spec: Document, before: Document) -> Iterator[Cause]:
    path = "spec.activeDeadlineSeconds"
    now, then = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if now is not None:
        if not 0 <= now <= _MOST_SECONDS:
            yield from each(path, now, names.in_range(now, 0, _MOST_SECONDS))
        elif then is not None and then < now:
            yield invalid(path, now, "must be less than or equal to previous value")
    elif then is not None:
        yield invalid(path, None, "must not update from a positive integer to nil value")


def _check_tolerations(spec: Document, before: Document) -> Iterator[Cause]:
    now = [_without(one, "tolerationSeconds") for one in spec.get("tolerations") or ()]
    for toleration in before.get("tolerations") or ():
        if _without(toleration, "tolerationSeconds") not in now:
            detail = "existing toleration can not be modified except its tolerationSeconds"
            yield forbidden("spec.tolerations", detail)
            return


def _check_gates(spec: Document, before: Document) -> Iterator[Cause]:
    known = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            name = gate.get("name", "")
            detail = f"only deletion is allowed, but found new scheduling gate '{name}'"
            yield forbidden(f"spec.schedulingGates[{index}].name", detail)


def _without(document: Document, name: str) -> Document:
    return {key: value for key, value in document.items() if key != name}


def _check_rest(spec: Document, before: Document) -> Iterator[Cause]:
    now, then = _fixed(spec), _fixed(before)
    seconds = "terminationGracePeriodSeconds"
    if now.get(seconds) == 1 and (then.get(seconds) or 0) < 0:
        now[seconds] = then[seconds]
    if before.get("schedulingGates"):
        yield from _check_gated(now, then)
    # emptied or absent is the same
    changed = [key for key in {**then, **now} if (now.get(key) or None) != (then.get(key) or None)]
    if changed:
        yield forbidden("spec", f"{_FORBIDDEN}{_difference(now, then, changed)}")


_FORBIDDEN: Final = f"pod updates may not change fields other than {','.join(_CHANGEABLE)}\n"


def _fixed(spec: Document) -> Document:
    """Returns the part of a spec that an update may not change."""
    fixed = {
        key: value
        for key, value in spec.items()
        if key not in ("activeDeadlineSeconds", "schedulingGates", "tolerations")
    }
    for name in ("containers", "initContainers"):
        if name in fixed:
            fixed[name] = [_without(container, "image") for container in fixed[name] or ()]
    return fixed


def _difference(now: Document, then: Document, changed: Sequence[str]) -> str:
    lines = []
    for name in changed:
        lines += [f"-{name}: {shown(then[name])}\n"] if name in then else []
        lines += [f"+{name}: {shown(now[name])}\n"] if name in now else []
    return "".join(lines)


def _check_gated(now: Document, then: Document) -> Iterator[Cause]:
    """A pod that waits behind gates may still be narrowed to fewer nodes."""
    selector, old_selector = now.get("nodeSelector") or {}, then.get("nodeSelector") or {}
    if selector != old_selector:
        for key, value in old_selector.items():
            if selector.get(key) != value:
                detail = (
                    "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
                )
                yield invalid("spec.nodeSelector", selector, detail)
                break
        now["nodeSelector"] = then.get("nodeSelector")
    affinity = {**(now.get("affinity") or {})}
    if "nodeAffinity" not in (then.get("affinity") or {}):
        affinity.pop("nodeAffinity", None)
        now["affinity"] = affinity or then.get("affinity")


def check_status(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what is wrong with the update of a pod's status."""
    status, before = new.get("status") or {}, old.get("status") or {}
    for index, condition in enumerate(status.get("conditions") or ()):
        kind = condition.get("type", "")
        if kind not in _SYSTEM_CONDITIONS:
            where = f"metadata.conditions[{index}].Type"
            yield from each(where, kind, names.qualified_name(kind))
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        yield from each("status.nominatedNodeName", nominated, names.dns1123_subdomain(nominated))
    yield from immutable("status.qosClass", status.get("qosClass", ""), before.get("qosClass", ""))
    spec = old.get("spec") or {}
    yield from _check_transitions(status, before, spec)
    yield from _check_claims(status.get("resourceClaimStatuses") or (), spec)
    yield from _check_addresses(status, "podIPs")
    host = status.get("hostIPs") or ()
    if host and status.get("hostIP") != host[0].get("ip"):
        detail = "must be equal to `hostIP`"
        yield invalid("status.hostIPs[0].ip", host[0].get("ip", ""), detail)
    yield from _check_addresses(status, "hostIPs")
    for name in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for index, one in enumerate(status.get(name) or ()):
            yield from _check_user(one.get("user") or {}, f"status.{name}[{index}].linux", spec)


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


def _check_transitions(status: Document, before: Document, spec: Document) -> Iterator[Cause]:
    policy = spec.get("restartPolicy", "")
    sidecars = {
        container.get("name")
        for container in spec.get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    # a container with rules of its own may restart whatever the pod's policy
    ruled = {
        container.get("name")
        for name in ("containers", "initContainers")
        for container in spec.get(name) or ()
        if container.get("restartPolicy")
    }
    if _may_restart_all(spec):
        policy = "Always"
    for name, restarts, free in (
        ("containerStatuses", policy, ruled),
        ("initContainerStatuses", policy, sidecars | ruled),
        ("ephemeralContainerStatuses", "Never", set()),
    ):
        if restarts == "Always":
            continue
        now = {one.get("name"): one for one in status.get(name) or ()}
        for index, one in enumerate(before.get(name) or ()):
            ended = (one.get("state") or {}).get("terminated")
            if ended is None or one.get("name") in free or one.get("name") not in now:
                continue
            if ended.get("exitCode") and restarts == "OnFailure":
                continue
            if (now[one["name"]].get("state") or {}).get("terminated") is None:
                detail = "may not be transitioned to non-terminated state"
                yield forbidden(f"status.{name}[{index}].state", detail)


def _may_restart_all(spec: Document) -> bool:
    """Whether a rule of a container has all of them begin anew (podutil's
    AllContainersCouldRestart)."""
    return any(
        rule.get("action") == "RestartAllContainers"
        for name in ("containers", "initContainers")
        for container in spec.get(name) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


def _check_addresses(status: Document, name: str) -> Iterator[Cause]:
    addresses = [one.get("ip", "") for one in status.get(name) or ()]
    for index, address in enumerate(addresses):
        yield from check_ip(f"status.{name}[{index}]", address)
    if len(addresses) < 2:
        return
    if len(addresses) > 2 or is_ipv4(addresses[0]) == is_ipv4(addresses[1]):
        detail = "may specify no more than one IP for each IP family"
        yield invalid(f"status.{name}", status[name], detail)
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            yield duplicate(f"status.{name}[{index}]", {"ip": address})


def check_ephemeral(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what is wrong with a change of a pod's ephemeral containers."""
    if _MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        yield forbidden("", "static pods do not support ephemeral containers")
        return
    path, name = "spec.ephemeralContainers", "ephemeralContainers"
    now = {one.get("name"): one for one in (new.get("spec") or {}).get(name) or ()}
    for container in (old.get("spec") or {}).get(name) or ():
        known = container.get("name", "")
        if known not in now:
            detail = f'existing ephemeral containers "{known}" may not be removed\n'
            yield forbidden(path, detail)
        elif now[known] != container:
            both = {**container, **now[known]}
            changed = [key for key in both if container.get(key) != now[known].get(key)]
            difference = _difference(now[known], container, changed)
            detail = f'existing ephemeral containers "{known}" may not be changed\n{difference}'
            yield forbidden(path, detail)


def check_resize(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what is wrong with a change of a pod's resources in place."""
    if _MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        yield forbidden("", "static pods cannot be resized")
        return
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if ((before.get("os") or {}).get("name")) == "windows":
        yield forbidden("", "windows pods cannot be resized")
        return
    present = (old.get("status") or {}).get("qosClass") or qos_class(before)
    if present != qos_class(spec):
        detail = "Pod QOS Class may not change as a result of resizing"
        yield invalid("spec", present, detail)
    whole, then = spec.get("resources") or {}, before.get("resources") or {}
    yield from _check_removed(whole, then, "spec.resources")
    if _others(whole) != _others(then):
        yield forbidden("spec.resources", "only cpu and memory resources are mutable")
    for name in ("initContainers", "containers"):
        pairs = zip(spec.get(name) or (), before.get(name) or (), strict=False)
        for index, (container, then) in enumerate(pairs):
            yield from _check_resized(container, then, f"spec.{name}[{index}].resources", name)


def _check_resized(now: Document, then: Document, path: str, name: str) -> Iterator[Cause]:
    resources, before = now.get("resources") or {}, then.get("resources") or {}
    if name == "initContainers" and then.get("restartPolicy") != "Always":
        if now != then:
            yield forbidden("spec", "resources for non-sidecar init containers are immutable")
        return
    yield from _check_removed(resources, before, path)
    sidecar = " for sidecar containers" if name == "initContainers" else ""
    if _unresizable(now) != _unresizable(then):
        yield forbidden("spec", f"only cpu and memory resources{sidecar} are mutable")


def _check_removed(now: Document, then: Document, path: str) -> Iterator[Cause]:
    for side in ("requests", "limits"):
        if set(then.get(side) or ()) - set(now.get(side) or ()):
            yield forbidden(f"{path}.{side}", f"resource {side} cannot be removed")


def _unresizable(container: Document) -> dict[str, Any]:
    others = _others(container.get("resources") or {})
    return {**_without(_without(container, "resources"), "resizePolicy"), "resources": others}


def _others(resources: Document) -> dict[str, Any]:
    """Returns the amounts that cannot change."""
    return {
        side: {
            key: value
            for key, value in (resources.get(side) or {}).items()
            if key not in ("cpu", "memory")
        }
        for side in ("requests", "limits")
    }


def check_binding_target(binding: Document) -> Iterator[Cause]:
    """Yields what is wrong with a Binding (ValidatePodBinding)."""
    target = binding.get("target") or {}
    if target.get("kind", "") not in ("", "Node"):
        yield not_supported("target.kind", target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        yield required("target.name")
