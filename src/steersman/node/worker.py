"""The life of one pod on this node: plans, acts, and tells the API how it stands.

A task per pod, woken by what happens. One rule: nothing is done twice at a time for one thing,
and whatever fails becomes a trouble that is tried again later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from steersman.model.errors import Conflict, NotFound
from steersman.model.kinds.pod import POD, Pod
from steersman.node import containers, record
from steersman.node.acting import counting, ending, placing, pulling, sandboxes, starting
from steersman.node.acting.ending import NANO
from steersman.node.acting.failures import describe_failure
from steersman.node.acting.probes import Prober
from steersman.node.acting.pulling import Pulled
from steersman.node.acting.telling import Teller
from steersman.node.admission.refusing import refused
from steersman.node.objects import BadConfiguration, names_of
from steersman.node.observed import Observed, Run, Seen, Trouble, engine_name
from steersman.node.plan import (
    Action,
    BeginAnew,
    DeletePod,
    KillContainer,
    PlacePod,
    PrepareVolumes,
    PullImage,
    ResizePod,
    StartContainer,
    StartSandbox,
    TearDown,
    Wait,
    is_ending,
    is_finished,
    is_overdue,
    plan,
)
from steersman.node.resizing import granting, telling
from steersman.node.resizing.carrying_out import carry_out
from steersman.node.static.marks import is_static
from steersman.node.status import is_coming_up
from steersman.node.tools import Tools
from steersman.node.volumes import downward_api
from steersman.runtime.engine import EngineError, ExitStatus
from steersman.world.interface import Tasks

# kubelet's exponentialbackoff of volumes (500 ms to 2 min 2 s), here for whatever else fails too
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 122.0
CONFIG_ERROR = "CreateContainerConfigError"
log = logging.getLogger(__name__)
OVERDUE = (
    "DeadlineExceeded",
    "Pod was active on the node longer than the specified deadline",
)


def retry_seconds(failures: int, first: float) -> float:
    """Returns how long to wait after a number of failures in a row before this one."""
    return min(first * 2.0 ** min(failures, 16), LAST_RETRY_SECONDS)


class Worker:
    """One pod. `over` is called when nothing of it is left."""

    def __init__(self, tools: Tools, pod: Pod, seen: Observed, over: Callable[[str], None]) -> None:
        self.pod = pod
        self.seen = seen
        self._tools = tools
        self._over = over
        self._pulled: dict[str, Pulled] = {}
        self._busy: set[str] = set()
        self._failures: dict[str, int] = {}
        self._early: dict[tuple[str, int], ExitStatus] = {}
        self._ended: list[str] = []
        self._kills: dict[str, tuple[asyncio.Task[None], float]] = {}
        self._prober = Prober(tools, lambda: (self.pod, self.seen), self.update)
        # What an agent before this one prepared nobody follows yet, and it may be unmounted
        self._unprepared = seen.volumes_ready
        self._renew_volumes_at = tools.world.now() if seen.volumes_ready else 0.0
        if seen.ended is None:
            tools.grants.note(seen.uid, granting.requests_of(self.granted))
        self._wake = asyncio.Event()
        self._ends = asyncio.Event()
        self._teller = Teller(tools, self)
        self._record = record.Record(tools.paths)
        # What shows a static pod in the API
        self._mirror: Pod | None = None
        self._removed = False
        self._done = False
        self._tasks: Tasks

    # What happens

    def hear(self, pod: Pod) -> None:
        """The API has another version of the pod."""
        if pod.metadata.revision >= self.pod.metadata.revision:
            if downward_api.is_shown(self.pod, pod):
                self._renew_volumes_at = self._tools.world.now()
            self.pod = pod
            self._changed()

    def mirror(self, mirror: Pod | None) -> None:
        """The API has another version of a static pod's mirror, or none any more."""
        before, self._mirror = self._mirror, mirror
        if mirror is None or before is None or before.metadata.uid != mirror.metadata.uid:
            self._teller.forget()
        if mirror is not None:
            shown = replace(self.pod.metadata, generation=mirror.metadata.generation)
            # It tells of times; whether the pod has ended nobody but this node can say
            status = replace(mirror.status, phase="Pending")
            self.pod = replace(self.pod, metadata=shown, status=status)
        self._changed()

    def vanish(self) -> None:
        """The API has the pod no more, or its file is gone."""
        if not self.seen.gone:
            self.change(replace(self.seen, gone=True))

    def evict(self, reason: str, message: str, grace_seconds: float, *, told: bool = True) -> None:
        """Gives the pod up for the node's sake; it stays in the API, failed. Without `told` no
        event says so."""
        if self._may_end():
            self.change(replace(self.seen, ended=(reason, message), grace=grace_seconds))
            if told:
                self._say("Warning", reason, message)

    async def at_rest(self) -> None:
        """Waits until nothing of the pod runs, or begins to."""
        while self._busy or self._runs:
            self._ends.clear()
            await self._ends.wait()

    def exited(self, container: str, attempt: int, exit: ExitStatus) -> None:
        """A run has ended."""
        known = self.seen.of(container)
        spec = containers.find(self.pod, container)
        if known.run is None or known.run.attempt < attempt:  # its start is still under way
            self._early[container, attempt] = exit
        elif spec is not None and known.running and known.run.attempt == attempt:
            self._end_run(container, ending.read_end(self._tools, spec, self.seen, exit))
            self._ended.append(engine_name(container, attempt))

    def lost(self) -> None:
        """The pod's shim is dead, and its containers with it."""
        now = self._tools.world.now()
        if self.seen.volumes_ready:
            self._unprepared, self._renew_volumes_at = True, now
        for name, known in self.seen.containers.items():
            if known.running and known.run is not None:
                self._end_run(name, ending.read_loss(known.run, now))
        self.change(replace(self.seen, sandbox=None))

    def change(self, seen: Observed) -> None:
        """Takes over what is observed now, on disk first."""
        if not self._removed:
            self._record.save(seen)
        self.seen = seen
        self._changed()

    def update(self, container: str, seen: Seen) -> None:
        """Takes over what is observed of one container."""
        self.change(self.seen.having(container, seen))

    def objects_changed(self) -> None:
        """A ConfigMap or Secret of the pod has changed: what it stood in the way of goes on."""
        now = self._tools.world.now()
        self._renew_volumes_at = now
        seen = self.seen
        if seen.trouble is not None:
            seen = replace(seen, trouble=replace(seen.trouble, again_at=now))
        for name, known in self.seen.containers.items():
            trouble = known.trouble
            if trouble is not None and trouble.reason == CONFIG_ERROR:
                seen = seen.having(name, replace(known, trouble=replace(trouble, again_at=now)))
        self.change(seen)

    def devices_changed(self) -> None:
        """Devices that the pod has may be well again, or not."""
        self._teller.hear()

    def _changed(self) -> None:
        self._wake.set()
        self._ends.set()
        self._teller.hear(settled=not is_coming_up(self.pod, self.seen))

    def _end_run(self, container: str, run: Run) -> None:
        known = replace(self.seen.of(container), run=run, started=False, ready=False, unhealthy="")
        seen = self.seen.having(container, known)
        restarts = containers.restarts_all(self.pod, container, run)
        if restarts and not is_ending(self.pod, seen) and not is_finished(self.pod, seen):
            seen = replace(seen, restarting=True)
        self.change(seen)
        spec = containers.find(self.pod, container)
        if spec is not None and containers.starts_again(self.pod, spec, run):
            self._tell_backoff(container, known)

    def _tell_backoff(self, container: str, known: Seen) -> None:
        stays = self.pod.metadata.deletion_timestamp is None
        if stays and containers.restart_at(known) > self._tools.world.now():
            seen = self.seen
            text = f"Back-off restarting failed container {container} in pod "
            text += f"{seen.name}_{seen.namespace}({seen.uid})"
            self._say("Warning", "BackOff", text, container)

    def _say(self, kind: str, reason: str, note: str, container: str = "") -> None:
        self._tools.say(self.pod, kind, reason, note, container)

    # The loop

    async def run(self) -> None:
        """Lives until nothing of the pod is left."""
        async with self._tools.world.tasks() as self._tasks:
            self._tasks.start(self._teller.run(), name=f"status {self.seen.name}")
            self._tools.pinning.began()
            while not self._done:
                wait = self._step()
                try:
                    async with self._tools.world.timeout(wait):
                        await self._wake.wait()
                except TimeoutError:
                    self._teller.hear()
                self._wake.clear()
            self._tasks.stop()
        self._tools.grants.note(self.seen.uid, None)
        self._over(self.seen.uid)

    def _step(self) -> float | None:
        """Begins what the plan names; returns the seconds until it is to be made anew."""
        now = self._tools.world.now()
        if is_overdue(self.pod, self.seen, now) and self._may_end():
            self.change(replace(self.seen, ended=OVERDUE))
            self._say("Normal", OVERDUE[0], OVERDUE[1])
        self._prober.sync(self._tasks)
        while self._ended:
            self._tasks.start(self._discard(self._ended.pop()), name="discard")
        until: list[float] = []
        if self._record.is_behind and not self._removed:
            self._record.save(self.seen)
            until.append(now + LAST_RETRY_SECONDS / 10)
        self._consider_resize()
        self._give_back()
        for action in plan(self.granted, self.seen, now):
            if isinstance(action, Wait):
                until.append(action.until)
            elif self._may_begin(action):
                self._begin(action)
            elif isinstance(action, KillContainer):
                self._hasten(action)
        if self._renew_volumes_at and self.seen.volumes_ready and self.stays:
            if self._renew_volumes_at <= now and "volumes" not in self._busy:
                self._begin(PrepareVolumes())
            until.append(max(self._renew_volumes_at, now + FIRST_RETRY_SECONDS))
        return max(0.0, min(until) - now) if until else None

    @property
    def granted(self) -> Pod:
        """The pod with the resources that the node has granted it."""
        return granting.granted(self.pod, self.seen)

    @property
    def shown(self) -> Pod | None:
        """What shows the pod in the API; None where nothing does."""
        if self.seen.gone:
            return None
        return self._mirror if is_static(self.pod) else self.pod

    def take(self, answer: Pod) -> None:
        """The API has answered a status with what shows the pod from now on."""
        if is_static(self.pod):
            before = self._mirror
            if before is not None and answer.metadata.revision > before.metadata.revision:
                self.mirror(answer)
        elif answer.metadata.revision > self.pod.metadata.revision:
            self.pod = answer
            self._wake.set()

    def _consider_resize(self) -> None:
        """Grants a resize that is asked for or notes why not, and ends one that is over."""
        seen, grants = self.seen, self._tools.grants
        if not self.stays:
            grants.note(seen.uid, None)
            return
        if seen.resize is not None and granting.is_over(self.granted, seen):
            self.change(replace(seen, resize=None))
            text = f"Pod resize completed: {telling.summary(self.granted)}"
            self._say("Normal", "ResizeCompleted", text)
            self._renew_volumes_at = self._tools.world.now()  # they may tell of resources
        if not granting.is_asked(self.pod, self.seen):
            if seen.refused is not None:
                self.change(replace(self.seen, refused=None))
            return
        refusal = granting.decide_grant(
            self.pod,
            grants.others(seen.uid),
            self._tools.machine.allocatable,
            self._tools.pinning.fixed,
            self._tools.swap,
        )
        if refusal is None:
            self.change(granting.grant(self.pod, self.seen))
            grants.note(seen.uid, granting.requests_of(self.pod))
            text = f"Pod resize started: {telling.summary(self.pod)}"
            self._say("Normal", "ResizeStarted", text)
        else:
            self._refuse_resize(refusal)

    def _refuse_resize(self, refusal: granting.Refusal) -> None:
        if refusal.reason == granting.DEFERRED:
            now = self._tools.world.now()
            one = granting.waiting(self.pod, now, self._retry_resize)
            self._tools.grants.wait(self.seen.uid, one)
        refused = (self.pod.metadata.generation, refusal.reason, refusal.message)
        if refused != self.seen.refused:
            self.change(replace(self.seen, refused=refused))
            text = telling.summary(self.pod, refusal.message)
            self._say("Warning", f"Resize{refusal.reason}", f"Pod resize {refusal.reason}: {text}")

    def _retry_resize(self) -> None:
        """Tries a deferred resize when its turn has come: others wait for what is left."""
        if granting.is_asked(self.pod, self.seen):
            self._consider_resize()
            self._wake.set()

    def _give_back(self) -> None:
        """Frees what the pod has for itself once nothing of it runs or begins: before its end is
        told, so that whoever comes in its stead finds it free."""
        if not self.stays and not self._busy and not self._runs:
            self._tools.placement.release(self.seen.uid)

    @property
    def _runs(self) -> bool:
        return any(it.running for it in self.seen.containers.values())

    @property
    def stays(self) -> bool:
        """Whether the pod neither ends nor has ended."""
        return not is_ending(self.pod, self.seen) and not is_finished(self.pod, self.seen)

    def _may_end(self) -> bool:
        return self.seen.ended is None and not is_finished(self.pod, self.seen)

    def _may_begin(self, action: Action) -> bool:
        if isinstance(action, TearDown | BeginAnew):  # what is under way stands on what goes
            return not self._busy
        if isinstance(action, StartContainer) and self._unprepared:
            return False
        return not self._busy & {action.key, f"pause of {action.key}"}

    def _begin(self, action: Action) -> None:
        self._busy.add(action.key)
        name = f"{type(action).__name__} {self.seen.name}"
        task = self._tasks.start(self._do(action), name=name)
        if isinstance(action, KillContainer):
            due = self._tools.world.now() + action.grace_seconds
            self._kills[action.key] = (task, due)

    def _hasten(self, action: KillContainer) -> None:
        """Begins a kill anew where less time is given than was at first."""
        task, due = self._kills[action.key]
        if self._tools.world.now() + action.grace_seconds + ending.MIN_GRACE_SECONDS < due:
            self._kills[action.key] = (task, 0.0)
            task.cancel()

    async def _do(self, action: Action) -> None:
        began, failed = self._tools.world.monotonic(), True
        try:
            await self._act(action)
            failed = False
            self._failures.pop(action.key, None)
        except Exception as error:  # noqa: BLE001 - one pod's trouble must not end the node
            self._fail(action, error)
        finally:
            took = self._tools.world.monotonic() - began
            counting.count(self._tools.counts, self.pod, action, took, failed=failed)
            self._busy.discard(action.key)
            self._ends.set()
            self._wake.set()

    async def _act(self, action: Action) -> None:
        match action:
            case PlacePod():
                refusal = await placing.place(self._tools, self.granted)
                if refusal is None:
                    self.change(replace(self.seen, unplaced=False))
                else:
                    self.change(refused(self.seen, *refusal))
                    self._say("Warning", *refusal)
            case StartSandbox():
                await self._start_sandbox()
            case PrepareVolumes():
                await self._prepare_volumes()
            case PullImage(container):
                await self._pull(container)
            case StartContainer(container, attempt):
                await self._start(container, attempt)
            case KillContainer():
                await self._kill(action)
            case BeginAnew():
                self.change(containers.reset(self.seen, self.pod))
            case ResizePod():
                pod = self.granted
                changed = await carry_out(self._tools, pod, self.seen)
                self.change(granting.carried_out(pod, self.seen, changed))
            case TearDown():
                await sandboxes.tear_down(self._tools, self.seen.uid)
                self._tools.objects.release(self.seen.uid)
                self.change(replace(self.seen, sandbox=None, volumes_ready=False, claimed=False))
            case DeletePod():
                await self._delete()

    def _fail(self, action: Action, error: Exception) -> None:
        """Makes a failure a trouble of the pod or the container, and tells it."""
        wait = self._count_failure(action.key)
        again = self._tools.world.now() + wait
        reason, text = describe_failure(action, error)
        if isinstance(action, ResizePod) and self.seen.resize is not None:
            resize = replace(self.seen.resize, error=str(error))
            self.change(replace(self.seen, resize=resize))
            reason = "ResizeError"
            text = f"Pod resize error: {telling.summary(self.granted, str(error))}"
        if not isinstance(action, DeletePod):
            self._say("Warning", reason, text)
        container = getattr(action, "container", None)
        if isinstance(action, PullImage | StartContainer) and container is not None:
            trouble = Trouble("CreateContainerError", text, again)
            self.update(container, replace(self.seen.of(container), trouble=trouble))
        elif isinstance(action, StartSandbox | PrepareVolumes):
            if isinstance(action, PrepareVolumes) and self.seen.volumes_ready:
                self._renew_volumes_at = again
            self.change(replace(self.seen, trouble=Trouble("ContainerCreating", text, again)))
        else:
            self._tasks.start(self._wake_after(wait), name=f"again {self.seen.name}")
            self._busy.add(f"pause of {action.key}")

    def _count_failure(self, key: str) -> float:
        """Returns how long to wait after one more failure in a row."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return retry_seconds(failures, FIRST_RETRY_SECONDS)

    async def _wake_after(self, seconds: float) -> None:
        await self._tools.world.sleep(seconds)
        self._busy = {key for key in self._busy if not key.startswith("pause of ")}
        self._wake.set()

    # Acting

    async def _start_sandbox(self) -> None:
        """Makes the ground of the pod, once drivers have made ready what its claims need."""
        pod = self.granted
        if pod.has_claims and not self.seen.claimed:
            self.change(replace(self.seen, claimed=True))
        await self._tools.claims.prepare(pod)
        sandbox = await sandboxes.start(self._tools, pod)
        self.change(replace(self.seen, sandbox=sandbox, trouble=None))

    async def _prepare_volumes(self) -> None:
        pod = self.granted
        objects = await self._tools.objects.acquire(pod, names_of(pod), self.objects_changed)
        self._renew_volumes_at = 0.0
        images = await pulling.pull_volumes(self._tools, pod, self.objects_changed)
        prepared = await self._tools.volumes.prepare(pod, objects, self.objects_changed, images)
        self._unprepared = False
        if prepared.renew_at and not self._renew_volumes_at:
            self._renew_volumes_at = prepared.renew_at
        if not self.seen.volumes_ready or self.seen.trouble is not None:
            self.change(replace(self.seen, volumes_ready=True, trouble=None))

    async def _pull(self, name: str) -> None:
        container = containers.find(self.pod, name)
        assert container is not None
        known = self.seen.of(name)
        backoff = pulling.next_backoff(known.pull_backoff)
        try:
            self._pulled[name] = await pulling.pull(
                self._tools, self.pod, container, backoff, self.objects_changed
            )
        except pulling.Failed as failed:
            known = replace(self.seen.of(name), trouble=failed.trouble, pull_backoff=backoff)
            self.update(name, known)
            if failed.then is not None:
                await self._tools.world.sleep(pulling.LOOK_SECONDS)
                pulling.tell_waiting(self._tools, self.pod, container)
                self.update(name, replace(self.seen.of(name), trouble=failed.then))
            return
        known = self.seen.of(name)
        trouble = known.trouble
        if trouble is not None and not trouble.reason.startswith("CreateContainer"):
            trouble = None  # what made the container itself impossible shows until it is possible
        known = replace(known, pulled=True, trouble=trouble, pull_backoff=0.0)
        self.update(name, known)

    async def _start(self, name: str, attempt: int) -> None:
        pod = self.granted
        container = containers.find(pod, name)
        assert container is not None
        if name not in self._pulled:  # known from before the agent began
            self.update(name, replace(self.seen.of(name), pulled=False))
            return
        pulled, seen = self._pulled[name], self.seen
        try:
            run = await starting.start(self._tools, pod, container, seen, attempt, pulled)
        except (BadConfiguration, starting.CreateFailed) as error:
            self._refuse(name, error)
            return
        known, now = self.seen.of(name), self._tools.world.now()
        if self.seen.sandbox is not seen.sandbox:  # it was lost while a hook ran
            run = ending.read_loss(run, now)
        begun = Seen(
            run=run,
            last=known.run,
            image=container.image,
            image_id=pulled.image.repo_digest,
            backoff=containers.next_backoff(known, now) if attempt else 0.0,
            backoff_at=now,
            started=container.startup_probe is None,
            ready=container.readiness_probe is None,
            resources=container.resources if self.seen.grants else None,
        )
        self._failures.pop(f"start of {name}", None)
        self.update(name, begun)
        self._tools.pinning.began()
        exit = self._early.pop((name, attempt), None)
        if run.state == "exited":
            self._end_run(name, run)
            self._ended.append(engine_name(name, attempt))
        elif exit is not None and exit.started_at / NANO == run.started_at:
            # Of another start it may be: that of an agent before this one, which never noted it
            self.exited(name, attempt, exit)

    def _refuse(self, name: str, error: Exception) -> None:
        """Notes that a container cannot be made; it is tried again as its image would be."""
        reason = "CreateContainerError"
        if isinstance(error, BadConfiguration):
            reason = CONFIG_ERROR
        again = self._tools.world.now() + self._count_failure(f"start of {name}")
        known = replace(self.seen.of(name), trouble=Trouble(reason, str(error), again))
        self.update(name, replace(known, pulled=False))
        self._say("Warning", "Failed", f"Error: {error}", name)

    async def _kill(self, action: KillContainer) -> None:
        container = containers.find(self.pod, action.container)
        run = self.seen.of(action.container).run
        if container is None or run is None or run.state != "running":
            return
        self._say("Normal", "Killing", action.note, container.name)
        if action.again:
            run = replace(run, again=True)
            self.update(container.name, replace(self.seen.of(container.name), run=run))
        exit = await ending.kill(self._tools, self.pod, container, run, action.grace_seconds)
        if exit is not None:
            self.exited(container.name, run.attempt, exit)
        elif self.seen.of(container.name).running:
            self._end_run(container.name, ending.read_loss(run, self._tools.world.now()))

    async def _discard(self, name: str) -> None:
        """Removes an ended container from the runtime; its log stays. What cannot be removed, as
        a control group that is still being taken apart, goes with the sandbox."""
        try:
            await self._tools.engine.delete(self.seen.uid, name)
        except EngineError as error:
            if error.kind not in ("not-found", "lost"):
                log.warning("%s of pod %s stays until it ends: %s", name, self.seen.name, error)

    async def _delete(self) -> None:
        """Tells the last status, removes what is on disk, then the object: once that is gone,
        nothing of the pod is left here."""
        if self.seen.gone:
            await self._remove_files()
            self._done = True
            return
        ref = POD.ref(self.seen.namespace, self.seen.name)
        stays = bool(self.pod.metadata.finalizers)
        try:
            await self._teller.write()
            if not stays:
                await self._remove_files()
            await self._tools.client.delete(ref, uid=self.seen.uid, grace_seconds=0)
        except (NotFound, Conflict):
            pass  # it is gone, or another pod bears the name
        # With finalizers the object is there until whoever set them is done; `vanish` tells
        self._done = not stays

    async def _remove_files(self) -> None:
        self._removed = True
        # One that was never begun has no ground that is torn down; without its record nobody
        # would know of it
        self._tools.placement.release(self.seen.uid)
        seen, paths = self.seen, self._tools.paths
        for path in (paths.pod_logs(seen.namespace, seen.name, seen.uid), paths.pod(seen.uid)):
            await asyncio.to_thread(record.remove_tree, path)
