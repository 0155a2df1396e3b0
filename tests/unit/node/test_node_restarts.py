"""Which runs are followed by another: policies of pods and containers, and rules on exit codes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from node_documents import NOW, observed, pod, running

from steersman.model.errors import NotFound
from steersman.model.kinds.runtimeclass import RuntimeClass
from steersman.node import containers
from steersman.node.acting.runtime_classes import demand_handler
from steersman.node.engine.own import OwnEngine
from steersman.node.objects import BadConfiguration
from steersman.node.observed import Run
from steersman.node.plan import KillContainer, plan
from steersman.node.render import files, limits
from steersman.node.tools import Tools


def again(code: int, policy: str, **container: Any) -> bool:
    given = pod(spec={"restartPolicy": policy}, **container)
    run = Run(0, "exited", NOW - 9, NOW, code)
    return containers.starts_again(given, given.spec.containers[0], run)


@pytest.mark.parametrize(
    ("own", "zero", "one"),
    [("Always", True, True), ("OnFailure", False, True), ("Never", False, False)],
)
@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_a_containers_own_policy_goes_before_its_pods(
    own: str, zero: bool, one: bool, policy: str
) -> None:
    assert (again(0, policy, restartPolicy=own), again(1, policy, restartPolicy=own)) == (zero, one)


def rule(operator: str, *values: int, action: str = "Restart") -> dict[str, Any]:
    return {"action": action, "exitCodes": {"operator": operator, "values": list(values)}}


def test_a_rule_on_exit_codes_goes_before_the_policy() -> None:
    rules = [rule("In", 42, 43)]
    assert again(42, "Never", restartPolicy="Never", restartPolicyRules=rules)
    assert not again(1, "Never", restartPolicy="Never", restartPolicyRules=rules)
    assert again(1, "Never", restartPolicy="OnFailure", restartPolicyRules=rules)
    other = [rule("NotIn", 1)]
    assert again(0, "Never", restartPolicy="Never", restartPolicyRules=other)
    assert not again(1, "Never", restartPolicy="Never", restartPolicyRules=other)
    assert not again(42, "Never", restartPolicyRules=[{"action": "Restart"}])


def test_an_init_container_obeys_its_own_policy() -> None:
    init = {"name": "i", "image": "i", "restartPolicy": "OnFailure"}
    given = pod(spec={"restartPolicy": "Never", "initContainers": [init]})
    (container,) = given.spec.init_containers
    assert containers.starts_again(given, container, Run(0, "exited", exit_code=1))
    assert not containers.starts_again(given, container, Run(0, "exited"))


def test_a_failed_probe_ends_for_good_what_its_own_policy_does_not_restart() -> None:
    seen = observed(ready=True, containers={"app": running(unhealthy="liveness")})
    (kill,) = plan(pod(restartPolicy="Never"), seen, NOW)
    assert kill == KillContainer("app", 0, 30.0, "Container app failed liveness probe")


def test_the_overhead_of_a_pod_is_room_in_its_group() -> None:
    spec = {"overhead": {"cpu": "500m", "memory": "16Mi"}}
    amounts = {"limits": {"cpu": "1", "memory": "64Mi"}}
    found = limits.render_pod_resources(pod(spec=spec, resources=amounts))
    assert found["memory"]["limit"] == 80 << 20
    assert (found["cpu"]["shares"], found["cpu"]["quota"]) == (1536, 150_000)


def test_the_kernel_is_told_the_full_name_where_the_pod_wants_that() -> None:
    spec = {"setHostnameAsFQDN": True, "subdomain": "sub"}
    full = "web.sub.default.svc.cluster.local"
    assert files.kernel_name(pod(spec=spec), "cluster.local") == full
    assert files.kernel_name(pod(spec={"subdomain": "sub"}), "cluster.local") == "web"
    assert files.kernel_name(pod(spec={"setHostnameAsFQDN": True}), "cluster.local") == "web"
    long = pod(spec={**spec, "hostname": "x" * 40})
    with pytest.raises(BadConfiguration) as refused:
        files.kernel_name(long, "cluster.local")
    name = "x" * 40 + full.removeprefix("web")
    assert str(refused.value) == (
        f"failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long "
        f"(64 characters is the max, {len(name)} characters requested)"
    )


class Classes:
    """A client that has one RuntimeClass."""

    async def get(self, ref: Any) -> RuntimeClass:
        if ref.name == "none":
            raise NotFound("no")
        return RuntimeClass(handler=ref.name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("runc", ""),
        ("steersman", ""),
        (
            "kata",
            "rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "
            '"kata" is configured',
        ),
        ("none", 'failed to get sandbox runtime: RuntimeClass.node.k8s.io "none" not found'),
    ],
)
def test_a_class_whose_handler_is_not_here_is_refused(name: str, why: str) -> None:
    none = cast(Any, None)
    own = OwnEngine(SimpleNamespace(), none, none, "", "", none)  # type: ignore[arg-type]
    tools = cast(Tools, SimpleNamespace(client=Classes(), engine=own))
    work = demand_handler(tools, pod(spec={"runtimeClassName": name}))
    if not why:
        asyncio.run(work)
        return
    with pytest.raises(BadConfiguration) as refused:
        asyncio.run(work)
    assert str(refused.value) == why
