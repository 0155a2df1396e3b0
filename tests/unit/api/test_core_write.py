"""Creating, replacing and patching: names, revisions, preconditions, dry runs, generations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from served import (
    APPLY,
    DEPLOYMENTS,
    JSON_PATCH,
    MAPS,
    MERGE,
    NAMESPACES,
    PODS,
    SERVICES,
    STRATEGIC,
    Served,
    config_map,
    deployment,
    pod,
    served,
    service,
    signing_key,
)
from steersman.api.assembly import Assembly, Configuration
from steersman.api.cache import Cache
from steersman.model.ref import Resource
from steersman.store.interface import Write
from steersman.store.memory import MemoryStore
from steersman.wire.message import User
from steersman.world.simulated import SimulatedWorld, simulate

ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
RBAC = "rbac.authorization.k8s.io"


@served
async def test_a_new_object_gets_what_the_server_sets(api: Served) -> None:
    given = config_map("a", key="value")
    given["metadata"] |= {
        "uid": "mine",
        "creationTimestamp": "2000-01-01T00:00:00Z",
        "deletionTimestamp": "2000-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 5,
        "generation": 7,
        "selfLink": "/x",
    }
    meta = (await api.post(MAPS, given)).ok()["metadata"]
    assert meta["uid"] != "mine"
    assert meta["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert meta["namespace"] == "default"
    assert meta["resourceVersion"] == str(api.revision)
    absent = {"deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"}
    assert not absent & set(meta)


@served
async def test_a_taken_name_is_refused_in_upstreams_words(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    answer = await api.post(MAPS, config_map("a"))
    assert answer.code == 409
    assert answer.document["reason"] == "AlreadyExists"
    assert answer.message == 'configmaps "a" already exists'
    assert answer.document["details"] == {"name": "a", "kind": "configmaps"}
    (await api.post(DEPLOYMENTS, deployment("a"))).ok()
    assert (await api.post(DEPLOYMENTS, deployment("a"))).message == (
        'deployments.apps "a" already exists'
    )


@served
async def test_a_generated_name_is_the_prefix_and_five_signs(api: Served) -> None:
    given = {"metadata": {"generateName": "web-"}}
    first = (await api.post(MAPS, given)).ok()["metadata"]
    assert first["name"].startswith("web-")
    assert len(first["name"]) == len("web-") + 5
    assert first["generateName"] == "web-"
    given = {"metadata": {"generateName": "x" * 70}}
    long = (await api.post(MAPS, given)).ok()["metadata"]["name"]
    assert (len(long), long[:58]) == (63, "x" * 58)


@served
async def test_a_given_name_wins_over_a_generated_one(api: Served) -> None:
    given = {"metadata": {"generateName": "web-", "name": "a"}}
    assert (await api.post(MAPS, given)).ok()["metadata"]["name"] == "a"
    assert (await api.post(MAPS, given)).code == 409


@served
async def test_a_generated_name_labels_its_namespace(api: Served) -> None:
    made = (await api.post(NAMESPACES, {"metadata": {"generateName": "n-"}})).ok()["metadata"]
    assert made["labels"]["kubernetes.io/metadata.name"] == made["name"]


@served
async def test_the_namespace_of_the_body_must_be_that_of_the_path(api: Served) -> None:
    given = config_map("a")
    given["metadata"]["namespace"] = "other"
    message = (
        "the namespace of the provided object does not match the namespace sent on the request"
    )
    answer = await api.post(MAPS, given)
    assert (answer.code, answer.message) == (400, message)
    (await api.post(MAPS, config_map("a"))).ok()
    assert (await api.put(f"{MAPS}/a", given)).message == message
    assert (await api.patch(f"{MAPS}/a", {"metadata": {"namespace": "other"}})).code == 400


@served
async def test_the_name_of_the_body_must_be_that_of_the_path(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    answer = await api.put(f"{MAPS}/a", config_map("b"))
    message = "the name of the object (b) does not match the name on the URL (a)"
    assert (answer.code, answer.message) == (400, message)
    answer = await api.put(f"{MAPS}/a", {"metadata": {}})
    assert answer.code == 400
    assert answer.message == (
        "the name of the object (a based on URL) was undeterminable: name must be provided"
    )
    assert (await api.patch(f"{MAPS}/a", {"metadata": {"name": "b"}})).message == message


@served
async def test_an_update_without_a_namespace_keeps_it(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    replaced = (await api.put(f"{MAPS}/a", config_map("a", k="v"))).ok()
    assert replaced["metadata"]["namespace"] == "default"
    patched = await api.patch(f"{MAPS}/a", {"metadata": {"namespace": None}})
    assert patched.ok()["metadata"]["namespace"] == "default"


@served
async def test_a_cluster_scoped_object_loses_a_namespace_that_it_names(api: Served) -> None:
    given = {"metadata": {"name": "n", "namespace": "default"}}
    assert "namespace" not in (await api.post("/api/v1/nodes", given)).ok()["metadata"]
    assert "namespace" not in (await api.put("/api/v1/nodes/n", given)).ok()["metadata"]


@served
async def test_a_revision_may_not_be_set_on_create(api: Served) -> None:
    given = config_map("a")
    given["metadata"]["resourceVersion"] = "10"
    answer = await api.post(MAPS, given)
    assert (answer.code, "reason" in answer.document) == (500, False)
    assert answer.message == "resourceVersion should not be set on objects to be created"
    given["metadata"]["resourceVersion"] = "0"
    (await api.post(MAPS, given)).ok()


@served
async def test_a_put_with_a_stale_revision_is_refused_and_changes_nothing(api: Served) -> None:
    old = (await api.post(MAPS, config_map("a"))).ok()
    (await api.patch(f"{MAPS}/a", {"data": {"k": "1"}})).ok()
    old["data"] = {"k": "2"}
    answer = await api.put(f"{MAPS}/a", old)
    assert answer.code == 409
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please '
        "apply your changes to the latest version and try again"
    )
    assert (await api.get(f"{MAPS}/a")).document["data"] == {"k": "1"}


@served
async def test_a_put_without_a_revision_or_with_zero_replaces_whatever_is_there(
    api: Served,
) -> None:
    (await api.post(MAPS, config_map("a", k="1"))).ok()
    for revision in ("", "0"):
        given = config_map("a", k=f"now{revision}")
        given["metadata"]["resourceVersion"] = revision
        assert (await api.put(f"{MAPS}/a", given)).ok()["data"] == {"k": f"now{revision}"}


@served
async def test_a_revision_that_is_no_number_is_refused_by_every_update_and_none_to_a_create(
    api: Served,
) -> None:
    wrong = {
        "newest": "invalid syntax",
        "+1": "invalid syntax",
        str(1 << 64): "value out of range",
    }
    for revision, why in wrong.items():
        given = config_map("a", k="v")
        given["metadata"]["resourceVersion"] = revision
        assert (await api.put(f"{MAPS}/a", given)).code == 404
        (await api.post(MAPS, given)).ok()
        for answer in (
            await api.put(f"{MAPS}/a", given),
            await api.patch(f"{MAPS}/a", {"metadata": {"resourceVersion": revision}}),
            await api.patch(f"{MAPS}/a", given, STRATEGIC),
        ):
            assert (answer.code, "reason" in answer.document) == (500, False)
            assert answer.message == f'strconv.ParseUint: parsing "{revision}": {why}'
        (await api.delete(f"{MAPS}/a")).ok()


@served
async def test_an_update_that_creates_takes_any_revision_that_is_a_number(api: Served) -> None:
    lease: dict[str, Any] = {"metadata": {"name": "a", "resourceVersion": "newest"}}
    answer = await api.put(f"{LEASES}/a", lease)
    assert answer.message == 'strconv.ParseUint: parsing "newest": invalid syntax'
    lease["metadata"]["resourceVersion"] = "1"
    assert (await api.put(f"{LEASES}/a", lease)).code == 201
    again = (await api.get(f"{LEASES}/a")).document
    again["metadata"]["resourceVersion"] = "0" + again["metadata"]["resourceVersion"]
    (await api.put(f"{LEASES}/a", again)).ok()


@served
async def test_kinds_that_ask_for_a_revision_get_one_or_refuse(api: Served) -> None:
    lease = {"metadata": {"name": "a"}}
    (await api.post(LEASES, lease)).ok()
    answer = await api.put(f"{LEASES}/a", lease)
    assert answer.code == 422
    assert answer.message == (
        'leases.coordination.k8s.io "a" is invalid: metadata.resourceVersion: Invalid value: 0: '
        "must be specified for an update"
    )
    (await api.put(f"{LEASES}/a", (await api.get(f"{LEASES}/a")).document)).ok()


@served
async def test_the_uid_of_a_body_names_the_life_that_is_meant(api: Served) -> None:
    made = (await api.post(MAPS, config_map("a"))).ok()
    given = config_map("a", k="v")
    given["metadata"]["uid"] = "another"
    answer = await api.put(f"{MAPS}/a", given)
    assert answer.code == 409
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, '
        "Key: /registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: "
        "Precondition failed: UID in precondition: another, UID in object meta: "
        f"{made['metadata']['uid']}"
    )
    assert (await api.patch(f"{MAPS}/a", {"metadata": {"uid": "another"}})).code == 409


@served
async def test_an_update_that_changes_nothing_writes_nothing(api: Served) -> None:
    made = (await api.post(DEPLOYMENTS, deployment("a"))).ok()
    before = api.revision
    assert (await api.put(f"{DEPLOYMENTS}/a", made)).ok() == made
    assert (await api.patch(f"{DEPLOYMENTS}/a", {})).ok() == made
    assert (await api.patch(f"{DEPLOYMENTS}/a", {}, STRATEGIC)).ok() == made
    assert (await api.patch(f"{DEPLOYMENTS}/a", [], JSON_PATCH)).ok() == made
    turned = {**made, "spec": dict(reversed(made["spec"].items()))}
    assert (await api.put(f"{DEPLOYMENTS}/a", turned)).ok() == made
    assert api.revision == before


@served
async def test_what_is_stored_in_another_version_is_written_anew(api: Served) -> None:
    made = (await api.post(DEPLOYMENTS, deployment("a"))).ok()
    (entry,) = api.assembly.cache.table(Resource("apps", "deployments")).ordered()
    older = entry.value.replace(b"apps/v1", b"apps/v0", 1)
    assert older != entry.value
    revision = await api.store.commit(Write("/apps/deployments/default/a", older, entry.revision))
    await api.assembly.cache.reached(revision)
    made["metadata"]["resourceVersion"] = str(revision)
    assert (await api.put(f"{DEPLOYMENTS}/a", made)).code == 200
    assert api.revision == revision + 1
    (again,) = api.assembly.cache.table(Resource("apps", "deployments")).ordered()
    assert again.value == entry.value


@served
async def test_system_metadata_survives_every_update(api: Served) -> None:
    made = (await api.post(DEPLOYMENTS, deployment("a"))).ok()
    given = deployment("a")
    given["metadata"] |= {
        "creationTimestamp": "2000-01-01T00:00:00Z",
        "deletionTimestamp": "2000-01-01T00:00:00Z",
        "generation": 99,
    }
    meta = (await api.put(f"{DEPLOYMENTS}/a", given)).ok()["metadata"]
    for name in ("uid", "creationTimestamp", "generation"):
        assert meta[name] == made["metadata"][name]
    assert "deletionTimestamp" not in meta


@served
async def test_the_generation_counts_changes_of_the_spec_alone(api: Served) -> None:
    path = f"{DEPLOYMENTS}/a"
    assert (await api.post(DEPLOYMENTS, deployment("a"))).ok()["metadata"]["generation"] == 1
    meta = (await api.patch(path, {"metadata": {"labels": {"x": "y"}}})).ok()["metadata"]
    assert meta["generation"] == 1
    assert (await api.patch(path, {"spec": {"replicas": 2}})).ok()["metadata"]["generation"] == 2
    status = {"status": {"replicas": 2}}
    assert (await api.patch(f"{path}/status", status)).ok()["metadata"]["generation"] == 2


@served
async def test_a_status_that_is_patched_is_read_as_a_whole_body_is(api: Served) -> None:
    (await api.post(PODS, pod("a"))).ok()
    path = f"{PODS}/a/status"
    odd = {"status": {"phase": "Running", "startTime": "2026-01-01T00:00:00.5Z", "foo": 1}}
    for media in (MERGE, STRATEGIC):
        answer = await api.patch(path, odd, media)
        shown = answer.ok()
        assert shown["status"]["startTime"] == "2026-01-01T00:00:00Z"
        assert (shown["status"]["phase"], len(shown["spec"]["containers"])) == ("Running", 1)
        assert "foo" not in shown["status"]
        assert "status.foo" in answer.headers["Warning"]
    answer = await api.patch(path, {"status": {"phase": 1}})
    assert (answer.code, "unmarshal number" in answer.message) == (400, True)
    both = {"metadata": {"labels": {"x": "y"}}, "status": {"message": "m"}}
    shown = (await api.patch(path, both)).ok()
    assert (shown["metadata"]["labels"], shown["status"]["message"]) == ({"x": "y"}, "m")


@served
async def test_the_status_of_a_body_is_ignored_by_the_main_resource(api: Served) -> None:
    given = {**deployment("a"), "status": {"replicas": 5}}
    assert (await api.post(DEPLOYMENTS, given)).ok()["status"] == {}
    given["spec"]["replicas"] = 3
    replaced = (await api.put(f"{DEPLOYMENTS}/a", given)).ok()
    assert (replaced["spec"]["replicas"], replaced["status"]) == (3, {})
    given = {**deployment("a", replicas=9), "status": {"replicas": 5}}
    shown = (await api.put(f"{DEPLOYMENTS}/a/status", given)).ok()
    assert (shown["spec"]["replicas"], shown["status"]) == (3, {"replicas": 5})
    assert (await api.put(f"{DEPLOYMENTS}/a", given)).ok()["status"] == {"replicas": 5}


@served
async def test_a_dry_run_answers_as_the_write_would_and_stores_nothing(api: Served) -> None:
    before = api.revision
    made = (await api.post(MAPS, config_map("a"), dryRun="All")).ok()
    assert "resourceVersion" not in made["metadata"]
    assert made["metadata"]["uid"]
    (await api.post(SERVICES, service("s"), dryRun="All")).ok()
    assert (await api.get(f"{MAPS}/a")).code == 404
    assert api.revision == before
    stored = (await api.post(MAPS, config_map("a"))).ok()
    assert (await api.post(MAPS, config_map("a"), dryRun="All")).code == 409
    shown = (await api.patch(f"{MAPS}/a", {"data": {"k": "v"}}, dryRun="All")).ok()
    assert shown["data"] == {"k": "v"}
    assert shown["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
    (await api.put(f"{MAPS}/a", config_map("a", k="v"), dryRun="All")).ok()
    (await api.delete(f"{MAPS}/a", dryRun="All")).ok()
    (await api.delete(MAPS, {"dryRun": ["All"]})).ok()
    assert (await api.get(f"{MAPS}/a")).document == stored


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"dryRun": "Some"}, 'dryRun: Unsupported value: ["Some"]: supported values: "All"'),
        (
            {"fieldValidation": "Loud"},
            'fieldValidation: Unsupported value: "Loud": supported values: "", "Ignore", "Strict", '
            '"Warn"',
        ),
        (
            {"fieldManager": "x" * 129},
            "fieldManager: Too long: may not be more than 128 bytes",
        ),
        (
            {"fieldManager": "a\nb"},
            'fieldManager: Invalid value: "a\\nb": invalid character U+000A (at position 1)',
        ),
    ],
)
@served
async def test_options_that_mean_nothing_are_refused(
    api: Served, query: dict[str, str], why: str
) -> None:
    answer = await api.post(MAPS, config_map("a"), **query)
    assert (answer.code, answer.message) == (
        422,
        f'CreateOptions.meta.k8s.io "" is invalid: {why}',
    )
    (await api.post(MAPS, config_map("a"))).ok()
    answer = await api.put(f"{MAPS}/a", config_map("a"), **query)
    assert answer.message == f'UpdateOptions.meta.k8s.io "" is invalid: {why}'
    answer = await api.patch(f"{MAPS}/a", {}, **query)
    assert answer.message == f'PatchOptions.meta.k8s.io "" is invalid: {why}'


@served
async def test_writers_who_race_without_a_revision_all_succeed(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    patches = [api.patch(f"{MAPS}/a", {"data": {f"k{n}": "v"}}) for n in range(10)]
    for answer in await asyncio.gather(*patches):
        answer.ok()
    assert len((await api.get(f"{MAPS}/a")).document["data"]) == 10


@served
async def test_of_writers_who_race_from_one_revision_one_succeeds(api: Served) -> None:
    made = (await api.post(MAPS, config_map("a"))).ok()
    puts = [api.put(f"{MAPS}/a", {**made, "data": {"k": str(n)}}) for n in range(5)]
    codes = sorted(answer.code for answer in await asyncio.gather(*puts))
    assert codes == [200, 409, 409, 409, 409]


@served
async def test_of_creators_who_race_for_a_name_one_succeeds(api: Served) -> None:
    posts = [api.post(MAPS, config_map("a", k=str(n))) for n in range(5)]
    codes = sorted(answer.code for answer in await asyncio.gather(*posts))
    assert codes == [201, 409, 409, 409, 409]


@served
async def test_an_absent_object_cannot_be_changed(api: Served) -> None:
    for answer in (
        await api.put(f"{MAPS}/a", config_map("a")),
        await api.patch(f"{MAPS}/a", {}),
        await api.get(f"{MAPS}/a"),
        await api.delete(f"{MAPS}/a"),
    ):
        assert (answer.code, answer.message) == (404, 'configmaps "a" not found')
        assert answer.document["details"] == {"name": "a", "kind": "configmaps"}
    assert (await api.put(f"{DEPLOYMENTS}/a/status", deployment("a"))).code == 404
    applied = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
    answer = await api.patch(f"{DEPLOYMENTS}/a/status", applied, APPLY, fieldManager="x")
    assert answer.code == 404


@served
async def test_some_kinds_are_created_by_an_update(api: Served) -> None:
    answer = await api.put(f"{LEASES}/a", {"metadata": {"name": "a"}})
    assert answer.code == 201
    given = {"metadata": {"name": "b", "uid": "an-earlier-life"}}
    assert (await api.put(f"{LEASES}/b", given)).code == 409
    assert (await api.get(f"{LEASES}/b")).code == 404


@served
async def test_an_apply_creates_and_is_owned_by_its_manager(api: Served) -> None:
    applied = config_map("a", k="v")
    made = await api.patch(f"{MAPS}/a", applied, APPLY, fieldManager="me")
    assert made.code == 201
    (entry,) = made.ok()["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("me", "Apply")
    conflict = await api.patch(f"{MAPS}/a", config_map("a", k="w"), APPLY, fieldManager="you")
    assert conflict.code == 409
    assert conflict.document["reason"] == "Conflict"
    forced = await api.patch(
        f"{MAPS}/a", config_map("a", k="w"), APPLY, fieldManager="you", force="true"
    )
    assert (forced.code, forced.ok()["data"]) == (200, {"k": "w"})


@served
async def test_what_is_created_by_apply_has_the_name_of_the_path(api: Served) -> None:
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}
    named = {**wanted, "metadata": {"name": "other"}}
    for body, told in (
        (
            wanted,
            "the name of the object (m based on URL) was undeterminable: name must be provided",
        ),
        (named, "the name of the object (other) does not match the name on the URL (m)"),
    ):
        refused = await api.patch(f"{MAPS}/m", body, APPLY, fieldManager="me")
        assert (refused.code, refused.message) == (400, told)
    assert (await api.get(f"{MAPS}/m")).code == 404
    made = {**wanted, "metadata": {"name": "m"}}
    assert (await api.patch(f"{MAPS}/m", made, APPLY, fieldManager="me")).code == 201
    changed = await api.patch(f"{MAPS}/m", {**wanted, "data": {"a": "2"}}, APPLY, fieldManager="me")
    assert (changed.code, changed.document["data"]) == (200, {"a": "2"})


@served
async def test_a_map_goes_with_its_last_entry_though_another_applied_it_empty(
    api: Served,
) -> None:
    """As upstream's structured-merge-diff has it: nothing is left of what was emptied."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}
    for manager, more in (("b", {"data": {"x": "1"}}), ("a", {"data": {}}), ("b", {})):
        applied = {**body, **more}
        answer = await api.patch(f"{MAPS}/m", applied, APPLY, fieldManager=manager, force="true")
    left = answer.ok()
    assert "data" not in left
    owned = [(it["manager"], it["fieldsV1"]) for it in left["metadata"]["managedFields"]]
    assert owned == [("a", {"f:data": {}})]


