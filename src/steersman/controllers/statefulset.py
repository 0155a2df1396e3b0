"""StatefulSet: pods with stable names and claims, in their order; the shell around
`statefulset_plan`. Follows pkg/controller/statefulset.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from steersman.client.interface import Views
from steersman.controllers import ownership, pods, revisions, statefulset_plan, statefulset_pod
from steersman.controllers.pod_control import PodControl, ends
from steersman.controllers.statefulset_plan import Birth, Known, Revision, Steps
from steersman.controllers.statefulset_pod import CLAIM, REVISION
from steersman.model.errors import AlreadyExists, APIError
from steersman.model.kinds.controllerrevision import CONTROLLERREVISION, ControllerRevision
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.statefulset import STATEFULSET, StatefulSet
from steersman.model.ref import Ref
from steersman.model.view import Object
from steersman.reconcile.actions import Create, Delete, act, act_one, slow_start, status, together
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

REVISED = revisions.Revised(STATEFULSET, "controller.kubernetes.io/hash")


class BeingDeleted(Exception):
    """A claim of a pod is being deleted: the pod waits until it is gone."""


def _of_claim(views: Views, old: Object | None, new: Object | None) -> Iterable[Ref]:
    """Maps a claim that is gone or going to the sets that might wait for it."""
    if old is None or (new is not None and new.metadata.deletion_timestamp is None):
        return ()
    sets = views.of(STATEFULSET).list(old.metadata.namespace)
    return [STATEFULSET.ref(*it.key) for it in sets if f"-{it.metadata.name}-" in old.metadata.name]


class StatefulSetController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "statefulset-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(STATEFULSET, partial(to_self, kind=STATEFULSET)),
        Watch(POD, partial(ownership.owners, STATEFULSET), ownership.INDEXES),
        Watch(CONTROLLERREVISION, partial(ownership.owners, STATEFULSET), ownership.INDEXES),
        Watch(CLAIM, _of_claim, metadata=True),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("apps", ("statefulsets",), ("get", "list", "watch")),
        Rule("apps", ("statefulsets/status", "statefulsets/finalizers"), ("update", "patch")),
        Rule("apps", ("controllerrevisions",), ("create", "delete", "get", "patch", "update")),
        Rule("", ("pods",), ("create", "delete", "get", "patch", "update")),
        Rule("", ("pods/finalizers",), ("update",)),
        Rule("", ("persistentvolumeclaims",), ("create", "get", "update", "patch")),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._client = given.client
        self._events = given.events
        self._control = PodControl(given.client, given.events, STATEFULSET)
        self._sets = given.views.of(STATEFULSET)
        self._pods = given.views.of(POD)
        self._revisions = given.views.of(CONTROLLERREVISION)
        self._claims = given.views.metadata_of(CLAIM)

    async def reconcile(self, ref: Ref) -> Done:
        """Takes the next step of one set and writes its status."""
        owner: StatefulSet | None = self._sets.get(ref)
        if owner is None:
            return Done()
        matches = ownership.selector_of(owner.spec.selector)
        claimed: list[Pod] = await self._control.claim(owner, matches, self._candidates(owner))
        history = await self._history(owner)
        if await self._revise(owner, history):
            return Done()  # the new revision's own change brings the next step
        known = self._known(owner, claimed, history)
        error = await self._act(owner, statefulset_plan.plan(known))
        patch = statefulset_plan.plan_status(known, owner.status.collision_count or 0)
        if patch is not None:
            await act_one(self._client, self._events, patch)
        await self._clean(owner, known, history)
        if error is not None and not isinstance(error, BeingDeleted):
            raise error  # a claim that is going brings the next step when it is gone
        return Done(_again(known))

    def _candidates(self, owner: StatefulSet) -> list[Pod]:
        orphans = self._pods.by(ownership.ORPHANS, owner.metadata.namespace)
        return [
            *self._pods.by(ownership.BY_OWNER, owner.metadata.uid),
            *(pod for pod in orphans if statefulset_pod.ordinal_of(owner, pod) is not None),
        ]

    async def _history(self, owner: StatefulSet) -> list[ControllerRevision]:
        candidates = [
            *self._revisions.by(ownership.BY_OWNER, owner.metadata.uid),
            *self._revisions.by(ownership.ORPHANS, owner.metadata.namespace),
        ]
        matches = ownership.selector_of(owner.spec.selector)
        found = await self._control.claim(owner, matches, candidates, CONTROLLERREVISION)
        return sorted(found, key=lambda it: (it.revision, it.metadata.name))

    async def _revise(self, owner: StatefulSet, history: Sequence[ControllerRevision]) -> bool:
        """Makes the present template the newest revision; says whether it wrote."""
        actions = REVISED.plan(owner, history)
        try:
            await act(self._client, self._events, actions)
        except AlreadyExists:
            uid, number = owner.metadata.uid, (owner.status.collision_count or 0) + 1
            patch = status(STATEFULSET.ref(*owner.key), {"collisionCount": number}, uid=uid)
            await act_one(self._client, self._events, patch)
        return bool(actions)

    def _known(
        self, owner: StatefulSet, claimed: Sequence[Pod], history: Sequence[ControllerRevision]
    ) -> Known:
        update = revisions.find_current(owner, history)
        assert update is not None
        named = {it.metadata.name: it for it in history}
        current = named.get(owner.status.current_revision, update)
        claims = {it.metadata.name: it for it in self._claims.list(owner.metadata.namespace)}
        old, new = (
            Revision(it.metadata.name, revisions.template_of(it)) for it in (current, update)
        )
        return Known(owner, claimed, claims, old, new, self._given.world.now())

    async def _act(self, owner: StatefulSet, steps: Steps) -> APIError | BeingDeleted | None:
        """Carries out steps; returns the first refusal, which the status does not wait for."""
        try:
            await act(self._client, self._events, steps.patch)
            for name, claim in steps.claims:
                await self._claim(owner, name, claim)

            async def create(number: int) -> None:
                await self._bear(owner, steps.create[number])

            await slow_start(len(steps.create), create)
            await together(steps.delete, partial(self._delete, owner))
        except APIError as error:
            return error
        for ordinal, name in steps.blocked.items():
            going = BeingDeleted(f"pvc {name} is being deleted")
            self._tell(owner, "create", statefulset_pod.name_of(owner, ordinal), going)
            return going
        return None

    async def _bear(self, owner: StatefulSet, birth: Birth) -> None:
        """Creates the claims of a pod, then the pod."""
        name = statefulset_pod.name_of(owner, birth.ordinal)
        try:
            for claim in birth.claims:
                await self._claim(owner, name, claim)
            await act_one(self._client, self._events, birth.pod)
        except AlreadyExists:
            raise
        except APIError as error:
            if not ends(error):
                self._tell(owner, "create", name, error)
            raise
        self._tell(owner, "create", name)

    async def _claim(self, owner: StatefulSet, pod: str, claim: Create) -> None:
        name = claim.document["metadata"]["name"]
        told = f"in StatefulSet {owner.metadata.name}"
        try:
            await act_one(self._client, self._events, claim)
        except AlreadyExists:  # the copy did not show it yet, which is as good
            return
        except APIError as error:
            text = f"create Claim {name} for Pod {pod} {told} failed error: {error.message}"
            self._events.warning(owner, "FailedCreate", text)
            raise
        text = f"create Claim {name} Pod {pod} {told} success"
        self._events.normal(owner, "SuccessfulCreate", text)

    async def _delete(self, owner: StatefulSet, pod: Pod) -> None:
        delete = Delete(POD.ref(*pod.key), pod.metadata.uid)
        try:
            await act(self._client, self._events, (delete,))
        except APIError as error:
            self._tell(owner, "delete", pod.metadata.name, error)
            raise
        self._tell(owner, "delete", pod.metadata.name)

    def _tell(self, owner: StatefulSet, verb: str, pod: str, error: Any = None) -> None:
        text = f"{verb} Pod {pod} in StatefulSet {owner.metadata.name}"
        if error is None:
            self._events.normal(owner, f"Successful{verb.title()}", f"{text} successful")
        else:
            why = getattr(error, "message", str(error))
            self._events.warning(owner, f"Failed{verb.title()}", f"{text} failed error: {why}")

    async def _clean(
        self, owner: StatefulSet, known: Known, history: Sequence[ControllerRevision]
    ) -> None:
        live = {pod.metadata.labels.get(REVISION, "") for pod in known.pods}
        live |= {known.current.name, known.update.name}
        old = [it for it in history if it.metadata.name not in live]
        limit = owner.spec.revision_history_limit
        await act(self._client, self._events, revisions.plan_cleanup(old, limit, ()))


def _revision(found: ControllerRevision) -> Revision:
    return Revision(found.metadata.name, revisions.template_of(found))


def _again(known: Known) -> float | None:
    """Returns the seconds until the next pod becomes available without anything happening."""
    wait = known.owner.spec.min_ready_seconds
    waits = [pods.available_in(pod, wait, known.now) for pod in known.pods]
    return min((left for left in waits if left), default=None)
