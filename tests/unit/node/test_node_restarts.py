"""Which runs are followed by another: policies of pods and containers, and rules on exit codes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace
from node_documents import NOW, deleted, exited, observed, pod, running

from steersman.model.errors import NotFound
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.runtimeclass import RuntimeClass
from steersman.node import containers
from steersman.node.acting.runtime_classes import demand_handler
from steersman.node.engine.own import OwnEngine
from steersman.node.objects import BadConfiguration
from steersman.node.observed import Observed, Run
from steersman.node.plan import BeginAnew, KillContainer, PullImage, Wait, plan
from steersman.node.render import files, limits
from steersman.node.status import render_status
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


WATCHED = {
    "restartPolicy": "Never",
    "initContainers": [
        {"name": "setup", "image": "i"},
        {
            "name": "watch",
            "image": "i",
            "restartPolicy": "Always",
            "restartPolicyRules": [rule("In", 88, action="RestartAllContainers")],
        },
    ],
    "ephemeralContainers": [{"name": "debug", "image": "i"}],
}


def watched(**fields: Any) -> Observed:
    """A pod of which the sidecar has ended with 88."""
    known = {
        "setup": exited(),
        "watch": exited(88, attempt=1, backoff=10.0, backoff_at=NOW - 1),
        "app": running(),
        "debug": running(),
    }
    return observed(ready=True, containers=known, **fields)


def test_a_rule_may_have_all_containers_begin_anew() -> None:
    given = pod(spec=WATCHED)
    assert containers.may_restart_all(given)
    assert containers.restarts_all(given, "watch", Run(0, "exited", exit_code=88))
    assert not containers.restarts_all(given, "watch", Run(0, "exited", exit_code=1))
    assert not containers.restarts_all(given, "app", Run(0, "exited", exit_code=88))
    first = [rule("In", 88), rule("In", 88, action="RestartAllContainers")]
    end = Run(0, "exited", exit_code=88)
    assert not containers.restarts_all(pod(restartPolicyRules=first), "app", end)
    assert not containers.may_restart_all(pod(restartPolicyRules=first[:1]))


def test_before_all_containers_begin_anew_those_that_run_end_but_the_ephemeral_ones() -> None:
    given, seen = pod(spec=WATCHED), watched(restarting=True)
    assert plan(given, seen, NOW) == [KillContainer("app", 0, 0.0, "Stopping container app")]
    ended = seen.having("app", exited(137))
    assert plan(given, ended, NOW) == [BeginAnew()]
    assert render_status(given, ended, "10.0.0.1", NOW)["phase"] == "Running"
    going = pod(spec=WATCHED, metadata=deleted(7))
    kills = [it for it in plan(going, seen, NOW) if isinstance(it, KillContainer)]
    assert {it.grace_seconds for it in kills} == {7.0}, "a pod that is deleted ends as ever"


def test_containers_begin_anew_in_the_order_of_a_new_pod_whatever_has_ended_how() -> None:
    given = pod(spec=WATCHED)
    seen = containers.reset(watched(restarting=True).having("app", exited(137)), given)
    assert not seen.restarting
    assert seen.of("debug").running
    assert plan(given, seen, NOW) == [PullImage("setup")]
    done = seen.having("setup", exited(attempt=1))
    assert plan(given, done, NOW) == [Wait(NOW + 9)], "who had them end waits for its back-off"
    later = NOW + 9
    assert plan(given, done, later) == [PullImage("watch")]
    up = done.having("watch", running(2))
    assert plan(given, up, later) == [PullImage("app")], "nobody else waits"
    full = up.having("app", running(1))
    assert plan(given, full, later) == []


def test_the_status_tells_that_all_containers_begin_anew() -> None:
    given = pod(spec=WATCHED, status={"conditions": [{"type": "Initialized", "status": "True"}]})
    first = watched(restarting=True)
    assert conditions(given, first)["AllContainersRestarting"] == (
        "True",
        "RestartAllContainersStarted",
        "container exited with restart policy rule",
    )
    anew = containers.reset(first.having("app", exited(137)), given)
    told = render_status(given, anew, "10.0.0.1", NOW)
    assert told["phase"] == "Pending"
    assert conditions(given, anew)["AllContainersRestarting"] == ("False", "", "")
    assert conditions(given, anew)["Initialized"] == ("True", "", "")
    setup, watch = told["initContainerStatuses"]
    assert setup["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert setup["lastState"]["terminated"]["exitCode"] == 0
    assert watch["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    over = replace(first, ended=("Evicted", "x"), containers={"app": exited()})
    assert conditions(given, over)["AllContainersRestarting"] == ("False", "PodFailed", "")
    assert "AllContainersRestarting" not in conditions(pod(), observed(ready=True))


def conditions(given: Pod, seen: Observed) -> dict[str, tuple[str, str, str]]:
    told = render_status(given, seen, "10.0.0.1", NOW)["conditions"]
    return {
        it["type"]: (it["status"], it.get("reason") or "", it.get("message") or "") for it in told
    }


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
