"""What the client wants to be shown: objects, metadata alone, or a printed table.

Parses the Accept header (RFC 9110 section 12.5.1, upstream's `as`, `g`, `v` parameters) and turns
entries into what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
import orjson
from msgspec.structs import replace

from steersman.api.cache import Entry
from steersman.api.form import Form
from steersman.model.causes import invalid
from steersman.model.errors import BadRequest, NotAcceptable
from steersman.model.kind import Column, Document
from steersman.wire.media import PROTOBUF, YAML
from steersman.wire.message import JSON

Shape = Literal["object", "table", "metadata"]
IncludeObject = Literal["Metadata", "Object", "None"]

_PARTIAL, _LISTED = "PartialObjectMetadata", "PartialObjectMetadataList"
_OTHERS = (YAML, PROTOBUF)
_JSON = (JSON, "*/*", "application/*")


class Presentation(msgspec.Struct, frozen=True):
    """The form in which a client wants objects; `meta_version` is v1 or v1beta1. `listed` says that
    the metadata wanted is that of a list."""

    shape: Shape = "object"
    meta_version: str = "v1"
    media: str = JSON
    listed: bool = False


PLAIN = Presentation()


@lru_cache(maxsize=256)
def parse_accept(
    accept: str, *, builtin: bool = True, stream: bool = False, listed: bool = True
) -> Presentation:
    """Returns the first presentation of an Accept header that can be served; raises NotAcceptable.

    A custom resource's objects have no form in Protocol Buffers, a table has none, a stream none
    in YAML, and what is never `listed` (a review) none as a table.
    """
    if not accept:
        return PLAIN
    for media, parameters in _in_order(accept):
        if media not in _JSON and (media != PROTOBUF if stream else media not in _OTHERS):
            continue
        found = _presentation(parameters)
        if found is None or (media == PROTOBUF and not _has_protobuf(found, builtin)):
            continue
        if found.shape == "table" and not listed:
            continue
        return found if media in _JSON else replace(found, media=media)
    supported = [JSON, PROTOBUF] if stream else [JSON, *_OTHERS]
    if not builtin:
        supported.remove(PROTOBUF)
    shown = ", ".join(f"{media};stream=watch" if stream else media for media in supported)
    raise NotAcceptable(f"only the following media types are accepted: {shown}")


def _in_order(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Returns the media types of an Accept header with their parameters, those first that the
    client likes best and, of equals, those that name most (goautoneg.ParseAccept)."""
    choices = []
    for choice in accept.split(","):
        media, *rest = (part.strip() for part in choice.split(";"))
        choices.append((media, dict(part.split("=", 1) for part in rest if "=" in part)))
    return sorted(choices, key=_place)


def _place(choice: tuple[str, dict[str, str]]) -> tuple[float, bool, bool]:
    media, parameters = choice
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        quality = 1.0
    return (-quality, media.startswith("*"), media.endswith("/*"))


def _has_protobuf(presentation: Presentation, builtin: bool) -> bool:
    """Says whether there is such a form (apiserver: AllowsMediaTypeTransform)."""
    return presentation.shape == "metadata" or (presentation.shape == "object" and builtin)


def _presentation(parameters: dict[str, str]) -> Presentation | None:
    wanted = parameters.get("as", "")
    version = parameters.get("v", "v1")
    if wanted and (parameters.get("g") != "meta.k8s.io" or version not in ("v1", "v1beta1")):
        return None
    if wanted == "Table":
        return Presentation("table", version)
    if wanted in (_PARTIAL, _LISTED):
        return Presentation("metadata", version, listed=wanted == _LISTED)
    return None if wanted else PLAIN


def check_fits(form: Form, presentation: Presentation, *, listed: bool) -> None:
    """Refuses to show the metadata of one object as that of a list, and of a list as that of one
    object (apiserver: asPartialObjectMetadata)."""
    if presentation.shape != "metadata" or presentation.listed == listed:
        return
    raise _unfit(_LISTED if presentation.listed else _PARTIAL, listed, _go_type(form, listed))


def _unfit(wanted: str, listed: bool, found: str) -> NotAcceptable:
    what = "a list" if listed else "not a list"
    return NotAcceptable(f"you requested {wanted}, but the requested object is {what} ({found})")


def _go_type(form: Form, listed: bool) -> str:
    """Returns the type that upstream has of what is shown, as Go prints it."""
    if form.served.shape is not None:
        return "*unstructured.UnstructuredList" if listed else "*unstructured.Unstructured"
    kind = form.kind
    package = _PACKAGES.get(kind.group) or kind.group.partition(".")[0]
    return f"*{package}.{kind.list_kind if listed else kind.name}"


# Where upstream's internal types of a group are, if not by the first part of its name
_PACKAGES: Final = {
    "": "core",
    "events.k8s.io": "core",
    "internal.apiserver.k8s.io": "apiserverinternal",
}


class _Parts(msgspec.Struct, frozen=True):
    metadata: msgspec.Raw


_parts = msgspec.json.Decoder(_Parts)


def metadata_only(form: Form, entry: Entry, presentation: Presentation) -> bytes:
    """Returns the object as a PartialObjectMetadata; its metadata is cut out, not decoded."""
    metadata = _parts.decode(form.object(entry)).metadata
    return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%b","metadata":%b}' % (
        presentation.meta_version.encode(),
        metadata,
    )


# columns of a kind that declares none (printers.DefaultTableConvertor)
_DEFAULT_COLUMNS = (
    Column("Name", lambda document, _now: document["metadata"]["name"], format="name"),
    Column(
        "Created At",
        lambda document, _now: document["metadata"].get("creationTimestamp"),
        type="date",
    ),
)


def columns_of(form: Form) -> tuple[Column, ...]:
    """Returns the columns in which a kind is printed."""
    return form.kind.columns or _DEFAULT_COLUMNS


