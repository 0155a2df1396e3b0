"""The baseline level: known ways to escalate are closed (k8s.io/pod-security-admission/policy)."""

from __future__ import annotations

from typing import Final

from steersman.api.admission.pod_security.containers import (
    Violation,
    containers,
    context,
    counted,
    has_own_users,
    listed,
    named,
    quoted,
    setters,
    spec_of,
)
from steersman.model.gotext import quote
from steersman.model.kind import Document

CAPABILITIES: Final = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
        "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
# Kernel settings by the minor version that allowed them first
SYSCTLS: Final = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
    "net.ipv4.tcp_slow_start_after_idle": 37,
    "net.ipv4.tcp_notsent_lowat": 37,
}
SELINUX_TYPES: Final = {
    "": 0, "container_t": 0, "container_init_t": 0, "container_kvm_t": 0, "container_engine_t": 31,
}  # fmt: skip
_PROFILES: Final = ("RuntimeDefault", "Localhost")
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
_SECCOMP_FIELDS: Final = 19  # before this minor version profiles were annotations
_OWN_USERS: Final = 35  # from this minor version on user namespaces relax some checks


def check_apparmor(pod: Document, _minor: int) -> Violation | None:
    """Refuses AppArmor profiles that are neither the runtime's nor the node's."""
    kinds: set[str] = set()

    def bad(of: Document) -> bool:
        profile = context(of).get("appArmorProfile")
        kind = (profile or {}).get("type", "")
        wrong = profile is not None and kind not in _PROFILES
        if wrong:
            kinds.add(kind)
        return wrong

    who = [part for part in (setters(pod, bad),) if part]
    values = sorted(kinds)
    annotations = sorted(
        f"{key}={quote(value)}"
        for key, value in _annotations(pod).items()
        if key.startswith(_APPARMOR)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    if annotations:
        values += annotations
        who.append(counted("annotation", len(annotations)))
    if not who:
        return None
    reason = counted("forbidden AppArmor profile", len(values))
    detail = f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}"
    return Violation(reason, detail)


def _annotations(pod: Document) -> dict[str, str]:
    return (pod.get("metadata") or {}).get("annotations") or {}


def check_capabilities(pod: Document, _minor: int) -> Violation | None:
    """Refuses capabilities beyond the default ones."""
    extra: set[str] = set()

    def bad(container: Document) -> bool:
        added = set((context(container).get("capabilities") or {}).get("add") or ())
        extra.update(added - CAPABILITIES)
        return bool(added - CAPABILITIES)

    if not (names := named(pod, bad)):
        return None
    detail = (
        f"{listed(names)} must not include {quoted(sorted(extra))} in"
        " securityContext.capabilities.add"
    )
    return Violation("non-default capabilities", detail)


def check_host_namespaces(pod: Document, _minor: int) -> Violation | None:
    """Refuses the host's network, processes and memory."""
    fields = ("hostNetwork", "hostPID", "hostIPC")
    found = [f"{field}=true" for field in fields if spec_of(pod).get(field)]
    return Violation("host namespaces", ", ".join(found)) if found else None


def check_host_path(pod: Document, _minor: int) -> Violation | None:
    """Refuses directories of the host."""
    volumes = spec_of(pod).get("volumes") or ()
    bad = [volume.get("name", "") for volume in volumes if volume.get("hostPath") is not None]
    if not bad:
        return None
    return Violation("hostPath volumes", f"{counted('volume', len(bad))} {quoted(bad)}")


def check_host_ports(pod: Document, _minor: int) -> Violation | None:
    """Refuses ports of the host."""
    ports: set[str] = set()

    def bad(container: Document) -> bool:
        found = {
            str(one["hostPort"]) for one in container.get("ports") or () if one.get("hostPort")
        }
        ports.update(found)
        return bool(found)

    if not (names := named(pod, bad)):
        return None
    verb = "uses" if len(names) == 1 else "use"
    shown = f"{counted('hostPort', len(ports))} {', '.join(sorted(ports))}"
    return Violation("hostPort", f"{listed(names)} {verb} {shown}")


def check_probes(pod: Document, _minor: int) -> Violation | None:
    """Refuses probes and hooks that go to another host (since 1.34)."""
    hosts: set[str] = set()

    def bad(container: Document) -> bool:
        found = {host for handler in _handlers(container) for host in _hosts(handler)}
        hosts.update(found)
        return bool(found)

    if not (names := sorted(set(named(pod, bad)))):
        return None
    verb = "uses" if len(names) == 1 else "use"
    what = f"{counted('probe or lifecycle host', len(hosts))} {quoted(sorted(hosts))}"
    return Violation("probe or lifecycle host", f"{listed(names)} {verb} {what}")


