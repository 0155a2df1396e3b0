"""What a controller declares about itself, and the RBAC documents generated from it.

Its role grants reads of what it watches, the writes it names, and events; nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import field

from steersman.client.interface import Views
from steersman.model.kind import Document, Kind
from steersman.model.ref import Ref

# (views, old or None, new or None) -> the objects to reconcile
To = Callable[[Views, Any | None, Any | None], Iterable[Ref]]
GROUP = "rbac.authorization.k8s.io"
PREFIX = "steersman:controller:"
NAMESPACE = "kube-system"  # where upstream keeps the controllers' ServiceAccounts


class Watch(msgspec.Struct, frozen=True):
    """A kind that a controller follows, and which objects are to be reconciled on a change.

    `indexes` are made on the view before it is read. `metadata` asks for the metadata-only copy.
    """

    kind: Kind
    to: To
    indexes: Mapping[str, Callable[[Any], Iterable[str]]] = field(default_factory=dict)
    metadata: bool = False


class Rule(msgspec.Struct, frozen=True):
    """One rule of a role (rbac/v1 PolicyRule); subresources are written `pods/status`."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]

    def document(self) -> Document:
        """Returns the rule as it stands in a role."""
        return {
            "apiGroups": [self.group],
            "resources": list(self.resources),
            "verbs": list(self.verbs),
        }


_EVENTS = (
    Rule("", ("events",), ("create", "patch", "update")),
    Rule("events.k8s.io", ("events",), ("create", "patch", "update")),
)


def identity(name: str) -> str:
    """Returns the user name of a controller."""
    return f"system:serviceaccount:{NAMESPACE}:{name}"


def to_self(_views: Views, old: Any | None, new: Any | None, *, kind: Kind) -> Iterable[Ref]:
    """Maps a change of an object to the object itself; bind `kind` with functools.partial."""
    found = new if new is not None else old
    return (kind.ref(*found.key),) if found is not None else ()


def role(name: str, watches: Iterable[Watch], writes: Iterable[Rule]) -> tuple[Document, Document]:
    """Returns a controller's ClusterRole and the binding to its ServiceAccount.

    It stands beside upstream's role of the same controller (system:controller:NAME), because our
    controllers patch where upstream's update.
    """
    by_group: dict[str, dict[str, None]] = {}
    for watch in watches:
        by_group.setdefault(watch.kind.group, {})[watch.kind.plural] = None
    read = ("get", "list", "watch")
    reads = [Rule(group, tuple(found), read) for group, found in by_group.items()]
    rules = [rule.document() for rule in (*reads, *writes, *_EVENTS)]
    metadata = {"name": f"{PREFIX}{name}"}
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": metadata["name"]}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}
    version = f"{GROUP}/v1"
    return (
        {"apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": rules},
        {
            "apiVersion": version,
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": reference,
            "subjects": [subject],
        },
    )
