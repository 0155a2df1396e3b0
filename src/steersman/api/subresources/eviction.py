"""Evicting a pod: its deletion, where the budget that covers it allows one more disruption.

Follows pkg/registry/core/pod/storage/eviction.go. The budget is counted down before the pod is
deleted, so two evictions at once never take the last one twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from msgspec.structs import replace

from steersman.api import delete
from steersman.api.bootstrap.writing import SERVER
from steersman.api.call import Call
from steersman.api.delete import Deleter, Options
from steersman.api.form import Form
from steersman.api.subresources.binding import CREATED, parse
from steersman.api.write import Writer
from steersman.model import errors, selectors
from steersman.model.errors import Cause, TooManyRequests, Unexplained
from steersman.model.gotext import printed
from steersman.model.kind import Document
from steersman.model.kinds.poddisruptionbudget import PODDISRUPTIONBUDGET
from steersman.model.times import rfc3339
from steersman.wire.message import Response
from steersman.world.interface import World

MOST_DISRUPTED = 2000  # upstream MaxDisruptedPodSize: more are not confirmed by the controller
RETRY_AFTER_SECONDS = 10
VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."
SEVERAL = (
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
    "support."
)
_ALL = ["All"]  # the one value of dryRun
_IGNORED = ("Succeeded", "Failed", "Pending")  # phases in which a pod's end disrupts nothing


class Eviction:
    """Answers `eviction` on pods."""

    def __init__(self, writer: Writer, deleter: Deleter, world: World) -> None:
        self._writer = writer
        self._deleter = deleter
        self._world = world

    async def handle(self, call: Call) -> Response:
        """Evicts; raises TooManyRequests where the budget is used up, and what a deletion does."""
        wanted = _options(call, parse(call, "Eviction"))
        entry = call.entry()
        pod = entry.document()
        delete.check_preconditions(call, wanted, entry, pod)
        if not is_ignored(pod):
            budgets = self._budgets(call, pod)
            if len(budgets) > 1:
                return Response(orjson.dumps(errors.InternalError(SEVERAL).status()), 500)
            for budget in budgets:
                await self._count_down(call, budget, pod, wanted.dry_run)
        if not wanted.dry_run:
            await self._tell(call)
        await self._deleter.delete_entry(call, replace(wanted, revision=""))
        return Response(orjson.dumps(CREATED), 201)

    def _budgets(self, call: Call, pod: Document) -> list[Document]:
        table = self._writer.cache.table(PODDISRUPTIONBUDGET.resource)
        documents = [entry.document() for entry in table.ordered(call.namespace)]
        return [budget for budget in documents if covers(budget, pod)]

    async def _count_down(self, call: Call, budget: Document, pod: Document, dry: bool) -> None:
        """Takes one disruption from a budget; raises where it allows none."""
        if is_free(budget, pod):
            return
        now = rfc3339(self._world.now())

        def counted(old: Document) -> Document:
            return count_down(old, call.name, now)

        if dry:
            counted(budget)
            return
        await self._writer.change(self._of_budget(call, budget["metadata"]["name"]), counted)

    def _of_budget(self, call: Call, name: str) -> Call:
        """Returns the call by which the server itself changes a budget's status."""
        kind = PODDISRUPTIONBUDGET
        form = Form(kind, kind.storage)
        attributes = call.attributes._replace(
            verb="update",
            group=kind.group,
            version=kind.storage,
            resource=kind.plural,
            subresource="status",
            name=name,
        )
        return replace(
            call,
            user=SERVER,
            attributes=attributes,
            kind=kind,
            version=form.served,
            form=form,
            table=self._writer.cache.table(kind.resource),
            direct=True,
        )

    async def _tell(self, call: Call) -> None:
        """Says in the pod's conditions why it ends."""
        now = rfc3339(self._world.now())
        attributes = call.attributes._replace(verb="update", subresource="status")
        told = replace(call, user=SERVER, attributes=attributes, direct=True)
        await self._writer.change(told, lambda old: disrupted(old, now))


