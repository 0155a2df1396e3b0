"""Deleting: at once, gracefully, after finalizers; namespaces; collections."""

from __future__ import annotations

from typing import Any

import pytest

from served import (
    DEPLOYMENTS,
    MAPS,
    NAMESPACES,
    PODS,
    Served,
    config_map,
    deployment,
    pod,
    served,
    serving,
)
from steersman.api import delete
from steersman.store.memory import MemoryStore
from steersman.world.simulated import SimulatedWorld, simulate

JOBS = "/apis/batch/v1/namespaces/default/jobs"


def job(name: str) -> dict[str, Any]:
    spec = {**pod(name)["spec"], "restartPolicy": "Never"}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": spec}}}


async def finalized(api: Served, name: str, *finalizers: str) -> dict[str, Any]:
    given = config_map(name)
    given["metadata"]["finalizers"] = list(finalizers)
    return (await api.post(MAPS, given)).ok()


@served
async def test_a_deletion_answers_with_a_status_that_names_the_object(api: Served) -> None:
    uid = (await api.post(MAPS, config_map("a"))).ok()["metadata"]["uid"]
    answer = await api.delete(f"{MAPS}/a")
    assert answer.code == 200
    assert answer.document == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "a", "kind": "configmaps", "uid": uid},
    }
    assert (await api.get(f"{MAPS}/a")).code == 404


