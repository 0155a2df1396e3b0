"""The agent's pods as the streams see them: what is observed, and for a container that waits what
its status says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from steersman.model.kinds.pod import Pod as PodView
from steersman.model.kinds.pod import Waiting
from steersman.model.types.container import Container as Specified
from steersman.node.observed import Observed, Run, engine_name
from steersman.node.paths import Paths
from steersman.node.streams.pods import Container, Engine, Instance, Pod


class Cared(Protocol):
    """One pod that the agent cares for."""

    @property
    def pod(self) -> PodView:
        """The pod as the API has it."""

    @property
    def seen(self) -> Observed:
        """What is observed of it."""


class ObservedPods:
    """See `streams.pods.Pods`. `cared` gives the pods that the agent cares for now."""

    def __init__(self, engine: Engine, paths: Paths, cared: Callable[[], Iterable[Cared]]) -> None:
        self.engine = engine
        self._paths = paths
        self._cared = cared

    def find(self, namespace: str, name: str) -> Pod | None:
        """Returns a pod; of two with one name the one that is not being removed."""
        found = None
        for one in self._cared():
            if (one.seen.namespace, one.seen.name) == (namespace, name):
                found = one
                if one.pod.metadata.deletion_timestamp is None:
                    break
        return None if found is None else describe(found.pod, found.seen, self._paths)


def describe(pod: PodView, seen: Observed, paths: Paths) -> Pod:
    """Returns a pod as the streams see it."""
    spec = pod.spec
    specified = (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)
    netns = f"/proc/{seen.sandbox.pid}/ns/net" if seen.sandbox is not None else ""
    containers = {it.name: _container(it, pod, seen, paths) for it in specified}
    return Pod(seen.uid, seen.uid, netns, containers)


def _container(specified: Specified, pod: PodView, seen: Observed, paths: Paths) -> Container:
    name = specified.name
    known = seen.of(name)
    waiting = _waiting(pod, name)

    def instance(run: Run | None) -> Instance | None:
        if run is None:
            return None
        log = str(paths.log(seen, name, run.attempt))
        return Instance(engine_name(name, run.attempt), log)

    # A run that has ended is the last state once the container waits for its next
    over = known.exited is not None and waiting is not None
    reason = waiting.reason if waiting is not None else ""
    if known.run is None and not reason:
        reason = "PodInitializing" if pod.spec.init_containers else "ContainerCreating"
    return Container(
        current=instance(known.run),
        previous=instance(known.run if over else known.last),
        running=known.running,
        waiting=reason,
        terminal=specified.tty,
        stdin=specified.stdin,
    )


def _waiting(pod: PodView, name: str) -> Waiting | None:
    status = pod.status
    told = (
        *status.init_container_statuses,
        *status.container_statuses,
        *status.ephemeral_container_statuses,
    )
    return next((it.state.waiting for it in told if it.name == name), None)
