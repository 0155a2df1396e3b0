"""In-place resize: what is granted, in which order it is carried out, and what is told of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from node_documents import NOW, exited, observed, pod, running
from shim_script import RUNNING, Stage, begin, container, refuse

from steersman.model.kinds.pod import Pod
from steersman.model.quantity import parse
from steersman.model.types.container import ResourceRequirements
from steersman.node.observed import Observed, Resize, Run, Seen
from steersman.node.plan import KillContainer, PullImage, ResizePod, StartContainer, plan
from steersman.node.render import limits
from steersman.node.render.downward import Machine
from steersman.node.resizing import granting, telling
from steersman.node.resizing.granting import DEFERRED, INFEASIBLE, Grants, Refusal, decide_grant
from steersman.node.status import render_status
from steersman.runtime.kernel import cgroups2

ROOM = {"cpu": "4", "memory": "1Gi"}


def asking(cpu: str, memory: str, **fields: Any) -> Pod:
    amounts = {"cpu": cpu, "memory": memory}
    return pod(resources={"requests": amounts, "limits": amounts}, **fields)


def having(before: Pod, **fields: Any) -> Observed:
    """What is observed where the container runs with what a pod was granted."""
    known = running(image="busybox:1", resources=before.spec.containers[0].resources)
    fields = {"grants": granting.first_grants(before), **fields}
    return observed(ready=True, containers={"app": known}, **fields)


def granted(new: Pod, seen: Observed) -> tuple[Pod, Observed]:
    after = granting.grant(new, seen)
    return granting.granted(new, after), after


def test_a_pod_is_what_was_granted_until_something_else_is() -> None:
    old, new = asking("1", "64Mi"), asking("2", "128Mi")
    seen = having(old)
    assert granting.granted(old, seen) is old
    assert granting.granted(new, seen).spec == old.spec
    assert granting.is_asked(new, seen)
    assert granted(new, seen)[0] is new


def test_a_pod_that_asks_for_nothing_has_nothing_to_be_remembered() -> None:
    assert granting.first_grants(pod()) == {}
    two = [{"name": "a", "image": "i", "resources": {"requests": {"cpu": "1"}}}]
    both = pod(spec={"containers": [*two, {"name": "b", "image": "i"}]})
    assert granting.first_grants(both).keys() == {"a", "b"}


def test_what_is_more_than_the_node_is_infeasible() -> None:
    text = "Node didn't have enough capacity: "
    refusal = decide_grant(asking("5", "64Mi"), {}, ROOM)
    assert refusal == Refusal(INFEASIBLE, f"{text}cpu, requested: 5000, capacity: 4000")
    refusal = decide_grant(asking("5", "2Gi"), {}, ROOM)
    told = f"{text}memory, requested: {2 << 30}, capacity: {1 << 30}"
    assert refusal == Refusal(INFEASIBLE, told)


def test_what_others_have_is_deferred() -> None:
    others = {"cpu": parse("1500m"), "memory": parse("0")}
    assert decide_grant(asking("2500m", "1Gi"), others, ROOM) is None
    refusal = decide_grant(asking("2501m", "1Gi"), others, ROOM)
    text = "cpu, requested: 2501, used: 1500, capacity: 4000"
    assert refusal == Refusal(DEFERRED, f"Node didn't have enough resource: {text}")


def test_the_overhead_and_the_init_containers_of_a_pod_count() -> None:
    init = {"name": "i", "image": "i", "resources": {"requests": {"cpu": "3"}}}
    spec = {"overhead": {"cpu": "500m"}, "initContainers": [init]}
    counted = granting.requests_of(asking("1", "64Mi", spec=spec))
    assert counted["cpu"] == parse("3500m")
    init["restartPolicy"] = "Always"
    counted = granting.requests_of(asking("1", "64Mi", spec=spec))
    assert counted["cpu"] == parse("4500m")


def test_what_a_pod_asks_for_as_a_whole_counts_instead_of_what_its_containers_do() -> None:
    whole = {"requests": {"cpu": "3"}, "limits": {"memory": "900Mi"}}
    given = asking("1", "64Mi", spec={"resources": whole, "overhead": {"cpu": "500m"}})
    assert granting.requests_of(given) == {"cpu": parse("3500m"), "memory": parse("64Mi")}
    refusal = granting.decide_admission(given, {"cpu": parse("1")}, 1, WHOLE)
    assert refusal is not None
    assert refusal[0] == "OutOfcpu"


WHOLE = {**ROOM, "pods": "2", "ephemeral-storage": "10Gi"}


def test_a_pod_that_does_not_fit_is_not_admitted() -> None:
    others = {"cpu": parse("1500m"), "memory": parse("512Mi")}
    admit = granting.decide_admission
    assert admit(asking("2500m", "512Mi"), others, 1, WHOLE) is None
    start = "Node didn't have enough resource: "
    assert admit(asking("2501m", "1Mi"), others, 1, WHOLE) == (
        "OutOfcpu",
        f"{start}cpu, requested: 2501, used: 1500, capacity: 4000",
    )
    assert admit(asking("1", "513Mi"), others, 1, WHOLE) == (
        "OutOfmemory",
        f"{start}memory, requested: {513 << 20}, used: {512 << 20}, capacity: {1 << 30}",
    )
    assert admit(pod(), others, 2, WHOLE) == (
        "OutOfpods",
        f"{start}pods, requested: 1, used: 2, capacity: 2",
    )
    assert admit(pod(), {"cpu": parse("9")}, 1, WHOLE) is None  # who asks for nothing fits
    disk = pod(resources={"requests": {"ephemeral-storage": "11Gi", "vendor/x": "1"}})
    assert admit(disk, {}, 0, WHOLE) == (
        "OutOfephemeral-storage",
        f"{start}ephemeral-storage, requested: {11 << 30}, used: 0, capacity: {10 << 30}",
    )
    windows = pod(spec={"os": {"name": "windows"}})
    text = "Failed to admit pod as the OS field doesn't match node OS"
    assert admit(windows, {}, 0, WHOLE) == ("PodOSNotSupported", text)
    assert admit(pod(spec={"os": {"name": "linux"}}), {}, 0, WHOLE) is None


def test_of_those_that_wait_priority_class_and_time_decide_who_is_first() -> None:
    def one(name: str, priority: int, quality: str, since: str = "") -> granting.Waiting:
        told = [{"type": "PodResizePending", "status": "True", "lastTransitionTime": since}]
        status = {"qosClass": quality, "conditions": told if since else []}
        given = pod(spec={"priority": priority}, status=status)
        return granting.waiting(given, NOW, lambda: tried.append(name))

    tried: list[str] = []
    late, soon = "1970-01-12T13:46:39Z", "1970-01-12T13:46:38Z"
    order = [
        one("first", 9, "Burstable"),
        one("second", 5, "Guaranteed", late),
        one("third", 5, "Burstable", soon),
        one("fourth", 5, "Burstable", late),
        one("fifth", 5, "Burstable"),
    ]
    for it in granting.retry_order([order[3], order[0], order[4], order[2], order[1]]):
        it.retry()
    assert tried == ["first", "second", "third", "fourth", "fifth"]


def test_what_a_pod_asks_for_as_a_whole_is_granted_and_given_to_who_has_its_limits() -> None:
    def whole(cpu: str, memory: str) -> Pod:
        sides = {"requests": {"cpu": cpu}, "limits": {"cpu": cpu, "memory": memory}}
        own = {"limits": {"memory": "8Mi"}}
        other = {"name": "app", "image": "i"}
        two = [other, {"name": "own", "image": "i", "resources": own}]
        return pod(spec={"resources": sides, "containers": two})

    old, new = whole("1", "64Mi"), whole("2", "128Mi")
    seen = observed(
        ready=True,
        grants=granting.first_grants(old),
        containers={it.name: running(resources=it.resources) for it in old.spec.containers},
    )
    assert granting.granted(old, seen) is old
    assert granting.granted(new, seen).spec.resources == old.spec.resources
    assert granting.is_asked(new, seen)
    assert granting.requests_of(new)["cpu"] == parse("2")
    given, after = granted(new, seen)
    assert plan(given, after, NOW) == [ResizePod()]
    assert granting.is_over(given, granting.carried_out(given, after, []))
    app, own = new.spec.containers
    assert granting.inherits(new, app, after)
    assert granting.inherits(new, own, after), "its processor is the pod's"
    assert not granting.inherits(new, app, after.having("app", exited()))
    bounded = replace(app, resources=ResourceRequirements(limits={"cpu": "1", "memory": "1Mi"}))
    assert not granting.inherits(new, bounded, after), "it has limits of its own"
    assert not granting.inherits(asking("1", "1Mi"), asking("1", "1Mi").spec.containers[0], after)
    status = render_status(granting.granted(new, seen), seen, "10.0.0.1", NOW)
    assert status["resources"]["limits"] == {"cpu": "1", "memory": "64Mi"}
    assert status["allocatedResources"] == {"cpu": "1"}
    added = pod(spec={"resources": {"limits": {"cpu": "1"}}}, resources={"limits": {"cpu": "1"}})
    before = having(pod(resources={"limits": {"cpu": "1"}}))
    assert granting.is_asked(added, before), "none was granted before"


def test_who_waits_is_told_once_when_there_is_more_to_be_had() -> None:
    grants, woken = Grants(), []
    grants.note("a", {"cpu": parse("1")})
    grants.note("b", {"cpu": parse("2")})
    assert grants.others("a")["cpu"] == parse("2")
    grants.wait("a", granting.waiting(pod(), NOW, lambda: woken.append("a")))
    grants.note("b", {"cpu": parse("3")})
    assert woken == []
    grants.note("b", {"cpu": parse("1")})
    grants.note("b", None)
    assert woken == ["a"]
    assert grants.others("a") == {}


def test_a_resize_is_carried_out_in_the_groups_of_what_runs() -> None:
    new, seen = granted(asking("2", "64Mi"), having(asking("1", "64Mi")))
    assert plan(new, seen, NOW) == [ResizePod()]
    after = granting.carried_out(new, seen, ["app"])
    assert plan(new, after, NOW) == []
    assert granting.is_over(new, after)
    assert after.pod_limits is None


def test_a_container_begins_anew_where_the_policy_of_what_changes_says_so() -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    before = asking("1", "64Mi", resizePolicy=policy)
    new, seen = granted(asking("2", "64Mi", resizePolicy=policy), having(before))
    assert plan(new, seen, NOW) == [ResizePod()]
    new, seen = granted(asking("1", "128Mi", resizePolicy=policy), having(before))
    note = "Container app resize requires restart"
    assert plan(new, seen, NOW) == [KillContainer("app", 0, 30.0, note, again=True)]
    run = Run(0, "exited", NOW - 50, NOW - 1, 0, again=True)
    ended = seen.having("app", replace(seen.of("app"), run=run, pulled=True))
    assert plan(new, ended, NOW) == [ResizePod()]  # room for it first, then it
    after = granting.carried_out(new, ended, [])
    assert plan(new, after, NOW) == [StartContainer("app", 1)]
    assert not granting.is_over(new, after)


@pytest.mark.parametrize("policy", ["OnFailure", "Never"])
def test_what_is_ended_to_begin_anew_does_whatever_its_policy_says(policy: str) -> None:
    run = Run(0, "exited", NOW - 50, NOW - 1, 0, again=True)
    given = pod(spec={"restartPolicy": policy})
    seen = observed(ready=True, containers={"app": Seen(run=run)})
    assert plan(given, seen, NOW) == [PullImage("app")]
    status = render_status(given, seen, "10.0.0.1", NOW)
    (app,) = status["containerStatuses"]
    assert app["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert app["lastState"]["terminated"]["exitCode"] == 0
    assert status["phase"] == "Running"


def test_the_group_of_a_pod_grows_before_and_shrinks_after() -> None:
    small = limits.render_pod_resources(asking("1", "64Mi"))
    large = limits.render_pod_resources(asking("2", "128Mi"))
    free = limits.render_pod_resources(pod())
    for one, other in ((small, large), (large, small)):
        assert limits.widened(one, other) == limits.explicit(large)
    unlimited = limits.widened(small, free)
    assert unlimited["memory"] == {"limit": -1, "swap": -1}
    assert unlimited["cpu"] == {"quota": -1, "period": 100_000, "shares": 1024}
    assert limits.widened(small, None) == limits.explicit(small)


def test_a_second_resize_before_the_first_is_carried_out_keeps_the_widest_limit() -> None:
    old, large, small = asking("1", "64Mi"), asking("2", "128Mi"), asking("1", "32Mi")
    _, seen = granted(large, having(old))
    _, seen = granted(small, seen)
    assert seen.pod_limits == limits.explicit(limits.render_pod_resources(large))


def test_a_resize_reaches_groups_of_version_2_as_whole_limits() -> None:
    wanted = limits.explicit(limits.render_pod_resources(asking("1500m", "64Mi")))
    assert cgroups2.render_limits(wanted) == [
        ("cpu.weight", "59"),
        ("cpu.max", "150000 100000"),
        ("memory.swap.max", "0"),
        ("memory.max", str(64 << 20)),
    ]
    free = limits.explicit(limits.render_pod_resources(pod()))
    assert cgroups2.render_limits(free)[1:] == [
        ("cpu.max", "max 100000"),
        ("memory.swap.max", "max"),
        ("memory.max", "max"),
    ]


# What is told


def conditions(given: Pod, seen: Observed) -> list[dict[str, Any]]:
    return render_status(given, seen, "10.0.0.1", NOW)["conditions"][:2]


def test_conditions_tell_of_a_resize_and_go_with_it() -> None:
    refused = (3, "Deferred", "no room")
    pending, progress = conditions(pod(), observed(refused=refused, resize=Resize(2)))
    assert pending["type"] == "PodResizePending"
    assert (pending["status"], pending["reason"], pending["message"]) == ("True", *refused[1:])
    assert (pending["observedGeneration"], progress["observedGeneration"]) == (3, 2)
    assert (progress["type"], progress["reason"]) == ("PodResizeInProgress", None)
    told = {"conditions": [pending, {**progress, "reason": "", "message": ""}]}
    told = msgspec.json.decode(msgspec.json.encode(told).replace(b"null", b'""'))
    for one in told["conditions"]:
        one.pop("lastProbeTime")
    assert conditions(pod(status=told), observed()) == [
        {"$patch": "delete", "type": "PodResizePending"},
        {"$patch": "delete", "type": "PodResizeInProgress"},
    ]
    (failed,) = [
        it
        for it in conditions(pod(), observed(resize=Resize(2, error="no")))
        if it["type"] == "PodResizeInProgress"
    ]
    assert (failed["reason"], failed["message"]) == ("Error", "no")


def test_a_summary_names_init_containers_first_and_the_error_last() -> None:
    spec = {"initContainers": [{"name": "i", "image": "i"}]}
    given = asking("1", "64Mi", spec=spec)
    amounts = '{"cpu":"1","memory":"64Mi"}'
    app = f'{{"name":"app","resources":{{"limits":{amounts},"requests":{amounts}}}}}'
    init = '"initContainers":[{"name":"i","resources":{}}]'
    assert telling.summary(given, "no") == (
        f'{{{init},"containers":[{app}],"generation":1,"error":"no"}}'
    )


def test_what_runs_is_told_with_what_its_group_was_given() -> None:
    old, new = asking("1", "64Mi"), asking("2", "128Mi")
    new, seen = granted(new, having(old))
    (app,) = render_status(new, seen, "10.0.0.1", NOW)["containerStatuses"]
    assert app["resources"]["limits"] == {"cpu": "1", "memory": "64Mi"}
    assert app["allocatedResources"] == {"cpu": "2", "memory": "128Mi"}


# The worker


def stage_with(tmp_path: Path, given: Pod) -> tuple[Stage, list[tuple[str, Any]]]:
    """A stage whose shim notes what limits it is given."""
    stage = Stage(tmp_path, given)
    stage.tells(container("app.0", **RUNNING))
    updates: list[tuple[str, Any]] = []

    def update(request: dict[str, Any]) -> dict[str, Any]:
        updates.append((request["container"], request["resources"]["memory"]["limit"] >> 20))
        return {"result": {}}

    stage.shim.verbs["update"] = update
    counted = {"memory_usage_bytes": 100 << 20, "memory_limit_bytes": 64 << 20}
    stage.shim.verbs["stats"] = lambda _: {"result": counted}
    return stage, updates


def in_progress(status: dict[str, Any]) -> dict[str, Any] | None:
    found = [it for it in status["conditions"] if it["type"] == "PodResizeInProgress"]
    return found[0] if found and "status" in found[0] else None


def room(tools: Any, cpu: str = "4") -> Any:
    return replace(tools, machine=Machine({"cpu": cpu, "memory": "1Gi"}))


def revised(given: Pod, revision: str = "9") -> Pod:
    metadata = replace(given.metadata, resource_version=revision, generation=2)
    return replace(given, metadata=metadata)


def test_a_worker_carries_a_resize_out_from_above_and_tells_of_it(tmp_path: Path) -> None:
    old = asking("1", "64Mi")
    stage, updates = stage_with(tmp_path, old)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, room(tools), tasks, having(old))
            worker.hear(revised(asking("2", "200Mi")))
            await stage.events.until("Normal ResizeCompleted: Pod resize completed: ")
            assert updates == [("", 200), ("app.0", 200), ("", 200)]
            assert any(it.startswith("Normal ResizeStarted") for it in stage.events.told)
            status = await stage.api.until(lambda it: in_progress(it) is None)
            (app,) = status["containerStatuses"]
            assert app["resources"]["limits"] == {"cpu": "2", "memory": "200Mi"}

    asyncio.run(scenario())


def test_a_worker_does_not_take_memory_away_that_is_in_use(tmp_path: Path) -> None:
    old = asking("1", "64Mi")
    stage, updates = stage_with(tmp_path, old)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, room(tools), tasks, having(old))
            worker.hear(revised(asking("1", "32Mi")))
            text = f'attempting to set container "app" memory limit ({32 << 20}) below current'
            await stage.events.until(text.replace('"', '\\"'))
            status = await stage.api.until(lambda it: (in_progress(it) or {}).get("reason"))
            told = in_progress(status)
            assert told is not None
            assert told["message"] == f"{text} usage ({100 << 20})"
            assert updates == []

    asyncio.run(scenario())


def test_a_group_that_cannot_be_written_is_an_error_and_tried_again(tmp_path: Path) -> None:
    old = asking("1", "64Mi")
    stage, _ = stage_with(tmp_path, old)
    answers = [refuse("failed", "Invalid argument")]
    stage.shim.verbs["update"] = lambda _: answers.pop() if answers else {"result": {}}

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            worker = await begin(stage, room(tools), tasks, having(old))
            worker.hear(revised(asking("2", "128Mi")))
            await stage.events.until("Warning ResizeError: Pod resize error: ")
            await stage.events.until("Normal ResizeCompleted")

    asyncio.run(scenario())


@pytest.mark.parametrize(("cpu", "reason"), [("9", INFEASIBLE), ("3", DEFERRED)])
def test_a_worker_tells_once_why_a_resize_is_not_granted(
    tmp_path: Path, cpu: str, reason: str
) -> None:
    old = asking("1", "64Mi")
    stage, updates = stage_with(tmp_path, old)

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            tools = room(tools)
            tools.grants.note("other", {"cpu": parse("2")})
            worker = await begin(stage, tools, tasks, having(old))
            worker.hear(revised(asking(cpu, "64Mi")))
            await stage.events.until(f"Warning Resize{reason}: Pod resize {reason}: ")
            worker.hear(revised(asking(cpu, "64Mi"), "10"))
            status = await stage.api.until(lambda it: "reason" in it["conditions"][0])
            assert status["conditions"][0]["reason"] == reason
            (app,) = status["containerStatuses"]
            assert app["allocatedResources"] == {"cpu": "1", "memory": "64Mi"}
            assert updates == []
            if reason == DEFERRED:
                tools.grants.note("other", None)
                await stage.events.until("Normal ResizeCompleted")
            assert sum(f"Resize{reason}" in it for it in stage.events.told) == 1

    asyncio.run(scenario())


def test_what_is_for_a_guaranteed_pod_alone_is_not_resized() -> None:
    amounts = {"cpu": "1", "memory": "1Gi"}
    given = pod(resources={"requests": amounts, "limits": amounts})
    refusal = granting.decide_grant(given, {}, WHOLE, "Memory Manager")
    text = "Resize is infeasible for Guaranteed Pods alongside Memory Manager static policy"
    assert refusal == granting.Refusal("Infeasible", text)
    burstable = pod(resources={"requests": {"cpu": "1"}})
    assert granting.decide_grant(burstable, {}, WHOLE, "Memory Manager") is None
