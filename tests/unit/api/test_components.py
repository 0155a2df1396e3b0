"""ComponentStatus: who is at work."""

from __future__ import annotations

from typing import Any

from served import TABLE, Served, served
from steersman.api.published.components import Components
from steersman.model.kind import Document
from steersman.model.ref import Ref
from steersman.world.simulated import SimulatedWorld, simulate

PATH = "/api/v1/componentstatuses"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
WARNING = '299 - "v1 ComponentStatus is deprecated in v1.19+"'


@served
async def test_the_store_is_healthy_and_who_holds_no_lease_is_not(api: Served) -> None:
    listed = await api.get(PATH)
    assert listed.headers["Warning"] == WARNING
    found = listed.ok()
    assert (found["kind"], found["apiVersion"]) == ("ComponentStatusList", "v1")
    assert [it["metadata"] for it in found["items"]] == [
        {"name": "scheduler"},
        {"name": "controller-manager"},
        {"name": "etcd-0"},
    ]
    assert found["items"][2]["conditions"] == [
        {"type": "Healthy", "status": "True", "message": "ok"}
    ]
    assert found["items"][0]["conditions"] == [
        {
            "type": "Healthy",
            "status": "False",
            "error": "nobody holds the lease kube-system/kube-scheduler",
        }
    ]
    rows = (await api.get(PATH, accept=TABLE)).ok()["rows"]
    assert rows[2]["cells"] == ["etcd-0", "Healthy", "ok", ""]
    assert rows[0]["cells"][:2] == ["scheduler", "Unhealthy"]
    one = (await api.get(f"{PATH}/etcd-0")).ok()
    assert one["kind"] == "ComponentStatus"
    missing = await api.get(f"{PATH}/nothing")
    assert missing.code == 404
    assert missing.message == "Component not found: nothing"
    assert (await api.post(PATH, {"metadata": {"name": "x"}})).code == 405
    assert (await api.delete(f"{PATH}/etcd-0")).code == 405


@served
async def test_who_holds_a_lease_is_at_work_until_it_runs_out(api: Served) -> None:
    spec = {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "renewTime": "2026-01-01T00:00:00.000000Z",
    }
    (await api.post(LEASES, {"metadata": {"name": "kube-scheduler"}, "spec": spec})).ok()
    path = f"{PATH}/scheduler"
    assert (await api.get(path)).ok()["conditions"][0]["status"] == "True"
    await api.world.sleep(16)
    (condition,) = (await api.get(path)).ok()["conditions"]
    assert condition["error"] == "the lease kube-system/kube-scheduler has run out"


def test_what_is_in_the_same_process_is_at_work() -> None:
    async def main(world: SimulatedWorld) -> None:
        def find(_ref: Ref) -> Document | None:
            raise AssertionError("no lease is looked for")

        components: Any = Components(find, world, controls=True)
        assert components._wrong("scheduler") == ""

    simulate(1, main)
