"""Who owns which fields: keeps managedFields true with every write.

The algebra is the model's; here is only which manager writes and which fields do not count.
"""

from __future__ import annotations

from functools import cache

from steersman.api.call import Call
from steersman.model import builtin, ownership, schema
from steersman.model.fields import fieldset
from steersman.model.fields.fieldset import FieldSet, Tree
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
    if old is None or call.version.shape is not None:
        return None  # custom resources are not converted for this
    if all(entry["apiVersion"] == own for entry in entries):
        return None
    versions = {kind.api_version(version.name): version for version in kind.versions}

    def changed(api_version: str) -> Tree:
        version = versions.get(api_version, call.version)
        node = node_of_version(kind, version)
        return ownership.touched(_shown(version, old), _shown(version, new), node, reset_of(call))

    return changed


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
