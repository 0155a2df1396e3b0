"""What a node may write: its own Node, Lease and CSINode, the status of its pods, mirror pods.

The admission plugin NodeRestriction as pure functions, with upstream's messages
(plugin/pkg/admission/noderestriction). Who is no node passes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping

import msgspec

from steersman.api.access.authorization import quoted
from steersman.api.access.node_authorizer import LEASES, node_of
from steersman.api.access.pod_references import MIRROR, named_by_document
from steersman.model.errors import forbidden, not_found
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.wire import der
from steersman.wire.message import User

Find = Callable[[Ref], Document | None]

RESTRICTED_LABELS = "node-restriction.kubernetes.io"
_LABELS = frozenset(
    (
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    )
)
_LABEL_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_CLAIM_STATUS = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")
_NODE_SIGNERS = (
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/kube-apiserver-client-kubelet",
)


class Write(msgspec.Struct, frozen=True):
    """One write: `operation` is CREATE, UPDATE, DELETE or CONNECT; `new` is None on delete, `old`
    on create; `name` is the object's, also on create."""

    operation: str
    group: str
    plural: str
    subresource: str
    namespace: str
    name: str
    new: Document | None
    old: Document | None


class _Refused(Exception):
    """Why not."""


def check(user: User, write: Write, find: Find) -> None:
    """Refuses what a node may not write; raises Forbidden, or NotFound for a pod that is gone."""
    node = node_of(user)
    if node is None:
        return
    try:
        if not node:
            raise _Refused(f"could not determine node from user {quoted(user.name)}")
        rule = _RULES.get((write.group, write.plural))
        if rule is not None:
            rule(node, write, find)
    except _Refused as refusal:
        raise forbidden(write.group, write.plural, write.name, str(refusal)) from None


def _check_pod(node: str, write: Write, find: Find) -> None:
    if write.subresource == "status":
        _check_pod_status(node, write)
    elif write.subresource == "eviction":
        _check_eviction(node, write, find)
    elif write.subresource:
        raise _Refused(
            f"unexpected pod subresource {quoted(write.subresource)}, only 'status' and "
            "'eviction' are allowed"
        )
    elif write.operation == "CREATE":
        _check_new_pod(node, write.new or {}, find)
    elif write.operation != "DELETE":
        raise _Refused(
            f"unexpected operation {quoted(write.operation)}, node {quoted(node)} can only create "
            "and delete mirror pods"
        )
    elif _node_name(write.old) != node:
        raise _Refused(f"node {quoted(node)} can only delete pods with spec.nodeName set to itself")


def _check_new_pod(node: str, pod: Document, find: Find) -> None:
    who = f"node {quoted(node)}"
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        raise _Refused(
            f"pod does not have {quoted(MIRROR)} annotation, {who} can only create mirror pods"
        )
    if _node_name(pod) != node:
        raise _Refused(f"{who} can only create pods with spec.nodeName set to itself")
    _check_owner(node, pod, find)
    if pod["spec"].get("serviceAccountName"):
        raise _Refused(f"{who} can not create pods that reference a service account")
    plurals = {named.plural for named in named_by_document(pod)}
    for plural in ("secrets", "configmaps"):
        if plural in plurals:
            raise _Refused(f"{who} can not create pods that reference {plural}")
    for volume in pod["spec"].get("volumes") or ():
        sources = (volume.get("projected") or {}).get("sources") or ()
        if any("clusterTrustBundle" in source for source in sources):
            raise _Refused(f"{who} can not create pods that reference clustertrustbundles")
    if "persistentvolumeclaims" in plurals:
        raise _Refused(f"{who} can not create pods that reference persistentvolumeclaims")
    if pod["spec"].get("resourceClaims"):
        raise _Refused(f"{who} can not create pods that reference resourceclaims")