def _handlers(container: Document) -> list[Document]:
    lifecycle = container.get("lifecycle") or {}
    probes = [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
    handlers = [*probes, lifecycle.get("postStart"), lifecycle.get("preStop")]
    return [found for found in handlers if found]


def _hosts(handler: Document) -> list[str]:
    actions = (handler.get("httpGet") or {}, handler.get("tcpSocket") or {})
    return [action["host"] for action in actions if action.get("host")]


def check_privileged(pod: Document, _minor: int) -> Violation | None:
    """Refuses privileged containers."""
    bad = named(pod, lambda container: bool(context(container).get("privileged")))
    if not bad:
        return None
    return Violation("privileged", f"{listed(bad)} must not set securityContext.privileged=true")


def check_proc_mount(pod: Document, minor: int) -> Violation | None:
    """Refuses a /proc that is not masked, but in a user namespace (since 1.35)."""
    if minor >= _OWN_USERS and has_own_users(pod):
        return None
    return check_masked_proc(pod, minor)


def check_masked_proc(pod: Document, _minor: int) -> Violation | None:
    """Refuses a /proc that is not masked."""
    kinds: set[str] = set()

    def bad(container: Document) -> bool:
        kind = context(container).get("procMount", "Default")
        if kind != "Default":
            kinds.add(kind)
        return bool(kind != "Default")

    if not (names := named(pod, bad)):
        return None
    detail = f"{listed(names)} must not set securityContext.procMount to {quoted(sorted(kinds))}"
    return Violation("procMount", detail)


def check_selinux(pod: Document, minor: int) -> Violation | None:
    """Refuses SELinux types beyond the containers' own, and users and roles."""
    kinds: set[str] = set()
    may_not: set[str] = set()

    def bad(of: Document) -> bool:
        options = context(of).get("seLinuxOptions") or {}
        kind = options.get("type", "")
        wrong = SELINUX_TYPES.get(kind, minor + 1) > minor
        if wrong:
            kinds.add(kind)
        found = {field for field in ("user", "role") if options.get(field)}
        may_not.update(found)
        return wrong or bool(found)

    if not (who := setters(pod, bad)):
        return None
    what = [f"{counted('type', len(kinds))} {quoted(sorted(kinds))}"] if kinds else []
    what += [f"{field} may not be set" for field in ("user", "role") if field in may_not]
    detail = f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(what)}"
    return Violation("seLinuxOptions", detail)


def check_seccomp(pod: Document, minor: int) -> Violation | None:
    """Refuses to go without a seccomp filter in so many words."""
    if minor < _SECCOMP_FIELDS:
        return _check_seccomp_annotations(pod)
    kinds: set[str] = set()

    def bad(of: Document) -> bool:
        profile = context(of).get("seccompProfile")
        kind = (profile or {}).get("type", "")
        wrong = profile is not None and kind not in _PROFILES
        if wrong:
            kinds.add(kind)
        return wrong

    if not (who := setters(pod, bad)):
        return None
    shown = quoted(sorted(kinds))
    detail = f"{who} must not set securityContext.seccompProfile.type to {shown}"
    return Violation("seccompProfile", detail)


def _check_seccomp_annotations(pod: Document) -> Violation | None:
    annotations = _annotations(pod)
    keys = {_SECCOMP_POD, *(_SECCOMP_CONTAINER + c.get("name", "") for c in containers(pod))}
    bad = sorted(
        f"{key}={quote(annotations[key])}"
        for key in keys & annotations.keys()
        if annotations[key] not in ("runtime/default", "docker/default")
        and not annotations[key].startswith("localhost/")
    )
    if not bad:
        return None
    what = f"forbidden {counted('annotation', len(bad))} {', '.join(bad)}"
    return Violation("seccompProfile", what)


def check_sysctls(pod: Document, minor: int) -> Violation | None:
    """Refuses kernel settings beyond the safe ones."""
    settings = [one.get("name", "") for one in context(spec_of(pod)).get("sysctls") or ()]
    bad = [name for name in settings if SYSCTLS.get(name, minor + 1) > minor]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def check_host_process(pod: Document, _minor: int) -> Violation | None:
    """Refuses processes of a Windows host."""

    def bad(of: Document) -> bool:
        return bool((context(of).get("windowsOptions") or {}).get("hostProcess"))

    if not (who := setters(pod, bad)):
        return None
    detail = f"{who} must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", detail)
