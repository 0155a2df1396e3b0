"""The default roles and what they come to."""

from __future__ import annotations

import pytest
from test_access_rbac import Stored

from steersman.api.access.authorization import Attributes
from steersman.api.access.rbac import RBAC
from steersman.api.bootstrap.documents import documents, rbac_documents, reconcile
from steersman.model.kind import Document
from steersman.wire.message import User

DEFAULTS = rbac_documents()


def named(kind: str, name: str, namespace: str = "") -> Document:
    found = [
        one
        for one in documents()
        if one["kind"] == kind
        and one["metadata"]["name"] == name
        and one["metadata"].get("namespace", "") == namespace
    ]
    assert len(found) == 1
    return found[0]


def controller(name: str) -> User:
    return User(
        f"system:serviceaccount:kube-system:{name}",
        ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
    )


ANYBODY = User("jane", ("system:authenticated",))
NOBODY = User("system:anonymous", ("system:unauthenticated",))
SCHEDULER = User("system:kube-scheduler", ("system:authenticated",))


@pytest.mark.parametrize(
    ("user", "asked", "expected"),
    [
        (NOBODY, "get /healthz", True),
        (NOBODY, "get /readyz", True),
        (NOBODY, "get /version", True),
        (NOBODY, "get /api", False),
        (NOBODY, "get /openapi/v3", False),
        (NOBODY, "list core pods", False),
        (ANYBODY, "get /api/v1", True),
        (ANYBODY, "get /openapi/v3/api/v1", True),
        (ANYBODY, "get /metrics", False),
        (ANYBODY, "create authorization.k8s.io selfsubjectaccessreviews", True),
        (ANYBODY, "create authentication.k8s.io selfsubjectreviews", True),
        (ANYBODY, "create authentication.k8s.io tokenreviews", False),
        (SCHEDULER, "create core pods/binding", True),
        (SCHEDULER, "patch core pods/status", True),
        (SCHEDULER, "create core pods", False),
        (SCHEDULER, "patch events.k8s.io events", True),
        (User("system:kube-controller-manager"), "watch example.com anythings", True),
        (User("system:kube-controller-manager"), "delete core pods", False),
        (controller("deployment-controller"), "create apps replicasets", True),
        (controller("deployment-controller"), "create core pods", False),
        (controller("replicaset-controller"), "create core pods", True),
        (controller("replicaset-controller"), "delete apps replicasets", False),
        (controller("endpointslice-controller"), "create discovery.k8s.io endpointslices", True),
        (controller("generic-garbage-collector"), "delete example.com anythings", True),
        (controller("namespace-controller"), "deletecollection apps deployments", True),
        (controller("job-controller"), "update batch jobs/status", True),
        (controller("nobody"), "create core pods", False),
        (User("n", ("system:nodes",)), "get core secrets", False),
    ],
)
def test_the_default_roles_allow_what_upstreams_do(user: User, asked: str, expected: bool) -> None:
    rules = RBAC(Stored(*DEFAULTS))
    verb, *rest = asked.split()
    if len(rest) == 1:
        attributes = Attributes(verb, path=rest[0], is_resource=False)
    else:
        group = rest[0].replace("core", "") if rest[0] == "core" else rest[0]
        plural, _, sub = rest[1].partition("/")
        attributes = Attributes(verb, group, "v1", plural, sub, "default")
    assert rules.allowed(user, attributes).allowed is expected


