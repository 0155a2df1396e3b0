"""ReplicaSet plans: how many pods come and go, which go first, what the status says."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from steersman.controllers import ownership, replicaset
from steersman.controllers.replicaset import BURST, choose, plan, plan_status
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.replicaset import REPLICASET
from unit.controllers.views import LABELS, NOW, owned_by, pod, replica_set


def names(pods: Iterable[Pod]) -> list[str]:
    return [found.metadata.name for found in pods]


def first(*pods: object) -> str:
    """Returns the name of the pod that goes first of two, whatever their order."""
    chosen = {choose(list(order), [], 1, NOW)[0].metadata.name for order in (pods, pods[::-1])}
    assert len(chosen) == 1
    return chosen.pop()


def test_missing_pods_are_created_from_the_template_and_belong_to_the_set() -> None:
    owner = replica_set("web", 3)
    decided = plan(owner, [pod("a")], [], NOW)
    assert decided.count == 2
    assert decided.create is not None
    document = decided.create.document
    assert document["metadata"]["generateName"] == "web-"
    assert document["metadata"]["labels"] == LABELS
    assert document["spec"] == {"containers": [{"name": "web", "image": "a"}]}
    (reference,) = document["metadata"]["ownerReferences"]
    assert reference == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "web",
        "uid": "uid-web",
        "controller": True,
        "blockOwnerDeletion": True,
    }


def test_ended_and_ending_pods_do_not_count() -> None:
    present = [pod("a", phase="Failed"), pod("b", phase="Succeeded"), pod("c", deleted=True)]
    assert plan(replica_set("web", 2), present, [], NOW).count == 2


def test_at_most_a_burst_is_created_or_deleted_at_once() -> None:
    assert plan(replica_set("web", 2000), [], [], NOW).count == BURST
    present = [pod(f"p{number}") for number in range(700)]
    assert len(plan(replica_set("web", 0), present, [], NOW).deletes) == BURST


def test_a_set_that_is_being_deleted_does_nothing() -> None:
    owner = replica_set("web", 3, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert plan(owner, [pod("a")], [], NOW) == replicaset.Plan()


def test_too_many_pods_go() -> None:
    assert names(plan(replica_set("web", 0), [pod("a")], [], NOW).deletes) == ["a"]


def test_unassigned_pods_go_before_assigned_ones() -> None:
    assert first(pod("placed", ready=None), pod("loose", node="", ready=None)) == "loose"


def test_pending_pods_go_before_running_ones() -> None:
    assert first(pod("running"), pod("pending", phase="Pending")) == "pending"
    assert first(pod("unknown", phase="Unknown"), pod("pending", phase="Pending")) == "pending"
    assert first(pod("running"), pod("unknown", phase="Unknown")) == "unknown"


def test_unready_pods_go_before_ready_ones() -> None:
    assert first(pod("ready", ready=5), pod("unready")) == "unready"


def test_cheaper_pods_go_first_and_nonsense_costs_nothing() -> None:
    def priced(name: str, cost: str) -> object:
        annotations = {"controller.kubernetes.io/pod-deletion-cost": cost}
        return pod(name, ready=5, annotations=annotations)

    assert first(priced("dear", "10"), priced("cheap", "-3")) == "cheap"
    assert first(priced("dear", "1"), priced("odd", "much")) == "odd"
    assert first(priced("dear", "1"), priced("huge", "99999999999")) == "huge"


def test_pods_on_crowded_nodes_go_first() -> None:
    pods = [pod("a", ready=5), pod("b", ready=5, node="node-2"), pod("c", ready=5, node="node-2")]
    related = [*pods, pod("d", deleted=True), pod("e", deleted=True)]
    (chosen,) = choose(pods, related, 1, NOW)
    assert chosen.spec.node_name == "node-2"


def test_newly_ready_pods_go_first_by_the_order_of_their_ages() -> None:
    assert first(pod("old", ready=5000), pod("young", ready=5)) == "young"
    assert first(pod("b", ready=5.1), pod("a", ready=5)) == "a"  # equal ages: by uid


def test_pods_with_a_container_that_restarted_more_often_go_first() -> None:
    def restarted(name: str, *counts: int) -> object:
        states = [{"name": f"c{at}", "restartCount": count} for at, count in enumerate(counts)]
        return pod(name, ready=5, status={"containerStatuses": states})

    assert first(restarted("calm", 3, 3), restarted("restless", 0, 4)) == "restless"
    assert first(restarted("calm"), restarted("restless", 1)) == "restless"


def test_newer_pods_go_first() -> None:
    assert first(pod("old", ready=5, born=9000), pod("young", ready=5, born=10)) == "young"


def test_the_status_counts_and_names_the_generation() -> None:
    owner = replica_set("web", 3, status={"replicas": 9})
    present = [pod("a", ready=50), pod("b"), pod("c", deleted=True), pod("d", phase="Failed")]
    patch = plan_status(owner, present, None, NOW)
    assert patch is not None
    assert patch.subresource == "status"
    assert (patch.uid, patch.revision) == ("uid-web", 7)
    status = patch.patch["status"]  # type: ignore[call-overload]
    assert status == {
        "replicas": 2,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
    }


def test_a_right_status_is_not_written_again() -> None:
    owner = replica_set("web", 1, status={"fullyLabeledReplicas": 1, "terminatingReplicas": 0})
    assert plan_status(owner, [pod("a", ready=50)], None, NOW) is None
    newer = replica_set(
        "web",
        1,
        metadata={"generation": 2},
        status={"fullyLabeledReplicas": 1, "terminatingReplicas": 0},
    )
    patch = plan_status(newer, [pod("a", ready=50)], None, NOW)
    assert patch is not None
    assert patch.patch == {"status": {"observedGeneration": 2}}


def test_a_failure_is_a_condition_until_it_is_over() -> None:
    owner = replica_set("web", 1)
    failure = ("FailedCreate", "quota")
    patch = plan_status(owner, [], failure, NOW)
    assert patch is not None
    (made,) = patch.patch["status"]["conditions"]  # type: ignore[call-overload]
    assert (made["type"], made["status"]) == ("ReplicaFailure", "True")
    assert (made["reason"], made["message"]) == failure
    failed = replica_set("web", 1, status={"conditions": [made]})
    patch = plan_status(failed, [pod("a", ready=50)], None, NOW)
    assert patch is not None
    assert patch.patch["status"]["conditions"] is None  # type: ignore[call-overload]


def test_a_ready_pod_is_available_only_after_its_time_and_the_set_looks_again_then() -> None:
    owner = replica_set("web", 1, spec={"minReadySeconds": 30})
    young = pod("a", ready=10)
    patch = plan_status(owner, [young], None, NOW)
    assert patch is not None
    assert patch.patch["status"]["availableReplicas"] is None  # type: ignore[call-overload]
    assert replicaset.again(owner, [young], NOW) == 20
    assert replicaset.again(owner, [pod("a", ready=40)], NOW) is None


def test_claims_adopt_orphans_release_strangers_and_leave_others_alone() -> None:
    owner, other = replica_set("web", 3), replica_set("other", 1)
    mine = pod("mine", ownerReferences=owned_by(owner, "ReplicaSet"))
    stray = pod("stray", ownerReferences=owned_by(owner, "ReplicaSet"), labels={"app": "x"})
    theirs = pod("theirs", ownerReferences=owned_by(other, "ReplicaSet"))
    orphan, ending = pod("orphan"), pod("ending", deleted=True)
    matches = ownership.selector_of(owner.spec.selector)
    candidates = [mine, stray, theirs, orphan, ending, pod("alien", labels={})]
    kept, adopt, release = ownership.claim(owner, REPLICASET, matches, candidates)
    assert names(kept) == ["mine"]
    assert [patch.ref.name for patch in adopt] == ["orphan"]
    assert [patch.ref.name for patch in release] == ["stray"]
    assert adopt[0].uid == "uid-orphan"


def test_an_owner_on_its_way_out_adopts_and_releases_nothing() -> None:
    owner = replica_set("web", 3, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    stray = pod("stray", ownerReferences=owned_by(owner, "ReplicaSet"), labels={"app": "x"})
    mine = pod("mine", ownerReferences=owned_by(owner, "ReplicaSet"))
    matches = ownership.selector_of(owner.spec.selector)
    kept, adopt, release = ownership.claim(owner, REPLICASET, matches, [pod("orphan"), stray, mine])
    assert (names(kept), adopt, release) == (["mine"], [], [])


@given(st.integers(0, 12), st.lists(st.booleans(), max_size=12))
def test_a_plan_never_overshoots_and_never_kills_ready_pods_before_unready_ones(
    wanted: int, readiness: list[bool]
) -> None:
    present = [pod(f"p{at}", ready=5 if ok else None) for at, ok in enumerate(readiness)]
    decided = plan(replica_set("web", wanted), present, [], NOW)
    assert len(present) + decided.count - len(decided.deletes) == wanted
    assert not (decided.count and decided.deletes)
    gone = set(names(decided.deletes))
    lost = sum(ok for at, ok in enumerate(readiness) if f"p{at}" in gone)
    assert lost == max(0, len(gone) - readiness.count(False))
