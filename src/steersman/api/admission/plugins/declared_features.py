"""NodeDeclaredFeatureValidator: a pod is not changed into what its node does not say it can do.

Follows plugin/pkg/admission/nodedeclaredfeatures (KEP-5328), as far as updates need a feature that
is on by default in 1.37: that is one. What a node can do stands in `status.declaredFeatures`.
"""

from __future__ import annotations

from typing import Final

from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.plugins.plain import refused, spec_of
from steersman.api.cache import Cache
from steersman.model.gotext import quote
from steersman.model.ref import Resource

NODES: Final = Resource("", "nodes")
# What a node must be able to do for a pod's own resources to change
SCALING: Final = "InPlacePodLevelResourcesVerticalScaling"


class NodeDeclaredFeatureValidator(Plugin):
    """See the module."""

    name = "NodeDeclaredFeatureValidator"
    about = frozenset({"Pod"})

    def __init__(self, cache: Cache) -> None:
        self._nodes = cache.table(NODES)

    def check(self, change: Change) -> None:
        """Refuses an update of a bound pod that needs what its node does not declare."""
        call, new, old = change.call, change.new, change.old
        if call.table.resource != ("", "pods") or call.subresource not in ("", "resize"):
            return
        if new is None or old is None or not (name := spec_of(new).get("nodeName")):
            return
        if spec_of(old).get("resources") == spec_of(new).get("resources"):
            return
        if (entry := self._nodes.get("", name)) is None:
            raise refused(change, f"node {quote(name)} not found")
        if SCALING not in ((entry.document().get("status") or {}).get("declaredFeatures") or ()):
            why = f"pod update requires features {SCALING} which are not available on node "
            raise refused(change, why + quote(name))
