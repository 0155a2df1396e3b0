"""Deployment plans: bounds, scaling, revisions, conditions; a model run that must stay inside."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.controllers import deployment_bounds as bounds
from steersman.controllers import deployment_revision as revisions
from steersman.controllers import deployment_rollout as rollout
from steersman.controllers.deployment import DeploymentController, Known, plan
from steersman.model.kinds.deployment import DEPLOYMENT, Deployment
from steersman.reconcile.actions import Create, Delete, Patch, Tell
from unit.controllers.views import LABELS, NOW, TEMPLATE, deployment, owned_by, pod, replica_set

OLD = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "web", "image": "old"}]}}


def sizes(decided: rollout.Sizes) -> dict[str, int]:
    return {found.metadata.name: size for found, size in decided}


def annotated(replicas: int, most: int, number: int = 1) -> dict[str, Any]:
    return {
        "annotations": {
            revisions.DESIRED: str(replicas),
            revisions.MOST: str(most),
            revisions.REVISION: str(number),
        }
    }


@pytest.mark.parametrize(
    ("amount", "total", "up", "expected"),
    [(3, 10, True, 3), ("25%", 10, True, 3), ("25%", 10, False, 2), ("0%", 10, True, 0)],
)
def test_percentages_round_up_for_surge_and_down_for_missing(
    amount: Any, total: int, up: bool, expected: int
) -> None:
    assert bounds.scaled(amount, total, up=up) == expected


def test_bounds_that_would_never_move_let_one_pod_be_missing() -> None:
    assert bounds.fence(deployment(1, surge=0, missing="25%")) == (0, 1)
    assert bounds.fence(deployment(4, surge="25%", missing="25%")) == (1, 1)
    assert bounds.max_unavailable(deployment(0, surge=0, missing=1)) == 0
    assert bounds.max_unavailable(deployment(1, surge=0, missing=5)) == 1
    recreate = deployment(3, spec={"strategy": {"type": "Recreate"}})
    assert (bounds.max_surge(recreate), bounds.max_unavailable(recreate)) == (0, 0)


def test_the_new_set_grows_by_the_room_under_the_surge() -> None:
    new, old = replica_set("new", 1), replica_set("old", 3, template=OLD)
    wanted = deployment(3, surge=2)
    assert sizes(rollout.decide_rolling(wanted, new, [old])) == {"new": 2}


def test_pods_that_a_shrunk_set_still_has_take_room() -> None:
    new = replica_set("new", 1)
    old = replica_set("old", 2, template=OLD, status={"replicas": 4})
    assert rollout.size_of_new(deployment(3, surge=2), [old, new], new) == 1
    gone = replica_set("old", 2, template=OLD)
    assert rollout.size_of_new(deployment(3, surge=2), [gone, new], new) == 3


def test_nothing_moves_while_a_set_has_not_seen_its_size() -> None:
    new, old = replica_set("new", 1), replica_set("old", 3, template=OLD)
    late = replica_set("old", 3, template=OLD, metadata={"generation": 2})
    wanted = deployment(3, surge=2, missing=1)
    assert rollout.decide_rolling(wanted, new, [late]) == []
    assert rollout.decide_rolling(wanted, new, [old]) != []


def test_a_new_set_above_the_wanted_size_shrinks_first() -> None:
    new, old = replica_set("new", 5), replica_set("old", 1, template=OLD)
    assert sizes(rollout.decide_rolling(deployment(3), new, [old])) == {"new": 3}


def test_old_pods_go_as_far_as_the_minimum_allows() -> None:
    old = replica_set("old", 3, template=OLD)
    new = replica_set("new", 1, status={"availableReplicas": 0})
    assert rollout.decide_rolling(deployment(3, surge=1), new, [old]) == []
    new = replica_set("new", 1)
    assert sizes(rollout.decide_rolling(deployment(3, surge=1), new, [old])) == {"old": 2}
    # four pods of which at least one must stay: the new one is available, two old ones may go
    decided = rollout.decide_rolling(deployment(3, surge=1, missing=1), new, [old])
    assert sizes(decided) == {"old": 1}


def test_unhealthy_old_pods_go_first_and_oldest_sets_before_younger_ones() -> None:
    new = replica_set("new", 2, status={"availableReplicas": 1})
    sick = replica_set(
        "sick",
        2,
        template=OLD,
        status={"availableReplicas": 0},
        metadata={"creationTimestamp": "2025-12-31T23:59:59Z"},
    )
    well = replica_set("well", 3, template=OLD)
    decided = rollout.decide_rolling(deployment(5, surge=2, missing=1), new, [sick, well])
    assert sizes(decided) == {"sick": 0}


def test_an_old_set_never_grows_while_more_pods_are_missing_than_may_be() -> None:
    # four of ten wanted pods exist in the old set, the new one has none that is available
    old = replica_set("old", 4, template=OLD, status={"availableReplicas": 1})
    new = replica_set("new", 7, status={"availableReplicas": 0})
    assert rollout.decide_rolling(deployment(10, surge=1, missing=0), new, [old]) == []


def test_available_pods_above_a_sets_size_are_not_counted() -> None:
    old = replica_set("old", 2, template=OLD, status={"replicas": 4, "availableReplicas": 4})
    assert bounds.available([old]) == 2


def test_scaling_one_active_set_is_direct() -> None:
    one = replica_set("one", 3)
    assert sizes(rollout.decide_scale(deployment(7), one, [])) == {"one": 7}


def test_scaling_up_waits_for_pods_that_another_set_still_has() -> None:
    one = replica_set("one", 3)
    rest = replica_set("rest", 0, template=OLD, status={"replicas": 2})
    assert sizes(rollout.decide_scale(deployment(7), one, [rest])) == {"one": 3}
    assert sizes(rollout.decide_scale(deployment(2), one, [rest])) == {"one": 2}


def test_scaling_in_the_middle_of_a_rollout_is_shared_by_proportion() -> None:
    # upstream's example: 10 wanted, surge 3, missing 2; then scaled to 15
    new = replica_set("new", 5, metadata=annotated(10, 13))
    old = replica_set("old", 8, template=OLD, metadata=annotated(10, 13))
    decided = rollout.decide_scale(deployment(15, surge=3, missing=2), new, [old])
    assert sizes(decided) == {"old": 11, "new": 7}


def test_scaling_down_in_a_rollout_takes_from_the_larger_and_gives_what_is_left_to_the_first() -> (
    None
):
    new = replica_set("new", 5, metadata=annotated(10, 13))
    old = replica_set("old", 8, template=OLD, metadata=annotated(10, 13))
    decided = sizes(rollout.decide_scale(deployment(5, surge=3, missing=2), new, [old]))
    assert sum(decided.values()) == 8
    assert decided == {"old": 5, "new": 3}


def test_of_sets_alike_in_size_the_newer_grows_first_and_the_older_shrinks_first() -> None:
    early = {**annotated(10, 10), "creationTimestamp": "2026-01-01T00:00:00Z"}
    late = {**annotated(10, 10), "creationTimestamp": "2026-01-02T00:00:00Z"}
    new = replica_set("new", 5, metadata=late)
    old = replica_set("old", 5, template=OLD, metadata=early)
    for wanted, expected in ((15, {"new": 8, "old": 7}), (5, {"new": 3, "old": 2})):
        decided = rollout.decide_scale(deployment(wanted, surge=0, missing=1), new, [old])
        assert sizes(decided) == expected


def test_a_saturated_deployment_ends_its_old_sets() -> None:
    new = replica_set("new", 3, metadata=annotated(3, 4))
    old = replica_set("old", 1, template=OLD, metadata=annotated(3, 4))
    assert sizes(rollout.decide_scale(deployment(3), new, [old])) == {"old": 0}


def test_a_change_of_size_is_told_from_the_notes_on_active_sets() -> None:
    noted = replica_set("one", 3, metadata=annotated(3, 4))
    assert rollout.is_scaling(deployment(5), [noted])
    assert not rollout.is_scaling(deployment(3), [noted])
    idle = replica_set("one", 0, metadata=annotated(3, 4))
    assert not rollout.is_scaling(deployment(5), [idle])


def known(wanted: Any, *sets: Any, pods: Any = (), now: float = NOW) -> Known:
    return Known(wanted, sets, pods, now)


def status_of(actions: Any) -> dict[str, Any]:
    (patch,) = [it for it in actions if isinstance(it, Patch) and it.subresource == "status"]
    status: dict[str, Any] = patch.patch["status"]
    return status


def condition_of(actions: Any, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        it for it in status_of(actions)["conditions"] if it["type"] == kind
    )
    return found


def test_a_first_plan_creates_the_set_tells_and_notes_the_revision() -> None:
    actions = plan(known(deployment(3, surge=1))).actions
    create, tell, patch = actions
    assert isinstance(create, Create)
    document = create.document
    text = document["metadata"]["labels"]["pod-template-hash"]
    assert document["metadata"]["name"] == f"web-{text}"
    assert document["spec"]["selector"]["matchLabels"] == {**LABELS, "pod-template-hash": text}
    labels = document["spec"]["template"]["metadata"]["labels"]
    assert labels == {**LABELS, "pod-template-hash": text}
    assert document["metadata"]["annotations"] == annotated(3, 4)["annotations"]
    assert isinstance(tell, Tell)
    assert tell.reason == "ScalingReplicaSet"
    assert tell.note == f"Scaled up replica set web-{text} from 0 to 3"
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"] == {"annotations": {revisions.REVISION: "1"}}  # type: ignore[call-overload]
    progressing = condition_of(actions, "Progressing")
    assert progressing["reason"] == "NewReplicaSetCreated"
    assert progressing["message"] == f'Created new replica set "web-{text}"'


def test_annotations_are_copied_to_the_set_but_not_those_of_kubectl_and_ours() -> None:
    annotations = {
        "kubernetes.io/change-cause": "because",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        revisions.REVISION: "4",
    }
    wanted = deployment(3, metadata={"annotations": annotations})
    assert revisions.copied(wanted) == {"kubernetes.io/change-cause": "because"}


def test_a_template_that_comes_back_gets_the_next_revision_and_its_history() -> None:
    new = replica_set("new", 0, metadata=annotated(3, 4, 1))
    old = replica_set("old", 3, template=OLD, metadata=annotated(3, 4, 2))
    (patch,) = plan(known(deployment(3), new, old)).actions
    assert isinstance(patch, Patch)
    changed = {revisions.REVISION: "3", revisions.HISTORY: "1"}
    assert patch.patch == {"metadata": {"annotations": changed}}


def test_the_hash_is_stable_safe_and_moved_by_a_collision() -> None:
    text = revisions.template_hash(TEMPLATE, None)
    assert text == revisions.template_hash(dict(reversed(TEMPLATE.items())), None)
    assert set(text) <= set(revisions.SAFE)
    assert text != revisions.template_hash(TEMPLATE, 1)
    assert text != revisions.template_hash(OLD, None)
    assert text == "655f58b69d", "names of sets must not change with a new steersman"


def test_the_oldest_set_with_the_template_is_the_new_one() -> None:
    labelled = {**TEMPLATE, "metadata": {"labels": {**LABELS, "pod-template-hash": "x"}}}
    young = replica_set("young", 0, template=labelled)
    aged = replica_set(
        "aged", 0, template=labelled, metadata={"creationTimestamp": "2025-12-31T00:00:00Z"}
    )
    found = revisions.find_new(deployment(3), [young, aged, replica_set("x", 0, template=OLD)])
    assert found is aged


def test_old_empty_sets_above_the_limit_go_oldest_revision_first() -> None:
    wanted = deployment(3, spec={"revisionHistoryLimit": 1})
    empty = [replica_set(f"r{n}", 0, template=OLD, metadata=annotated(3, 4, n)) for n in (10, 9, 2)]
    assert [it.ref.name for it in revisions.plan_cleanup(wanted, empty)] == ["r2", "r9"]
    busy = replica_set("r1", 0, status={"replicas": 1}, metadata=annotated(3, 4, 1))
    assert [it.ref.name for it in revisions.plan_cleanup(wanted, [*empty, busy])] == ["r2", "r9"]
    keep = deployment(3, spec={"revisionHistoryLimit": 2**31 - 1})
    assert revisions.plan_cleanup(keep, empty) == []


def test_recreate_waits_for_the_last_old_pod() -> None:
    wanted = deployment(3, spec={"strategy": {"type": "Recreate"}})
    old = replica_set("old", 3, template=OLD, metadata=annotated(3, 3))
    shrink = plan(known(wanted, old)).actions
    assert isinstance(shrink[0], Patch)
    assert shrink[0].patch["spec"] == {"replicas": 0}  # type: ignore[call-overload]
    empty = replica_set("old", 0, template=OLD, metadata=annotated(3, 3))
    ending = pod("a", deleted=True, ownerReferences=owned_by(empty, "ReplicaSet"))
    waiting = plan(known(wanted, empty, pods=[ending])).actions
    assert not any(isinstance(it, Create) for it in waiting)
    (create, *_) = plan(known(wanted, empty)).actions
    assert isinstance(create, Create)
    assert create.document["spec"]["replicas"] == 3


def test_a_rollout_without_progress_is_over_after_its_deadline() -> None:
    def stuck(seconds_ago: int) -> Any:
        when = f"2025-12-31T23:{59 - seconds_ago // 60}:00Z"
        condition = {
            "type": "Progressing",
            "status": "True",
            "reason": "ReplicaSetUpdated",
            "message": "x",
            "lastUpdateTime": when,
            "lastTransitionTime": when,
        }
        status = {"replicas": 3, "updatedReplicas": 3, "conditions": [condition]}
        return deployment(
            3, status=status, spec={"progressDeadlineSeconds": 300}, metadata=annotated(3, 4)
        )

    new = replica_set(
        "new", 3, status={"availableReplicas": 0, "readyReplicas": 0}, metadata=annotated(3, 4)
    )
    early = plan(known(stuck(180), new))
    assert early.again == pytest.approx(300 - 240 + 1)
    late = condition_of(plan(known(stuck(600), new)).actions, "Progressing")
    assert (late["status"], late["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert late["message"] == 'ReplicaSet "new" has timed out progressing.'


def test_availability_is_told_by_the_minimum() -> None:
    new = replica_set("new", 3, status={"availableReplicas": 2}, metadata=annotated(3, 4))
    found = condition_of(plan(known(deployment(3, missing=0), new)).actions, "Available")
    assert (found["status"], found["reason"]) == ("False", "MinimumReplicasUnavailable")
    found = condition_of(plan(known(deployment(3, missing=1), new)).actions, "Available")
    assert (found["status"], found["reason"]) == ("True", "MinimumReplicasAvailable")


def test_a_failure_of_a_set_is_told_by_the_deployment() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "q"}
    new = replica_set("new", 3, status={"conditions": [failure]}, metadata=annotated(3, 4))
    found = condition_of(plan(known(deployment(3), new)).actions, "ReplicaFailure")
    assert (found["status"], found["reason"], found["message"]) == ("True", "FailedCreate", "q")


def test_an_empty_selector_is_refused_with_a_warning() -> None:
    wanted = deployment(3, spec={"selector": {}})
    tell, patch = plan(known(wanted)).actions
    assert isinstance(tell, Tell)
    assert (tell.type, tell.reason) == ("Warning", "SelectingAll")
    assert isinstance(patch, Patch)
    assert patch.patch == {"status": {"observedGeneration": 1}}


def test_a_finished_deployment_plans_nothing() -> None:
    new = replica_set("new", 3, metadata=annotated(3, 4), status={"terminatingReplicas": 0})
    actions = plan(known(deployment(3, metadata=annotated(3, 4)), new)).actions
    told = status_of(actions)["conditions"]
    counts = {
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "observedGeneration": 1,
        "terminatingReplicas": 0,
    }
    assert {name: n for name, n in status_of(actions).items() if name != "conditions"} == counts
    done = deployment(3, status={**counts, "conditions": told}, metadata=annotated(3, 4))
    assert plan(known(done, new)).actions == ()


class Model:
    """Sets that obey at once or late; what a rollout does to them must stay within bounds."""

    def __init__(self, wanted: Any, sizes: dict[str, int]) -> None:
        self.wanted = wanted
        self.sizes = dict(sizes)
        self.pods = dict(sizes)
        self.available = dict(sizes)

    def sets(self) -> list[Any]:
        return [
            replica_set(
                name,
                size,
                template=TEMPLATE if name == "new" else OLD,
                metadata=annotated(self.wanted.spec.replicas, 99, 1),
                status={"replicas": self.pods[name], "availableReplicas": self.available[name]},
            )
            for name, size in self.sizes.items()
        ]

    def step(self) -> None:
        found = self.sets()
        new = next(it for it in found if it.metadata.name == "new")
        old = [it for it in found if it is not new]
        for changed, size in rollout.decide_rolling(self.wanted, new, old):
            self.sizes[changed.metadata.name] = size

    def obey(self, name: str, healthy: bool) -> None:
        self.pods[name] = self.sizes[name]
        self.available[name] = min(self.available[name], self.pods[name])
        if healthy:
            self.available[name] = self.pods[name]


@given(
    replicas=st.integers(1, 9),
    surge=st.one_of(st.integers(0, 4), st.sampled_from(["25%", "50%", "100%"])),
    missing=st.one_of(st.integers(0, 4), st.sampled_from(["25%", "50%"])),
    moves=st.lists(st.tuples(st.sampled_from(["step", "new", "old"]), st.booleans()), max_size=40),
)
def test_a_rollout_stays_within_its_bounds_whatever_the_order_and_ends(
    replicas: int, surge: Any, missing: Any, moves: list[tuple[str, bool]]
) -> None:
    wanted = deployment(replicas, surge=surge, missing=missing)
    model = Model(wanted, {"new": 0, "old": replicas})
    most = replicas + bounds.max_surge(wanted)
    least = replicas - bounds.max_unavailable(wanted)
    ending = [("step", True), ("new", True), ("old", True)] * (4 * replicas + 4)
    for what, healthy in [*moves, *ending]:
        if what == "step":
            model.step()
        else:
            model.obey(what, healthy)
        assert sum(model.pods.values()) <= most
        assert sum(model.available.values()) >= least
    assert model.pods == {"new": replicas, "old": 0}


def test_a_deletion_is_for_the_very_set() -> None:
    wanted = deployment(3, spec={"revisionHistoryLimit": 0})
    (delete,) = revisions.plan_cleanup(wanted, [replica_set("gone", 0, template=OLD)])
    assert isinstance(delete, Delete)
    assert (delete.uid, delete.propagation) == ("uid-gone", "Background")


@pytest.mark.parametrize(
    "changed",
    [
        {"uid": "another"},
        {"generation": 9},
        {"annotations": {"a": "b"}},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
    ],
)
def test_a_deployment_is_planned_anew_for_what_a_plan_is_made_from(changed: Any) -> None:
    to = next(it.to for it in DeploymentController.watches if it.kind is DEPLOYMENT)
    before: Deployment = deployment(1)
    itself = [DEPLOYMENT.ref(*before.key)]

    def heard(old: Deployment | None, new: Deployment | None) -> list[Any]:
        return list(to(None, old, new))  # type: ignore[arg-type]

    assert heard(None, before) == itself
    assert heard(before, deployment(1, metadata={"labels": {"a": "b"}})) == []
    assert heard(before, deployment(1, metadata=changed)) == itself
    assert heard(before, deployment(1, status={"observedGeneration": 7})) == itself
    assert heard(before, None) == []
