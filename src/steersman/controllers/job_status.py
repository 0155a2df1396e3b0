"""The status of a job: what is written before finalizers go from its pods, and what after.

Every ended pod is named in uncountedTerminatedPods before its finalizer goes and moves into the
counters after, so it counts exactly once whatever is lost in between. Follows
trackJobStatusAndRemoveFinalizers in pkg/controller/job (KEP-2307).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from steersman.controllers import conditions, job_index, job_policy, pods
from steersman.controllers.job_plan import (
    Judgement,
    Known,
    has_finalizer,
    is_failed,
    is_indexed,
    new_condition,
    within,
)
from steersman.model.kind import Document
from steersman.model.kinds.job import JOB, Job, UncountedPods
from steersman.model.kinds.pod import Pod
from steersman.model.times import rfc3339, seconds
from steersman.reconcile.actions import Patch, Tell, status

MOST_UNCOUNTED = 500  # upstream MaxUncountedPods: the status stays below 20 kB
REACHED = "Reached expected number of succeeded pods"


class Acted(msgspec.Struct, frozen=True):
    """What was done to the pods of a job: how many came, which went."""

    created: int = 0
    deleted: Collection[Pod] = ()


class Tracked(msgspec.Struct):
    """The status on its way; `release` are the pods whose finalizer goes once it is written.

    `ending` is the condition with which the job ends when nothing is left to count, None while it
    goes on; `full` says that more pods wait to be counted than one status takes.
    """

    status: Document
    release: list[Pod] = msgspec.field(default_factory=list)
    tell: list[Tell] = msgspec.field(default_factory=list)
    ending: Document | None = None
    full: bool = False


def status_of(job: Job) -> Document:
    """Returns the status as it stands in the document."""
    old = job.status
    found: Document = {}
    if old.conditions:
        found["conditions"] = conditions.documents(old.conditions)
    for name, time in (("startTime", old.start_time), ("completionTime", old.completion_time)):
        if time is not None:
            found[name] = rfc3339(seconds(time))
    for name, count in (
        ("active", old.active or None),
        ("succeeded", old.succeeded or None),
        ("failed", old.failed or None),
        ("terminating", old.terminating),
        ("ready", old.ready),
        ("completedIndexes", old.completed_indexes or None),
        ("failedIndexes", old.failed_indexes),
    ):
        if count is not None:
            found[name] = count
    if old.uncounted_terminated_pods is not None:
        found["uncountedTerminatedPods"] = _uncounted(old.uncounted_terminated_pods)
    return found


def _uncounted(found: UncountedPods) -> Document:
    lists = {"succeeded": list(found.succeeded), "failed": list(found.failed)}
    return {name: uids for name, uids in lists.items() if uids}


def plan_patch(job: Job, new: Document) -> Patch | None:
    """Returns the patch of the status of that very revision, None where it is right."""
    old = status_of(job)
    changed = conditions.changes(old, new)
    if not changed:
        return None
    if "uncountedTerminatedPods" in changed:  # a merge patch takes away only what it names
        lists = new["uncountedTerminatedPods"]
        changed["uncountedTerminatedPods"] = {"succeeded": None, "failed": None, **lists}
    metadata = job.metadata
    return status(JOB.ref(*job.key), changed, uid=metadata.uid, revision=metadata.revision)


def track(known: Known, found: Judgement, acted: Acted) -> Tracked:
    """Decides the status that is written before finalizers go."""
    job = known.job
    ready = sum(map(pods.is_ready, known.active)) - sum(map(pods.is_ready, acted.deleted))
    active = len(known.active) + acted.created - len(acted.deleted)
    going = sum(map(pods.is_going, known.pods)) + len(acted.deleted)
    new = {**status_of(job), "active": active, "ready": ready, "terminating": going}
    new.setdefault("uncountedTerminatedPods", {})
    if found.started is not None:
        new["startTime"] = rfc3339(found.started)
    tracked = Tracked(new)
    verdict = found.verdict
    if verdict is not None and len(acted.deleted) != len(known.active):
        verdict = None  # there may be pods that nobody has been able to delete
    elif verdict is None and _is_complete(job, found, active):
        verdict = new_condition("SuccessCriteriaMet", "CompletionsReached", REACHED, known.now)
    elif verdict is None and job.metadata.deletion_timestamp is None:
        _suspended(known, tracked)
    count(new, held(known.pods))
    _collect(known, found, verdict, tracked)
    _announce(known, verdict, tracked)
    _trim(new)
    return tracked


def _is_complete(job: Job, found: Judgement, active: int) -> bool:
    completions = job.spec.completions
    enough = found.succeeded > 0 if completions is None else found.succeeded >= completions
    return enough and active == 0


def _suspended(known: Known, tracked: Tracked) -> None:
    """Says that a job is suspended or resumed; one that never was says nothing."""
    old = tracked.status.get("conditions") or []
    suspend = known.job.spec.suspend
    reason, text = ("JobSuspended", "Job suspended") if suspend else ("JobResumed", "Job resumed")
    present = conditions.find(old, "Suspended")
    wanted = "True" if suspend else "False"
    if present is None and not suspend:
        return
    if present is not None and present["status"] == wanted:
        return
    if suspend:  # what it may take is counted anew once it is resumed (KEP-5440)
        tracked.status.pop("startTime", None)
    made = new_condition("Suspended", reason, text, known.now, wanted)
    tracked.status["conditions"] = _put(old, made)
    tracked.tell.append(Tell(known.job, "Suspended" if suspend else "Resumed", text))


def _put(old: list[Document], new: Document) -> list[Document]:
    """Returns conditions with one replaced where it stands, or put to the end."""
    if conditions.find(old, new["type"]) is None:
        return [*old, new]
    return [new if it["type"] == new["type"] else it for it in old]


def held(found: Collection[Pod]) -> set[str]:
    """Returns the uids of pods that have their finalizer."""
    return {pod.metadata.uid for pod in found if has_finalizer(pod)}


def count(new: Document, uids: Collection[str]) -> None:
    """Moves pods that have no finalizer any more from the lists into the counters."""
    lists = dict(new["uncountedTerminatedPods"])
    for name in ("succeeded", "failed"):
        present = lists.pop(name, [])
        left = [uid for uid in present if uid in uids]
        new[name] = new.get(name, 0) + len(present) - len(left)
        if left:
            lists[name] = left
    new["uncountedTerminatedPods"] = lists


def _collect(known: Known, found: Judgement, verdict: Document | None, tracked: Tracked) -> None:
    """Names the pods that ended, so that their finalizers may go."""
    job = known.job
    lists = tracked.status["uncountedTerminatedPods"]
    good, bad = list(lists.get("succeeded", ())), list(lists.get("failed", ()))
    done: list[int] = []
    for pod in _in_order(known):
        if not has_finalizer(pod) or not _may_go(job, found, verdict, pod):
            continue
        tracked.release.append(pod)
        uid, index = pod.metadata.uid, job_index.index_of(pod)
        if pod.status.phase == "Succeeded" and uid not in bad:
            if not is_indexed(job):
                good += [uid] if uid not in good else []
            elif index is not None and within(job, index) and index not in found.before:
                done.append(index)
        elif _counts_as_failed(job, verdict, pod) and uid not in bad:
            bad.append(uid)
        if len(done) + len(good) + len(bad) >= MOST_UNCOUNTED:
            tracked.full = True
            break
    named = {"succeeded": good, "failed": bad}
    tracked.status["uncountedTerminatedPods"] = {name: it for name, it in named.items() if it}
    if is_indexed(job):
        completed = found.before | job_index.indexes(done)
        tracked.status["succeeded"] = len(completed)
        tracked.status["completedIndexes"] = str(completed)
        if found.lost is not None:
            tracked.status["failedIndexes"] = str(found.lost)


def _in_order(known: Known) -> list[Pod]:
    if not is_indexed(known.job):
        return list(known.pods)
    return sorted(known.pods, key=lambda pod: job_index.index_of(pod) or 0)


def _may_go(job: Job, found: Judgement, verdict: Document | None, pod: Pod) -> bool:
    """Says whether a pod's finalizer may go."""
    ended = pod.status.phase == "Succeeded"
    if job.metadata.deletion_timestamp is not None or verdict is not None or ended:
        return True
    index = job_index.index_of(pod)
    waits = index is not None and index in found.delayed
    if waits and found.delayed[index or 0].metadata.uid == pod.metadata.uid:
        return False
    return is_failed(job, pod)


