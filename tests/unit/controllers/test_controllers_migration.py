"""StorageVersionMigrations: whose turn it is, what is rewritten, and what is said of it."""

from __future__ import annotations

from typing import Any

import msgspec
from views import NOW, decoded, time

from controlled import conditions, controlled
from customs import CRDS, WIDGETS, definition, establish, version, widget
from served import MAPS, Served, config_map, served
from steersman.controllers.storage_migration import (
    StorageMigrationController,
    is_next,
    may_pass,
    plan_unmark,
)
from steersman.model.errors import Forbidden, ServiceUnavailable, TooManyRequests
from steersman.model.kinds.customresourcedefinition import CustomResourceDefinition
from steersman.model.kinds.storageversionmigration import StorageVersionMigration
from steersman.model.ref import Resource

MIGRATIONS = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
DEFINITION = f"{CRDS}/widgets.example.com"
CONDITION = ("type", "status", "reason", "message")
ENDED = ("Running", "False", "MigrationCompleted", "Migration completed")
SUCCEEDED = ("Succeeded", "True", "StorageVersionMigrationSucceeded", "")


def migration(name: str, born: float = 60, *true: str) -> Any:
    said = [{"type": it, "status": "True"} for it in true]
    metadata = {"name": name, "creationTimestamp": time(born)}
    return decoded({"metadata": metadata, "status": {"conditions": said}}, StorageVersionMigration)


def test_of_several_the_oldest_goes_first_and_a_running_one_ends_before() -> None:
    old, new = migration("b", 60), migration("a", 30)
    assert is_next(old, [new]) and not is_next(new, [old])
    assert is_next(migration("a"), [migration("b")])
    assert not is_next(migration("b"), [migration("a")])
    assert not is_next(old, [migration("a", 30, "Running")])
    assert is_next(migration("a", 30, "Running"), [old])
    for word in ("Succeeded", "Failed"):
        assert is_next(new, [migration("b", 60, word)])
        assert not is_next(migration("b", 60, word), [new])


def test_a_server_that_is_busy_is_asked_again() -> None:
    assert may_pass(TooManyRequests("later")) and may_pass(ServiceUnavailable("later"))
    assert not may_pass(Forbidden("never"))


def test_a_definition_that_changed_meanwhile_keeps_its_stored_versions() -> None:
    def left(observed: int, problem: str = "") -> Any:
        marked = {"type": "StorageMigrating", "status": "True", "observedGeneration": observed}
        document = {
            "metadata": {"name": "x", "generation": 3},
            "spec": {"versions": [{"name": "v1"}, {"name": "v2", "storage": True}]},
            "status": {"conditions": [marked]},
        }
        fields: Any = plan_unmark(decoded(document, CustomResourceDefinition), problem, NOW).patch
        (said,) = conditions(fields, "status", "reason", "message", "observedGeneration")
        return fields["status"].get("storedVersions"), said

    text = "The migration has succeeded"
    updated = f"{text} and the stored versions have been updated"
    kept = f"{text} but the stored versions have not been updated due to a generation mismatch"
    assert left(3) == (["v2"], ("False", "MigrationSucceeded", updated, 3))
    assert left(2) == (None, ("False", "MigrationSucceeded", kept, 3))
    failed = ("False", "MigrationFailed", "The migration has failed", 3)
    assert left(2, "no") == (None, failed)


def asked(name: str, resource: str, group: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"resource": {"group": group, "resource": resource}},
    }


async def ended(api: Served, name: str, seconds: float = 5) -> dict[str, Any]:
    await api.world.sleep(seconds)
    return (await api.get(f"{MIGRATIONS}/{name}")).ok()


def stored(api: Served, plural: str) -> list[str]:
    """Returns the versions in which the widgets lie in the store."""
    entries = api.assembly.cache.table(Resource("example.com", plural)).ordered()
    return [msgspec.json.decode(entry.value)["apiVersion"] for entry in entries]


async def moved_on(api: Served) -> None:
    """Has widgets in v1, which are to be stored in v2 from now on."""
    later = version("v2", storage=False)
    await establish(api, definition(version(), later))
    for name in ("one", "two"):
        (await api.post(WIDGETS, widget(name))).ok()
    versions = [version(storage=False), version("v2")]
    (await api.patch(DEFINITION, {"spec": {"versions": versions}})).ok()
    await api.world.sleep(1)


@served
async def test_custom_resources_are_stored_in_the_new_version(api: Served) -> None:
    await moved_on(api)
    assert stored(api, "widgets") == ["example.com/v1"] * 2
    assert (await api.get(DEFINITION)).ok()["status"]["storedVersions"] == ["v1", "v2"]
    async with controlled(api, StorageMigrationController):
        before = api.revision
        (await api.post(MIGRATIONS, asked("widgets", "widgets", "example.com"))).ok()
        found = await ended(api, "widgets")
        assert conditions(found, *CONDITION) == [ENDED, SUCCEEDED]
        assert int(found["status"]["resourceVersion"]) > before
    assert stored(api, "widgets") == ["example.com/v2"] * 2
    crd = (await api.get(DEFINITION)).ok()
    assert crd["status"]["storedVersions"] == ["v2"]
    (said,) = [it for it in crd["status"]["conditions"] if it["type"] == "StorageMigrating"]
    assert [said[name] for name in CONDITION[1:]] == [
        "False",
        "MigrationSucceeded",
        "The migration has succeeded and the stored versions have been updated",
    ]
    assert said["observedGeneration"] == crd["metadata"]["generation"]
    shown = (await api.get(f"{WIDGETS}/one")).ok()
    managers = [it["manager"] for it in shown["metadata"]["managedFields"]]
    assert "storage-version-migrator-controller" not in managers
    assert shown["metadata"]["generation"] == 1


