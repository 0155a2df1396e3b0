"""What a node may write."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from steersman.api.access.node_restriction import Write, check, forbidden_labels
from steersman.model.errors import Forbidden, NotFound
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.wire.message import User

NODE = User("system:node:n1", ("system:nodes",))
FOUND: dict[Ref, Document] = {
    Ref(Resource("", "nodes"), "", "n1"): {"metadata": {"uid": "node-1"}},
    Ref(Resource("", "pods"), "default", "mine"): {
        "metadata": {"uid": "pod-1"},
        "spec": {"nodeName": "n1"},
    },
    Ref(Resource("", "pods"), "default", "far"): {
        "metadata": {"uid": "pod-2"},
        "spec": {"nodeName": "n2"},
    },
}


def writes(
    resource: str,
    name: str,
    new: Document | None = None,
    old: Document | None = None,
    *,
    operation: str = "",
    namespace: str = "default",
    user: User = NODE,
) -> None:
    path, _, group = resource.partition(".")
    plural, _, subresource = path.partition("/")
    kind = "CREATE" if old is None else "DELETE" if new is None else "UPDATE"
    write = Write(operation or kind, group, plural, subresource, namespace, name, new, old)
    check(user, write, FOUND.get)


def refused(resource: str, name: str, *documents: Document | None, **more: Any) -> str:
    with pytest.raises(Forbidden) as raised:
        writes(resource, name, *documents, **more)
    _, _, why = raised.value.message.partition("is forbidden: ")
    return why


OWNER = {
    "apiVersion": "v1",
    "kind": "Node",
    "name": "n1",
    "uid": "node-1",
    "controller": True,
}


def mirror(
    owner: Document | None = None, owners: list[Document] | None = None, **spec: Any
) -> Document:
    return {
        "metadata": {
            "name": "m",
            "annotations": {"kubernetes.io/config.mirror": "x"},
            "ownerReferences": owners if owners is not None else [owner or OWNER],
        },
        "spec": {"nodeName": "n1", "containers": [], **spec},
    }


def test_a_refusal_names_the_object() -> None:
    with pytest.raises(Forbidden) as raised:
        writes("nodes", "n2", {"metadata": {}})
    assert raised.value.message == (
        'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"'
    )


def test_others_than_nodes_pass() -> None:
    for user in (User("jane"), User("system:node:n1"), User("system:nodes", ("system:nodes",))):
        writes("nodes", "n2", {"metadata": {}}, user=user)
    nameless = User("system:node:", ("system:nodes",))
    assert refused("nodes", "n1", {"metadata": {}}, user=nameless) == (
        'could not determine node from user "system:node:"'
    )


def test_resources_without_limits_pass() -> None:
    writes("events", "e", {"metadata": {}})


def test_a_node_creates_its_mirror_pods() -> None:
    writes("pods", "m", mirror())


def test_a_node_creates_nothing_but_mirror_pods() -> None:
    pod = mirror()
    pod["metadata"]["annotations"] = {}
    assert refused("pods", "m", pod) == (
        'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create '
        "mirror pods"
    )


ITSELF = 'node "n1" can only create pods with {}'


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        (mirror(nodeName="n2"), ITSELF.format("spec.nodeName set to itself")),
        (
            mirror(owners=[OWNER, OWNER]),
            ITSELF.format("a single owner reference set to itself"),
        ),
        (mirror(owners=[]), ITSELF.format("an owner reference set to itself")),
        (
            mirror({**OWNER, "name": "n2"}),
            ITSELF.format("an owner reference set to itself"),
        ),
        (
            mirror({**OWNER, "kind": "Pod"}),
            ITSELF.format("an owner reference set to itself"),
        ),
        (
            mirror({**OWNER, "controller": False}),
            ITSELF.format("a controller owner reference set to itself"),
        ),
        (
            mirror({**OWNER, "blockOwnerDeletion": True}),
            'node "n1" must not set blockOwnerDeletion on an owner reference',
        ),
        (mirror({**OWNER, "uid": "x"}), "node n1 UID mismatch: expected x got node-1"),
        (
            mirror(serviceAccountName="sa"),
            'node "n1" can not create pods that reference a service account',
        ),
        (
            mirror(imagePullSecrets=[{"name": "s"}]),
            'node "n1" can not create pods that reference secrets',
        ),
        (
            mirror(volumes=[{"name": "v", "configMap": {"name": "c"}}]),
            'node "n1" can not create pods that reference configmaps',
        ),
        (
            mirror(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
            'node "n1" can not create pods that reference persistentvolumeclaims',
        ),
        (
            mirror(volumes=[{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {}}]}}]),
            'node "n1" can not create pods that reference clustertrustbundles',
        ),
        (
            mirror(resourceClaims=[{"name": "c"}]),
            'node "n1" can not create pods that reference resourceclaims',
        ),
    ],
)
def test_a_mirror_pod_gives_its_node_nothing(pod: Document, why: str) -> None:
    assert refused("pods", "m", pod) == why


def test_a_node_that_is_not_there_creates_no_pods() -> None:
    other = User("system:node:n9", ("system:nodes",))
    pod = mirror({**OWNER, "name": "n9"}, nodeName="n9")
    with pytest.raises(NotFound):
        writes("pods", "m", pod, user=other)


def bound(node: str, labels: Document | None = None, **status: Any) -> Document:
    return {
        "metadata": {"name": "p", "labels": labels or {}},
        "spec": {"nodeName": node},
        "status": status,
    }


def test_a_node_deletes_its_own_pods() -> None:
    writes("pods", "p", None, bound("n1"))
    assert refused("pods", "p", None, bound("n2")) == (
        'node "n1" can only delete pods with spec.nodeName set to itself'
    )


def test_a_node_updates_no_pod_but_its_status() -> None:
    assert refused("pods", "p", bound("n1"), bound("n1")) == (
        'unexpected operation "UPDATE", node "n1" can only create and delete mirror pods'
    )
    assert refused("pods/exec", "p", bound("n1"), operation="CONNECT") == (
        "unexpected pod subresource \"exec\", only 'status' and 'eviction' are allowed"
    )


def test_a_node_updates_the_status_of_its_own_pods() -> None:
    writes("pods/status", "p", bound("n1", phase="Running"), bound("n1"))
    assert refused("pods/status", "p", bound("n2"), bound("n2")) == (
        'node "n1" can only update pod status for pods with spec.nodeName set to itself'
    )
    assert refused("pods/status", "p", bound("n1", {"a": "b"}), bound("n1")) == (
        'node "n1" cannot update labels through pod status'
    )
    claims = [{"name": "c", "resourceClaimName": "x"}]
    changed = bound("n1", resourceClaimStatuses=claims)
    assert refused("pods/status", "p", changed, bound("n1")) == (
        'node "n1" cannot update resource claim statues'
    )
    writes("pods/status", "p", changed, changed)
    assert refused("pods/status", "p", bound("n1")) == 'unexpected operation "CREATE"'


def test_a_node_evicts_its_own_pods() -> None:
    writes("pods/eviction", "mine", {"metadata": {}})
    assert refused("pods/eviction", "far", {"metadata": {}}) == (
        "node n1 can only evict pods with spec.nodeName set to itself"
    )
    assert refused("pods/eviction", "", {}) == "could not determine pod from request data"
    with pytest.raises(NotFound):
        writes("pods/eviction", "gone", {})
    assert refused("pods/eviction", "mine", {}, {}) == "unexpected operation UPDATE"


def node(labels: Document | None = None, **spec: Any) -> Document:
    return {"metadata": {"name": "n1", "labels": labels or {}}, "spec": spec}


def test_a_node_registers_itself_with_labels_of_its_own() -> None:
    writes("nodes", "n1", node({"kubernetes.io/hostname": "n1", "mine": "x"}, taints=[{}]))
    labels = {"node-restriction.kubernetes.io/a": "1", "other.k8s.io/b": "2"}
    assert refused("nodes", "n1", node(labels)) == (
        'node "n1" is not allowed to set the following labels: node-restriction.kubernetes.io/a, '
        "other.k8s.io/b"
    )
    assert refused("nodes", "n1", node(configSource={})) == (
        'node "n1" is not allowed to create pods with a non-nil configSource'
    )


def test_a_node_changes_neither_its_taints_nor_others_labels() -> None:
    old = node({"other.k8s.io/b": "2"}, taints=[{"key": "a"}])
    writes("nodes/status", "n1", {**old, "status": {"x": 1}}, old)
    assert refused("nodes", "n1", node({"other.k8s.io/b": "2"}), old) == (
        'node "n1" is not allowed to modify taints'
    )
    assert refused("nodes", "n1", node(taints=[{"key": "a"}]), old) == (
        "is not allowed to modify labels: other.k8s.io/b"
    )
    moved = node({"other.k8s.io/b": "2"}, taints=[{"key": "a"}], configSource={"x": 1})
    assert refused("nodes", "n1", moved, old) == (
        'node "n1" is not allowed to update configSource to a new non-nil configSource'
    )
    writes("nodes", "n1", moved, moved)
    writes("nodes", "n1", old, moved)
    writes("nodes", "n1", None, old)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("mine", False),
        ("example.com/a", False),
        ("kubernetes.io/hostname", False),
        ("topology.kubernetes.io/zone", False),
        ("kubelet.kubernetes.io/a", False),
        ("x.node.kubernetes.io/a", False),
        ("kubernetes.io/other", True),
        ("k8s.io/a", True),
        ("a.k8s.io/b", True),
        ("notk8s.io/b", False),
        ("x.node-restriction.kubernetes.io/a", True),
    ],
)
def test_a_node_may_not_set_labels_that_steer_pods(key: str, expected: bool) -> None:
    assert forbidden_labels({key: "x"}, {}) == ([key] if expected else [])
    assert forbidden_labels({}, {key: "x"}) == ([key] if expected else [])
    assert forbidden_labels({key: "x"}, {key: "x"}) == []


def claim(**status: Any) -> Document:
    return {"metadata": {"name": "c", "resourceVersion": str(len(status))}, "status": status}


def test_a_node_updates_how_large_a_claim_is() -> None:
    new = claim(capacity={"storage": "1Gi"}, conditions=[{}], allocatedResources={})
    writes("persistentvolumeclaims/status", "c", new, claim())
    why = "fields other than status.quantity and status.conditions"
    assert refused("persistentvolumeclaims/status", "c", claim(phase="Lost"), claim()) == (
        f'node "n1" is not allowed to update {why}'
    )
    labelled = {**claim(), "metadata": {"name": "c", "labels": {"a": "b"}}}
    assert why in refused("persistentvolumeclaims/status", "c", labelled, claim())
    assert refused("persistentvolumeclaims", "c", claim(), claim()) == "may only update PVC status"
    assert "unexpected" in refused("persistentvolumeclaims/status", "c", claim())


def token(**reference: Any) -> Document:
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "mine", "uid": "pod-1", **reference}
    return {"spec": {"boundObjectRef": bound}}


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"spec": {}}, "node requested token not bound to a pod"),
        (token(kind="Secret"), "node requested token not bound to a pod"),
        (token(apiVersion="v2"), "node requested token not bound to a pod"),
        (token(name=""), "node requested token not bound to a pod"),
        (token(uid=""), "node requested token with a pod binding without a uid"),
        (
            token(uid="x"),
            "the UID in the bound object reference (x) does not match the UID in record. The "
            "object might have been deleted and then recreated",
        ),
        (
            token(name="far", uid="pod-2"),
            "node requested token bound to a pod scheduled on a different node",
        ),
    ],
)
def test_a_node_asks_for_tokens_of_its_own_pods_only(request_: Document, why: str) -> None:
    writes("serviceaccounts/token", "sa", token())
    assert refused("serviceaccounts/token", "sa", request_) == why
    with pytest.raises(NotFound):
        writes("serviceaccounts/token", "sa", token(name="gone"))
    writes("serviceaccounts", "sa", request_)


def test_a_node_keeps_its_lease_and_csi_node() -> None:
    lease = {"metadata": {"name": "n1"}}
    writes("leases.coordination.k8s.io", "n1", lease, namespace="kube-node-lease")
    assert refused("leases.coordination.k8s.io", "n1", lease) == (
        'can only access leases in the "kube-node-lease" system namespace'
    )
    assert refused("leases.coordination.k8s.io", "n2", lease, namespace="kube-node-lease") == (
        "can only access node lease with the same name as the requesting node"
    )
    writes("csinodes.storage.k8s.io", "n1", lease)
    assert refused("csinodes.storage.k8s.io", "n2", lease) == (
        "can only access CSINode with the same name as the requesting node"
    )


def test_a_node_keeps_its_resource_slices() -> None:
    own, other = {"spec": {"nodeName": "n1"}}, {"spec": {"nodeName": "n2"}}
    resource = "resourceslices.resource.k8s.io"
    writes(resource, "s", own)
    writes(resource, "s", None, own)
    writes(resource, "s", other, other)
    why = "can only {} ResourceSlice with the same NodeName as the requesting node"
    assert refused(resource, "s", other) == why.format("create")
    assert refused(resource, "s", None, other) == why.format("delete")


def signing_request(name: str, signer: str) -> Document:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = made.public_bytes(serialization.Encoding.PEM)
    return {"spec": {"signerName": signer, "request": base64.b64encode(pem).decode()}}


def test_a_node_asks_for_certificates_in_its_own_name() -> None:
    resource = "certificatesigningrequests.certificates.k8s.io"
    for signer in ("kubelet-serving", "kube-apiserver-client-kubelet"):
        full = f"kubernetes.io/{signer}"
        writes(resource, "c", signing_request("system:node:n1", full))
        assert refused(resource, "c", signing_request("system:node:n2", full)) == (
            "can only create a node CSR with CN=system:node:n1"
        )
        for broken in ("", "!", base64.b64encode(b"x").decode()):
            spec = {"signerName": full, "request": broken}
            assert refused(resource, "c", {"spec": spec}).startswith("unable to parse csr: ")
    writes(resource, "c", signing_request("x", "example.com/other"))
    other = signing_request("x", "kubernetes.io/kubelet-serving")
    writes(resource, "c", other, other)


def test_a_node_asks_for_its_own_pods_certificates() -> None:
    resource = "podcertificaterequests.certificates.k8s.io"
    writes(resource, "c", {"spec": {"nodeName": "n1"}})
    assert refused(resource, "c", {"spec": {"nodeName": "n2"}}) == (
        'PodCertificateRequest.Spec.NodeName="n2", which is not the requesting node "n1"'
    )
    other = {"spec": {"nodeName": "n2"}}
    writes(resource, "c", other, other)
