"""Who owns which fields: keeps managedFields true with every write.

The algebra is the model's; here is only which manager writes and which fields do not count.
"""

from __future__ import annotations

from functools import cache

from steersman.api.call import Call
from steersman.api.custom import conversion
from steersman.model import apply, builtin, ownership, schema
from steersman.model.errors import Unexplained
from steersman.model.fields import fieldset
from steersman.model.fields.fieldset import FieldSet, Tree
from steersman.model.fields.structure import ElementError
from steersman.model.kind import Document, Kind, Version
from steersman.model.ownership import Elsewhere, Entry
from steersman.model.schema import Node
from steersman.model.times import rfc3339

# A manager's name is cut to this (metav1 FieldManagerMaxLength)
MANAGER_LENGTH = 128


@cache
def _builtin_node(definition: str) -> Node:
    return schema.builtin().definition(definition)


def node_of(call: Call) -> Node:
    """Returns the schema of the version that a call is made in."""
    return node_of_version(call.kind, call.version)


def node_of_version(kind: Kind, version: Version) -> Node:
    """Returns the schema by which documents of a version are merged and owned."""
    if version.shape is not None:
        return version.shape.node
    return _builtin_node(builtin.definition_of(kind, version))


def manager_of(call: Call) -> str:
    """Returns the field manager: the parameter, or the user agent up to its slash."""
    request = call.request
    if request.query and (named := request.param("fieldManager")):
        return named
    agent = request.headers.get("user-agent", "")
    return agent.split("/", 1)[0][:MANAGER_LENGTH] or "unknown"


@cache
def _status() -> FieldSet:
    return fieldset.of_paths(("f:status",))


@cache
def _all_but_status() -> FieldSet:
    return fieldset.of_paths(("f:metadata",), ("f:spec",))


def reset_of(call: Call) -> FieldSet | None:
    """Returns the fields that this call cannot write and so cannot own: the status, through the
    main resource of a kind that has it as a subresource; through the status of a custom resource,
    all else."""
    if call.kind.subresource("status") is None:
        return None
    if not call.subresource:
        return _status()
    if call.subresource == "status" and call.version.shape is not None:
        return _all_but_status()
    return None


def _shown(version: Version, document: Document) -> Document:
    """Returns a document that is in the version in which it is changed in another."""
    return version.from_storage(document) if version.from_storage else document


def _elsewhere(
    call: Call, entries: list[Entry], old: Document | None, new: Document
) -> Elsewhere | None:
    """Returns what tells the changes of a write by the names of another version; None where
    nobody wrote in one that has names of its own."""
    kind = call.kind
    own = call.form.api_version
    if old is None or all(entry["apiVersion"] == own for entry in entries):
        return None
    if call.version.shape is not None:
        custom = _custom_elsewhere(call, old)
        return None if custom is None else lambda version: _touched(custom, version, new)
    versions = {kind.api_version(version.name): version for version in kind.versions}

    def changed(api_version: str) -> Tree:
        version = versions.get(api_version, call.version)
        node = node_of_version(kind, version)
        return ownership.touched(_shown(version, old), _shown(version, new), node, reset_of(call))

    return changed


def _touched(changes: apply.Elsewhere, api_version: str, new: Document) -> Tree:
    """Returns what a write touches in another version; a webhook that fails keeps an ordinary write
    from changing who owns what, and from nothing else (upstream's UpdateNoErrors)."""
    try:
        return fieldset.union(*changes(api_version, new))
    except Unexplained as error:
        raise ElementError(str(error)) from error


def applied_elsewhere(call: Call, live: Document) -> apply.Elsewhere | None:
    """Returns what tells the changes of an apply by the names of another version; None where all
    have the same, and for built-in kinds, of which two alone have others."""
    return None if call.version.shape is None else _custom_elsewhere(call, live)


def _custom_elsewhere(call: Call, old: Document) -> apply.Elsewhere | None:
    """Returns what tells by which fields an object differs from an old one in another version, as
    a webhook converts both; it raises Awaiting, and Unexplained where the webhook fails."""
    shape = call.version.shape
    if shape is None or shape.webhook is None:
        return None

    def changed(api_version: str, new: Document) -> tuple[Tree, Tree]:
        before, after = _unowned(old), _unowned(new)
        other = shape.of(api_version.rpartition("/")[2]) or shape
        if other is not shape:
            both = [before, after]
            before, after = conversion.other_version(call.form, both, api_version)
        return ownership.changes(before, after, other.node, reset_of(call))

    return changed


def _unowned(document: Document) -> Document:
    """Returns a document as managers see it: without who owns what of it, and its revision."""
    left = ("managedFields", "resourceVersion")
    meta = {name: value for name, value in document["metadata"].items() if name not in left}
    return {**document, "metadata": meta}


def update(call: Call, old: Document | None, new: Document, now: float) -> Document:
    """Returns the document with managedFields brought up to date for this writer.

    To be called before admission changes the document: what the server adds belongs to nobody.
    """
    counting = ownership.counting(old, new, call.subresource)
    version = call.version
    entries = ownership.update(
        counting,
        _shown(version, old) if old is not None else None,
        _shown(version, new),
        node_of(call),
        manager=manager_of(call),
        api_version=call.form.api_version,
        time=rfc3339(now),
        subresource=call.subresource,
        reset=reset_of(call),
        elsewhere=_elsewhere(call, counting, old, new),
    )
    meta = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
    if entries:
        meta["managedFields"] = entries
    return {**new, "metadata": meta}
