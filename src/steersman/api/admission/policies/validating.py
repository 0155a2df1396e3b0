"""ValidatingAdmissionPolicies: asked with each of their bindings that is about a change, and with
each of its parameters; a binding says what is done about a denial.

Follows apiserver's policy/validating/dispatcher.go. Nothing is kept for `Audit`: there is no audit
log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from steersman.api.access.authorization import Authorizer
from steersman.api.admission.asking import request, variables
from steersman.api.admission.asking.configured import Configured
from steersman.api.admission.asking.matching import (
    NAMESPACES,
    Asked,
    Covered,
    Criteria,
    Find,
    Target,
)
from steersman.api.admission.asking.seeing import see
from steersman.api.admission.chain import Change
from steersman.api.admission.policies.bindings import Binding, Bindings
from steersman.api.admission.policies.params import Misconfigured, Params
from steersman.api.admission.policies.validator import Denial, Validator
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.builtin import Registry
from steersman.model.errors import Cause, Denied, NotFound
from steersman.model.kind import Document
from steersman.model.ref import Ref

NAME: Final = "ValidatingAdmissionPolicy"
_CODES: Final = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


class Policy:
    """One policy, made ready."""

    def __init__(self, document: Document) -> None:
        spec = document["spec"]
        self.name: str = document["metadata"]["name"]
        self.criteria = Criteria(spec.get("matchConstraints") or {})
        self.param_kind: Document | None = spec.get("paramKind")
        self.validator = Validator(spec)

    def covering(self, asked: Asked, kinds: Registry) -> Covering | None:
        """Returns how the policy covers a request, None where it does not."""
        covered = self.criteria.covered(asked, kinds)
        return None if covered is None else Covering(self, covered)


class Covering(NamedTuple):
    """A policy and how it covers a request."""

    policy: Policy
    covered: Covered


class Refusal(NamedTuple):
    """A denial, of which policy, through which binding."""

    denial: Denial
    policy: Policy
    binding: Binding | None


class ValidatingPolicies:
    """See the module."""

    def __init__(
        self,
        configured: Configured[Policy, Covering],
        bindings: Bindings,
        params: Params,
        kinds: Registry,
        authorizer: Authorizer,
        find: Find,
    ) -> None:
        self._configured = configured
        self._bindings = bindings
        self._params = params
        self._kinds = kinds
        self._authorizer = authorizer
        self._find = find

    def cover(self, call: Call, operation: str) -> bool:
        """Says whether a policy that is bound may be about a request."""
        found = self._configured.of(call, operation)
        return any(self._bindings.of(one.policy.name) for one in found)

    async def validate(self, change: Change) -> None:
        """Raises Denied where a policy denies a change; warns of what a binding only warns of."""
        refusals: list[Refusal] = []
        for covering in self._configured.of(change.call, change.operation):
            if self._bindings.of(covering.policy.name):
                async for refusal in self._refusals(covering, change):
                    refusals += self._act(refusal, change)
        if refusals:
            raise denied(change, refusals[0])

    def _act(self, refusal: Refusal, change: Change) -> list[Refusal]:
        """Does what the binding says; returns the refusal where the change is denied by it."""
        policy, binding, denial = refusal.policy, refusal.binding, refusal.denial
        if binding is None or denial.always:
            return [refusal]
        if "Warn" in binding.actions:
            who = f"{NAME} '{policy.name}' with binding '{binding.name}'"
            change.call.remarks.append(f"Validation failed for {who}: {denial.message}")
        return [refusal] if "Deny" in binding.actions else []

    async def _refusals(self, covering: Covering, change: Change) -> AsyncIterator[Refusal]:
        policy = covering.policy
        try:
            target = policy.criteria.match(covering.covered, change, self._find)
            if target is None:
                return
            if policy.param_kind is not None:
                self._params.kind(policy.param_kind)
        except (Misconfigured, NotFound) as error:
            for refusal in misconfigured(policy, None, error):
                yield refusal
            return
        for binding in self._bindings.of(policy.name):
            for refusal in await self._bound(policy, binding, target, change):
                yield refusal

    async def _bound(
        self, policy: Policy, binding: Binding, target: Target, change: Change
    ) -> list[Refusal]:
        """Returns the refusals through one binding."""
        try:
            if not binding.match(change, self._kinds, self._find):
                return []
            form = None if policy.param_kind is None else self._params.kind(policy.param_kind)
            namespace = change.namespace
            params = await self._params.collect(form, binding.reference, namespace)
        except (Misconfigured, NotFound) as error:
            return misconfigured(policy, binding, error)
        asked = request.render(change, target.kind, target.version)
        seen = await see(change, target)
        place = self._namespace(change)
        values = variables.values(change, asked, seen, self._authorizer, place)
        return [
            Refusal(denial, policy, binding)
            for param in params
            for denial in policy.validator.check({**values, "params": param})
        ]

    def _namespace(self, change: Change) -> Document | None:
        """Returns the namespace of a change's object; raises NotFound."""
        namespace = change.call.namespace
        if not namespace:
            return None
        found = self._find(Ref(NAMESPACES, "", namespace))
        if found is None:
            raise errors.not_found("", "namespaces", namespace)
        return found


def misconfigured(policy: Policy, binding: Binding | None, error: Exception) -> list[Refusal]:
    """Returns what a policy or binding that cannot be used comes to: it denies, whatever the
    binding's actions are, or is not there."""
    if policy.validator.ignores:
        return []
    what = "policy" if binding is None else "binding"
    denial = Denial(f"failed to configure {what}: {error}", always=True)
    return [Refusal(denial, policy, binding)]


def denied(change: Change, refusal: Refusal) -> Denied:
    """Returns the error that tells a writer of the first denial."""
    who = f"{NAME} '{refusal.policy.name}'"
    if refusal.binding is not None:
        who += f" with binding '{refusal.binding.name}'"
    told = f"{who} denied request: {refusal.denial.message}"
    kind = change.call.kind
    name = change.name or "Unknown"
    found = errors.forbidden(kind.group, kind.plural, name, told)
    reason = refusal.denial.reason
    code = _CODES.get(reason, 422)
    causes = [Cause("", told)]
    return Denied(found.message, code, reason, details=found.details, causes=causes)
