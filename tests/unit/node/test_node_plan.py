"""What the node does next, for each state that a pod can be in."""

from __future__ import annotations

import pytest
from node_documents import NOW, deleted, exited, observed, pod, running

from steersman.model.kind import Document
from steersman.node.observed import Run, Seen, Trouble
from steersman.node.plan import (
    Action,
    DeletePod,
    KillContainer,
    PrepareVolumes,
    PullImage,
    StartContainer,
    StartSandbox,
    TearDown,
    Wait,
    plan,
)

INIT = {
    "initContainers": [
        {"name": "one", "image": "i"},
        {"name": "side", "image": "i", "restartPolicy": "Always"},
        {"name": "two", "image": "i"},
    ]
}


def wants(seen: object, **given: object) -> list[Action]:
    return plan(pod(**given), seen, NOW)  # type: ignore[arg-type]


def test_a_new_pod_gets_sandbox_volumes_and_image_at_once() -> None:
    assert wants(observed()) == [StartSandbox(), PrepareVolumes(), PullImage("app")]


def test_a_container_starts_when_everything_it_stands_on_is_there() -> None:
    seen = observed(ready=True, containers={"app": Seen(pulled=True)})
    assert wants(seen) == [StartContainer("app", 0)]


@pytest.mark.parametrize("missing", ["sandbox", "volumes_ready"])
def test_a_container_does_not_start_on_half_of_its_ground(missing: str) -> None:
    ground = {"sandbox": observed(ready=True).sandbox, "volumes_ready": True}
    ground[missing] = None if missing == "sandbox" else False
    seen = observed(**ground, containers={"app": Seen(pulled=True)})
    assert not any(isinstance(it, StartContainer) for it in wants(seen))


def test_a_pod_that_runs_needs_nothing() -> None:
    assert wants(observed(ready=True, containers={"app": running()})) == []


def test_a_trouble_of_the_pod_is_waited_out() -> None:
    seen = observed(trouble=Trouble("ContainerCreating", "no", NOW + 5))
    assert wants(seen) == [Wait(NOW + 5), PullImage("app")]


def test_a_trouble_that_is_over_is_tried_again() -> None:
    seen = observed(trouble=Trouble("ContainerCreating", "no", NOW))
    assert wants(seen)[:2] == [StartSandbox(), PrepareVolumes()]


def test_a_container_in_trouble_waits_for_its_time() -> None:
    known = Seen(trouble=Trouble("ErrImagePull", "no", NOW + 10))
    assert wants(observed(ready=True, containers={"app": known})) == [Wait(NOW + 10)]


def test_the_first_restart_is_at_once_and_pulls_first() -> None:
    seen = observed(ready=True, containers={"app": exited(1)})
    assert wants(seen) == [PullImage("app")]


def test_a_restart_has_the_next_number() -> None:
    seen = observed(ready=True, containers={"app": exited(1, attempt=4, pulled=True)})
    assert wants(seen) == [StartContainer("app", 5)]


def test_a_later_restart_waits_for_its_back_off() -> None:
    known = exited(1, attempt=1, at=NOW - 3, backoff=10.0, backoff_at=NOW - 20)
    assert wants(observed(ready=True, containers={"app": known})) == [Wait(NOW + 7)]


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_the_restart_policy_decides_what_follows_an_end(
    policy: str, code: int, restarts: bool
) -> None:
    seen = observed(ready=True, containers={"app": exited(code)})
    wanted = [PullImage("app")] if restarts else [TearDown()]
    assert wants(seen, spec={"restartPolicy": policy}) == wanted


def test_init_containers_run_one_after_another() -> None:
    seen = observed(ready=True)
    assert wants(seen, spec=INIT) == [PullImage("one")]
    seen = observed(ready=True, containers={"one": running()})
    assert wants(seen, spec=INIT) == []
    seen = observed(ready=True, containers={"one": exited(0)})
    assert wants(seen, spec=INIT) == [PullImage("side")]


def test_a_sidecar_lets_the_next_begin_once_it_has_started() -> None:
    slow = {"one": exited(0), "side": running(started=False)}
    assert wants(observed(ready=True, containers=slow), spec=INIT) == []
    ended = {"one": exited(0), "side": exited(0, started=True)}
    assert wants(observed(ready=True, containers=ended), spec=INIT) == [PullImage("side")]
    up = {"one": exited(0), "side": running()}
    assert wants(observed(ready=True, containers=up), spec=INIT) == [PullImage("two")]


