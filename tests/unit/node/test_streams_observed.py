"""What the streams are told of the agent's pods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from steersman.model.kinds.pod import Pod as PodView
from steersman.node.observed import Observed, Run, Sandbox, Seen
from steersman.node.paths import Paths
from steersman.node.streams.observed_pods import ObservedPods, describe
from steersman.node.streams.pods import Container, Instance
from steersman.runtime.engine import Engine

PATHS = Paths(Path("/node"))
LOGS = "/node/logs/default_web_u1/main"
RUNNING = Run(2, "running")
ENDED = Run(2, "exited")
BEFORE = Run(1, "exited")


def view(waiting: str = "", **meta: Any) -> PodView:
    state = {"waiting": {"reason": waiting}} if waiting else {}
    document = {
        "metadata": {"name": "web", "namespace": "default", **meta},
        "spec": {
            "containers": [{"name": "main", "tty": True, "stdin": True}, {"name": "other"}],
            "initContainers": [{"name": "first"}],
        },
        "status": {"containerStatuses": [{"name": "main", "state": state}]},
    }
    return msgspec.convert(document, PodView)


def seen(known: Seen | None = None, uid: str = "u1", pid: int = 7) -> Observed:
    sandbox = Sandbox(pid, "/shm", ()) if pid else None
    return Observed("default", "web", uid, 0.0, sandbox, containers={"main": known or Seen()})


def main_of(known: Seen, waiting: str = "") -> Container:
    return describe(view(waiting), seen(known), PATHS).containers["main"]


def instance(attempt: int) -> Instance:
    return Instance(f"main.{attempt}", f"{LOGS}/{attempt}.log")


def test_a_running_container_has_its_run_and_the_one_before() -> None:
    found = main_of(Seen(run=RUNNING, last=BEFORE))
    assert found == Container(instance(2), instance(1), True, "", terminal=True, stdin=True)


def test_a_container_that_has_ended_is_not_running() -> None:
    found = main_of(Seen(run=ENDED, last=BEFORE))
    assert (found.current, found.previous, found.running) == (instance(2), instance(1), False)


def test_while_a_restart_is_waited_for_the_last_run_is_the_one_before_too() -> None:
    found = main_of(Seen(run=ENDED, last=BEFORE), "CrashLoopBackOff")
    assert (found.current, found.previous) == (instance(2), instance(2))
    # a status that lags behind a new run changes nothing
    assert main_of(Seen(run=RUNNING, last=BEFORE), "CrashLoopBackOff").previous == instance(1)


def test_a_container_that_never_began_says_what_it_waits_for() -> None:
    found = main_of(Seen(), "ErrImagePull")
    assert (found.current, found.previous, found.waiting) == (None, None, "ErrImagePull")
    assert main_of(Seen()).waiting == "PodInitializing"


def test_a_pod_has_all_containers_and_its_network() -> None:
    pod = describe(view(), seen(), PATHS)
    assert set(pod.containers) == {"first", "main", "other"}
    assert (pod.sandbox, pod.uid, pod.netns) == ("u1", "u1", "/proc/7/ns/net")
    assert not pod.containers["other"].terminal
    assert describe(view(), seen(pid=0), PATHS).netns == ""


@dataclass
class One:
    pod: PodView
    seen: Observed


def test_of_two_pods_with_one_name_the_one_that_stays_is_found() -> None:
    leaving = One(view(deletionTimestamp="2026-01-01T00:00:00Z"), seen(uid="old"))
    here = [leaving, One(view(), seen(uid="new"))]
    for order in (here, here[::-1]):
        pods = ObservedPods(cast(Engine, None), PATHS, lambda order=order: order)  # type: ignore[misc]
        found = pods.find("default", "web")
        assert found is not None
        assert found.uid == "new"
        assert pods.find("default", "other") is None
        assert pods.find("other", "web") is None
    alone = ObservedPods(cast(Engine, None), PATHS, lambda: [leaving]).find("default", "web")
    assert alone is not None
    assert alone.uid == "old"
