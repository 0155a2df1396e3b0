"""The agent takes over what one before it left, and clears away what a dead shim leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from node_documents import UID, observed, running
from shim_script import RUNNING, Answer, Stage, container, ended, refuse

from steersman.client.interface import Change
from steersman.client.view import FollowedView
from steersman.model.kinds.pod import POD
from steersman.model.types.container import TCPSocketAction
from steersman.node import agent as agents
from steersman.node.acting import handlers
from steersman.node.agent import Agent
from steersman.node.tools import Tools
from steersman.world.interface import Tasks


def begin(stage: Stage, tools: Tools, tasks: Tasks) -> Agent:
    """Starts an agent on a stage."""
    pods = FollowedView(stage.api, POD, tools.world)
    made = Agent(tools, pods, tasks)
    tasks.start(pods.follow(), name="pods")
    tasks.start(made.run(), name="agent")
    return made


def phase(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status["phase"] == name


def test_what_was_begun_and_never_noted_is_removed_before_anything_begins(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True))
    stage.hosts()
    stage.tells(container("app.0", **{**RUNNING, "exit": ended()}))
    stage.runs(started_at=70)
    order: list[str] = []
    for verb in ("delete", "create"):
        answer = stage.shim.verbs.get(verb, lambda _: {"result": {}})

        def note(request: Answer, verb: str = verb, answer: Any = answer) -> Answer:
            order.append(verb)
            told: Answer = answer(request)
            return told

        stage.shim.verbs[verb] = note

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            assert order == ["delete", "create"]

    asyncio.run(scenario())


def test_a_pod_that_went_during_the_take_over_is_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING), container("stray.0", **RUNNING))

    def delete(request: Answer) -> Answer:
        stage.api.changes.put_nowait(Change("DELETED", stage.pod, 2))
        return {}  # answered by the test, when the view has heard

    stage.shim.verbs["delete"] = delete

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            agent = begin(stage, tools, tasks)
            await stage.shim.until("delete", "stray.0")
            await agent._pods.reached(2)
            stage.shim.answer("delete", {"result": {}})
            await stage.shim.until("kill", "app.0")

    asyncio.run(scenario())


def test_a_lost_pod_is_cleared_until_it_is_gone_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))
    refusals = [refuse("failed", "Device or resource busy")]
    stage.warm.verbs["clean"] = lambda _: refusals.pop() if refusals else {"result": {}}

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            stage.shim.die()
            status = await stage.api.until(phase("Failed"))
            ended = status["containerStatuses"][0]["state"]["terminated"]
            assert ended["reason"] == "ContainerStatusUnknown"
            assert await stage.network.deleted.get() == UID
            assert refusals == []

    asyncio.run(scenario())


def test_what_cannot_be_removed_of_pods_that_are_gone_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.0)
    stage = Stage(tmp_path)
    (stage.paths.runtime / "pods" / "gone").mkdir(parents=True)
    stage.warm.verbs["clean"] = lambda _: refuse("failed", "Device or resource busy")
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            begin(stage, tools, tasks)
            await stage.api.until(phase("Running"))
            for _ in range(2):  # it is tried again
                await stage.warm.until("clean")
            stage.warm.verbs["clean"] = lambda _: {"result": {}}
            assert await stage.network.deleted.get() == "gone"

    asyncio.run(scenario())


def test_a_probe_of_a_host_that_is_no_name_fails_and_harms_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    host = "a" * 64

    async def scenario() -> None:
        async with stage.open() as (tools, _):
            app, action = stage.pod.spec.containers[0], TCPSocketAction(port=80, host=host)
            answer = await handlers.open_tcp(tools, app, action, "10.0.0.5", 1.0)
            assert answer == handlers.Answer(False, f"dial tcp: lookup {host}: no such host")

    asyncio.run(scenario())
