"""StatefulSet plans: which pod comes, goes or waits next, its identity, claims and the status."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers import revisions, statefulset_plan, statefulset_pod
from steersman.controllers.statefulset_plan import Known, Revision, Steps, plan, plan_status
from steersman.model.kinds.controllerrevision import ControllerRevision
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.statefulset import StatefulSet
from steersman.model.view import Object
from steersman.reconcile.actions import Patch, Tell
from unit.controllers.views import LABELS, NOW, TEMPLATE, decoded, pod, time

OLD, NEW = (
    Revision("db-old", {"spec": {"containers": [{"name": "old"}]}}),
    Revision("db-new", TEMPLATE),
)
DATA = {"metadata": {"name": "data", "labels": {"tier": "disk"}}, "spec": {"accessModes": ["x"]}}


def stateful_set(
    replicas: int = 3, *, status: Any = None, metadata: Any = None, **spec: Any
) -> StatefulSet:
    document = {
        "metadata": {
            "name": "db",
            "namespace": "default",
            "uid": "uid-db",
            "generation": 4,
            "resourceVersion": "9",
            **(metadata or {}),
        },
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": LABELS},
            "template": TEMPLATE,
            **spec,
        },
        "status": status or {},
    }
    found: StatefulSet = decoded(document, StatefulSet)
    return found


def member(
    ordinal: int, revision: Revision = NEW, *, ready: float | None = 50, **fields: Any
) -> Pod:
    """Returns a pod of the set; `ready` is since when, in seconds ago."""
    name = f"db-{ordinal}"
    labels = {
        **LABELS,
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(ordinal),
        "controller-revision-hash": revision.name,
    }
    return pod(name, ready=ready, **{"labels": labels, **fields})


def claim(name: str, owners: Any = (), **metadata: Any) -> Object:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", **metadata}
    found: Object = decoded({"metadata": {**metadata, "ownerReferences": list(owners)}}, Object)
    return found


def known(owner: StatefulSet, *pods: Pod, claims: Any = (), current: Revision = NEW) -> Known:
    return Known(owner, pods, {it.metadata.name: it for it in claims}, current, NEW, NOW)


def steps(owner: StatefulSet, *pods: Pod, **more: Any) -> tuple[list[int], list[str]]:
    """Returns the ordinals that come and the names that go."""
    found = plan(known(owner, *pods, **more))
    return [it.ordinal for it in found.create], [it.metadata.name for it in found.delete]


PARALLEL = {"podManagementPolicy": "Parallel"}


def rolling(partition: int = 0, most: Any = None) -> dict[str, Any]:
    bounds = {"partition": partition, **({"maxUnavailable": most} if most is not None else {})}
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": bounds}}


# Order


def test_the_first_missing_pod_comes_when_all_below_it_are_available() -> None:
    owner = stateful_set()
    assert steps(owner) == ([0], [])
    assert steps(owner, member(0)) == ([1], [])
    assert steps(owner, member(1), member(2)) == ([0], [])
    for waits in (
        member(0, ready=None),
        member(0, phase="Pending", ready=None),
        member(0, deleted=True),
    ):
        assert steps(owner, waits) == ([], [])
    slow = stateful_set(minReadySeconds=60)
    assert steps(slow, member(0)) == ([], [])
    assert steps(slow, member(0, ready=61)) == ([1], [])


def test_a_parallel_set_starts_all_at_once() -> None:
    owner = stateful_set(**PARALLEL)
    assert steps(owner, member(1, ready=None)) == ([0, 2], [])


def test_ordinals_may_begin_anywhere() -> None:
    owner = stateful_set(2, ordinals={"start": 5})
    assert steps(owner) == ([5], [])
    assert steps(owner, member(5)) == ([6], [])
    assert steps(owner, member(5), member(6), member(0), member(7)) == ([], ["db-7"])


def test_a_pod_that_ended_is_removed_and_then_comes_again() -> None:
    owner = stateful_set()
    for phase in ("Failed", "Succeeded"):
        assert steps(owner, member(0, phase=phase)) == ([], ["db-0"])
        assert steps(owner, member(0, phase=phase, deleted=True)) == ([], [])


def test_pods_are_scaled_away_one_after_the_other_from_the_highest() -> None:
    owner = stateful_set(1)
    assert steps(owner, member(0), member(1), member(2)) == ([], ["db-2"])
    assert steps(owner, member(0), member(1), member(2, deleted=True)) == ([], [])
    assert steps(owner, member(0, ready=None), member(1)) == ([], [])
    assert steps(owner, member(0), member(1, ready=None), member(2)) == ([], ["db-2"])
    assert steps(owner, member(0), member(1), member(2, ready=None)) == ([], ["db-2"])
    both = (member(1, ready=None), member(2, ready=None))
    assert steps(owner, member(0), *both) == ([], [])
    assert steps(stateful_set(1, **PARALLEL), member(0), *both) == ([], ["db-2", "db-1"])


def test_a_set_that_is_being_deleted_does_nothing() -> None:
    owner = stateful_set(metadata={"deletionTimestamp": time(0)})
    assert plan(known(owner, member(7))) == Steps()


def test_pods_of_other_names_are_left_alone() -> None:
    assert steps(stateful_set(0), pod("db-x"), pod("other-3"), pod("db-" + "9" * 40)) == ([], [])


# Updates


def test_an_update_replaces_the_highest_pod_and_waits_for_it() -> None:
    owner = stateful_set()
    old = [member(number, OLD) for number in range(3)]
    assert steps(owner, *old) == ([], ["db-2"])
    assert steps(owner, *old[:2], member(2)) == ([], ["db-1"])
    assert steps(owner, *old[:2], member(2, ready=None)) == ([], [])
    assert steps(owner, *old[:2], member(2, deleted=True)) == ([], [])


def test_pods_below_the_partition_stay() -> None:
    old = [member(number, OLD) for number in range(3)]
    assert steps(stateful_set(**rolling(2)), *old) == ([], ["db-2"])
    assert steps(stateful_set(**rolling(2)), *old[:2], member(2)) == ([], [])
    assert steps(stateful_set(**rolling(9)), *old) == ([], [])


def test_on_delete_replaces_nothing() -> None:
    owner = stateful_set(updateStrategy={"type": "OnDelete"})
    assert steps(owner, *(member(number, OLD) for number in range(3))) == ([], [])


@pytest.mark.parametrize(
    ("most", "gone"), [(2, ["db-2", "db-1"]), ("50%", ["db-2", "db-1"]), (0, ["db-2"])]
)
def test_as_many_are_replaced_at_once_as_may_be_missing(most: Any, gone: list[str]) -> None:
    old = [member(number, OLD) for number in range(3)]
    assert steps(stateful_set(**rolling(0, most)), *old) == ([], gone)


def test_a_pod_that_cannot_come_counts_as_missing_in_an_update() -> None:
    owner = stateful_set(volumeClaimTemplates=[DATA], **PARALLEL)
    going = claim("data-db-0", deletionTimestamp=time(0))
    old = [member(1, OLD), member(2, OLD)]
    assert steps(owner, *old, claims=[going]) == ([], [])
    bounds = rolling(0, 2)
    owner = stateful_set(volumeClaimTemplates=[DATA], **PARALLEL, **bounds)
    assert steps(owner, *old, claims=[going]) == ([], ["db-2"])


def test_a_parallel_set_replaces_what_is_broken_anyway_first() -> None:
    owner = stateful_set(**PARALLEL)
    old = [member(0, OLD, ready=None), member(1, OLD), member(2, OLD)]
    assert steps(owner, *old) == ([], ["db-0"])
    assert steps(owner, old[1], old[2]) == ([0], [])


def test_a_new_pod_below_the_partition_is_of_the_old_revision() -> None:
    def born(owner: StatefulSet, *pods: Pod) -> Any:
        (birth,) = plan(known(owner, *pods, current=OLD)).create
        document = birth.pod.document
        label = document["metadata"]["labels"]["controller-revision-hash"]
        return label, document["spec"]["containers"][0]["name"]

    assert born(stateful_set(**rolling(1))) == ("db-old", "old")
    assert born(stateful_set(**rolling(1)), member(0, OLD)) == ("db-new", "web")
    bare = {"updateStrategy": {"type": "RollingUpdate"}}
    assert born(stateful_set(status={"currentReplicas": 1}, **bare)) == ("db-old", "old")
    assert born(stateful_set(status={"currentReplicas": 0}, **bare)) == ("db-new", "web")
    assert born(stateful_set(updateStrategy={"type": "OnDelete"}))[0] == "db-new"


# Identity and claims


def test_a_pod_has_its_name_everywhere_and_its_claims_as_volumes() -> None:
    template = {**TEMPLATE, "spec": {"volumes": [{"name": "data"}, {"name": "tmp"}]}}
    owner = stateful_set(volumeClaimTemplates=[DATA])
    document = statefulset_pod.new_pod(owner, 2, template, "db-new").document
    assert document["metadata"]["name"] == document["spec"]["hostname"] == "db-2"
    assert "generateName" not in document["metadata"]
    assert document["spec"]["subdomain"] == "db"
    assert document["metadata"]["labels"] == member(2).metadata.labels
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-2"}}
    assert document["spec"]["volumes"] == [volume, {"name": "tmp"}]


def test_missing_claims_come_before_the_pod() -> None:
    owner = stateful_set(volumeClaimTemplates=[DATA])
    (birth,) = plan(known(owner)).create
    (made,) = birth.claims
    assert made.document["metadata"] == {
        "name": "data-db-0",
        "namespace": "default",
        "labels": {"tier": "disk", **LABELS},
    }
    assert made.document["spec"] == {"accessModes": ["x"]}
    (birth,) = plan(known(owner, claims=[claim("data-db-0")])).create
    assert birth.claims == []
    pending = plan(known(owner, member(0, phase="Pending", ready=None)))
    assert [(name, it.document["metadata"]["name"]) for name, it in pending.claims] == [
        ("db-0", "data-db-0")
    ]


def test_a_pod_waits_for_a_claim_that_is_going() -> None:
    owner = stateful_set(volumeClaimTemplates=[DATA])
    going = claim("data-db-0", deletionTimestamp=time(0))
    found = plan(known(owner, claims=[going]))
    assert (found.create, found.blocked) == ([], {0: "data-db-0"})
    policy = {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}
    owner = stateful_set(volumeClaimTemplates=[DATA], **policy)
    stale = claim("data-db-0", [{"kind": "Pod", "name": "db-0", "uid": "before"}])
    found = plan(known(owner, claims=[stale]))
    assert (found.create, found.blocked) == ([], {})


@pytest.mark.parametrize(
    ("deleted", "scaled", "ordinal", "owner"),
    [
        ("Retain", "Retain", 0, None),
        ("Delete", "Retain", 0, "StatefulSet"),
        ("Delete", "Retain", 1, "StatefulSet"),
        ("Retain", "Delete", 0, None),
        ("Retain", "Delete", 1, "Pod"),
        ("Delete", "Delete", 0, "StatefulSet"),
        ("Delete", "Delete", 1, "Pod"),
    ],
)
def test_a_claim_belongs_to_what_it_goes_with(
    deleted: str, scaled: str, ordinal: int, owner: str | None
) -> None:
    policy = {"whenDeleted": deleted, "whenScaled": scaled}
    found = stateful_set(1, persistentVolumeClaimRetentionPolicy=policy)
    others = [{"kind": "Other", "uid": "x", "name": "x", "apiVersion": "v1"}]
    patch = statefulset_pod.plan_retention(found, claim("data", others), member(ordinal))
    if owner is None:
        assert patch is None
        return
    assert patch is not None
    kinds = [it["kind"] for it in patch.patch["metadata"]["ownerReferences"]]  # type: ignore[call-overload]
    assert kinds == ["Other", owner]
    managed = [{**others[0], "controller": True}]
    assert statefulset_pod.plan_retention(found, claim("data", managed), member(ordinal)) is None


def test_a_claim_that_is_to_be_kept_again_loses_its_owner() -> None:
    owners = [{"kind": "StatefulSet", "uid": "uid-db", "name": "db", "controller": True}]
    patch = statefulset_pod.plan_retention(stateful_set(), claim("data", owners), member(0))
    assert patch is not None
    assert patch.patch == {"metadata": {"ownerReferences": []}}


def test_labels_of_identity_that_somebody_took_are_put_back() -> None:
    owner = stateful_set(1)
    patch, told = plan(known(owner, member(0, labels=LABELS))).patch
    wanted = {"statefulset.kubernetes.io/pod-name": "db-0", "apps.kubernetes.io/pod-index": "0"}
    assert isinstance(patch, Patch)
    assert patch.patch == {"metadata": {"labels": wanted}}
    assert patch.uid == "uid-db-0"
    text = "update Pod db-0 in StatefulSet db successful"
    assert told == Tell(owner, "SuccessfulUpdate", text)
    assert plan(known(owner, member(0))).patch == []


# The status


def test_the_status_counts_pods_by_revision_and_readiness() -> None:
    owner = stateful_set(3, minReadySeconds=30)
    pods = [member(0, OLD), member(1, ready=5), member(2, ready=None)]
    patch = plan_status(known(owner, *pods, current=OLD), 0)
    assert patch is not None
    assert patch.patch == {
        "status": {
            "observedGeneration": 4,
            "replicas": 3,
            "readyReplicas": 2,
            "availableReplicas": 1,
            "currentReplicas": 1,
            "updatedReplicas": 2,
            "currentRevision": "db-old",
            "updateRevision": "db-new",
            "collisionCount": 0,
        }
    }
    assert (patch.uid, patch.revision, patch.subresource) == ("uid-db", 9, "status")


def test_an_update_is_complete_when_all_pods_are_new_and_ready() -> None:
    def revision(owner: StatefulSet, *pods: Pod) -> tuple[str, int]:
        patch = plan_status(known(owner, *pods, current=OLD), 0)
        assert patch is not None
        status = patch.patch["status"]  # type: ignore[call-overload]
        return status["currentRevision"], status.get("currentReplicas", 0)

    assert revision(stateful_set(1), member(0)) == ("db-new", 1)
    assert revision(stateful_set(1), member(0, ready=None)) == ("db-old", 0)
    assert revision(stateful_set(2), member(0)) == ("db-old", 0)
    assert revision(stateful_set(1, updateStrategy={"type": "OnDelete"}), member(0))[0] == "db-old"


def test_a_status_that_is_right_is_left_alone() -> None:
    status = {
        "observedGeneration": 4,
        "replicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "currentReplicas": 1,
        "updatedReplicas": 1,
        "currentRevision": "db-new",
        "updateRevision": "db-new",
        "collisionCount": 0,
    }
    assert plan_status(known(stateful_set(1, status=status), member(0)), 0) is None
    assert plan_status(known(stateful_set(1, status=status), member(0, deleted=True)), 0)


def test_pods_that_are_going_are_neither_current_nor_updated() -> None:
    patch = plan_status(known(stateful_set(), member(0, deleted=True)), 0)
    assert patch is not None
    status = patch.patch["status"]  # type: ignore[call-overload]
    assert (status["replicas"], status.get("updatedReplicas")) == (1, None)


# Revisions


def test_revisions_above_the_limit_go_oldest_first_but_not_those_in_use() -> None:
    def revision(number: int) -> ControllerRevision:
        document = {"metadata": {"name": f"r{number}", "uid": f"u{number}"}, "revision": number}
        found: ControllerRevision = decoded(document, ControllerRevision)
        return found

    found = revisions.plan_cleanup([revision(number) for number in (3, 1, 4, 2)], 2, ("r1",))
    assert [(it.ref.name, it.uid) for it in found] == [("r2", "u2"), ("r3", "u3")]  # type: ignore[union-attr]
    assert revisions.plan_cleanup([revision(1)], 2, ()) == []


def test_a_new_template_makes_a_revision_and_an_old_one_is_renumbered() -> None:
    owner = stateful_set()
    revised = revisions.Revised(statefulset_plan.STATEFULSET, "controller.kubernetes.io/hash")
    (made,) = revised.plan(owner, [])
    document = made.document  # type: ignore[union-attr]
    assert document["metadata"]["labels"].keys() == {"app", "controller.kubernetes.io/hash"}
    assert document["revision"] == 1
    assert document["data"]["spec"]["template"]["$patch"] == "replace"
    present: ControllerRevision = decoded(document, ControllerRevision)
    assert revisions.template_of(present) == TEMPLATE
    assert revised.plan(owner, [present]) == []
    other = decoded({"metadata": {"name": "x"}, "data": {}, "revision": 7}, ControllerRevision)
    (patch,) = revised.plan(owner, [present, other])
    assert patch.patch == {"revision": 8}  # type: ignore[union-attr]
