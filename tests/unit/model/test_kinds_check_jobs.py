"""Jobs: their specs, their policies, and what an update of their status may say (KEP-4368)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import NEGATIVE, Causes, causes

from steersman.model.types import job_indexes

SELECTOR = {"matchLabels": {"app": "a"}}
CONTAINER = {"name": "a", "image": "i"}
NEVER: dict[str, Any] = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {"containers": [CONTAINER], "restartPolicy": "Never"},
}
MANUAL = {"manualSelector": True, "selector": SELECTOR}
INDEXED = {"completionMode": "Indexed", "completions": 5, "template": NEVER}
POLICY = "spec.podFailurePolicy.rules[0]"
EARLY, LATE = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"
CONDITIONS = "status.conditions"


def checked(**spec: Any) -> Causes:
    """Returns what is wrong with a new job that brings its selector."""
    return causes("batch", "jobs", {"spec": {**MANUAL, "template": NEVER, **spec}})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"template": {**NEVER, "spec": {"containers": [CONTAINER]}}},
            ("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'),
        ),
        ({"parallelism": -1}, ("spec.parallelism", NEGATIVE)),
        (
            {"completionMode": "Indexed", "parallelism": 2},
            ("spec.completions", "Required value: when completion mode is Indexed"),
        ),
        (
            {"completionMode": "Sorted"},
            (
                "spec.completionMode",
                'Unsupported value: "Sorted": supported values: "NonIndexed", "Indexed"',
            ),
        ),
        (
            {"backoffLimitPerIndex": 1},
            (
                "spec.backoffLimitPerIndex",
                "Invalid value: 1: requires indexed completion mode",
            ),
        ),
        (
            {**INDEXED, "maxFailedIndexes": 1},
            (
                "spec.backoffLimitPerIndex",
                "Required value: when maxFailedIndexes is specified",
            ),
        ),
        (
            {**INDEXED, "backoffLimitPerIndex": 1, "maxFailedIndexes": 6},
            (
                "spec.maxFailedIndexes",
                "Invalid value: 6: must be less than or equal to completions",
            ),
        ),
        (
            {**INDEXED, "parallelism": 100_001},
            (
                "spec.parallelism",
                "Invalid value: 100001: must be less than or equal to 100000 when completion mode "
                "is Indexed",
            ),
        ),
        (
            {**INDEXED, "completions": 100_001, "backoffLimitPerIndex": 1, "parallelism": 1},
            (
                "spec.maxFailedIndexes",
                "Required value: must be specified when completions is above 100000",
            ),
        ),
        (
            {"managedBy": "me"},
            ("spec.managedBy", 'must be a domain-prefixed path (such as "acme.io/foo")'),
        ),
        (
            {"managedBy": f"a.b/{'c' * 60}"},
            ("spec.managedBy", "Too long: may not be more than 63 bytes"),
        ),
        (
            {"podReplacementPolicy": "Never"},
            (
                "spec.podReplacementPolicy",
                'Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed"',
            ),
        ),
    ],
)
def test_one_thing_is_wrong_with_a_job(spec: dict[str, Any], expected: tuple[str, str]) -> None:
    ((field, text),) = checked(**spec)
    assert field == expected[0]
    assert text.endswith(expected[1])


def test_an_indexed_jobs_width_may_reach_its_bound() -> None:
    assert checked(**INDEXED, parallelism=100_000) == []


def test_many_completions_are_run_with_less_parallelism_and_fewer_failures() -> None:
    spec = {**INDEXED, "completions": 100_001, "backoffLimitPerIndex": 1}
    bound = "must be less than or equal to 10000 when completions are above 100000"
    found = checked(**spec, parallelism=10_001, maxFailedIndexes=10_001)
    assert [field for field, _ in found] == ["spec.parallelism", "spec.maxFailedIndexes"]
    assert all(bound in text for _, text in found)
    assert checked(**spec, parallelism=10_000, maxFailedIndexes=10_000) == []


def test_the_last_pod_of_an_indexed_job_must_have_a_name() -> None:
    metadata = {"name": "a" * 61}
    spec = {**MANUAL, **INDEXED, "completions": 11}
    assert causes("batch", "jobs", {"metadata": metadata, "spec": spec}) == [
        (
            "metadata.name",
            f'Invalid value: "{"a" * 61}": will not able to create pod with invalid DNS label: '
            f"{'a' * 61}-10",
        )
    ]
    short = {**spec, "completions": 10}
    assert causes("batch", "jobs", {"metadata": metadata, "spec": short}) == []


def test_a_selector_that_was_made_for_a_job_stays_its_own() -> None:
    labels = {
        "batch.kubernetes.io/controller-uid": "u",
        "batch.kubernetes.io/job-name": "x",
        "controller-uid": "u",
        "job-name": "x",
    }
    selector = {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}

    def made(**other: str) -> dict[str, Any]:
        template = {**NEVER, "metadata": {"labels": {**labels, **other}}}
        return {"metadata": {"uid": "u"}, "spec": {"selector": selector, "template": template}}

    assert causes("batch", "jobs", made()) == []
    ((field, text),) = causes("batch", "jobs", made(**{"job-name": "y"}))
    assert (field, text[-11:]) == ("spec.template.metadata.labels[job-name]", "must be 'x'")
    stolen = {**made(app="a"), "metadata": {"uid": "u"}}
    stolen["spec"]["selector"] = SELECTOR
    ((field, text),) = causes("batch", "jobs", stolen)
    assert (field, text[-29:]) == ("spec.selector", "`selector` not auto-generated")


@pytest.mark.parametrize(
    ("rule", "field", "problem"),
    [
        (
            {"onPodConditions": [{"type": "T", "status": "True"}]},
            ".action",
            'Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
        ),
        (
            {"action": "Stop", "onPodConditions": [{"type": "T", "status": "True"}]},
            ".action",
            'Unsupported value: "Stop": supported values: '
            '"Count", "FailIndex", "FailJob", "Ignore"',
        ),
        (
            {"action": "FailIndex", "onPodConditions": [{"type": "T", "status": "True"}]},
            ".action",
            'Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
        ),
        (
            {"action": "Count"},
            "",
            "Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ),
        (
            {
                "action": "Count",
                "onExitCodes": {"operator": "In", "values": [1]},
                "onPodConditions": [{"type": "T", "status": "True"}],
            },
            "",
            "Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
        ),
        (
            {"action": "Count", "onPodConditions": [{"type": "T", "status": "Maybe"}]},
            ".onPodConditions[0].status",
            'Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
        ),
        (
            {"action": "Count", "onExitCodes": {"operator": "In", "values": [0]}},
            ".onExitCodes.values[0]",
            "Invalid value: 0: must not be 0 for the In operator",
        ),
        (
            {"action": "Count", "onExitCodes": {"operator": "NotIn", "values": [1, 1]}},
            ".onExitCodes.values[1]",
            "Duplicate value: 1",
        ),
        (
            {"action": "Count", "onExitCodes": {"operator": "In", "values": [2, 1]}},
            ".onExitCodes.values",
            "Invalid value: [2,1]: must be ordered",
        ),
        (
            {"action": "Count", "onExitCodes": {"operator": "In", "values": []}},
            ".onExitCodes.values",
            "Invalid value: []: at least one value is required",
        ),
        (
            {
                "action": "Count",
                "onExitCodes": {"operator": "In", "values": [1], "containerName": "z"},
            },
            ".onExitCodes.containerName",
            'Invalid value: "z": must be one of the container or initContainer names in the pod '
            "template",
        ),
    ],
)
def test_a_rule_about_failures_is_checked(rule: dict[str, Any], field: str, problem: str) -> None:
    assert checked(podFailurePolicy={"rules": [rule]}) == [(POLICY + field, problem)]


def test_how_many_rules_about_failures_there_may_be() -> None:
    rule = {"action": "Count", "onExitCodes": {"operator": "In", "values": [1]}}
    assert checked(podFailurePolicy={"rules": [rule] * 20}) == []
    found = checked(podFailurePolicy={"rules": [rule] * 21})
    assert found == [("spec.podFailurePolicy.rules", "Too many: 21: must have at most 20 items")]
    replaced = checked(
        podFailurePolicy={"rules": [rule]}, podReplacementPolicy="TerminatingOrFailed"
    )
    text = 'Unsupported value: "TerminatingOrFailed": supported values: "Failed"'
    assert replaced == [("spec.podReplacementPolicy", text)]


@pytest.mark.parametrize(
    ("rules", "field", "problem"),
    [
        (
            [],
            "",
            "Required value: at least one rules must be specified when the successPolicy is "
            "specified",
        ),
        (
            [{}],
            "[0]",
            "Required value: at least one of succeededCount or succeededIndexes must be specified",
        ),
        (
            [{"succeededIndexes": "1-9"}],
            "[0].succeededIndexes",
            'Invalid value: "1-9": error parsing succeededIndexes: too large index: "9"',
        ),
        (
            [{"succeededCount": 6}],
            "[0].succeededCount",
            "Invalid value: 6: must be less than or equal to 5 (the number of specified "
            "completions)",
        ),
        (
            [{"succeededCount": 3, "succeededIndexes": "0,2"}],
            "[0].succeededCount",
            "Invalid value: 3: must be less than or equal to 2 (the number of indexes in the "
            "specified succeededIndexes field)",
        ),
    ],
)
def test_a_policy_of_success_is_checked(rules: list[Any], field: str, problem: str) -> None:
    found = checked(**INDEXED, successPolicy={"rules": rules})
    assert found == [(f"spec.successPolicy.rules{field}", problem)]


def test_a_policy_of_success_is_of_indexed_jobs() -> None:
    assert checked(successPolicy={"rules": [{"succeededCount": 1}]}) == [
        (
            "spec.successPolicy",
            'Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: requires '
            "indexed completion mode",
        )
    ]


def test_what_a_job_keeps() -> None:
    old = {"spec": {**MANUAL, "template": NEVER, "completions": 1}}
    placed = {**NEVER, "spec": {**NEVER["spec"], "nodeSelector": {"a": "b"}}}
    new = {"spec": {**old["spec"], "template": placed, "completions": 2}}
    assert [field for field, _ in causes("batch", "jobs", new, old)] == [
        "spec.completions",
        "spec.template",
    ]
    policy = {"rules": [{"succeededCount": 1}]}
    before = {"spec": {**MANUAL, **INDEXED}}
    after = {"spec": {**MANUAL, **INDEXED, "successPolicy": policy}}
    assert [field for field, _ in causes("batch", "jobs", after, before)] == ["spec.successPolicy"]
    larger = {"spec": {**MANUAL, **INDEXED, "completions": 7, "parallelism": 7}}
    assert causes("batch", "jobs", larger, before) == []


def test_what_a_suspended_job_without_pods_may_change() -> None:
    old = {"spec": {**MANUAL, "template": NEVER, "suspend": True}, "status": {"startTime": EARLY}}
    needs = {"requests": {"cpu": "1"}}
    term = {"matchExpressions": [{"key": "a", "operator": "Exists"}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod = {
        **NEVER["spec"],
        "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": required},
        "containers": [{**CONTAINER, "resources": needs}],
    }
    about = {"labels": {"app": "a", "b": "c"}, "annotations": {"d": "e"}}

    def changed(**other: Any) -> dict[str, Any]:
        template = {"metadata": about, "spec": {**pod, **other}}
        return {"spec": {**MANUAL, "template": template}}

    assert causes("batch", "jobs", changed(), old) == []
    busy = {**old, "status": {"active": 1, "startTime": EARLY}}
    assert [field for field, _ in causes("batch", "jobs", changed(), busy)] == ["spec.template"]
    for other in (
        {"terminationGracePeriodSeconds": 5},
        {"containers": [{**CONTAINER, "image": "j"}]},
        {"affinity": {"podAffinity": {}}},
    ):
        found = causes("batch", "jobs", changed(**other), old)
        assert [field for field, _ in found] == ["spec.template"]
    assert causes("batch", "jobs", old, changed()) != []


def condition(kind: str) -> dict[str, str]:
    return {"type": kind, "status": "True"}


def told(new: dict[str, Any], old: dict[str, Any] | None = None, **spec: Any) -> Causes:
    """Returns what is wrong with an update of a job's status."""
    job = {"spec": {**MANUAL, "template": NEVER, **spec}}
    documents = ({**job, "status": status} for status in (new, old or {}))
    return causes("batch", "jobs", *documents, "status")


