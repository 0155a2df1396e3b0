"""NodeRestriction: the limits on what a node writes, as an admission plugin."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from steersman.api.access import node_restriction
from steersman.api.access.node_authorizer import node_of
from steersman.api.access.node_restriction import Write
from steersman.api.admission.chain import Change, Plugin
from steersman.api.call import Call
from steersman.model.kind import Document
from steersman.model.ref import Ref


class NodeRestriction(Plugin):
    """See `api.access.node_restriction`, where the rules are."""

    name = "NodeRestriction"

    def __init__(self, find: Callable[[Ref], Document | None]) -> None:
        self._find = find

    def check(self, change: Change) -> None:
        """Refuses what is not the node's to write."""
        call = change.call
        document = change.new or change.old or {}
        # An eviction reaches the plugins as the deletion that it comes to
        evicts = call.subresource == "eviction"
        write = Write(
            "CREATE" if evicts else change.operation,
            call.kind.group,
            call.kind.plural,
            call.subresource,
            call.namespace,
            call.name or (document.get("metadata") or {}).get("name", ""),
            change.new,
            change.old,
        )
        node_restriction.check(call.user, write, self._find)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the metadata too of what a node makes, and on nothing of others' objects."""
        return () if node_of(call.user) is None else None