@served
async def test_an_object_with_finalizers_waits_for_the_last_of_them(api: Served) -> None:
    made = await finalized(api, "a", "example.com/one", "example.com/two")
    watched = await api.watch(MAPS, resourceVersion=made["metadata"]["resourceVersion"])
    for _ in range(2):  # the second deletion changes nothing
        remains = (await api.delete(f"{MAPS}/a")).ok()
        assert remains["kind"] == "Status" or remains["metadata"]["deletionTimestamp"]
    kept = (await api.get(f"{MAPS}/a")).document
    assert kept["metadata"]["deletionGracePeriodSeconds"] == 0
    path = "/metadata/finalizers"
    (await api.patch(f"{MAPS}/a", {"metadata": {"finalizers": ["example.com/two"]}})).ok()
    gone = (await api.patch(f"{MAPS}/a", {"metadata": {"finalizers": None}})).ok()
    assert gone["metadata"]["name"] == "a", path
    assert (await api.get(f"{MAPS}/a")).code == 404
    assert watched.brief() == [("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


@served
async def test_what_is_being_deleted_gets_no_new_finalizer(api: Served) -> None:
    await finalized(api, "a", "example.com/one")
    (await api.delete(f"{MAPS}/a")).ok()
    more = {"metadata": {"finalizers": ["example.com/one", "example.com/new"]}}
    answer = await api.patch(f"{MAPS}/a", more)
    assert answer.code == 422
    assert "no new finalizers can be added if the object is being deleted" in answer.message


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"])],
)
@served
async def test_a_propagation_policy_becomes_a_finalizer(
    api: Served, policy: str, finalizers: list[str]
) -> None:
    (await api.post(DEPLOYMENTS, deployment("a"))).ok()
    remains = (await api.delete(f"{DEPLOYMENTS}/a", {"propagationPolicy": policy})).ok()
    assert remains["metadata"]["finalizers"] == finalizers
    assert remains["metadata"]["generation"] == 2
    again = (await api.delete(f"{DEPLOYMENTS}/a", {"propagationPolicy": policy})).ok()
    assert again["metadata"]["generation"] == 2
    (await api.delete(f"{DEPLOYMENTS}/a", {"propagationPolicy": "Background"})).ok()
    assert (await api.get(f"{DEPLOYMENTS}/a")).code == 404


@pytest.mark.parametrize("in_query", [True, False])
@pytest.mark.parametrize(("orphan", "finalizers"), [(True, ["orphan"]), (False, None)])
@served
async def test_who_still_speaks_of_orphans_gets_what_the_policy_means(
    api: Served, in_query: bool, orphan: bool, finalizers: list[str] | None
) -> None:
    (await api.post(JOBS, job("a"))).ok()  # of which dependents stay, where nothing is said
    if in_query:
        answer = await api.delete(f"{JOBS}/a", orphanDependents=str(orphan).lower())
    else:
        answer = await api.delete(f"{JOBS}/a", {"orphanDependents": orphan})
    answer.ok()
    remains = await api.get(f"{JOBS}/a")
    assert remains.code == (200 if orphan else 404)
    if orphan:
        assert remains.ok()["metadata"]["finalizers"] == finalizers


@served
async def test_a_later_policy_takes_the_earlier_ones_finalizer_away(api: Served) -> None:
    (await api.post(DEPLOYMENTS, deployment("a"))).ok()
    (await api.delete(f"{DEPLOYMENTS}/a", propagationPolicy="Foreground")).ok()
    remains = (await api.delete(f"{DEPLOYMENTS}/a", propagationPolicy="Orphan")).ok()
    assert remains["metadata"]["finalizers"] == ["orphan"]
    remains = (await api.delete(f"{DEPLOYMENTS}/a")).ok()
    assert remains["metadata"]["finalizers"] == ["orphan"]


@served
async def test_jobs_leave_their_pods_behind_unless_told_otherwise(api: Served) -> None:
    (await api.post(JOBS, job("a"))).ok()
    answer = await api.delete(f"{JOBS}/a")
    assert answer.ok()["metadata"]["finalizers"] == ["orphan"]
    assert answer.headers["Warning"] == (
        '299 - "child pods are preserved by default when jobs are deleted; set '
        "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress "
        'this warning"'
    )
    all_of_them = await api.delete(JOBS)
    assert all_of_them.headers["Warning"] == answer.headers["Warning"]
    (await api.post(JOBS, job("b"))).ok()
    answer = await api.delete(f"{JOBS}/b", propagationPolicy="Background")
    assert "Warning" not in answer.headers
    assert (await api.get(f"{JOBS}/b")).code == 404


@served
async def test_options_of_a_deletion_that_mean_nothing_are_refused(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    answer = await api.delete(f"{MAPS}/a", {"propagationPolicy": "Sideways"})
    assert (answer.code, answer.message) == (
        422,
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: '
        '"Sideways": supported values: "Foreground", "Background", "Orphan", "nil"',
    )
    both = {"propagationPolicy": "Orphan", "orphanDependents": True}
    answer = await api.delete(f"{MAPS}/a", both)
    assert answer.message == (
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": '
        "orphanDependents and deletionPropagation cannot be both set"
    )
    assert (await api.delete(f"{MAPS}/a", {"dryRun": ["Some"]})).code == 422
    assert (await api.delete(f"{MAPS}/a", {"gracePeriodSeconds": "soon"})).code == 400
    assert (await api.delete(f"{MAPS}/a", {"preconditions": [1]})).code == 400
    assert (await api.delete(f"{MAPS}/a", gracePeriodSeconds="soon")).code == 400
    assert (await api.delete(f"{MAPS}/a", {"kind": "Pod"})).message == (
        "decoded object cannot be converted to DeleteOptions"
    )
    assert (await api.delete(f"{MAPS}/a", b"{")).code == 400
    (await api.get(f"{MAPS}/a")).ok()


@served
async def test_preconditions_name_the_life_and_the_revision(api: Served) -> None:
    meta = (await api.post(DEPLOYMENTS, deployment("a"))).ok()["metadata"]
    answer = await api.delete(f"{DEPLOYMENTS}/a", {"preconditions": {"uid": "u"}})
    assert (answer.code, answer.message) == (
        409,
        'Operation cannot be fulfilled on Deployment.apps "a": the UID in the precondition (u) '
        f"does not match the UID in record ({meta['uid']}). The object might have been deleted and "
        "then recreated",
    )
    answer = await api.delete(f"{DEPLOYMENTS}/a", {"preconditions": {"resourceVersion": "1"}})
    assert (answer.code, answer.message) == (
        409,
        'Operation cannot be fulfilled on Deployment.apps "a": the ResourceVersion in the '
        f"precondition (1) does not match the ResourceVersion in record "
        f"({meta['resourceVersion']}). The object might have been modified",
    )
    right = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    (await api.delete(f"{DEPLOYMENTS}/a", {"preconditions": right})).ok()
    assert (await api.get(f"{DEPLOYMENTS}/a")).code == 404


async def bound(api: Served, name: str, **spec: Any) -> None:
    (await api.post(PODS, pod(name, **spec))).ok()
    binding = {"metadata": {"name": name}, "target": {"name": "n"}}
    (await api.post(f"{PODS}/{name}/binding", binding)).ok()


@served
async def test_a_pod_without_a_node_goes_at_once(api: Served) -> None:
    (await api.post(PODS, pod("a"))).ok()
    assert (await api.delete(f"{PODS}/a")).ok()["kind"] == "Pod"
    assert (await api.get(f"{PODS}/a")).code == 404


@served
async def test_a_pod_on_a_node_has_its_grace_period(api: Served) -> None:
    await bound(api, "a", terminationGracePeriodSeconds=40)
    meta = (await api.delete(f"{PODS}/a")).ok()["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 40
    assert meta["deletionTimestamp"] == "2026-01-01T00:00:40Z"
    assert meta["generation"] == 2
    before = api.revision
    assert (await api.delete(f"{PODS}/a")).ok()["metadata"] == meta
    assert (await api.delete(f"{PODS}/a", {"gracePeriodSeconds": 50})).ok()["metadata"] == meta
    assert api.revision == before


@served
async def test_a_dry_run_answers_with_what_would_remain(api: Served) -> None:
    await bound(api, "a", terminationGracePeriodSeconds=40)
    before = (await api.get(f"{PODS}/a")).ok()["metadata"]
    meta = (await api.delete(f"{PODS}/a", dryRun="All")).ok()["metadata"]
    assert meta["deletionTimestamp"] == "2026-01-01T00:00:40Z"
    assert meta["resourceVersion"] == before["resourceVersion"]
    (await api.post(DEPLOYMENTS, deployment("d"))).ok()
    options = {"propagationPolicy": "Foreground", "dryRun": ["All"]}
    meta = (await api.delete(f"{DEPLOYMENTS}/d", options)).ok()["metadata"]
    assert meta["finalizers"] == ["foregroundDeletion"]
    assert (await api.get(f"{PODS}/a")).ok()["metadata"] == before
    assert "deletionTimestamp" not in (await api.get(f"{DEPLOYMENTS}/d")).ok()["metadata"]


@served
async def test_a_grace_period_only_gets_shorter_and_counts_from_its_beginning(
    api: Served,
) -> None:
    await bound(api, "a")
    (await api.delete(f"{PODS}/a", {"gracePeriodSeconds": 60})).ok()
    await api.world.sleep(5)
    meta = (await api.delete(f"{PODS}/a", {"gracePeriodSeconds": 20})).ok()["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 20
    assert meta["deletionTimestamp"] == "2026-01-01T00:00:20Z"
    assert meta["generation"] == 2
    await api.world.sleep(10)
    meta = (await api.delete(f"{PODS}/a", {"gracePeriodSeconds": 2})).ok()["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 1, "its time is over already"
    assert meta["deletionTimestamp"] == "2026-01-01T00:00:15Z"
    (await api.delete(f"{PODS}/a", {"gracePeriodSeconds": 0})).ok()
    assert (await api.get(f"{PODS}/a")).code == 404


@pytest.mark.parametrize(("wanted", "grace"), [(-5, 1), (7, 7), (None, 30)])
@served
async def test_the_grace_period_asked_for_wins(api: Served, wanted: int | None, grace: int) -> None:
    await bound(api, "a")
    options = {} if wanted is None else {"gracePeriodSeconds": wanted}
    meta = (await api.delete(f"{PODS}/a", options)).ok()["metadata"]
    assert meta["deletionGracePeriodSeconds"] == grace


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
@served
async def test_a_pod_that_has_ended_goes_at_once(api: Served, phase: str) -> None:
    await bound(api, "a")
    (await api.patch(f"{PODS}/a/status", {"status": {"phase": phase}})).ok()
    (await api.delete(f"{PODS}/a")).ok()
    assert (await api.get(f"{PODS}/a")).code == 404


@served
async def test_a_pod_with_finalizers_stays_without_grace(api: Served) -> None:
    given = pod("a")
    given["metadata"]["finalizers"] = ["example.com/one"]
    (await api.post(PODS, given)).ok()
    meta = (await api.delete(f"{PODS}/a")).ok()["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 0
    (await api.patch(f"{PODS}/a", {"metadata": {"finalizers": []}})).ok()
    assert (await api.get(f"{PODS}/a")).code == 404


@served
async def test_a_finalizer_that_goes_does_not_cut_a_grace_period_short(api: Served) -> None:
    await bound(api, "a")
    (await api.patch(f"{PODS}/a", {"metadata": {"finalizers": ["example.com/one"]}})).ok()
    (await api.delete(f"{PODS}/a")).ok()
    (await api.patch(f"{PODS}/a", {"metadata": {"finalizers": None}})).ok()
    (await api.get(f"{PODS}/a")).ok()
    (await api.delete(f"{PODS}/a", gracePeriodSeconds="0")).ok()
    assert (await api.get(f"{PODS}/a")).code == 404


@served
async def test_a_namespace_ends_through_finalize(api: Served) -> None:
    (await api.post(NAMESPACES, {"metadata": {"name": "n"}})).ok()
    ending = (await api.delete(f"{NAMESPACES}/n")).ok()
    assert ending["status"]["phase"] == "Terminating"
    answer = await api.post("/api/v1/namespaces/n/configmaps", config_map("a"))
    assert answer.code == 403
    assert answer.message == (
        'configmaps "a" is forbidden: unable to create new content in namespace n because it is '
        "being terminated"
    )
    assert answer.document["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace n is being terminated",
            "field": "metadata.namespace",
        }
    ]
    ending["spec"]["finalizers"] = []
    (await api.put(f"{NAMESPACES}/n/finalize", ending)).ok()
    assert (await api.get(f"{NAMESPACES}/n")).code == 404
    answer = await api.post("/api/v1/namespaces/n/configmaps", config_map("a"))
    assert (answer.code, answer.message) == (404, 'namespaces "n" not found')


@served
async def test_only_finalize_changes_a_namespaces_finalizers(api: Served) -> None:
    made = (await api.post(NAMESPACES, {"metadata": {"name": "n"}})).ok()
    assert made["spec"]["finalizers"] == ["kubernetes"]
    made["spec"]["finalizers"] = []
    kept = (await api.put(f"{NAMESPACES}/n", made)).ok()
    assert kept["spec"]["finalizers"] == ["kubernetes"]
    changed = {**kept, "metadata": {**kept["metadata"], "labels": {"x": "y"}}}
    changed["spec"]["finalizers"] = ["example.com/a"]
    final = (await api.put(f"{NAMESPACES}/n/finalize", changed)).ok()
    assert final["spec"]["finalizers"] == ["example.com/a"]
    assert final["metadata"]["labels"]["x"] == "y"
    again = {**final, "status": {"phase": "Terminating"}}
    assert (await api.put(f"{NAMESPACES}/n/finalize", again)).ok()["status"] == kept["status"]
    assert (await api.put(f"{NAMESPACES}/n/finalize", {"metadata": []})).code == 400


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
@served
async def test_some_namespaces_cannot_be_deleted(api: Served, name: str) -> None:
    answer = await api.delete(f"{NAMESPACES}/{name}")
    assert (answer.code, answer.message) == (
        403,
        f'namespaces "{name}" is forbidden: this namespace may not be deleted',
    )


@served
async def test_a_collection_is_deleted_by_its_selectors(api: Served) -> None:
    for name in ("a", "b", "c"):
        given = config_map(name)
        given["metadata"]["labels"] = {"half": str(name == "c")}
        (await api.post(MAPS, given)).ok()
    answer = await api.delete(MAPS, labelSelector="half=False")
    assert answer.document["kind"] == "ConfigMapList"
    assert answer.names == ["a", "b"]
    assert (await api.get(MAPS)).names == ["c"]
    (await api.delete(MAPS, fieldSelector="metadata.name=other")).ok()
    assert (await api.get(MAPS)).names == ["c"]
    (await api.delete(MAPS)).ok()
    assert (await api.get(MAPS)).names == []


@served
async def test_a_page_of_a_collection_is_deleted_where_there_is_a_limit(api: Served) -> None:
    for name in "abcd":
        (await api.post(MAPS, config_map(name))).ok()
    revision = api.revision
    first = await api.delete(MAPS, limit="1")
    assert first.names == ["a"]
    metadata = first.document["metadata"]
    assert metadata["resourceVersion"] == str(revision)
    assert metadata["remainingItemCount"] == 3
    second = await api.delete(MAPS, limit="2", **{"continue": metadata["continue"]})
    assert second.names == ["b", "c"]
    assert second.document["metadata"]["resourceVersion"] == str(revision)
    assert (await api.get(MAPS)).names == ["d"]


@served
async def test_a_collection_is_deleted_as_it_was_at_a_revision(api: Served) -> None:
    for name in ("a", "b"):
        (await api.post(MAPS, config_map(name))).ok()
    then = str(api.revision)
    (await api.delete(f"{MAPS}/a")).ok()
    (await api.post(MAPS, config_map("c"))).ok()
    answer = await api.delete(MAPS, resourceVersion=then)
    assert answer.names == ["a", "b"]  # a is gone all the same
    assert answer.document["metadata"] == {"resourceVersion": then}
    assert (await api.get(MAPS)).names == ["c"]
    now = api.revision
    anyone = await api.delete(MAPS, resourceVersion="0", dryRun="All")
    assert anyone.document["metadata"] == {"resourceVersion": str(now)}
    fresh = {"resourceVersion": then, "resourceVersionMatch": "NotOlderThan"}
    assert (await api.delete(MAPS, **fresh)).names == ["c"]
    assert (await api.get(MAPS)).names == []


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        (
            {"resourceVersionMatch": "Exact"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            {"resourceVersion": "newest"},
            400,
            'Invalid value: "newest": strconv.ParseUint: parsing "newest": invalid syntax',
        ),
        ({"resourceVersion": "100000"}, 504, "Timeout: Too large resource version: 100000"),
        ({"limit": "some"}, 400, 'strconv.ParseInt: parsing "some": invalid syntax'),
        ({"continue": "x"}, 400, "invalid continue token"),
    ],
)
@served
async def test_options_that_select_nothing_delete_nothing(
    api: Served, query: dict[str, str], code: int, message: str
) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    answer = await api.delete(MAPS, **query)
    assert (answer.code, answer.message[: len(message)]) == (code, message)
    (await api.get(f"{MAPS}/a")).ok()


@served
async def test_what_was_deleted_is_shown_as_a_table_to_who_wants_one(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    table = "application/json;as=Table;g=meta.k8s.io;v=v1"
    answer = await api.delete(MAPS, accept=table)
    assert answer.document["kind"] == "Table"
    assert [row["cells"][0] for row in answer.document["rows"]] == ["a"]


@served
async def test_nothing_is_deleted_in_all_namespaces_at_once(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    for answer in (
        await api.delete("/api/v1/configmaps"),
        await api.post("/api/v1/configmaps", config_map("b")),
        await api.delete(NAMESPACES),
    ):
        assert (answer.code, answer.document["reason"]) == (405, "MethodNotAllowed")
    (await api.get(f"{MAPS}/a")).ok()


def test_a_second_start_changes_nothing_and_brings_back_what_was_removed() -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        async with serving(world, store) as api:
            first = api.revision
        async with serving(world, store) as api:
            assert api.revision == first
            role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/view"
            (await api.delete(role)).ok()
            second = api.revision
        async with serving(world, store) as api:
            assert api.revision == second + 1
            (await api.get(role)).ok()

    simulate(1, main)


NOW = 1_000_000.0
META = {"name": "a", "generation": 3}


@pytest.mark.parametrize(
    ("resource", "present", "policy", "left"),
    [
        ("v1/configmaps", ["x"], "", ["x"]),
        ("v1/configmaps", ["x"], "Foreground", ["x", "foregroundDeletion"]),
        ("v1/configmaps", ["x", "orphan"], "Foreground", ["x", "foregroundDeletion"]),
        ("v1/configmaps", ["foregroundDeletion", "x"], "Orphan", ["x", "orphan"]),
        ("v1/configmaps", ["foregroundDeletion", "orphan"], "Background", []),
        ("v1/configmaps", ["orphan"], "", ["orphan"]),
        ("batch/v1/jobs", [], "", ["orphan"]),
        ("batch/v1/jobs", ["foregroundDeletion"], "", ["foregroundDeletion"]),
        ("batch/v1/jobs", [], "Background", []),
        ("batch.example.com/v1/jobs", [], "", []),
        ("v1/replicationcontrollers", [], "", ["orphan"]),
        ("batch/v1/cronjobs", [], "", []),
        ("batch/v1beta1/cronjobs", [], "", ["orphan"]),
        ("apps/v1/deployments", [], "", []),
        ("apps/v1beta1/deployments", [], "", ["orphan"]),
        ("apps/v1beta2/replicasets", [], "", ["orphan"]),
        ("extensions/v1beta1/daemonsets", [], "", ["orphan"]),
        ("v1/events", [], "Foreground", []),
        ("events.k8s.io/v1/events", ["x"], "Orphan", ["x"]),
        ("example.com/v1/events", [], "Orphan", ["orphan"]),
    ],
)
def test_each_policy_takes_the_finalizer_of_the_other_away(
    resource: str, present: list[str], policy: str, left: list[str]
) -> None:
    api_version, _, plural = resource.rpartition("/")
    assert delete.finalizers(api_version, plural, present, policy) == left


@pytest.mark.parametrize(
    ("spec", "status", "wanted", "grace"),
    [
        ({}, {}, 30, 0),
        ({"nodeName": "n"}, {"phase": "Running"}, None, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 7}, {"phase": "Running"}, None, 7),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 7}, {}, 0, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": -7}, {}, None, 1),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 7}, {"phase": "Failed"}, None, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 7}, {"phase": "Succeeded"}, 9, 0),
    ],
)
def test_a_pod_that_runs_somewhere_has_a_grace_period(
    spec: Any, status: Any, wanted: int | None, grace: int
) -> None:
    assert delete.pod_grace({"spec": spec, "status": status}, wanted) == grace


def test_what_waits_for_nothing_is_gone_and_what_waits_says_since_when() -> None:
    def fate(old: dict[str, Any], kind: str = "ConfigMap", **options: Any) -> Any:
        given = delete.Options(**{"grace_seconds": None, **options})
        return delete.decide("v1", f"{kind.lower()}s", old, given, NOW).document

    assert fate({"metadata": META}) is None
    held = {"metadata": {**META, "finalizers": ["x"]}}
    made = fate(held)
    assert made["metadata"] == {
        **held["metadata"],
        "deletionTimestamp": "1970-01-12T13:46:40Z",
        "deletionGracePeriodSeconds": 0,
        "generation": 4,
    }
    assert fate(made) == made, "a second deletion changes nothing"
    space = {
        "metadata": META,
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    assert fate(space, "Namespace")["status"] == {"phase": "Terminating"}
    assert fate({**space, "spec": {"finalizers": []}}, "Namespace") is None
    assert fate(space, "ConfigMap") is None