COMPLETE = {
    "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
    "startTime": EARLY,
    "completionTime": LATE,
    "succeeded": 1,
}
FAILED = {
    "conditions": [condition("FailureTarget"), condition("Failed")],
    "startTime": EARLY,
    "failed": 1,
}


def with_condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return {**status, "conditions": [*status["conditions"], condition(kind)]}


def only(status: dict[str, Any], *kinds: str) -> dict[str, Any]:
    return {**status, "conditions": [condition(kind) for kind in kinds]}


def test_a_job_may_end_either_way() -> None:
    running = {"startTime": EARLY, "active": 1, "ready": 1}
    assert told(COMPLETE, running) == []
    assert told(FAILED, running) == []
    assert told(COMPLETE, COMPLETE) == []
    assert told(running, {}) == []


@pytest.mark.parametrize(
    ("new", "old", "spec", "expected"),
    [
        ({"failed": -1}, {}, {}, ("status.failed", NEGATIVE)),
        (
            {"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a"]}},
            {},
            {},
            ("status.uncountedTerminatedPods.failed[0]", 'Duplicate value: "a"'),
        ),
        (
            {"uncountedTerminatedPods": {"succeeded": [""]}},
            {},
            {},
            ("status.uncountedTerminatedPods.succeeded[0]", 'Invalid value: "": must not be empty'),
        ),
        (
            {"completionTime": LATE, "startTime": EARLY},
            {},
            {},
            (
                "status.completionTime",
                f'Invalid value: "{LATE}": cannot set completionTime when there is no '
                "Complete=True condition",
            ),
        ),
        (
            {**COMPLETE, "completionTime": None},
            {},
            {},
            ("status.completionTime", "completionTime is required for Complete jobs"),
        ),
        (
            {**COMPLETE, "startTime": LATE, "completionTime": EARLY},
            {},
            {},
            ("status.completionTime", "completionTime cannot be set before startTime"),
        ),
        (
            only(FAILED, "Failed"),
            {},
            {},
            (
                CONDITIONS,
                "Invalid value: cannot set Failed=True condition without the FailureTarget=true "
                "condition",
            ),
        ),
        (
            only(COMPLETE, "Complete"),
            {},
            {},
            (
                CONDITIONS,
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            ),
        ),
        (
            {**COMPLETE, "active": 1},
            {},
            {},
            ("status.active", "Invalid value: 1: active>0 is invalid for finished job"),
        ),
        (
            {**FAILED, "startTime": None},
            {},
            {},
            ("status.startTime", "Required value: startTime is required for finished job"),
        ),
        (
            {**FAILED, "uncountedTerminatedPods": {"failed": ["a"]}},
            {},
            {},
            (
                "status.uncountedTerminatedPods",
                'Invalid value: {"Succeeded":null,"Failed":["a"]}: uncountedTerminatedPods needs '
                "to be empty for finished job",
            ),
        ),
        (
            {**FAILED, "terminating": 1},
            {},
            {},
            ("status.terminating", "Invalid value: 1: terminating>0 is invalid for finished job"),
        ),
        (
            {"active": 1, "ready": 2},
            {},
            {},
            ("status.ready", "Invalid value: 2: cannot set more ready pods than active"),
        ),
        (
            {"completedIndexes": "0"},
            {},
            {},
            (
                "status.completedIndexes",
                "cannot set non-empty completedIndexes when non-indexed completion mode",
            ),
        ),
        (
            {"completedIndexes": "1-9"},
            {},
            INDEXED,
            ("status.completedIndexes", 'error parsing completedIndexes: too large index: "9"'),
        ),
        (
            {"failedIndexes": "1"},
            {},
            INDEXED,
            (
                "status.failedIndexes",
                "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
            ),
        ),
        (
            {"failedIndexes": "x"},
            {},
            {**INDEXED, "backoffLimitPerIndex": 1},
            (
                "status.failedIndexes",
                'error parsing failedIndexes: cannot convert string to integer for index: "x"',
            ),
        ),
        (
            {"completedIndexes": "0-2,4", "failedIndexes": "2-3"},
            {},
            {**INDEXED, "backoffLimitPerIndex": 1},
            (
                "status.failedIndexes",
                "failedIndexes and completedIndexes overlap at index: 2",
            ),
        ),
        (
            with_condition(FAILED, "SuccessCriteriaMet"),
            FAILED,
            {},
            (
                CONDITIONS,
                "Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions",
            ),
        ),
        (
            {**COMPLETE, "completionTime": EARLY},
            COMPLETE,
            {},
            ("status.completionTime", "completionTime cannot be mutated"),
        ),
        (
            {"startTime": LATE},
            {"startTime": EARLY},
            {},
            (
                "status.startTime",
                "Required value: startTime cannot be removed for unsuspended job",
            ),
        ),
        (
            {"failed": 1},
            {"failed": 2},
            {},
            ("status.failed", "Invalid value: 1: cannot decrease the failed counter"),
        ),
        (
            {"succeeded": 0},
            {"succeeded": 2},
            {"completionMode": "Indexed", "completions": 5, "parallelism": 2},
            ("status.succeeded", "Invalid value: 0: cannot decrease the succeeded counter"),
        ),
        (
            COMPLETE,
            only(COMPLETE, "Complete"),
            {},
            (
                CONDITIONS,
                "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
            ),
        ),
    ],
)
def test_one_thing_is_wrong_with_a_status(
    new: dict[str, Any], old: dict[str, Any], spec: dict[str, Any], expected: tuple[str, str]
) -> None:
    found = told(new, old, **spec)
    assert [field for field, _ in found][:1] == [expected[0]]
    assert found[0][1].endswith(expected[1])


