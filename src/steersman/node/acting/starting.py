"""Begins one run of a container: its document, its log, its program."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container, LifecycleHandler
from steersman.node.acting import handlers
from steersman.node.acting.env_files import read_variables
from steersman.node.acting.pulling import Pulled
from steersman.node.acting.seccomp_profiles import BadProfile, load_profile, local_profile
from steersman.node.claims.interface import CannotPrepare
from steersman.node.devices.injection import Injection
from steersman.node.engine.interface import Order
from steersman.node.objects import BadConfiguration
from steersman.node.observed import Observed, Run, engine_name
from steersman.node.paths import Paths
from steersman.node.render import environment
from steersman.node.render.bundle import Device, Ground
from steersman.node.render.downward import Facts
from steersman.node.render.limits import Pin
from steersman.node.tools import Tools
from steersman.node.volumes.mounting import is_readonly
from steersman.runtime.engine import EngineError
from steersman.runtime.kernel.labels import has_selinux

START_ERROR = "StartError"
START_ERROR_CODE = 128
NANO = 1e9
# What the kubelet keeps of a container that runs again: the present log and the one before
KEPT_LOGS = 2


class CreateFailed(Exception):
    """The container could not be set up; nothing of it is left."""


async def start(
    tools: Tools, pod: Pod, container: Container, seen: Observed, attempt: int, pulled: Pulled
) -> Run:
    """Returns the run, which has ended already where its program cannot be executed.

    Raises BadConfiguration for what the pod asks in vain, CreateFailed for the rest.
    """
    injection = await _injection(tools, pod, container)
    # Not in the thread: others are moved to other processors meanwhile
    pin = tools.pinning.begin(seen.uid, container.name, attempt)
    order = await asyncio.to_thread(
        _order, tools, pod, container, seen, attempt, pulled, injection, pin
    )
    name = engine_name(container.name, attempt)
    try:
        await tools.engine.create(order)
    except EngineError as error:
        await _take_back(tools, seen.uid, name, error)
        raise CreateFailed(str(error)) from error
    id = tools.engine.container_id(seen.uid, name)
    tools.say(pod, "Normal", "Created", "Container created", container.name)
    signal = container.lifecycle.stop_signal if container.lifecycle is not None else ""
    signal = signal or pulled.image.run_config.stop_signal
    try:
        started = await tools.engine.start(seen.uid, name)
    except EngineError as error:
        if error.kind == "unavailable":
            await _take_back(tools, seen.uid, name, error)
            raise CreateFailed(str(error)) from error
        return replace(_never_started(tools, pod, container, attempt, error), id=id)
    tools.say(pod, "Normal", "Started", "Container started", container.name)
    begun_at, user = started.started_at / NANO, tuple(started.user)
    run = Run(attempt, "running", begun_at, stop_signal=signal, id=id, user=user)
    if container.lifecycle is not None and container.lifecycle.post_start is not None:
        await _run_hook(tools, pod, container, run, container.lifecycle.post_start)
    return run


async def _injection(tools: Tools, pod: Pod, container: Container) -> Injection:
    """Returns what devices of plugins and of claims need; raises BadConfiguration."""
    injection = await tools.devices.inject(pod, container)
    try:
        return injection.with_cdi(tools.claims.cdi_names(pod, container))
    except CannotPrepare as error:
        raise BadConfiguration(str(error)) from error


async def _take_back(tools: Tools, uid: str, name: str, error: EngineError) -> None:
    """Removes what a try has left that got no answer in time, or the one before it: else every
    further try would find the name taken."""
    if error.kind in ("unavailable", "conflict"):
        with contextlib.suppress(EngineError):  # the next try finds it, and is here again
            await tools.engine.delete(uid, name, force=True)


async def _run_hook(
    tools: Tools, pod: Pod, container: Container, run: Run, hook: LifecycleHandler
) -> None:
    """Runs what is to follow the start; a container whose hook fails is killed."""
    try:
        await handlers.run_hook(tools, pod, container, run, hook)
    except handlers.HookFailed:
        # Not what the hook has said: who reads events may not be who may read secrets.
        tools.say(pod, "Warning", "FailedPostStartHook", "PostStartHook failed", container.name)
        tools.say(pod, "Normal", "Killing", "FailedPostStartHook", container.name)
        with contextlib.suppress(EngineError):  # it may have ended meanwhile
            name = engine_name(container.name, run.attempt)
            await tools.engine.kill(pod.metadata.uid, name)


def _never_started(
    tools: Tools, pod: Pod, container: Container, attempt: int, error: EngineError
) -> Run:
    text = str(error)
    tools.say(pod, "Warning", "Failed", f"Error: {text}", container.name)
    now = tools.world.now()
    return Run(attempt, "exited", 0.0, now, START_ERROR_CODE, 0, START_ERROR, text)


def _order(
    tools: Tools,
    pod: Pod,
    container: Container,
    seen: Observed,
    attempt: int,
    pulled: Pulled,
    injection: Injection,
    pin: Pin,
) -> Order:
    """Returns what is to be made, with everything that it stands on."""
    sandbox = seen.sandbox
    assert sandbox is not None
    addresses = sandbox.addresses or (tools.place.address,)
    facts = Facts(tools.place.address, addresses)
    services = environment.service_variables(tools.services(), pod)
    objects = tools.objects.of(pod)
    places = tools.volumes.places(pod)
    files = read_variables(container, places)
    variables = environment.render_environment(
        pod, container, objects, services, facts, tools.machine, files
    )
    variables = {**injection.env, **variables}
    if "HOSTNAME" not in variables:
        name = (tools.paths.etc(seen.uid) / "hostname").read_text().strip()
        variables = {"HOSTNAME": name, **variables}
    ground = Ground(
        pid=sandbox.pid,
        shm=sandbox.shm,
        userns=sandbox.userns,
        pidns=sandbox.pidns,
        layers=pulled.layers,
        volumes=places,
        readonly={it.name for it in pod.spec.volumes if is_readonly(pod, it)},
        etc=tools.paths.etc(seen.uid),
        termination_log=_make_termination_log(tools, seen.uid, container.name, attempt),
        log=make_log(tools.paths, seen, container.name, attempt),
        memory_bytes=tools.facts.memory_bytes,
        seccomp=_seccomp(tools, pod, container),
        apparmor=tools.apparmor,
        devices=_devices(pod, container, places),
        pin=pin,
        selinux=has_selinux(),
        page_sizes=tools.page_sizes,
        swap=tools.swap,
    )
    return Order(pod, container, seen, attempt, pulled.image, variables, ground, injection)


def _devices(pod: Pod, container: Container, places: Mapping[str, Path]) -> dict[str, Device]:
    """Returns the block devices behind the volumes that a container uses as devices."""
    found = {}
    for it in container.volume_devices:
        volume = next((one for one in pod.spec.volumes if one.name == it.name), None)
        status = os.stat(places[it.name]) if volume is not None else None
        if volume is None or status is None or not stat.S_ISBLK(status.st_mode):
            raise BadConfiguration(f"volume {it.name} is not a block device")
        number = status.st_rdev
        found[it.name] = Device(os.major(number), os.minor(number), is_readonly(pod, volume))
    return found


def _seccomp(tools: Tools, pod: Pod, container: Container) -> dict[str, Any] | None:
    """Returns the local profile that a container names, None where it names none."""
    if not (name := local_profile(pod, container)):
        return None
    try:
        return load_profile(tools.paths.seccomp, name)
    except BadProfile as error:
        raise CreateFailed(f"failed to create containerd container: {error}") from error


def _make_termination_log(tools: Tools, uid: str, container: str, attempt: int) -> Path:
    path = tools.paths.termination_log(uid, container, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o666)  # whoever the container runs as may say why it ends
    return path


def make_log(paths: Paths, seen: Observed, container: str, attempt: int) -> Path:
    """Makes room for the log of a run and returns its path; the logs before the last one go."""
    path = paths.log(seen, container, attempt)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    for old in path.parent.glob(f"{attempt - KEPT_LOGS}.log*"):  # and what was moved aside of it
        old.unlink(missing_ok=True)
    return path
