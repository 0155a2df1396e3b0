"""The bindings of policies, by the policy that they bind; made ready once for each change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.api.admission.asking.configured import GROUP
from steersman.api.admission.asking.matching import Asked, Criteria, Find
from steersman.api.admission.chain import Change
from steersman.api.cache import Cache, Event
from steersman.model.builtin import Registry
from steersman.model.kind import Document
from steersman.model.ref import Resource


class Binding:
    """Where a policy holds, with which parameters, and what is done about what fails."""

    def __init__(self, document: Document) -> None:
        spec = document["spec"]
        self.name: str = document["metadata"]["name"]
        self.policy: str = spec["policyName"]
        self.actions: Sequence[str] = spec.get("validationActions") or ()
        self.reference: Mapping[str, Any] | None = spec.get("paramRef")
        match = spec.get("matchResources")
        self._criteria = None if match is None else Criteria(match)

    def match(self, change: Change, kinds: Registry, find: Find) -> bool:
        """Says whether the policy holds for a change; raises NotFound."""
        if self._criteria is None:
            return True
        call = change.call
        asked = Asked(change.operation, call.kind, call.version, call.subresource)
        covered = self._criteria.covered(asked, kinds)
        return covered is not None and self._criteria.match(covered, change, find) is not None


class Bindings:
    """See the module."""

    def __init__(self, plural: str, cache: Cache) -> None:
        self._table = cache.table(Resource(GROUP, plural))
        self._table.watch("", self._hear)
        self._by_policy: dict[str, list[Binding]] | None = None

    def of(self, policy: str) -> Sequence[Binding]:
        """Returns the bindings of a policy in the order of their names."""
        if self._by_policy is None:
            self._by_policy = {}
            for entry in self._table.ordered():
                binding = Binding(entry.document())
                self._by_policy.setdefault(binding.policy, []).append(binding)
        return self._by_policy.get(policy, ())

    def _hear(self, _event: Event) -> None:
        self._by_policy = None
