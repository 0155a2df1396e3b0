"""From a request's body to a document of the right kind, with upstream's words where it is not.

The body's size was bounded by the transport. Nesting is bounded by the parser (orjson: 1,024).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steersman.api.call import Call
from steersman.model import builtin, decode
from steersman.model.decode import Admitted
from steersman.model.errors import BadRequest, UnsupportedMediaType
from steersman.model.kind import Document, Kind, Version
from steersman.wire import json
from steersman.wire.media import PROTOBUF, YAML
from steersman.wire.message import JSON, Request

ACCEPTED = f"{JSON}, {YAML}, {PROTOBUF}"
# Characters of all warnings of an answer; where there are more, each has so many at most
# (apiserver: truncateAtTotalRunes, truncateItemRunes)
MOST_WARNED = 4 * 1024
WARNING_CUT = 256
# How much of a body that nobody understands is shown in the error (apiserver: summarizeData)
SHOWN_BYTES = 30
# Go takes 10,000 levels; what nests deeper than this cannot be encoded here (orjson: 254)
MOST_NESTED = 200
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NO_KIND = "couldn't get version/kind; json parse error: "


def media_type(request: Request) -> str:
    """Returns the body's media type without parameters; JSON where none is named."""
    return request.headers.get("content-type", "application/json").split(";")[0].strip().lower()


def parse_any(request: Request, definition: str = "", repeated: list[str] | None = None) -> Any:
    """Returns the body's value from JSON, YAML, or the protobuf form of a definition. Keys that
    YAML gives twice are told in `repeated`.

    Raises UnsupportedMediaType, ValueError for a body that cannot be read.
    """
    kind = media_type(request)
    if kind in (JSON, ""):
        return json.load(request.body)
    if kind == YAML:
        from steersman.wire import yaml  # loaded with the first YAML body

        return yaml.load(request.body, repeated)
    if kind == PROTOBUF and definition:
        return parse_protobuf(request.body, definition)
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: "
        f"{ACCEPTED}"
    )


def parse_protobuf(body: bytes, definition: str) -> Document:
    """Returns the object of a protobuf body; one of another kind keeps its names alone."""
    from steersman.wire.protobuf import objects  # loaded with the first client that sends it

    found = objects.unwrap(body)
    head = {"apiVersion": found.api_version, "kind": found.kind}
    if definition.rsplit(".", 1)[1] != found.kind and found.kind:
        return head
    try:
        return {**head, **objects.decode(definition, found.raw)}
    except KeyError as error:
        raise UnsupportedMediaType(
            f"{found.kind} is not served in protobuf here, send application/json"
        ) from error


def parse(call: Call) -> Document:
    """Returns the body as a document whose kind and version are those of the call."""
    try:
        value = read(call, call.version.definition)
    except Unreadable as error:
        raise unrecognized(call, str(error)) from error
    check_type(call, value)
    if media_type(call.request) in (JSON, ""):
        note_keys(call, value)
    return value


class Unreadable(BadRequest):
    """The body is no object that says what it is."""


def read(call: Call, definition: str) -> Document:
    """Returns the body as a document of whatever kind; raises Unreadable."""
    try:
        value = parse_any(call.request, definition, call.repeated)
    except json.BadJSON as error:
        raise Unreadable(f"{_NO_KIND}{error}") from error
    except ValueError as error:
        raise Unreadable(str(error)) from error
    if is_too_deep(call.request.body, value):
        raise Unreadable(f"{_NO_KIND}{json.TOO_DEEP}")
    if not isinstance(value, dict):
        struct = (
            'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
            'Kind string "json:\\"kind,omitempty\\"" }'
        )
        what = f"{_go_name(value)} into Go value of type {struct}"
        raise Unreadable(f"{_NO_KIND}json: cannot unmarshal {what}")
    for name in ("apiVersion", "kind"):
        if not isinstance(value.get(name, ""), str | None):
            what = f"{_go_name(value[name])} into Go struct field .{name} of type string"
            raise Unreadable(f"{_NO_KIND}json: cannot unmarshal {what}")
    return value


def is_too_deep(data: bytes, value: Any) -> bool:
    """Says whether a body nests deeper than can be kept. Few bodies have so many brackets that
    they need to be walked."""
    if data[:1] in (b"{", b"[") and data.count(b"{") + data.count(b"[") <= MOST_NESTED:
        return False
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level:
        depth += 1
        if depth > MOST_NESTED + 1:
            return True
        parts = (item.values() if isinstance(item, dict) else item for item in level)
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list)]
    return False


def read_as(call: Call, definition: str) -> Document:
    """Returns the body of a subresource: a document of a definition, its types checked and its
    defaults set; one without a kind is taken as right. Raises BadRequest."""
    kind = definition.rsplit(".", 1)[1]
    version = definition.rsplit(".", 2)[1]
    value = read(call, definition)
    if (value.get("kind") or kind) != kind:
        raise BadRequest(
            f'{value["kind"]} in version "{version}" cannot be handled as a {kind}: converting '
            f"({version}.{value['kind']}) to ({version}.{kind}): unknown conversion"
        )
    return decode.admit(definition, value, kind, version).document


