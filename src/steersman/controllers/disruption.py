"""PodDisruptionBudget: how many of the selected pods may be evicted; the shell around
`disruption_plan`. Follows pkg/controller/disruption.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from steersman.client.client import path_of
from steersman.client.interface import Views
from steersman.controllers import disruption_plan, ownership
from steersman.controllers.disruption_plan import DELETION_SECONDS, UNMANAGED, NotCountable, Scale
from steersman.model import builtin
from steersman.model.errors import NotFound
from steersman.model.kind import Kind
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.poddisruptionbudget import PODDISRUPTIONBUDGET, PodDisruptionBudget
from steersman.model.kinds.replicaset import REPLICASET
from steersman.model.kinds.replicationcontroller import REPLICATIONCONTROLLER
from steersman.model.kinds.statefulset import STATEFULSET
from steersman.model.ref import Ref
from steersman.model.view import OwnerReference
from steersman.reconcile.actions import act, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

SCALED = (REPLICASET, REPLICATIONCONTROLLER, STATEFULSET, DEPLOYMENT)


def covers(budget: PodDisruptionBudget, pod: Pod) -> bool:
    """Says whether a budget selects a pod."""
    return bool(ownership.selector_of(budget.spec.selector)(pod.metadata.labels))


def _of_pod(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod to the budgets that cover it now or did before, and to itself where it is said
    to be disrupted."""
    either = [pod for pod in (old, new) if pod is not None]
    found = {
        PODDISRUPTIONBUDGET.ref(*budget.key): None
        for budget in views.of(PODDISRUPTIONBUDGET).list(either[0].metadata.namespace)
        if any(covers(budget, pod) for pod in either)
    }
    if new is not None and disruption_plan.stale_in(new, 0.0) is not None:
        found[POD.ref(*new.key)] = None
    return found


