"""Who owns which fields: the upkeep of `metadata.managedFields` for every ordinary write.

What a writer changes becomes theirs and nobody else's; what a write leaves alone stays as it was,
with its times. Server-side apply has rules of its own (`apply.py`). After structured-merge-diff's
Compare and apimachinery's managedfields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from steersman.model.fields import fieldset
from steersman.model.fields.comparison import compare
from steersman.model.fields.fieldset import FieldSet, Tree
from steersman.model.fields.shapes import Shapes
from steersman.model.fields.structure import ElementError, structure_of
from steersman.model.schema import Node

Document = Mapping[str, Any]
Entry = dict[str, Any]

MAX_UPDATE_ENTRIES: Final = 10  # upstream's bound; older ones are merged
ANCIENT: Final = "ancient-changes"
UNKNOWN: Final = "unknown"

_LEAF: Final[Tree] = {}
_META: Final = ("creationTimestamp", "selfLink", "uid", "clusterName", "generation")
_META_NAMED: Final = ("name", "namespace", "managedFields", "resourceVersion")
# what no writer ever owns (apimachinery's stripmeta.go)
_STRIPPED: Final = fieldset.of_paths(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(("f:metadata", f"f:{name}") for name in (*_META, *_META_NAMED)),
).tree


Elsewhere = Callable[[str], Tree]


class Writer(NamedTuple):
    """Who writes: an entry's identity. An applier's is the same whatever the version."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""


def stripped(tree: Tree) -> Tree:
    """Returns a set without what no writer owns: names, revision and the like."""
    return fieldset.difference(tree, _STRIPPED)


def update(
    entries: Sequence[Entry],
    old: Document | None,
    new: Document,
    node: Node,
    *,
    manager: str,
    api_version: str,
    time: str,
    subresource: str = "",
    reset: FieldSet | None = None,
    elsewhere: Elsewhere | None = None,
) -> list[Entry]:
    """Returns managedFields after an ordinary write; call it before mutating admission.

    entries:   those that count before the write (`counting`)
    time:      now, as it stands in documents (`2026-01-01T00:00:00Z`)
    reset:     what this writer may not write here and so cannot own (`status` on the main resource)
    elsewhere: what the write changes in another version, whose fields have other names; without it
               they are taken to be the same

    A write that changes nothing returns the entries as they are; so does one whose lists have items
    without a key, which validation will refuse in words of its own (upstream's UpdateNoErrors).
    """
    writer = Writer(manager or UNKNOWN, "Update", api_version, subresource)
    try:
        if old is None and not entries:
            own = _reset(_created(new, node), reset)
            return [entry_of(writer, own, time)] if own else []
        changed, removed = changes(old, new, node, reset)
        if not changed and not removed:
            return list(entries)
        everything = fieldset.union(changed, removed)
        if elsewhere is None:
            kept = given_up(entries, everything)
        else:
            kept = _given_up_by_version(entries, {api_version: everything}, elsewhere)
    except ElementError:
        return list(entries)
    own = stripped(changed)
    if own:
        kept = _taken_over(kept, writer, own, time)
    return in_order(_capped(kept))


def touched(old: Document, new: Document, node: Node, reset: FieldSet | None) -> Tree:
    """Returns all fields that a write changes or removes; raises ElementError."""
    return fieldset.union(*changes(old, new, node, reset))


def _given_up_by_version(
    entries: Iterable[Entry], known: dict[str, Tree], elsewhere: Elsewhere
) -> list[Entry]:
    """Takes from everybody what the write touched, by the names of the version they wrote in."""
    kept = []
    for entry in entries:
        version = entry["apiVersion"]
        if version not in known:
            known[version] = elsewhere(version)
        kept += given_up((entry,), known[version])
    return kept


def changes(
    old: Document | None, new: Document, node: Node, reset: FieldSet | None
) -> tuple[Tree, Tree]:
    """Returns the fields that a write changes, and those that it removes; raises ElementError."""
    if old is None:
        changed = _created(new, node)
        return (_reset(changed, reset), _LEAF)
    found = compare(old, new, node)
    return _reset(found.changed.tree, reset), _reset(found.removed.tree, reset)


def _reset(tree: Tree, reset: FieldSet | None) -> Tree:
    return tree if reset is None else fieldset.recursive_difference(tree, reset.tree)


_shapes: Final = Shapes()


def _created(new: Document, node: Node) -> Tree:
    """Returns what a creation makes the writer's; objects of the same shape share one answer."""

    def make() -> Tree:
        return stripped(compare(None, new, node).changed.tree)

    return _shapes.answer(new, structure_of(node), make)


