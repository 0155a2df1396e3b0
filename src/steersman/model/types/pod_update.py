"""What an update may change of a pod, through the pod itself and through its subresources.

Sources: ValidatePodUpdate, ValidatePodEphemeralContainersUpdate, ValidatePodResize in
pkg/apis/core/validation. What its status may say stands in pod_status_check.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import (
    each,
    forbidden,
    invalid,
    not_supported,
    required,
)
from steersman.model.errors import Cause
from steersman.model.gotext import shown
from steersman.model.kind import Document
from steersman.model.types.container_check import check_image_spaces
from steersman.model.types.pod_annotation_check import MIRROR
from steersman.model.types.resources import qos_class

_CHANGEABLE: Final = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
_MOST_SECONDS: Final = 2**31 - 1
_NO_FIELD: Final = "[]"  # as upstream's path without a name prints
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


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
    yield from _check_gated_affinity(now, then)


def _check_gated_affinity(now: Document, then: Document) -> Iterator[Cause]:
    wanted, had = now.get("affinity") or {}, then.get("affinity") or {}
    name = "nodeAffinity"
    if wanted.get(name) == had.get(name):
        return
    path = f"spec.affinity.{name}.{_REQUIRED}.nodeSelectorTerms"
    terms, before = (_required_terms(one.get(name)) for one in (wanted, had))
    if before and len(before) != len(terms):
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield invalid(path, terms, detail)
    else:
        for index, (term, old) in enumerate(zip(terms, before, strict=False)):
            if not _only_adds(term, old):
                detail = "only additions are allowed (no mutations or deletions)"
                yield invalid(f"{path}[{index}]", term, detail)
    kept = {name: had[name]} if name in had else {}
    now["affinity"] = {**_without(wanted, name), **kept} or then.get("affinity")


def _required_terms(affinity: Document | None) -> list[Document]:
    required = (affinity or {}).get(_REQUIRED) or {}
    return list(required.get("nodeSelectorTerms") or ())


def _only_adds(term: Document, old: Document) -> bool:
    """Whether a term narrows an old one, which selects nothing where it says nothing."""
    fields = ("matchExpressions", "matchFields")
    if not any(old.get(field) for field in fields):
        return not any(term.get(field) for field in fields)
    return all(
        (term.get(field) or [])[: len(old.get(field) or [])] == (old.get(field) or [])
        for field in fields
    )


def refusal(old: Document | None, subresource: str) -> Cause | None:
    """Returns why a pod cannot be changed through a subresource at all, whatever else is wrong."""
    if old is None or subresource not in ("ephemeralcontainers", "resize"):
        return None
    what = "be resized" if subresource == "resize" else "support ephemeral containers"
    if MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        cannot = "cannot" if subresource == "resize" else "do not"
        return forbidden(_NO_FIELD, f"static pods {cannot} {what}")
    system = ((old.get("spec") or {}).get("os") or {}).get("name")
    if system == "windows" and subresource == "resize":
        return forbidden(_NO_FIELD, f"windows pods cannot {what}")
    return None


def check_ephemeral(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what is wrong with a change of a pod's ephemeral containers."""
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


def resized(new: Document, old: Document) -> Document:
    """Returns an old pod with the resources of a new one, container for container by its name;
    what else a resize says is dropped (dropNonResizeUpdates)."""
    wanted, spec = new.get("spec") or {}, dict(old.get("spec") or {})
    for name in ("containers", "initContainers"):
        given = {one.get("name"): one for one in wanted.get(name) or ()}
        if name in spec:
            spec[name] = [_with(one, given.get(one.get("name")), _SIZES) for one in spec[name]]
    return {**new, "spec": _with(spec, wanted, ("resources",))}


_SIZES: Final = ("resources", "resizePolicy")


def _with(document: Document, given: Document | None, fields: Sequence[str]) -> Document:
    """Returns a document with some fields as they are given, present or not."""
    if given is None:
        return document
    kept = {key: value for key, value in document.items() if key not in fields}
    return kept | {key: given[key] for key in fields if key in given}


def reported(new: Document, old: Document) -> Document:
    """Returns a pod with what a report of its status may leave out and does not take away: its
    class of service and which generations were observed (preserveOldObservedGeneration)."""
    status, before = dict(new.get("status") or {}), old.get("status") or {}
    for name in ("qosClass", "observedGeneration"):
        if not status.get(name) and name in before:
            status[name] = before[name]
    observed: dict[str, list[int]] = {}
    for one in before.get("conditions") or ():
        observed.setdefault(one.get("type"), []).append(one.get("observedGeneration") or 0)
    conditions = []
    for one in status.get("conditions") or ():
        earlier = observed.get(one.get("type"))
        generation = earlier.pop(0) if earlier else 0
        if generation and not one.get("observedGeneration"):
            one = {**one, "observedGeneration": generation}
        conditions.append(one)
    if conditions:
        status["conditions"] = conditions
    return {**new, "status": status} if status else new


def check_resize(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what is wrong with a change of a pod's resources in place."""
    spec, before, status = new.get("spec") or {}, old.get("spec") or {}, old.get("status") or {}
    present = status.get("qosClass") or qos_class(before)
    if present != qos_class(spec):
        detail = "Pod QOS Class may not change as a result of resizing"
        yield invalid("spec", present, detail)
    if not _is_resizable(status):
        yield forbidden("spec", "Pod running on node without support for resize")
    whole, then = spec.get("resources") or {}, before.get("resources") or {}
    yield from _check_removed(whole, then, "spec.resources")
    if _others(whole) != _others(then):
        yield forbidden("spec.resources", "only cpu and memory resources are mutable")
    pairs = {name: _pairs(spec, before, name) for name in ("initContainers", "containers")}
    for name, found in pairs.items():
        for index, (container, then) in enumerate(found):
            path = f"spec.{name}[{index}].resources"
            if name == "containers" or _is_sidecar(then):
                now, was = (one.get("resources") or {} for one in (container, then))
                yield from _check_removed(now, was, path)
    for container, then in pairs["containers"]:
        if _unresizable(container) != _unresizable(then):
            yield forbidden("spec", "only cpu and memory resources are mutable")
    for container, then in pairs["initContainers"]:
        if not _is_sidecar(then):
            if container != then:
                yield forbidden("spec", "resources for non-sidecar init containers are immutable")
        elif _unresizable(container) != _unresizable(then):
            detail = "only cpu and memory resources for sidecar containers are mutable"
            yield forbidden("spec", detail)


def _pairs(spec: Document, before: Document, name: str) -> list[tuple[Document, Document]]:
    return list(zip(spec.get(name) or (), before.get(name) or (), strict=False))


def _is_sidecar(container: Document) -> bool:
    return container.get("restartPolicy") == "Always"


def _is_resizable(status: Document) -> bool:
    """Whether a pod's node tells what its containers have; one without running ones may."""
    for container in status.get("containerStatuses") or ():
        if (container.get("state") or {}).get("running") is not None:
            return container.get("resources") is not None
    return True


def _check_removed(now: Document, then: Document, path: str) -> Iterator[Cause]:
    for side in ("requests", "limits"):
        if set(then.get(side) or ()) - set(now.get(side) or ()):
            yield forbidden(f"{path}.{side}", f"resource {side} cannot be removed")


def _unresizable(container: Document) -> dict[str, Any]:
    others = _others(container.get("resources") or {})
    return {**_without(container, "resources"), "resources": others}


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
