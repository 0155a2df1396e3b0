"""What a file tells PodSecurity: standards of namespaces without labels, and who is exempt."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.served import ADMIN, Served, deployment, pod, serving

from steersman.api.admission.plugins.registry import AdmissionSettings
from steersman.api.admission.pod_security import configuration
from steersman.api.admission.pod_security.configuration import PodSecuritySettings
from steersman.api.admission.pod_security.levels import Policy, Standard
from steersman.model.kind import Document
from steersman.wire.message import User
from steersman.world.simulated import SimulatedWorld, simulate

STRICT = {"enforce": "baseline", "warn": "restricted", "warn-version": "v1.30"}
ROOT = User("root", ADMIN.groups)
CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
Test = Callable[[Served], Coroutine[Any, Any, None]]


def file(defaults: Document | None = None, **exempt: Any) -> Document:
    return {
        "kind": "PodSecurityConfiguration",
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "defaults": defaults or {},
        "exemptions": exempt,
    }


def case(document: Document, test: Test) -> None:
    async def main(world: SimulatedWorld) -> None:
        admission = AdmissionSettings(pod_security=configuration.parse(document))
        async with serving(world, admission=admission) as api:
            await test(api)

    simulate(1, main)


async def namespace(api: Served, name: str, **labels: str) -> Any:
    made = {f"pod-security.kubernetes.io/{mode}": text for mode, text in labels.items()}
    answer = await api.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": made}})
    answer.ok()
    account = {"metadata": {"name": "default"}}
    (await api.post(f"/api/v1/namespaces/{name}/serviceaccounts", account)).ok()
    return answer


def test_a_file_is_read_as_upstream_reads_it() -> None:
    assert configuration.parse(None) == PodSecuritySettings()
    assert configuration.parse(file()) == PodSecuritySettings()
    found = configuration.parse(
        file(STRICT, namespaces=["a"], usernames=["u"], runtimeClasses=["r"])
    )
    assert found.defaults == Policy(
        Standard("baseline"), Standard("privileged"), Standard("restricted", 30)
    )
    assert found.namespaces == {"a"}
    assert found.users == {"u"}
    assert found.runtime_classes == {"r"}
    # what is not said of warnings is privileged, and not what is enforced
    assert configuration.parse(file({"enforce": "restricted", "warn": ""})).defaults == Policy(
        Standard("restricted")
    )


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"kind": "Pod", "apiVersion": "v1"},
         "it is no PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1"),
        (file({"enforce": "strict"}),
         'defaults.enforce: Invalid value: "strict": must be one of privileged, baseline,'
         " restricted"),
        (file({"audit-version": "1.2"}),
         'defaults.audit-version: Invalid value: "1.2": must be "latest" or "v1.x"'),
        (file({"deny": "baseline"}), 'unknown field "defaults.deny"'),
        (file(usernames=["", "a", "a"], namespaces=["b", "b"]),
         '[exemptions.namespaces[1]: Duplicate value: "b", exemptions.usernames[0]: Invalid value:'
         ' "": username must not be empty, exemptions.usernames[2]: Duplicate value: "a"]'),
        (file(runtimeClasses=["a_b"]),
         'exemptions.runtimeClasses[0]: Invalid value: "a_b": a lowercase RFC 1123 subdomain must'
         " consist of lower case alphanumeric characters, '-' or '.', and must start and end with"
         " an alphanumeric character (e.g. 'example.com', regex used for validation is"
         " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"),
        (file(users=["a"]), "Object contains unknown field `users` - at `$.exemptions`"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_in_upstreams_words(document: Any, why: str) -> None:
    with pytest.raises(ValueError) as raised:
        configuration.parse(document)
    assert str(raised.value) == why


def test_a_namespace_without_labels_has_the_standards_of_the_file() -> None:
    async def test(api: Served) -> None:
        await namespace(api, "plain")
        refused = await api.post("/api/v1/namespaces/plain/pods", pod("p", hostPID=True))
        assert refused.code == 403
        assert 'violates PodSecurity "baseline:latest"' in refused.message
        told = await api.post("/api/v1/namespaces/plain/pods", pod("p"))
        told.ok()
        assert 'PodSecurity \\"restricted:v1.30\\"' in told.headers["Warning"]
        await namespace(api, "free", enforce="privileged", warn="privileged")
        free = await api.post("/api/v1/namespaces/free/pods", pod("p", hostPID=True))
        free.ok()
        assert "Warning" not in (free.headers or {})

    case(file(STRICT), test)


def test_namespaces_users_and_runtime_classes_are_exempt() -> None:
    async def test(api: Served) -> None:
        (await api.post(CLASSES, {"metadata": {"name": "vm"}, "handler": "vm"})).ok()
        for name in ("plain", "free"):
            await namespace(api, name)
        pods = "/api/v1/namespaces/plain/pods"
        assert (await api.post(pods, pod("p", hostPID=True))).code == 403
        ways = (
            ("/api/v1/namespaces/free", {}, ADMIN),
            ("/api/v1/namespaces/plain", {}, ROOT),
            ("/api/v1/namespaces/plain", {"runtimeClassName": "vm"}, ADMIN),
        )
        for path, more, user in ways:
            name = user.name.replace(":", "-") + ("-vm" if more else "")
            made = pod(name, hostPID=True, **more)
            answer = await api.post(f"{path}/pods", made, user=user)
            answer.ok()
            assert "Warning" not in (answer.headers or {})
            path = path.replace("/api/v1", "/apis/apps/v1")
            made = deployment(name)
            made["spec"]["template"]["spec"] |= more
            answer = await api.post(f"{path}/deployments", made, user=user)
            answer.ok()
            assert "Warning" not in (answer.headers or {})
        told = await api.post("/apis/apps/v1/namespaces/plain/deployments", deployment("web"))
        assert "would violate PodSecurity" in told.headers["Warning"]

    case(file(STRICT, namespaces=["free"], usernames=["root"], runtimeClasses=["vm"]), test)


def test_a_pod_like_that_of_an_exempt_user_is_held_against_the_standard() -> None:
    """Pods of one template are remembered, and by whom they are made matters."""

    async def test(api: Served) -> None:
        await namespace(api, "plain")
        pods = "/api/v1/namespaces/plain/pods"
        for name in ("a", "b"):
            (await api.post(pods, pod(name, hostPID=True), user=ROOT)).ok()
        assert (await api.post(pods, pod("c", hostPID=True))).code == 403

    case(file(STRICT, usernames=["root"]), test)


def test_labels_of_an_exempt_namespace_are_said_to_be_in_vain() -> None:
    async def test(api: Served) -> None:
        told = await namespace(api, "free", **{"enforce": "baseline", "audit-version": "v1.2"})
        assert told.headers["Warning"] == (
            '299 - "namespace \\"free\\" is exempt from Pod Security, and the policy'
            ' (enforce=baseline:latest, audit=restricted:v1.2) will be ignored"'
        )
        change = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        raised = await api.patch("/api/v1/namespaces/free", change)
        assert "(enforce=restricted:latest, audit" in raised.headers["Warning"]
        quiet = await api.patch("/api/v1/namespaces/free", {"metadata": {"labels": {"a": "b"}}})
        assert "Warning" not in (quiet.headers or {})
        for name in ("spare", "extra"):  # as the defaults are, or privileged
            labels = {"enforce": "privileged"} if name == "spare" else {"audit": "privileged"}
            labels |= {"audit": "privileged", "warn": "privileged"}
            made = await namespace(api, name, **labels)
            assert "Warning" not in (made.headers or {})

    case(file({"audit": "restricted"}, namespaces=["free", "spare", "extra"]), test)


def test_pods_of_exempt_runtime_classes_do_not_count_when_a_standard_is_raised() -> None:
    async def test(api: Served) -> None:
        (await api.post(CLASSES, {"metadata": {"name": "vm"}, "handler": "vm"})).ok()
        await namespace(api, "plain")
        for name, more in (("a", {"runtimeClassName": "vm"}), ("b", {})):
            made = pod(name, hostPID=True, **more)
            (await api.post("/api/v1/namespaces/plain/pods", made)).ok()
        change = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
        told = await api.patch("/api/v1/namespaces/plain", change)
        assert told.headers["Warning"].endswith('"b: host namespaces"')

    case(file(runtimeClasses=["vm"]), test)
