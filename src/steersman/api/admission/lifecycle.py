"""NamespaceLifecycle: objects live in namespaces that exist and are not being emptied."""

from __future__ import annotations

from collections.abc import Hashable

from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.plugins.plain import is_of
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.ref import Resource

NAMESPACES = Resource("", "namespaces")
IMMORTAL = ("default", "kube-system", "kube-public")


class NamespaceLifecycle(Plugin):
    """See the module."""

    name = "NamespaceLifecycle"

    def __init__(self, cache: Cache) -> None:
        self._namespaces = cache.table(NAMESPACES)
        self._live: dict[str, int] = {}

    def admit(self, change: Change) -> Document | None:
        """Refuses to create in a namespace that is absent or terminating; changes nothing."""
        call = change.call
        if change.operation != "CREATE" or not call.namespace:
            return None
        entry = self._namespaces.get("", call.namespace)
        if entry is None:
            raise errors.not_found("", "namespaces", call.namespace)
        if self._live.get(call.namespace) == entry.revision:
            return None
        if entry.document()["metadata"].get("deletionTimestamp"):
            raise _terminating(change)
        self._live[call.namespace] = entry.revision
        return None

    def check(self, change: Change) -> None:
        """Refuses to delete the namespaces that a cluster cannot be without."""
        if change.operation == "DELETE" and is_of(change.call, "", "Namespace"):
            name = (change.old or {})["metadata"]["name"]
            if name in IMMORTAL:
                why = "this namespace may not be deleted"
                raise errors.forbidden("", "namespaces", name, why)
            self._live.pop(name, None)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the namespace as it is."""
        entry = self._namespaces.get("", call.namespace)
        return entry.revision if entry else None


def _terminating(change: Change) -> errors.Forbidden:
    call = change.call
    name = (change.new or {})["metadata"].get("name", "")
    why = (
        f"unable to create new content in namespace {call.namespace} because it is being terminated"
    )
    error = errors.forbidden(call.kind.group, call.kind.plural, name, why)
    text = f"namespace {call.namespace} is being terminated"
    error.causes = (Cause("NamespaceTerminating", text, "metadata.namespace"),)
    return error
