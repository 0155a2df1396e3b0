"""The writes that every owner of pods does: create, delete, adopt, release, each told as events.

Follows RealPodControl and PodControllerRefManager in pkg/controller.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from steersman.client.interface import Client
from steersman.controllers import ownership
from steersman.model.errors import APIError
from steersman.model.kind import Kind
from steersman.model.kinds.pod import POD, Pod
from steersman.model.selectors import Selector
from steersman.reconcile.actions import Create, Delete, act, act_one
from steersman.reconcile.events import Recorder


class PodControl(msgspec.Struct, frozen=True):
    """The pods of one kind of owner; adopted pods get `finalizer`, released ones lose it."""

    client: Client
    events: Recorder
    kind: Kind
    finalizer: str = ""

    async def create(self, owner: Any, create: Create) -> Pod | None:
        """Creates a pod; None where its namespace ends, which is nobody's failure."""
        try:
            made: Pod = await act_one(self.client, self.events, create)
        except APIError as error:
            if ends(error):
                return None
            self.events.warning(owner, "FailedCreate", f"Error creating: {error.message}")
            raise
        self.events.normal(owner, "SuccessfulCreate", f"Created pod: {made.metadata.name}")
        return made

    async def delete(self, owner: Any, pod: Pod) -> None:
        """Deletes that very pod; one that is gone already counts as deleted."""
        try:
            delete = Delete(POD.ref(*pod.key), pod.metadata.uid)
            await act(self.client, self.events, (delete,))
        except APIError as error:
            self.events.warning(owner, "FailedDelete", f"Error deleting: {error.message}")
            raise
        self.events.normal(owner, "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")

    async def claim(
        self, owner: Any, matches: Selector, candidates: Iterable[Any], of: Kind = POD
    ) -> list[Any]:
        """Adopts and releases; returns what the owner manages then.

        Before adopting it asks the API whether the owner still is who it was.
        """
        mine, adopt, release = ownership.claim(
            owner, self.kind, matches, candidates, of, self.finalizer
        )
        if adopt and not await self._lives(owner):
            adopt = []
        for patch in (*adopt, *release):
            changed = await act_one(self.client, self.events, patch)
            mine += [changed] if patch in adopt else []
        return mine

    async def _lives(self, owner: Any) -> bool:
        fresh = (await self.client.get(self.kind.ref(*owner.key))).metadata
        return fresh.uid == owner.metadata.uid and fresh.deletion_timestamp is None


def ends(error: APIError) -> bool:
    """Says whether a write was refused because its namespace is being deleted."""
    return any(cause.reason == "NamespaceTerminating" for cause in error.causes)
