"""The parts of `steer demo` that can go wrong without its cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from steersman.cli import demo
from steersman.cli.failure import Failure
from steersman.model.kinds.pod import Pod
from steersman.world.real import RealWorld


def pod(name: str, ready: str = "True", **metadata: str) -> Pod:
    conditions = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]
    found = {"metadata": {"name": name, "uid": name, **metadata}}
    return msgspec.convert({**found, "status": {"conditions": conditions}}, Pod)


def test_only_pods_that_are_ready_and_stay_count() -> None:
    goes = pod("goes", deletionTimestamp="2026-01-01T00:00:00Z")
    found = [pod("stays"), pod("waits", "False"), goes]
    assert [each.metadata.name for each in demo.ready(found)] == ["stays"]


def test_a_pod_that_changes_takes_its_own_place_and_one_that_goes_leaves_it() -> None:
    pods: dict[str, Any] = {}
    demo.take(pods, "ADDED", pod("a", "False"))
    demo.take(pods, "ADDED", pod("b"))
    assert [each.metadata.name for each in demo.ready(list(pods.values()))] == ["b"]
    demo.take(pods, "MODIFIED", pod("a"))
    demo.take(pods, "BOOKMARK", None)
    assert set(pods) == {"a", "b"} and len(demo.ready(list(pods.values()))) == 2
    demo.take(pods, "DELETED", pod("b"))
    demo.take(pods, "DELETED", pod("b"))
    assert set(pods) == {"a"}


def test_who_does_not_answer_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> str:
        # 127.0.0.0/8 is all loopback; nobody listens at port 80 of this address
        return await demo.ask("127.83.7.1", RealWorld())

    assert asyncio.run(main()).startswith("nobody (")


def test_a_service_is_asked_once_its_rules_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answers = iter(["nobody (refused)", "a", "gone", "a", "b", *"ab" * demo.REQUESTS])

    async def ask(_address: str, _world: RealWorld) -> str:
        return next(answers)

    monkeypatch.setattr(demo, "ask", ask)
    monkeypatch.setattr(demo, "PAUSE_SECONDS", 0.0)
    asyncio.run(demo.Demo(tmp_path)._ask("10.0.0.1", [pod("a"), pod("b")]))
    half = demo.REQUESTS // 2
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == [f"{half:3} answers from a", f"{half:3} answers from b"]


def test_a_pod_that_a_service_never_reaches_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def ask(_address: str, _world: RealWorld) -> str:
        await asyncio.sleep(0)
        return "a"

    monkeypatch.setattr(demo, "ask", ask)
    monkeypatch.setattr(demo, "STEP_SECONDS", 0.05)
    with pytest.raises(Failure, match="does not reach b after 0 s; last: a"):
        asyncio.run(demo.Demo(tmp_path)._ask("10.0.0.1", [pod("a"), pod("b")]))


def test_a_demo_that_is_kept_says_how_to_use_and_how_to_remove_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cluster").mkdir()
    demo.finish(tmp_path / "cluster", tmp_path, keep=True)
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"The cluster stays up: export KUBECONFIG={tmp_path}/kubeconfig",
        f"Remove it with: steer reset --yes --data-dir {tmp_path}/cluster",
    ]
    assert (tmp_path / "cluster").is_dir()


def test_a_demo_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    (place / "cluster").mkdir(parents=True)
    demo.finish(place / "cluster", place, keep=False)
    assert not place.exists()
