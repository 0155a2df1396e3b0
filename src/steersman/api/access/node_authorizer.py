"""What a node may ask: its own objects, and what its pods lead to.

Follows upstream's plugin/pkg/auth/authorizer/node with its reasons. What a node may write of its
own objects is NodeRestriction's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steersman.api.access import rules
from steersman.api.access.authorization import (
    ALLOWED,
    NO_OPINION,
    Attributes,
    Decision,
    Unresolved,
    quoted,
)
from steersman.api.access.node_graph import NodeGraph
from steersman.api.access.pod_references import Named
from steersman.api.bootstrap.roles import NODE_RULES
from steersman.model import local_path
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.wire.message import User

PREFIX = "system:node:"
GROUP = "system:nodes"
LEASES = "kube-node-lease"

_RULES = rules.parse_all(NODE_RULES)
_READ = ("get", "list", "watch")
_OWN = ("get", "create", "update", "patch", "delete")

Find = Callable[[Ref], Document | None]


def node_of(user: User) -> str | None:
    """Returns the name of the node that a user is, None for who is no node."""
    if not user.name.startswith(PREFIX) or GROUP not in user.groups:
        return None
    return user.name.removeprefix(PREFIX)


class NodeAuthorizer:
    """Answers for nodes; has no opinion on anybody else.

    `find` looks up volume attachments, resource slices and certificate requests, whose own
    documents name their node.
    """

    def __init__(self, graph: NodeGraph, find: Find) -> None:
        self._graph = graph
        self._find = find
        self._by_resource = {
            ("", "secrets"): self._read_one,
            ("", "configmaps"): self._read_one,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._volume,
            ("resource.k8s.io", "resourceclaims"): self._get,
            ("", "serviceaccounts"): self._account,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._csi_node,
            ("storage.k8s.io", "volumeattachments"): self._attachment,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("certificates.k8s.io", "podcertificaterequests"): self._certificate,
        }

    def rules_of(self, user: User, _namespace: str) -> Sequence[rules.Rule]:
        """Returns none for who is no node; raises Unresolved."""
        if node_of(user) is None:
            return ()
        raise Unresolved("node authorizer does not support user rule resolution")

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Says whether a node may."""
        node = node_of(user)
        if node is None:
            return NO_OPINION
        if not node:
            return Decision(False, f"unknown node for user {quoted(user.name)}")
        if attributes.is_resource:
            own = self._by_resource.get((attributes.group, attributes.resource))
            if own is not None:
                return own(node, attributes)
        return ALLOWED if any(rules.matches(rule, attributes) for rule in _RULES) else NO_OPINION

    def _related(self, node: str, asked: Attributes) -> Decision:
        name = asked.object_name
        if not name:
            return Decision(False, "No Object name found")
        if self._graph.leads(node, Named(asked.resource, asked.namespace, name)):
            return ALLOWED
        return _unrelated(node)

    def _read_one(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in _READ:
            return Decision(False, "can only read resources of this type")
        if asked.subresource:
            return Decision(False, "cannot read subresource")
        if not asked.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return self._related(node, asked)

    def _get(self, node: str, asked: Attributes) -> Decision:
        return _only_get(asked) or self._related(node, asked)

    def _volume(self, node: str, asked: Attributes) -> Decision:
        """Beside upstream's: a node follows the volumes that are directories of its own, and
        removes them when it has removed the directory."""
        own = asked.selected(local_path.NODE_FIELD) == node
        if asked.verb in ("list", "watch") and own:
            return ALLOWED
        if asked.verb != "delete" or asked.subresource or not asked.name:
            return self._get(node, asked)
        found = self._find(Ref(Resource("", "persistentvolumes"), "", asked.name)) or {}
        spec, meta = found.get("spec") or {}, found.get("metadata") or {}
        own = local_path.node_of(meta.get("annotations") or {}) == node
        policy, phase = spec.get("persistentVolumeReclaimPolicy"), _phase(found)
        return ALLOWED if own and (policy, phase) == ("Delete", "Released") else _unrelated(node)

    def _claim(self, node: str, asked: Attributes) -> Decision:
        """Beside upstream's: a node follows the claims of its pods, each by its name."""
        if asked.subresource != "status":
            if asked.verb in ("list", "watch") and not asked.subresource:
                return self._related(node, asked)
            return self._get(node, asked)
        if asked.verb not in ("update", "patch"):
            return Decision(False, "can only get/update/patch this type")
        return self._related(node, asked)

    def _account(self, node: str, asked: Attributes) -> Decision:
        if asked.verb == "get" and not asked.subresource:
            return self._related(node, asked)
        if asked.verb != "create" or not asked.name:
            return Decision(False, "can only create tokens for individual service accounts")
        if asked.subresource != "token":
            return Decision(False, "can only create token subresource of serviceaccount")
        return self._related(node, asked)

    def _node(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource:
            own = asked.subresource == "status" and asked.verb in ("update", "patch")
            return ALLOWED if own else NO_OPINION
        if asked.verb in ("create", "update", "patch"):
            return ALLOWED
        if asked.verb not in _READ:
            return NO_OPINION
        name = asked.object_name
        if name == node:
            return ALLOWED
        whose = f"'{name}'" if name else "all nodes"
        return Decision(False, f"node '{node}' cannot read {whose}, only its own Node object")

    def _pod(self, node: str, asked: Attributes) -> Decision:
        verb = asked.verb
        if asked.subresource:
            status = asked.subresource == "status" and verb in ("update", "patch")
            eviction = asked.subresource == "eviction" and verb == "create"
            return ALLOWED if status or eviction else NO_OPINION
        if verb == "get":
            return self._related(node, asked)
        if verb in ("create", "delete"):
            return ALLOWED
        if verb not in _READ:
            return NO_OPINION
        if asked.selected("spec.nodeName") == node:
            return ALLOWED
        if asked.object_name:
            return self._related(node, asked)
        return Decision(False, "can only list/watch pods with spec.nodeName field selector")

    def _lease(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in _OWN:
            why = "can only get, create, update, patch, or delete a node lease"
            return Decision(False, why)
        if asked.namespace != LEASES:
            why = f"can only access leases in the {quoted(LEASES)} system namespace"
            return Decision(False, why)
        if asked.verb != "create" and asked.name != node:
            why = "can only access node lease with the same name as the requesting node"
            return Decision(False, why)
        return ALLOWED

    def _csi_node(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in _OWN:
            return Decision(False, "can only get, create, update, patch, or delete a CSINode")
        if asked.subresource:
            return Decision(False, "cannot authorize CSINode subresources")
        if asked.verb != "create" and asked.name != node:
            why = "can only access CSINode with the same name as the requesting node"
            return Decision(False, why)
        return ALLOWED

    def _attachment(self, node: str, asked: Attributes) -> Decision:
        return _only_get(asked) or self._bears_node(node, asked)

    def _slice(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource:
            return Decision(False, "cannot authorize ResourceSlice subresources")
        if asked.verb == "create":
            return ALLOWED
        if asked.verb in ("get", "update", "patch", "delete"):
            return self._bears_node(node, asked)
        if asked.selected("spec.nodeName") == node:
            return ALLOWED
        why = "can only list/watch/deletecollection resourceslices with nodeName field selector"
        return Decision(False, why)

    def _certificate(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource or asked.verb not in ("create", *_READ):
            return NO_OPINION
        if asked.verb == "create" or asked.selected("spec.nodeName") == node:
            return ALLOWED
        if asked.name:
            return self._bears_node(node, asked)
        why = "can only list/watch podcertificaterequests with nodeName field selector"
        return Decision(False, why)

    def _bears_node(self, node: str, asked: Attributes) -> Decision:
        """Allows what concerns an object whose spec names the node."""
        name = asked.object_name
        if not name:
            return Decision(False, "No Object name found")
        ref = Ref(Resource(asked.group, asked.resource), asked.namespace, name)
        found = self._find(ref)
        if found is not None and (found.get("spec") or {}).get("nodeName") == node:
            return ALLOWED
        return _unrelated(node)


def _only_get(asked: Attributes) -> Decision | None:
    if asked.verb != "get":
        return Decision(False, "can only get individual resources of this type")
    return Decision(False, "cannot get subresource") if asked.subresource else None


def _phase(found: Document) -> str:
    return str((found.get("status") or {}).get("phase", ""))


def _unrelated(node: str) -> Decision:
    return Decision(False, f"no relationship found between node '{node}' and this object")