def test_what_ended_stays_so() -> None:
    """Each terminal condition is told of, with what else is no longer true."""
    prefix = "Invalid value: cannot disable the"
    texts = [text for _, text in told({"startTime": EARLY, "failed": 1}, FAILED)]
    assert texts == [
        f"{prefix} terminal Failed=True condition",
        f"{prefix} terminal FailureTarget=True condition",
    ]
    texts = [text for _, text in told(only(COMPLETE, "Complete"), COMPLETE)]
    assert f"{prefix} SuccessCriteriaMet=True condition" in texts


def test_both_ends_at_once_are_refused() -> None:
    both = with_condition(with_condition(COMPLETE, "FailureTarget"), "Failed")
    texts = [text for _, text in told(both, COMPLETE)]
    assert texts == [
        "Invalid value: cannot set Complete=True and Failed=true conditions",
        "Invalid value: cannot set Complete=True and FailureTarget=true conditions",
        "Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions",
        "Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
    ]


def test_what_was_wrong_before_may_stay() -> None:
    bad = {
        "conditions": [condition("Failed")],
        "active": 1,
        "ready": 2,
        "completedIndexes": "9",
        "terminating": 1,
        "uncountedTerminatedPods": {"failed": ["a"]},
    }
    assert told({**bad, "failed": 1}, bad) == []


