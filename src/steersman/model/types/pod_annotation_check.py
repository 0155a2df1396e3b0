"""What is checked of the annotations of a pod or a template that upstream reads: mirror pods,
tolerations, the cost of deletion, and the profiles that have fields by now
(ValidatePodSpecificAnnotations and its kin in pkg/apis/core/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from steersman.model.causes import forbidden, invalid
from steersman.model.errors import Cause
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.types.scheduling_check import check_tolerations
from steersman.model.types.system_check import all_containers
from steersman.model.types.volume_check import check_descending

MIRROR: Final = "kubernetes.io/config.mirror"
_TOLERATIONS: Final = "scheduler.alpha.kubernetes.io/tolerations"
_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_NUMBER: Final = re.compile("0|-?[0-9]+")
_MOST: Final = 2**31
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_OF: Final = "container.seccomp.security.alpha.kubernetes.io/"
_LOCAL: Final = "localhost/"
# type of a profile -> how annotations say it
_SECCOMP_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Unconfined": ("unconfined",),
    "RuntimeDefault": ("runtime/default", "docker/default"),
}
_APPARMOR_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Unconfined": ("unconfined",),
    "RuntimeDefault": ("runtime/default",),
}
_KNOWN: Final = ("unconfined", "runtime/default")


def is_read(key: str) -> bool:
    """Tells whether what an annotation says is checked against the rest of its pod."""
    read = (MIRROR, _TOLERATIONS, _COST, _SECCOMP)
    return key in read or key.startswith((_SECCOMP_OF, _APPARMOR))


def check_annotations(
    annotations: Mapping[str, str], spec: Document, path: str, old: Mapping[str, str] | None = None
) -> Iterator[Cause]:
    """Yields what is wrong with what annotations say of a pod; `old` are those before an update."""
    if MIRROR in annotations and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        yield invalid(f"{path}[{MIRROR}]", annotations[MIRROR], detail)
    if text := annotations.get(_TOLERATIONS):
        yield from _check_tolerations(text, path)
    if not _is_cost(annotations) and (old is None or _is_cost(old)):
        yield invalid(f"{path}[{_COST}]", annotations[_COST], "must be a 32bit integer")
    for key, value in annotations.items():
        if key == _SECCOMP or key.startswith(_SECCOMP_OF):
            yield from _check_seccomp(value, f"{path}.{key}")
        elif key.startswith(_APPARMOR):
            yield from _check_apparmor(key.removeprefix(_APPARMOR), value, spec, f"{path}[{key}]")


def _check_tolerations(text: str, path: str) -> Iterator[Cause]:
    try:
        tolerations = msgspec.json.decode(text, type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        yield invalid(path, _TOLERATIONS, str(error))
    else:
        yield from check_tolerations(tolerations, f"{path}.{_TOLERATIONS}")


def _is_cost(annotations: Mapping[str, str]) -> bool:
    text = annotations.get(_COST, "0")
    leading = text.startswith("0") and text != "0"
    return bool(_NUMBER.fullmatch(text)) and not leading and -_MOST <= int(text) < _MOST


def _check_seccomp(profile: str, path: str) -> Iterator[Cause]:
    if profile.startswith(_LOCAL):
        yield from check_descending(profile.removeprefix(_LOCAL), path)
    elif profile not in (*_KNOWN, "docker/default"):
        yield invalid(path, profile, "must be a valid seccomp profile")


def _check_apparmor(name: str, profile: str, spec: Document, path: str) -> Iterator[Cause]:
    if not any(container.get("name") == name for _, container in all_containers(spec, "")):
        yield invalid(path, name, "container not found")
    if profile and profile not in _KNOWN and not profile.startswith(_LOCAL):
        yield invalid(path, profile, f"invalid AppArmor profile name: {quote(profile)}")


def check_matching(annotations: Mapping[str, str], spec: Document, path: str) -> Iterator[Cause]:
    """Yields where annotations and fields of a new pod, or a template, say different profiles."""
    field, context = "seccompProfile", spec.get("securityContext") or {}
    if (text := annotations.get(_SECCOMP)) is not None:
        where = f"{path}.securityContext.{field}"
        yield from _match(text, context.get(field), where, _SECCOMP_WORDS, "seccomp")
    windows = (spec.get("os") or {}).get("name") == "windows"
    for where, container in all_containers(spec, path):
        name, own = container.get("name", ""), container.get("securityContext") or {}
        where = f"{where}.securityContext"
        if (text := annotations.get(f"{_SECCOMP_OF}{name}")) is not None:
            found = own.get(field)
            yield from _match(text, found, f"{where}.{field}", _SECCOMP_WORDS, "seccomp")
        if (text := annotations.get(f"{_APPARMOR}{name}")) is not None and not windows:
            found = own.get("appArmorProfile") or context.get("appArmorProfile")
            where = f"{where}.appArmorProfile"
            yield from _match(text, found, where, _APPARMOR_WORDS, "apparmor")


def _match(
    text: str,
    profile: Document | None,
    path: str,
    words: Mapping[str, tuple[str, ...]],
    what: str,
) -> Iterator[Cause]:
    kind = (profile or {}).get("type", "")
    wrong = f"{what} type in annotation and field must match"
    if kind in words and text not in words[kind]:
        yield forbidden(f"{path}.type", wrong)
    if kind == "Localhost":
        if not text.startswith(_LOCAL):
            yield forbidden(f"{path}.type", wrong)
        elif text.removeprefix(_LOCAL) != (profile or {}).get("localhostProfile"):
            detail = f"{what} profile in annotation and field must match"
            yield forbidden(f"{path}.localhostProfile", detail)


def check_changed(new: Mapping[str, str], old: Mapping[str, str], path: str) -> Iterator[Cause]:
    """Yields the annotations that an update of a pod may not touch."""
    for key in {**old, **new}:
        if new.get(key) == old.get(key) or not (key == MIRROR or key.startswith(_APPARMOR)):
            continue
        what = "mirror pod annotation" if key == MIRROR else "AppArmor annotations"
        verb = "remove or update" if key in old else "add"
        yield forbidden(f"{path}[{key}]", f"may not {verb} {what}")
