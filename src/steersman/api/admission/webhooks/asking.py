"""Asks one webhook about one change, where it is about it at all."""

from __future__ import annotations

from typing import NamedTuple

from steersman.api.access.authorization import Authorizer
from steersman.api.admission.asking import request, variables
from steersman.api.admission.asking.expressions import Failed
from steersman.api.admission.asking.matching import Target
from steersman.api.admission.asking.seeing import Seen, see
from steersman.api.admission.chain import Change
from steersman.api.admission.figures import (
    CALLING_ERROR,
    INTERNAL_ERROR,
    NO_ERROR,
    Called,
    Figures,
)
from steersman.api.admission.webhooks import review
from steersman.api.admission.webhooks.hook import Hook
from steersman.api.admission.webhooks.review import Answer, Uncalled
from steersman.api.hooks.client import Find, Unanswered
from steersman.model import errors
from steersman.model.errors import APIError, BadRequest
from steersman.model.gotext import quote
from steersman.world.interface import World


class Asking(NamedTuple):
    """A webhook and the version in which it is to see a request."""

    hook: Hook
    target: Target


class Asker:
    """See the module."""

    def __init__(self, authorizer: Authorizer, find: Find, world: World, figures: Figures) -> None:
        self._authorizer = authorizer
        self._find = find
        self._world = world
        self._figures = figures

    async def is_asked(self, asking: Asking, change: Change) -> bool:
        """Says whether a webhook that covers a change's resource is about its objects; raises
        NotFound, Forbidden."""
        hook, target = asking
        if not hook.selectors.select(change, self._find):
            return False
        if not hook.conditions:
            return True
        seen = await see(change, target)
        asked = request.render(change, target.kind, target.version)
        try:
            return hook.conditions.match(variables.values(change, asked, seen, self._authorizer))
        except Failed as error:
            kind = change.call.kind
            raise errors.forbidden(kind.group, kind.plural, change.name, str(error)) from error

    async def ask(self, asking: Asking, change: Change, seen: Seen, mutating: bool) -> Answer:
        """Returns the answer of a webhook; raises Denied where it refuses, Uncalled, BadRequest."""
        hook, began = asking.hook, self._world.monotonic()
        called = Called(hook.name, "admit" if mutating else "validating", change.operation)

        def count(code: int, error: str = "") -> None:
            seconds = self._world.monotonic() - began
            self._figures.called(called, code, error, seconds)
            if mutating:  # those that validate are asked side by side
                change.call.request.outside += seconds

        try:
            answer = await self._ask(asking, change, seen, mutating)
        except Uncalled as error:
            count(error.code, "" if hook.ignores else CALLING_ERROR)
            if hook.ignores:
                self._figures.failed_open(called)
            raise
        except APIError:
            count(0, INTERNAL_ERROR)
            raise
        if answer.allowed:
            count(200)
            return answer
        refusal = review.denied(hook.name, answer.result)
        count(refusal.code, NO_ERROR)
        raise refusal

    async def _ask(self, asking: Asking, change: Change, seen: Seen, mutating: bool) -> Answer:
        hook, target = asking
        if hook.has_effects and request.is_dry(change):
            raise BadRequest(f"admission webhook {quote(hook.name)} does not support dry run")
        if not hook.review:
            known = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise Uncalled(f"could not create admission objects: {known}")
        uid = self._world.uid()
        asked = request.render(change, target.kind, target.version)
        asked = {**asked, "object": seen.new, "oldObject": seen.old}
        try:
            found = await hook.client.post(review.render(hook.review, uid, asked), hook.seconds)
        except Unanswered as error:
            raise Uncalled(f"failed to call webhook: {error}", error.code) from error
        answer = review.parse(found, hook.review, uid, mutating)
        change.call.remarks.extend(answer.warnings)
        for key, value in answer.notes.items():
            change.call.note(f"{hook.name}/{key}", value)
        return answer


def uncalled(hook: Hook, error: Uncalled) -> errors.InternalError:
    """Returns what a writer is told where a webhook could not be asked and had to be."""
    return errors.internal(f"failed calling webhook {quote(hook.name)}: {error}")