def test_an_elastic_job_may_have_succeeded_less_and_a_suspended_one_begin_anew() -> None:
    elastic = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
    assert told({"succeeded": 2}, {"succeeded": 4}, template=NEVER, **elastic) == []
    assert told({}, {"startTime": EARLY}, suspend=True) == []
    suspended = {"startTime": EARLY, "conditions": [condition("Suspended")]}
    assert told({"startTime": LATE}, suspended) == []
    assert told({"startTime": LATE, **only({}, "Suspended")}, suspended) != []


def test_a_job_with_a_policy_of_success_completes_by_its_criteria() -> None:
    policy = {"rules": [{"succeededCount": 1}]}
    before = only(COMPLETE, "Complete")
    found = told({**before, "succeeded": 2}, before, **INDEXED, successPolicy=policy)
    text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
    assert found == [(CONDITIONS, f"Invalid value: {text}")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "1-2-3",
            'the fragment "1-2-3" violates the requirement that an index interval can have at most '
            "two parts separated by '-'",
        ),
        ("3-3", "non-increasing order, previous: 3, current: 3"),
        ("1,1", "non-increasing order, previous: 1, current: 1"),
        ("a", 'cannot convert string to integer for index: "a"'),
        ("9" * 30, f'cannot convert string to integer for index: "{"9" * 30}"'),
        ("5", 'too large index: "5"'),
    ],
)
def test_a_text_that_names_no_indexes(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^.*$") as caught:
        job_indexes.count(text, 5)
    assert str(caught.value) == problem


def test_indexes_are_counted_and_compared() -> None:
    assert job_indexes.count("", 5) == 0
    assert job_indexes.count("0,2-4", 5) == 4
    assert job_indexes.overlap("0-1,x,4", "2-3", 5) is None
    assert job_indexes.overlap("0-1,x,4", "2,4", 5) == 4
    assert job_indexes.overlap("3", "0-4", 5) == 3