def test_every_default_role_is_marked_and_every_binding_has_its_role() -> None:
    roles = {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
        for one in DEFAULTS
    }
    assert len(roles) == len(DEFAULTS)
    for one in DEFAULTS:
        metadata = one["metadata"]
        assert metadata["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults"
        assert metadata["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] == "true"
        if "roleRef" in one:
            reference = one["roleRef"]
            scope = metadata.get("namespace", "") if reference["kind"] == "Role" else ""
            assert (reference["kind"], scope, reference["name"]) in roles


def test_rules_are_written_as_upstream_sorts_them() -> None:
    lists = ("apiGroups", "resources", "verbs", "resourceNames", "nonResourceURLs")
    for one in DEFAULTS:
        for rule in one.get("rules") or ():
            assert set(rule) <= set(lists)
            for field in rule:
                assert rule[field] == sorted(rule[field])


def test_admin_holds_edit_and_edit_holds_view_from_the_start() -> None:
    view, edit, admin = (named("ClusterRole", name)["rules"] for name in ("view", "edit", "admin"))
    assert len(view) == 12  # upstream's eleven, and metrics-server's
    assert all(rule in edit for rule in view)
    assert all(rule in admin for rule in edit)
    assert named("ClusterRole", "system:aggregate-to-admin")["rules"][0] in admin
    selector = named("ClusterRole", "edit")["aggregationRule"]["clusterRoleSelectors"]
    label = "rbac.authorization.k8s.io/aggregate-to-edit"
    assert selector == [{"matchLabels": {label: "true"}}]
    assert named("ClusterRole", "view")["metadata"]["labels"][label] == "true"


def test_roles_in_namespaces_are_bound_to_their_accounts() -> None:
    bound = named("RoleBinding", "system:controller:bootstrap-signer", "kube-public")
    assert bound["subjects"] == [
        {"kind": "ServiceAccount", "name": "bootstrap-signer", "namespace": "kube-system"}
    ]
    reader = named(
        "RoleBinding", "system::extension-apiserver-authentication-reader", "kube-system"
    )
    assert reader["roleRef"]["name"] == "extension-apiserver-authentication-reader"
    assert reader["roleRef"]["kind"] == "Role"
    group = "rbac.authorization.k8s.io"
    assert reader["subjects"][0] == {
        "apiGroup": group,
        "kind": "User",
        "name": "system:kube-controller-manager",
    }


def test_nobody_is_bound_to_the_role_of_nodes() -> None:
    assert "subjects" not in named("ClusterRoleBinding", "system:node")


def test_the_system_namespaces_and_priorities_are_there() -> None:
    namespaces = {one["metadata"]["name"] for one in documents() if one["kind"] == "Namespace"}
    assert namespaces == {"default", "kube-system", "kube-public", "kube-node-lease"}
    assert named("PriorityClass", "system-node-critical")["value"] == 2_000_001_000
    assert named("PriorityClass", "system-cluster-critical")["value"] == 2_000_000_000


def test_every_flow_has_its_level() -> None:
    flows = [one for one in documents() if one["kind"] == "FlowSchema"]
    assert len(flows) == 11
    for flow in flows:
        named("PriorityLevelConfiguration", flow["spec"]["priorityLevelConfiguration"]["name"])
    probes = named("FlowSchema", "probes")["spec"]
    assert probes["rules"][0]["nonResourceRules"] == [
        {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}
    ]
    assert "distinguisherMethod" not in probes
    service = named("FlowSchema", "kube-system-service-accounts")["spec"]
    assert service["distinguisherMethod"] == {"type": "ByNamespace"}
    assert service["rules"][0]["subjects"] == [
        {"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}}
    ]
    limited = named("PriorityLevelConfiguration", "workload-high")["spec"]["limited"]
    assert limited["limitResponse"]["queuing"] == {
        "queues": 128,
        "handSize": 6,
        "queueLengthLimit": 50,
    }
    reject = named("PriorityLevelConfiguration", "catch-all")["spec"]["limited"]
    assert reject["limitResponse"] == {"type": "Reject"}


def test_an_absent_object_is_created_and_a_whole_one_left_alone() -> None:
    for wanted in documents():
        assert reconcile(None, wanted) == wanted
        assert reconcile(wanted, wanted) is None


def scheduler() -> Document:
    return named("ClusterRole", "system:kube-scheduler")


def test_missing_rules_are_added_back_and_extra_ones_stay() -> None:
    wanted = scheduler()
    extra = {"apiGroups": ["x"], "resources": ["y"], "verbs": ["get"]}
    live = {**wanted, "rules": [extra, *wanted["rules"][1:]]}
    found = reconcile(live, wanted)
    assert found is not None
    assert found["rules"][: len(live["rules"])] == live["rules"]
    added = found["rules"][len(live["rules"]) :]
    assert len(added) == 6  # three verbs in two groups, broken down
    assert added[0] == {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}
    assert reconcile(found, wanted) is None


def test_a_protected_object_is_left_as_it_is() -> None:
    wanted = scheduler()
    key = "rbac.authorization.kubernetes.io/autoupdate"
    live = {**wanted, "rules": [], "metadata": {"name": "x", "annotations": {key: "false"}}}
    assert reconcile(live, wanted) is None


def test_labels_and_annotations_are_added_but_not_overwritten() -> None:
    wanted = scheduler()
    labels = {"kubernetes.io/bootstrapping": "mine", "other": "x"}
    live = {**wanted, "metadata": {"name": "x", "labels": labels, "uid": "1"}}
    found = reconcile(live, wanted)
    assert found is not None
    assert found["metadata"]["labels"] == labels
    assert found["metadata"]["annotations"] == wanted["metadata"]["annotations"]
    assert found["metadata"]["uid"] == "1"


def test_missing_subjects_and_selectors_are_added() -> None:
    wanted = named("ClusterRoleBinding", "system:public-info-viewer")
    mine = {"kind": "User", "name": "me"}
    found = reconcile({**wanted, "subjects": [mine, wanted["subjects"][1]]}, wanted)
    assert found is not None
    assert found["subjects"] == [mine, wanted["subjects"][1], wanted["subjects"][0]]
    admin = named("ClusterRole", "admin")
    other = {"matchLabels": {"a": "b"}}
    live = {**admin, "rules": [], "aggregationRule": {"clusterRoleSelectors": [other]}}
    found = reconcile(live, admin)
    assert found is not None
    assert found["rules"] == []
    selectors = found["aggregationRule"]["clusterRoleSelectors"]
    assert selectors == [other, *admin["aggregationRule"]["clusterRoleSelectors"]]


def test_a_binding_to_another_role_is_replaced() -> None:
    wanted = named("ClusterRoleBinding", "cluster-admin")
    live = {**wanted, "roleRef": {"name": "other"}, "subjects": [{"kind": "User", "name": "me"}]}
    found = reconcile(live, wanted)
    assert found is not None
    assert (found["roleRef"], found["subjects"]) == (wanted["roleRef"], wanted["subjects"])


def test_what_is_not_rbac_is_only_created() -> None:
    wanted = named("PriorityClass", "system-node-critical")
    assert reconcile({**wanted, "value": 1}, wanted) is None
