"""What the node does next for one pod: a pure function of the pod and of what is observed.

Acting is in `acting`. One rule: the plan names everything that may begin now, whatever else is
under way; what is busy is left out by the one who acts.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node import containers
from steersman.node.observed import Observed, Seen
from steersman.node.resizing import granting

ENDED = ("Succeeded", "Failed")


class PlacePod(msgspec.Struct, frozen=True):
    """Give the pod what it has for itself of the machine, or refuse it."""

    key = "place"


class StartSandbox(msgspec.Struct, frozen=True):
    """Make the pod's namespaces and connect them."""

    key = "sandbox"


class PrepareVolumes(msgspec.Struct, frozen=True):
    """Fill the pod's directory."""

    key = "volumes"


class PullImage(msgspec.Struct, frozen=True):
    """Have a container's image here."""

    container: str

    @property
    def key(self) -> str:
        """What it must not be done twice for at a time."""
        return self.container


class StartContainer(msgspec.Struct, frozen=True):
    """Begin a run."""

    container: str
    attempt: int

    @property
    def key(self) -> str:
        """What it must not be done twice for at a time."""
        return self.container


class KillContainer(msgspec.Struct, frozen=True):
    """End a run: ask, wait, insist; `again`: another one shall follow, whatever the policy."""

    container: str
    attempt: int
    grace_seconds: float
    note: str
    again: bool = False

    @property
    def key(self) -> str:
        """What it must not be done twice for at a time."""
        return f"end of {self.container}"


class BeginAnew(msgspec.Struct, frozen=True):
    """Have all containers but the ephemeral ones begin as in a new pod; nothing of them runs."""

    key = "containers"


class ResizePod(msgspec.Struct, frozen=True):
    """Give the groups of the pod and its containers what was granted."""

    key = "resize"


class TearDown(msgspec.Struct, frozen=True):
    """Remove namespaces, connection and volumes; the logs stay."""

    key = "sandbox"


class DeletePod(msgspec.Struct, frozen=True):
    """Remove the object, its status told, and all that is left on disk."""

    key = "object"


class Wait(msgspec.Struct, frozen=True):
    """Plan again at a time."""

    until: float
    key = "time"


Action = (
    PlacePod
    | StartSandbox
    | PrepareVolumes
    | PullImage
    | StartContainer
    | KillContainer
    | BeginAnew
    | ResizePod
    | TearDown
    | DeletePod
    | Wait
)


def plan(pod: Pod, seen: Observed, now: float) -> list[Action]:
    """Returns what may be done now; empty where the pod is as it should be. The pod has the
    resources that were granted."""
    if is_ending(pod, seen) or is_finished(pod, seen) or is_overdue(pod, seen, now):
        return list(_end(pod, seen))
    if seen.unplaced:
        return [PlacePod()]
    if seen.restarting:
        return list(_restart_all(pod, seen))
    actions = [*_prepare(seen, now), *_run(pod, seen, now), *_unfit(pod, seen), *_resize(pod, seen)]
    if (deadline := pod.spec.active_deadline_seconds) is not None:
        actions.append(Wait(seen.began_at + deadline))
    return actions


def is_ending(pod: Pod, seen: Observed) -> bool:
    """Whether everything of the pod must go."""
    return seen.gone or seen.ended is not None or pod.metadata.deletion_timestamp is not None


def is_overdue(pod: Pod, seen: Observed, now: float) -> bool:
    """Whether the pod has been active for longer than it may."""
    deadline = pod.spec.active_deadline_seconds
    return deadline is not None and now >= seen.began_at + deadline


def is_finished(pod: Pod, seen: Observed) -> bool:
    """Whether no container will run again."""
    if pod.status.phase in ENDED:
        return True
    if seen.restarting:
        return False  # what has ended, or is made to, begins anew
    return init_failed(pod, seen) or all(
        containers.is_done(pod, it, seen.of(it.name)) for it in pod.spec.containers
    )


def init_failed(pod: Pod, seen: Observed) -> bool:
    """Whether an init container has failed for good."""
    return any(
        (run := seen.of(it.name).exited) is not None
        and run.exit_code != 0
        and not containers.starts_again(pod, it, run)
        for it in pod.spec.init_containers
    )


def is_initialized(pod: Pod, seen: Observed) -> bool:
    """Whether the containers proper may run, or have run already."""
    if any(seen.of(it.name).counted is not None for it in pod.spec.containers):
        return True
    return all(containers.is_past(pod, it, seen.of(it.name)) for it in pod.spec.init_containers)


def _prepare(seen: Observed, now: float) -> Iterator[Action]:
    if seen.trouble is not None and seen.trouble.again_at > now:
        yield Wait(seen.trouble.again_at)
        return
    if seen.sandbox is None:
        yield StartSandbox()
    if not seen.volumes_ready:
        yield PrepareVolumes()


