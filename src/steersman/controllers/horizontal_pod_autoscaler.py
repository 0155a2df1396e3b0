"""HorizontalPodAutoscaler: scales what has a scale by what its metrics say; the shell around
`autoscaler_plan`. Follows pkg/controller/podautoscaler.

Metrics do not tell of their changes: each autoscaler asks for its own every fifteen seconds, as
upstream's does, and nobody asks where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from steersman.client.client import path_of
from steersman.client.errors import Unreachable
from steersman.client.interface import Views
from steersman.controllers import autoscaler_plan as plan
from steersman.controllers.autoscaler_bounds import History
from steersman.controllers.autoscaler_metrics import Metrics
from steersman.controllers.autoscaler_plan import Decision, Draft, Scale
from steersman.controllers.autoscaler_proposals import Asking, propose
from steersman.controllers.autoscaler_replicas import NoProposal, Situation
from steersman.model import builtin, selectors
from steersman.model.errors import APIError
from steersman.model.kind import Kind
from steersman.model.kinds.horizontalpodautoscaler import (
    HORIZONTALPODAUTOSCALER,
    HorizontalPodAutoscaler,
)
from steersman.model.kinds.pod import POD
from steersman.model.ref import Ref
from steersman.model.selectors import Selector, SelectorError
from steersman.reconcile.actions import act_one, status
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

PERIOD_SECONDS: Final = 15.0  # --horizontal-pod-autoscaler-sync-period


def _of_spec(_views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
    """Maps an autoscaler to itself where more than its status changed."""
    if old is not None and new is not None and old.spec == new.spec:
        return ()
    found = new if new is not None else old
    assert found is not None
    return (HORIZONTALPODAUTOSCALER.ref(*found.key),)


class HorizontalPodAutoscalerController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "horizontal-pod-autoscaler"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(HORIZONTALPODAUTOSCALER, _of_spec),
        Watch(POD, lambda _views, _old, _new: ()),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("autoscaling", ("horizontalpodautoscalers/status",), ("patch", "update")),
        Rule("*", ("*/scale",), ("get", "update")),
        Rule("metrics.k8s.io", ("pods",), ("list",)),
        Rule("custom.metrics.k8s.io", ("*",), ("get", "list")),
        Rule("external.metrics.k8s.io", ("*",), ("get", "list")),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._client = given.client
        self._hpas = given.views.of(HORIZONTALPODAUTOSCALER)
        self._pods = given.views.of(POD)
        self._metrics = Metrics(given.client)
        given.views.custom()  # begins to follow what may have a scale
        self._histories: dict[Ref, tuple[str, History]] = {}
        self._selectors: dict[Ref, Selector] = {}

    async def reconcile(self, ref: Ref) -> Done:
        """Asks the metrics of one autoscaler and scales its target."""
        hpa: HorizontalPodAutoscaler | None = self._hpas.get(ref)
        if hpa is None:
            self._histories.pop(ref, None)
            self._selectors.pop(ref, None)
            return Done()
        uid, history = self._histories.get(ref, ("", History()))
        draft = plan.begin(hpa, history if uid == hpa.metadata.uid else History())
        before = draft.status
        draft = await self._scale(hpa, draft)
        self._histories[ref] = (hpa.metadata.uid, draft.history)
        for said in draft.told:
            tell = (
                self._given.events.normal if said.type == "Normal" else self._given.events.warning
            )
            tell(hpa, said.reason, said.note)
        if draft.status != before:
            await act_one(
                self._client, self._given.events, status(ref, draft.status, uid=hpa.metadata.uid)
            )
        return Done(PERIOD_SECONDS)

    async def _scale(self, hpa: HorizontalPodAutoscaler, draft: Draft) -> Draft:
        """Returns the draft after what could be done."""
        now = self._given.world.now()
        try:
            path = self._path(hpa)
            scale = scale_of(await self._client.read(path))
        except (APIError, Unreachable, NoProposal) as error:
            return plan.without_scale(draft, str(error), now)
        draft = plan.with_scale(draft, scale, now)
        found = plan.without_metrics(hpa, scale)
        if found is not None:
            decision = plan.decide_by_bounds(draft, scale, found, now)
        else:
            selector = self._selector(hpa, scale)
            if isinstance(selector, tuple):
                return plan.failed_selector(draft, scale, selector, now)
            decision = await self._ask(hpa, draft, scale, selector, now)
        if decision.replicas is None:
            return decision.draft
        return await self._rescale(hpa, draft, decision, (path, scale), now)

    async def _ask(
        self,
        hpa: HorizontalPodAutoscaler,
        draft: Draft,
        scale: Scale,
        selector: Selector,
        now: float,
    ) -> Decision:
        pods = [
            pod for pod in self._pods.list(hpa.metadata.namespace) if selector(pod.metadata.labels)
        ]
        situation = Situation(pods, scale.wanted, plan.tolerance_of(hpa), now)
        asking = Asking(
            self._metrics, hpa.metadata.namespace, selector, scale, situation, self._resource
        )
        asked = [await propose(asking, metric) for metric in hpa.spec.metrics]
        return plan.decide(hpa, draft, scale, asked, now)

    async def _rescale(
        self,
        hpa: HorizontalPodAutoscaler,
        draft: Draft,
        decision: Decision,
        target: tuple[str, Scale],
        now: float,
    ) -> Draft:
        path, scale = target
        wanted = {**scale.document, "spec": {"replicas": decision.replicas}}
        try:
            await self._client.write(path, wanted)
        except (APIError, Unreachable) as error:
            return plan.unscaled(draft, decision, scale, str(error), now)
        return plan.scaled(hpa, decision, scale, now)

    def _path(self, hpa: HorizontalPodAutoscaler) -> str:
        """Returns the path of the target's scale; raises NoProposal."""
        target = hpa.spec.scale_target_ref
        kind = self._kind(target.api_version, target.kind)
        return path_of(kind, hpa.metadata.namespace, target.name, "scale")

    def _kind(self, api_version: str, name: str) -> Kind:
        group = api_version.rpartition("/")[0]
        for kind in (*builtin.all(), *self._given.views.custom().values()):
            if (kind.group, kind.name) == (group, name):
                return kind
        raise NoProposal(f'no matches for kind "{name}" in group "{group}"')

    def _resource(self, described: Mapping[str, Any]) -> str:
        return str(self._kind(described.get("apiVersion", ""), described["kind"]).resource)

    def _selector(
        self, hpa: HorizontalPodAutoscaler, scale: Scale
    ) -> Selector | tuple[str, str, str]:
        """Returns what selects the target's pods, or why they are not known: the event's and the
        condition's reason and the message."""
        if not scale.selector:
            message = "the HPA target's scale is missing a selector"
            return ("SelectorRequired", "InvalidSelector", message)
        try:
            selector = selectors.parse(scale.selector)
        except SelectorError as error:
            what = "couldn't convert selector into a corresponding internal selector object"
            return ("InvalidSelector", "InvalidSelector", f"{what}: {error}")
        ref = HORIZONTALPODAUTOSCALER.ref(*hpa.key)
        self._selectors[ref] = selector
        rivals = self._rivals(hpa.metadata.namespace, selector)
        if len(rivals) < 2:
            return selector
        listed = " ".join(f"{{{one.namespace} {one.name}}}" for one in rivals)
        what = f"pods by selector {selector} are controlled by multiple HPAs: [{listed}]"
        return ("AmbiguousSelector", "AmbiguousSelector", what)

    def _rivals(self, namespace: str, selector: Selector) -> list[Ref]:
        """Returns the autoscalers whose targets have one of the selected pods."""
        found: set[Ref] = set()
        others = [(ref, one) for ref, one in self._selectors.items() if ref.namespace == namespace]
        if len(others) < 2:
            return [ref for ref, _ in others]
        for pod in self._pods.list(namespace):
            if selector(pod.metadata.labels):
                found |= {ref for ref, one in others if one(pod.metadata.labels)}
        return sorted(found)


def scale_of(document: Mapping[str, Any]) -> Scale:
    """Returns what a Scale says; raises NoProposal for what is none."""
    spec, state = document.get("spec") or {}, document.get("status") or {}
    wanted, running = spec.get("replicas", 0), state.get("replicas", 0)
    selector = state.get("selector", "")
    if not (isinstance(wanted, int) and isinstance(running, int) and isinstance(selector, str)):
        raise NoProposal("the target's scale cannot be read")
    return Scale(wanted, running, selector, dict(document))
