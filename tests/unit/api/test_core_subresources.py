"""Scale, binding, eviction and token through the served API; RBAC and escalation there."""

from __future__ import annotations

from served import DEPLOYMENTS, MERGE, METADATA, PODS, TABLE, Served, deployment, pod, served
from steersman.wire.message import User

ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
GROUP = "rbac.authorization.k8s.io"
JANE = User("jane", ("system:authenticated",))


@served
async def test_a_scale_shows_and_changes_the_replicas_alone(api: Served) -> None:
    made = (await api.post(DEPLOYMENTS, deployment("a", replicas=2))).ok()
    path = f"{DEPLOYMENTS}/a/scale"
    scale = (await api.get(path)).ok()
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 0, "selector": "app=a"}
    assert scale["metadata"]["uid"] == made["metadata"]["uid"]
    scale["spec"]["replicas"] = 4
    assert (await api.put(path, scale)).ok()["spec"] == {"replicas": 4}
    assert (await api.put(path, scale)).code == 409
    other_life = {"metadata": {"name": "a", "uid": "another"}, "spec": {"replicas": 5}}
    refused = await api.put(path, other_life)
    assert refused.code == 409 and "UID in precondition: another" in refused.message
    assert (await api.patch(path, {"spec": {"replicas": 0}}, MERGE)).ok()["spec"] == {}
    after = (await api.get(f"{DEPLOYMENTS}/a")).document
    assert after["spec"] == {**made["spec"], "replicas": 0}
    assert after["metadata"]["generation"] == 3
    answer = await api.patch(path, {"spec": {"replicas": -1}}, MERGE)
    assert (answer.code, answer.message) == (
        422,
        'Scale.autoscaling "a" is invalid: spec.replicas: Invalid value: -1: must be greater than '
        "or equal to 0",
    )
    assert (await api.put(path, {"spec": {"replicas": "many"}})).code == 400
    assert (await api.get("/api/v1/namespaces/default/pods/a/scale")).code == 404
    assert (await api.get(f"{DEPLOYMENTS}/absent/scale")).code == 404
    assert (await api.delete(path)).code == 405


@served
async def test_a_scale_that_is_written_is_that_of_its_path(api: Served) -> None:
    made = (await api.post(DEPLOYMENTS, deployment("a", replicas=2))).ok()
    path, uid = f"{DEPLOYMENTS}/a/scale", made["metadata"]["uid"]
    for metadata, code, told in (
        ({"name": "b"}, 400, "the name of the object (b) does not match the name on the URL (a)"),
        (
            {},
            400,
            "the name of the object (a based on URL) was undeterminable: name must be provided",
        ),
        (
            {"name": "a", "namespace": "b"},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            {"name": "a", "uid": "b"},
            409,
            'Operation cannot be fulfilled on deployments/scale.apps "a": Precondition failed: UID '
            f"in precondition: b, UID in object meta: {uid}",
        ),
    ):
        answer = await api.put(path, {"metadata": metadata, "spec": {"replicas": 3}})
        assert (answer.code, answer.message) == (code, told)
    wrong = {"metadata": {"name": "a", "labels": {"a": "b c"}}, "spec": {"replicas": -1}}
    answer = await api.put(path, wrong)
    assert answer.message.startswith('Scale.autoscaling "a" is invalid: [metadata.labels: ')
    assert [cause["field"] for cause in answer.document["details"]["causes"]] == [
        "metadata.labels",
        "spec.replicas",
    ]


@served
async def test_a_scale_is_shown_as_a_table_and_by_its_metadata(api: Served) -> None:
    (await api.post(DEPLOYMENTS, deployment("a", replicas=2))).ok()
    path = f"{DEPLOYMENTS}/a/scale"
    table = (await api.get(path, accept=TABLE)).ok()
    assert [(one["name"], one["type"]) for one in table["columnDefinitions"]] == [
        ("Name", "string"),
        ("Desired", "integer"),
        ("Available", "integer"),
        ("Age", "string"),
    ]
    (row,) = table["rows"]
    assert row["cells"] == ["a", 2, 0, "0s"]
    scale = (await api.get(path)).document
    assert table["metadata"] == {"resourceVersion": scale["metadata"]["resourceVersion"]}
    parts = (await api.get(path, accept=METADATA)).ok()
    assert (
        parts
        == row["object"]
        == {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": scale["metadata"],
        }
    )
    whole = (await api.get(path, accept=TABLE, includeObject="Object")).document
    assert whole["rows"][0]["object"] == scale
    bare = (await api.get(path, accept=TABLE, includeObject="None")).document
    assert bare["rows"][0]["object"] is None


