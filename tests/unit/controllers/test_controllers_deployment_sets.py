"""What a plan of a deployment says of its sets: sizes, pauses, history, clean-up; conditions."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from scheduler_cluster import HeldViews
from steersman.controllers import conditions
from steersman.controllers import deployment_revision as revisions
from steersman.controllers import deployment_status as statuses
from steersman.controllers.deployment import DeploymentController, plan
from steersman.model.errors import AlreadyExists
from steersman.model.kind import Kind
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.pod import POD
from steersman.model.kinds.replicaset import REPLICASET
from steersman.model.ref import Ref
from steersman.reconcile.actions import Create, Delete, Patch, Tell
from steersman.reconcile.events import Recorder
from steersman.reconcile.loop import Given
from unit.controllers.test_controllers_deployment import (
    OLD,
    annotated,
    condition_of,
    known,
    status_of,
)
from unit.controllers.views import NOW, TEMPLATE, deployment, owned_by, pod, replica_set


def patches_of(actions: Any) -> list[tuple[str, Any]]:
    """Returns the patches of sets: their name and what they change."""
    found = [it for it in actions if isinstance(it, Patch) and it.ref.kind == REPLICASET.resource]
    return [(it.ref.name, it.patch) for it in found]


def test_a_resized_set_is_patched_as_it_was_seen_and_the_way_is_told() -> None:
    for size, way in ((5, "up"), (2, "down")):
        new = replica_set("new", 3, metadata=annotated(3, 4))
        patch, tell, *_ = plan(known(deployment(size), new)).actions
        assert isinstance(patch, Patch)
        assert isinstance(tell, Tell)
        assert (patch.uid, patch.revision) == ("uid-new", 7)
        notes = {revisions.DESIRED: str(size), revisions.MOST: str(size + 1)}
        assert patch.patch == {"metadata": {"annotations": notes}, "spec": {"replicas": size}}
        assert tell.note == f"Scaled {way} replica set new from 3 to {size}"


def test_another_surge_is_noted_on_the_set_and_nothing_told() -> None:
    new = replica_set("new", 3, metadata=annotated(3, 4))
    actions = plan(known(deployment(3, surge=2, spec={"paused": True}), new)).actions
    assert patches_of(actions) == [("new", {"metadata": {"annotations": {revisions.MOST: "5"}}})]
    assert not any(isinstance(it, Tell) for it in actions)
    again = plan(known(deployment(3, surge=1, spec={"paused": True}), new)).actions
    assert patches_of(again) == []


def test_a_paused_deployment_makes_no_set_but_scales_and_cleans_up() -> None:
    wanted = deployment(5, spec={"paused": True, "revisionHistoryLimit": 0})
    old = replica_set("old", 3, template=OLD, metadata=annotated(3, 4))
    gone = replica_set("gone", 0, template=OLD)
    actions = plan(known(wanted, old, gone)).actions
    assert not any(isinstance(it, Create) for it in actions)
    assert [patch["spec"] for _, patch in patches_of(actions)] == [{"replicas": 5}]
    assert [it.ref.name for it in actions if isinstance(it, Delete)] == ["gone"]


def test_a_pause_and_its_end_are_conditions_where_there_is_a_deadline() -> None:
    new = replica_set("new", 3, metadata=annotated(3, 4))
    wanted = {"progressDeadlineSeconds": 300}
    paused = condition_of(
        plan(known(deployment(3, spec={**wanted, "paused": True}), new)).actions, "Progressing"
    )
    assert (paused["status"], paused["reason"]) == ("Unknown", "DeploymentPaused")
    status = {"conditions": [paused]}
    still = deployment(3, spec={**wanted, "paused": True}, status=status)
    assert condition_of(plan(known(still, new, now=NOW + 60)).actions, "Progressing") == paused
    lone = replica_set("new", 2, status={"availableReplicas": 0}, metadata=annotated(2, 3))
    goes_on = deployment(3, spec=wanted, status=status)  # and was scaled meanwhile
    resumed = condition_of(plan(known(goes_on, lone)).actions, "Progressing")
    assert (resumed["status"], resumed["reason"]) == ("Unknown", "DeploymentResumed")
    endless = deployment(3, spec={"paused": True, "progressDeadlineSeconds": 2**31 - 1})
    kinds = [it["type"] for it in status_of(plan(known(endless, new)).actions)["conditions"]]
    assert kinds == ["Available"]


def test_a_deployment_on_its_way_out_changes_no_sets() -> None:
    wanted = deployment(5, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    new = replica_set("new", 3, metadata=annotated(3, 4))
    (patch,) = plan(known(wanted, new)).actions
    assert isinstance(patch, Patch)
    assert patch.subresource == "status"


def test_a_selector_of_expressions_alone_selects_and_is_the_sets() -> None:
    expressions = [{"key": "app", "operator": "In", "values": ["web"]}]
    spec = {"selector": {"matchExpressions": expressions}, "minReadySeconds": 7}
    create = plan(known(deployment(3, spec=spec))).actions[0]
    assert isinstance(create, Create)
    made = create.document
    text = made["metadata"]["labels"]["pod-template-hash"]
    selector = made["spec"]["selector"]
    assert selector["matchLabels"] == {"pod-template-hash": text}
    assert [it["key"] for it in selector["matchExpressions"]] == ["app"]
    assert made["spec"]["minReadySeconds"] == 7
    assert made["spec"]["template"]["spec"] == TEMPLATE["spec"]
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Deployment", "uid-web", True)


def test_the_new_set_follows_annotations_and_the_minimum_of_readiness() -> None:
    new = replica_set("new", 3, metadata=annotated(3, 4))
    wanted = deployment(3, spec={"minReadySeconds": 7}, metadata={"annotations": {"a": "b"}})
    (patch,) = plan(known(wanted, new)).actions
    assert isinstance(patch, Patch)
    changed = {"metadata": {"annotations": {"a": "b"}}, "spec": {"minReadySeconds": 7}}
    assert (patch.patch, patch.uid) == (changed, "uid-new")


def test_no_set_is_made_before_those_that_are_have_seen_their_size() -> None:
    late = replica_set("old", 1, template=OLD, metadata={"generation": 2, **annotated(3, 4)})
    assert not any(isinstance(it, Create) for it in plan(known(deployment(3), late)).actions)
    seen = replica_set("old", 1, template=OLD, metadata=annotated(3, 4))
    create = plan(known(deployment(3), seen)).actions[0]
    assert isinstance(create, Create)
    assert create.document["spec"]["replicas"] == 3
    assert create.document["metadata"]["annotations"][revisions.REVISION] == "2"


def test_recreate_is_held_up_only_by_pods_of_old_sets_that_still_run() -> None:
    wanted = deployment(3, spec={"strategy": {"type": "Recreate"}})
    empty = replica_set("old", 0, template=OLD, metadata=annotated(3, 3))
    stranger = replica_set("stranger", 1)
    for held in (
        pod("a", phase="Succeeded", ownerReferences=owned_by(empty, "ReplicaSet")),
        pod("a", phase="Failed", ownerReferences=owned_by(empty, "ReplicaSet")),
        pod("a", ownerReferences=owned_by(stranger, "ReplicaSet")),
        pod("a"),
    ):
        assert isinstance(plan(known(wanted, empty, pods=[held])).actions[0], Create)
    settled = {"metadata": annotated(3, 3)}
    for late in (
        replica_set("old", 0, template=OLD, status={"replicas": 1}, **settled),
        replica_set("old", 0, template=OLD, metadata={"generation": 2, **annotated(3, 3)}),
    ):
        for others in ((late,), (late, empty)):
            actions = plan(known(wanted, *others)).actions
            assert not any(isinstance(it, Create) for it in actions)


def test_the_history_of_revisions_loses_its_beginning_where_it_gets_too_long() -> None:
    entries = [str(number) for number in range(1000, 1400)]
    history = ",".join(entries)
    assert len(history) == 1999
    annotations = {**annotated(3, 4, 7)["annotations"], revisions.HISTORY: history}
    new = replica_set("new", 3, metadata={"annotations": annotations})
    patch = revisions.brought_up(deployment(3), new, 8)
    assert patch is not None
    kept: Any = patch.patch
    text = kept["metadata"]["annotations"][revisions.HISTORY]
    assert text == ",".join([*entries[1:], "7"])


def test_sets_that_have_pods_or_have_not_settled_are_kept() -> None:
    wanted = deployment(3, spec={"revisionHistoryLimit": 0})
    leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    for kept in (
        replica_set("a", 1, template=OLD, status={"replicas": 0}),
        replica_set("a", 0, template=OLD, metadata={"generation": 2}),
        replica_set("a", 0, template=OLD, metadata=leaving),
    ):
        assert revisions.plan_cleanup(wanted, [kept]) == []
    one = deployment(3, spec={"revisionHistoryLimit": 1})
    pair = [replica_set("b", 0, template=OLD), replica_set("c", 0, template=OLD, metadata=leaving)]
    assert revisions.plan_cleanup(one, pair) == []  # what leaves is not counted


def test_old_sets_are_cleaned_up_when_the_rollout_is_complete() -> None:
    new = replica_set("new", 3, metadata=annotated(3, 4, 2))
    gone = replica_set("gone", 0, template=OLD)
    counts = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "observedGeneration": 1}
    for status, expected in ((counts, ["gone"]), ({**counts, "availableReplicas": 2}, [])):
        wanted = deployment(3, spec={"revisionHistoryLimit": 0}, status=status)
        actions = plan(known(wanted, new, gone)).actions
        assert [it.ref.name for it in actions if isinstance(it, Delete)] == expected


def test_a_set_that_was_there_is_found_where_there_is_a_deadline() -> None:
    new = replica_set("new", 3, status={"availableReplicas": 0}, metadata=annotated(3, 4))
    status = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3}
    wanted = deployment(3, spec={"progressDeadlineSeconds": 300}, status=status)
    found = condition_of(plan(known(wanted, new)).actions, "Progressing")
    assert (found["status"], found["message"]) == ("True", 'Found new replica set "new"')


@pytest.mark.parametrize(
    ("before", "moves"),
    [
        ({"updatedReplicas": 1}, True),
        ({"replicas": 5}, True),  # an old pod less
        ({"readyReplicas": 1}, True),
        ({"availableReplicas": 0}, True),
        ({}, False),
        ({"updatedReplicas": 3, "replicas": 5, "readyReplicas": 3, "availableReplicas": 2}, False),
    ],
)
def test_whatever_brings_a_rollout_on_renews_its_deadline(
    before: dict[str, int], moves: bool
) -> None:
    same = {"replicas": 4, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 1}
    began = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
    times = {"lastUpdateTime": "2025-12-31T23:59:00Z", "lastTransitionTime": "2025-12-31T23:59:00Z"}
    status = {**same, **before, "conditions": [{**began, "message": "m", **times}]}
    wanted = deployment(3, surge=1, missing=1, spec={"progressDeadlineSeconds": 600}, status=status)
    new = replica_set(
        "new", 2, status={"readyReplicas": 2, "availableReplicas": 1}, metadata=annotated(3, 4)
    )
    counts = {"replicas": 2, "readyReplicas": 0, "availableReplicas": 0}
    old = replica_set("old", 2, template=OLD, status=counts, metadata=annotated(3, 4))
    base = statuses.Known(wanted, [new, old], new, NOW)
    rolled = statuses.rolled(base, conditions.documents(wanted.status.conditions))
    found = conditions.find(rolled["conditions"], "Progressing")
    assert found is not None
    renewed = found["lastUpdateTime"] != times["lastUpdateTime"]
    assert (renewed, found["lastTransitionTime"]) == (moves, times["lastTransitionTime"])


def test_the_failure_of_the_new_set_comes_before_that_of_others() -> None:
    def failing(name: str, message: str, number: int, **more: Any) -> Any:
        failure = {"type": "ReplicaFailure", "status": "True", "reason": "R", "message": message}
        return replica_set(
            name, 1, status={"conditions": [failure]}, metadata=annotated(2, 3, number), **more
        )

    old, new = failing("old", "of the old", 1, template=OLD), failing("new", "of the new", 2)
    told = condition_of(plan(known(deployment(2), old, new)).actions, "ReplicaFailure")
    assert told["message"] == "of the new"
    new = replica_set("new", 1, metadata=annotated(2, 3, 2))
    told = condition_of(plan(known(deployment(2), old, new)).actions, "ReplicaFailure")
    assert told["message"] == "of the old"


class Taken:
    """A client for whom the name of every new set is taken: by the set `there`."""

    def __init__(self, there: Any) -> None:
        self._there = there
        self.patches: list[Any] = []

    async def create(self, kind: Kind, _document: Any, **_where: str) -> Any:
        raise AlreadyExists(f'{kind.plural}.apps "{self._there.metadata.name}" already exists')

    async def get(self, ref: Ref) -> Any:
        assert ref == REPLICASET.ref("default", self._there.metadata.name)
        return self._there

    async def patch(self, ref: Ref, patch: Any, **how: Any) -> None:
        self.patches.append((ref, patch, how["subresource"], how["uid"], how["revision"]))


@pytest.mark.parametrize(
    ("owner", "template", "counted"),
    [
        ("uid-web", TEMPLATE, None),  # ours: the copy of the sets does not show it yet
        ("uid-web", {"spec": {"containers": []}}, 3),
        ("uid-other", TEMPLATE, 3),
        ("", TEMPLATE, 3),
    ],
)
def test_a_name_that_is_taken_counts_as_a_collision_unless_the_set_is_our_own(
    owner: str, template: Any, counted: int | None
) -> None:
    wanted = deployment(3, status={"collisionCount": 2})
    create = next(it for it in plan(known(wanted)).actions if isinstance(it, Create))
    reference = {"kind": "Deployment", "name": "web", "uid": owner, "controller": True}
    name = create.document["metadata"]["name"]
    owners = [reference] if owner else []
    there = replica_set(name, 0, template=template, metadata={"ownerReferences": owners})
    client: Any = Taken(there)
    views: Any = HeldViews()
    views.of(DEPLOYMENT).put(wanted)
    views.of(REPLICASET).by = views.of(POD).by = lambda *_: ()
    world: Any = SimpleNamespace(now=lambda: NOW)
    controller = DeploymentController(Given(client, views, world, Recorder(client, world, "x")))
    with pytest.raises(AlreadyExists):  # tried again, with another name or when the copy shows it
        asyncio.run(controller.reconcile(DEPLOYMENT.ref("default", "web")))
    fields = {"status": {"collisionCount": counted}}
    written = (DEPLOYMENT.ref("default", "web"), fields, "status", "uid-web", 9)
    assert client.patches == ([written] if counted else [])
