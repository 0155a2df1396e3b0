"""How a run is ended: the hook, the signal, the wait and what follows, in virtual time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.acting.ending import MIN_GRACE_SECONDS, kill, read_end
from steersman.node.engine.own import KILL_SECONDS, OwnEngine
from steersman.node.observed import Observed, Run, Seen
from steersman.node.paths import Paths
from steersman.node.tools import Tools
from steersman.runtime.engine import EngineError, ExitStatus
from steersman.world.interface import World
from steersman.world.simulated import simulate
from unit.controllers.views import decoded

DONE = ExitStatus(0, 0, 0, 0, False)
RUN = Run(0, "running", stop_signal="SIGINT")


class Held:
    """The means of a node as far as ending takes them, and what was asked of its runtime."""

    def __init__(self, world: World, *answers: ExitStatus | EngineError) -> None:
        self.world = world
        self.engine = OwnEngine(cast(Any, self), cast(Any, None), cast(Any, None), "", "", world)
        self.asked: list[tuple[str, float]] = []
        self.said: list[str] = []
        self._answers = list(answers)

    def say(self, _pod: Pod, _kind: str, reason: str, note: str, _container: str = "") -> None:
        self.said.append(f"{reason}: {note}")

    async def kill(self, _pod: str, _container: str, number: int) -> None:
        self.asked.append(("kill", number))

    async def wait(self, _pod: str, _container: str, seconds: float) -> ExitStatus:
        self.asked.append(("wait", seconds))
        answer = self._answers.pop(0)
        if isinstance(answer, EngineError):
            raise answer
        return answer


def pod(sleep: int = 0) -> Pod:
    container: dict[str, Any] = {"name": "main", "image": "busybox"}
    if sleep:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": sleep}}}
    status = {"podIP": "10.0.0.1"}
    metadata = {"name": "a", "namespace": "default", "uid": "u"}
    document = {"metadata": metadata, "spec": {"containers": [container]}, "status": status}
    found: Pod = decoded(document, Pod)
    return found


def ended(
    seconds: float, *answers: ExitStatus | EngineError, sleep: int = 0
) -> tuple[Held, ExitStatus | None]:
    """Ends a run within so many seconds, with these answers of the runtime's."""

    async def main(world: World) -> tuple[Held, ExitStatus | None]:
        held, given = Held(world, *answers), pod(sleep)
        exit = await kill(cast(Tools, held), given, given.spec.containers[0], RUN, seconds)
        return held, exit

    return simulate(1, main)


def test_a_run_is_asked_with_its_signal_and_given_its_time() -> None:
    held, exit = ended(30, DONE)
    assert (held.asked, exit) == ([("kill", 2), ("wait", 30)], DONE)


def test_the_time_of_the_hook_counts() -> None:
    held, _ = ended(30, DONE, sleep=10)
    assert held.asked == [("kill", 2), ("wait", 20)]
    assert held.said == []


def test_after_a_hook_that_takes_too_long_the_least_time_is_left() -> None:
    held, _ = ended(30, DONE, sleep=40)
    assert held.asked == [("kill", 2), ("wait", MIN_GRACE_SECONDS)]
    assert held.said == ["FailedPreStopHook: PreStopHook timed out"]


def test_without_grace_no_hook_is_run() -> None:
    held, _ = ended(0, DONE, sleep=40)
    assert held.asked == [("kill", 2), ("wait", MIN_GRACE_SECONDS)]
    assert held.said == []


def test_a_run_that_does_not_end_is_killed() -> None:
    held, exit = ended(30, EngineError("unavailable", "it runs"), DONE)
    assert held.asked == [("kill", 2), ("wait", 30), ("kill", 9), ("wait", KILL_SECONDS)]
    assert exit == DONE


def test_a_run_that_the_runtime_does_not_know_has_no_end() -> None:
    for kind in ("not-found", "lost"):
        held, exit = ended(30, EngineError(kind, "no"))
        assert (held.asked, exit) == ([("kill", 2), ("wait", 30)], None)


def read(root: Path, exit: ExitStatus, policy: str = "File", said: str = "", log: str = "") -> Run:
    """Returns the run that ended so, with what it had written."""
    paths, seen = Paths(root), Observed("default", "a", "u", 0.0, containers={"main": Seen(RUN)})
    for path, text in (
        (paths.termination_log("u", "main", 0), said),
        (paths.log(seen, "main", 0), log),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    container = Container(name="main", termination_message_policy=policy)
    return read_end(cast(Tools, SimpleNamespace(paths=paths)), container, seen, exit)


FAILED = ExitStatus(2, 0, 0, 5_000_000_000, False)
LOG = "2026-01-01T00:00:00Z stderr F first\n2026-01-01T00:00:01Z stderr F last words\n"


def test_an_end_has_its_code_its_signal_and_its_reason(tmp_path: Path) -> None:
    run = read(tmp_path / "code", FAILED)
    assert (run.exit_code, run.signal, run.reason, run.finished_at) == (2, 0, "", 5.0)
    run = read(tmp_path / "memory", ExitStatus(137, 9, 0, 0, True))
    assert (run.exit_code, run.signal, run.reason) == (137, 0, "OOMKilled")


@pytest.mark.parametrize(
    ("policy", "exit", "said", "message"),
    [
        ("File", FAILED, "", ""),
        ("File", FAILED, "why", "why"),
        ("FallbackToLogsOnError", FAILED, "why", "why"),
        ("FallbackToLogsOnError", FAILED, "", "first\nlast words"),
        ("FallbackToLogsOnError", DONE, "", ""),
    ],
)
def test_the_message_of_an_end_is_what_the_container_wrote_or_its_last_lines(
    tmp_path: Path, policy: str, exit: ExitStatus, said: str, message: str
) -> None:
    assert read(tmp_path, exit, policy, said, LOG).message == message


def test_of_a_long_message_the_end_is_kept(tmp_path: Path) -> None:
    assert read(tmp_path / "a", FAILED, said="x" * 5000 + "end").message == "x" * 4093 + "end"
    lines = "".join(f"t stderr F {number}\n" for number in range(100))
    run = read(tmp_path / "b", FAILED, "FallbackToLogsOnError", log=lines)
    assert run.message == "\n".join(str(number) for number in range(20, 100))
