"""Extenders beside a whole control plane: what they refuse, choose and bind, and that one which
hangs or lies delays nobody whom it does not concern."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from extenders import HEAD, URL, Document, Peer, only
from simulation.control_plane import Scheduling
from simulation.quiet import Quiet, quietly
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.priorityclass import PRIORITYCLASS
from steersman.node.simulated.behaviour import Behaviour
from steersman.scheduler.configuration_file import parse

CARD = "example.com/card"
SMALL = Behaviour(cpu="4", stop_seconds=3.0)
Scenario = Callable[[Quiet], Awaitable[Any]]


def beside(peer: Peer, scenario: Scenario, **fields: Any) -> None:
    """Runs a scenario with one extender."""
    among(scenario, {URL: peer}, {"nodeCacheCapable": True, **fields})


def among(scenario: Scenario, peers: dict[str, Peer], *extenders: Document) -> None:
    """Runs a scenario with extenders; one without a URL is at the usual place."""
    given = [{"urlPrefix": URL, **one} for one in extenders]
    told = Scheduling(
        parse({**HEAD, "extenders": given}),
        lambda _world: lambda settings: peers[settings.url].reach(settings),
    )
    quietly(scenario, behaviour=SMALL, scheduling=told)


def wanting(cpu: str = "1", cards: int = 0, **spec: Any) -> Document:
    amounts = {"cpu": cpu, **({CARD: str(cards)} if cards else {})}
    resources = {"requests": amounts, "limits": amounts}
    return {"containers": [{"name": "c", "image": "i:1", "resources": resources}], **spec}


async def placed(quiet: Quiet, name: str) -> str:
    found = await quiet.admin.get(POD.ref("default", name))
    return str(found.spec.node_name)


async def told(quiet: Quiet, name: str) -> tuple[str, str]:
    """Returns reason and message of the condition, empty where there is none."""
    found = await quiet.admin.get(POD.ref("default", name))
    for condition in found.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.reason, condition.message
    return "", ""


def test_a_pod_goes_where_its_extender_lets_it_and_prefers() -> None:
    prefers = [{"Host": "node-2", "Score": 10}, {"Host": "node-1", "Score": 0}]
    peer = Peer(filter=only("node-1", "node-2"), prioritize=lambda _: prefers)

    async def scenario(quiet: Quiet) -> None:
        for number in range(2):
            await quiet.create(POD, f"p{number}", spec=wanting())
            await quiet.until(lambda n=number: placed(quiet, f"p{n}"))  # type: ignore[misc]
            assert await placed(quiet, f"p{number}") == "node-2"
        asked = peer.questions("filter")[0]
        assert sorted(asked["NodeNames"]) == ["node-0", "node-1", "node-2"]
        assert asked["Pod"]["metadata"]["name"] == "p0"
        assert asked["Pod"]["spec"]["restartPolicy"] == "Always"  # the whole pod, with its defaults
        assert "kind" not in asked["Pod"]
        assert sorted(peer.questions("prioritize")[0]["NodeNames"]) == ["node-1", "node-2"]

    beside(peer, scenario, filterVerb="filter", prioritizeVerb="prioritize", weight=5)


def test_an_extender_without_a_cache_gets_whole_nodes() -> None:
    def answer(asked: Document) -> Document:
        (chosen,) = [it for it in asked["Nodes"]["items"] if it["metadata"]["name"] == "node-1"]
        assert chosen["status"]["allocatable"]["cpu"] == "4"
        return {"Nodes": {"items": [chosen]}}

    async def scenario(quiet: Quiet) -> None:
        await quiet.create(POD, "p", spec=wanting())
        await quiet.until(lambda: placed(quiet, "p"))
        assert await placed(quiet, "p") == "node-1"

    beside(Peer(filter=answer), scenario, filterVerb="filter", nodeCacheCapable=False)


def test_a_pod_refused_everywhere_says_so_and_comes_again_when_anything_changes() -> None:
    failed = {f"node-{number}": "no card left" for number in range(3)}
    peer = Peer(filter=only(**failed))

    async def scenario(quiet: Quiet) -> None:
        await quiet.create(POD, "p", spec=wanting())
        await quiet.until(lambda: told(quiet, "p"))
        await quiet.world.sleep(5)
        assert await told(quiet, "p") == (
            "Unschedulable",
            "0/3 nodes are available: 3 no card left. no new claims to deallocate, preemption: "
            "0/3 nodes are available: 3 No preemption victims found for incoming pod.",
        )
        (event,) = [it for it in await quiet.items(EVENT) if it.reason == "FailedScheduling"]
        assert (event.related.kind, event.related.name) == ("Extender", URL)
        peer.answers["filter"] = only("node-0")
        await quiet.admin.patch(NODE.ref("", "node-1"), {"metadata": {"labels": {"a": "b"}}})
        await quiet.until(lambda: placed(quiet, "p"), within=15)
        assert await placed(quiet, "p") == "node-0"

    beside(peer, scenario, filterVerb="filter")


@pytest.mark.parametrize("trouble", ["hangs", "lies", "junk"])
def test_a_bad_extender_is_told_in_the_pods_condition_and_tried_again(trouble: str) -> None:
    peer = Peer(filter=lambda _: b"<")
    said = {
        "hangs": f'Post "{URL}/filter": context deadline exceeded '
        "(Client.Timeout exceeded while awaiting headers)",
        "lies": f'extender "{URL}" claims a filtered node "node-9" which is not found in the '
        "input node list",
        "junk": f"the answer of {URL}/filter is no JSON: ",
    }
    if trouble == "hangs":
        peer.hangs.add("filter")
    elif trouble == "lies":
        peer.answers["filter"] = lambda _: {"NodeNames": ["node-9"]}

    async def scenario(quiet: Quiet) -> None:
        await quiet.create(POD, "p", spec=wanting())

        async def failed() -> bool:
            return bool((await told(quiet, "p"))[0])

        await quiet.until(failed)
        reason, message = await told(quiet, "p")
        assert reason == "SchedulerError"
        assert message.startswith(said[trouble])
        assert ("FailedScheduling", message) in await quiet.events("Pod")
        peer.hangs.clear()
        peer.answers["filter"] = only("node-1")
        await quiet.until(lambda: placed(quiet, "p"), within=15)
        assert await placed(quiet, "p") == "node-1"

    beside(peer, scenario, filterVerb="filter")


def test_an_ignorable_extender_that_fails_is_passed_over() -> None:
    peer = Peer(filter=lambda _: b"<", prioritize=lambda _: b"<")

    async def scenario(quiet: Quiet) -> None:
        await quiet.create(POD, "p", spec=wanting())
        await quiet.until(lambda: placed(quiet, "p"))
        assert not [it for it in await quiet.events("Pod") if it[0] == "FailedScheduling"]
        assert peer.questions("prioritize")

    verbs = {"filterVerb": "filter", "prioritizeVerb": "prioritize", "weight": 1}
    beside(peer, scenario, ignorable=True, **verbs)


def test_the_scores_of_others_count_where_one_fails_to_score() -> None:
    bad = Peer(prioritize=lambda _: b"<")

    async def scenario(quiet: Quiet, name: str) -> None:
        for number in range(3):
            await quiet.create(POD, f"p-{number}", spec=wanting("10m"))
            await quiet.until(lambda pod=f"p-{number}": placed(quiet, pod))
            assert await placed(quiet, f"p-{number}") == name
        assert bad.questions("prioritize")

    scoring = {"prioritizeVerb": "prioritize", "weight": 10, "nodeCacheCapable": True}
    for name in ("node-0", "node-1"):
        good = Peer(prioritize=lambda _, name=name: [{"Host": name, "Score": 10}])
        places = {URL: good, "http://bad": bad}
        among(
            partial(scenario, name=name),
            places,
            scoring,
            {**scoring, "urlPrefix": "http://bad"},
        )


def test_one_that_hangs_delays_only_the_pods_that_concern_it() -> None:
    peer = Peer(filter=only())
    peer.hangs.add("filter")

    async def scenario(quiet: Quiet) -> None:
        for number in range(3):
            card = {"status": {"allocatable": {CARD: "4"}, "capacity": {CARD: "4"}}}
            await quiet.admin.patch(NODE.ref("", f"node-{number}"), card, subresource="status")
        for number in range(4):
            await quiet.create(POD, f"card-{number}", spec=wanting(cards=1))
        before = quiet.world.now()
        await quiet.create(POD, "plain", spec=wanting())
        await quiet.until(lambda: placed(quiet, "plain"))
        assert quiet.world.now() - before < 2.0
        assert len(peer.questions("filter")) == 1  # one pod at a time
        await quiet.world.sleep(70)
        assert len(peer.questions("filter")) >= 2

    fields = {"managedResources": [{"name": CARD}], "httpTimeout": "30s"}
    beside(peer, scenario, filterVerb="filter", **fields)


def test_two_extenders_are_asked_in_turn_and_do_not_wait_for_each_other() -> None:
    first, second = Peer(filter=only("node-0", "node-1")), Peer(filter=only("node-1"))
    hung = Peer(filter=only())
    hung.hangs.add("filter")
    places = {URL: first, "http://second": second, "http://hung": hung}

    async def scenario(quiet: Quiet) -> None:
        card = {"status": {"allocatable": {CARD: "4"}, "capacity": {CARD: "4"}}}
        await quiet.admin.patch(NODE.ref("", "node-1"), card, subresource="status")
        await quiet.create(POD, "p", spec=wanting())
        await quiet.until(lambda: placed(quiet, "p"))
        assert await placed(quiet, "p") == "node-1"
        (asked,) = second.questions("filter")
        assert sorted(asked["NodeNames"]) == ["node-0", "node-1"]
        assert not hung.asked

    common = {"filterVerb": "filter", "nodeCacheCapable": True}
    among(
        scenario,
        places,
        common,
        {**common, "urlPrefix": "http://second"},
        {**common, "urlPrefix": "http://hung", "managedResources": [{"name": CARD}]},
    )


def test_an_extender_binds_in_place_of_the_scheduler() -> None:
    peer = Peer()

    async def scenario(quiet: Quiet) -> None:
        def bind(asked: Document) -> Document:
            return {"Error": "" if peer.questions("bind")[1:] else "not now"}

        peer.answers["bind"] = bind
        made = await quiet.create(POD, "p", spec=wanting())

        async def tried_twice() -> bool:
            return len(peer.questions("bind")) == 2

        await quiet.until(tried_twice)
        asked = peer.questions("bind")[1]
        assert asked["Node"].startswith("node-")
        assert {**asked, "Node": ""} == {
            "PodName": "p",
            "PodNamespace": "default",
            "PodUID": made.metadata.uid,
            "Node": "",
        }
        assert not await placed(quiet, "p")  # that is the extender's to write
        assert ("FailedScheduling", "not now") in await quiet.events("Pod")

    beside(peer, scenario, bindVerb="bind")


async def full(quiet: Quiet) -> None:
    """Fills every node with an unimportant pod."""
    await quiet.create(PRIORITYCLASS, "high", value=1000)
    for number in range(3):
        here = {"nodeSelector": {"kubernetes.io/hostname": f"node-{number}"}}
        await quiet.create(POD, f"old-{number}", spec=wanting("3", **here))
        await quiet.until(lambda n=number: placed(quiet, f"old-{n}"))  # type: ignore[misc]


def test_an_extender_chooses_among_the_candidates_of_preemption() -> None:
    def preempt(asked: Document) -> Document:
        victims = asked["NodeNameToMetaVictims"]
        assert sorted(victims) == ["node-0", "node-1", "node-2"]
        return {"NodeNameToMetaVictims": {"node-1": victims["node-1"]}}

    async def scenario(quiet: Quiet) -> None:
        await full(quiet)
        await quiet.create(POD, "new", spec=wanting("3", priorityClassName="high"))
        await quiet.until(lambda: placed(quiet, "new"))
        assert await placed(quiet, "new") == "node-1"
        gone = [it for it in await quiet.events("Pod") if it[0] == "Preempted"]
        assert len(gone) == 1

    beside(Peer(preempt=preempt), scenario, preemptVerb="preempt")


def test_an_extender_cannot_name_victims_of_its_own() -> None:
    def preempt(asked: Document) -> Document:
        return {"NodeNameToMetaVictims": {"node-1": {"Pods": [{"UID": "somebody"}]}}}

    async def scenario(quiet: Quiet) -> None:
        await full(quiet)
        await quiet.create(POD, "new", spec=wanting("3", priorityClassName="high"))

        async def said() -> bool:
            return "claims to preempt pod (UID: somebody)" in (await told(quiet, "new"))[1]

        await quiet.until(said)
        assert not [it for it in await quiet.events("Pod") if it[0] == "Preempted"]

    beside(Peer(preempt=preempt), scenario, preemptVerb="preempt")
