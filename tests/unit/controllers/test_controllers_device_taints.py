"""When pods must leave tainted devices."""

from __future__ import annotations

from typing import Any

import pytest
from views import NOW, decoded, pod, time

from steersman.controllers.device_taint_eviction import due, evicting, plan
from steersman.model.kinds.devicetaintrule import DeviceTaintRule
from steersman.model.kinds.resourceclaim import AllocatedDevice
from steersman.model.kinds.resourceslice import ResourceSlice
from steersman.model.types.device import DeviceTaint
from steersman.reconcile.actions import Delete, Patch, Tell


def result(*tolerations: dict[str, Any]) -> AllocatedDevice:
    names = {"driver": "d", "pool": "p", "device": "a"}
    found: AllocatedDevice
    found = decoded({**names, "tolerations": list(tolerations)}, AllocatedDevice)
    return found


def taint(seconds_ago: float = 10, **fields: Any) -> dict[str, Any]:
    return {"key": "k", "effect": "NoExecute", "timeAdded": time(seconds_ago), **fields}


def for_seconds(number: int | None) -> dict[str, Any]:
    return {"operator": "Exists", "tolerationSeconds": number}


@pytest.mark.parametrize(
    ("taints", "tolerations", "expected"),
    [
        ([], [], None),
        ([taint()], [], NOW - 10),
        ([taint()], [for_seconds(None)], None),
        ([taint()], [for_seconds(30)], NOW + 20),
        ([taint()], [for_seconds(30), for_seconds(15)], NOW + 5),
        ([taint()], [for_seconds(-5)], NOW - 10),
        ([taint(20), taint(5)], [for_seconds(30)], NOW + 10),
        ([taint(), taint(key="q")], [{"key": "k", "operator": "Exists"}], NOW - 10),
        ([taint(timeAdded=None)], [], NOW),
    ],
)
def test_the_earliest_end_of_what_is_tolerated_counts(
    taints: list[Any], tolerations: list[Any], expected: float | None
) -> None:
    found = [decoded(one, DeviceTaint) for one in taints]
    assert due(result(*tolerations), found, NOW) == expected


def slice_of(generation: int, *taints: dict[str, Any], name: str = "a") -> ResourceSlice:
    pool = {"name": "p", "generation": generation}
    devices = [{"name": name, "taints": list(taints)}]
    found: ResourceSlice = decoded({"spec": {"pool": pool, "devices": devices}}, ResourceSlice)
    return found


def test_taints_come_from_the_newest_slices_and_from_rules() -> None:
    def keys(*slices: ResourceSlice, rules: Any = ()) -> list[str]:
        known = [decoded({"spec": one}, DeviceTaintRule) for one in rules]
        return [one.key for one in evicting(result(), slices, known)]

    assert keys(slice_of(1, taint())) == ["k"]
    assert keys(slice_of(1, taint()), slice_of(2)) == []
    assert keys(slice_of(1, taint(), name="b")) == []
    assert keys(slice_of(1, taint(effect="NoSchedule"))) == []
    assert keys(rules=[{"deviceSelector": {"device": "a"}, "taint": taint(key="q")}]) == ["q"]
    assert keys(rules=[{"deviceSelector": {"device": "b"}, "taint": taint()}]) == []
    assert keys(rules=[{"taint": taint()}]) == []


def test_an_eviction_says_why() -> None:
    tell, patch, delete = plan(pod("web", uid="u"), NOW)
    assert isinstance(tell, Tell)
    assert (tell.reason, tell.note) == ("DeviceTaintManagerEviction", "Marking for deletion")
    assert isinstance(patch, Patch)
    told = patch.patch["status"]["conditions"]  # type: ignore[call-overload]
    (condition,) = [one for one in told if one["type"] == "DisruptionTarget"]
    assert condition["reason"] == "DeletionByDeviceTaintManager"
    assert condition["message"] == "Device Taint manager: deleting due to NoExecute taint"
    assert isinstance(delete, Delete)
    assert delete.uid == "u"