def _check_owner(node: str, pod: Document, find: Find) -> None:
    who = f"node {quoted(node)}"
    owners = list(pod["metadata"].get("ownerReferences") or ())
    if len(owners) > 1:
        raise _Refused(f"{who} can only create pods with a single owner reference set to itself")
    expected = ("v1", "Node", node)
    found = [(one.get("apiVersion"), one.get("kind"), one.get("name")) for one in owners]
    if found != [expected]:
        raise _Refused(f"{who} can only create pods with an owner reference set to itself")
    owner = owners[0]
    if not owner.get("controller"):
        raise _Refused(
            f"{who} can only create pods with a controller owner reference set to itself"
        )
    if owner.get("blockOwnerDeletion"):
        raise _Refused(f"{who} must not set blockOwnerDeletion on an owner reference")
    uid = _found(find, "nodes", "", node)["metadata"]["uid"]
    if owner.get("uid") != uid:
        raise _Refused(f"node {node} UID mismatch: expected {owner.get('uid')} got {uid}")


def _check_pod_status(node: str, write: Write) -> None:
    who = f"node {quoted(node)}"
    if write.operation != "UPDATE" or write.old is None or write.new is None:
        raise _Refused(f"unexpected operation {quoted(write.operation)}")
    if _node_name(write.old) != node:
        raise _Refused(
            f"{who} can only update pod status for pods with spec.nodeName set to itself"
        )
    if _labels(write.old) != _labels(write.new):
        raise _Refused(f"{who} cannot update labels through pod status")
    if _claim_statuses(write.old) != _claim_statuses(write.new):
        raise _Refused(f"{who} cannot update resource claim statues")


def _claim_statuses(pod: Document) -> list[tuple[str, str | None]]:
    listed = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    return [(one.get("name", ""), one.get("resourceClaimName")) for one in listed]


def _check_eviction(node: str, write: Write, find: Find) -> None:
    if write.operation != "CREATE":
        raise _Refused(f"unexpected operation {write.operation}")
    if not write.name:
        raise _Refused("could not determine pod from request data")
    pod = _found(find, "pods", write.namespace, write.name)
    if _node_name(pod) != node:
        raise _Refused(f"node {node} can only evict pods with spec.nodeName set to itself")


def _check_node(node: str, write: Write, _find: Find) -> None:
    who = f"node {quoted(node)}"
    if write.name != node:
        raise _Refused(f"{who} is not allowed to modify node {quoted(write.name)}")
    if write.new is None:
        return
    new, old = write.new.get("spec") or {}, (write.old or {}).get("spec") or {}
    changed = forbidden_labels(_labels(write.new), _labels(write.old or {}))
    source = new.get("configSource")
    if write.operation == "CREATE":
        if source is not None:
            raise _Refused(f"{who} is not allowed to create pods with a non-nil configSource")
        if changed:
            shown = ", ".join(changed)
            raise _Refused(f"{who} is not allowed to set the following labels: {shown}")
    elif write.operation == "UPDATE":
        if source is not None and source != old.get("configSource"):
            raise _Refused(
                f"{who} is not allowed to update configSource to a new non-nil configSource"
            )
        if (new.get("taints") or []) != (old.get("taints") or []):
            raise _Refused(f"{who} is not allowed to modify taints")
        if changed:
            raise _Refused(f"is not allowed to modify labels: {', '.join(changed)}")


def forbidden_labels(new: Mapping[str, str], old: Mapping[str, str]) -> list[str]:
    """Returns the changed labels that a node may not change, sorted."""
    changed = {key for key in {*new, *old} if new.get(key) != old.get(key)}
    return sorted(key for key in changed if _is_forbidden(key))


def _is_forbidden(key: str) -> bool:
    namespace, slash, _ = key.partition("/")
    if not slash:
        return False
    if _is_within(namespace, (RESTRICTED_LABELS,)):
        return True
    if not _is_within(namespace, ("kubernetes.io", "k8s.io")):
        return False
    return key not in _LABELS and not _is_within(namespace, _LABEL_NAMESPACES)


def _is_within(namespace: str, domains: Iterable[str]) -> bool:
    return any(namespace == domain or namespace.endswith(f".{domain}") for domain in domains)


def _check_claim(node: str, write: Write, _find: Find) -> None:
    if write.subresource != "status":
        raise _Refused("may only update PVC status")
    if write.operation != "UPDATE" or write.old is None or write.new is None:
        raise _Refused(f"unexpected operation {quoted(write.operation)}")
    if _fixed_of_claim(write.old) != _fixed_of_claim(write.new):
        raise _Refused(
            f"node {quoted(node)} is not allowed to update fields other than status.quantity and "
            "status.conditions"
        )


