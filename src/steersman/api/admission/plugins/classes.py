"""DefaultIngressClass: an Ingress that names no class gets the default one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.plugins.plain import annotations_of, is_of, spec_of
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model.kind import Document
from steersman.model.ref import Resource

CLASSES: Final = Resource("networking.k8s.io", "ingressclasses")
DEFAULT: Final = "ingressclass.kubernetes.io/is-default-class"
OLD_ANNOTATION: Final = "kubernetes.io/ingress.class"


class DefaultIngressClass(Plugin):
    """See the module."""

    name = "DefaultIngressClass"
    about = frozenset({"Ingress"})

    def __init__(self, cache: Cache) -> None:
        self._classes = cache.table(CLASSES)

    def admit(self, change: Change) -> Document | None:
        """Names the class: of several default ones the newest, of equally old the first by name."""
        new = change.new
        if change.operation != "CREATE" or new is None or not _is_ingress(change.call):
            return None
        spec = spec_of(new)
        named = spec.get("ingressClassName") is not None or OLD_ANNOTATION in annotations_of(new)
        if named or not (name := self._default()):
            return None
        return {**new, "spec": {**spec, "ingressClassName": name}}

    def _default(self) -> str:
        documents = [entry.document() for entry in self._classes.ordered()]
        found = [one["metadata"] for one in documents if annotations_of(one).get(DEFAULT) == "true"]
        newest = max((one.get("creationTimestamp") or "" for one in found), default="")
        names = [one["name"] for one in found if (one.get("creationTimestamp") or "") == newest]
        return min(names, default="")

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the classes and on the old annotation."""
        return None if _is_ingress(call) else ()


def _is_ingress(call: Call) -> bool:
    return is_of(call, "networking.k8s.io", "Ingress")
