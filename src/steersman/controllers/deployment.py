"""Deployment: one ReplicaSet per template, sized so that a rollout stays within its bounds.

Follows pkg/controller/deployment. One call takes one step; the sets' own changes bring the next.
Rolling back is the client's: it writes the old template.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import ClassVar

import msgspec

from steersman.client.interface import Views
from steersman.controllers import conditions, ownership
from steersman.controllers import deployment_bounds as bounds
from steersman.controllers import deployment_revision as revisions
from steersman.controllers import deployment_rollout as rollout
from steersman.controllers import deployment_status as statuses
from steersman.model.errors import AlreadyExists, APIError
from steersman.model.kind import Document
from steersman.model.kinds.deployment import DEPLOYMENT, Deployment
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.replicaset import REPLICASET, ReplicaSet
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, Create, Patch, Tell, act, act_one, status
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

SELECTS_ALL = "This deployment is selecting all pods. A non-empty selector is required."
CREATE_FAILED = "ReplicaSetCreateError"


class Known(msgspec.Struct, frozen=True, dict=True):
    """What a plan is made from; `pods` are those of the deployment's sets. To find the new one
    compares whole templates, so it is found once."""

    deployment: Deployment
    sets: Sequence[ReplicaSet]
    pods: Sequence[Pod]
    now: float

    @cached_property
    def new(self) -> ReplicaSet | None:
        """The set with the present template."""
        return revisions.find_new(self.deployment, self.sets)

    @cached_property
    def old(self) -> list[ReplicaSet]:
        """The other sets."""
        new = self.new
        return [found for found in self.sets if found is not new]


class Plan(msgspec.Struct, frozen=True):
    """What is done now, in order, and when to look again though nothing happened."""

    actions: tuple[Action, ...] = ()
    again: float | None = None


def plan(known: Known) -> Plan:
    """Decides the next step of a deployment."""
    deployment = known.deployment
    selector = deployment.spec.selector
    if not selector.match_labels and not selector.match_expressions:
        return Plan(_refusal(deployment))
    if deployment.metadata.deletion_timestamp is not None:
        return _with_status(known, (), _present(known), rolls=False)
    if (new := known.new) is not None:
        number = revisions.newest_revision(known.old)
        if patch := revisions.brought_up(deployment, new, number):
            return Plan((patch,))
    if deployment.spec.paused or rollout.is_scaling(deployment, known.sets):
        return _plan_scale(known)
    if bounds.is_rolling(deployment):
        return _plan_rolling(known)
    return _plan_recreate(known)


def _refusal(deployment: Deployment) -> tuple[Action, ...]:
    tell = Tell(deployment, "SelectingAll", SELECTS_ALL, "Warning")
    generation = deployment.metadata.generation
    if deployment.status.observed_generation >= generation:
        return (tell,)
    ref = DEPLOYMENT.ref(*deployment.key)
    fields = {"observedGeneration": generation}
    return (tell, status(ref, fields, uid=deployment.metadata.uid))


def _plan_scale(known: Known) -> Plan:
    deployment = known.deployment
    sizes = rollout.decide_scale(deployment, known.new, known.old)
    actions = _resize(deployment, sizes)
    if deployment.spec.paused:
        actions += revisions.plan_cleanup(deployment, known.old)
    return _with_status(known, actions, _present(known), rolls=False)


def _plan_rolling(known: Known) -> Plan:
    new = known.new
    if new is None:
        return _begin(known)
    sizes = rollout.decide_rolling(known.deployment, new, known.old)
    return _go_on(known, _resize(known.deployment, sizes))


def _plan_recreate(known: Known) -> Plan:
    deployment, new = known.deployment, known.new
    if old := rollout.active(known.old):
        return _go_on(known, _resize(deployment, [(found, 0) for found in old]))
    if _old_pods_run(known):
        return _go_on(known, [])
    if new is None:
        return _begin(known)
    return _go_on(known, _resize(deployment, [(new, deployment.spec.replicas)]))


def _old_pods_run(known: Known) -> bool:
    if any(found.status.replicas or not bounds.settled(found) for found in known.old):
        return True
    uids = {found.metadata.uid for found in known.old}
    owners = ((pod, pod.metadata.controller) for pod in known.pods)
    return any(
        owner is not None and owner.uid in uids and pod.status.phase not in ("Succeeded", "Failed")
        for pod, owner in owners
    )


def _begin(known: Known) -> Plan:
    """Creates the set for a new template."""
    deployment = known.deployment
    if not bounds.observed(known.sets):
        return _with_status(known, (), _present(known), rolls=True)
    size = rollout.size_of_new(deployment, known.sets, None)
    number = revisions.newest_revision(known.old)
    create = revisions.new_set(deployment, size, number)
    name = create.document["metadata"]["name"]
    actions: list[Action] = [create]
    if size:
        text = f"Scaled up replica set {name} from 0 to {size}"
        actions.append(Tell(deployment, "ScalingReplicaSet", text))
    present = _present(known)
    if statuses.has_deadline(deployment):
        text = f'Created new replica set "{name}"'
        present = _progress(known, present, "True", "NewReplicaSetCreated", text)
    return _with_status(known, actions, present, rolls=True, number=number)


def _go_on(known: Known, actions: list[Action]) -> Plan:
    """Takes a step of a rollout; where there is none and all is done, old sets are removed."""
    present = _present(known)
    new = known.new
    has_none = conditions.find(present, statuses.PROGRESSING) is None
    if new is not None and has_none and statuses.has_deadline(known.deployment):
        text = f'Found new replica set "{new.metadata.name}"'
        present = _progress(known, present, "True", "FoundNewReplicaSet", text)
    if not actions and statuses.is_complete(
        known.deployment, statuses.old_document(known.deployment)
    ):
        actions = [*revisions.plan_cleanup(known.deployment, known.old)]
    return _with_status(known, actions, present, rolls=True)


def _present(known: Known) -> list[Document]:
    """Returns the conditions as they are, pause and resumption noted (checkPausedConditions)."""
    found = conditions.documents(known.deployment.status.conditions)
    if not statuses.has_deadline(known.deployment):
        return found
    current = conditions.find(found, statuses.PROGRESSING)
    reason = (current or {}).get("reason")
    paused = known.deployment.spec.paused
    if reason == statuses.TIMED_OUT or paused == (reason == "DeploymentPaused"):
        return found
    if paused:
        return _progress(known, found, "Unknown", "DeploymentPaused", "Deployment is paused")
    return _progress(known, found, "Unknown", "DeploymentResumed", "Deployment is resumed")


def _progress(
    known: Known, present: list[Document], status: str, reason: str, text: str
) -> list[Document]:
    made = conditions.make(statuses.PROGRESSING, status, reason, text, known.now, updated=True)
    return conditions.put(present, made)


def _with_status(
    known: Known,
    actions: Iterable[Action],
    present: list[Document],
    *,
    rolls: bool,
    number: int = 0,
) -> Plan:
    new = known.new
    base = statuses.Known(known.deployment, known.sets, new, known.now)
    fields = statuses.rolled(base, present) if rolls else statuses.counted(base, present)
    if new is not None:
        number = revisions.revision(new)
    patch = statuses.plan_patch(known.deployment, fields, number)
    wait = statuses.again(known.deployment, fields, known.now)
    return Plan((*actions, *((patch,) if patch else ())), wait)


def _resize(deployment: Deployment, sizes: rollout.Sizes) -> list[Action]:
    """Returns the patches and events for sets whose size or noted sizes are to change."""
    actions: list[Action] = []
    noted = revisions.size_annotations(deployment)
    for found, size in sizes:
        before = found.spec.replicas
        have = found.metadata.annotations
        annotations = {name: text for name, text in noted.items() if have.get(name) != text}
        patch: Document = {"metadata": {"annotations": annotations}} if annotations else {}
        if size != before:
            patch["spec"] = {"replicas": size}
        if not patch:
            continue
        ref = REPLICASET.ref(*found.key)
        actions.append(Patch(ref, patch, uid=found.metadata.uid, revision=found.metadata.revision))
        if size != before:
            way = "up" if size > before else "down"
            text = f"Scaled {way} replica set {found.metadata.name} from {before} to {size}"
            actions.append(Tell(deployment, "ScalingReplicaSet", text))
    return actions


def _of_deployment(_views: Views, old: Deployment | None, new: Deployment | None) -> Iterable[Ref]:
    """Maps a deployment to itself, but for changes that no plan looks at, as of labels."""
    if new is None or (old is not None and _planned(old) == _planned(new)):
        return ()
    return (DEPLOYMENT.ref(*new.key),)


def _planned(found: Deployment) -> tuple[object, ...]:
    """Returns what a plan is made from; the specification changes with its generation."""
    known = found.metadata
    return known.uid, known.generation, known.deletion_timestamp, known.annotations, found.status


def _of_set(views: Views, old: ReplicaSet | None, new: ReplicaSet | None) -> Iterable[Ref]:
    """Maps a set to the deployment that manages it now or did, or to all that might adopt it."""
    found: dict[Ref, None] = {}
    for one in (old, new):
        manager = one.metadata.controller if one is not None else None
        if one is not None and manager is not None and manager.kind == "Deployment":
            found[DEPLOYMENT.ref(one.metadata.namespace, manager.name)] = None
    if new is not None and new.metadata.controller is None:
        for deployment in views.of(DEPLOYMENT).list(new.metadata.namespace):
            if ownership.selector_of(deployment.spec.selector)(new.metadata.labels):
                found[DEPLOYMENT.ref(*deployment.key)] = None
    return found


def _of_pod(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod that is gone to its deployment, which may wait for that (Recreate)."""
    manager = old.metadata.controller if old is not None and new is None else None
    if old is None or manager is None or manager.kind != "ReplicaSet":
        return ()
    owner = views.of(REPLICASET).get(REPLICASET.ref(old.metadata.namespace, manager.name))
    return _of_set(views, None, owner) if owner is not None else ()


