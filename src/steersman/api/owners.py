"""Who owns which fields: keeps managedFields true with every write.

The algebra is the model's; here is only which manager writes and which fields do not count.
"""

from __future__ import annotations

from functools import cache

from steersman.api.call import Call
from steersman.model import builtin, ownership, schema
from steersman.model.fields import fieldset
from steersman.model.fields.fieldset import FieldSet
from steersman.model.kind import Document, Kind, Version
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


def _node_of_stored(call: Call) -> Node:
    """Returns the schema of the version in which a call's documents are changed: another than its
    own where that is converted."""
    if call.version.to_storage is None:
        return node_of(call)
    return _builtin_node(builtin.storage_of(call.kind).definition)


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


def update(call: Call, old: Document | None, new: Document, now: float) -> Document:
    """Returns the document with managedFields brought up to date for this writer.

    To be called before admission changes the document: what the server adds belongs to nobody.
    """
    entries = ownership.update(
        ownership.counting(old, new, call.subresource),
        old,
        new,
        _node_of_stored(call),
        manager=manager_of(call),
        api_version=call.form.api_version,
        time=rfc3339(now),
        subresource=call.subresource,
        reset=reset_of(call),
    )
    meta = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
    if entries:
        meta["managedFields"] = entries
    return {**new, "metadata": meta}
