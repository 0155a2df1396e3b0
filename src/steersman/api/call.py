"""One request to a resource, with all that was found out about it before the work begins."""

from __future__ import annotations

import msgspec

from steersman.api.access.authorization import Attributes
from steersman.api.cache import Entry, Table
from steersman.api.form import Form
from steersman.api.present import Presentation
from steersman.model.errors import NotFound, not_found
from steersman.model.kind import Kind, Version
from steersman.wire.json import Keys
from steersman.wire.message import Request, User


class Call(msgspec.Struct, frozen=True):
    """Who asks what of which kind, where it is kept and how it is to be shown.

    `remarks` collects what the writer is told of a write that is accepted: an answer says each
    once, however often the write was tried. `repeated` and `noted` hold what a reader of the body
    found in it that a strict decoder refuses: the lines of YAML whose key was given before, and the
    keys of JSON where one may come twice. `direct` says that the server writes this itself in the
    course of another call, about which webhooks and policies were asked.
    """

    request: Request
    user: User
    attributes: Attributes
    kind: Kind
    version: Version
    form: Form
    table: Table
    presentation: Presentation
    remarks: list[str] = msgspec.field(default_factory=list)
    repeated: list[str] = msgspec.field(default_factory=list)
    noted: list[Keys] = msgspec.field(default_factory=list)
    direct: bool = False

    @property
    def namespace(self) -> str:
        """The namespace asked for; empty means all, or a cluster-scoped kind."""
        return self.attributes.namespace if self.kind.namespaced else ""

    @property
    def name(self) -> str:
        """The object's name; empty for a collection."""
        return self.attributes.name

    @property
    def subresource(self) -> str:
        """The subresource's path, or empty."""
        return self.attributes.subresource

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored."""
        request = self.request
        return bool(request.query) and request.param("dryRun") == "All"

    def note(self, key: str, value: str) -> None:
        """Has the audit log keep something of the request, where it keeps the request."""
        if (notes := self.request.notes) is not None:
            notes.annotate(key, value)

    def entry(self) -> Entry:
        """Returns the object asked for; raises NotFound."""
        entry = self.table.get(self.namespace, self.name)
        if entry is None:
            raise self.not_found()
        return entry

    def not_found(self) -> NotFound:
        """Returns the error that says the object does not exist."""
        return not_found(self.kind.group, self.kind.plural, self.name)
