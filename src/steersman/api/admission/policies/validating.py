"""ValidatingAdmissionPolicies: asked with each of their bindings that is about a change, and with
each of its parameters; a binding says what is done about a denial.

Follows apiserver's policy/validating/dispatcher.go.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from steersman.api.access.authorization import Authorizer
from steersman.api.admission.asking import request, variables
from steersman.api.admission.asking.seeing import see
from steersman.api.admission.chain import Change
from steersman.api.admission.policies.bindings import Binding
from steersman.api.admission.policies.policy import Invocation, Misfit, Policies
from steersman.api.admission.policies.validator import Denial, Note, Validator
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.errors import Cause, Denied

NAME: Final = "ValidatingAdmissionPolicy"
# Under what the audit log keeps failed validations, and how much of them and of notes (upstream's
# maxValidationFailures and maxAuditAnnotationValueLength)
FAILURE: Final = "validation.policy.admission.k8s.io/validation_failure"
MOST_FAILURES: Final = 50
MOST_CHARACTERS: Final = 10 * 1024
_CODES: Final = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


class Refusal(NamedTuple):
    """A denial, by which policy, through which binding."""

    denial: Denial
    policy: str
    binding: Binding | None


class Kept:
    """What policies want the audit log to keep of one change."""

    def __init__(self) -> None:
        self.notes: dict[str, dict[str, None]] = {}
        self.failures: list[Refusal] = []

    def tell(self, call: Call) -> None:
        """Has it kept; what several bindings say under one key is kept together."""
        if call.request.notes is None:
            return
        for key, values in self.notes.items():
            call.note(key, ", ".join(value[:MOST_CHARACTERS] for value in values))
        if self.failures:
            told = [_failure(one) for one in self.failures[:MOST_FAILURES]]
            call.note(FAILURE, orjson.dumps(told).decode())


def _failure(refusal: Refusal) -> dict[str, Any]:
    binding = refusal.binding
    assert binding is not None
    return {
        "message": refusal.denial.message,
        "policy": refusal.policy,
        "binding": binding.name,
        "expressionIndex": refusal.denial.index,
        "validationActions": list(binding.actions),
    }


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
        kept = Kept()
        async for one in self._policies.invocations(change):
            if isinstance(one, Misfit):
                if not one.policy.ignores:
                    denial = Denial(one.why, always=True)
                    refusals.append(Refusal(denial, one.policy.name, one.binding))
            else:
                found = await self._ask(one, change, kept)
                refusals += [each for each in found if _counts(each, change, kept)]
        kept.tell(change.call)
        if refusals:
            raise denied(change, refusals[0])

    async def _ask(self, one: Invocation[Validator], change: Change, kept: Kept) -> list[Refusal]:
        target = one.target
        values = variables.values(
            change,
            request.render(change, target.kind, target.version),
            await see(change, target),
            self._authorizer,
            self._policies.namespace(change),
        )
        found = []
        for each in one.policy.evaluator.check({**values, "params": one.param}):
            if isinstance(each, Note):
                kept.notes.setdefault(f"{one.policy.name}/{each.key}", {})[each.value] = None
            else:
                found.append(Refusal(each, one.policy.name, one.binding))
        return found


def _counts(refusal: Refusal, change: Change, kept: Kept) -> bool:
    """Says whether a change is refused for a denial; warns, or keeps it, where the binding says
    so."""
    binding, denial = refusal.binding, refusal.denial
    if binding is None or denial.always:
        return True
    if "Warn" in binding.actions:
        who = f"{NAME} '{refusal.policy}' with binding '{binding.name}'"
        change.call.remarks.append(f"Validation failed for {who}: {denial.message}")
    if "Audit" in binding.actions:
        kept.failures.append(refusal)
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