def _fixed_of_claim(claim: Document) -> Document:
    left_out = ("resourceVersion", "managedFields")
    metadata = {key: value for key, value in claim["metadata"].items() if key not in left_out}
    status = claim.get("status") or {}
    rest = {key: value for key, value in status.items() if key not in _CLAIM_STATUS}
    return {**claim, "metadata": metadata, "status": rest}


def _check_account(node: str, write: Write, find: Find) -> None:
    if write.operation != "CREATE" or write.subresource != "token":
        return
    reference = ((write.new or {}).get("spec") or {}).get("boundObjectRef") or {}
    kind = (reference.get("apiVersion"), reference.get("kind"))
    if kind != ("v1", "Pod") or not reference.get("name"):
        raise _Refused("node requested token not bound to a pod")
    uid = reference.get("uid")
    if not uid:
        raise _Refused("node requested token with a pod binding without a uid")
    pod = _found(find, "pods", write.namespace, reference["name"])
    if pod["metadata"]["uid"] != uid:
        raise _Refused(
            f"the UID in the bound object reference ({uid}) does not match the UID in record. The "
            "object might have been deleted and then recreated"
        )
    if _node_name(pod) != node:
        raise _Refused("node requested token bound to a pod scheduled on a different node")


def _check_lease(node: str, write: Write, _find: Find) -> None:
    if write.namespace != LEASES:
        raise _Refused(f"can only access leases in the {quoted(LEASES)} system namespace")
    if write.name != node:
        raise _Refused("can only access node lease with the same name as the requesting node")


def _check_csi_node(node: str, write: Write, _find: Find) -> None:
    if write.name != node:
        raise _Refused("can only access CSINode with the same name as the requesting node")


def _check_slice(node: str, write: Write, _find: Find) -> None:
    verbs = {"CREATE": ("create", write.new), "DELETE": ("delete", write.old)}
    verb, document = verbs.get(write.operation, ("", None))
    if verb and _node_name(document) != node:
        raise _Refused(
            f"can only {verb} ResourceSlice with the same NodeName as the requesting node"
        )


def _check_certificate(node: str, write: Write, _find: Find) -> None:
    spec = (write.new or {}).get("spec") or {}
    if write.operation != "CREATE" or spec.get("signerName") not in _NODE_SIGNERS:
        return
    try:
        name = der.request_subject(_unpem(spec.get("request", ""))).common_name
    except ValueError as error:
        raise _Refused(f"unable to parse csr: {error}") from None
    if name != f"system:node:{node}":
        raise _Refused(f"can only create a node CSR with CN=system:node:{node}")


def _check_pod_certificate(node: str, write: Write, _find: Find) -> None:
    found = _node_name(write.new)
    if write.operation == "CREATE" and found != node:
        raise _Refused(
            f"PodCertificateRequest.Spec.NodeName={quoted(found)}, which is not the requesting "
            f"node {quoted(node)}"
        )


def _unpem(request: str) -> bytes:
    """Returns the DER in a base64 field that holds a PEM block."""
    try:
        text = base64.b64decode(request, validate=True).decode("ascii")
        lines = [line for line in text.strip().splitlines() if not line.startswith("-----")]
        return base64.b64decode("".join(lines), validate=True)
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def _node_name(document: Document | None) -> str:
    return str(((document or {}).get("spec") or {}).get("nodeName") or "")


def _labels(document: Document) -> Mapping[str, str]:
    return (document.get("metadata") or {}).get("labels") or {}


def _found(find: Find, plural: str, namespace: str, name: str) -> Document:
    found = find(Ref(Resource("", plural), namespace, name))
    if found is None:
        raise not_found("", plural, name)
    return found


_RULES: Mapping[tuple[str, str], Callable[[str, Write, Find], None]] = {
    ("", "pods"): _check_pod,
    ("", "nodes"): _check_node,
    ("", "persistentvolumeclaims"): _check_claim,
    ("", "serviceaccounts"): _check_account,
    ("coordination.k8s.io", "leases"): _check_lease,
    ("storage.k8s.io", "csinodes"): _check_csi_node,
    ("resource.k8s.io", "resourceslices"): _check_slice,
    ("certificates.k8s.io", "certificatesigningrequests"): _check_certificate,
    ("certificates.k8s.io", "podcertificaterequests"): _check_pod_certificate,
}
