"""The restricted level: today's good practice (k8s.io/pod-security-admission/policy)."""

from __future__ import annotations

from typing import Final

from steersman.api.admission.pod_security.containers import (
    Violation,
    containers,
    context,
    counted,
    has_own_users,
    is_windows,
    listed,
    named,
    quoted,
    setters,
    spec_of,
)
from steersman.model.kind import Document

_WINDOWS: Final = 25  # from this minor version on pods for Windows are exempt from some checks
_OWN_USERS: Final = 35
_VOLUMES: Final = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
    "projected", "secret",
)  # fmt: skip
_OTHER_VOLUMES: Final = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi",
    "glusterfs", "rbd", "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile",
    "vsphereVolume", "quobyte", "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO",
    "storageos",
)  # fmt: skip


def check_escalation(pod: Document, minor: int) -> Violation | None:
    """Wants allowPrivilegeEscalation to be false."""
    if minor >= _WINDOWS and is_windows(pod):
        return None
    bad = named(pod, lambda one: context(one).get("allowPrivilegeEscalation") is not False)
    if not bad:
        return None
    detail = f"{listed(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def check_capabilities(pod: Document, minor: int) -> Violation | None:
    """Wants all capabilities dropped; NET_BIND_SERVICE may be added."""
    if minor >= _WINDOWS and is_windows(pod):
        return None
    extra: set[str] = set()

    def keeps(container: Document) -> bool:
        return "ALL" not in ((context(container).get("capabilities") or {}).get("drop") or ())

    def adds(container: Document) -> bool:
        added = set((context(container).get("capabilities") or {}).get("add") or ())
        extra.update(added - {"NET_BIND_SERVICE"})
        return bool(added - {"NET_BIND_SERVICE"})

    details = []
    if missing := named(pod, keeps):
        details.append(f'{listed(missing)} must set securityContext.capabilities.drop=["ALL"]')
    if adding := named(pod, adds):
        shown = quoted(sorted(extra))
        details.append(
            f"{listed(adding)} must not include {shown} in securityContext.capabilities.add"
        )
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def check_volumes(pod: Document, _minor: int) -> Violation | None:
    """Wants volumes of the cluster's own kinds alone."""
    names: list[str] = []
    kinds: set[str] = set()
    for volume in spec_of(pod).get("volumes") or ():
        if any(volume.get(kind) is not None for kind in _VOLUMES):
            continue
        names.append(volume.get("name", ""))
        found = (kind for kind in _OTHER_VOLUMES if volume.get(kind) is not None)
        kinds.add(next(found, "unknown"))
    if not names:
        return None
    verb = "uses" if len(names) == 1 else "use"
    what = f"{counted('restricted volume type', len(kinds))} {quoted(sorted(kinds))}"
    detail = f"{counted('volume', len(names))} {quoted(names)} {verb} {what}"
    return Violation("restricted volume types", detail)


def check_non_root(pod: Document, minor: int) -> Violation | None:
    """Wants runAsNonRoot for every container."""
    if minor >= _OWN_USERS and has_own_users(pod):
        return None
    reason = "runAsNonRoot != true"
    if who := setters(pod, lambda of: context(of).get("runAsNonRoot") is False):
        return Violation(reason, f"{who} must not set securityContext.runAsNonRoot=false")
    if context(spec_of(pod)).get("runAsNonRoot"):
        return None
    if not (bad := named(pod, lambda one: context(one).get("runAsNonRoot") is None)):
        return None
    detail = f"pod or {listed(bad)} must set securityContext.runAsNonRoot=true"
    return Violation(reason, detail)


def check_user(pod: Document, minor: int) -> Violation | None:
    """Refuses user 0."""
    if minor >= _OWN_USERS and has_own_users(pod):
        return None
    if not (who := setters(pod, lambda of: context(of).get("runAsUser") == 0)):
        return None
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0")


def check_seccomp(pod: Document, minor: int) -> Violation | None:
    """Wants a seccomp filter for every container."""
    if minor >= _WINDOWS and is_windows(pod):
        return None
    found = {_seccomp(of) for of in (spec_of(pod), *containers(pod))}
    wrong = found - {None, "RuntimeDefault", "Localhost"}
    if who := setters(pod, lambda of: _seccomp(of) in wrong):
        shown = quoted(sorted(filter(None, wrong)))
        detail = f"{who} must not set securityContext.seccompProfile.type to {shown}"
        return Violation("seccompProfile", detail)
    if _seccomp(spec_of(pod)) is not None:
        return None
    if not (bad := named(pod, lambda one: _seccomp(one) is None)):
        return None
    detail = (
        f"pod or {listed(bad)} must set securityContext.seccompProfile.type to"
        ' "RuntimeDefault" or "Localhost"'
    )
    return Violation("seccompProfile", detail)


def _seccomp(of: Document) -> str | None:
    profile = context(of).get("seccompProfile")
    return None if profile is None else str(profile.get("type", ""))
