"""A reference to one object: which kind, which namespace, which name."""

from __future__ import annotations

from typing import NamedTuple


class Resource(NamedTuple):
    """A resource type by API group and plural name; `core` is the empty group."""

    group: str
    plural: str

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Ref(NamedTuple):
    """One object; `namespace` is empty for cluster-scoped kinds."""

    kind: Resource
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"