class DeploymentController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "deployment-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(DEPLOYMENT, _of_deployment),
        Watch(REPLICASET, _of_set, ownership.INDEXES),
        Watch(POD, _of_pod, ownership.INDEXES),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("apps", ("deployments",), ("get", "update", "patch")),
        Rule("apps", ("deployments/status", "deployments/finalizers"), ("update", "patch")),
        Rule("apps", ("replicasets",), ("create", "delete", "update", "patch")),
    )

    def __init__(self, given: Given) -> None:
        self._client = given.client
        self._events = given.events
        self._world = given.world
        self._deployments = given.views.of(DEPLOYMENT)
        self._sets = given.views.of(REPLICASET)
        self._pods = given.views.of(POD)

    async def reconcile(self, ref: Ref) -> Done:
        """Takes the next step of one deployment."""
        deployment: Deployment | None = self._deployments.get(ref)
        if deployment is None:
            return Done()
        sets = await self._claim(deployment)
        pods = [
            pod for found in sets for pod in self._pods.by(ownership.BY_OWNER, found.metadata.uid)
        ]
        known = Known(deployment, sets, pods, self._world.now())
        decided = plan(known)
        try:
            await act(self._client, self._events, decided.actions)
        except APIError as error:
            await self._refused(known, decided, error)
        return Done(decided.again)

    async def _claim(self, deployment: Deployment) -> list[ReplicaSet]:
        namespace, uid = deployment.metadata.namespace, deployment.metadata.uid
        candidates = [
            *self._sets.by(ownership.BY_OWNER, uid),
            *self._sets.by(ownership.ORPHANS, namespace),
        ]
        selector = deployment.spec.selector
        matches = ownership.selector_of(selector)
        mine, adopt, release = ownership.claim(
            deployment, DEPLOYMENT, matches, candidates, REPLICASET
        )
        if adopt:
            fresh = await self._client.get(DEPLOYMENT.ref(*deployment.key))
            if fresh.metadata.uid != uid or fresh.metadata.deletion_timestamp is not None:
                adopt = []
        for patch in (*adopt, *release):
            changed = await act_one(self._client, self._events, patch)
            mine += [changed] if patch in adopt else []
        return mine

    async def _refused(self, known: Known, decided: Plan, error: APIError) -> None:
        """Handles a set that could not be created; every other refusal is raised."""
        create = next((it for it in decided.actions if isinstance(it, Create)), None)
        if create is None:
            raise error
        if isinstance(error, AlreadyExists):
            await self._collided(known, create)
            raise error
        if any(cause.reason == "NamespaceTerminating" for cause in error.causes):
            return
        name = create.document["metadata"]["name"]
        text = f'Failed to create new replica set "{name}": {error.message}'
        self._events.warning(known.deployment, CREATE_FAILED, text)
        if statuses.has_deadline(known.deployment):
            present = _progress(known, _present(known), "False", CREATE_FAILED, text)
            fields = {**statuses.old_document(known.deployment), "conditions": present}
            if patch := statuses.plan_patch(known.deployment, fields, 0):
                await act_one(self._client, self._events, patch)
        raise error

    async def _collided(self, known: Known, create: Create) -> None:
        """Counts a collision, unless the set that has the name is ours and new to the view."""
        metadata = create.document["metadata"]
        ref = REPLICASET.ref(metadata["namespace"], metadata["name"])
        found: ReplicaSet = await self._client.get(ref)
        owner = found.metadata.controller
        ours = owner is not None and owner.uid == known.deployment.metadata.uid
        if ours and revisions.find_new(known.deployment, [found]):
            return
        deployment = known.deployment
        count = (deployment.status.collision_count or 0) + 1
        uid, revision = deployment.metadata.uid, deployment.metadata.revision
        ref = DEPLOYMENT.ref(*deployment.key)
        patch = status(ref, {"collisionCount": count}, uid=uid, revision=revision)
        await act_one(self._client, self._events, patch)