def _options(call: Call, given: Document) -> Options:
    options = given.get("deleteOptions") or {}
    dry = options.get("dryRun") or []
    if call.dry_run and dry not in ([], _ALL):
        what = "Non-matching dry-run options in request and content"
        raise Unexplained(f"{what}: {printed(_ALL)} and {printed(dry)}")
    return delete.options_of(call, options)


def is_ignored(pod: Document) -> bool:
    """Says whether no budget counts a pod: it has ended, has not begun, or is being deleted."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in _IGNORED or bool(pod["metadata"].get("deletionTimestamp"))


def covers(budget: Document, pod: Document) -> bool:
    """Says whether a budget selects a pod; an absent selector selects nothing."""
    selector = (budget.get("spec") or {}).get("selector")
    labels = pod["metadata"].get("labels") or {}
    return bool(selectors.of_document(selector)(labels))


def is_free(budget: Document, pod: Document) -> bool:
    """Says whether a pod that is not ready may go without being counted (KEP-3017)."""
    status, spec = budget.get("status") or {}, budget.get("spec") or {}
    conditions = (pod.get("status") or {}).get("conditions") or ()
    if any(it.get("type") == "Ready" and it.get("status") == "True" for it in conditions):
        return False
    if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = status.get("desiredHealthy", 0)
    return bool(status.get("currentHealthy", 0) >= desired > 0)


def count_down(budget: Document, pod: str, now: str) -> Document:
    """Returns a budget with one disruption less; raises TooManyRequests, Forbidden."""
    name, status = budget["metadata"]["name"], dict(budget.get("status") or {})
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        why = f"The disruption budget {name} is still being processed by the server."
        raise _violates(why, RETRY_AFTER_SECONDS)
    allowed, disrupted_pods = status.get("disruptionsAllowed", 0), status.get("disruptedPods") or {}
    if allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(disrupted_pods) > MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise _forbidden(name, why)
    if allowed == 0:
        raise _violates(_why(name, status), 0)
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = {**disrupted_pods, pod: now}
    if allowed == 1:
        status["conditions"] = _insufficient(status, now)
    return {**budget, "status": status}


def _violates(why: str, retry_after_seconds: int) -> TooManyRequests:
    cause = Cause("DisruptionBudget", why, "")
    return TooManyRequests(VIOLATES, causes=[cause], retry_after_seconds=retry_after_seconds)


def _forbidden(name: str, why: str) -> errors.Forbidden:
    return errors.forbidden("policy", "poddisruptionbudget", name, why)


def _why(name: str, status: Document) -> str:
    for condition in status.get("conditions") or ():
        kind, reason = condition.get("type"), condition.get("reason")
        if kind == "DisruptionAllowed" and reason == "SyncFailed":
            failed = f"because it failed sync: {condition.get('message', '')}"
            return f"The disruption budget {name} does not allow evicting pods currently {failed}"
    desired, current = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    needs = f"needs {desired} healthy pods and has {current} currently"
    return f"The disruption budget {name} {needs}"


def _insufficient(status: Document, now: str) -> Sequence[Document]:
    """Returns the conditions of a budget that is used up."""
    old = status.get("conditions") or []
    present = next((it for it in old if it.get("type") == "DisruptionAllowed"), None)
    same = present is not None and present.get("status") == "False"
    made = {
        "type": "DisruptionAllowed",
        "status": "False",
        "observedGeneration": status.get("observedGeneration", 0),
        "lastTransitionTime": present.get("lastTransitionTime", now) if same and present else now,
        "reason": "InsufficientPods",
        "message": "",
    }
    return [*(it for it in old if it is not present), made]


def disrupted(pod: Document, now: str) -> Document:
    """Returns a pod that says why it ends."""
    status = dict(pod.get("status") or {})
    others = [it for it in status.get("conditions") or () if it.get("type") != "DisruptionTarget"]
    made = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    return {**pod, "status": {**status, "conditions": [*others, made]}}
