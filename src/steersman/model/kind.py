"""`Kind`: all that the pipeline must know of one kind of object, as a value.

A custom resource is a `Kind` without code; a built-in one adds `prepare` and `check`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import field, structs

from steersman.model.errors import Cause
from steersman.model.ref import Ref, Resource

if TYPE_CHECKING:
    from steersman.model.decode import Admitted
    from steersman.model.schema import Node
    from steersman.model.structural.scaling import Scaling

Document = dict[str, Any]

# (new, old or None on create, subresource or "") -> a document, the argument is never changed
Prepare = Callable[[Document, Document | None, str], Document]
# (new, old or None on create, subresource or "") -> what is wrong, in upstream's order
Check = Callable[[Document, Document | None, str], Iterable[Cause]]
Convert = Callable[[Document], Document]
# (new, old or None on create, subresource or "") -> what its writer is told, though it is accepted
Warn = Callable[[Document, Document | None, str], Iterable[str]]

EVERY_FIELD = ("*",)
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Shape(Protocol):
    """The schema of a version that is no definition of the packed one (a custom resource's)."""

    @property
    def raw(self) -> Mapping[str, Any]:
        """The structural schema, for documents."""

    @property
    def node(self) -> Node:
        """The schema as field ownership and apply read it."""

    @property
    def scale(self) -> Scaling | None:
        """Where the numbers of the scale subresource stand, None where it has none."""

    def admit(self, document: Document) -> Admitted:
        """Takes a client's document into the version's shape, in place; raises BadRequest."""

    @property
    def webhook(self) -> object | None:
        """What converts to and from other versions by asking somebody, None for nobody."""

    def of(self, version: str) -> Shape | None:
        """Returns the schema of another version of the same kind, None where it has none such."""

    def before(self, stored: Document) -> Document | None:
        """Returns the document that `parse` will have converted, None where it has none."""

    def before_store(self, document: Document) -> Document | None:
        """Returns the document that `store` will have converted, None where it has none."""

    def parse(self, stored: Document) -> Document:
        """Returns a stored document, which may be of another version, in this one."""

    def store(self, document: Document) -> Document:
        """Returns a document of this version in the version in which it is stored."""


class Version(msgspec.Struct, frozen=True):
    """One version in which a kind is read and written.

    `definition` names its schema, or `shape` is it, and then also converts; conversions are None
    where the document is the same. `fresh` is the revision behind which every stored object was
    admitted by this very shape. `deprecation` is told to whoever uses it, of a minor from
    `deprecated` on. `gone` is the minor of
    Kubernetes 1 from which on upstream no longer serves the version, 0: not yet; `since` the one
    from which on it does so by default, 0: all that can be served do.
    """

    name: str
    definition: str
    to_storage: Convert | None = None
    from_storage: Convert | None = None
    deprecation: str = ""
    deprecated: int = 0
    shape: Shape | None = None
    fresh: int = 0
    gone: int = 0
    since: int = 0


class Subresource(msgspec.Struct, frozen=True):
    """A path below an object.

    `writes` are the only fields an update through it may change, as tuples of names; update,
    patch and apply all use them. `document` names the kind of its body where that is another
    ("autoscaling/v1 Scale"); the empty string means the object itself. `since` is as in `Version`.
    """

    name: str
    verbs: tuple[str, ...]
    writes: tuple[tuple[str, ...], ...] = ()
    document: str = ""
    since: int = 0


class Column(msgspec.Struct, frozen=True):
    """A printed column (metav1.TableColumnDefinition); `value` gets the document and the time.

    Priority 0 always shows, 1 in wide output.
    """

    name: str
    value: Callable[[Document, float], Any]
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


def unchanged(new: Document, _old: Document | None, _subresource: str) -> Document:
    """Prepares nothing."""
    return new


def no_remarks(_new: Document, _old: Document | None, _subresource: str) -> Iterable[str]:
    """Tells nothing."""
    return ()


def nothing_wrong(_new: Document, _old: Document | None, _subresource: str) -> Iterable[Cause]:
    """Finds nothing: the kind has no rules beyond its schema."""
    return ()


class Kind(msgspec.Struct, frozen=True):
    """A kind of object.

    storage:    the version in which it is stored; the first of `versions` is preferred
    former:     versions that are no longer part of the served minor (docs/adr/0019)
    selectable: field selectors beside metadata.name and metadata.namespace, each from a document
    spec_fields: top-level fields whose change raises metadata.generation; empty: no generation;
                 EVERY_FIELD: all but metadata, and the status where that has a path of its own
    spec_metadata: fields of the metadata whose change raises it too
    singular_name: what clients may use for the plural; empty: the kind in lower case
    list_name:  the kind of its lists; empty: the kind and "List"
    view:       the frozen typed form that parts read (a msgspec Struct), None: none yet
    complete:   defaults and checks are upstream's; False means "schema only"
    name_check: the messages for a bad name (names.py); the default is a DNS subdomain
    create_on_update: a PUT of an absent object creates it (leases, events, RBAC, ...)
    conditional: a PUT must name the revision that it is about
    strategic:  strategic merge patch is served; custom resources have none
    returns_deleted:  a DELETE answers with the object instead of a Status (pods, namespaces, ...)
    retire:     what a deletion changes as it begins, given the time (finalizers, conditions)
    as_read:    what of an object is worked out when it is read, given the time; None: nothing
    stored_with:  the resource under which objects are kept, where that is another kind's (Event)
    metadata_check: what `check` says of metadata, where neither defaults nor prepare nor check look
                at it elsewhere: then the rest of an object that a write keeps is not checked again
    templated:  many are made that differ in their metadata alone, and there is a `metadata_check`:
                what the rest of a new one comes to is remembered
    settled:    says of a view whether it may stay as it is, and is one of thousands that are much
                alike: then followed copies keep what they have in common once. None: of no view
    stored:     False for reviews and the like, which are answered and not kept
    resource:   its group and plural name
    """

    group: str
    name: str
    plural: str
    namespaced: bool
    versions: tuple[Version, ...]
    storage: str
    former: tuple[Version, ...] = ()
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    view: type[Any] | None = None
    prepare: Prepare = unchanged
    check: Check = nothing_wrong
    warn: Warn = no_remarks
    metadata_check: Check | None = None
    templated: bool = False
    settled: Callable[[Any], bool] | None = None
    subresources: tuple[Subresource, ...] = ()
    columns: tuple[Column, ...] = ()
    selectable: Mapping[str, Callable[[Document], str]] = field(default_factory=dict)
    spec_fields: tuple[str, ...] = ()
    spec_metadata: tuple[str, ...] = ()
    singular_name: str = ""
    list_name: str = ""
    name_check: Callable[[str], list[str]] | None = None
    complete: bool = False
    create_on_update: bool = False
    conditional: bool = False
    returns_deleted: bool = False
    strategic: bool = True
    retire: Callable[[Document, str], Document] | None = None
    as_read: Callable[[Document, float], Document] | None = None
    stored_with: Resource | None = None
    stored: bool = True
    resource: Resource = Resource("", "")  # worked out of group and plural, since it is asked often

    def __post_init__(self) -> None:
        structs.force_setattr(self, "resource", Resource(self.group, self.plural))

    @property
    def stored_api_version(self) -> str:
        """The apiVersion that its stored documents carry."""
        group = self.stored_with.group if self.stored_with else self.group
        return f"{group}/{self.storage}" if group else self.storage

    @property
    def singular(self) -> str:
        """The lower-case name that clients may use for the plural."""
        return self.singular_name or self.name.lower()

    @property
    def list_kind(self) -> str:
        """The kind of its lists."""
        return self.list_name or f"{self.name}List"

    def ref(self, namespace: str, name: str) -> Ref:
        """Returns a reference to one object of this kind."""
        return Ref(self.resource, namespace, name)

    def version(self, name: str) -> Version | None:
        """Returns a served version, None where there is none of that name."""
        for version in self.versions:
            if version.name == name:
                return version
        return None

    def subresource(self, name: str) -> Subresource | None:
        """Returns a subresource, None where there is none of that name."""
        for found in self.subresources:
            if found.name == name:
                return found
        return None

    def api_version(self, version: str = "") -> str:
        """Returns `group/version` (or `v1` in the core group)."""
        version = version or self.storage
        return f"{self.group}/{version}" if self.group else version