def _of_owner(views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
    """Maps an owner whose size changed to the budgets of its namespace."""
    found = new if new is not None else old
    if found is None or (old is not None and old.spec.replicas == found.spec.replicas):
        return ()
    budgets = views.of(PODDISRUPTIONBUDGET).list(found.metadata.namespace)
    return [PODDISRUPTIONBUDGET.ref(*budget.key) for budget in budgets]


class DisruptionController:
    """See `reconcile.loop.Controller`; its keys are budgets, and pods said to be disrupted."""

    name: ClassVar[str] = "disruption-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(PODDISRUPTIONBUDGET, partial(to_self, kind=PODDISRUPTIONBUDGET)),
        Watch(POD, _of_pod),
        *(Watch(kind, _of_owner) for kind in SCALED),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("policy", ("poddisruptionbudgets/status",), ("update", "patch")),
        Rule("", ("pods/status",), ("patch", "update")),
        Rule("*", ("*/scale",), ("get",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._client = given.client
        self._events = given.events
        self._views = given.views
        given.views.custom()  # begins to follow what may have a scale
        self._budgets = given.views.of(PODDISRUPTIONBUDGET)
        self._pods = given.views.of(POD)

    async def reconcile(self, ref: Ref) -> Done:
        """Counts the pods of one budget, or takes back what was said of one pod."""
        if ref.kind == POD.resource:
            return await self._stale(ref)
        budget: PodDisruptionBudget | None = self._budgets.get(ref)
        if budget is None:
            return Done()
        now = self._given.world.now()
        found = self._pods.list(budget.metadata.namespace)
        covered = sorted((pod for pod in found if covers(budget, pod)), key=lambda pod: pod.key)
        if not covered:
            self._events.normal(budget, "NoPods", "No matching pods found")
        try:
            return await self._count(budget, covered, now)
        except NotCountable as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._events.warning(budget, "CalculateExpectedPodCountFailed", text)
            if patch := disruption_plan.plan_failed(budget, str(error), now):
                await act_one(self._client, self._events, patch)
            return Done()

    async def _count(self, budget: PodDisruptionBudget, covered: Sequence[Pod], now: float) -> Done:
        scales = await self._scales(budget, covered)
        expected = disruption_plan.expect(budget, covered, scales)
        if expected.unmanaged:
            selector = budget.spec.selector
            text = str(ownership.selector_of(selector))
            self._events.warning(budget, "UnmanagedPods", UNMANAGED.format(text))
        disrupted, told = disruption_plan.plan_disrupted(budget, covered, now)
        await act(self._client, self._events, told)
        current = disruption_plan.healthy(covered, disrupted)
        patch = disruption_plan.plan_status(budget, expected, current, disrupted, now)
        if patch is not None:
            await act_one(self._client, self._events, patch)
        waits = [since + DELETION_SECONDS - now for since in disrupted.values()]
        return Done(max(1.0, min(waits)) if waits else None)

    async def _scales(
        self, budget: PodDisruptionBudget, covered: Sequence[Pod]
    ) -> dict[str, Scale]:
        """Returns the owners of pods that can be scaled, by the uid of the pods' manager."""
        bare = isinstance(budget.spec.min_available, int)
        found: dict[str, Scale] = {}
        for pod in covered if not bare else ():
            manager = pod.metadata.controller
            if manager is not None and manager.uid not in found:
                found[manager.uid] = await self._scale(pod, manager)
        return found

    async def _scale(self, pod: Pod, manager: OwnerReference) -> Scale:
        group, _, version = manager.api_version.rpartition("/")
        kind = builtin.by_kind(group, version, manager.kind)
        if kind is None:
            return await self._custom(pod, manager)
        owner = self._owner(kind, pod.metadata.namespace, manager)
        if owner is None and kind not in SCALED:
            resource = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
            raise NotCountable(f"{resource} does not implement the scale subresource")
        if owner is None:
            raise NotCountable(f'found no controllers for pod "{pod.metadata.name}"')
        above = owner.metadata.controller
        if kind is REPLICASET and above is not None:
            deployment = self._owner(DEPLOYMENT, pod.metadata.namespace, above)
            owner = deployment if deployment is not None else owner
        return Scale(owner.metadata.uid, owner.spec.replicas)

    async def _custom(self, pod: Pod, manager: OwnerReference) -> Scale:
        """Returns the scale of a custom resource that manages a pod, which the API has."""
        group, name = manager.api_version.rpartition("/")[0], pod.metadata.name
        customs = self._views.custom().values()
        kind = next((it for it in customs if (it.group, it.name) == (group, manager.kind)), None)
        if kind is None:
            raise NotCountable(f'no matches for kind "{manager.kind}" in group "{group}"')
        try:
            path = path_of(kind, pod.metadata.namespace, manager.name, "scale")
            scale = await self._client.read(path)
        except NotFound:
            if kind.subresource("scale") is not None:
                raise NotCountable(f'found no controllers for pod "{name}"') from None
            text = "does not implement the scale subresource"
            raise NotCountable(f"{kind.plural}.{kind.group} {text}") from None
        uid = scale["metadata"].get("uid", "")
        if uid != manager.uid:
            raise NotCountable(f'found no controllers for pod "{name}"')
        return Scale(uid, scale["spec"].get("replicas", 0))

    def _owner(self, kind: Kind | None, namespace: str, manager: OwnerReference) -> Any | None:
        if kind not in SCALED or kind is None or kind.name != manager.kind:
            return None
        owner = self._views.of(kind).get(kind.ref(namespace, manager.name))
        return owner if owner is not None and owner.metadata.uid == manager.uid else None

    async def _stale(self, ref: Ref) -> Done:
        pod: Pod | None = self._pods.get(ref)
        now = self._given.world.now()
        left = disruption_plan.stale_in(pod, now) if pod is not None else None
        if pod is None or left is None or left > 0:
            return Done(left)
        await act_one(self._client, self._events, disruption_plan.plan_stale(pod, now))
        return Done()
