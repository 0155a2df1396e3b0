"""What pods and claims use of quotas, and the sums of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.resourceclaim import ResourceClaim
from steersman.model.kinds.resourcequota import ResourceQuotaSpec, ScopeRequirement
from steersman.model.quota import claims, device_claims, pods
from steersman.model.quota.around import ALONE
from steersman.model.quota.measure import BY_USE, count_names
from steersman.model.quota.scopes import selects
from steersman.model.quota.tally import Tally
from steersman.model.ref import Resource


def box(name: str, cpu: str, **more: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}
    return {"name": name, "resources": resources, **more}


def pod(*containers: Any, status: Any = None, meta: Any = None, **spec: Any) -> Pod:
    document = {"metadata": meta or {}, "spec": {"containers": containers, **spec}}
    return msgspec.convert({**document, "status": status or {}}, Pod)


def used(found: Pod, *names: str) -> list[str]:
    usage = pods.usage(found)
    return [str(usage.get(name, "-")) for name in names]


def test_a_pod_uses_its_containers_or_its_hungriest_beginning() -> None:
    side = box("s", "2", restartPolicy="Always")
    assert used(pod(box("a", "1"), box("b", "2")), "requests.cpu", "cpu") == ["3", "3"]
    assert used(pod(box("a", "1"), initContainers=[box("i", "9")]), "limits.cpu") == ["9"]
    assert used(pod(box("a", "1"), initContainers=[side]), "limits.cpu") == ["3"]
    assert used(pod(box("a", "1"), initContainers=[side, box("i", "9")]), "cpu") == ["11"]
    assert used(pod(box("a", "1"), initContainers=[box("i", "9"), side]), "cpu") == ["9"]
    again = box("t", "4", restartPolicy="Always")
    assert used(pod(initContainers=[side, again, box("i", "1")]), "cpu") == ["7"]


def test_overhead_counts_beside_requests_and_beside_limits_that_there_are() -> None:
    overhead = {"cpu": "250m", "memory": "1Mi"}
    names = ("requests.cpu", "limits.cpu", "requests.memory", "limits.memory")
    found = pod(box("a", "1"), overhead=overhead)
    assert used(found, *names) == ["1250m", "1250m", "1Mi", "-"]


@pytest.mark.parametrize(("reason", "expected"), [("", ["8", "9"]), ("Infeasible", ["3", "2"])])
def test_a_pod_that_is_resized_uses_what_it_has_or_asks_for(
    reason: str, expected: list[str]
) -> None:
    held = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    status = {
        "containerStatuses": [{"name": "a", "resources": held, "allocatedResources": {"cpu": "3"}}],
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}],
    }
    wants = {"name": "a", "resources": {"requests": {"cpu": "8"}, "limits": {"cpu": "9"}}}
    assert used(pod(wants, status=status), "requests.cpu", "limits.cpu") == expected


def test_a_deadline_is_what_makes_a_pod_terminating() -> None:
    scope = ScopeRequirement("Terminating", "Exists")
    assert pods.in_scope(scope, pod(activeDeadlineSeconds=0))
    assert not pods.in_scope(scope, pod(activeDeadlineSeconds=-1))


def claim(amount: str, **status: Any) -> PersistentVolumeClaim:
    spec = {"resources": {"requests": {"storage": amount}}}
    return msgspec.convert({"spec": spec, "status": status}, PersistentVolumeClaim)


def test_storage_is_counted_in_whole_bytes() -> None:
    assert str(claims.usage(claim("1500m"))["requests.storage"]) == "2"
    grown = claim("1Gi", allocatedResources={"storage": "2Gi"})
    assert str(claims.usage(grown)["requests.storage"]) == "2Gi"


@pytest.mark.parametrize(
    "status",
    [
        {"currentVolumeAttributesClassName": "a"},
        {"modifyVolumeStatus": {"targetVolumeAttributesClassName": "a", "status": "Pending"}},
    ],
)
def test_a_claim_is_of_every_class_that_it_has_or_gets(status: Any) -> None:
    scope = ScopeRequirement("VolumeAttributesClass", "In", ("a",))
    assert claims.in_scope(scope, claim("1Gi", **status))
    assert not claims.in_scope(scope, claim("1Gi"))


def test_not_in_selects_what_has_one_class_outside() -> None:
    scope = ScopeRequirement("PriorityClass", "NotIn", ("a",))
    assert selects(scope, ()) and selects(scope, ("a", "b"))
    assert not selects(scope, ("a",))


def test_sums_follow_pods_that_end_and_come_again() -> None:
    hard = {"pods": "9", "count/pods": "9"}
    tally = Tally(ResourceQuotaSpec(hard=hard), BY_USE[Resource("", "pods")])
    ends = {"deletionTimestamp": "1970-01-01T00:01:40Z", "deletionGracePeriodSeconds": 10}
    tally.put("a", pod(meta=ends))
    assert tally.changes_at() == 110.0
    assert {name: str(one) for name, one in tally.used(110.0).items()} == dict.fromkeys(hard, "1")
    tally.put("a", pod())  # another of the same name
    assert tally.changes_at() is None
    assert str(tally.used(200.0)["pods"]) == "1"
    tally.put("a", pod(meta=ends))
    late = tally.used(110.1)
    assert (str(late["pods"]), str(late["count/pods"])) == ("0", "1")
    tally.put("a", None)
    assert {str(one) for one in tally.used(300.0).values()} == {"0"}


def test_of_alternatives_the_hungriest_of_each_class_counts() -> None:
    def wish(kind: str, count: int = 1, mode: str = "ExactCount") -> dict[str, Any]:
        return {"deviceClassName": kind, "count": count, "allocationMode": mode}

    requests = [
        {"name": "a", "firstAvailable": [wish("big", 2), wish("small", 4), wish("small", 3)]},
        {"name": "b", "exactly": wish("small", 5)},
        {"name": "c", "firstAvailable": [wish("all", mode="All"), wish("all", 7)]},
        {"name": "d", "exactly": wish("none", 9, "Newer")},
        {"name": "e"},
    ]
    claim = msgspec.convert({"spec": {"devices": {"requests": requests}}}, ResourceClaim)
    used = {name: str(amount) for name, amount in device_claims.usage(claim, ALONE).items()}
    suffix = ".deviceclass.resource.k8s.io/devices"
    assert used == {
        "count/resourceclaims.resource.k8s.io": "1",
        f"big{suffix}": "2",
        f"small{suffix}": "9",
        f"all{suffix}": "32",
        f"none{suffix}": "0",
    }
    assert all(map(device_claims.measures, used))
    assert not device_claims.measures("pods")


def test_events_have_no_name_by_which_their_number_is_bounded() -> None:
    assert count_names(Resource("", "events")) == count_names(Resource("events.k8s.io", "events"))
    assert count_names(Resource("", "events")) == ()
    assert count_names(Resource("", "secrets")) == ("count/secrets", "secrets")
