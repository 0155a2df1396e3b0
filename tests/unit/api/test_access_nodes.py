"""What a node may ask, by what its pods lead to."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from steersman.api.access.authorization import Attributes
from steersman.api.access.node_authorizer import NodeAuthorizer, node_of
from steersman.api.access.node_graph import NodeGraph
from steersman.api.access.pod_references import Named, read_pod
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.wire.message import User

NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
UNRELATED = "no relationship found between node 'n1' and this object"


def pod(name: str, node: str = "n1", namespace: str = "default", **spec: Any) -> bytes:
    status = spec.pop("status", {})
    annotations = spec.pop("annotations", {})
    return orjson.dumps(
        {
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
            "spec": {**({"nodeName": node} if node else {}), **spec},
            "status": status,
        }
    )


def volume(name: str, claim: str = "", **source: Any) -> bytes:
    reference = {"claimRef": {"namespace": "default", "name": claim}} if claim else {}
    return orjson.dumps({"metadata": {"name": name}, "spec": {**reference, **source}})


class Nodes:
    """An authorizer with a graph and objects to find."""

    def __init__(self, *pods: bytes, found: dict[Ref, Document] | None = None) -> None:
        self.graph = NodeGraph()
        for one in pods:
            self.graph.pod_changed(None, one)
        self.authorizer = NodeAuthorizer(self.graph, (found or {}).get)

    def may(self, verb: str, resource: str, name: str = "", user: User = NODE, **more: str) -> bool:
        return self.ask(verb, resource, name, user, **more)[0]

    def why(self, verb: str, resource: str, name: str = "", **more: str) -> str:
        allowed, reason = self.ask(verb, resource, name, **more)
        assert not allowed
        return reason

    def ask(
        self, verb: str, resource: str, name: str = "", user: User = NODE, **more: str
    ) -> tuple[bool, str]:
        path, _, group = resource.partition(".")
        plural, _, subresource = path.partition("/")
        namespace = more.pop("namespace", "default")
        asked = Attributes(verb, group, "v1", plural, subresource, namespace, name, **more)
        decision = self.authorizer.allowed(user, asked)
        return decision.allowed, decision.reason


def secret(name: str) -> Named:
    return Named("secrets", "default", name)


def config(name: str) -> Named:
    return Named("configmaps", "default", name)


def claim(name: str) -> Named:
    return Named("persistentvolumeclaims", "default", name)


CONTAINER = {
    "env": [
        {"name": "a", "value": "b"},
        {"name": "c", "valueFrom": {"fieldRef": {"fieldPath": "x"}}},
        {"name": "d", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}},
        {"name": "e", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "k"}}},
    ],
    "envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "from"}}],
}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, set()),
        ({"serviceAccountName": "sa"}, {Named("serviceaccounts", "default", "sa")}),
        ({"imagePullSecrets": [{"name": "pull"}]}, {secret("pull")}),
        *(
            ({field: [CONTAINER]}, {secret("env"), secret("from"), config("env"), config("from")})
            for field in ("containers", "initContainers", "ephemeralContainers")
        ),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, {secret("s")}),
        ({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}, {config("c")}),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "p"}}]},
            {claim("p")},
        ),
        ({"volumes": [{"name": "v", "ephemeral": {}}]}, {claim("web-v")}),
        (
            {
                "volumes": [
                    {
                        "name": "v",
                        "projected": {
                            "sources": [
                                {"serviceAccountToken": {"path": "token"}},
                                {"secret": {"name": "s"}},
                                {"configMap": {"name": "c"}},
                            ]
                        },
                    }
                ]
            },
            {secret("s"), config("c")},
        ),
        ({"volumes": [{"name": "v", "azureFile": {"secretName": "s"}}]}, {secret("s")}),
        *(
            ({"volumes": [{"name": "v", field: {"secretRef": {"name": "s"}}}]}, {secret("s")})
            for field in (
                "cephfs",
                "cinder",
                "flexVolume",
                "iscsi",
                "rbd",
                "scaleIO",
                "storageos",
            )
        ),
        (
            {"volumes": [{"name": "v", "csi": {"nodePublishSecretRef": {"name": "s"}}}]},
            {secret("s")},
        ),
        ({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "hostPath": {}}]}, set()),
        (
            {
                "resourceClaims": [{"name": "a", "resourceClaimName": "x"}, {"name": "b"}],
                "status": {
                    "resourceClaimStatuses": [{"name": "b", "resourceClaimName": "y"}],
                    "extendedResourceClaimStatus": {"resourceClaimName": "z"},
                },
            },
            {Named("resourceclaims", "default", name) for name in "xyz"},
        ),
    ],
)
def test_a_pod_names_what_it_needs(spec: dict[str, Any], expected: set[Named]) -> None:
    found = read_pod(pod("web", **spec))
    assert found.names == expected
    assert found.pod == Named("pods", "default", "web")
    assert found.node == "n1"


def test_what_pods_of_a_workload_name_is_kept_once() -> None:
    first, second = (read_pod(pod(name, containers=[CONTAINER])) for name in ("a", "b"))
    assert first.names and first.names is second.names
    assert first.pod != second.pod


def test_a_mirror_pod_names_nothing() -> None:
    annotations = {"kubernetes.io/config.mirror": "hash"}
    found = read_pod(pod("web", annotations=annotations, containers=[CONTAINER]))
    assert not found.names
    assert found.node == "n1"


READS_SECRET = pod("web", containers=[CONTAINER], serviceAccountName="sa")


def test_a_node_reads_what_its_pods_name() -> None:
    nodes = Nodes(READS_SECRET)
    for verb in ("get", "list", "watch"):
        assert nodes.may(verb, "secrets", "env")
        assert nodes.may(verb, "configmaps", "from")
    for verb in ("list", "watch"):
        assert nodes.may(verb, "secrets", fields="metadata.name=env")
    for plural in ("secrets", "configmaps"):
        assert nodes.why("get", plural, "other") == UNRELATED
    assert nodes.why("get", "secrets", "env", namespace="kube-system") == UNRELATED
    assert not nodes.may("get", "secrets", "env", User("system:node:n2", ("system:nodes",)))


def test_a_node_reads_single_objects_in_a_namespace_only() -> None:
    nodes = Nodes(READS_SECRET)
    assert nodes.why("list", "secrets") == "No Object name found"
    named = nodes.why("get", "secrets", "env", namespace="")
    assert named == "can only read namespaced object of this type"
    assert nodes.why("update", "secrets", "env") == "can only read resources of this type"
    assert nodes.why("get", "secrets/x", "env") == "cannot read subresource"


def test_a_right_ends_with_the_last_pod_that_gives_it() -> None:
    nodes = Nodes(READS_SECRET)
    second = pod("db", containers=[CONTAINER])
    nodes.graph.pod_changed(None, second)
    nodes.graph.pod_changed(READS_SECRET, None)
    assert nodes.may("get", "secrets", "env")
    nodes.graph.pod_changed(second, pod("db"))
    assert not nodes.may("get", "secrets", "env")
    assert nodes.may("get", "pods", "db")
    nodes.graph.pod_changed(pod("db"), None)
    assert not nodes.may("get", "pods", "db")
    assert not nodes.graph._nodes


def test_a_pod_gives_rights_once_it_is_bound() -> None:
    nodes = Nodes()
    unbound = pod("web", node="", containers=[CONTAINER])
    nodes.graph.pod_changed(None, unbound)
    assert not nodes.may("get", "secrets", "env")
    nodes.graph.pod_changed(unbound, READS_SECRET)
    assert nodes.may("get", "secrets", "env")


pods = some.builds(
    lambda name, node, secrets: (
        name,
        pod(name, node, imagePullSecrets=[{"name": one} for one in secrets]),
    ),
    some.sampled_from(["a", "b", "c"]),
    some.sampled_from(["", "n1", "n2"]),
    some.lists(some.sampled_from(["s", "t"]), max_size=2),
)


@given(some.lists(some.tuples(pods, some.booleans()), max_size=20))
def test_the_graph_after_any_changes_is_that_of_the_pods_that_are_left(
    changes: list[tuple[tuple[str, bytes], bool]],
) -> None:
    nodes = Nodes()
    live: dict[str, bytes] = {}
    for (name, value), removed in changes:
        old = live.pop(name, None)
        new = None if removed and old is not None else value
        if new is not None:
            live[name] = new
        nodes.graph.pod_changed(old, new)
    assert nodes.graph._nodes == Nodes(*live.values()).graph._nodes


def test_a_node_gets_claims_and_volumes_of_its_pods() -> None:
    mounted = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    nodes = Nodes(pod("web", **mounted))
    first = volume("pv", "data", csi={"nodePublishSecretRef": {"name": "s", "namespace": "x"}})
    nodes.graph.volume_changed(None, first)
    assert nodes.may("get", "persistentvolumeclaims", "data")
    assert nodes.may("get", "persistentvolumes", "pv", namespace="")
    assert nodes.may("get", "secrets", "s", namespace="x")
    for verb in ("list", "watch"):  # beside upstream's, which lets a node get them alone
        assert nodes.may(verb, "persistentvolumeclaims", "data")
        assert nodes.why(verb, "persistentvolumeclaims", "other") == UNRELATED
        assert not nodes.may(verb, "persistentvolumeclaims", "")
        assert not nodes.may(verb, "persistentvolumeclaims/status", "data")
    why = nodes.why("list", "persistentvolumes", "pv", namespace="")
    assert why == "can only get individual resources of this type"
    assert nodes.why("get", "persistentvolumes/status", "pv") == "cannot get subresource"
    released = volume("pv", "other", csi={"nodePublishSecretRef": {"name": "s", "namespace": "x"}})
    nodes.graph.volume_changed(first, released)
    assert not nodes.may("get", "persistentvolumes", "pv", namespace="")
    assert not nodes.may("get", "secrets", "s", namespace="x")
    nodes.graph.volume_changed(released, first)
    assert nodes.may("get", "secrets", "s", namespace="x")
    nodes.graph.volume_changed(first, None)
    assert not nodes.may("get", "secrets", "s", namespace="x")
    assert not nodes.graph._mounted_with


def test_a_volumes_secret_without_a_namespace_is_in_that_of_its_claim() -> None:
    mounted = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    nodes = Nodes(pod("web", **mounted))
    nodes.graph.volume_changed(None, volume("pv", "data", azureFile={"secretName": "s"}))
    nodes.graph.volume_changed(None, volume("free", rbd={"secretRef": {"name": "t"}}))
    named = {"secretName": "u", "secretNamespace": "x"}
    nodes.graph.volume_changed(None, volume("there", "data", azureFile=named))
    assert nodes.may("get", "secrets", "u", namespace="x")
    assert not nodes.may("get", "secrets", "u")
    assert nodes.may("get", "secrets", "s")
    assert not nodes.may("get", "secrets", "t")


def test_a_node_updates_the_status_of_its_pods_claims() -> None:
    mounted = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    nodes = Nodes(pod("web", **mounted))
    assert nodes.may("patch", "persistentvolumeclaims/status", "data")
    assert nodes.why("patch", "persistentvolumeclaims/status", "other") == UNRELATED
    why = nodes.why("get", "persistentvolumeclaims/status", "data")
    assert why == "can only get/update/patch this type"


def test_a_node_makes_tokens_for_its_pods_accounts() -> None:
    nodes = Nodes(READS_SECRET)
    assert nodes.may("create", "serviceaccounts/token", "sa")
    assert nodes.may("get", "serviceaccounts", "sa")
    assert nodes.why("create", "serviceaccounts/token", "other") == UNRELATED
    why = nodes.why("create", "serviceaccounts/x", "sa")
    assert why == "can only create token subresource of serviceaccount"
    why = nodes.why("get", "serviceaccounts/token", "sa")
    assert why == "can only create tokens for individual service accounts"
    why = nodes.why("create", "serviceaccounts/token")
    assert why == "can only create tokens for individual service accounts"
    why = nodes.why("delete", "serviceaccounts", "sa")
    assert why == "can only create tokens for individual service accounts"


def test_a_node_gets_its_pods_resource_claims() -> None:
    nodes = Nodes(pod("web", resourceClaims=[{"resourceClaimName": "gpu"}]))
    assert nodes.may("get", "resourceclaims.resource.k8s.io", "gpu")
    assert not nodes.may("get", "resourceclaims.resource.k8s.io", "other")


def test_a_node_reads_its_own_node_only() -> None:
    nodes = Nodes()
    for verb in ("get", "list", "watch"):
        assert nodes.may(verb, "nodes", "n1", namespace="")
    for verb in ("list", "watch"):
        assert nodes.may(verb, "nodes", namespace="", fields="metadata.name=n1")
    why = nodes.why("get", "nodes", "n2", namespace="")
    assert why == "node 'n1' cannot read 'n2', only its own Node object"
    why = nodes.why("list", "nodes", namespace="")
    assert why == "node 'n1' cannot read all nodes, only its own Node object"
    for verb in ("create", "update", "patch"):
        assert nodes.may(verb, "nodes", namespace="")
    assert nodes.may("patch", "nodes/status", "n1", namespace="")
    assert nodes.why("delete", "nodes", "n1", namespace="") == ""
    assert nodes.why("get", "nodes/status", "n1", namespace="") == ""
    assert nodes.why("get", "nodes/proxy", "n1", namespace="") == ""


def test_of_the_subresources_of_nodes_only_the_status_is_a_nodes_to_write() -> None:
    nodes = Nodes()
    assert nodes.may("patch", "nodes/status", "n1", namespace="")
    assert nodes.may("update", "nodes/status", "n1", namespace="")
    assert not nodes.may("get", "nodes/status", "n1", namespace="")
    for verb in ("get", "create", "update", "patch"):
        assert not nodes.may(verb, "nodes/proxy", "n1", namespace="")


def test_a_node_lists_its_own_pods_only() -> None:
    nodes = Nodes(pod("web"), pod("far", node="n2"))
    for verb in ("list", "watch"):
        assert nodes.may(verb, "pods", namespace="", fields="spec.nodeName=n1")
        assert nodes.may(verb, "pods", fields="metadata.name=web")
        for fields in ("", "spec.nodeName=n2", "spec.nodeName!=n1"):
            why = nodes.why(verb, "pods", namespace="", fields=fields)
            assert why == "can only list/watch pods with spec.nodeName field selector"
        assert nodes.why(verb, "pods", fields="metadata.name=far") == UNRELATED
    assert nodes.may("get", "pods", "web")
    assert nodes.why("get", "pods", "far") == UNRELATED


@pytest.mark.parametrize(
    ("verb", "resource", "expected"),
    [
        ("create", "pods", True),
        ("delete", "pods", True),
        ("update", "pods", False),
        ("patch", "pods/status", True),
        ("update", "pods/status", True),
        ("get", "pods/status", False),
        ("patch", "pods/resize", False),
        ("update", "pods/ephemeralcontainers", False),
        ("create", "pods/eviction", True),
        ("get", "pods/eviction", False),
        ("create", "pods/exec", False),
        ("get", "services", True),
        ("list", "services", True),
        ("update", "services", False),
        ("create", "events", True),
        ("delete", "events", False),
        ("watch", "runtimeclasses.node.k8s.io", True),
        ("create", "certificatesigningrequests.certificates.k8s.io", True),
        ("create", "tokenreviews.authentication.k8s.io", True),
        ("list", "deployments.apps", False),
    ],
)
def test_a_node_may_what_its_role_says(verb: str, resource: str, expected: bool) -> None:
    assert Nodes().may(verb, resource, "x") is expected


def test_a_node_keeps_its_own_lease() -> None:
    nodes = Nodes()
    lease = "leases.coordination.k8s.io"
    for verb in ("get", "create", "update", "patch", "delete"):
        assert nodes.may(verb, lease, "n1", namespace="kube-node-lease")
    assert nodes.may("create", lease, namespace="kube-node-lease")
    assert nodes.why("list", lease, namespace="kube-node-lease") == (
        "can only get, create, update, patch, or delete a node lease"
    )
    assert nodes.why("get", lease, "n1", namespace="kube-system") == (
        'can only access leases in the "kube-node-lease" system namespace'
    )
    for verb in ("get", "update", "patch", "delete"):
        assert nodes.why(verb, lease, "n2", namespace="kube-node-lease") == (
            "can only access node lease with the same name as the requesting node"
        )


def test_a_node_keeps_its_own_csi_node() -> None:
    nodes = Nodes()
    own = "csinodes.storage.k8s.io"
    assert nodes.may("get", own, "n1", namespace="")
    assert nodes.may("create", own, namespace="")
    assert nodes.why("list", own) == "can only get, create, update, patch, or delete a CSINode"
    for verb in ("get", "update", "patch", "delete"):
        assert nodes.why(verb, own, "n2") == (
            "can only access CSINode with the same name as the requesting node"
        )
    why = nodes.why("get", "csinodes/status.storage.k8s.io", "n1")
    assert why == "cannot authorize CSINode subresources"


def spec(group: str, plural: str, name: str, namespace: str = "") -> dict[Ref, Document]:
    return {Ref(Resource(group, plural), namespace, name): {"spec": {"nodeName": "n1"}}}


def test_a_node_gets_volume_attachments_that_name_it() -> None:
    nodes = Nodes(found=spec("storage.k8s.io", "volumeattachments", "a"))
    own = "volumeattachments.storage.k8s.io"
    assert nodes.may("get", own, "a", namespace="")
    assert nodes.why("get", own, "b", namespace="") == UNRELATED
    assert nodes.why("list", own) == "can only get individual resources of this type"
    other = User("system:node:n2", ("system:nodes",))
    assert not nodes.may("get", own, "a", other, namespace="")


def test_a_node_keeps_resource_slices_that_name_it() -> None:
    nodes = Nodes(found=spec("resource.k8s.io", "resourceslices", "a"))
    own = "resourceslices.resource.k8s.io"
    assert nodes.may("create", own, namespace="")
    for verb in ("get", "update", "patch", "delete"):
        assert nodes.may(verb, own, "a", namespace="")
        assert nodes.why(verb, own, "b", namespace="") == UNRELATED
    for verb in ("list", "watch", "deletecollection"):
        assert nodes.may(verb, own, namespace="", fields="spec.nodeName=n1")
        assert "nodeName field selector" in nodes.why(verb, own, namespace="")
    why = nodes.why("get", "resourceslices/x.resource.k8s.io", "a")
    assert why == "cannot authorize ResourceSlice subresources"


def test_a_node_keeps_certificate_requests_of_its_pods() -> None:
    plural = "podcertificaterequests"
    nodes = Nodes(found=spec("certificates.k8s.io", plural, "a", "default"))
    own = f"{plural}.certificates.k8s.io"
    assert nodes.may("create", own)
    assert nodes.may("get", own, "a")
    assert nodes.may("list", own, fields="spec.nodeName=n1")
    assert nodes.why("list", own) != ""
    assert nodes.why("get", own, "b") == UNRELATED
    assert nodes.why("delete", own, "a") == ""
    for verb in ("create", "get", "update"):
        assert nodes.why(verb, f"{plural}/status.certificates.k8s.io", "a") == ""
    slices = "resourceslices.resource.k8s.io"
    assert nodes.why("get", slices, namespace="") == "No Object name found"


def test_who_is_no_node_is_somebody_elses_question() -> None:
    nodes = Nodes(READS_SECRET)
    for user in (User("jane"), User("system:node:n1"), User("jane", ("system:nodes",))):
        assert node_of(user) is None
        assert nodes.ask("get", "secrets", "env", user) == (False, "")
    nameless = User("system:node:", ("system:nodes",))
    found = nodes.ask("get", "secrets", "env", nameless)
    assert found == (False, 'unknown node for user "system:node:"')


def test_a_node_reads_paths_by_no_rule_of_its_own() -> None:
    asked = Attributes("get", path="/healthz", is_resource=False)
    assert not Nodes().authorizer.allowed(NODE, asked).allowed


def local_volume(node: str, **fields: Any) -> Document:
    annotations = {
        "pv.kubernetes.io/provisioned-by": fields.get("by", "steersman.io/local-path"),
        "local.path.provisioner/selected-node": node,
    }
    return {
        "metadata": {"name": "pv", "annotations": annotations},
        "spec": {"persistentVolumeReclaimPolicy": fields.get("policy", "Delete")},
        "status": {"phase": fields.get("phase", "Released")},
    }


def test_a_node_follows_and_removes_the_volumes_that_are_its_own_directories() -> None:
    ref = Ref(Resource("", "persistentvolumes"), "", "pv")

    def may(
        verb: str, found: Document | None, resource: str = "persistentvolumes", **more: str
    ) -> bool:
        nodes = Nodes(found={ref: found} if found else {})
        return nodes.may(verb, resource, more.pop("name", "pv"), namespace="", **more)

    for verb in ("list", "watch"):
        assert may(verb, None, name="", fields="spec.nodeName=n1")
        assert not may(verb, None, name="", fields="spec.nodeName=n2")
        assert not may(verb, None, name="")
    assert not may("deletecollection", None, name="", fields="spec.nodeName=n1")
    assert may("delete", local_volume("n1"))
    assert not may("delete", None)
    assert not may("delete", local_volume("n2"))
    assert not may("delete", local_volume("n1", by="example.com/disk"))
    assert not may("delete", local_volume("n1", policy="Retain"))
    assert not may("delete", local_volume("n1", phase="Bound"))
    assert not may("delete", local_volume("n1"), "persistentvolumes/status")
    assert not may("patch", local_volume("n1"))