@served
async def test_what_somebody_else_writes_meanwhile_needs_no_rewriting(api: Served) -> None:
    await moved_on(api)
    for number in range(30):
        (await api.post(WIDGETS, widget(f"w{number:02}"))).ok()
    async with controlled(api, StorageMigrationController):
        watch = await api.watch(MIGRATIONS)
        (await api.post(MIGRATIONS, asked("widgets", "widgets", "example.com"))).ok()
        while not conditions((await watch.next())["object"], "type"):
            pass
        (await api.patch(f"{WIDGETS}/w29", {"spec": {"size": 2}})).ok()
        (await api.delete(f"{WIDGETS}/w28")).ok()
        assert conditions(await ended(api, "widgets"), *CONDITION) == [ENDED, SUCCEEDED]
    assert (await api.get(f"{WIDGETS}/w28")).code == 404
    assert stored(api, "widgets") == ["example.com/v2"] * 31


@served
async def test_what_is_stored_as_it_is_to_be_is_not_written_again(api: Served) -> None:
    made = (await api.post(MAPS, config_map("a"))).ok()
    async with controlled(api, StorageMigrationController):
        (await api.post(MIGRATIONS, asked("maps", "configmaps"))).ok()
        assert conditions(await ended(api, "maps"), *CONDITION) == [ENDED, SUCCEEDED]
    again = (await api.get(f"{MAPS}/a")).ok()
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


@served
async def test_two_of_one_resource_run_one_after_the_other(api: Served) -> None:
    for name in ("first", "second"):
        (await api.post(MIGRATIONS, asked(name, "configmaps"))).ok()
        await api.world.sleep(1)
    async with controlled(api, StorageMigrationController):
        watch = await api.watch(MIGRATIONS)
        await api.world.sleep(5)
        told = [
            (frame["object"]["metadata"]["name"], conditions(frame["object"], "type", "status"))
            for frame in watch.frames
        ]
        running, over = [("Running", "True")], [("Running", "False"), ("Succeeded", "True")]
        assert [(name, said) for name, said in told if said] == [
            ("first", running),
            ("first", over),
            ("second", running),
            ("second", over),
        ]


@served
async def test_a_resource_that_nobody_knows_fails_after_a_minute(api: Served) -> None:
    async with controlled(api, StorageMigrationController):
        for name in ("gadgets", "tokenreviews"):
            group = "authentication.k8s.io" if name == "tokenreviews" else "example.com"
            (await api.post(MIGRATIONS, asked(name, name, group))).ok()
        for name in ("gadgets", "tokenreviews"):
            assert conditions(await ended(api, name), "type") == []
        failed = ("Failed", "True", "StorageVersionMigrationFailed", "resource not found")
        for name in ("gadgets", "tokenreviews"):
            assert conditions(await ended(api, name, 60), *CONDITION) == [failed]


@served
async def test_a_definition_that_comes_late_is_waited_for(api: Served) -> None:
    async with controlled(api, StorageMigrationController):
        (await api.post(MIGRATIONS, asked("widgets", "widgets", "example.com"))).ok()
        assert conditions(await ended(api, "widgets", 30), "type") == []
        await establish(api, definition())
        assert conditions(await ended(api, "widgets"), *CONDITION) == [ENDED, SUCCEEDED]


async def frozen(api: Served) -> None:
    """Has a policy refuse every change of widgets."""
    rule = {
        "apiGroups": ["example.com"],
        "apiVersions": ["*"],
        "resources": ["widgets"],
        "operations": ["UPDATE"],
    }
    root = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false"}],
    }
    (await api.post(f"{root}ies", {"metadata": {"name": "frozen"}, "spec": spec})).ok()
    bound = {"policyName": "frozen", "validationActions": ["Deny"]}
    (await api.post(f"{root}ybindings", {"metadata": {"name": "frozen"}, "spec": bound})).ok()
    await api.world.sleep(1)


@served
async def test_an_object_that_cannot_be_rewritten_fails_the_migration(api: Served) -> None:
    await moved_on(api)
    await frozen(api)
    async with controlled(api, StorageMigrationController):
        (await api.post(MIGRATIONS, asked("widgets", "widgets", "example.com"))).ok()
        failed = (
            "Failed",
            "True",
            "StorageVersionMigrationFailed",
            "migration encountered unhandled error",
        )
        assert conditions(await ended(api, "widgets"), *CONDITION) == [ENDED, failed]
    crd = (await api.get(DEFINITION)).ok()
    (said,) = [it for it in crd["status"]["conditions"] if it["type"] == "StorageMigrating"]
    assert (said["reason"], said["message"]) == ("MigrationFailed", "The migration has failed")