def test_containers_begin_after_the_last_init_container() -> None:
    known = {"one": exited(0), "side": running(), "two": exited(0)}
    assert wants(observed(ready=True, containers=known), spec=INIT) == [PullImage("app")]


def test_a_sidecar_that_ends_is_restarted_beside_the_others() -> None:
    known = {"one": exited(0), "side": exited(0), "two": exited(0), "app": running()}
    spec = {**INIT, "restartPolicy": "Never"}
    assert wants(observed(ready=True, containers=known), spec=spec) == [PullImage("side")]


def test_an_init_container_that_failed_is_restarted_unless_the_policy_is_never() -> None:
    seen = observed(ready=True, containers={"one": exited(1)})
    assert wants(seen, spec=INIT) == [PullImage("one")]
    assert wants(seen, spec={**INIT, "restartPolicy": "Never"}) == [TearDown()]


def test_init_containers_do_not_run_again_once_a_container_has_run() -> None:
    known = {"app": exited(1, pulled=True), "side": running()}
    seen = observed(ready=True, containers=known)
    assert wants(seen, spec=INIT) == [StartContainer("app", 1)]


def test_a_deleted_pod_is_killed_with_its_grace_then_torn_down_then_removed() -> None:
    seen = observed(ready=True, containers={"app": running(2)})
    wanted = [KillContainer("app", 2, 5.0, "Stopping container app")]
    assert wants(seen, metadata=deleted(5)) == wanted
    seen = observed(ready=True, containers={"app": exited(0)})
    assert wants(seen, metadata=deleted()) == [TearDown()]
    seen = observed(containers={"app": exited(0)})
    assert wants(seen, metadata=deleted()) == [DeletePod()]


def test_volumes_alone_are_torn_down_too() -> None:
    assert wants(observed(volumes_ready=True), metadata=deleted()) == [TearDown()]


def test_claims_alone_are_taken_back_too() -> None:
    assert wants(observed(claimed=True), metadata=deleted()) == [TearDown()]


def test_a_pod_that_the_api_has_no_more_goes_the_same_way() -> None:
    seen = observed(ready=True, gone=True, containers={"app": running()})
    assert wants(seen) == [KillContainer("app", 0, 1.0, "Stopping container app")]
    assert wants(observed(gone=True)) == [DeletePod()]


def test_sidecars_end_after_the_containers() -> None:
    known = {"side": running(), "app": running()}
    kills = wants(observed(ready=True, containers=known), spec=INIT, metadata=deleted())
    assert [it.container for it in kills if isinstance(it, KillContainer)] == ["app"]
    known = {"side": running(), "app": exited()}
    kills = wants(observed(ready=True, containers=known), spec=INIT, metadata=deleted())
    assert [it.container for it in kills if isinstance(it, KillContainer)] == ["side"]


def test_a_finished_pod_stays_in_the_api() -> None:
    seen = observed(containers={"app": exited(0)})
    assert wants(seen, spec={"restartPolicy": "Never"}) == []


def test_a_pod_that_has_ended_before_is_not_started_again() -> None:
    assert wants(observed(), status={"phase": "Succeeded"}) == []


