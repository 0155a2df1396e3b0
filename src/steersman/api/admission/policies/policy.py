"""A policy as it is configured, how it covers a request, and with what it is asked about a change:
each binding that is about it, and each of its parameters.

Follows apiserver's policy/generic/policy_dispatcher.go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, NamedTuple, TypeVar

from steersman.api.admission.asking.configured import Configured
from steersman.api.admission.asking.matching import (
    NAMESPACES,
    Asked,
    Covered,
    Criteria,
    Find,
    Target,
)
from steersman.api.admission.chain import Change
from steersman.api.admission.policies.bindings import Binding, Bindings
from steersman.api.admission.policies.params import Misconfigured, Params
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.builtin import Registry
from steersman.model.errors import NotFound
from steersman.model.kind import Document
from steersman.model.ref import Ref

Evaluator = TypeVar("Evaluator")


class Policy(Generic[Evaluator]):
    """One policy, made ready; `evaluator` are its expressions."""

    def __init__(self, document: Document, evaluator: Evaluator) -> None:
        spec = document["spec"]
        self.name: str = document["metadata"]["name"]
        self.criteria = Criteria(spec.get("matchConstraints") or {})
        self.param_kind: Document | None = spec.get("paramKind")
        self.ignores = spec.get("failurePolicy") == "Ignore"
        self.reinvocable = spec.get("reinvocationPolicy") == "IfNeeded"
        self.evaluator = evaluator

    def covering(self, asked: Asked, kinds: Registry) -> Covering[Evaluator] | None:
        """Returns how the policy covers a request, None where it does not."""
        covered = self.criteria.covered(asked, kinds)
        return None if covered is None else Covering(self, covered)


class Covering(NamedTuple, Generic[Evaluator]):
    """A policy and how it covers a request."""

    policy: Policy[Evaluator]
    covered: Covered


class Invocation(NamedTuple, Generic[Evaluator]):
    """A policy that is to be asked about a change; `param` is None where it has no parameters."""

    policy: Policy[Evaluator]
    binding: Binding
    target: Target
    param: Document | None

    @property
    def key(self) -> str:
        """What tells it from others about the same change."""
        meta = (self.param or {}).get("metadata") or {}
        param = f"{meta.get('namespace', '')}/{meta.get('name', '')}"
        return f"{self.policy.name}/{self.binding.name}/{param}"


class Misfit(NamedTuple, Generic[Evaluator]):
    """A policy, or its binding, that is about a change and cannot be used."""

    policy: Policy[Evaluator]
    binding: Binding | None
    why: str


class Policies(Generic[Evaluator]):
    """The policies of one kind with their bindings."""

    def __init__(
        self,
        configured: Configured[Policy[Evaluator], Covering[Evaluator]],
        bindings: Bindings,
        params: Params,
        kinds: Registry,
        find: Find,
    ) -> None:
        self._configured = configured
        self._bindings = bindings
        self._params = params
        self._kinds = kinds
        self._find = find

    def cover(self, call: Call, operation: str) -> bool:
        """Says whether a policy that is bound may be about a request."""
        found = self._configured.of(call, operation)
        return any(self._bindings.of(one.policy.name) for one in found)

    async def invocations(
        self, change: Change
    ) -> AsyncIterator[Invocation[Evaluator] | Misfit[Evaluator]]:
        """Yields what is to be asked about a change, in order of policies and bindings."""
        for policy, covered in self._configured.of(change.call, change.operation):
            bindings = self._bindings.of(policy.name)
            if not bindings:
                continue
            try:
                target = policy.criteria.match(covered, change, self._find)
                if target is not None and policy.param_kind is not None:
                    self._params.kind(policy.param_kind)
            except (Misconfigured, NotFound) as error:
                yield Misfit(policy, None, f"failed to configure policy: {error}")
                continue
            for binding in bindings if target is not None else ():
                assert target is not None
                for one in await self._bound(policy, binding, target, change):
                    yield one

    async def _bound(
        self, policy: Policy[Evaluator], binding: Binding, target: Target, change: Change
    ) -> list[Invocation[Evaluator] | Misfit[Evaluator]]:
        try:
            if not binding.match(change, self._kinds, self._find):
                return []
            form = None if policy.param_kind is None else self._params.kind(policy.param_kind)
            params = await self._params.collect(form, binding.reference, change.namespace)
        except (Misconfigured, NotFound) as error:
            return [Misfit(policy, binding, f"failed to configure binding: {error}")]
        return [Invocation(policy, binding, target, param) for param in params]

    def namespace(self, change: Change) -> Document | None:
        """Returns the namespace of a change's object; raises NotFound."""
        namespace = change.call.namespace
        if not namespace:
            return None
        found = self._find(Ref(NAMESPACES, "", namespace))
        if found is None:
            raise errors.not_found("", "namespaces", namespace)
        return found