@served
async def test_apply_needs_a_manager_and_force_needs_apply(api: Served) -> None:
    answer = await api.patch(f"{MAPS}/a", config_map("a"), APPLY)
    assert (answer.code, answer.message) == (
        422,
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for '
        "apply patch",
    )
    answer = await api.patch(f"{MAPS}/a", {}, MERGE, force="true")
    assert answer.message == (
        'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for '
        "non-apply patch"
    )


@served
async def test_who_may_update_or_patch_may_not_create_by_it(api: Served) -> None:
    rules = [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["update"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]},
    ]
    (await api.post(ROLES, {"metadata": {"name": "r"}, "rules": rules})).ok()
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "jane"}],
    }
    (await api.post(BINDINGS, binding)).ok()
    jane = User("jane", ("system:authenticated",))
    answer = await api.put(f"{LEASES}/a", {"metadata": {"name": "a"}}, user=jane)
    assert answer.code == 403
    assert answer.message == (
        'leases.coordination.k8s.io "a" is forbidden: User "jane" cannot create resource "leases" '
        'in API group "coordination.k8s.io" in the namespace "default"'
    )
    answer = await api.patch(f"{MAPS}/a", config_map("a"), APPLY, fieldManager="x", user=jane)
    assert answer.code == 403
    (await api.post(LEASES, {"metadata": {"name": "a"}})).ok()
    lease = (await api.get(f"{LEASES}/a")).document
    (await api.put(f"{LEASES}/a", lease, user=jane)).ok()


