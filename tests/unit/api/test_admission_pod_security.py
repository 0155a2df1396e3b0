"""The Pod Security Standards: each check in its words, versions, labels, warnings."""

from __future__ import annotations

from typing import Any

import pytest
from tests.served import Served, deployment, pod, served, serving

from steersman.api.admission.plugins.registry import AdmissionSettings, enabled
from steersman.api.admission.pod_security.levels import (
    LATEST,
    Policy,
    Standard,
    detail,
    is_raised,
    policy_of,
    violations,
)
from steersman.store.memory import MemoryStore
from steersman.world.simulated import SimulatedWorld, simulate

GOOD: dict[str, Any] = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def found(level: Any, spec: Any = None, minor: int = LATEST, **annotations: str) -> str:
    document = pod("p", **(spec or {}))
    document["metadata"]["annotations"] = annotations
    return detail(list(violations(Standard(level, minor), document)))


def main(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "image": "i", **fields}]}


def secured(**context: Any) -> dict[str, Any]:
    return main(securityContext={**GOOD, **context})


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"hostNetwork": True, "hostPID": True, "hostIPC": True},
         "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"),
        (main(securityContext={"privileged": True}),
         'privileged (container "a" must not set securityContext.privileged=true)'),
        (main(securityContext={"capabilities": {"add": ["NET_ADMIN", "CHOWN", "BPF"]}}),
         'non-default capabilities (container "a" must not include "BPF", "NET_ADMIN" in'
         " securityContext.capabilities.add)"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}},
                      {"name": "w", "hostPath": {"path": "/"}}]},
         'hostPath volumes (volumes "v", "w")'),
        (main(ports=[{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]),
         'hostPort (container "a" uses hostPorts 443, 80)'),
        (main(livenessProbe={"httpGet": {"host": "1.2.3.4", "port": 1}}),
         'probe or lifecycle host (container "a" uses probe or lifecycle host "1.2.3.4")'),
        (main(lifecycle={"preStop": {"tcpSocket": {"host": "h", "port": 1}}}),
         'probe or lifecycle host (container "a" uses probe or lifecycle host "h")'),
        (main(securityContext={"procMount": "Unmasked"}),
         'procMount (container "a" must not set securityContext.procMount to "Unmasked")'),
        ({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
         'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")'),
        ({"securityContext": {"seLinuxOptions": {"type": "t", "user": "u"}},
          **main(securityContext={"seLinuxOptions": {"role": "r"}})},
         'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions:'
         ' type "t"; user may not be set; role may not be set)'),
        ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
         "seccompProfile (pod must not set securityContext.seccompProfile.type to"
         ' "Unconfined")'),
        ({"securityContext": {"sysctls": [{"name": "a.b", "value": "1"},
                                          {"name": "net.ipv4.tcp_rmem", "value": "1"}]}},
         "forbidden sysctls (a.b)"),
        (main(securityContext={"windowsOptions": {"hostProcess": True}}),
         'hostProcess (container "a" must not set'
         " securityContext.windowsOptions.hostProcess=true)"),
        ({"ephemeralContainers": [{"name": "e", "securityContext": {"privileged": True}}]},
         'privileged (container "e" must not set securityContext.privileged=true)'),
    ],
)  # fmt: skip
def test_the_baseline_refuses_a_way_to_escalate(spec: Any, text: str) -> None:
    assert found("baseline", spec) == text
    assert not found("privileged", spec)
    assert not found("baseline")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (secured(allowPrivilegeEscalation=None),
         'allowPrivilegeEscalation != false (container "a" must set'
         " securityContext.allowPrivilegeEscalation=false)"),
        (secured(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}),
         'unrestricted capabilities (container "a" must not include "CHOWN" in'
         " securityContext.capabilities.add)"),
        (secured(capabilities={}),
         'unrestricted capabilities (container "a" must set'
         ' securityContext.capabilities.drop=["ALL"])'),
        ({**secured(), "volumes": [{"name": "v", "nfs": {}}, {"name": "e", "emptyDir": {}},
                                   {"name": "h", "hostPath": {"path": "/"}}]},
         'restricted volume types (volumes "v", "h" use restricted volume types "hostPath",'
         ' "nfs")'),
        (secured(runAsNonRoot=None),
         'runAsNonRoot != true (pod or container "a" must set'
         " securityContext.runAsNonRoot=true)"),
        (secured(runAsNonRoot=False),
         'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)'),
        ({"securityContext": {"runAsUser": 0}, **secured(runAsUser=0)},
         'runAsUser=0 (pod and container "a" must not set runAsUser=0)'),
        (secured(seccompProfile=None),
         'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to'
         ' "RuntimeDefault" or "Localhost")'),
        (secured(seccompProfile={"type": "Unconfined"}),
         'seccompProfile (container "a" must not set securityContext.seccompProfile.type to'
         ' "Unconfined")'),
        ({**secured(procMount="Unmasked"), "hostUsers": False},
         'procMount (container "a" must not set securityContext.procMount to "Unmasked")'),
    ],
)  # fmt: skip
def test_the_restricted_level_wants_good_practice(spec: Any, text: str) -> None:
    assert found("restricted", spec) == text


