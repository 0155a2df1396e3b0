"""What a namespace on its way out says of itself, in upstream's words, and when it says it anew."""

from __future__ import annotations

from typing import Any

from steersman.controllers.namespace import Left, finalized, plan_status
from steersman.model.kind import Document
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.namespace import Namespace
from steersman.model.kinds.pod import POD
from steersman.model.times import rfc3339
from steersman.reconcile.actions import Patch
from unit.controllers.views import NOW, decoded

NOTHING = Left({}, {})


def namespace(conditions: list[Document] | None = None, **spec: Any) -> Namespace:
    metadata = {"name": "team", "uid": "uid-team", "resourceVersion": "3"}
    status = {"phase": "Terminating", "conditions": conditions or []}
    found: Namespace = decoded({"metadata": metadata, "spec": spec, "status": status}, Namespace)
    return found


def told(before: list[Document], left: Left, now: float = NOW) -> list[Document]:
    """Returns the conditions that are written; none where they are right."""
    patch = plan_status(namespace(before), left, now)
    if patch is None:
        return []
    assert isinstance(patch, Patch)
    assert (patch.ref.name, patch.uid, patch.revision) == ("team", "uid-team", 3)
    conditions: list[Document] = patch.patch["status"]["conditions"]
    return conditions


def words(conditions: list[Document]) -> dict[str, tuple[str, str, str]]:
    return {it["type"]: (it["status"], it["reason"], it["message"]) for it in conditions}


def test_an_empty_namespace_says_five_times_that_all_is_well() -> None:
    text = "All content successfully deleted, may be waiting on finalization"
    gone = "All content successfully removed"
    found = "All resources successfully discovered"
    parsed = "All legacy kube types successfully parsed"
    ended = "All content-preserving finalizers finished"
    assert words(told([], NOTHING)) == {
        "NamespaceDeletionDiscoveryFailure": ("False", "ResourcesDiscovered", found),
        "NamespaceDeletionGroupVersionParsingFailure": ("False", "ParsedGroupVersions", parsed),
        "NamespaceDeletionContentFailure": ("False", "ContentDeleted", text),
        "NamespaceContentRemaining": ("False", "ContentRemoved", gone),
        "NamespaceFinalizersRemaining": ("False", "ContentHasNoFinalizers", ended),
    }


def test_what_is_left_and_what_is_refused_is_listed_by_name() -> None:
    objects = {POD.resource: 2, CONFIGMAP.resource: 1}
    left = Left(objects, {"b.io/x": 2, "a.io/y": 1}, ("second refused", "first refused"))
    said = words(told([], left))
    assert said["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: configmaps. has 1 resource instances, "
        "pods. has 2 resource instances",
    )
    assert said["NamespaceFinalizersRemaining"] == (
        "True",
        "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: a.io/y in 1 resource instances, "
        "b.io/x in 2 resource instances",
    )
    assert said["NamespaceDeletionContentFailure"] == (
        "True",
        "ContentDeletionFailed",
        "Failed to delete all resource types, 2 remaining: first refused, second refused",
    )


def test_a_kind_of_which_nothing_is_left_is_not_listed() -> None:
    said = words(told([], Left({POD.resource: 0}, {})))
    assert said["NamespaceContentRemaining"][1] == "ContentRemoved"


def test_what_is_said_already_is_not_written_again() -> None:
    assert told(told([], NOTHING), NOTHING, NOW + 60) == []


def test_only_a_condition_that_changes_has_a_new_time_and_all_keep_their_places() -> None:
    first = told([], NOTHING)
    second = told(first, Left({POD.resource: 1}, {}), NOW + 60)
    assert [it["type"] for it in second] == [it["type"] for it in first]
    times = {it["type"]: it["lastTransitionTime"] for it in second}
    assert times.pop("NamespaceContentRemaining") == rfc3339(NOW + 60)
    assert set(times.values()) == {rfc3339(NOW)}


def test_a_condition_of_somebody_else_stays() -> None:
    other = {"type": "example.com/Audited", "status": "True", "reason": "Done", "message": "m"}
    assert "example.com/Audited" in words(told([other], NOTHING))


def test_a_namespace_is_finalized_as_it_was_seen_without_this_finalizer_alone() -> None:
    found = finalized(namespace(finalizers=["example.com/a", "kubernetes"]))
    assert found["spec"] == {"finalizers": ["example.com/a"]}
    assert found["metadata"] == {"name": "team", "uid": "uid-team", "resourceVersion": "3"}
