"""Which births of a stateful set's pods are out of order, and which nobody could know to be."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.testing.invariants.rollouts import PODS, Broken
from steersman.testing.invariants.workloads import SETS, WorkloadInvariants

OWNER = {"kind": "StatefulSet", "uid": "s", "controller": True}


def pod(ordinal: int, uid: str, ready: str = "True") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    metadata = {"name": f"db-{ordinal}", "uid": uid, "ownerReferences": [OWNER]}
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": conditions}}


@pytest.fixture
def invariants() -> WorkloadInvariants:
    made = WorkloadInvariants()
    made.see(SETS, "default", "db", {"metadata": {"uid": "s"}, "spec": {}})
    return made


def born(invariants: WorkloadInvariants, ordinal: int, uid: str, ready: str = "True") -> None:
    invariants.see(PODS, "default", f"db-{ordinal}", pod(ordinal, uid, ready))


def gone(invariants: WorkloadInvariants, ordinal: int) -> None:
    invariants.see(PODS, "default", f"db-{ordinal}", None)


def test_no_pod_comes_before_one_that_never_was_or_was_never_ready(
    invariants: WorkloadInvariants,
) -> None:
    with pytest.raises(Broken, match="db-1 came before db-0"):
        born(invariants, 1, "b")
    gone(invariants, 1)
    born(invariants, 0, "a", ready="False")
    with pytest.raises(Broken, match="db-1 came before db-0 was ready"):
        born(invariants, 1, "b")
    gone(invariants, 1)
    gone(invariants, 0)
    with pytest.raises(Broken, match="db-1 came before db-0"):
        born(invariants, 1, "b")


def test_that_a_ready_pod_went_one_birth_may_not_know_and_no_more(
    invariants: WorkloadInvariants,
) -> None:
    born(invariants, 0, "a")
    gone(invariants, 0)
    born(invariants, 1, "b")
    with pytest.raises(Broken, match="db-2 came before db-0"):
        born(invariants, 2, "c")
    gone(invariants, 2)
    born(invariants, 0, "d", ready="False")  # what went before it excuses nothing any more
    with pytest.raises(Broken, match="db-2 came before db-0 was ready"):
        born(invariants, 2, "e")
    gone(invariants, 2)
    gone(invariants, 0)
    with pytest.raises(Broken, match="db-2 came before db-0"):
        born(invariants, 2, "f")
