"""No custom resource is created while its definition goes (apiextensions' forbidCreateAdmission),
and no definition whose rules do not compile or are too dear."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from steersman.api.admission.chain import Change, Plugin
from steersman.api.call import Call
from steersman.api.custom.definitions import Definitions
from steersman.model import errors
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION
from steersman.model.structural.rules import has_rules


class DefinitionLifecycle(Plugin):
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
        """Refuses a definition with rules that cannot be asked."""
        kind, new = change.call.kind, change.new
        is_definition = kind.resource == CUSTOMRESOURCEDEFINITION.resource
        if not is_definition or new is None or change.call.subresource:
            return
        if change.old is not None and _versions(new) == _versions(change.old):
            return
        found: list[Cause] = []
        for index, version in enumerate(_versions(new)):
            raw = (version.get("schema") or {}).get("openAPIV3Schema") or {}
            found += _check_rules(raw, f"spec.versions[{index}].schema.openAPIV3Schema")
        if found:
            raise errors.invalid(kind.group, kind.name, new["metadata"].get("name", ""), found)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on nothing for a built-in kind."""
        return () if call.version.shape is None else None


def _check_rules(raw: Document, path: str) -> Iterable[Cause]:
    if not has_rules(raw):
        return ()
    from steersman.api.custom import rule_check  # brings CEL

    return rule_check.check(raw, path)


def _versions(definition: Document) -> list[Document]:
    return (definition.get("spec") or {}).get("versions") or []
