"""ValidatingAdmissionPolicies: asked with each of their bindings that is about a change, and with
each of its parameters; a binding says what is done about a denial.

Follows apiserver's policy/validating/dispatcher.go. Nothing is kept for `Audit`: there is no audit
log.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from steersman.api.access.authorization import Authorizer
from steersman.api.admission.asking import request, variables
from steersman.api.admission.asking.seeing import see
from steersman.api.admission.chain import Change
from steersman.api.admission.policies.bindings import Binding
from steersman.api.admission.policies.policy import Invocation, Misfit, Policies
from steersman.api.admission.policies.validator import Denial, Validator
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.errors import Cause, Denied

NAME: Final = "ValidatingAdmissionPolicy"
_CODES: Final = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


class Refusal(NamedTuple):
    """A denial, by which policy, through which binding."""

    denial: Denial
    policy: str
    binding: Binding | None


class ValidatingPolicies:
    """See the module."""

    def __init__(self, policies: Policies[Validator], authorizer: Authorizer) -> None:
        self._policies = policies
        self._authorizer = authorizer

    def cover(self, call: Call, operation: str) -> bool:
        """Says whether a policy may have to be asked."""
        return self._policies.cover(call, operation)

    async def validate(self, change: Change) -> None:
        """Raises Denied where a policy denies a change; warns of what a binding only warns of."""
        refusals: list[Refusal] = []
        async for one in self._policies.invocations(change):
            if isinstance(one, Misfit):
                if not one.policy.ignores:
                    denial = Denial(one.why, always=True)
                    refusals.append(Refusal(denial, one.policy.name, one.binding))
            else:
                found = await self._ask(one, change)
                refusals += [each for each in found if _counts(each, change)]
        if refusals:
            raise denied(change, refusals[0])

    async def _ask(self, one: Invocation[Validator], change: Change) -> list[Refusal]:
        target = one.target
        values = variables.values(
            change,
            request.render(change, target.kind, target.version),
            await see(change, target),
            self._authorizer,
            self._policies.namespace(change),
        )
        found = one.policy.evaluator.check({**values, "params": one.param})
        return [Refusal(denial, one.policy.name, one.binding) for denial in found]


def _counts(refusal: Refusal, change: Change) -> bool:
    """Says whether a change is refused for a denial, and warns where the binding says so."""
    binding, denial = refusal.binding, refusal.denial
    if binding is None or denial.always:
        return True
    if "Warn" in binding.actions:
        who = f"{NAME} '{refusal.policy}' with binding '{binding.name}'"
        change.call.remarks.append(f"Validation failed for {who}: {denial.message}")
    return "Deny" in binding.actions


def denied(change: Change, refusal: Refusal) -> Denied:
    """Returns the error that tells a writer of the first denial."""
    who = f"{NAME} '{refusal.policy}'"
    if refusal.binding is not None:
        who += f" with binding '{refusal.binding.name}'"
    told = f"{who} denied request: {refusal.denial.message}"
    kind = change.call.kind
    found = errors.forbidden(kind.group, kind.plural, change.name or "Unknown", told)
    reason = refusal.denial.reason
    code = _CODES.get(reason, 422)
    return Denied(found.message, code, reason, details=found.details, causes=[Cause("", told)])