@served
async def test_a_pod_is_bound_once(api: Served) -> None:
    (await api.post(PODS, pod("a"))).ok()
    metadata = {"name": "a", "annotations": {"x": "y"}}
    binding = {"metadata": metadata, "target": {"kind": "Node", "name": "n"}}
    answer = await api.post(f"{PODS}/a/binding", binding)
    assert (answer.code, answer.document["status"]) == (201, "Success")
    bound = (await api.get(f"{PODS}/a")).document
    assert bound["spec"]["nodeName"] == "n"
    assert bound["metadata"]["annotations"] == {"x": "y"}
    assert bound["metadata"]["generation"] == 1
    (condition,) = bound["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    answer = await api.post(f"{PODS}/a/binding", binding)
    assert (answer.code, answer.message) == (
        409,
        'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "n"',
    )
    absent = {**binding, "metadata": {"name": "b"}}
    assert (await api.post(f"{PODS}/b/binding", absent)).code == 404
    assert (await api.post(f"{PODS}/a/binding", {"target": "n"})).code == 400
    answer = await api.post(f"{PODS}/a/binding", {"metadata": metadata, "target": {"kind": "Foo"}})
    assert (answer.code, answer.message) == (
        400,
        '[target.kind: Unsupported value: "Foo": supported values: "Node", "<empty>", '
        "target.name: Required value]",
    )
    for other in ({**binding, "metadata": {"name": "b"}}, {"target": binding["target"]}):
        answer = await api.post(f"{PODS}/a/binding", other)
        assert (answer.code, answer.message) == (
            400,
            "name in URL does not match name in Binding object",
        )


@served
async def test_nobody_owns_what_a_binding_writes(api: Served) -> None:
    made = (await api.post(PODS, pod("a"))).ok()["metadata"]["managedFields"]
    metadata = {"name": "a", "annotations": {"x": "y"}}
    binding = {"metadata": metadata, "target": {"kind": "Node", "name": "n"}}
    (await api.post(f"{PODS}/a/binding", binding)).ok()
    bound = (await api.get(f"{PODS}/a")).ok()
    assert (bound["spec"]["nodeName"], bound["metadata"]["managedFields"]) == ("n", made)


@served
async def test_a_pod_is_bound_by_the_binding_that_names_it(api: Served) -> None:
    """Where the official Python client posts: not below the pod."""
    bindings = PODS.replace("/pods", "/bindings")
    (await api.post(PODS, pod("a"))).ok()
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    dry = await api.post(bindings, binding, dryRun="All")
    assert (dry.code, "nodeName" in (await api.get(f"{PODS}/a")).document["spec"]) == (201, False)
    answer = await api.post(bindings, binding)
    assert (answer.code, answer.document["status"]) == (201, "Success")
    assert (await api.get(f"{PODS}/a")).document["spec"]["nodeName"] == "n"
    answer = await api.post(bindings, binding)
    assert answer.message.endswith('pod a is already assigned to node "n"')
    missing = await api.post(bindings, {**binding, "metadata": {"name": "b"}})
    assert (missing.code, missing.message) == (404, 'pods "b" not found')
    nameless = await api.post(bindings, {**binding, "metadata": {}})
    assert (nameless.code, nameless.message) == (400, "Name parameter required.")
    assert (await api.get(bindings)).code == 405


@served
async def test_a_pod_is_bound_behind_its_gates_alone_and_is_nominated_no_longer(
    api: Served,
) -> None:
    (await api.post(PODS, pod("a", schedulingGates=[{"name": "x.io/g"}]))).ok()
    nominated = {"status": {"nominatedNodeName": "m"}}
    (await api.patch(f"{PODS}/a/status", nominated)).ok()
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    answer = await api.post(f"{PODS}/a/binding", binding)
    assert (answer.code, answer.message) == (
        409,
        'Operation cannot be fulfilled on pods/binding "a": pod a has non-empty '
        ".spec.schedulingGates",
    )
    (await api.patch(f"{PODS}/a", {"spec": {"schedulingGates": None}})).ok()
    (await api.post(f"{PODS}/a/binding", binding)).ok()
    bound = (await api.get(f"{PODS}/a")).ok()
    assert bound["spec"]["nodeName"] == "n"
    assert "nominatedNodeName" not in bound["status"]


@served
async def test_a_pod_that_is_being_deleted_is_not_bound(api: Served) -> None:
    ending = pod("a")
    ending["metadata"]["finalizers"] = ["x.io/kept"]
    (await api.post(PODS, ending)).ok()
    (await api.delete(f"{PODS}/a")).ok()
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    answer = await api.post(f"{PODS}/a/binding", binding)
    assert (answer.code, answer.message) == (
        409,
        'Operation cannot be fulfilled on pods/binding "a": pod a is being deleted, cannot be '
        "assigned to a host",
    )
    assert "nodeName" not in (await api.get(f"{PODS}/a")).document["spec"]


@served
async def test_an_eviction_deletes_under_its_options(api: Served) -> None:
    (await api.post(PODS, pod("a", nodeName="n"))).ok()
    eviction = {"metadata": {"name": "a"}, "deleteOptions": {"gracePeriodSeconds": 3}}
    dry = {"metadata": {"name": "a"}, "deleteOptions": {"dryRun": ["All"]}}
    assert (await api.post(f"{PODS}/a/eviction", dry)).code == 201
    assert "deletionTimestamp" not in (await api.get(f"{PODS}/a")).document["metadata"]
    assert (await api.post(f"{PODS}/a/eviction", eviction)).code == 201
    meta = (await api.get(f"{PODS}/a")).document["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 3
    named = {"metadata": {"name": "a"}}
    both = await api.post(
        f"{PODS}/a/eviction", {**named, "deleteOptions": {"dryRun": ["All"]}}, dryRun="All"
    )
    assert both.code == 201
    other = {**named, "deleteOptions": {"dryRun": ["Some"]}}
    answer = await api.post(f"{PODS}/a/eviction", other, dryRun="All")
    assert (answer.code, answer.document["message"]) == (
        500,
        "Non-matching dry-run options in request and content: [All] and [Some]",
    )
    answer = await api.post(f"{PODS}/a/eviction", other)
    assert (answer.code, answer.document["details"]["causes"][0]["field"]) == (422, "dryRun")
    torn = {**named, "deleteOptions": {"propagationPolicy": "Sideways"}}
    answer = await api.post(f"{PODS}/a/eviction", torn)
    assert answer.document["details"]["causes"][0]["field"] == "propagationPolicy"
    wrong = {**named, "deleteOptions": {"preconditions": {"uid": "u"}}}
    assert (await api.post(f"{PODS}/a/eviction", wrong)).code == 409
    for path, given in (("b", eviction), ("a", {})):
        answer = await api.post(f"{PODS}/{path}/eviction", given)
        told = "name in URL does not match name in Eviction object"
        assert (answer.code, answer.message) == (400, told)


@served
async def test_a_token_is_issued_for_an_account_that_exists(api: Served) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts"
    answer = await api.post(f"{path}/default/token", {"spec": {"expirationSeconds": 700}})
    assert answer.code == 201
    assert answer.document["status"]["token"].count(".") == 2
    assert (await api.post(f"{path}/absent/token", {"spec": {}})).code == 404
    assert (await api.post(f"{path}/default/token", {"kind": "Pod"})).code == 400


@served
async def test_a_role_in_a_namespace_reaches_nothing_outside_of_it(api: Served) -> None:
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    (await api.post(ROLES, {"metadata": {"name": "all"}, "rules": everything})).ok()
    binding = {
        "metadata": {"name": "all"},
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "all"},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "jane"}],
    }
    (await api.post(ROLES.replace("roles", "rolebindings"), binding)).ok()
    (await api.get(PODS, user=JANE)).ok()
    for path, code in (
        ("/api/v1/nodes", 403),
        ("/api/v1/namespaces/default/nodes", 404),
        ("/api/v1/namespaces/default/namespaces/kube-system", 404),
        ("/api/v1/namespaces/kube-system/pods", 403),
        (f"/apis/{GROUP}/v1/namespaces/default/clusterroles", 404),
    ):
        assert (await api.get(path, user=JANE)).code == code, path
    path = "/api/v1/namespaces/default/nodes"
    assert (await api.post(path, {"metadata": {"name": "n"}}, user=JANE)).code == 404


@served
async def test_nobody_grants_more_than_they_hold(api: Served) -> None:
    makers = [{"apiGroups": [GROUP], "resources": ["roles"], "verbs": ["create"]}]
    (await api.post(ROLES, {"metadata": {"name": "maker"}, "rules": makers})).ok()
    binding = {
        "metadata": {"name": "maker"},
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "maker"},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "jane"}],
    }
    (await api.post(ROLES.replace("roles", "rolebindings"), binding)).ok()
    secrets = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    answer = await api.post(ROLES, {"metadata": {"name": "r"}, "rules": secrets}, user=JANE)
    assert answer.code == 403
    assert "is attempting to grant RBAC permissions not currently held" in answer.message
    (await api.post(ROLES, {"metadata": {"name": "r"}, "rules": makers}, user=JANE)).ok()
