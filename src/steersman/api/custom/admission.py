"""No custom resource is created while its definition goes.

After apiextensions' forbidCreateAdmission.
"""

from __future__ import annotations

from collections.abc import Hashable

from steersman.api.admission.chain import Change
from steersman.api.call import Call
from steersman.api.custom.definitions import Definitions
from steersman.model import errors
from steersman.model.kind import Document


class DefinitionLifecycle:
    """See the module."""

    name = "CustomResourceDefinitionLifecycle"

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def admit(self, change: Change) -> Document | None:
        """Refuses to create; changes nothing."""
        call = change.call
        if change.operation != "CREATE" or call.version.shape is None:
            return None
        if self._definitions.is_terminating(call.kind.resource):
            name = (change.new or {})["metadata"].get("name", "")
            why = "create not allowed while custom resource definition is terminating"
            raise errors.forbidden(call.kind.group, call.kind.plural, name, why)
        return None

    def check(self, change: Change) -> None:
        """Refuses nothing further."""

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on nothing for a built-in kind."""
        return () if call.version.shape is None else None
