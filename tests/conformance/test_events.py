"""Upstream's rows about events, in the core group and in their own."""

from __future__ import annotations

import pytest

from served import STRATEGIC, Document, Served, served

CORE = "/api/v1/namespaces/default/events"
OWN = "/apis/events.k8s.io/v1/namespaces/default/events"
TIME = "2026-01-01T00:00:00.000000Z"
SERIES: Document = {"count": 100, "lastObservedTime": TIME}


def core(name: str, **labels: str) -> Document:
    """Returns an event of the core group."""
    return {
        "metadata": {"name": name, "labels": labels},
        "message": "This is a test event",
        "reason": "Test",
        "type": "Normal",
        "count": 1,
        "involvedObject": {"namespace": "default"},
    }


def own(name: str, **labels: str) -> Document:
    """Returns an event of its own group."""
    return {
        "metadata": {"name": name, "labels": labels},
        "note": "This is " + name,
        "reason": "Test",
        "type": "Normal",
        "action": "Do",
        "eventTime": TIME,
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
        "regarding": {"namespace": "default"},
    }


@served
async def test_an_event_lives_through_every_verb(api: Served) -> None:
    (await api.post(CORE, core("event-test", constant="true"))).ok()
    everywhere = await api.get("/api/v1/events", labelSelector="constant=true")
    assert everywhere.names == ["event-test"]
    change = {"message": "This is a test event - patched"}
    (await api.patch(f"{CORE}/event-test", change, STRATEGIC)).ok()
    found = (await api.get(f"{CORE}/event-test")).ok()
    assert found["message"] == change["message"]
    found["series"] = SERIES
    (await api.put(f"{CORE}/event-test", found)).ok()
    assert (await api.get(f"{CORE}/event-test")).ok()["series"] == SERIES
    (await api.delete(f"{CORE}/event-test")).ok()
    assert (await api.get("/api/v1/events", labelSelector="constant=true")).names == []


@served
async def test_an_event_of_its_own_group_lives_through_every_verb(api: Served) -> None:
    (await api.post(OWN, own("event-test"))).ok()
    select = "reportingController=test-controller"
    for path in ("/apis/events.k8s.io/v1/events", OWN):
        assert (await api.get(path, fieldSelector=select)).names == ["event-test"]
    before = (await api.get(f"{OWN}/event-test")).ok()
    series = {"series": {"count": 2, "lastObservedTime": TIME}}
    (await api.patch(f"{OWN}/event-test", series, STRATEGIC)).ok()
    found = (await api.get(f"{OWN}/event-test")).ok()
    revision = found["metadata"].pop("resourceVersion")
    assert revision != before["metadata"].pop("resourceVersion")
    del found["metadata"]["managedFields"], before["metadata"]["managedFields"]
    assert found == {**before, **series}
    current = (await api.get(f"{OWN}/event-test")).ok()
    current["series"] = SERIES
    (await api.put(f"{OWN}/event-test", current)).ok()
    assert (await api.get(f"{OWN}/event-test")).ok()["series"] == SERIES
    (await api.delete(f"{OWN}/event-test")).ok()
    for path in ("/apis/events.k8s.io/v1/events", OWN):
        assert (await api.get(path, fieldSelector=select)).names == []


@pytest.mark.parametrize(("path", "event"), [(CORE, core), (OWN, own)], ids=["core", "own"])
@served
async def test_events_are_deleted_by_their_label(api: Served, path: str, event: object) -> None:
    assert callable(event)
    for number in range(3):
        (await api.post(path, event(f"test-event-{number}", testevent="true"))).ok()
    (await api.post(path, event("other"))).ok()
    assert len((await api.get(path, labelSelector="testevent=true")).names) == 3
    (await api.delete(path, labelSelector="testevent=true")).ok()
    assert (await api.get(path, labelSelector="testevent=true")).names == []
    assert "other" in (await api.get(path)).names
