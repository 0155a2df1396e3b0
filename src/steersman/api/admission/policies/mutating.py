"""MutatingAdmissionPolicies: one after the other, each with its bindings and their parameters, and
each about what the last one made of the object.

Follows apiserver's policy/mutating/dispatcher.go.
"""

from __future__ import annotations

from typing import Any

from steersman.api.access.authorization import Authorizer
from steersman.api.admission.asking import request, variables, versions
from steersman.api.admission.asking.expressions import Expression, Failed, Spent
from steersman.api.admission.asking.rounds import Rounds, replaced, unborn
from steersman.api.admission.asking.seeing import Seen, see
from steersman.api.admission.chain import Change
from steersman.api.admission.policies.mutator import Mutator
from steersman.api.admission.policies.policy import Invocation, Misfit, Policies
from steersman.api.call import Call
from steersman.api.owners import node_of_version
from steersman.model import errors
from steersman.model.errors import BadRequest, Cause, Denied
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.patch import equal


class MutatingPolicies:
    """See the module."""

    def __init__(self, policies: Policies[Mutator], authorizer: Authorizer) -> None:
        self._policies = policies
        self._authorizer = authorizer

    def cover(self, call: Call, operation: str) -> bool:
        """Says whether a policy may have to be asked."""
        return self._policies.cover(call, operation)

    async def admit(self, change: Change, rounds: Rounds) -> Change:
        """Returns a change after every policy; raises Denied."""
        rounds.begin(change.new)
        # bindings are chosen by the object as it came, before any policy changed it
        invocations = [one async for one in self._policies.invocations(change)]
        found = [told(one) for one in invocations if isinstance(one, Misfit)]
        failures = [text for text, ignored in found if not ignored]
        reason = ""
        for one in invocations:
            if isinstance(one, Misfit) or change.new is None or change.head is not None:
                continue
            try:
                change = await self._ask(one, change, rounds)
            except (Failed, Spent) as error:
                text, ignored = told(Misfit(one.policy, one.binding, str(error)))
                if not ignored:
                    reason = reason or ("Invalid" if not failures else "Forbidden")
                    failures.append(text)
        rounds.end(change.new)
        if failures:
            raise denied(change, failures, reason or "Forbidden")
        return change

    async def _ask(self, one: Invocation[Mutator], change: Change, rounds: Rounds) -> Change:
        """Returns a change after one policy; raises Failed, Spent."""
        mutator, before = one.policy.evaluator, change.new
        if not mutator.is_matched(await self._values(one, change)):
            return change
        if not rounds.is_due(one.key):
            return change
        for kind, expression in mutator.mutations:
            change = await self._mutate(one, kind, expression, change)
        rounds.note(one.key, not equal(before, change.new), one.policy.reinvocable)
        return change

    async def _mutate(
        self, one: Invocation[Mutator], kind: str, expression: Expression, change: Change
    ) -> Change:
        values = await self._values(one, change)
        shown: Document = values["object"]
        node = node_of_version(one.target.kind, one.target.version)
        made = one.policy.evaluator.mutate(kind, expression, values, shown, node)
        if equal(made, shown):
            return change
        kind_of, version = one.target.kind, one.target.version
        try:
            return replaced(change, await versions.take(change.call.form, made, kind_of, version))
        except BadRequest as error:
            raise errors.internal(error.message) from error

    async def _values(self, one: Invocation[Mutator], change: Change) -> dict[str, Any]:
        target, seen = one.target, await see(change, one.target)
        if change.operation == "CREATE":
            seen = Seen(unborn(seen.new), seen.old)
        values = variables.values(
            change,
            request.render(change, target.kind, target.version),
            seen,
            self._authorizer,
            self._policies.namespace(change),
        )
        return {**values, "params": one.param}


def told(misfit: Misfit[Mutator]) -> tuple[str, bool]:
    """Returns what is said of a policy that fails, and whether its failures are ignored."""
    policy, binding = misfit.policy, misfit.binding
    if binding is None:
        text = f"policy {quote(policy.name)} denied request: {misfit.why}"
    else:
        text = f"policy '{policy.name}' with binding '{binding.name}' denied request: {misfit.why}"
    return text, policy.ignores


def denied(change: Change, failures: list[str], reason: str) -> Denied:
    """Returns the error that tells a writer of the first failure; all are causes."""
    kind = change.call.kind
    details = errors.forbidden(kind.group, kind.plural, change.name or "Unknown", "").details
    causes = [Cause("", text) for text in failures]
    return Denied(failures[0], 403, reason, details=details, causes=causes)