def test_a_good_pod_is_good_by_its_containers_or_as_a_whole() -> None:
    assert not found("restricted", secured())
    whole = {"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}
    rest = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert not found("restricted", {"securityContext": whole, **main(securityContext=rest)})


def test_an_ordinary_pod_violates_all_that_the_restricted_level_wants() -> None:
    assert found("restricted") == (
        'allowPrivilegeEscalation != false (container "main" must set'
        " securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container"
        ' "main" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod'
        ' or container "main" must set securityContext.runAsNonRoot=true), seccompProfile (pod or'
        ' container "main" must set securityContext.seccompProfile.type to "RuntimeDefault" or'
        ' "Localhost")'
    )


def test_a_version_has_the_checks_of_its_time() -> None:
    probe = main(livenessProbe={"httpGet": {"host": "h", "port": 1}})
    assert not found("baseline", probe, 33)
    assert found("baseline", probe, 34)
    sysctl = {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}}
    assert found("baseline", sysctl, 31) == "forbidden sysctls (net.ipv4.tcp_rmem)"
    assert not found("baseline", sysctl, 32)
    own = {**secured(runAsNonRoot=None, runAsUser=0), "hostUsers": False}
    assert "runAsNonRoot" in found("restricted", own, 34)
    assert "runAsUser" in found("restricted", own, 34)
    assert not found("restricted", own, 35)
    unmasked = {**main(securityContext={"procMount": "Unmasked"}), "hostUsers": False}
    assert found("baseline", unmasked, 34)
    assert not found("baseline", unmasked, 35)
    assert not found("restricted", {}, 7).count("allowPrivilegeEscalation")
    windows = {"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": True}}
    assert not found("restricted", windows, 25)
    assert found("restricted", {**windows, "os": {"name": "linux"}}, 25)
    for what in ("allowPrivilegeEscalation", "unrestricted capabilities", "seccompProfile"):
        assert what in found("restricted", windows, 24)
    engine = {"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}}
    assert found("baseline", engine, 30)
    assert not found("baseline", engine, 31)


def test_profiles_in_annotations_count() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/a"
    assert not found("baseline", main(), **{key: "localhost/x"})
    assert found("baseline", main(), **{key: "unconfined"}) == (
        f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{key}='
        '"unconfined"")'
    )
    seccomp = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    assert found("baseline", main(), 18, **seccomp) == (
        "seccompProfile (forbidden annotation"
        ' seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    )
    assert not found("baseline", main(), 19, **seccomp)
    for fine in ("runtime/default", "docker/default", "localhost/x"):
        for where in ("pod", "container.seccomp.security.alpha.kubernetes.io/a"):
            named = {
                where if "/" in where else f"seccomp.security.alpha.kubernetes.io/{where}": fine
            }
            assert not found("baseline", main(), 18, **named)


def labels(**modes: str) -> dict[str, str]:
    return {
        f"pod-security.kubernetes.io/{mode.replace('_', '-')}": value
        for mode, value in modes.items()
    }


def test_labels_say_what_is_enforced_and_what_is_told() -> None:
    assert policy_of({}) == (Policy(), [])
    policy, wrong = policy_of(
        labels(enforce="baseline", enforce_version="v1.30", warn="restricted")
    )
    assert not wrong
    assert str(policy.enforce) == "baseline:v1.30"
    assert str(policy.warn) == "restricted:latest"
    assert policy.audit == Standard()
    same, _ = policy_of(labels(enforce="baseline", enforce_version="v1.30"))
    assert same.warn == same.enforce  # what is enforced is also told of workloads
    fixed, _ = policy_of(labels(enforce="baseline", warn_version="v1.29"))
    assert str(fixed.warn) == "baseline:v1.29"


def test_wrong_labels_are_named_and_hold_on_the_safe_side() -> None:
    policy, wrong = policy_of(labels(enforce="strict", warn="x", audit_version="1.2"))
    assert policy.enforce.level == "restricted"
    assert policy.warn.level == policy.audit.level == "privileged"
    assert [(cause.field, cause.message) for cause in wrong] == [
        ("metadata.labels[pod-security.kubernetes.io/enforce]",
         'Invalid value: "strict": must be one of privileged, baseline, restricted'),
        ("metadata.labels[pod-security.kubernetes.io/audit-version]",
         'Invalid value: "1.2": must be "latest" or "v1.x"'),
        ("metadata.labels[pod-security.kubernetes.io/warn]",
         'Invalid value: "x": must be one of privileged, baseline, restricted'),
    ]  # fmt: skip


def test_a_standard_is_raised_by_level_or_by_version() -> None:
    low, high = Standard("baseline", 30), Standard("restricted", 30)
    assert is_raised(low, high)
    assert not is_raised(high, low)
    assert is_raised(low, Standard("baseline", 31))
    assert not is_raised(low, Standard("privileged", 31))
    assert not is_raised(low, low)


async def namespace(api: Served, name: str, **modes: str) -> None:
    made = {"metadata": {"name": name, "labels": labels(**modes)}}
    (await api.post("/api/v1/namespaces", made)).ok()
    account = {"metadata": {"name": "default"}}
    (await api.post(f"/api/v1/namespaces/{name}/serviceaccounts", account)).ok()


@served
async def test_a_pod_is_refused_where_it_is_enforced_and_told_where_it_is_not(api: Served) -> None:
    await namespace(api, "strict", enforce="baseline", warn="restricted")
    pods = "/api/v1/namespaces/strict/pods"
    refused = await api.post(pods, pod("host", hostNetwork=True))
    assert (refused.code, refused.message) == (
        403,
        'pods "host" is forbidden: violates PodSecurity "baseline:latest": host namespaces'
        " (hostNetwork=true)",
    )
    for name in ("one", "two"):  # the second is of a template that is known
        told = await api.post(pods, pod(name))
        told.ok()
        assert told.headers["Warning"].startswith(
            '299 - "would violate PodSecurity \\"restricted:latest\\": allowPrivilegeEscalation'
        )
    quiet = await api.patch(f"{pods}/one", {"metadata": {"labels": {"a": "b"}}})
    quiet.ok()
    assert "Warning" not in (quiet.headers or {})
    free = await api.post("/api/v1/namespaces/default/pods", pod("host", hostNetwork=True))
    free.ok()
    assert "Warning" not in (free.headers or {})


@served
async def test_a_workload_is_accepted_and_its_writer_told(api: Served) -> None:
    await namespace(api, "strict", enforce="restricted")
    told = await api.post("/apis/apps/v1/namespaces/strict/deployments", deployment("web"))
    told.ok()
    assert 'would violate PodSecurity \\"restricted:latest\\"' in told.headers["Warning"]


@served
async def test_a_namespace_that_raises_its_standard_is_told_of_its_pods(api: Served) -> None:
    await namespace(api, "later")
    for name in ("b", "a", "c"):
        (await api.post("/api/v1/namespaces/later/pods", pod(name, hostPID=True))).ok()
    change = {"metadata": {"labels": labels(enforce="baseline")}}
    told = await api.patch("/api/v1/namespaces/later", change)
    told.ok()
    assert 'existing pods in namespace \\"later\\" violate' in told.headers["Warning"]
    assert "a (and 2 other pods): host namespaces" in told.headers["Warning"]
    wrong = await api.patch(
        "/api/v1/namespaces/later", {"metadata": {"labels": labels(enforce="strict")}}
    )
    assert wrong.code == 422
    assert wrong.document["details"]["causes"][0]["field"] == (
        "metadata.labels[pod-security.kubernetes.io/enforce]"
    )


def test_labels_that_were_wrong_before_hold_up_no_other_change() -> None:
    async def main(world: SimulatedWorld) -> None:
        store, path = MemoryStore(world), "/api/v1/namespaces/old"
        async with serving(
            world, store, admission=AdmissionSettings(enabled([], ["PodSecurity"]))
        ) as api:
            await namespace(api, "old", enforce="strict")
        async with serving(world, store) as api:
            (await api.patch(path, {"metadata": {"annotations": {"a": "b"}}})).ok()
            worse = await api.patch(path, {"metadata": {"labels": labels(warn="x")}})
            assert (worse.code, len(worse.document["details"]["causes"])) == (422, 2)
            (await api.patch(path, {"metadata": {"labels": labels(enforce="baseline")}})).ok()

    simulate(1, main)