def _counts_as_failed(job: Job, verdict: Document | None, pod: Pod) -> bool:
    """Says whether a pod counts as failed; where the job fails, every pod that did not succeed."""
    fails = verdict is not None and verdict["type"] != "SuccessCriteriaMet"
    if not is_failed(job, pod) and not fails:
        return False
    if is_indexed(job) and not within(job, job_index.index_of(pod)):
        return False
    return job_policy.match(job.spec.pod_failure_policy, pod).counts


_ENDS = {"FailureTarget": "Failed", "SuccessCriteriaMet": "Complete"}


def _announce(known: Known, verdict: Document | None, tracked: Tracked) -> None:
    """Writes the condition that says how the job will end, before it has."""
    if verdict is None:
        return
    kind, old = verdict["type"], tracked.status.get("conditions") or []
    if kind in _ENDS and conditions.find(old, kind) is None:
        tracked.status["conditions"] = [*old, verdict]
    why, text = verdict.get("reason", ""), verdict.get("message", "")
    tracked.ending = new_condition(_ENDS.get(kind, "Failed"), why, text, known.now)


def _trim(new: Document) -> None:
    """Takes away what a status does not show when it is nothing."""
    for name in ("active", "succeeded", "failed", "completedIndexes"):
        if not new.get(name):
            new.pop(name, None)


def conclude(tracked: Tracked, left: Collection[str], now: float) -> tuple[Document, bool]:
    """Returns the status after finalizers went, and whether the job is finished with it; `left`
    are the uids of pods that still have theirs."""
    new = dict(tracked.status)
    count(new, left)
    ending = tracked.ending
    busy = bool(new["uncountedTerminatedPods"]) or tracked.full or new["terminating"] > 0
    finished = ending is not None and not busy
    if finished and ending is not None:
        new["conditions"] = _put(new.get("conditions") or [], ending)
        new.setdefault("startTime", rfc3339(now))  # of one that ends while it is suspended
        if ending["type"] == "Complete":
            new["completionTime"] = rfc3339(now)
    _trim(new)
    return new, finished


def plan_events(job: Job, new: Document) -> list[Tell]:
    """Returns what is told when a job has finished."""
    ended = new["conditions"][-1]
    if ended["type"] != "Complete":
        return [Tell(job, ended.get("reason", ""), ended.get("message", ""), "Warning")]
    told = []
    if job.spec.completions is not None and new.get("succeeded", 0) > job.spec.completions:
        text = "Too many succeeded pods running after completion count reached"
        told.append(Tell(job, "TooManySucceededPods", text, "Warning"))
    return [*told, Tell(job, "Completed", "Job completed")]
