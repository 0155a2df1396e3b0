"""Garbage collection plans: what becomes of an object whose owners go, and who waits for whom."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.garbage import (
    FOREGROUND,
    ORPHAN,
    Dependent,
    Owners,
    is_waiting,
    plan_circle,
    plan_dependent,
    plan_owner,
)
from steersman.model.kinds.configmap import CONFIGMAP, ConfigMap
from steersman.model.view import OwnerReference
from steersman.reconcile.actions import Delete, Patch
from unit.controllers.views import decoded

REF = CONFIGMAP.ref("default", "a")
ENDS = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def owner(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": f"uid-{name}", **more}


def reference(name: str) -> OwnerReference:
    found: OwnerReference = decoded(owner(name), OwnerReference)
    return found


def config_map(name: str, *owners: dict[str, Any], **metadata: Any) -> ConfigMap:
    given = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "3"}
    document = {"metadata": {**given, "ownerReferences": list(owners), **metadata}}
    found: ConfigMap = decoded(document, ConfigMap)
    return found


def dependent(name: str, **more: Any) -> Dependent:
    found = config_map(name, owner("a", **more), owner("other", controller=True))
    return Dependent(CONFIGMAP.ref("default", name), found)


def patch(name: str, **metadata: Any) -> Patch:
    ref = CONFIGMAP.ref("default", name)
    return Patch(ref, {"metadata": metadata}, uid=f"uid-{name}", revision=3)


def test_only_dependents_that_block_hold_their_owner_back() -> None:
    found = config_map("a", **ENDS, finalizers=["mine", FOREGROUND])
    blocking, other = dependent("b", blockOwnerDeletion=True), dependent("c")
    assert plan_owner(REF, found, [other, blocking]) == []
    assert plan_owner(REF, found, [other]) == [patch("a", finalizers=["mine"])]
    alone = config_map("a", **ENDS, finalizers=[FOREGROUND])
    assert plan_owner(REF, alone, []) == [patch("a", finalizers=None)]


def test_blocking_another_owner_holds_nobody_else_back() -> None:
    found = config_map("a", **ENDS, finalizers=[FOREGROUND])
    both = config_map("b", owner("a"), owner("other", blockOwnerDeletion=True))
    held = Dependent(CONFIGMAP.ref("default", "b"), both)
    assert plan_owner(REF, found, [held]) == [patch("a", finalizers=None)]


def test_orphans_forget_their_owner_before_it_goes() -> None:
    found = config_map("a", **ENDS, finalizers=[ORPHAN, FOREGROUND])
    kept = [owner("other", controller=True)]
    assert plan_owner(REF, found, [dependent("b", blockOwnerDeletion=True)]) == [
        patch("b", ownerReferences=kept),
        patch("a", finalizers=[FOREGROUND]),
    ]


def test_an_owner_that_goes_without_a_policy_is_left_to_others() -> None:
    found = config_map("a", **ENDS, finalizers=["mine"])
    assert plan_owner(REF, found, [dependent("b", blockOwnerDeletion=True)]) == []


@pytest.mark.parametrize(
    "gone", [Owners(absent=(reference("b"),)), Owners((), (), (reference("b"),))]
)
def test_an_object_that_has_lost_all_owners_goes(gone: Owners) -> None:
    found = config_map("a", owner("b"))
    deletion = Delete(REF, "uid-a", 3, propagation="Background")
    assert plan_dependent(REF, found, gone, 0) == [deletion]
    assert plan_dependent(REF, config_map("a", owner("b"), **ENDS), gone, 0) == []


def test_an_object_with_an_owner_left_forgets_the_others() -> None:
    found = config_map("a", owner("b"), owner("c"), owner("d"))
    of = Owners((reference("c"),), (reference("b"),), (reference("d"),))
    assert plan_dependent(REF, found, of, 1) == [patch("a", ownerReferences=[owner("c")])]
    assert plan_dependent(REF, found, Owners((reference("c"),)), 1) == []


@pytest.mark.parametrize(
    ("finalizers", "of", "dependents", "policy"),
    [
        ([], Owners(absent=(reference("b"),)), 2, "Background"),
        ([], Owners(waiting=(reference("b"),)), 2, "Foreground"),
        ([], Owners(waiting=(reference("b"),)), 0, "Background"),
        ([FOREGROUND], Owners(absent=(reference("b"),)), 0, "Foreground"),
        ([ORPHAN], Owners(waiting=(reference("b"),)), 2, "Orphan"),
    ],
)
def test_dependents_go_by_the_policy_of_their_owner_or_their_own(
    finalizers: list[str], of: Owners, dependents: int, policy: Any
) -> None:
    found = config_map("a", owner("b"), finalizers=finalizers)
    deletion = Delete(REF, "uid-a", 3, propagation=policy)
    assert plan_dependent(REF, found, of, dependents) == [deletion]


def test_one_of_a_circle_of_owners_holds_nobody_back() -> None:
    found = config_map("a", owner("b", blockOwnerDeletion=True, controller=True), owner("c"))
    waiting = Owners(waiting=(reference("b"), reference("c")))
    gone = config_map("d", owner("a"), **ENDS, finalizers=[FOREGROUND])
    circle = [dependent("e"), Dependent(CONFIGMAP.ref("default", "d"), gone)]
    free = [owner("b", controller=True), owner("c")]
    assert plan_circle(REF, found, waiting, circle) == [patch("a", ownerReferences=free)]
    assert plan_circle(REF, found, waiting, circle[:1]) == []
    assert plan_circle(REF, found, Owners((reference("c"),), (), (reference("b"),)), circle) == []
    assert plan_circle(REF, found, Owners(absent=(reference("b"),)), circle) == []
    assert plan_circle(REF, config_map("a", owner("b")), waiting, circle) == []
    going = config_map("a", owner("b", blockOwnerDeletion=True), **ENDS, finalizers=["mine"])
    assert plan_circle(REF, going, waiting, circle) == []


def test_an_owner_that_stays_is_kept_with_all_that_was_said_of_it() -> None:
    strict = owner("c", controller=True, blockOwnerDeletion=True)
    found = config_map("a", owner("b"), strict)
    of = Owners((reference("c"),), (reference("b"),), ())
    assert plan_dependent(REF, found, of, 0) == [patch("a", ownerReferences=[strict])]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({**ENDS, "finalizers": [FOREGROUND]}, True),
        ({"finalizers": [FOREGROUND]}, False),
        ({**ENDS, "finalizers": ["mine"]}, False),
    ],
)
def test_only_an_owner_that_goes_and_asked_for_it_waits_for_its_dependents(
    metadata: dict[str, Any], expected: bool
) -> None:
    assert is_waiting(config_map("a", **metadata)) is expected
