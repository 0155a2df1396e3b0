"""Server-side apply: a manager says what it wants, and owns exactly that.

What it wanted before and wants no more goes, unless somebody else owns it; what somebody else
owns and has another value is a conflict, unless forced. After structured-merge-diff's Updater and
apimachinery's managedfields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from steersman.model import ownership
from steersman.model.errors import APIError, BadRequest, Cause, Conflict
from steersman.model.fields import comparison, fieldset, granular
from steersman.model.fields.fieldset import FieldSet, Tree
from steersman.model.fields.repeated import Configuration
from steersman.model.fields.structure import ElementError, Structure, structure_of
from steersman.model.gotext import quote, shown
from steersman.model.ownership import Entry, Writer
from steersman.model.patch import equal
from steersman.model.schema import Node

Document = dict[str, Any]

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY: Final = "before-first-apply"
MAX_ANNOTATIONS_BYTES: Final = 256 * 1024  # upstream's TotalAnnotationSizeLimitB

_LEAF: Final[Tree] = {}

# Returns what is changed and what is removed in another version, whose fields have other names,
# where the object becomes this one; raises what keeps it from being known
Elsewhere = Callable[[str, Document], tuple[Tree, Tree]]


class ApplyFailed(APIError):
    """A configuration that does not fit its kind: a plain error upstream, code 500, no reason."""

    code = 500
    reason = ""


class Clash(NamedTuple):
    """What another writer owns and would lose."""

    writer: Writer
    fields: FieldSet


class Conflicts(Conflict):
    """Other managers own fields to which the configuration gives another value (409)."""

    def __init__(self, clashes: list[Clash]) -> None:
        self.clashes = sorted(clashes, key=lambda clash: _identifier(clash.writer))
        causes = [
            Cause("FieldManagerConflict", f"conflict with {_shown(clash.writer)}", path)
            for clash in self.clashes
            for path in map(fieldset.text_of, clash.fields)
        ]
        super().__init__(_conflict_message(self.clashes), causes=causes)


class _Request(NamedTuple):
    """What stays the same while a configuration is applied.

    given: the fields that it gives values to
    plain: nothing about it is odd, so that no null is in it
    """

    live: Mapping[str, Any] | None
    applied: Configuration
    node: Node
    structure: Structure
    writer: Writer
    api_version: str
    time: str
    reset: FieldSet
    given: Tree
    plain: bool
    elsewhere: Elsewhere | None


def apply(
    live: Mapping[str, Any] | None,
    applied: Mapping[str, Any],
    node: Node,
    *,
    manager: str,
    force: bool,
    api_version: str,
    time: str,
    subresource: str = "",
    reset: FieldSet | None = None,
    elsewhere: Elsewhere | None = None,
) -> Document:
    """Applies a configuration; the result holds its managedFields and is not yet defaulted.

    live:  the object as it is, in the configuration's version; None where it is to be created
    reset: what may not be written here (`status` on the main resource) and so is not owned
    elsewhere: what others own who wrote in another version is told by; without it all versions are
               taken to have the same names

    A configuration that changes nothing returns an equal object, its times included. Raises
    Conflicts (409), BadRequest (400) and ApplyFailed (500) with upstream's texts.
    """
    structure = structure_of(node)
    _check_head(applied, api_version)
    configuration = Configuration(applied, structure)
    given = configuration.given()
    plain = given is not None
    if given is None:
        _check(applied, structure, api_version)
        given = comparison.given(applied, structure)
    writer = Writer(manager or ownership.UNKNOWN, "Apply", "", subresource)
    reset = reset or FieldSet()
    request = _Request(
        *(live, configuration, node, structure, writer, api_version, time, reset, given, plain),
        elsewhere,
    )
    try:
        merged = _applied(request, force)
    except Conflicts as conflicts:
        if manager != "kubectl":
            raise
        _excuse(conflicts, request)
        merged = _applied(request, True)
    except ElementError as error:
        raise ApplyFailed(f"failed to merge config: {error}") from None
    return _with_last_applied(merged, applied) if manager == "kubectl" else merged


def _check_head(applied: Mapping[str, Any], api_version: str) -> None:
    version = applied.get("apiVersion", "")
    if version != api_version:
        raise BadRequest(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {version}, expected: {api_version}"
        )
    metadata = applied.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")


def _check(applied: Mapping[str, Any], structure: Structure, api_version: str) -> None:
    metadata = applied.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if problems := granular.check(applied, structure):
        group = "" if "/" in api_version else "/"
        name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
        kind = f"{group}{api_version}, Kind={applied.get('kind', '')}"
        told = granular.told(problems)
        raise ApplyFailed(f"failed to create typed patch object ({name}; {kind}): {told}")


def _applied(request: _Request, force: bool) -> Document:
    live, structure, writer = request.live, request.structure, request.writer
    entries = _known_entries(request)
    last, others = _split(entries, writer)
    base = comparison.bare(live) if live is not None else {}
    wanted = fieldset.recursive_difference(request.given, request.reset.tree)
    own = ownership.stripped(wanted)
    merged = laid = request.applied.merged(base)
    if last != own:
        merged = _pruned(laid, last, wanted, others, structure)
    changes = comparison.compare(live, merged, request.node)
    changed = fieldset.recursive_difference(changes.changed.tree, request.reset.tree)
    removed = fieldset.recursive_difference(changes.removed.tree, request.reset.tree)
    left = _left(request, others, merged, (changed, removed), force)
    same = live is not None and equal(base, merged)
    if own:
        left.append(_own_entry(request, own, entries, same))
    if same:
        return _finished(dict(base), left)
    if request.plain and merged is laid and request.node.definition:
        # nothing was cut out, and no object of a built-in kind holds a null that is none
        return _finished(dict(merged), left)
    return _finished(_without_nulls(merged, live or {}, structure), left)


def _known_entries(request: _Request) -> list[Entry]:
    """Returns the live entries; what was there before anybody was noted belongs to somebody."""
    if request.live is None:
        return []
    entries = ownership.entries_of(request.live)
    if entries:
        return entries
    return ownership.update(
        [],
        None,
        request.live,
        request.node,
        manager=BEFORE_FIRST_APPLY,
        api_version=request.api_version,
        time=request.time,
        subresource=request.writer.subresource,
        reset=request.reset,
    )


def _split(entries: list[Entry], writer: Writer) -> tuple[Tree, list[Entry]]:
    """Returns what the applier owned, and the entries of all others."""
    last: Tree = _LEAF
    others = []
    for entry in entries:
        if ownership.writer_of(entry) == writer:
            last = entry.get("fieldsV1") or _LEAF
        else:
            others.append(entry)
    return last, others


def _pruned(
    merged: Any, last: Tree, wanted: Tree, others: list[Entry], structure: Structure
) -> Any:
    """Takes out what the applier owned, wants no more, and nobody else owns."""
    if not fieldset.difference(last, wanted):
        return merged
    managed = wanted
    for entry in others:
        managed = fieldset.union(managed, entry.get("fieldsV1") or _LEAF)
    owned = granular.with_named(last, structure)
    all_there = granular.with_named(comparison.given(merged, structure), structure)
    # first all that was owned, then back what is still wanted, then back what was never owned:
    # the order decides what happens to the containers around
    cut = granular.remove(merged, owned, structure)
    kept = fieldset.union(_named_in(cut, structure), granular.with_named(managed, structure))
    cut = granular.remove(merged, fieldset.difference(all_there, kept), structure)
    gone = fieldset.difference(all_there, _named_in(cut, structure))
    return granular.remove(merged, fieldset.intersection(gone, owned), structure) or {}


def _named_in(value: Any, structure: Structure) -> Tree:
    return granular.with_named(comparison.given(value, structure), structure)


def _left(
    request: _Request,
    others: list[Entry],
    merged: Document,
    touched: tuple[Tree, Tree],
    force: bool,
) -> list[Entry]:
    """Returns what others own afterwards; raises Conflicts."""
    own, elsewhere = request.api_version, request.elsewhere
    groups: dict[str, list[Entry]] = {own: others}
    if elsewhere is not None:
        groups = {}
        for entry in others:
            groups.setdefault(entry["apiVersion"], []).append(entry)
    clashes: list[Clash] = []
    left: list[Entry] = []
    for version, entries in groups.items():
        changed, removed = touched
        if version != own and elsewhere is not None:
            changed, removed = elsewhere(version, merged)
        if not force:
            clashes += _clashes(entries, changed)
        left += ownership.given_up(entries, fieldset.union(changed, removed))
    if clashes:
        raise Conflicts(clashes)
    return left


def _clashes(others: list[Entry], changed: Tree) -> list[Clash]:
    sets = [(entry, FieldSet(entry.get("fieldsV1"))) for entry in others]
    changes = FieldSet(changed)
    clashes = [Clash(ownership.writer_of(entry), fields & changes) for entry, fields in sets]
    return [clash for clash in clashes if clash.fields]


def _own_entry(request: _Request, own: Tree, entries: list[Entry], same: bool) -> Entry:
    time: str | None = request.time
    if same:
        mine = (entry for entry in entries if ownership.writer_of(entry) == request.writer)
        time = next((entry.get("time") for entry in mine), None)
    writer = request.writer._replace(api_version=request.api_version)
    return ownership.entry_of(writer, own, time)


def _finished(document: Document, entries: list[Entry]) -> Document:
    if entries:
        metadata = document.get("metadata") or {}
        managed = ownership.in_order(entries)
        document["metadata"] = {**metadata, "managedFields": managed}
    return document


def _without_nulls(value: Any, live: Any, structure: Structure) -> Any:
    """Drops the nulls that merging or pruning left: they mean that the field is not there."""
    if not isinstance(value, dict) or structure.kind != "map" or structure.leaf:
        return value
    live = live if isinstance(live, dict) else {}
    left = {}
    for name, item in value.items():
        child = structure.child(name)
        if item is None and live.get(name, 0) is not None and not _may_be_null(child):
            continue
        unchanged = item is live.get(name)
        left[name] = item if unchanged else _tidied(item, live.get(name), child)
    return left


def _tidied(value: Any, live: Any, structure: Structure) -> Any:
    if isinstance(value, list) and structure.kind == "list" and not structure.leaf:
        return [_without_nulls(item, None, structure.items) for item in value]
    return _without_nulls(value, live, structure)


def _may_be_null(structure: Structure) -> bool:
    return structure.node is None or bool(structure.node.raw.get("nullable"))


def _excuse(conflicts: Conflicts, request: _Request) -> None:
    """Lets kubectl take over what it set with client-side apply; raises the other conflicts.

    A field is excused where the live value is that of the annotation kubectl left.
    """
    excused = _last_applied_fields(request)
    if excused is None:
        raise conflicts
    left = [Clash(writer, fields - excused) for writer, fields in conflicts.clashes]
    left = [clash for clash in left if clash.fields]
    if left:
        raise Conflicts(left)


def _last_applied_fields(request: _Request) -> FieldSet | None:
    live = request.live or {}
    annotations = (live.get("metadata") or {}).get("annotations") or {}
    text = annotations.get(LAST_APPLIED)
    if not text:
        return None
    try:
        last = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    if not isinstance(last, dict) or last.get("apiVersion") != request.api_version:
        return None
    if granular.check(last, request.structure):
        return None
    changes = comparison.compare(last, live, request.node)
    return comparison.of(last, request.node) - changes.changed - changes.removed


def _with_last_applied(merged: Document, applied: Mapping[str, Any]) -> Document:
    """Keeps kubectl's annotation true where there is one, so that a client may go back."""
    metadata = merged.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return merged
    changed = {**annotations, LAST_APPLIED: _last_applied_text(applied)}
    size = sum(len(key.encode()) + len(value.encode()) for key, value in changed.items())
    if size > MAX_ANNOTATIONS_BYTES:
        del changed[LAST_APPLIED]
    return {**merged, "metadata": {**metadata, "annotations": changed}}