def counting(live: Document | None, new: Document, subresource: str = "") -> list[Entry]:
    """Returns the entries that an ordinary write starts from.

    A client may set managedFields, or clear them with an empty list; what cannot be read, or comes
    through a subresource, does not count (apimachinery's decodeLiveOrNew).
    """
    ours = entries_of(live) if live is not None else []
    if subresource:
        return ours
    metadata = new.get("metadata") or {}
    theirs = metadata.get("managedFields")
    if theirs is None or (theirs == ours and live is not None):
        return ours
    if not theirs or theirs == [{}]:
        return []
    try:
        return [checked(entry, index) for index, entry in enumerate(theirs)]
    except fieldset.FieldSetError:
        return ours


def checked(entry: Any, index: int) -> Entry:
    """Returns an entry that came from outside in our form; raises fieldset.FieldSetError."""
    if not isinstance(entry, dict) or entry.get("operation") not in ("Apply", "Update"):
        raise fieldset.FieldSetError("operation must be `Apply` or `Update`")
    if not entry.get("apiVersion"):
        raise fieldset.FieldSetError("apiVersion must not be empty")
    if not entry.get("fieldsType"):
        raise fieldset.FieldSetError(f"missing fieldsType in managed fields entry {index}")
    if entry["fieldsType"] != "FieldsV1":
        text = f'invalid fieldsType "{entry["fieldsType"]}" in managed fields entry {index}'
        raise fieldset.FieldSetError(text)
    for name in ("manager", "subresource", "time"):
        if not isinstance(entry.get(name) or "", str):
            raise fieldset.FieldSetError(f"{name} must be a string")
    return {**entry, "fieldsV1": fieldset.parse(entry.get("fieldsV1") or {}).tree}


def writer_of(entry: Entry) -> Writer:
    """Returns whose an entry is."""
    version = "" if entry["operation"] == "Apply" else entry["apiVersion"]
    manager, subresource = entry.get("manager", ""), entry.get("subresource", "")
    return Writer(manager, entry["operation"], version, subresource)


def entry_of(writer: Writer, tree: Tree, time: str | None) -> Entry:
    """Returns the entry of a writer's set."""
    entry: Entry = {
        "manager": writer.manager,
        "operation": writer.operation,
        "apiVersion": writer.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": tree,
    }
    if time is not None:
        entry["time"] = time
    if writer.subresource:
        entry["subresource"] = writer.subresource
    return entry


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Returns entries as upstream sorts them: appliers first, then by time and by name."""
    listed = list(entries)
    return listed if len(listed) < 2 else sorted(listed, key=_place)


def _place(entry: Entry) -> tuple[Any, ...]:
    return (
        entry["operation"],
        _seconds(entry),
        entry.get("manager", ""),
        entry["apiVersion"],
        entry.get("subresource", ""),
    )


def _seconds(entry: Entry) -> int:
    time = entry.get("time")
    if not time:
        return 0
    try:
        return int(datetime.fromisoformat(time).timestamp())
    except ValueError:
        return 0


def entries_of(document: Document) -> list[Entry]:
    return (document.get("metadata") or {}).get("managedFields") or []


def given_up(entries: Iterable[Entry], touched: Tree) -> list[Entry]:
    """Takes from everybody what the write touched; entries that own nothing any more go."""
    kept = []
    for entry in entries:
        fields = entry.get("fieldsV1") or {}
        left = fieldset.difference(fields, touched)
        if left:
            kept.append(entry if left is fields else {**entry, "fieldsV1": left})
    return kept


def _taken_over(entries: list[Entry], writer: Writer, own: Tree, time: str) -> list[Entry]:
    others = []
    for entry in entries:
        if writer_of(entry) == writer:
            own = fieldset.union(own, entry["fieldsV1"])
        else:
            others.append(entry)
    return [*others, entry_of(writer, own, time)]


def _capped(entries: list[Entry]) -> list[Entry]:
    """Merges the oldest updates of each version, until there are no more than the bound."""
    updates = [entry for entry in entries if entry["operation"] == "Update"]
    excess = len(updates) - MAX_UPDATE_ENTRIES
    if excess <= 0:
        return entries
    updates.sort(key=lambda entry: (_seconds(entry), _identifier(entry)))
    first: dict[str, Entry] = {}
    gone: list[Entry] = []
    for entry in updates:
        if excess <= 0:
            break
        version = entry["apiVersion"]
        if version in first:
            bucket = first[version]
            merged = fieldset.union(entry["fieldsV1"], bucket["fieldsV1"])
            ancient = Writer(ANCIENT, "Update", version)
            gone += [bucket, entry]
            first[version] = entry_of(ancient, merged, entry.get("time"))
            excess -= 1
        else:
            first[version] = entry
    dropped = {id(entry) for entry in gone}
    left = [entry for entry in entries if id(entry) not in dropped]
    made = [bucket for bucket in first.values() if bucket not in entries]
    return left + [bucket for bucket in made if id(bucket) not in dropped]


def _identifier(entry: Entry) -> tuple[str, ...]:
    return tuple(writer_of(entry))