@served
async def test_the_manager_of_a_write_is_its_parameter_or_the_user_agents_first_word(
    api: Served,
) -> None:
    made = (await api.post(MAPS, config_map("a", k="1"), agent="kubectl/v1 (linux)")).ok()
    assert made["metadata"]["managedFields"][0]["manager"] == "kubectl"
    changed = (await api.patch(f"{MAPS}/a", {"data": {"k": "2"}}, fieldManager="m")).ok()
    owned = {entry["manager"]: entry["fieldsV1"] for entry in changed["metadata"]["managedFields"]}
    assert owned == {"kubectl": {"f:data": {}}, "m": {"f:data": {"f:k": {}}}}


@served
async def test_a_pods_spec_cannot_change_but_for_what_upstream_allows(api: Served) -> None:
    (await api.post(PODS, pod("a"))).ok()
    image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "other"}]
    (await api.patch(f"{PODS}/a", image, JSON_PATCH)).ok()
    answer = await api.patch(f"{PODS}/a", {"spec": {"hostNetwork": True}})
    assert answer.code == 422
    assert "spec: Forbidden: pod updates may not change fields other than" in answer.message


@served
async def test_json_patches_are_applied_or_refused_in_upstreams_words(api: Served) -> None:
    (await api.post(MAPS, config_map("a", k="v"))).ok()
    missing = [{"op": "remove", "path": "/data/absent"}]
    answer = await api.patch(f"{MAPS}/a", missing, JSON_PATCH)
    assert answer.code == 422
    wrong = [{"op": "test", "path": "/data/k", "value": "w"}]
    assert (await api.patch(f"{MAPS}/a", wrong, JSON_PATCH)).code == 422
    assert (await api.patch(f"{MAPS}/a", {"not": "a list"}, JSON_PATCH)).code == 400
    gone = [{"op": "remove", "path": "/metadata"}]
    assert (await api.patch(f"{MAPS}/a", gone, JSON_PATCH)).code == 400
    assert (await api.get(f"{MAPS}/a")).document["data"] == {"k": "v"}