def _run(pod: Pod, seen: Observed, now: float) -> Iterator[Action]:
    """Yields what brings the containers on whose turn it is."""
    for container in pod.spec.ephemeral_containers:
        yield from _bring_up(pod, container, seen, now)
    initialized = is_initialized(pod, seen)
    for container in pod.spec.init_containers:
        known = seen.of(container.name)
        if initialized and not containers.is_sidecar(container):
            continue
        yield from _bring_up(pod, container, seen, now)
        if not initialized and not containers.is_past(pod, container, known):
            return
    for container in pod.spec.containers:
        yield from _bring_up(pod, container, seen, now)


def _bring_up(pod: Pod, container: Container, seen: Observed, now: float) -> Iterator[Action]:
    known = seen.of(container.name)
    if known.running or containers.is_done(pod, container, known):
        return
    due = max(known.trouble.again_at if known.trouble else 0.0, containers.restart_at(known))
    if due > now:
        yield Wait(due)
    elif not known.pulled:
        yield PullImage(container.name)
    elif seen.resize is not None and not seen.resize.pod_done:
        return  # the pod's group must have room for it first
    elif seen.sandbox is not None and seen.volumes_ready:
        yield StartContainer(container.name, next_attempt(known))


def next_attempt(known: Seen) -> int:
    """The number of the next run."""
    return 0 if known.run is None else known.run.attempt + 1


def _unfit(pod: Pod, seen: Observed) -> Iterator[Action]:
    """Yields the end of runs that must not go on: by a probe, with another image, or with
    resources that only a new run can have."""
    whole = float(pod.spec.termination_grace_period_seconds)
    for container in containers.all_containers(pod):
        known = seen.of(container.name)
        if known.run is None or not known.running:
            continue
        name, attempt = container.name, known.run.attempt
        if known.image not in ("", container.image):
            note = f"Container {name} definition changed, will be restarted"
            yield KillContainer(name, attempt, whole, note, again=True)
        elif known.unhealthy:
            grace = _probe_grace(pod, container, known.unhealthy)
            note = f"Container {name} failed {known.unhealthy} probe"
            again = containers.policy_of(pod, container) != "Never"
            if again:
                note += ", will be restarted"
            yield KillContainer(name, attempt, grace, note, again)
        elif granting.needs_restart(container, seen):
            note = f"Container {name} resize requires restart"
            yield KillContainer(name, attempt, whole, note, again=True)


def _restart_all(pod: Pod, seen: Observed) -> Iterator[Action]:
    """Yields what ends all containers at once, without hooks and in no order (KEP-5532)."""
    known = [(it, seen.of(it.name)) for it in pod.spec.init_containers + pod.spec.containers]
    for container, one in known:
        if one.run is not None and one.running:
            note = f"Stopping container {container.name}"
            yield KillContainer(container.name, one.run.attempt, 0.0, note)
    if not any(one.running for _, one in known):
        yield BeginAnew()


def _resize(pod: Pod, seen: Observed) -> Iterator[Action]:
    """Yields the change of groups, once nothing runs in them that must end first."""
    running = granting.resizable(pod)
    if not granting.is_carried_out(pod, seen) and not any(
        granting.needs_restart(it, seen) for it in running
    ):
        yield ResizePod()


def _probe_grace(pod: Pod, container: Container, kind: str) -> float:
    """Returns how long a run may take to end of which a probe says that it must."""
    probe = container.startup_probe if kind == "startup" else container.liveness_probe
    if probe is not None and probe.termination_grace_period_seconds is not None:
        return float(probe.termination_grace_period_seconds)
    return float(pod.spec.termination_grace_period_seconds)


def _end(pod: Pod, seen: Observed) -> Iterator[Action]:
    """Yields what ends a pod: containers, then sidecars, then what they stood on, then it."""
    grace = containers.grace_seconds(pod, seen.gone)
    if seen.grace is not None:
        grace = min(grace, seen.grace)
    serving = pod.spec.containers + pod.spec.ephemeral_containers
    running = [it for it in serving if seen.of(it.name).running]
    # Sidecars serve the others until these have ended
    running = running or [it for it in pod.spec.init_containers if seen.of(it.name).running]
    for container in running:
        run = seen.of(container.name).run
        assert run is not None
        note = f"Stopping container {container.name}"
        yield KillContainer(container.name, run.attempt, grace, note)
    if running:
        return
    if seen.sandbox is not None or seen.volumes_ready or seen.claimed:
        yield TearDown()
    elif seen.gone or pod.metadata.deletion_timestamp is not None:
        yield DeletePod()
