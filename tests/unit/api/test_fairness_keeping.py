"""The FlowSchemas and PriorityLevelConfigurations that a cluster comes with are kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from served import Served, served
from steersman.api.bootstrap import flow
from steersman.api.fairness.keeping import Step, parse_flag, plan
from steersman.model.kind import Document

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"
SCHEMAS, LEVELS = f"{GROUP}/flowschemas", f"{GROUP}/prioritylevelconfigurations"
WANTED = {one["metadata"]["name"]: one for one in flow.flow_documents()}
MINE = WANTED["service-accounts"]


def live(name: str = "service-accounts", said: str | None = "true", **spec: Any) -> Document:
    metadata: Document = {"name": name, "generation": 2, "uid": "u"}
    if said is not None:
        metadata["annotations"] = {flow.AUTOUPDATE: said}
    return {"metadata": metadata, "spec": {**WANTED[name]["spec"], **spec}}


def test_what_is_missing_is_made() -> None:
    assert plan(None, MINE) == Step("POST", MINE)
    assert plan(None, None) is None


def test_what_is_as_it_should_be_is_left() -> None:
    assert plan(live(), MINE) is None
    assert plan(live(said="T"), MINE) is None
    assert plan(live(said="false", matchingPrecedence=7), MINE) is None


def test_a_changed_spec_comes_back_unless_somebody_says_otherwise() -> None:
    step = plan(live(matchingPrecedence=7), MINE)
    assert step is not None
    assert (step.method, step.document) == ("PUT", {**live(), "spec": MINE["spec"]})


@pytest.mark.parametrize(("said", "generation", "told"), [
    (None, 1, "true"), (None, 2, "false"), ("maybe", 1, "true"), ("maybe", 3, "false"),
])  # fmt: skip
def test_who_says_nothing_is_asked_by_the_generation(
    said: str | None, generation: int, told: str
) -> None:
    changed = live(said=said, matchingPrecedence=7)
    changed["metadata"]["generation"] = generation
    step = plan(changed, MINE)
    assert step is not None
    assert step.document is not None
    assert step.document["metadata"]["annotations"] == {flow.AUTOUPDATE: told}
    precedence = step.document["spec"]["matchingPrecedence"]
    assert precedence == (9000 if told == "true" else 7)
    assert "annotations" not in changed["metadata"] or said


def test_what_must_be_there_is_always_as_it_should_be() -> None:
    for name in ("exempt", "catch-all"):
        step = plan(live(name, "false", matchingPrecedence=7), WANTED[name])
        assert step is not None
        assert step.document == live(name, "true")


def test_what_an_older_server_came_with_goes() -> None:
    assert plan(live(), None) == Step("DELETE")
    assert plan(live(said="false"), None) is None
    assert plan(live(said="maybe"), None) is None
    assert plan(live(said=None), None) is None


def test_flags_are_read_as_go_reads_them() -> None:
    assert [parse_flag(text) for text in ("1", "TRUE", "t", "0", "F", "yes", "")] == [
        True, True, True, False, False, None, None,
    ]  # fmt: skip


@served
async def test_a_new_cluster_needs_nothing_put_right(api: Served) -> None:
    await asyncio.sleep(5)
    for where, count in ((SCHEMAS, 11), (LEVELS, 8)):
        items = (await api.get(where)).ok()["items"]
        assert len(items) == count
        assert {item["metadata"]["generation"] for item in items} == {1}
    revision = api.revision
    await asyncio.sleep(100)
    assert api.revision == revision


@served
async def test_what_is_deleted_or_changed_comes_back(api: Served) -> None:
    await asyncio.sleep(1)
    for path in (f"{SCHEMAS}/exempt", f"{SCHEMAS}/probes", f"{LEVELS}/system"):
        before = (await api.get(path)).ok()
        (await api.delete(path)).ok()
        await asyncio.sleep(1)
        after = (await api.get(path)).ok()
        assert after["spec"] == before["spec"]
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
    change = {"spec": {"matchingPrecedence": 7}}
    (await api.patch(f"{SCHEMAS}/global-default", change)).ok()
    await asyncio.sleep(1)
    assert (await api.get(f"{SCHEMAS}/global-default")).ok()["spec"]["matchingPrecedence"] == 9900
    mine = {"metadata": {"annotations": {flow.AUTOUPDATE: "false"}}, **change}
    (await api.patch(f"{SCHEMAS}/system-nodes", mine)).ok()
    await asyncio.sleep(1)
    assert (await api.get(f"{SCHEMAS}/system-nodes")).ok()["spec"]["matchingPrecedence"] == 7


@served
async def test_who_is_as_stubborn_has_their_way_for_a_minute(api: Served) -> None:
    await asyncio.sleep(1)
    path, change = f"{SCHEMAS}/probes", {"spec": {"matchingPrecedence": 7}}

    async def precedence() -> int:
        found: int = (await api.get(path)).ok()["spec"]["matchingPrecedence"]
        return found

    (await api.patch(path, change)).ok()
    await asyncio.sleep(1)
    assert await precedence() == 2
    (await api.patch(path, change)).ok()
    await asyncio.sleep(30)
    assert await precedence() == 7
    await asyncio.sleep(31)
    assert await precedence() == 2


@served
async def test_what_is_left_of_an_older_server_is_removed(api: Served) -> None:
    left = {**MINE, "metadata": {"name": "old", "annotations": {flow.AUTOUPDATE: "true"}}}
    own = {**MINE, "metadata": {"name": "own"}}
    (await api.post(SCHEMAS, left)).ok()
    (await api.post(SCHEMAS, own)).ok()
    await asyncio.sleep(1)
    assert (await api.get(f"{SCHEMAS}/old")).code == 404
    assert (await api.get(f"{SCHEMAS}/own")).code == 200