def test_a_write_is_answered_only_when_reads_show_it() -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        cache = Cache(store, world)
        await cache.load()  # and nobody follows the store
        configuration = Configuration("10.96.0.0/16", signing_key(), 6443, "10.64.0.1")
        api = Served(Assembly(cache, configuration, world), store, world)
        given = {"metadata": {"name": "a"}}
        async with world.tasks() as tasks:
            writing = tasks.start(api.post(NAMESPACES, given), name="write")
            batch = await anext(store.follow("", after=0))
            await world.sleep(1)
            assert not writing.done()
            cache.take(batch)
            meta = (await writing).ok()["metadata"]
        assert meta["resourceVersion"] == str(batch.revision)

    simulate(1, main)


@served
async def test_what_is_gone_is_told_before_whether_one_may_create_it(api: Served) -> None:
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}
    root, names = f"/apis/{group}/v1", {"metadata": {"name": "patcher"}}
    (await api.post(f"{root}/clusterroles", {**names, "rules": [rule]})).ok()
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": "patcher"}
    subject = {"apiGroup": group, "kind": "User", "name": "patcher"}
    binding = {**names, "roleRef": reference, "subjects": [subject]}
    (await api.post(f"{root}/clusterrolebindings", binding)).ok()
    user = User("patcher", ("system:authenticated",))
    body = config_map("gone")
    query = {"fieldManager": "x", "user": user}
    assert (await api.patch(f"{MAPS}/gone", body, APPLY, **query)).code == 403
    body["metadata"]["uid"] = "u"
    answer = await api.patch(f"{MAPS}/gone", body, APPLY, **query)
    assert (answer.code, answer.document["reason"]) == (409, "Conflict")