def test_an_unhealthy_container_is_killed_with_the_grace_of_the_probe_that_failed() -> None:
    probes = {
        name: {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": seconds}
        for name, seconds in (("livenessProbe", 3), ("startupProbe", 7))
    }
    for kind, seconds in (("liveness", 3.0), ("startup", 7.0)):
        note = f"Container app failed {kind} probe, will be restarted"
        seen = observed(ready=True, containers={"app": running(unhealthy=kind)})
        assert wants(seen, **probes) == [KillContainer("app", 0, seconds, note, True)]
        (other,) = {"livenessProbe", "startupProbe"} - {f"{kind}Probe"}
        kill = KillContainer("app", 0, 30.0, note, True)
        assert wants(seen, **{other: probes[other]}) == [kill]
        assert wants(seen) == [kill]


def test_what_will_not_be_restarted_is_not_said_to_be() -> None:
    seen = observed(ready=True, containers={"app": running(unhealthy="liveness")})
    (kill,) = wants(seen, spec={"restartPolicy": "Never"})
    assert kill == KillContainer("app", 0, 30.0, "Container app failed liveness probe")


def test_ephemeral_containers_join_once_and_never_again() -> None:
    spec = {"ephemeralContainers": [{"name": "debug", "image": "i"}]}
    seen = observed(ready=True, containers={"app": running()})
    assert wants(seen, spec=spec) == [PullImage("debug")]
    seen = observed(ready=True, containers={"app": running(), "debug": exited(1)})
    assert wants(seen, spec=spec) == []
    seen = observed(ready=True, containers={"app": exited(0), "debug": running()})
    kills = wants(seen, spec=spec, metadata=deleted())
    assert [it.container for it in kills if isinstance(it, KillContainer)] == ["debug"]


def test_a_container_with_another_image_is_restarted() -> None:
    seen = observed(ready=True, containers={"app": running(image="busybox:0")})
    note = "Container app definition changed, will be restarted"
    assert wants(seen) == [KillContainer("app", 0, 30.0, note, True)]
    seen = observed(ready=True, containers={"app": running(image="busybox:1")})
    assert wants(seen) == []


def test_a_pod_over_its_deadline_is_killed_and_waits_for_it_before() -> None:
    seen = observed(ready=True, containers={"app": running()})
    assert wants(seen, spec={"activeDeadlineSeconds": 130}) == [Wait(NOW + 30)]
    killed = wants(seen, spec={"activeDeadlineSeconds": 100})
    assert [type(it) for it in killed] == [KillContainer]


def test_a_start_error_counts_as_a_run() -> None:
    run = Run(0, "exited", 0.0, NOW, 128, 0, "StartError", "no such file")
    seen = observed(ready=True, containers={"app": Seen(run=run, pulled=True)})
    assert wants(seen) == [StartContainer("app", 1)]


def test_a_run_that_has_ended_by_itself_is_not_killed() -> None:
    seen = observed(ready=True, containers={"app": exited(1, unhealthy="liveness")})
    assert wants(seen) == [PullImage("app")]
    seen = observed(ready=True, containers={"app": exited(1, image="busybox:0")})
    assert wants(seen) == [PullImage("app")]


def test_a_container_whose_wait_is_just_over_is_tried_again() -> None:
    known = Seen(trouble=Trouble("ErrImagePull", "no", NOW))
    assert wants(observed(ready=True, containers={"app": known})) == [PullImage("app")]


def test_a_pod_that_the_node_has_given_up_goes_whatever_runs_in_it() -> None:
    seen = observed(ready=True, ended=("Evicted", "x"), containers={"app": running()})
    assert wants(seen) == [KillContainer("app", 0, 30.0, "Stopping container app")]
    assert wants(observed(ended=("Evicted", "x"))) == []


def test_one_container_that_has_run_is_enough_to_leave_the_init_containers_alone() -> None:
    two = {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}
    seen = observed(ready=True, containers={"a": running(), "side": running()})
    assert wants(seen, spec={**INIT, **two}) == [PullImage("b")]


def test_a_sidecar_that_has_ended_holds_up_no_container_that_may_run() -> None:
    known = {"one": exited(0), "side": exited(1), "two": exited(0), "app": exited(1)}
    wanted = [PullImage("side"), PullImage("app")]
    assert wants(observed(ready=True, containers=known), spec=INIT) == wanted


def test_a_probe_without_a_grace_of_its_own_has_the_pods() -> None:
    plain: Document = {"tcpSocket": {"port": 1}}
    short = {**plain, "terminationGracePeriodSeconds": 4}

    def grace(kind: str, **probes: Document) -> float:
        seen = observed(ready=True, containers={"app": running(unhealthy=kind)})
        (kill,) = wants(seen, **probes)
        assert isinstance(kill, KillContainer)
        return kill.grace_seconds

    assert grace("liveness", livenessProbe=plain, startupProbe=short) == 30
    assert grace("startup", livenessProbe=plain, startupProbe=short) == 4


def test_a_sandbox_alone_is_torn_down_too() -> None:
    seen = observed(sandbox=observed(ready=True).sandbox)
    assert wants(seen, metadata=deleted()) == [TearDown()]
