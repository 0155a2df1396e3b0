"""Why a container of a pod does not run, or is not ready."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from steersman.explain.cause import Cause
from steersman.explain.objects import Objects
from steersman.model.kind import Document
from steersman.model.kinds.printing import at

# reason of a waiting container -> what it means, what would help
_WAITING: Final = {
    "ErrImagePull": (
        "its image cannot be had",
        "check the image's name and tag, and that its registry can be reached",
    ),
    "ImagePullBackOff": (
        "its image cannot be had, and is tried again after a while",
        "check the image's name and tag, and that its registry can be reached",
    ),
    "ErrImageNeverPull": (
        "its image is not on the node, and it must not be pulled",
        "load the image there, or another imagePullPolicy",
    ),
    "InvalidImageName": ("its image's name cannot be read", "mend spec.containers[].image"),
    "CreateContainerConfigError": (
        "it cannot be configured",
        "mend what the message names: a ConfigMap, a Secret, a key of one, or the user to run as",
    ),
    "CreateContainerError": ("it cannot be made", "mend what the message names"),
    "RunContainerError": ("it cannot be started", "check its command and its mounts"),
    "CrashLoopBackOff": (
        "it ends again and again, and is started after a while",
        "kubectl logs --previous shows what it said before it ended",
    ),
    "ContainerCreating": ("it is being made", ""),
    "PodInitializing": ("it waits for the init containers", ""),
}
_SIGNALS: Final = {
    137: "killed (SIGKILL): by the kernel for want of memory, or because it did not end in time",
    143: "ended by SIGTERM",
    126: "its command cannot be executed",
    127: "its command was not found",
}


def of_containers(objects: Objects, pod: Document) -> tuple[Cause, ...]:
    """Returns what is the matter with the containers of a pod, the init containers first: while
    one of those is not done, the others cannot run."""
    init = tuple(_of_all(objects, pod, "initContainers", "initContainerStatuses", init=True))
    return init or tuple(_of_all(objects, pod, "containers", "containerStatuses", init=False))


def _of_all(
    objects: Objects, pod: Document, field: str, statuses: str, *, init: bool
) -> Iterable[Cause]:
    known = {it.get("name"): it for it in at(pod, "status", statuses) or ()}
    for container in at(pod, "spec", field) or ():
        status = known.get(container.get("name"))
        if status is None:
            continue
        sidecar = init and container.get("restartPolicy") == "Always"
        cause = _of_one(objects, pod, container, status, init=init and not sidecar)
        if cause is not None:
            yield cause
            if init:
                return


def _of_one(
    objects: Objects, pod: Document, container: Document, status: Document, *, init: bool
) -> Cause | None:
    name = f"{'init ' if init else ''}container {container.get('name')}"
    state = status.get("state") or {}
    if (waiting := state.get("waiting")) is not None:
        return _of_waiting(name, container, status, waiting)
    if (ended := state.get("terminated")) is not None:
        return _of_ended(name, ended)
    if init and "running" in state:
        return Cause(name, "runs; the pod's other containers wait for its end")
    if "running" in state and not status.get("ready"):
        return _of_unready(objects, pod, name, container, status)
    return None


def _of_waiting(
    name: str, container: Document, status: Document, waiting: Document
) -> Cause | None:
    reason = str(waiting.get("reason") or "ContainerCreating")
    meaning, help = _WAITING.get(reason, ("it waits", ""))
    details = [f"image {container.get('image')}"] if "Image" in reason else []
    if message := waiting.get("message"):
        details.append(str(message))
    if last := at(status, "lastState", "terminated"):
        details.append(f"it ended {status.get('restartCount', 0)} times, last: {_ending(last)}")
    finding = f"is waiting ({reason}): {meaning}"
    return Cause(name, finding, tuple(details), (help,) if help else ())


def _of_ended(name: str, ended: Document) -> Cause | None:
    if not ended.get("exitCode"):
        return None
    helps = ("kubectl logs shows what it said before it ended",)
    if ended.get("reason") == "OOMKilled":
        helps = ("raise its memory limit, or have it use less",)
    return Cause(name, f"has ended: {_ending(ended)}", helps=helps)


def _ending(ended: Document) -> str:
    code = ended.get("exitCode", 0)
    if ended.get("reason") == "OOMKilled":
        return f"it used more memory than its limit (OOMKilled, exit code {code})"
    meaning = _SIGNALS.get(code)
    message = ended.get("message")
    found = f"exit code {code}" + (f", {meaning}" if meaning else "")
    return f"{found}: {message}" if message else found


def _of_unready(
    objects: Objects, pod: Document, name: str, container: Document, status: Document
) -> Cause:
    kind = "readinessProbe" if status.get("started") else "startupProbe"
    probe = container.get(kind)
    if not probe:
        return Cause(name, "runs and is not said to be ready yet")
    told = [
        str(it.get("message"))
        for it in objects.events(pod, "Unhealthy")
        if f"{kind.removesuffix('Probe').capitalize()} probe" in str(it.get("message"))
    ][:1]
    return Cause(
        name,
        f"runs, and its {kind} does not pass: {_asked(probe)}",
        details=tuple(told),
        helps=("have it answer as the probe asks, or mend the probe's path, port and times",),
    )


def _asked(probe: Document) -> str:
    if asked := probe.get("httpGet"):
        return f"GET {asked.get('path') or '/'} on port {asked.get('port')}"
    if asked := probe.get("tcpSocket"):
        return f"a connection to port {asked.get('port')}"
    if asked := probe.get("grpc"):
        return f"gRPC health on port {asked.get('port')}"
    return f"the command {' '.join(at(probe, 'exec', 'command') or ())}"
