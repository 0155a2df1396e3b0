"""Which pods a node does not take for their sysctls or their AppArmor profile."""

from __future__ import annotations

from typing import Any

import pytest
from node_documents import pod

from steersman.node.admission.kernel import (
    SAFE_SYSCTLS,
    Allowed,
    BadSysctl,
    decide_admission,
    normal_name,
    parse_allowed,
)


def decide(*names: str, allowed: Allowed | None = None, **spec: Any) -> tuple[str, str] | None:
    context = {"sysctls": [{"name": it, "value": "1"} for it in names]}
    made = pod(spec={"securityContext": context, **spec})
    return decide_admission(made, allowed or Allowed(), apparmor=False)


def test_safe_sysctls_pass_and_others_do_not() -> None:
    assert decide(*SAFE_SYSCTLS) is None
    assert decide("kernel/shm_rmid_forced", "net/ipv4/tcp_syncookies") is None
    assert decide("kernel.shm_rmid_forced", "kernel.msgmax") == (
        "SysctlForbidden",
        'forbidden sysctl: "kernel.msgmax" not allowlisted',
    )


def test_unsafe_sysctls_pass_where_the_node_allows_them() -> None:
    allowed = parse_allowed(["kernel.msg*", "net.core.somaxconn"])
    assert decide("kernel.msgmax", "net.core.somaxconn", allowed=allowed) is None
    for name in ("net.core.somaxconn2", "kernel.shmmax", "net.core"):
        assert decide(name, allowed=allowed) is not None


@pytest.mark.parametrize(
    ("name", "spec", "kind"),
    [
        ("kernel.shm_rmid_forced", {"hostIPC": True}, "IPC"),
        ("kernel.sem", {"hostIPC": True}, "IPC"),
        ("net.ipv4.tcp_rmem", {"hostNetwork": True}, "Net"),
    ],
)
def test_sysctls_of_the_machine_are_refused(name: str, spec: dict[str, Any], kind: str) -> None:
    allowed = parse_allowed(["kernel.sem"])
    text = f'forbidden sysctl: "{name}" not allowed with host {kind} enabled'
    assert decide(name, allowed=allowed, **spec) == ("SysctlForbidden", text)
    assert decide(name, allowed=allowed) is None
    other = {"hostNetwork": True} if kind == "IPC" else {"hostIPC": True}
    assert decide(name, allowed=allowed, **other) is None


def test_what_cannot_be_allowed_is_told() -> None:
    with pytest.raises(BadSysctl, match=r'the sysctls "vm\.nr_hugepages" are not known to be name'):
        parse_allowed(["vm.nr_hugepages"])
    for name in ("*", "kernel*"):
        with pytest.raises(BadSysctl, match="not known to be namespaced"):
            parse_allowed([name])
    for name in ("net.*.x", "Net.x", "net.x" * 60, "net..x"):
        with pytest.raises(BadSysctl, match="must have at most 253 characters and match regex"):
            parse_allowed([name])
    assert parse_allowed(["net/ipv4/*"]).prefixes == ("net.ipv4.",)


def test_dots_and_slashes_change_places_where_a_slash_comes_first() -> None:
    assert normal_name("net/ipv4/conf/eth0.1/x") == "net.ipv4.conf.eth0/1.x"
    assert normal_name("net.ipv4/x") == "net.ipv4/x"
    assert normal_name("plain") == "plain"


@pytest.mark.parametrize("where", ["pod", "container", "init"])
def test_a_profile_of_apparmor_needs_apparmor(where: str) -> None:
    def made(kind: str) -> Any:
        context = {"securityContext": {"appArmorProfile": {"type": kind}}}
        if where == "pod":
            return pod(spec=context)
        if where == "container":
            return pod(**context)
        return pod(spec={"initContainers": [{"name": "i", "image": "i", **context}]})

    text = "Cannot enforce AppArmor: AppArmor is not enabled on the host"
    for kind in ("RuntimeDefault", "Localhost"):
        assert decide_admission(made(kind), Allowed(), apparmor=False) == ("AppArmor", text)
        assert decide_admission(made(kind), Allowed(), apparmor=True) is None
    assert decide_admission(made("Unconfined"), Allowed(), apparmor=False) is None
