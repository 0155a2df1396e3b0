"""DaemonSet: one pod on every node that is eligible; the shell around `daemonset_plan`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import ClassVar

from steersman.client.interface import Views
from steersman.controllers import daemonset_place, ownership, pods, revisions
from steersman.controllers.daemonset_backoff import FailedPods
from steersman.controllers.daemonset_plan import BURST, Known, Steps, plan, plan_status
from steersman.controllers.pod_control import PodControl
from steersman.model.errors import AlreadyExists, APIError
from steersman.model.kinds.controllerrevision import CONTROLLERREVISION, ControllerRevision
from steersman.model.kinds.daemonset import DAEMONSET, DaemonSet
from steersman.model.kinds.node import NODE, Node
from steersman.model.kinds.pod import POD, Pod
from steersman.model.ref import Ref
from steersman.reconcile.actions import act, act_one, slow_start, status, together
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

REVISED = revisions.Revised(DAEMONSET, daemonset_place.HASH_LABEL)
SELECTS_ALL = "This daemon set is selecting all pods. A non-empty selector is required."


def _of_node(views: Views, old: Node | None, new: Node | None) -> Iterable[Ref]:
    """Maps a node whose eligibility may have changed to all sets; heartbeats are nothing."""
    if old is not None and new is not None and _same(old, new):
        return ()
    return [DAEMONSET.ref(*owner.key) for owner in views.of(DAEMONSET).list()]


def _same(old: Node, new: Node) -> bool:
    return old.spec == new.spec and old.metadata.labels == new.metadata.labels


class DaemonSetController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "daemon-set-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(DAEMONSET, partial(to_self, kind=DAEMONSET)),
        Watch(POD, partial(ownership.owners, DAEMONSET), ownership.INDEXES),
        Watch(CONTROLLERREVISION, partial(ownership.owners, DAEMONSET), ownership.INDEXES),
        Watch(NODE, _of_node),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("apps", ("daemonsets",), ("get", "list", "watch")),
        Rule("apps", ("daemonsets/status", "daemonsets/finalizers"), ("update", "patch")),
        Rule("apps", ("controllerrevisions",), ("create", "delete", "get", "patch", "update")),
        Rule("", ("pods",), ("create", "delete", "patch")),
        Rule("", ("pods/binding",), ("create",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._client = given.client
        self._events = given.events
        self._control = PodControl(given.client, given.events, DAEMONSET)
        self._sets = given.views.of(DAEMONSET)
        self._pods = given.views.of(POD)
        self._revisions = given.views.of(CONTROLLERREVISION)
        self._nodes = given.views.of(NODE)
        self._failed = FailedPods()

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the pods of one set right."""
        owner: DaemonSet | None = self._sets.get(ref)
        if owner is None:
            return Done()
        selector = owner.spec.selector
        if not selector.match_labels and not selector.match_expressions:
            self._events.warning(owner, "SelectingAll", SELECTS_ALL)
            return Done()
        claimed = await self._claim(owner)
        history = list(self._revisions.by(ownership.BY_OWNER, owner.metadata.uid))
        if await self._revise(owner, history):
            return Done()  # the new revision's own change brings the next step
        current = revisions.find_current(owner, history)
        assert current is not None
        known = self._known(owner, claimed, REVISED.hash_of(current))
        error = await self._act(owner, known)
        used = {pod.metadata.labels.get(daemonset_place.HASH_LABEL, "") for pod in claimed}
        live = [it.metadata.name for it in history if REVISED.hash_of(it) in used]
        old = [it for it in history if it is not current]
        cleanup = revisions.plan_cleanup(old, owner.spec.revision_history_limit, live)
        await act(self._client, self._events, cleanup)
        if patch := plan_status(known):
            await act_one(self._client, self._events, patch)
        if error is not None:
            raise error
        return Done(self._again(owner, claimed, known))

    async def _claim(self, owner: DaemonSet) -> list[Pod]:
        namespace, uid = owner.metadata.namespace, owner.metadata.uid
        candidates = [
            *self._pods.by(ownership.BY_OWNER, uid),
            *self._pods.by(ownership.ORPHANS, namespace),
        ]
        matches = ownership.selector_of(owner.spec.selector)
        return await self._control.claim(owner, matches, candidates)

    async def _revise(self, owner: DaemonSet, history: Sequence[ControllerRevision]) -> bool:
        """Makes the present template the newest revision; says whether it wrote."""
        actions = REVISED.plan(owner, history)
        try:
            await act(self._client, self._events, actions)
        except AlreadyExists:
            uid, number = owner.metadata.uid, (owner.status.collision_count or 0) + 1
            patch = status(DAEMONSET.ref(*owner.key), {"collisionCount": number}, uid=uid)
            await act_one(self._client, self._events, patch)
        return bool(actions)

    def _known(self, owner: DaemonSet, claimed: Iterable[Pod], text: str) -> Known:
        by_node: dict[str, list[Pod]] = defaultdict(list)
        for pod in claimed:
            over = pods.is_terminating(pod) and pod.status.phase in ("Succeeded", "Failed")
            if not over:
                by_node[daemonset_place.node_of(pod)].append(pod)
        nodes = sorted(self._nodes.list(), key=lambda node: node.metadata.name)
        now = self._given.world.now()
        failed = [node for node, here in by_node.items() if any(map(_has_failed, here))]
        waits = {node: self._failed.wait(owner, node, now) for node in failed}
        held = {node: wait for node, wait in waits.items() if wait}
        return Known(owner, nodes, by_node, text, now, held)

    async def _act(self, owner: DaemonSet, known: Known) -> APIError | None:
        if owner.metadata.deletion_timestamp is not None:
            return None
        steps = plan(known)
        for node in steps.failed:
            self._failed.note(owner, node, known.now)
        await act(self._client, self._events, steps.tell)
        try:
            await self._carry_out(owner, known, steps)
        except APIError as error:
            return error
        return None

    async def _carry_out(self, owner: DaemonSet, known: Known, steps: Steps) -> None:
        names = steps.create[:BURST]

        async def create(number: int) -> None:
            new = daemonset_place.new_pod(owner, names[number], known.text)
            await self._control.create(owner, new)

        await slow_start(len(names), create)
        await together(steps.delete[:BURST], partial(self._control.delete, owner))

    def _again(self, owner: DaemonSet, claimed: Iterable[Pod], known: Known) -> float | None:
        now = self._given.world.now()
        waits = [pods.available_in(pod, owner.spec.min_ready_seconds, now) for pod in claimed]
        return min((wait for wait in (*waits, *known.held.values()) if wait), default=None)


def _has_failed(pod: Pod) -> bool:
    return pod.status.phase == "Failed" and not pods.is_terminating(pod)