class Tables:
    """Renders entries of one form as a metav1.Table."""

    def __init__(
        self, form: Form, presentation: Presentation, include: IncludeObject, now: float
    ) -> None:
        self._form = form
        self._presentation = presentation
        self._include = include
        self._now = now
        self._columns = columns_of(form)

    def head(self, metadata: Document, *, with_columns: bool = True) -> Document:
        """Returns the table without rows."""
        columns = self._columns if with_columns else None
        return _table(columns, metadata, self._presentation)

    def row(self, entry: Entry) -> Document:
        """Returns one row; columns read the version in which a built-in kind is stored."""
        document = self._form.document(entry)
        read = entry.document() if self._form.converts else document
        cells = [column.value(read, self._now) for column in self._columns]
        return {"cells": cells, "object": _included(document, self._include, self._presentation)}

    def one(self, entry: Entry, *, with_columns: bool = True) -> bytes:
        """Returns the table of one object."""
        metadata = {"resourceVersion": str(entry.revision)}
        head = self.head(metadata, with_columns=with_columns)
        return orjson.dumps({**head, "rows": [self.row(entry)]})


def _table(
    columns: Iterable[Column] | None, metadata: Document, presentation: Presentation
) -> Document:
    """Returns a table without rows; without columns it is one that goes on."""
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{presentation.meta_version}",
        "metadata": metadata,
        "columnDefinitions": None if columns is None else [_definition(one) for one in columns],
    }


def _included(
    document: Document, include: IncludeObject, presentation: Presentation
) -> Document | None:
    """Returns what a row holds of its object."""
    if include == "Metadata":
        return _partial(document, presentation)
    return document if include == "Object" else None


def _partial(document: Document, presentation: Presentation) -> Document:
    """Returns a document as a PartialObjectMetadata."""
    version = f"meta.k8s.io/{presentation.meta_version}"
    head = {"kind": "PartialObjectMetadata", "apiVersion": version}
    return {**head, "metadata": document["metadata"]}


def _definition(column: Column) -> Document:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


Encoder = Callable[[Entry], bytes]


def encoder(form: Form, presentation: Presentation, include: str, now: float) -> Encoder:
    """Returns what turns one entry into a whole answer."""
    if presentation.shape == "object":
        return form.object
    if presentation.shape == "metadata":
        check_fits(form, presentation, listed=False)
        return lambda entry: metadata_only(form, entry, presentation)
    return Tables(form, presentation, include_object(include), now).one


def made(
    document: Document,
    columns: tuple[Column, ...],
    presentation: Presentation,
    include: str,
    now: float,
) -> bytes:
    """Returns an object that was made for this answer (a Scale) in the form the client wants."""
    if presentation.shape == "object":
        return orjson.dumps(document)
    if presentation.shape == "metadata" and presentation.listed:
        raise _unfit(_LISTED, False, f"*autoscaling.{document['kind']}")
    if presentation.shape == "metadata":
        return orjson.dumps(_partial(document, presentation))
    metadata = {"resourceVersion": document["metadata"]["resourceVersion"]}
    cells = [column.value(document, now) for column in columns]
    row = {"cells": cells, "object": _included(document, include_object(include), presentation)}
    return orjson.dumps({**_table(columns, metadata, presentation), "rows": [row]})


_INCLUDED: Final[dict[str, IncludeObject]] = {
    "": "Metadata",
    "Metadata": "Metadata",
    "Object": "Object",
    "None": "None",
}


def include_object(text: str) -> IncludeObject:
    """Returns the value of includeObject, Metadata where none is given; raises BadRequest."""
    if (found := _INCLUDED.get(text)) is not None:
        return found
    wrong = invalid("includeObject", text, "must be 'Metadata', 'Object', 'None', or empty")
    told = f"{wrong.field}: {wrong.message}"
    raise BadRequest(f"Unable to convert to Table as requested: {told}")


def binary_list(
    form: Form, presentation: Presentation
) -> tuple[Callable[[Document, list[bytes]], bytes], Callable[[Entry], bytes]]:
    """Returns how to write a list in Protocol Buffers, and each of its items."""
    from steersman.wire.protobuf import writer  # loaded with the first client

    check_fits(form, presentation, listed=True)
    api_version, kind = form.api_version, form.kind.list_kind
    definition = form.served.definition
    if presentation.shape == "metadata":
        api_version = f"meta.k8s.io/{presentation.meta_version}"
        kind, definition = "PartialObjectMetadataList", writer.METADATA
    write = writer.message(definition)
    return (
        lambda metadata, items: writer.encode_list(api_version, kind, metadata, items),
        lambda entry: write(form.document(entry)),
    )


def list_pieces(
    form: Form, presentation: Presentation, include: str, now: float
) -> tuple[Callable[[Document], bytes], Callable[[Entry], bytes]]:
    """Returns how to write a list's head (up to its items) and each item."""
    if presentation.shape == "table":
        tables = Tables(form, presentation, include_object(include), now)
        return (
            lambda metadata: orjson.dumps(tables.head(metadata))[:-1] + b',"rows":[',
            lambda entry: orjson.dumps(tables.row(entry)),
        )
    if presentation.shape == "metadata":
        check_fits(form, presentation, listed=True)
        version = f"meta.k8s.io/{presentation.meta_version}"
        return (
            lambda metadata: _list_head("PartialObjectMetadataList", version, metadata),
            lambda entry: metadata_only(form, entry, presentation),
        )
    name = form.kind.list_kind
    return lambda metadata: _list_head(name, form.api_version, metadata), form.item


def _list_head(kind: str, api_version: str, metadata: Any) -> bytes:
    head = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
    return orjson.dumps(head)[:-1] + b',"items":['