def check_type(call: Call, document: Mapping[str, Any]) -> None:
    """Refuses a document of another kind or version; what it leaves out is taken as right."""
    expected = call.form.api_version
    if call.version.shape is not None:
        check_custom_type(call, document)
        return
    given = document.get("apiVersion") or expected
    kind = document.get("kind") or call.kind.name
    if given == expected and kind == call.kind.name:
        return
    group, _, version = given.rpartition("/")
    handled = f'{kind} in version "{version}" cannot be handled as a {call.kind.name}'
    if builtin.by_kind(group, version, kind) is None:
        where = f'for version "{given}" in scheme "pkg/api/legacyscheme/scheme.go:30"'
        raise BadRequest(f'{handled}: no kind "{kind}" is registered {where}')
    if given != expected:
        raise another_version(given, expected)
    raise BadRequest(
        f"{handled}: converting ({version}.{kind}) to "
        f"({call.kind.group or 'core'}.{call.kind.name}): unknown conversion"
    )


def check_custom_type(call: Call, document: Mapping[str, Any]) -> None:
    """Refuses a custom resource that does not say what it is; its kind is checked with the rest."""
    if not document.get("kind"):
        text = call.request.body.decode("utf-8", "replace")
        raise unrecognized(call, f"Object 'Kind' is missing in '{text}'")
    given = document.get("apiVersion") or ""
    if given != call.form.api_version:
        raise another_version(given, call.form.api_version)


def another_version(given: str, expected: str) -> BadRequest:
    """Says that a body is of another version than its path."""
    return BadRequest(
        f"the API version in the data ({given}) does not match the expected API version "
        f"({expected})"
    )


def unrecognized(call: Call, why: str) -> BadRequest:
    """Says that a body is no object at all (apiserver: transformDecodeError)."""
    return BadRequest(
        f"the object provided is unrecognized (must be of type {call.kind.name}): {why} "
        f"({_summary(call.request.body)})"
    )


def _summary(body: bytes) -> str:
    if not body:
        return "<empty>"
    cut = body[:SHOWN_BYTES]
    more = " ..." if len(body) > SHOWN_BYTES else ""
    if body[:1] == b"{":
        return cut.decode("utf-8", "replace") + more
    return cut.hex() + more


def _go_name(value: object) -> str:
    names = {list: "array", str: "string", bool: "bool", type(None): "null"}
    return names.get(type(value), "number")


def admit(kind: Kind, version: Version, document: Document) -> Admitted:
    """Takes a client's document, in place: pruned, with defaults, in the version in which it is
    changed and checked; raises BadRequest."""
    if version.shape is not None:
        return version.shape.admit(document)
    definition = builtin.definition_of(kind, version)
    admitted = decode.admit(definition, document, kind.name, version.name)
    return Admitted(_to_storage(kind, version, admitted.document), admitted.unknown)


def _to_storage(kind: Kind, version: Version, document: Document) -> Document:
    if version.to_storage is None:
        return document
    converted = version.to_storage(document)
    storage = builtin.storage_of(kind)
    return decode.admit(storage.definition, converted, kind.name, storage.name).document


def unknown_fields(call: Call, unknown: tuple[str, ...]) -> tuple[str, ...]:
    """Decides what unknown and repeated fields come to: warnings to send, or BadRequest where
    validation is strict."""
    texts = faults(call, unknown)
    if not texts or (wanted := call.request.param("fieldValidation") or "Warn") == "Ignore":
        return ()
    if wanted == "Warn":
        return (*call.repeated, *texts[bool(call.repeated) :])
    raise BadRequest(
        f'{call.kind.name} in version "{call.version.name}" cannot be handled as a '
        f"{call.kind.name}: strict decoding error: {', '.join(texts)}"
    )


def faults(call: Call, unknown: tuple[str, ...]) -> tuple[str, ...]:
    """Returns what a strict decoder says of a body: what YAML repeats, in one text with its lines,
    then what it says of JSON. That of a patch speaks of the patch first."""
    texts = tuple(f'unknown field "{path}"' for path in unknown)
    if call.repeated:
        return (repeated_in_yaml(call), *texts)
    if not call.noted:
        return texts
    (keys,) = call.noted
    if call.version.shape is None and call.attributes.verb != "patch":
        return keys.merge(unknown)
    return (*keys.told("json patch " if call.request.body[:1] == b"[" else ""), *texts)


def repeated_in_yaml(call: Call) -> str:
    """Returns go-yaml's error about keys that were given before."""
    return "".join(["yaml: unmarshal errors:", *(f"\n  {line}" for line in call.repeated)])


def note_keys(call: Call, value: Any) -> None:
    """Notes the keys of a body in JSON that may give one twice, before its value is changed."""
    if json.may_repeat(call.request.body, value):
        call.noted.append(json.keys(call.request.body))


def warnings(texts: tuple[str, ...]) -> dict[str, str] | None:
    """Returns the headers that carry warnings, each once (RFC 7234 section 5.5, code 299).

    Those with control characters are left out, and where all are too long each is cut (apiserver:
    filters/warning.go).
    """
    kept = [text for text in dict.fromkeys(texts) if text and not _CONTROL.search(text)]
    if sum(map(len, kept)) > MOST_WARNED:
        kept = list(_cut(kept))
    if not kept:
        return None
    escaped = (text.replace("\\", "\\\\").replace('"', '\\"') for text in kept)
    return {"Warning": ", ".join(f'299 - "{text}"' for text in escaped)}


def _cut(texts: Sequence[str]) -> Iterator[str]:
    told = 0
    for text in texts:
        if told >= MOST_WARNED:
            return
        yield text[:WARNING_CUT]
        told += len(text[:WARNING_CUT])
