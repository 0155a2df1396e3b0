"""Job plans: how many pods come and go, what ends a job, what is counted and when."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers import job_backoff, job_index, job_plan, job_status, ttl_after_finished
from steersman.controllers.job_backoff import Failures
from steersman.controllers.job_plan import FINALIZER, Known, Steps, deadline_in, judge, plan
from steersman.controllers.job_status import Acted, Tracked, conclude, held, track
from steersman.model.kinds.job import JOB, Job
from steersman.model.kinds.pod import Pod
from unit.controllers.views import LABELS, NOW, TEMPLATE, job, pod, time

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


def run(name: str, index: int | None = None, **fields: Any) -> Pod:
    """Returns a pod of the job that is not counted yet."""
    annotations = {} if index is None else {INDEX: str(index)}
    annotations |= fields.pop("annotations", {})
    return pod(name, finalizers=[FINALIZER], annotations=annotations, **fields)


def ended(code: int, ago: float = 0.0) -> dict[str, Any]:
    """Returns the status of a pod whose container ended."""
    state = {"terminated": {"exitCode": code, "finishedAt": time(ago)}}
    return {"containerStatuses": [{"name": "web", "state": state}]}


def known(owner: Job, *pods: Pod, failures: Failures | None = None) -> Known:
    return Known(owner, pods, failures or Failures(), NOW)


def steps(found: Known) -> Steps:
    return plan(found, judge(found))


def names(pods: Any) -> list[str]:
    return [found.metadata.name for found in pods]


def verdict(found: Known) -> tuple[str, str, str]:
    made = judge(found).verdict
    assert made is not None
    return made["type"], made.get("reason", ""), made.get("message", "")


def tracked(found: Known, acted: Acted | None = None) -> Tracked:
    return track(found, judge(found), acted or Acted())


def indexed(completions: int = 4, **spec: Any) -> Job:
    return job(completionMode="Indexed", **{"completions": completions, "parallelism": 3, **spec})


# How many pods


@pytest.mark.parametrize(
    ("completions", "parallelism", "succeeded", "active", "created"),
    [(5, 2, 0, 0, 2), (5, 2, 4, 0, 1), (5, 2, 3, 1, 1), (5, 9, 0, 2, 3), (5, 0, 0, 0, 0)],
)
def test_as_many_pods_are_created_as_completions_are_missing_and_may_run_at_once(
    completions: int, parallelism: int, succeeded: int, active: int, created: int
) -> None:
    status = {"succeeded": succeeded}
    owner = job(completions=completions, parallelism=parallelism, status=status)
    present = [run(f"p{number}") for number in range(active)]
    decided = steps(known(owner, *present))
    assert (len(decided.create), list(decided.delete)) == (created, [])


def test_a_new_pod_carries_the_finalizer_and_belongs_to_the_job() -> None:
    (create,) = steps(known(job())).create
    metadata = create.document["metadata"]
    assert metadata["generateName"] == "sum-"
    assert metadata["finalizers"] == [FINALIZER]
    assert metadata["labels"] == LABELS
    assert metadata["ownerReferences"][0]["kind"] == "Job"
    assert create.document["spec"] == TEMPLATE["spec"]


def test_without_completions_pods_are_kept_up_until_the_first_success() -> None:
    owner = job(completions=None, parallelism=3)
    assert len(steps(known(owner, run("a"))).create) == 2
    over = known(owner, run("a"), run("b", phase="Succeeded"))
    assert steps(over) == Steps()
    assert judge(over).verdict is None
    assert tracked(over).ending is None
    alone = tracked(known(owner, run("b", phase="Succeeded")))
    assert alone.ending is not None


def test_too_many_pods_go_without_being_counted_the_least_advanced_first() -> None:
    owner = job(completions=5, parallelism=1)
    decided = steps(known(owner, run("ready", ready=5), run("placed"), run("loose", node="")))
    assert (names(decided.delete), decided.spared) == (["loose", "placed"], True)


def test_at_most_a_burst_of_pods_comes_at_once() -> None:
    assert len(steps(known(job(completions=900, parallelism=900))).create) == job_plan.BURST


def test_a_suspended_job_has_no_pods_and_says_so_until_it_is_resumed() -> None:
    began = {"startTime": time(50)}
    found = known(job(suspend=True, status=began), run("a", ready=3))
    decided = steps(found)
    assert (names(decided.delete), decided.spared) == (["a"], True)
    told = tracked(found, Acted(0, decided.delete))
    (condition,) = told.status["conditions"]
    assert (condition["type"], condition["status"]) == ("Suspended", "True")
    assert (condition["reason"], condition["message"]) == ("JobSuspended", "Job suspended")
    assert [(it.reason, it.note) for it in told.tell] == [("Suspended", "Job suspended")]
    assert "startTime" not in told.status
    assert told.status["terminating"] == 1
    assert told.status["ready"] == 0
    assert "active" not in told.status
    resumed = tracked(known(job(status={**began, "conditions": [condition]})))
    (condition,) = resumed.status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "JobResumed")
    assert [(it.reason, it.note) for it in resumed.tell] == [("Resumed", "Job resumed")]
    assert resumed.status["startTime"] == time(0)


def test_a_job_that_was_never_suspended_does_not_say_that_it_is_not() -> None:
    found = tracked(known(job()))
    assert "conditions" not in found.status
    assert found.tell == []


def test_a_job_that_is_being_deleted_creates_nothing_and_frees_its_pods() -> None:
    found = known(job(metadata={"deletionTimestamp": time(0)}), run("a"))
    assert steps(found) == Steps()
    assert names(tracked(found).release) == ["a"]


def test_a_deleted_pod_is_replaced_at_once_or_only_when_it_has_ended() -> None:
    going = run("a", deleted=True)
    assert len(steps(known(job(), going)).create) == 0  # it counts as failed: back-off
    calm = Failures()
    found = known(job(podReplacementPolicy="Failed"), going, failures=calm)
    assert steps(found) == Steps()
    assert tracked(found).release == []
    over = run("a", deleted=True, phase="Failed", status=ended(1, 100))
    assert len(steps(known(job(podReplacementPolicy="Failed"), over)).create) == 1


# Failures


@pytest.mark.parametrize(
    ("count", "wait"), [(0, 0), (1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (40, 600)]
)
def test_the_back_off_doubles_from_ten_seconds_to_ten_minutes(count: int, wait: float) -> None:
    assert Failures(count, NOW).remaining(NOW) == wait
    assert Failures(count, NOW - 4).remaining(NOW) == max(0, wait - 4)


def test_a_failed_pod_is_replaced_after_its_back_off() -> None:
    found = known(job(), run("a", phase="Failed", status=ended(1, 4)))
    assert steps(found) == Steps(wait=6.0)
    later = known(job(), run("a", phase="Failed", status=ended(1, 11)))
    assert len(steps(later).create) == 1


def test_a_success_ends_the_back_off_but_for_failures_after_it() -> None:
    good = run("good", phase="Succeeded", status=ended(0, 20))
    early = run("early", phase="Failed", status=ended(1, 30))
    late = run("late", phase="Failed", status=ended(1, 10))
    before = Failures(5, NOW - 90)
    assert before.after([], []) == before
    assert before.after([good], []) == Failures()
    assert before.after([good], [early]) == Failures()
    assert before.after([good], [late, early]) == Failures(1, NOW - 10)
    assert before.after([], [late, early]) == Failures(7, NOW - 10)


def test_when_a_pod_ended_is_read_from_what_it_still_says() -> None:
    at = job_backoff.finished_at
    assert at(pod("a", status=ended(1, 7))) == NOW - 7
    ready = {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": time(5)}]}
    assert at(pod("a", status=ready)) == NOW - 5
    assert at(pod("a", deleted=True, deletionGracePeriodSeconds=30)) == NOW - 30
    assert at(pod("a", born=77)) == NOW - 77


def test_a_job_fails_above_its_back_off_limit() -> None:
    failed = run("a", phase="Failed", status=ended(1, 90))
    assert judge(known(job(backoffLimit=1), failed)).verdict is None
    found = known(job(backoffLimit=0), failed, run("b"))
    text = "Job has reached the specified backoff limit"
    assert verdict(found) == ("FailureTarget", "BackoffLimitExceeded", text)
    decided = steps(found)
    assert (names(decided.delete), decided.spared) == (["b"], False)


def test_restarts_of_containers_count_where_the_pod_is_restarted() -> None:
    def restarted(count: int, policy: str = "OnFailure") -> Pod:
        status = {"containerStatuses": [{"name": "web", "restartCount": count}]}
        return run("a", spec={"restartPolicy": policy}, status=status)

    assert judge(known(job(backoffLimit=3), restarted(2))).verdict is None
    assert judge(known(job(backoffLimit=3), restarted(9, "Never"))).verdict is None
    assert verdict(known(job(backoffLimit=3), restarted(3)))[1] == "BackoffLimitExceeded"
    assert verdict(known(job(backoffLimit=0), restarted(1)))[1] == "BackoffLimitExceeded"
    assert judge(known(job(backoffLimit=0), restarted(0))).verdict is None


def test_a_job_fails_when_it_was_active_for_too_long() -> None:
    owner = job(activeDeadlineSeconds=60, status={"startTime": time(60)})
    text = "Job was active longer than specified deadline"
    assert verdict(known(owner)) == ("FailureTarget", "DeadlineExceeded", text)
    young = known(job(activeDeadlineSeconds=60, status={"startTime": time(45)}))
    assert judge(young).verdict is None
    assert deadline_in(young, judge(young)) == 15
    rests = known(job(activeDeadlineSeconds=60, suspend=True, status={"startTime": time(99)}))
    assert judge(rests).verdict is None
    woken = [{"type": "Suspended", "status": "True"}]
    status = {"startTime": time(99), "conditions": woken}
    assert judge(known(job(activeDeadlineSeconds=60, status=status))).verdict is None


def policy(action: str, **rule: Any) -> dict[str, Any]:
    return {"rules": [{"action": action, **rule}]}


CODES = {"onExitCodes": {"operator": "In", "values": [42]}}


def test_a_rule_of_the_failure_policy_fails_the_job() -> None:
    failed = run("a", phase="Failed", status=ended(42))
    found = known(job(podFailurePolicy=policy("FailJob", **CODES), backoffLimit=6), failed)
    text = "Container web for pod default/a failed with exit code 42 matching FailJob rule at "
    assert verdict(found) == ("FailureTarget", "PodFailurePolicy", f"{text}index 0")
    other = run("a", phase="Failed", status=ended(1))
    assert judge(known(job(podFailurePolicy=policy("FailJob", **CODES)), other)).verdict is None
    negated = {"onExitCodes": {"operator": "NotIn", "values": [42]}}
    assert judge(known(job(podFailurePolicy=policy("FailJob", **negated)), failed)).verdict is None
    assert verdict(known(job(podFailurePolicy=policy("FailJob", **negated)), other))
    named = {"onExitCodes": {**CODES["onExitCodes"], "containerName": "side"}}
    assert judge(known(job(podFailurePolicy=policy("FailJob", **named)), failed)).verdict is None


def test_a_rule_looks_at_init_containers_too() -> None:
    state = {"terminated": {"exitCode": 42, "finishedAt": time(0)}}
    status = {"initContainerStatuses": [{"name": "first", "state": state}]}
    failed = run("a", phase="Failed", status=status)
    found = known(job(podFailurePolicy=policy("FailJob", **CODES)), failed)
    text = "Container first for pod default/a failed with exit code 42 matching FailJob rule at "
    assert verdict(found) == ("FailureTarget", "PodFailurePolicy", f"{text}index 0")


def test_a_condition_of_a_pod_may_fail_the_job_or_be_ignored() -> None:
    told = [{"type": "DisruptionTarget", "status": "True"}]
    failed = run("a", phase="Failed", status={"conditions": told, **ended(1, 99)})
    rule = {"onPodConditions": told}
    found = known(job(podFailurePolicy=policy("FailJob", **rule)), failed)
    text = "Pod default/a has condition DisruptionTarget matching FailJob rule at index 0"
    assert verdict(found)[2] == text
    ignored = known(job(podFailurePolicy=policy("Ignore", **rule), backoffLimit=0), failed)
    assert judge(ignored).verdict is None
    assert judge(ignored).failed == 0
    found_pods = tracked(ignored)
    assert names(found_pods.release) == ["a"]
    assert found_pods.status["uncountedTerminatedPods"] == {}
    counted = known(job(podFailurePolicy=policy("Count", **rule), backoffLimit=0), failed)
    assert verdict(counted)[1] == "BackoffLimitExceeded"


# Indexes


def test_indexes_are_written_as_upstream_writes_them() -> None:
    assert str(job_index.indexes([5, 0, 2, 3, 8, 9, 10])) == "0,2,3,5,8-10"
    found = job_index.parse("0,2,3,5,8-10", 10)
    assert (str(found), len(found)) == ("0,2,3,5,8,9", 6)
    assert [number for number in range(12) if number in found] == [0, 2, 3, 5, 8, 9]
    assert str(job_index.parse("x,1,3-y,4-2,7", 100)) == "1,7"
    assert str(job_index.indexes([1, 2, 3]) & job_index.indexes([0, 2, 3, 9])) == "2,3"
    assert str(job_index.indexes([1, 5]) | job_index.indexes([0, 2])) == "0-2,5"
    assert len(job_index.parse("0-2147483646", 2**31 - 1)) == 2**31 - 1
    assert str(job_index.parse("9" * 5000, 10)) == ""


def test_pending_indexes_are_the_lowest_ones_that_are_free() -> None:
    taken = job_index.indexes([0, 2, 3])
    assert job_index.pending(taken, 3, 10) == [1, 4, 5]
    assert job_index.pending(taken, 9, 6) == [1, 4, 5]
    assert job_index.pending(taken, 0, 6) == []
    assert job_index.pending(job_index.parse("0-9", 10), 1, 10) == []


def test_the_pod_of_an_index_knows_it_in_every_way() -> None:
    found = known(indexed(), run("a", 0), run("b", 2, phase="Succeeded"))
    first, second = steps(found).create
    document = first.document
    assert document["metadata"]["annotations"] == {INDEX: "1"}
    assert document["metadata"]["labels"] == {**LABELS, INDEX: "1"}
    assert document["metadata"]["generateName"] == "sum-1-"
    assert document["spec"]["hostname"] == "sum-1"
    (container,) = document["spec"]["containers"]
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    assert container["env"] == [{"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]
    assert second.document["spec"]["hostname"] == "sum-3"


def test_a_long_name_is_cut_so_that_index_and_suffix_fit() -> None:
    assert job_index.prefix("n" * 80, 12) == "n" * 54 + "-12-"


def test_pods_of_repeated_and_of_no_valid_index_go() -> None:
    twice = [run("old", 1, ready=9), run("new", 1), run("far", 9), run("none")]
    decided = steps(known(indexed(), run("zero", 0), *twice))
    assert (sorted(names(decided.delete)), decided.spared) == (["far", "new", "none"], True)


def test_completed_indexes_are_counted_once_whatever_pods_say() -> None:
    owner = indexed(status={"completedIndexes": "0", "succeeded": 1})
    good = [run(name, place, phase="Succeeded") for name, place in (("a", 0), ("b", 2), ("c", 2))]
    found = known(owner, *good, run("far", 7, phase="Succeeded"))
    assert judge(found).succeeded == 2
    status = tracked(found).status
    assert (status["succeeded"], status["completedIndexes"]) == (2, "0,2")
    assert status["uncountedTerminatedPods"] == {}
    assert len(tracked(found).release) == 4


def test_an_index_fails_above_its_own_limit_and_its_count_is_inherited() -> None:
    owner = indexed(2, backoffLimitPerIndex=1, backoffLimit=99)
    first = known(owner, run("a", 0, phase="Failed", status=ended(1, 30)), run("b", 1))
    (create,) = steps(first).create
    assert create.document["metadata"]["annotations"] == {INDEX: "0", FAILURES: "1"}
    assert names(tracked(first).release) == []  # it stays until its index has a new pod
    assert names(tracked(known(owner, *first.pods, run("new", 0))).release) == ["a"]
    again = run("a", 0, phase="Failed", status=ended(1, 30), annotations={FAILURES: "1"})
    found = known(owner, again, run("b", 1))
    assert steps(found) == Steps()
    assert tracked(found).status["failedIndexes"] == "0"
    over = known(owner, again, run("b", 1, phase="Succeeded"))
    assert verdict(over) == ("FailureTarget", "FailedIndexes", "Job has failed indexes")


def test_an_index_waits_for_its_own_back_off_only() -> None:
    owner = indexed(2, backoffLimitPerIndex=5, backoffLimit=99, parallelism=2)
    failed = run("a", 0, phase="Failed", status=ended(1, 5), annotations={FAILURES: "1"})
    found = steps(known(owner, failed))
    assert [it.document["spec"]["hostname"] for it in found.create] == ["sum-1"]
    assert steps(known(owner, failed, run("b", 1))) == Steps(wait=15.0)


def test_ignored_failures_of_an_index_are_told_apart() -> None:
    rule = policy("Ignore", **CODES)
    owner = indexed(1, backoffLimitPerIndex=0, backoffLimit=9, podFailurePolicy=rule)
    failed = run("a", 0, phase="Failed", status=ended(42, 60), annotations={IGNORED: "1"})
    (create,) = steps(known(owner, failed)).create
    expected = {INDEX: "0", FAILURES: "0", IGNORED: "2"}
    assert create.document["metadata"]["annotations"] == expected
    fails = indexed(2, backoffLimitPerIndex=9, podFailurePolicy=policy("FailIndex", **CODES))
    assert tracked(known(fails, failed)).status["failedIndexes"] == "0"


def test_too_many_failed_indexes_fail_the_job() -> None:
    failed = run("a", 0, phase="Failed", status=ended(1))
    text = "Job has exceeded the specified maximal number of failed indexes"
    found = known(indexed(backoffLimitPerIndex=0, maxFailedIndexes=0), failed)
    assert verdict(found) == ("FailureTarget", "MaxFailedIndexesExceeded", text)
    assert judge(known(indexed(backoffLimitPerIndex=0, maxFailedIndexes=1), failed)).verdict is None


@pytest.mark.parametrize(
    ("rule", "done", "met"),
    [
        ({"succeededIndexes": "0,2"}, [0, 2], True),
        ({"succeededIndexes": "0,2"}, [0, 1], False),
        ({"succeededIndexes": "0-2", "succeededCount": 1}, [1], True),
        ({"succeededIndexes": "0-2", "succeededCount": 2}, [1, 3], False),
        ({"succeededCount": 2}, [1, 3], True),
        ({"succeededCount": 3}, [1, 3], False),
        ({"succeededIndexes": "77"}, [1], False),
    ],
)
def test_a_success_policy_is_met_by_indexes_or_their_number(
    rule: dict[str, Any], done: list[int], met: bool
) -> None:
    rules = {"rules": [{"succeededIndexes": "0-3"}, rule]}
    good = [run(f"p{index}", index, phase="Succeeded") for index in done]
    found = known(indexed(successPolicy=rules), *good, run("rest", 7))
    if not met:
        assert judge(found).verdict is None
        return
    assert verdict(found) == ("SuccessCriteriaMet", "SuccessPolicy", "Matched rules at index 1")
    assert names(steps(found).delete) == ["rest"]


def test_an_elastic_job_that_shrinks_forgets_indexes_beyond_its_end() -> None:
    owner = indexed(2, status={"completedIndexes": "0,3", "succeeded": 2})
    status = tracked(known(owner, run("a", 1))).status
    assert (status["completedIndexes"], status["succeeded"]) == ("0", 1)


# Counting


def test_ended_pods_are_named_before_their_finalizers_go_and_counted_after() -> None:
    owner = job(completions=3, backoffLimit=6)
    good = run("good", phase="Succeeded")
    found = tracked(known(owner, good, run("bad", phase="Failed"), run("runs")))
    lists = {"succeeded": ["uid-good"], "failed": ["uid-bad"]}
    assert found.status["uncountedTerminatedPods"] == lists
    assert "succeeded" not in found.status
    assert names(found.release) == ["good", "bad"]
    after, finished = conclude(found, {"uid-bad"}, NOW)
    assert after["uncountedTerminatedPods"] == {"failed": ["uid-bad"]}
    assert (after["succeeded"], after.get("failed"), finished) == (1, None, False)


def test_named_pods_are_not_counted_again() -> None:
    lists = {"succeeded": ["uid-good"], "failed": ["uid-gone"]}
    owner = job(completions=3, status={"succeeded": 1, "uncountedTerminatedPods": lists})
    found = known(owner, run("good", phase="Succeeded"))
    assert (judge(found).succeeded, judge(found).failed) == (2, 1)
    status = tracked(found).status
    assert status["uncountedTerminatedPods"] == {"succeeded": ["uid-good"]}
    assert (status["succeeded"], status["failed"]) == (1, 1)


def test_a_pod_without_the_finalizer_was_counted_before() -> None:
    found = known(job(completions=3), pod("good", phase="Succeeded"))
    assert judge(found).succeeded == 0
    assert tracked(found).release == []


def test_a_status_names_a_bounded_number_of_pods_and_the_job_goes_on_until_all_count() -> None:
    most = job_status.MOST_UNCOUNTED
    many = [run(f"p{number}", phase="Succeeded") for number in range(most + 3)]
    found = tracked(known(job(completions=most + 3), *many))
    assert len(found.status["uncountedTerminatedPods"]["succeeded"]) == most
    assert found.full
    assert not conclude(found, (), NOW)[1]


def test_a_patch_of_the_lists_takes_away_what_is_no_longer_named() -> None:
    lists = {"succeeded": ["uid-good"]}
    owner = job(status={"uncountedTerminatedPods": lists, "ready": 0, "terminating": 0})
    patch = job_status.plan_patch(
        owner, {**job_status.status_of(owner), "uncountedTerminatedPods": {"failed": ["x"]}}
    )
    assert patch is not None
    expected = {"succeeded": None, "failed": ["x"]}
    assert patch.patch == {"status": {"uncountedTerminatedPods": expected}}
    assert (patch.uid, patch.revision, patch.subresource) == ("uid-sum", 9, "status")
    assert job_status.plan_patch(owner, job_status.status_of(owner)) is None


# The end


def test_a_complete_job_says_so_once_everything_is_counted() -> None:
    found = known(job(), run("a", phase="Succeeded"))
    first = tracked(found)
    (met,) = first.status["conditions"]
    text = "Reached expected number of succeeded pods"
    assert (met["type"], met["reason"]) == ("SuccessCriteriaMet", "CompletionsReached")
    assert met["message"] == text
    assert not conclude(first, held(found.pods), NOW)[1]
    after, finished = conclude(first, (), NOW)
    assert finished
    assert [it["type"] for it in after["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert after["conditions"][1]["message"] == text
    assert (after["completionTime"], after["succeeded"]) == (time(0), 1)
    (told,) = job_status.plan_events(found.job, after)
    assert (told.reason, told.note, told.type) == ("Completed", "Job completed", "Normal")


def test_a_job_that_ends_while_it_is_suspended_began_then() -> None:
    found = known(job(suspend=True), run("a", phase="Succeeded"))
    first = tracked(found)
    assert "startTime" not in first.status
    after, finished = conclude(first, (), NOW)
    assert (after["startTime"], finished) == (time(0), True)


def test_too_many_successes_are_told() -> None:
    after = {"conditions": [{"type": "Complete"}], "succeeded": 2}
    told = job_status.plan_events(job(), after)
    assert [it.reason for it in told] == ["TooManySucceededPods", "Completed"]


def test_a_failed_job_waits_for_its_last_pod() -> None:
    found = known(job(backoffLimit=0), run("a", phase="Failed", status=ended(1)), run("b"))
    doomed = steps(found).delete
    first = tracked(found, Acted(0, doomed))
    (target,) = first.status["conditions"]
    assert (target["type"], target["reason"]) == ("FailureTarget", "BackoffLimitExceeded")
    assert first.status["uncountedTerminatedPods"] == {"failed": ["uid-a", "uid-b"]}
    after, finished = conclude(first, (), NOW)
    assert (after["failed"], after["terminating"], finished) == (2, 1, False)
    last = tracked(known(job(backoffLimit=0, status=after)))
    after, finished = conclude(last, (), NOW)
    assert finished
    assert [it["type"] for it in after["conditions"]] == ["FailureTarget", "Failed"]
    assert "completionTime" not in after
    (told,) = job_status.plan_events(found.job, after)
    assert (told.reason, told.type) == ("BackoffLimitExceeded", "Warning")


def test_a_job_is_not_called_failed_while_a_pod_could_not_be_deleted() -> None:
    found = known(job(backoffLimit=0), run("a", phase="Failed", status=ended(1)), run("b"))
    first = tracked(found, Acted())
    assert "conditions" not in first.status
    assert first.ending is None
    assert first.status["uncountedTerminatedPods"] == {"failed": ["uid-a"]}


def test_a_job_that_met_its_criteria_counts_no_deleted_pod_as_failed() -> None:
    rules = {"rules": [{"succeededCount": 1}]}
    found = known(indexed(successPolicy=rules), run("a", 0, phase="Succeeded"), run("b", 1))
    first = tracked(found, Acted(0, steps(found).delete))
    assert names(first.release) == ["a", "b"]
    assert first.status["uncountedTerminatedPods"] == {}
    assert conclude(first, (), NOW)[0].get("failed") is None


def test_a_job_of_another_controller_is_left_alone() -> None:
    assert job_plan.is_foreign(job(managedBy="example.com/mine"))
    assert not job_plan.is_foreign(job(managedBy="kubernetes.io/job-controller"))
    assert not job_plan.is_foreign(job())


def test_a_finished_job_goes_after_its_time_to_live() -> None:
    ago = {"type": "Complete", "status": "True", "lastTransitionTime": time(30)}
    status = {"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, ago]}
    left = ttl_after_finished.expires_in
    assert left(job(ttlSecondsAfterFinished=50, status=status), NOW) == 20
    assert left(job(ttlSecondsAfterFinished=0, status=status), NOW) == -30
    assert left(job(status=status), NOW) is None
    assert left(job(ttlSecondsAfterFinished=50), NOW) is None
    going = {"deletionTimestamp": time(0)}
    assert left(job(metadata=going, ttlSecondsAfterFinished=0, status=status), NOW) is None
    delete = ttl_after_finished.plan(job())
    assert (delete.propagation, delete.uid) == ("Foreground", "uid-sum")


def test_only_jobs_whose_time_runs_are_looked_at_for_it() -> None:
    (watch,) = ttl_after_finished.TTLAfterFinishedController.watches
    ended = {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": time(3)}]}
    due = job(ttlSecondsAfterFinished=5, status=ended)
    views: Any = None
    assert [*watch.to(views, None, due)] == [JOB.ref("default", "sum")]
    for other in (job(ttlSecondsAfterFinished=5), job(status=ended), None):
        assert [*watch.to(views, due, other)] == []
