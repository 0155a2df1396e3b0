"""The status of a pod in the kubelet's words."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from node_documents import NOW, UID, deleted, exited, observed, pod, running

from steersman.model.times import rfc3339
from steersman.node import status
from steersman.node.admission.refusing import refused
from steersman.node.observed import UNKNOWN, Observed, Run, Seen, Trouble, container_id

RUNNING = {"phase": "Running"}
INIT = {"initContainers": [{"name": "one", "image": "i"}]}


def told(seen: Observed, **given: Any) -> dict[str, Any]:
    return status.render_status(pod(**given), seen, "10.0.0.1", NOW)


def conditions(document: dict[str, Any]) -> dict[str, str]:
    return {it["type"]: it["status"] for it in document["conditions"]}


def found(document: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(it for it in document["conditions"] if it["type"] == kind)


def app(document: dict[str, Any]) -> dict[str, Any]:
    return document["containerStatuses"][0]


def test_a_pod_that_runs_is_ready() -> None:
    document = told(observed(ready=True, containers={"app": running()}))
    assert document["phase"] == "Running"
    assert document["podIP"] == "10.0.0.5"
    assert document["podIPs"] == [{"$patch": "replace"}, {"ip": "10.0.0.5"}]
    assert document["hostIP"] == "10.0.0.1"
    assert document["startTime"] == rfc3339(NOW - 100)
    assert document["qosClass"] == "BestEffort"
    assert document["observedGeneration"] == 1
    assert set(conditions(document).values()) == {"True"}
    assert app(document) == {
        "name": "app",
        "image": "busybox:1",
        "imageID": "sha256:1",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": rfc3339(NOW - 50)}},
        "lastState": {},
        "containerID": container_id(UID, "app", 0),
        "resources": {},
    }


def test_what_is_mounted_is_told_and_how_it_is_only_read() -> None:
    mounts = [
        {"name": "v", "mountPath": "/v"},
        {"name": "v", "mountPath": "/ro", "readOnly": True},
        {"name": "v", "mountPath": "/rro", "readOnly": True, "recursiveReadOnly": "IfPossible"},
    ]
    ro = {"name": "v", "readOnly": True}
    assert app(told(observed(), volumeMounts=mounts))["volumeMounts"] == [
        {"name": "v", "mountPath": "/v"},
        {**ro, "mountPath": "/ro", "recursiveReadOnly": "Disabled"},
        {**ro, "mountPath": "/rro", "recursiveReadOnly": "Enabled"},
    ]


def test_the_user_of_a_run_is_told_with_its_groups_also_after_its_end() -> None:
    for seen in (running(), exited(3)):
        assert seen.run is not None
        known = replace(seen, run=replace(seen.run, user=(7, 8, 8, 9)))
        document = told(observed(ready=True, containers={"app": known}))
        user = {"uid": 7, "gid": 8, "supplementalGroups": [8, 9]}
        assert app(document)["user"] == {"linux": user}


def test_a_new_pod_waits_for_its_containers() -> None:
    document = told(observed())
    assert document["phase"] == "Pending"
    assert "podIP" not in document
    assert app(document)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(document) == {
        "PodReadyToStartContainers": "False",
        "Initialized": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "PodScheduled": "True",
    }
    assert found(document, "Ready")["reason"] == "ContainersNotReady"
    assert found(document, "Ready")["message"] == "containers with unready status: [app]"


def test_with_init_containers_it_is_initializing() -> None:
    document = told(observed(ready=True), spec=INIT)
    assert app(document)["state"] == {"waiting": {"reason": "PodInitializing"}}
    initialized = found(document, "Initialized")
    assert initialized["status"] == "False"
    assert initialized["reason"] == "ContainersNotInitialized"
    assert initialized["message"] == "containers with incomplete status: [one]"


def test_an_init_container_that_succeeded_is_ready_and_completed() -> None:
    document = told(observed(ready=True, containers={"one": exited(0)}), spec=INIT)
    one = document["initContainerStatuses"][0]
    assert one["ready"] is True
    assert one["state"]["terminated"]["reason"] == "Completed"
    assert conditions(document)["Initialized"] == "True"
    assert document["phase"] == "Pending"


def test_a_container_without_readiness_keeps_the_pod_unready() -> None:
    document = told(observed(ready=True, containers={"app": running(ready=False)}))
    assert document["phase"] == "Running"
    assert app(document)["ready"] is False
    assert conditions(document)["Ready"] == "False"


def test_a_container_whose_startup_probe_has_not_succeeded_is_not_started() -> None:
    document = told(observed(ready=True, containers={"app": running(started=False)}))
    assert (app(document)["started"], app(document)["ready"]) == (False, False)


def test_a_crash_is_told_with_its_back_off() -> None:
    known = exited(3, attempt=2, backoff=20.0, backoff_at=NOW - 30)
    document = told(observed(ready=True, containers={"app": known}))
    waiting = app(document)["state"]["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    text = f"back-off 20s restarting failed container=app pod=web_default({UID})"
    assert waiting["message"] == text
    last = app(document)["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    assert last["containerID"] == container_id(UID, "app", 2)
    assert app(document)["restartCount"] == 2
    assert document["phase"] == "Running"


def test_a_run_that_is_followed_at_once_is_told_as_terminated() -> None:
    document = told(observed(ready=True, containers={"app": exited(3)}))
    assert app(document)["state"]["terminated"]["exitCode"] == 3
    assert app(document)["lastState"] == {}


def test_trouble_is_what_a_container_waits_with() -> None:
    known = Seen(trouble=Trouble("ImagePullBackOff", "Back-off", NOW + 3))
    document = told(observed(ready=True, containers={"app": known}))
    assert app(document)["state"]["waiting"] == {
        "reason": "ImagePullBackOff",
        "message": "Back-off",
    }


def test_reasons_of_an_end() -> None:
    assert status.reason_of(Run(0, "exited", exit_code=0)) == "Completed"
    assert status.reason_of(Run(0, "exited", exit_code=1)) == "Error"
    assert status.reason_of(Run(0, "exited", exit_code=137, reason="OOMKilled")) == "OOMKilled"


def test_a_lost_run_has_no_times() -> None:
    run = Run(0, "exited", 0.0, NOW, 137, 0, UNKNOWN, "gone")
    spec = {"restartPolicy": "Never"}
    document = told(observed(ready=True, containers={"app": Seen(run=run)}), spec=spec)
    terminated = app(document)["state"]["terminated"]
    assert "startedAt" not in terminated
    assert terminated["message"] == "gone"


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 1), "Running"),
        ("Always", (0, 0), "Running"),
    ],
)
def test_the_phase_after_all_containers_have_ended(
    policy: str, codes: tuple[int, int], phase: str
) -> None:
    two = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    seen = observed(ready=True, containers={"a": exited(codes[0]), "b": exited(codes[1])})
    document = told(seen, spec={"restartPolicy": policy, "containers": two})
    assert document["phase"] == phase


def test_one_container_that_has_not_begun_keeps_the_pod_pending() -> None:
    two = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    document = told(observed(ready=True, containers={"a": running()}), spec={"containers": two})
    assert document["phase"] == "Pending"


def test_a_failed_init_container_fails_the_pod_where_nothing_is_restarted() -> None:
    seen = observed(ready=True, containers={"one": exited(1)})
    assert told(seen, spec={**INIT, "restartPolicy": "Never"})["phase"] == "Failed"
    assert told(seen, spec=INIT)["phase"] == "Pending"


def test_a_pod_that_succeeded_is_complete() -> None:
    document = told(observed(containers={"app": exited(0)}), spec={"restartPolicy": "Never"})
    assert found(document, "Ready")["reason"] == "PodCompleted"
    assert found(document, "ContainersReady")["reason"] == "PodCompleted"
    assert conditions(document)["PodReadyToStartContainers"] == "False"
    assert "message" not in found(document, "Ready")


def test_a_deleted_pod_ends_by_its_exit_codes() -> None:
    assert told(observed(containers={"app": exited(0)}), metadata=deleted())["phase"] == "Succeeded"
    assert told(observed(containers={"app": exited(137)}), metadata=deleted())["phase"] == "Failed"


def test_a_phase_that_ended_the_pod_stays() -> None:
    seen = observed(ready=True, containers={"app": running()})
    assert told(seen, status={"phase": "Failed"})["phase"] == "Failed"


def test_a_pod_that_was_given_up_has_failed_once_nothing_of_it_runs() -> None:
    given_up = ("Evicted", "too much")
    runs = observed(ready=True, ended=given_up, grace=1.0, containers={"app": running()})
    document = told(runs)
    assert document["phase"] == "Running"
    assert "reason" not in document and "message" not in document
    assert conditions(document)["DisruptionTarget"] == "True"
    over = replace(runs, containers={"app": Seen(run=Run(0, "exited", exit_code=0))})
    document = told(over)
    assert (document["phase"], document["reason"], document["message"]) == ("Failed", *given_up)


def test_a_pod_whose_claims_are_not_taken_back_has_not_ended_yet() -> None:
    over = {"app": exited(0)}
    never = {"restartPolicy": "Never"}
    running_yet = told(observed(containers=over, claimed=True), spec=never, status=RUNNING)
    assert running_yet["phase"] == "Running"
    assert told(observed(containers=over, claimed=True), spec=never)["phase"] == "Pending"
    assert told(observed(containers=over), spec=never, status=RUNNING)["phase"] == "Succeeded"
    given_up = observed(ended=("Evicted", "no room"), claimed=True)
    assert told(given_up, status=RUNNING)["phase"] == "Running"


def test_the_health_of_devices_stands_with_the_containers_that_have_some() -> None:
    health = [{"name": "a/b", "resources": [{"resourceID": "x", "health": "Healthy"}]}]
    two = pod(spec={"containers": [{"name": "app", "image": "i"}, {"name": "b", "image": "i"}]})
    document = status.render_status(
        two, observed(), "10.0.0.1", NOW, lambda _, it: health if it.name == "b" else ()
    )
    assert "allocatedResourcesStatus" not in app(document)
    assert document["containerStatuses"][1]["allocatedResourcesStatus"] == health


def test_a_pod_given_up_by_the_node_says_why() -> None:
    document = told(observed(ended=("DeadlineExceeded", "too long")))
    assert (document["phase"], document["reason"], document["message"]) == (
        "Failed",
        "DeadlineExceeded",
        "too long",
    )


def test_of_the_containers_of_a_pod_that_is_refused_there_is_nothing_to_tell() -> None:
    document = told(refused(observed(), "OutOfcpu", "no room"))
    assert (document["phase"], document["reason"]) == ("Failed", "OutOfcpu")
    assert not [field for field in document if field.endswith("ontainerStatuses")]


def test_ephemeral_containers_are_told_and_never_ready() -> None:
    spec = {"ephemeralContainers": [{"name": "debug", "image": "i"}]}
    seen = observed(ready=True, containers={"app": running(), "debug": running()})
    document = told(seen, spec=spec)
    (debug,) = document["ephemeralContainerStatuses"]
    assert (debug["ready"], "running" in debug["state"]) == (False, True)
    assert conditions(document)["Ready"] == "True"


def test_a_readiness_gate_must_be_true() -> None:
    spec = {"readinessGates": [{"conditionType": "lb"}]}
    seen = observed(ready=True, containers={"app": running()})
    ready = found(told(seen, spec=spec), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    assert ready["message"] == (
        'corresponding condition of pod readiness gate "lb" does not exist.'
    )
    unsure = {"conditions": [{"type": "lb", "status": "Unknown"}]}
    ready = found(told(seen, spec=spec, status=unsure), "Ready")
    assert ready["message"] == ('the status of pod readiness gate "lb" is not "True", but Unknown')
    given = {"conditions": [{"type": "lb", "status": "True"}]}
    assert found(told(seen, spec=spec, status=given), "Ready")["status"] == "True"


def test_a_transition_keeps_its_time_until_the_state_changes() -> None:
    old = {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    seen = observed(ready=True, containers={"app": running()})
    ready = found(told(seen, status={"conditions": [old]}), "Ready")
    assert ready["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    ready = found(told(seen, status={"conditions": [{**old, "status": "False"}]}), "Ready")
    assert ready["lastTransitionTime"] == rfc3339(NOW)


def test_a_reason_that_is_over_is_taken_away() -> None:
    old = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "no"}
    seen = observed(ready=True, containers={"app": running()})
    ready = found(told(seen, status={"conditions": [old]}), "Ready")
    assert (ready["reason"], ready["message"]) == (None, None)


def test_a_pod_in_the_nodes_network_has_the_nodes_address() -> None:
    assert told(observed(), spec={"hostNetwork": True})["podIP"] == "10.0.0.1"


def test_statuses_that_differ_in_the_time_of_telling_are_the_same() -> None:
    seen = observed(ready=True, containers={"app": running()})
    first = told(seen)
    later = status.render_status(pod(), seen, "10.0.0.1", NOW + 60)
    assert first != later
    assert status.same(first, later)
    assert not status.same(first, told(observed(ready=True, containers={"app": running(1)})))
    assert not status.same(None, first)


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (160, "2m40s"), (300, "5m0s")])
def test_durations_print_as_go_prints_them(seconds: float, text: str) -> None:
    assert status.go_duration(seconds) == text


def test_a_pod_comes_up_until_something_is_in_its_way() -> None:
    assert status.is_coming_up(pod(), observed())
    assert not status.is_coming_up(pod(), observed(trouble=Trouble("x", "y", NOW)))
    known = {"app": Seen(trouble=Trouble("x", "y", NOW))}
    assert not status.is_coming_up(pod(), observed(containers=known))
    assert not status.is_coming_up(pod(), observed(ready=True, containers={"app": running()}))
    assert not status.is_coming_up(pod(metadata=deleted()), observed())
    assert not status.is_coming_up(pod(), observed(ended=("Evicted", "x")))


@pytest.mark.parametrize("why", ["deleted", "ended", "finished", "told"])
def test_what_will_not_run_again_has_ended_and_does_not_wait(why: str) -> None:
    known = exited(3, attempt=2, backoff=20.0, backoff_at=NOW - 30, trouble=Trouble("x", "y", NOW))
    seen = observed(
        ended=("Evicted", "x") if why == "ended" else None,
        containers={"app": known, "one": exited(0 if why == "told" else 1)},
    )
    spec = {**INIT, "restartPolicy": "Never" if why == "finished" else "Always"}
    document = told(
        seen,
        spec=spec,
        metadata=deleted() if why == "deleted" else None,
        status={"phase": "Failed"} if why == "told" else None,
    )
    assert app(document)["state"] == {
        "terminated": {
            "exitCode": 3,
            "reason": "Error",
            "startedAt": rfc3339(NOW - 50),
            "finishedAt": rfc3339(NOW - 1),
            "containerID": container_id(UID, "app", 2),
        }
    }


def test_the_signal_and_the_message_of_an_end_are_told() -> None:
    run = Run(0, "exited", NOW - 5, NOW, 0, 9, "", "bye")
    document = told(observed(containers={"app": Seen(run=run)}), spec={"restartPolicy": "Never"})
    terminated = app(document)["state"]["terminated"]
    assert (terminated["signal"], terminated["message"]) == (9, "bye")


def test_a_deleted_pod_runs_until_its_last_container_has_ended() -> None:
    two = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    seen = observed(ready=True, containers={"a": exited(0), "b": running()})
    assert told(seen, spec={"containers": two}, metadata=deleted())["phase"] == "Running"


def test_only_init_containers_that_have_not_succeeded_are_waited_for() -> None:
    three = [{"name": name, "image": "i"} for name in ("one", "two", "three")]
    seen = observed(ready=True, containers={"one": exited(0), "two": running()})
    message = found(told(seen, spec={"initContainers": three}), "Initialized")["message"]
    assert message == "containers with incomplete status: [two three]"


def test_a_container_that_has_ended_is_not_ready_whatever_its_probe_said() -> None:
    seen = observed(ready=True, containers={"app": exited(0, ready=True, started=True)})
    document = told(seen)
    assert (app(document)["ready"], app(document)["started"]) == (False, False)


def test_an_init_container_that_failed_is_not_ready() -> None:
    document = told(observed(ready=True, containers={"one": exited(1)}), spec=INIT)
    assert document["initContainerStatuses"][0]["ready"] is False


def test_a_container_that_never_began_waits_even_while_its_pod_is_deleted() -> None:
    document = told(observed(), metadata=deleted())
    assert app(document)["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_a_reason_that_was_taken_away_is_no_news() -> None:
    """Else each status after a change would be written twice."""
    old = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "no"}
    seen = observed(ready=True, containers={"app": running()})
    taking_away = told(seen, status={"conditions": [old]})
    assert status.same(taking_away, told(seen))
