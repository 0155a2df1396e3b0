"""Validating webhooks: asked all at once; the first refusal that comes is the answer.

Follows apiserver's webhook/validating/dispatcher.go.
"""

from __future__ import annotations

from typing import Final

from steersman.api.admission.asking.configured import Configured
from steersman.api.admission.asking.seeing import see
from steersman.api.admission.chain import Change
from steersman.api.admission.webhooks.asking import Asker, Asking, uncalled
from steersman.api.admission.webhooks.hook import Hook
from steersman.api.admission.webhooks.review import Uncalled
from steersman.api.call import Call
from steersman.model.errors import APIError
from steersman.world.interface import World

# What the audit log keeps of a webhook that could not be asked and did not have to be
FAILED_OPEN: Final = "failed-open.validating.webhook.admission.k8s.io/"


class ValidatingWebhooks:
    """See the module."""

    def __init__(self, configured: Configured[Hook, Asking], asker: Asker, world: World) -> None:
        self._configured = configured
        self._asker = asker
        self._world = world

    def cover(self, call: Call, operation: str) -> bool:
        """Says whether a webhook may have to be asked."""
        return bool(self._configured.of(call, operation))

    async def validate(self, change: Change) -> None:
        """Raises Denied, InternalError and what else upstream answers where it is refused."""
        asked = [
            asking
            for asking in self._configured.of(change.call, change.operation)
            if await self._asker.is_asked(asking, change)
        ]
        refusals: list[APIError] = []
        began = self._world.monotonic()
        async with self._world.tasks() as tasks:
            for index, asking in enumerate(asked):
                work = self._ask(asking, change, refusals, index)
                tasks.start(work, name=f"webhook {asking.hook.name}")
        change.call.request.outside += self._world.monotonic() - began
        if refusals:
            raise refusals[0]

    async def _ask(
        self, asking: Asking, change: Change, refusals: list[APIError], index: int
    ) -> None:
        hook = asking.hook
        try:
            seen = await see(change, asking.target)
            await self._asker.ask(asking, change, seen, mutating=False)
        except Uncalled as error:
            if hook.ignores:
                change.call.note(f"{FAILED_OPEN}round_0_index_{index}", hook.name)
            else:
                refusals.append(uncalled(hook, error))
        except APIError as error:
            refusals.append(error)
