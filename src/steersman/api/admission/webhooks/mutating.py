"""Mutating webhooks: asked one after the other, each about what the last one made of the object.

Follows apiserver's webhook/mutating/dispatcher.go and reinvocationcontext.go.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from steersman.api.admission.asking import versions
from steersman.api.admission.asking.configured import Configured
from steersman.api.admission.asking.rounds import Rounds, replaced, unborn
from steersman.api.admission.asking.seeing import Seen, see
from steersman.api.admission.chain import Change
from steersman.api.admission.webhooks.asking import Asker, Asking, uncalled
from steersman.api.admission.webhooks.hook import Hook
from steersman.api.admission.webhooks.review import Uncalled
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.errors import BadRequest
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.patch import PatchFailed, PatchMalformed, equal, json_patch

# Under what the audit log keeps what webhooks do to objects (webhook/mutating/dispatcher.go)
MUTATION: Final = "mutation.webhook.admission.k8s.io/"
PATCH: Final = "patch.webhook.admission.k8s.io/"


class MutatingWebhooks:
    """See the module."""

    def __init__(self, configured: Configured[Hook, Asking], asker: Asker) -> None:
        self._configured = configured
        self._asker = asker

    def cover(self, call: Call, operation: str) -> bool:
        """Says whether a webhook may have to be asked."""
        return bool(self._configured.of(call, operation))

    async def admit(self, change: Change, rounds: Rounds) -> Change:
        """Returns a change after every webhook; raises Denied, InternalError and what else
        upstream answers."""
        rounds.begin(change.new)
        for index, asking in enumerate(self._configured.of(change.call, change.operation)):
            if rounds.is_due(asking.hook.uid) and await self._asker.is_asked(asking, change):
                place = f"round_{int(rounds.is_again)}_index_{index}"
                change = await self._ask(asking, change, rounds, place)
        rounds.end(change.new)
        return change

    async def _ask(self, asking: Asking, change: Change, rounds: Rounds, place: str) -> Change:
        hook, seen = asking.hook, await see(change, asking.target)
        shown = seen.new if change.operation != "CREATE" else unborn(seen.new)
        changed = False
        try:
            answer = await self._asker.ask(asking, change, Seen(shown, seen.old), mutating=True)
            if answer.patch:
                made = self._patched(hook, shown, answer.patch)
                changed = not equal(made, shown)
                change = await self._taken(asking, change, made) if changed else change
                _note_patch(hook, change.call, place, answer.patch)
        except Uncalled as error:
            if not hook.ignores:
                raise uncalled(hook, error) from error
            change.call.note(f"failed-open.{MUTATION}{place}", hook.name)
        finally:
            _note_mutation(hook, change.call, place, changed)
        rounds.note(hook.uid, changed, hook.reinvocable)
        return change

    @staticmethod
    def _patched(hook: Hook, shown: Document | None, patch: Any) -> Document:
        if shown is None:
            did = "attempted to modify the object, which is not supported for this operation"
            raise errors.internal(f"admission webhook {quote(hook.name)} {did}")
        try:
            made = json_patch(shown, patch)
        except PatchMalformed as error:
            told = f"received undecodable patch in webhook response: {error}"
            raise Uncalled(told) from error
        except PatchFailed as error:
            raise errors.internal(error.why) from error
        if not isinstance(made, dict) or not isinstance(made.get("metadata", {}), dict):
            raise errors.internal(f"the patch of {quote(hook.name)} leaves no object")
        document: Document = made
        return document

    @staticmethod
    async def _taken(asking: Asking, change: Change, made: Document) -> Change:
        """Returns a change with what a webhook made of its object."""
        if change.head is not None:
            return replaced(change, made)
        target = asking.target
        try:
            taken = await versions.take(change.call.form, made, target.kind, target.version)
        except BadRequest as error:
            raise errors.internal(error.message) from error
        return replaced(change, taken)


def _note_mutation(hook: Hook, call: Call, place: str, changed: bool) -> None:
    """Has the audit log keep whether a webhook changed the object."""
    if call.request.notes is not None:
        call.note(f"{MUTATION}{place}", _told(hook, mutated=changed))


def _note_patch(hook: Hook, call: Call, place: str, patch: Any) -> None:
    """Has the audit log keep a patch, where it keeps objects."""
    notes = call.request.notes
    if notes is not None and notes.has_objects:
        call.note(f"{PATCH}{place}", _told(hook, patch=patch, patchType="JSONPatch"))


def _told(hook: Hook, **more: Any) -> str:
    told = {"configuration": hook.configuration, "webhook": hook.name, **more}
    return orjson.dumps(told).decode()