def _last_applied_text(applied: Mapping[str, Any]) -> str:
    metadata = applied.get("metadata") or {}
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(LAST_APPLIED, None)
    left = {name: value for name, value in metadata.items() if name != "annotations"}
    if annotations:
        left["annotations"] = annotations
    encoded = msgspec.json.encode({**applied, "metadata": left}, order="sorted")
    return encoded.decode() + "\n"


def _identifier(writer: Writer) -> str:
    named = {"manager": writer.manager, "operation": writer.operation}
    if writer.api_version:
        named["apiVersion"] = writer.api_version
    if writer.subresource:
        named["subresource"] = writer.subresource
    return shown({name: value for name, value in named.items() if value})


def _shown(writer: Writer) -> str:
    text = quote(writer.manager)
    if writer.subresource:
        text = f"{text} with subresource {quote(writer.subresource)}"
    return f"{text} using {writer.api_version}" if writer.operation == "Update" else text


def _conflict_message(clashes: list[Clash]) -> str:
    count = sum(len(clash.fields) for clash in clashes)
    if count == 1:
        ((writer, fields),) = clashes
        path = fieldset.text_of(next(iter(fields)))
        return f"Apply failed with 1 conflict: conflict with {_shown(writer)}: {path}"
    lines = []
    for writer, fields in clashes:
        lines.append(f"conflicts with {_shown(writer)}:")
        lines += [f"- {fieldset.text_of(path)}" for path in fields]
    return f"Apply failed with {count} conflicts: {chr(10).join(lines)}"
