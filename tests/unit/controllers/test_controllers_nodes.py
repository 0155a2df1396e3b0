"""Plans about nodes: silence, taints, eviction, pods nobody ends, daemon pods."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steersman.controllers import daemonset_place, node_lifecycle, taint_eviction
from steersman.controllers.daemonset_backoff import FORGET_SECONDS, FailedPods
from steersman.controllers.daemonset_plan import Known, plan, plan_status, spec_of
from steersman.controllers.node_lifecycle import (
    Heard,
    Marks,
    needs_turn,
    plan_labels,
    plan_pods,
    plan_taints,
    plan_unknown,
)
from steersman.controllers.pod_garbage import plan_orphan, plan_stuck, plan_terminated
from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.model.types.podspec import PodSpec
from steersman.model.types.scheduling import Taint, Toleration
from steersman.reconcile.actions import Delete, Patch, Tell
from unit.controllers.views import NOW, daemon_set, node, pod, time

UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"


def said(status: str, kind: str = "Ready") -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status}]}


def test_a_silent_node_is_unknown_after_its_grace_and_a_new_one_after_a_longer_one() -> None:
    spoke = node("a", status=said("True"))
    assert node_lifecycle.deadline(spoke, Heard(100.0, True)) == 150.0
    assert node_lifecycle.deadline(node("a"), Heard(100.0, False)) == 160.0


def test_unknown_replaces_every_condition_of_the_agent() -> None:
    patch = plan_unknown(node("a", status=said("True")), NOW)
    assert patch is not None
    made = {it["type"]: it for it in patch.patch["status"]["conditions"]}  # type: ignore[call-overload]
    assert set(made) == {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}
    assert {it["status"] for it in made.values()} == {"Unknown"}
    assert made["Ready"]["reason"] == "NodeStatusUnknown"
    assert made["DiskPressure"]["reason"] == "NodeStatusNeverUpdated"
    assert made["DiskPressure"]["message"] == "Kubelet never posted node status."
    again = node("a", status=patch.patch["status"])  # type: ignore[call-overload]
    assert plan_unknown(again, NOW + 5) is None


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        ("False", "Ready", {(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")}),
        ("Unknown", "Ready", {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}),
        ("True", "Ready", set()),
        ("True", "MemoryPressure", {("node.kubernetes.io/memory-pressure", "NoSchedule")}),
        ("True", "DiskPressure", {("node.kubernetes.io/disk-pressure", "NoSchedule")}),
        ("False", "DiskPressure", set()),
    ],
)
def test_conditions_call_for_taints(status: str, kind: str, expected: set[tuple[str, str]]) -> None:
    found = node_lifecycle.wanted_taints(node("a", status=said(status, kind)))
    assert set(found) == expected


def test_a_cordon_is_a_taint_too() -> None:
    found = node_lifecycle.wanted_taints(node("a", spec={"unschedulable": True}))
    assert found == [("node.kubernetes.io/unschedulable", "NoSchedule")]


def test_a_node_loses_its_pods_in_its_turn_and_what_it_was_told_of_that_is_put_right_at_once() -> (
    None
):
    away = node("a", status=said("Unknown"))
    assert needs_turn(away)
    patch = plan_taints(away, NOW, empties=False)
    assert patch is not None
    at = time(0)
    schedule = {"key": UNREACHABLE, "effect": "NoSchedule", "timeAdded": at}
    assert patch.patch == {"spec": {"taints": [schedule]}}
    told = {"key": NOT_READY, "effect": "NoExecute", "timeAdded": at}
    otherwise = node("a", spec={"taints": [schedule, told]}, status=said("Unknown"))
    assert not needs_turn(otherwise)
    patch = plan_taints(otherwise, NOW)
    assert patch is not None
    now = {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": at}
    assert patch.patch == {"spec": {"taints": [schedule, now]}}
    stopped = plan_taints(
        node("a", spec={"taints": [schedule, now]}, status=said("Unknown")), NOW, empties=False
    )
    assert stopped is not None
    assert stopped.patch == {"spec": {"taints": [schedule]}}
    assert not needs_turn(node("a", status=said("True")))
    evicts = {"key": "example.com/mine", "effect": "NoExecute"}
    assert needs_turn(node("a", spec={"taints": [evicts]}, status=said("False")))


def test_labels_have_their_beta_names_too() -> None:
    new = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}
    old = {"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "arm64"}
    patch = plan_labels(node("a", metadata={"labels": {**new, "beta.kubernetes.io/os": "plan9"}}))
    assert patch is not None
    assert patch.patch == {"metadata": {"labels": old}}
    assert plan_labels(node("a", metadata={"labels": {**new, **old}})) is None
    assert plan_labels(node("a", metadata={"labels": {}})) is None


def test_taints_of_others_stay_and_ours_go_when_the_node_is_well() -> None:
    theirs = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    ours = {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": time(5)}
    well = node("a", spec={"taints": [theirs, ours]}, status=said("True"))
    patch = plan_taints(well, NOW)
    assert patch is not None
    assert patch.patch == {"spec": {"taints": [theirs]}}
    assert plan_taints(node("a", spec={"taints": [theirs]}, status=said("True")), NOW) is None
    born = node("a", spec={"taints": [{"key": NOT_READY, "effect": "NoSchedule"}]})
    assert plan_taints(born, NOW) is None


def test_ready_pods_of_a_lost_node_are_marked_and_told_once() -> None:
    patch, tell = plan_pods([pod("p", ready=50)], NOW)
    assert isinstance(patch, Patch)
    (condition,) = patch.patch["status"]["conditions"]  # type: ignore[call-overload]
    assert (condition["type"], condition["status"]) == ("Ready", "False")
    assert isinstance(tell, Tell)
    assert (tell.reason, tell.note, tell.type) == (
        "NodeNotReady",
        "Node is not ready",
        "Warning",
    )


def lost(name: str, seconds_ago: float) -> Node:
    ready = {"type": "Ready", "status": "Unknown", "lastTransitionTime": time(seconds_ago)}
    return node(name, status={"conditions": [ready]})


def test_a_pod_that_its_node_calls_ready_all_the_same_is_not_contradicted_again() -> None:
    marks, away = Marks(), lost("a", 60)
    first, second, unready = pod("p", ready=90), pod("q", ready=90), pod("r")
    assert marks.untold(away, [first, unready]) == [first]
    assert marks.untold(away, [first]) == [first], "what was not written is tried again"
    marks.tell(away, [first])
    assert marks.untold(away, [first, second]) == [second]
    assert marks.untold(lost("b", 60), [second]) == [second], "each node has its own"
    assert marks.untold(away, []) == []
    assert marks.untold(away, [first]) == [first], "one that is gone is forgotten"
    marks.tell(away, [first])
    assert marks.untold(lost("a", 5), [first]) == [first], "the node was back meanwhile"
    marks.tell(lost("a", 5), [first])
    marks.forget("a")
    assert marks.untold(lost("a", 5), [first]) == [first]


def tolerating(*tolerations: Toleration) -> Pod:
    found = pod("p")
    return msgspec.structs.replace(
        found, spec=msgspec.structs.replace(found.spec, tolerations=tolerations)
    )


def taint(key: str = "k", seconds_ago: float = 10) -> Taint:
    return msgspec.convert(
        {"key": key, "effect": "NoExecute", "timeAdded": time(seconds_ago)}, Taint
    )


def bearing(key: str = "k", seconds: int | None = None) -> Toleration:
    return Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=seconds)


def test_a_pod_goes_at_once_in_time_or_never() -> None:
    due = taint_eviction.due
    assert due(tolerating(), [taint()], NOW) == NOW
    assert due(tolerating(bearing("other")), [taint()], NOW) == NOW
    assert due(tolerating(bearing()), [taint()], NOW) is None
    assert due(tolerating(bearing(seconds=300)), [taint()], NOW) == NOW + 290
    assert due(tolerating(bearing(seconds=0)), [taint()], NOW) == NOW - 10
    two = tolerating(bearing(seconds=300), bearing("j", 60))
    assert due(two, [taint(), taint("j")], NOW) == NOW + 50
    assert due(two, [taint(), taint("x")], NOW) == NOW
    plain = Taint(key="k", effect="NoExecute")  # as `kubectl taint` sets it: without a time
    assert due(tolerating(bearing(seconds=60)), [plain], NOW) == NOW + 60
    assert due(tolerating(bearing(seconds=60)), [plain], NOW, NOW - 50) == NOW + 10
    assert due(tolerating(bearing(seconds=60)), [taint()], NOW, NOW - 50) == NOW + 50


def test_tolerations_match_by_key_effect_and_value() -> None:
    one = Taint(key="k", value="v", effect="NoExecute")
    assert taint_eviction.bears(Toleration(operator="Exists"), one)
    assert taint_eviction.bears(Toleration(key="k", value="v"), one)
    assert not taint_eviction.bears(Toleration(key="k", value="w"), one)
    assert not taint_eviction.bears(
        Toleration(key="k", operator="Exists", effect="NoSchedule"), one
    )


def test_an_eviction_says_why_then_deletes_the_very_pod() -> None:
    tell, patch, delete = taint_eviction.plan(pod("p"), NOW)
    assert isinstance(tell, Tell)
    assert tell.note == "Marking for deletion Pod default/p"
    assert isinstance(patch, Patch)
    made = patch.patch["status"]["conditions"][-1]  # type: ignore[call-overload]
    assert (made["type"], made["reason"]) == ("DisruptionTarget", "DeletionByTaintManager")
    assert isinstance(delete, Delete)
    assert delete.uid == "uid-p"


def test_a_pod_of_a_missing_node_fails_and_goes_at_once() -> None:
    patch, delete = plan_orphan(pod("p"), NOW)
    assert isinstance(patch, Patch)
    assert patch.patch["status"]["phase"] == "Failed"  # type: ignore[call-overload]
    made = patch.patch["status"]["conditions"][-1]  # type: ignore[call-overload]
    assert made["message"] == "PodGC: node no longer exists"
    assert isinstance(delete, Delete)
    assert delete.grace_seconds == 0


def test_only_pods_that_nobody_will_end_are_helped_along() -> None:
    assert plan_stuck(pod("p"), None, NOW) == []
    assert plan_stuck(pod("p", deleted=True), node("a", status=said("True")), NOW) == []
    assert plan_stuck(pod("p", deleted=True, node=""), None, NOW) != []
    out = {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}
    ending = pod("p", deleted=True)
    assert plan_stuck(ending, node("a", spec=out, status=said("False")), NOW) != []
    assert plan_stuck(ending, node("a", spec=out, status=said("True")), NOW) == []


def test_the_oldest_terminated_pods_above_the_number_go() -> None:
    found = [pod(f"p{n}", phase="Succeeded", born=n) for n in (1, 30, 20)]
    (delete,) = plan_terminated(found, 2, NOW)
    assert isinstance(delete, Delete)
    assert delete.ref.name == "p30"
    assert plan_terminated(found, 3, NOW) == []


def daemons(nodes: list[Any], by_node: dict[str, list[Pod]], **spec: Any) -> Known:
    return Known(daemon_set(**spec), nodes, by_node, "now", NOW)


def daemon(name: str, text: str = "now", **fields: Any) -> Pod:
    return pod(name, labels={"app": "web", "controller-revision-hash": text}, **fields)


def test_a_daemon_pod_is_made_for_its_node_and_bears_what_befalls_nodes() -> None:
    create = daemonset_place.new_pod(daemon_set(), "node-7", "abc")
    spec = create.document["spec"]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    expression = {"key": "metadata.name", "operator": "In", "values": ["node-7"]}
    assert terms == {"nodeSelectorTerms": [{"matchFields": [expression]}]}
    keys = {(it["key"].partition("/")[2], it["effect"]) for it in spec["tolerations"]}
    assert keys == {
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    }
    assert create.document["metadata"]["labels"]["controller-revision-hash"] == "abc"
    unbound = msgspec.convert({"spec": spec}, Pod)
    assert daemonset_place.node_of(unbound) == "node-7"
    assert daemonset_place.node_of(pod("p")) == "node-1"


def test_nodes_are_eligible_by_taints_selector_and_affinity() -> None:
    spec = spec_of(daemon_set())
    assert daemonset_place.judge(spec, node("a")) == (True, True)
    for effect, stays in (("NoSchedule", True), ("NoExecute", False)):
        tainted = node("a", spec={"taints": [{"key": "x", "effect": effect}]})
        assert daemonset_place.judge(spec, tainted) == (False, stays)
    picky = PodSpec(node_selector={"disk": "ssd"})
    assert daemonset_place.judge(picky, node("a")) == (False, False)
    assert daemonset_place.judge(picky, node("a", metadata={"labels": {"disk": "ssd"}}))[0]


def requiring(*terms: Any) -> Any:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": required}}


def test_one_of_the_required_terms_must_hold_and_an_empty_one_never_does() -> None:
    here = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
    fast = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    plain, good = node("a"), node("b", metadata={"labels": {"disk": "ssd"}})
    for terms, expected in (
        ([here], (True, False)),
        ([fast], (False, True)),
        ([here, fast], (True, True)),
        ([{**here, **fast}], (False, False)),
        ([{}], (False, False)),
    ):
        spec = msgspec.convert(requiring(*terms), PodSpec)
        found = tuple(daemonset_place.judge(spec, it)[0] for it in (plain, good))
        assert found == expected


def test_a_pod_is_for_the_one_node_that_its_affinity_names() -> None:
    def field(operator: str, *values: str) -> Any:
        return {"matchFields": [{"key": "metadata.name", "operator": operator, "values": values}]}

    for term, expected in (
        (field("In", "a"), "a"),
        (field("In", "a", "b"), ""),
        (field("NotIn", "a"), ""),
    ):
        assert daemonset_place.node_of(pod("p", node="", spec=requiring(term))) == expected


def test_every_eligible_node_gets_one_pod_and_doubles_and_strays_go() -> None:
    tainted = node("c", spec={"taints": [{"key": "x", "effect": "NoExecute"}]})
    nodes = [node("a"), node("b"), tainted]
    doubles = [daemon("young", born=5, ready=3), daemon("aged", born=50, ready=40)]
    steps = plan(daemons(nodes, {"a": doubles, "c": [daemon("stray")]}))
    assert steps.create == ["b"]
    assert [it.metadata.name for it in steps.delete] == ["young", "stray"]


def test_of_two_pods_for_a_node_the_one_that_is_bound_stays() -> None:
    """However young it is: the other may never get there."""
    bound, waiting = daemon("bound", born=5), daemon("waiting", born=50, node="")
    for order in ([bound, waiting], [waiting, bound]):
        steps = plan(daemons([node("a")], {"a": order}))
        assert [it.metadata.name for it in steps.delete] == ["waiting"]


def test_failed_daemon_pods_are_told_and_removed() -> None:
    steps = plan(daemons([node("a")], {"a": [daemon("bad", phase="Failed", node="a")]}))
    assert [it.metadata.name for it in steps.delete] == ["bad"]
    (tell,) = steps.tell
    assert tell.reason == "FailedDaemonPod"
    assert tell.note == "Found failed daemon pod default/bad on node a, will try to kill it"
    assert steps.failed == ["a"]


def test_a_failed_daemon_pod_stays_while_its_node_waits_and_no_other_comes() -> None:
    bad = daemon("bad", phase="Failed", node="a")
    known = msgspec.structs.replace(daemons([node("a")], {"a": [bad]}), held={"a": 2.0})
    steps = plan(known)
    assert (steps.create, steps.delete, steps.tell, steps.failed) == ([], [], [], [])
    twice = [bad, daemon("worse", phase="Failed", node="a")]
    steps = plan(daemons([node("a")], {"a": twice}))
    assert [it.metadata.name for it in steps.delete] == ["bad"]


def test_failed_daemon_pods_stay_for_twice_as_long_each_time_and_are_forgotten_in_the_end() -> None:
    failed, owner, now = FailedPods(), daemon_set(), NOW
    waits = []
    for _ in range(12):
        assert failed.wait(owner, "a", now) == 0
        failed.note(owner, "a", now)
        waits.append(failed.wait(owner, "a", now))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert failed.wait(owner, "b", now) == 0
    later = now + FORGET_SECONDS + 1
    failed.note(owner, "b", later)
    assert len(failed) == 1
    assert failed.wait(owner, "a", later) == 0
    changed = msgspec.structs.replace(owner.status, observed_generation=7)
    assert failed.wait(msgspec.structs.replace(owner, status=changed), "b", later) == 0


def test_an_ending_pod_keeps_its_place_until_it_is_gone() -> None:
    steps = plan(daemons([node("a")], {"a": [daemon("ending", deleted=True)]}))
    assert steps.create == []


def updating(ready: dict[str, bool], **rolling: Any) -> Any:
    nodes = [node(name) for name in ready]
    by_node = {
        name: [daemon(f"old-{name}", "before", ready=50 if ok else None)]
        for name, ok in ready.items()
    }
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return plan(daemons(nodes, by_node, updateStrategy=strategy))


def test_an_update_takes_as_many_as_may_be_missing_and_all_that_are_broken() -> None:
    three = {"a": True, "b": True, "c": True}
    assert len(updating(three, maxUnavailable=1, maxSurge=0).delete) == 1
    assert len(updating(three, maxUnavailable="50%", maxSurge=0).delete) == 2
    steps = updating({"a": False, "b": True, "c": False}, maxUnavailable=1, maxSurge=0)
    assert {it.metadata.name for it in steps.delete} == {"old-a", "old-c"}


def test_an_update_with_surge_makes_the_new_pod_first() -> None:
    steps = updating({"a": True, "b": True}, maxUnavailable=0, maxSurge=1)
    assert (steps.create, steps.delete) == (["a"], [])
    pair = [daemon("old", "before", ready=50), daemon("new", ready=5)]
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    steps = plan(daemons([node("a")], {"a": pair}, updateStrategy=strategy))
    assert [it.metadata.name for it in steps.delete] == ["old"]


SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_during_a_surge_a_node_keeps_one_old_pod_and_one_new() -> None:
    """Of several the oldest; the old one goes when the new one is available."""
    four = [daemon("old-2", "before", born=80, ready=9), daemon("old-1", "before", born=90),
            daemon("new-2", born=10), daemon("new-1", born=20)]  # fmt: skip
    steps = plan(daemons([node("a")], {"a": four}, updateStrategy=SURGE))
    assert {it.metadata.name for it in steps.delete} == {"old-2", "new-2"}
    ready = [daemon("new", ready=3), daemon("old", "before")]
    waits = plan(daemons([node("a")], {"a": ready}, updateStrategy=SURGE, minReadySeconds=10))
    assert (waits.create, waits.delete) == ([], [])
    steps = plan(daemons([node("a")], {"a": ready}, updateStrategy=SURGE, minReadySeconds=2))
    assert [it.metadata.name for it in steps.delete] == ["old"]


def test_nodes_that_surge_already_count_and_broken_old_pods_wait_for_nobody() -> None:
    by_node = {
        "a": [daemon("old-a", "before", ready=50), daemon("new-a")],
        "b": [daemon("old-b", "before", ready=50)],
        "c": [daemon("old-c", "before")],
    }
    nodes = [node(name) for name in by_node]
    assert plan(daemons(nodes, by_node, updateStrategy=SURGE)).create == ["c"]


def test_new_pods_that_are_not_available_count_as_missing() -> None:
    by_node = {"a": [daemon("new-a")], "b": [daemon("old-b", "before", ready=50)]}
    nodes = [node(name) for name in by_node]
    for most, gone in ((1, []), (2, ["old-b"])):
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most}}
        steps = plan(daemons(nodes, by_node, updateStrategy=strategy))
        assert [it.metadata.name for it in steps.delete] == gone


def test_a_pod_that_waits_for_a_node_that_is_gone_goes() -> None:
    waiting = [daemon("waiting", node=""), daemon("bound", node="gone"),
               daemon("ending", node="", deleted=True)]  # fmt: skip
    steps = plan(daemons([], {"gone": waiting}))
    assert [it.metadata.name for it in steps.delete] == ["waiting"]


def test_succeeded_daemon_pods_are_told_as_such() -> None:
    steps = plan(daemons([node("a")], {"a": [daemon("done", phase="Succeeded", node="a")]}))
    (tell,) = steps.tell
    assert (tell.reason, tell.type) == ("SucceededDaemonPod", "Normal")
    assert [it.metadata.name for it in steps.delete] == ["done"]


def test_on_delete_leaves_old_pods_alone() -> None:
    old = [daemon("old", "before", ready=50)]
    steps = plan(daemons([node("a")], {"a": old}, updateStrategy={"type": "OnDelete"}))
    assert (steps.create, steps.delete) == ([], [])


def test_the_status_counts_nodes() -> None:
    tainted = node("c", spec={"taints": [{"key": "x", "effect": "NoSchedule"}]})
    nodes = [node("a"), node("b"), tainted, node("d")]
    by_node = {
        "a": [daemon("one", ready=50)],
        "b": [daemon("two", "before")],
        "c": [daemon("three", ready=50)],
    }
    patch = plan_status(daemons(nodes, by_node))
    assert patch is not None
    assert patch.patch["status"] == {  # type: ignore[call-overload]
        "currentNumberScheduled": 2,
        "numberMisscheduled": 1,
        "desiredNumberScheduled": 3,
        "numberReady": 1,
        "observedGeneration": 1,
        "updatedNumberScheduled": 1,
        "numberAvailable": 1,
        "numberUnavailable": 2,
    }
