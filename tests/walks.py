"""Every operation that upstream's suite asks of a resource, as a walk over the API's paths."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from served import APPLY, JSON_PATCH, MERGE, STRATEGIC, Document, Served

MARK = {"e2e-test.kubernetes.io": "walk"}
SELECTOR = "e2e-test.kubernetes.io=walk"
CONDITION = {
    "type": "TestCondition",
    "status": "True",
    "reason": "TestReason",
    "message": "TestMessage",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}

# What a status gets when it is replaced, where that is to mean something
SECOND = {"ApprovalPatch": "Approved"}


class Walk(NamedTuple):
    """A resource and what is done with it.

    `patch` and `update` are merged into a new object one after the other; `statuses` are
    subresources of which each is read, patched and replaced, with the part that is merged.
    """

    group: str
    plural: str
    body: Document
    patch: Document
    update: Document
    statuses: dict[str, Document] | None = None
    namespaced: bool = False


def path_of(group: str, plural: str, *, namespaced: bool = False) -> str:
    """Returns where objects are, in version 1 of their group."""
    place = "/namespaces/default" if namespaced else ""
    return f"/apis/{group}/v1{place}/{plural}"


async def discovered(api: Served, group: str, *names: str) -> None:
    """Finds a group, its version 1 and names of resources in the three documents."""
    groups = (await api.get("/apis")).ok()["groups"]
    (listed,) = [one for one in groups if one["name"] == group]
    alone = (await api.get(f"/apis/{group}")).ok()
    for document in (listed, alone):
        assert f"{group}/v1" in [one["groupVersion"] for one in document["versions"]]
    resources = (await api.get(f"/apis/{group}/v1")).ok()["resources"]
    assert set(names) <= {one["name"] for one in resources}


def holds(document: Any, wanted: Any) -> bool:
    """Says whether a document has all of another, and maybe more fields."""
    if isinstance(wanted, dict):
        return isinstance(document, dict) and all(
            name in document and holds(document[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return len(document) == len(wanted) and all(map(holds, document, wanted))
    return bool(document == wanted)


def merged(document: Any, change: Any) -> Any:
    """Returns a document with a change: maps are merged, anything else is replaced."""
    if not isinstance(change, dict) or not isinstance(document, dict):
        return copy.deepcopy(change)
    changed = {name: merged(document.get(name), value) for name, value in change.items()}
    return {**document, **changed}


async def walk(api: Served, it: Walk) -> None:
    """Goes through discovery, creation, reading, writing, watching and both deletions."""
    path, statuses = path_of(it.group, it.plural, namespaced=it.namespaced), it.statuses or {}
    subresources = [f"{it.plural}/{name}" for name in statuses]
    await discovered(api, it.group, it.plural, *subresources)
    given = merged({"metadata": {"generateName": "e2e-example-", "labels": MARK}}, it.body)
    made = [(await api.post(path, given)).ok() for _ in range(3)]
    one = f"{path}/{made[2]['metadata']['name']}"
    assert (await api.get(one)).ok()["metadata"]["uid"] == made[2]["metadata"]["uid"]
    listed = await api.get(path, labelSelector=SELECTOR)
    assert sorted(listed.names) == sorted(each["metadata"]["name"] for each in made)
    watch = await api.watch(path, resourceVersion=listed.revision, labelSelector=SELECTOR)

    patched = (await api.patch(one, it.patch)).ok()
    assert holds(patched, it.patch)
    updated = (await api.put(one, merged((await api.get(one)).ok(), it.update))).ok()
    assert holds(updated, it.update)
    told = [await watch.next(), await watch.next()]
    assert [event["type"] for event in told] == ["MODIFIED", "MODIFIED"]
    assert [event["object"] for event in told] == [patched, updated]
    for name, status in statuses.items():
        await _status(api, f"{one}/{name}", status)

    (await api.delete(one)).ok()
    assert (await api.get(one)).code == 404
    assert len((await api.get(path, labelSelector=SELECTOR)).names) == 2
    (await api.delete(path, labelSelector=SELECTOR)).ok()
    assert (await api.get(path, labelSelector=SELECTOR)).names == []
    watch.close()


async def _status(api: Served, path: str, status: Document) -> None:
    """Reads, patches and replaces a subresource that is a part of its object."""
    found = (await api.get(path)).ok()
    note = {"metadata": {"annotations": {"patchedstatus": "true"}}}
    patched = (await api.patch(path, merged(note, status))).ok()
    assert holds(patched, status)
    assert patched["metadata"]["uid"] == found["metadata"]["uid"]
    current = (await api.get(path)).ok()
    assert current["status"] == patched["status"]
    before = [each["type"] for each in current["status"]["conditions"]]
    second = {**CONDITION, "type": SECOND.get(before[-1], "StatusUpdate")}
    current["status"]["conditions"].append(second)
    replaced = (await api.put(path, current)).ok()
    types = [each["type"] for each in replaced["status"]["conditions"]]
    assert types == [*before, second["type"]]
    assert (await api.get(path)).ok()["status"] == replaced["status"]


class Tour(NamedTuple):
    """A resource whose objects are changed by each way of patching, each time a new object."""

    group: str
    plural: str
    body: Document
    change: Document
    status: Document | None = None
    namespaced: bool = False


def ways(change: Document, head: Document) -> list[tuple[str, Any]]:
    """Returns a change as the body of each kind of patch: what stands in metadata.labels or in
    status is added one by one in a JSON patch."""
    whole = merged(head, change)
    outer = ("metadata", "labels") if "metadata" in change else ("status",)
    inner = change
    for name in outer:
        inner = inner[name]
    prefix = "/" + "/".join(outer)
    operations = [
        {"op": "add", "path": f"{prefix}/{name}", "value": value} for name, value in inner.items()
    ]
    return [(STRATEGIC, whole), (APPLY, whole), (MERGE, whole), (JSON_PATCH, operations)]


async def tour(api: Served, it: Tour) -> None:
    """Creates, reads, updates, lists, watches, patches in each way, and deletes in both."""
    await discovered(api, it.group, it.plural, *([f"{it.plural}/status"] if it.status else []))
    path = path_of(it.group, it.plural, namespaced=it.namespaced)
    given = merged({"metadata": {"labels": MARK}}, it.body)
    one = f"{path}/{given['metadata']['name']}"
    before = await api.get(path, labelSelector=SELECTOR)
    watch = await api.watch(path, resourceVersion=before.revision, labelSelector=SELECTOR)
    made = (await api.post(path, given, fieldValidation="Strict")).ok()
    assert holds(made, given)
    assert (await api.get(one)).ok() == made
    updated = (await api.put(one, merged(made, it.change))).ok()
    assert holds(updated, it.change)
    assert int(updated["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    told = ["ADDED", "MODIFIED"]
    if it.status:
        written = (await api.put(f"{one}/status", merged(updated, it.status))).ok()
        assert holds(written, it.status)
        assert (await api.get(f"{one}/status")).ok() == written
        told.append("MODIFIED")
    for index, _ in enumerate(ways(it.change, {})):
        (await api.delete(one)).ok()
        assert (await api.get(one)).code == 404
        await _patched(api, path, given, index, it)
        told += ["DELETED", "ADDED", "MODIFIED", *(["MODIFIED"] if it.status else [])]
    assert (await api.get(path, labelSelector=SELECTOR)).names == [given["metadata"]["name"]]
    (await api.delete(path, labelSelector=SELECTOR)).ok()
    assert (await api.get(one)).code == 404
    events = [await watch.next() for _ in range(len(told) + 1)]
    assert [event["type"] for event in events] == [*told, "DELETED"]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == sorted(revisions)


async def _patched(api: Served, path: str, given: Document, index: int, it: Tour) -> None:
    """Makes the object anew and patches it, and its status, in one of the ways."""
    made = (await api.post(path, given)).ok()
    kept = {name: made["metadata"][name] for name in ("name", "uid")}
    head = {"apiVersion": made["apiVersion"], "kind": made["kind"], "metadata": kept}
    place = f"{path}/{kept['name']}"
    for where, change in ((place, it.change), (f"{place}/status", it.status)):
        if change is None:
            continue
        how, body = ways(change, head)[index]
        options = {"fieldManager": "test-apply", "force": "true"} if how == APPLY else {}
        found = (await api.patch(where, body, how, fieldValidation="Strict", **options)).ok()
        assert holds(found, change), how
