"""What the server notes of a request itself: who asks, and when something changed."""

from __future__ import annotations

from typing import Any

from tests.authorities import request

from served import Served, served
from steersman.api.admission.recording import _timed

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
VOLUMES = "/api/v1/persistentvolumes"


def body(**spec: Any) -> dict[str, Any]:
    usages = {"request": request("x"), "signerName": "a.b/s", "usages": ["client auth"]}
    head = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    return {**head, "metadata": {"name": "x"}, "spec": {**usages, **spec}}


@served
async def test_a_request_for_a_certificate_says_who_asks(api: Served) -> None:
    given = body(username="root", uid="1", groups=["g"], extra={"a": ["b"]})
    spec = (await api.post(REQUESTS, given)).ok()["spec"]
    plain = (await api.post(REQUESTS, {**body(), "metadata": {"name": "y"}})).ok()["spec"]
    assert spec == plain
    assert spec["username"] not in ("", "root")
    assert "system:masters" in spec["groups"]
    assert "extra" not in spec


@served
async def test_a_decision_says_when_it_was_made(api: Served) -> None:
    one = (await api.post(REQUESTS, body())).ok()
    one["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "R"}]}
    approved = (await api.put(f"{REQUESTS}/x/approval", one)).ok()
    condition = approved["status"]["conditions"][0]
    made = approved["metadata"]["creationTimestamp"]
    assert (condition["lastTransitionTime"], condition["lastUpdateTime"]) == (made, made)
    await api.world.sleep(60)
    again = {**approved, "status": {"conditions": [{**condition, "message": "m"}]}}
    again["status"]["conditions"][0].pop("lastTransitionTime")
    again["status"]["conditions"][0].pop("lastUpdateTime")
    found = (await api.put(f"{REQUESTS}/x/approval", again)).ok()["status"]["conditions"][0]
    assert found["lastTransitionTime"] == made
    assert found["lastUpdateTime"] != made


def test_a_condition_that_changes_has_a_new_time_and_one_that_does_not_its_old() -> None:
    before = [
        {"type": "Failed", "status": "True", "lastTransitionTime": "1"},
        {"type": "Approved", "status": "True", "lastTransitionTime": "2"},
    ]
    for status, since in (("True", "2"), ("False", "now")):
        made = _timed({"type": "Approved", "status": status}, before, "now")
        assert (made["lastTransitionTime"], made["lastUpdateTime"]) == (since, "now")
    given = {"type": "X", "status": "True", "lastTransitionTime": "3", "lastUpdateTime": "4"}
    assert _timed(given, before, "now") == given


def test_a_condition_of_a_pods_request_says_when_it_came() -> None:
    made = _timed({"type": "Issued", "status": "True"}, (), "now", updates=False)
    assert made == {"type": "Issued", "status": "True", "lastTransitionTime": "now"}


@served
async def test_a_decision_may_change_the_metadata_of_a_request(api: Served) -> None:
    one = (await api.post(REQUESTS, body())).ok()
    one["metadata"]["labels"] = {"a": "b"}
    one["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "R"}]}
    approved = (await api.put(f"{REQUESTS}/x/approval", one)).ok()
    assert approved["metadata"]["labels"] == {"a": "b"}
    approved["metadata"]["labels"] = {"c": "d"}
    made = (await api.put(f"{REQUESTS}/x/status", approved)).ok()
    assert made["metadata"]["labels"] == {"c": "d"}


@served
async def test_a_volume_says_since_when_it_is_in_its_phase(api: Served) -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/x"},
    }
    head = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "x"}}
    made = (await api.post(VOLUMES, {**head, "spec": spec})).ok()
    since = made["status"]["lastPhaseTransitionTime"]
    assert since == made["metadata"]["creationTimestamp"]
    await api.world.sleep(60)
    same = await api.put(f"{VOLUMES}/x/status", {**made, "status": {**made["status"]}})
    assert same.ok()["status"]["lastPhaseTransitionTime"] == since
    quiet = await api.put(f"{VOLUMES}/x/status", {**same.ok(), "status": {"phase": "Pending"}})
    assert quiet.ok()["status"]["lastPhaseTransitionTime"] == since
    bound = {**quiet.ok(), "status": {"phase": "Bound", "lastPhaseTransitionTime": since}}
    changed = (await api.put(f"{VOLUMES}/x/status", bound)).ok()
    assert changed["status"]["lastPhaseTransitionTime"] > since
    said = {**changed, "status": {"phase": "Released", "lastPhaseTransitionTime": since}}
    kept = (await api.put(f"{VOLUMES}/x/status", said)).ok()
    assert kept["status"]["lastPhaseTransitionTime"] == since
