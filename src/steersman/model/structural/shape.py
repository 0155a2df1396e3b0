"""`Shape`: one version of a custom resource as its structural schema describes it.

Takes documents in (prune, default), checks them, and says how they merge. Everything is made of
the schema on first use. After apiextensions' customresource_handler.go and registry/customresource.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

from steersman.model import causes, schema
from steersman.model.decode import Admitted
from steersman.model.errors import BadRequest, Cause
from steersman.model.kind import Document
from steersman.model.schema import Node
from steersman.model.structural import defaulting, embedded, lists, pruning, rules, scaling
from steersman.model.structural.results import NOWHERE, causes_of
from steersman.model.structural.scaling import Scaling
from steersman.model.structural.validation import ABSENT, Validator
from steersman.model.types.metadata import check_metadata

Raw = Mapping[str, Any]

_UNCHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


class Converter(Protocol):
    """Makes of a document the same in another version."""

    def convert(self, document: Document, api_version: str) -> Document:
        """Returns the document in a version; raises APIError."""


class Family(dict[str, "Shape"]):
    """The shapes of all versions of one custom resource, by version.

    `storage` is the version in which objects are stored; `webhook` makes of a document the same in
    another version, None where nothing but the apiVersion differs.
    """

    def __init__(self, storage: str, webhook: Converter | None = None) -> None:
        super().__init__()
        self.storage = storage
        self.webhook = webhook

    def convert(self, document: Document, api_version: str) -> Document:
        """Returns a document in another version."""
        if document["apiVersion"] == api_version:
            return document
        if self.webhook is not None:
            return self.webhook.convert(document, api_version)
        return {**document, "apiVersion": api_version}


class Shape:
    """See the module. `version` is `group/version`, as documents name it."""

    def __init__(
        self,
        raw: Raw,
        *,
        family: Family,
        name: str,
        version: str,
        namespaced: bool,
        status: bool = False,
        scale: Scaling | None = None,
        compile_rules: rules.Compile = rules.none,
    ) -> None:
        self.raw = raw
        self._family = family
        self._name = name
        self._version = version
        self._namespaced = namespaced
        self._status = status
        self.scale = scale
        self._compile = compile_rules

    @cached_property
    def node(self) -> Node:
        """How documents merge, for field ownership and server-side apply."""
        return schema.from_openapi(with_object_fields(self.raw))

    @cached_property
    def _defaults(self) -> bool:
        return defaulting.has_defaults(self.raw)

    @cached_property
    def _embeds(self) -> bool:
        return embedded.has_embedded(self.raw)

    @cached_property
    def _lists(self) -> bool:
        return lists.has_lists(self.raw)

    @cached_property
    def _validator(self) -> Validator:
        return Validator(self.raw)

    @cached_property
    def _status_validator(self) -> Validator | None:
        found = (self.raw.get("properties") or {}).get("status")
        return None if found is None else Validator(found)

    @cached_property
    def _rules(self) -> tuple[rules.Rule, ...]:
        return self._compile(self.raw)

    def admit(self, document: Document) -> Admitted:
        """Prunes and defaults a document in place; raises BadRequest."""
        unknown = self._admit_metadata(document)
        unknown += pruning.prune(document, self.raw)
        pruning.drop_nulls(document, self.raw)
        if self._embeds:
            try:
                unknown += embedded.coerce(document, self.raw)
            except embedded.BadMetadata as error:
                raise self._refusal(str(error)) from None
        return Admitted(self._completed(document), tuple(unknown))

    def parse(self, stored: Document) -> Document:
        """Returns a stored document in this version; what another schema let pass is pruned, and
        defaults that came later are set. Its metadata is ours and stays."""
        held, stored = self._held(stored)
        if held is self:
            return stored
        return self.prune(self._family.convert(stored, self._version))

    def before(self, stored: Document) -> Document | None:
        """Returns the document that `parse` will have converted, None where it has none."""
        held, stored = self._held(stored)
        return None if held is self else stored

    def _held(self, stored: Document) -> tuple[Shape, Document]:
        held = self._family.get(stored["apiVersion"].rpartition("/")[2], self)
        return held, held._completed(held.prune(stored))

    def _completed(self, document: Document) -> Document:
        if self._defaults:
            defaulting.default(document, self.raw)
        return document

    def store(self, document: Document) -> Document:
        """Returns a document of this version in the one in which it is stored, with the defaults
        that a reader of that version would see."""
        held = self._family.get(self._family.storage, self)
        if (given := self.before_store(document)) is None:
            return document
        converted = self._family.convert(given, held._version)
        return held._completed(held.prune(defaulting.copy(converted)))

    def before_store(self, document: Document) -> Document | None:
        """Returns the document that `store` will have converted, None where it has none."""
        if self._family.get(self._family.storage, self) is self:
            return None
        return {**document, "apiVersion": self._version, "kind": self._name}

    @property
    def webhook(self) -> Converter | None:
        """What converts to and from other versions, None where nothing needs to."""
        return self._family.webhook

    def of(self, version: str) -> Shape | None:
        """Returns the schema of another version of the same definition."""
        return self._family.get(version)

    def prune(self, document: Document) -> Document:
        """Takes away, in place, what this version does not have."""
        pruning.prune(document, self.raw)
        pruning.drop_nulls(document, self.raw)
        return document

    def _admit_metadata(self, document: Document) -> list[str]:
        if document.get("metadata") is None:
            document["metadata"] = {}
        try:
            unknown = embedded.admit_metadata(document["metadata"])
        except ValueError as error:
            raise self._refusal(str(error)) from None
        return [f"metadata.{name}" for name in unknown]

    def _refusal(self, why: str) -> BadRequest:
        short = self._version.rpartition("/")[2]
        handled = f'{self._name} in version "{short}" cannot be handled as a {self._name}'
        return BadRequest(f"{handled}: {why}")

    def prepare(self, new: Document, old: Document | None, subresource: str) -> Document:
        """Takes the status away that a creation may not set."""
        if old is not None or subresource or not self._status or "status" not in new:
            return new
        return {name: value for name, value in new.items() if name != "status"}

    def check(self, new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
        """Yields what is wrong with a document in place of an old one."""
        if (given := new.get("kind", self._name)) != self._name:
            yield causes.invalid("kind", given, f"must be {self._name}")
            return
        found = [*check_metadata(new, old, namespaced=self._namespaced, any_finalizer=True)]
        found += self._check_values(new, old, subresource == "status")
        yield from found
        if self._embeds and subresource != "status":
            yield from embedded.check(new, self.raw)
        if self._lists and (old is None or not any(lists.check(old, self.raw))):
            yield from lists.check(new, self.raw)
        yield from self._check_rules(new, old, found)

    def _check_values(self, new: Document, old: Document | None, status: bool) -> Iterator[Cause]:
        if status:
            if (validator := self._status_validator) is not None and "status" in new:
                before = (old or {}).get("status", ABSENT)
                yield from causes_of(validator.validate(new["status"], before), "status")
        else:
            whole = self._validator.validate(new, ABSENT if old is None else old)
            yield from causes_of(whole)
        if self.scale is not None:
            yield from scaling.check(new, self.scale, spec=not status)

    def _check_rules(
        self, new: Document, old: Document | None, found: list[Cause]
    ) -> Iterator[Cause]:
        if not self._rules:
            return
        if rules.blocks(found):
            yield Cause("FieldValueInvalid", _UNCHECKED, NOWHERE)
            return
        for rule in self._rules:
            yield from rule.check(new, old)


def with_object_fields(raw: Raw) -> Raw:
    """Returns a schema in which every embedded object has the fields that all objects have."""
    if not embedded.has_embedded(raw):
        return raw
    made = dict(raw)
    if properties := raw.get("properties"):
        made["properties"] = {name: with_object_fields(one) for name, one in properties.items()}
    for name in ("items", "additionalProperties"):
        if isinstance(raw.get(name), Mapping):
            made[name] = with_object_fields(raw[name])
    if raw.get("x-kubernetes-embedded-resource"):
        text = {"type": "string"}
        own = {"apiVersion": text, "kind": text, "metadata": {"$ref": embedded.OBJECT_META}}
        made["properties"] = {**(made.get("properties") or {}), **own}
    return made
