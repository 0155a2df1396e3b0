"""How objects are named in the store: `/group/plural/namespace/name`, core's group being `core`."""

from __future__ import annotations

from sys import intern

from steersman.model.kind import Kind
from steersman.model.ref import Resource


def table_of(kind: Kind) -> Resource:
    """Returns the table that holds a kind's objects; two kinds may share one (events)."""
    return kind.stored_with or kind.resource


def key_of(table: Resource, namespace: str, name: str) -> str:
    """Returns an object's key; cluster-scoped objects have the empty namespace."""
    return f"/{table.group or 'core'}/{table.plural}/{namespace}/{name}"


def prefix_of(table: Resource, namespace: str = "") -> str:
    """Returns what the keys of a table, or of one namespace in it, begin with."""
    start = f"/{table.group or 'core'}/{table.plural}/"
    return f"{start}{namespace}/" if namespace else start


def parse(key: str) -> tuple[Resource, str, str]:
    """Returns a key's table, namespace and name; of few namespaces there are many objects."""
    _, group, plural, namespace, name = key.split("/", 4)
    return Resource("" if group == "core" else group, plural), intern(namespace), name
