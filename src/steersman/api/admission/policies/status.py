"""Writes into the status of ValidatingAdmissionPolicies what their expressions look like to those
who know the kinds: upstream's validatingadmissionpolicy-status controller.

The server does it itself, once for each change of a policy's spec.
"""

from __future__ import annotations

from typing import Final

from steersman.api.bootstrap.keeping import Keeping
from steersman.api.bootstrap.writing import send
from steersman.api.cache import Cache, Event
from steersman.api.server import Api
from steersman.model.builtin import Registry
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.world.interface import Tasks, World

GROUP: Final = "admissionregistration.k8s.io"
POLICIES: Final = Resource(GROUP, "validatingadmissionpolicies")
_PATH: Final = f"/apis/{GROUP}/v1/{POLICIES.plural}"


class PolicyStatus:
    """See the module."""

    def __init__(self, cache: Cache, kinds: Registry, api: Api, world: World) -> None:
        self._table = cache.table(POLICIES)
        self._kinds = kinds
        self._api = api
        self._world = world
        self._keeping = Keeping(world, self._keep)

    async def run(self, tasks: Tasks) -> None:
        """Works for ever: what is there first, then what comes."""
        for entry in self._table.ordered():
            self._keeping.note(entry.name)
        self._table.watch("", self._hear)
        await self._keeping.run(tasks)

    def _hear(self, event: Event) -> None:
        if event.new is not None:
            self._keeping.note(event.new.name)

    async def _keep(self, name: str) -> None:
        entry = self._table.get("", name)
        policy = entry.document() if entry is not None else None
        if entry is not None and policy is not None and _is_unseen(policy):
            from steersman.api.admission.policies.type_check import steps  # with a first policy

            found = []
            for warning in steps(policy, self._kinds):
                found += [warning] if warning is not None else []
                await self._world.sleep(0)
            policy["metadata"]["resourceVersion"] = str(entry.revision)
            made = with_warnings(policy, found)
            await send(self._api, "PUT", f"{_PATH}/{name}/status", made)
        self._keeping.settle(name)


def _is_unseen(policy: Document) -> bool:
    """Says whether the spec has changed since its status was written."""
    status, metadata = policy.get("status") or {}, policy["metadata"]
    return bool(status.get("observedGeneration", 0) < metadata.get("generation", 0))


def with_warnings(policy: Document, found: list[Document]) -> Document:
    """Returns a policy with what was found in its status."""
    checked = {"expressionWarnings": found} if found else {}
    seen = {"observedGeneration": policy["metadata"]["generation"], "typeChecking": checked}
    return {**policy, "status": {**(policy.get("status") or {}), **seen}}
