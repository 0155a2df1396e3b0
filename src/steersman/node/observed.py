"""What the node knows of one pod beyond the API: values, kept on disk, read by plan and status.

Nothing is decided here. One rule: a value is replaced whole, so that whoever reads sees one moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from steersman.model.types.container import ContainerPort, ResourceRequirements

RUNTIME = "steersman"
# The reason of a run whose end nobody saw
UNKNOWN = "ContainerStatusUnknown"


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run of a container; times in seconds since 1970, 0 where not reached.

    `attempt` counts from 0 and is the restart count; `reason` is set where the run ended or could
    not begin in a way of its own (OOMKilled, StartError, ContainerStatusUnknown);
    `id` is what a status shows, where another engine than ours gave one;
    `stop_signal` is what the container or its image wants to be asked with; `again` is set where
    the node ends a run in order to begin another, `reset` where all containers of the pod begin
    anew: for what may begin now such a run counts as none. `user` has its group and all groups.
    """

    attempt: int
    state: Literal["running", "exited"]
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    stop_signal: str = ""
    again: bool = False
    id: str = ""
    reset: bool = False
    user: tuple[int, ...] = ()


class Trouble(msgspec.Struct, frozen=True):
    """Why something does not go on at present, and when it is tried again."""

    reason: str
    message: str
    again_at: float


class Resize(msgspec.Struct, frozen=True, omit_defaults=True):
    """A resize that was granted and is not carried out in every group yet.

    generation: of the pod that asked for it
    pod_done:   the pod's own group is as it should be
    error:      why it does not go on at present
    """

    generation: int
    pod_done: bool = False
    error: str = ""


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """One container of a pod.

    image:          of the last start, as the pod named it
    image_id:       the same as the status shows it
    pulled:         the image is here for the next start
    backoff:        seconds that the next restart waits after the end of the run; 0: none
    backoff_at:     when it was last raised
    started, ready: what the probes say of the present run
    unhealthy:      the probe that says that the present run must end: liveness, startup
    resources:      what the group of the present run was given
    """

    run: Run | None = None
    last: Run | None = None
    image: str = ""
    image_id: str = ""
    pulled: bool = False
    trouble: Trouble | None = None
    pull_backoff: float = 0.0
    backoff: float = 0.0
    backoff_at: float = 0.0
    started: bool = False
    ready: bool = False
    unhealthy: str = ""
    resources: ResourceRequirements | None = None

    @property
    def running(self) -> bool:
        """Whether the container runs now."""
        return self.run is not None and self.run.state == "running"

    @property
    def counted(self) -> Run | None:
        """The present run, where the pod has not begun anew since."""
        return self.run if self.run is not None and not self.run.reset else None

    @property
    def exited(self) -> Run | None:
        """The present run, where it has ended."""
        return self.run if self.run is not None and self.run.state == "exited" else None


class Sandbox(msgspec.Struct, frozen=True, omit_defaults=True):
    """The namespaces of a pod and its addresses; `userns` where its users are its own, `pidns`
    where its containers share their processes, `ports` those of the node that lead to it, `group`
    its control group below that of all pods."""

    pid: int
    shm: str
    addresses: tuple[str, ...]
    userns: str = ""
    pidns: str = ""
    ports: tuple[ContainerPort, ...] = ()
    group: str = ""


class Observed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that the node knows of one pod; written to its directory with each change.

    grace:      how long the containers of a pod that was given up have to end, None: as it says
    grants:     the resources that the containers may have, whatever the pod asks for now
    pod_limits: what the pod's own group was given (linux.resources)
    refused:    generation, reason and message of a resize that is not granted
    unplaced:   what the pod has for itself of the machine is not given out yet
    claimed:    drivers may have made devices of its claims ready
    restarting: a container's end has all of them end, to begin anew (RestartAllContainers)
    """

    namespace: str
    name: str
    uid: str
    began_at: float
    sandbox: Sandbox | None = None
    volumes_ready: bool = False
    trouble: Trouble | None = None
    containers: Mapping[str, Seen] = {}
    # The reason and message of a pod that the node has given up (Evicted, DeadlineExceeded)
    ended: tuple[str, str] | None = None
    grace: float | None = None
    gone: bool = False
    grants: Mapping[str, ResourceRequirements] = {}
    pod_limits: dict[str, Any] | None = None
    resize: Resize | None = None
    refused: tuple[int, str, str] | None = None
    unplaced: bool = False
    claimed: bool = False
    restarting: bool = False

    def of(self, container: str) -> Seen:
        """What is known of a container; nothing where it never began."""
        return self.containers.get(container, Seen())

    def having(self, container: str, seen: Seen) -> Observed:
        """The same with another value for one container."""
        return msgspec.structs.replace(self, containers={**self.containers, container: seen})


def engine_name(container: str, attempt: int) -> str:
    """The name of one run in the runtime."""
    return f"{container}.{attempt}"


def parse_engine_name(name: str) -> tuple[str, int]:
    """The container and the attempt of a run in the runtime."""
    container, _, attempt = name.rpartition(".")
    return container, int(attempt)


def container_id(uid: str, container: str, attempt: int) -> str:
    """The id that a status shows for a run."""
    text = f"{uid}/{container}/{attempt}"
    return f"{RUNTIME}://{hashlib.sha256(text.encode()).hexdigest()}"
