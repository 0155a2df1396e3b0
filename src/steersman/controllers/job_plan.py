"""What a job comes to now, and which pods it creates and deletes for that. Pure.

Follows syncJob and manageJob in pkg/controller/job/job_controller.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steersman.controllers import conditions, job_backoff, job_index, job_policy, ownership, pods
from steersman.controllers.job_backoff import Failures
from steersman.controllers.job_index import FAILURES, IGNORED, INDEX, NONE, VARIABLE, Indexes
from steersman.model.kind import Document
from steersman.model.kinds.job import JOB, Job, UncountedPods
from steersman.model.kinds.pod import Pod
from steersman.model.times import rfc3339, seconds
from steersman.model.types.condition import condition, is_true
from steersman.reconcile.actions import Create

FINALIZER = "batch.kubernetes.io/job-tracking"
CONTROLLER = "kubernetes.io/job-controller"  # spec.managedBy of jobs that are ours
BURST = 500  # upstream MaxPodCreateDeletePerSync


class Known(msgspec.Struct, frozen=True):
    """What a job is judged by; `failures` are those before the pods that ended since."""

    job: Job
    pods: Sequence[Pod]
    failures: Failures
    now: float

    @property
    def active(self) -> list[Pod]:
        """The pods that neither ended nor are being deleted."""
        return [pod for pod in self.pods if pods.is_active(pod)]


class Judgement(msgspec.Struct, frozen=True):
    """What a job comes to; `verdict` is the condition with which it ends, None while it goes on.

    `before` and `done` are the completed indexes, as the status says and with those that ended
    since; `lost` the failed ones where a limit per index is set. `delayed` are failed pods that
    stay until their index has a new one, which inherits their count.
    """

    succeeded: int
    failed: int
    failures: Failures
    started: float | None
    verdict: Document | None = None
    before: Indexes = NONE
    done: Indexes = NONE
    lost: Indexes | None = None
    delayed: Mapping[int, Pod] = msgspec.field(default_factory=dict)


class Steps(msgspec.Struct, frozen=True):
    """Pods that go and pods that come; those that are `spared` lose their finalizer first, so
    they count as nothing. `wait` is how long failures still hold back what is missing."""

    delete: Sequence[Pod] = ()
    spared: bool = False
    create: Sequence[Create] = ()
    wait: float | None = None


def is_indexed(job: Job) -> bool:
    """Says whether every completion has an index."""
    return job.spec.completion_mode == "Indexed"


def is_finished(job: Job) -> bool:
    """Says whether a job is complete or failed, for ever."""
    return any(is_true(job.status.conditions, kind) for kind in ("Complete", "Failed"))


def is_foreign(job: Job) -> bool:
    """Says whether another controller manages the job."""
    return job.spec.managed_by not in (None, CONTROLLER)


def has_finalizer(pod: Pod) -> bool:
    """Says whether a pod is not counted yet."""
    return FINALIZER in pod.metadata.finalizers


def replaces_failed_only(job: Job) -> bool:
    """Says whether a pod that is being deleted is replaced only when it has ended."""
    return job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None


def is_failed(job: Job, pod: Pod) -> bool:
    """Says whether a pod counts as failed; one that is deleted may never say so itself."""
    if pod.status.phase == "Failed":
        return True
    if replaces_failed_only(job):
        return False
    return pods.is_terminating(pod) and pod.status.phase != "Succeeded"


def within(job: Job, index: int | None) -> bool:
    """Says whether an index is one of the job's."""
    return index is not None and index < (job.spec.completions or 0)


def new_condition(
    kind: str, reason: str, message: str, now: float, status: str = "True"
) -> Document:
    """Returns a condition of a job, probed now."""
    made = conditions.make(kind, status, reason, message, now)
    made["lastProbeTime"] = rfc3339(now)
    return {name: value for name, value in made.items() if value}


def judge(known: Known) -> Judgement:
    """Decides whether a job ends now, and counts what the decision is made from."""
    job, status = known.job, known.job.status
    uncounted = status.uncounted_terminated_pods or UncountedPods()
    good = [it for it in _fresh(known, uncounted.succeeded) if it.status.phase == "Succeeded"]
    bad = [it for it in _fresh(known, uncounted.failed) if is_failed(job, it)]
    counted = [it for it in bad if job_policy.match(job.spec.pod_failure_policy, it).counts]
    found = Judgement(
        status.succeeded + len(good) + len(uncounted.succeeded),
        status.failed + len(counted) + len(uncounted.failed),
        known.failures.after(good, bad),
        _started(known),
    )
    verdict = _decided(known) or _exceeded(known, found)
    found = msgspec.structs.replace(found, verdict=verdict)
    return _of_indexes(known, found) if is_indexed(job) else found


def _fresh(known: Known, counted: Sequence[str]) -> list[Pod]:
    """Returns the pods that count and that no list of the status names."""
    return [
        pod
        for pod in known.pods
        if has_finalizer(pod)
        and pod.metadata.uid not in counted
        and (not is_indexed(known.job) or within(known.job, job_index.index_of(pod)))
    ]


def _started(known: Known) -> float | None:
    job = known.job
    began = seconds(job.status.start_time) or None
    if job.spec.suspend:
        return began
    resumed = is_true(job.status.conditions, "Suspended")
    return known.now if resumed or began is None else began


def _decided(known: Known) -> Document | None:
    """Returns the verdict that the status holds already, or that a failed pod brings."""
    found = known.job.status.conditions
    met, target = condition(found, "SuccessCriteriaMet"), condition(found, "FailureTarget")
    if met is not None and met.status == "True":
        return conditions.document(met)
    if target is not None and target.status == "True":
        return new_condition("Failed", target.reason, target.message, known.now)
    policy = known.job.spec.pod_failure_policy
    for pod in known.pods if policy is not None else ():
        if is_failed(known.job, pod) and (text := job_policy.match(policy, pod).message):
            return new_condition("FailureTarget", "PodFailurePolicy", text, known.now)
    return None


def _exceeded(known: Known, found: Judgement) -> Document | None:
    if found.failed > known.job.spec.backoff_limit or _restarted_too_often(known):
        text = "Job has reached the specified backoff limit"
        return new_condition("FailureTarget", "BackoffLimitExceeded", text, known.now)
    left = deadline_in(known, found)
    if left is not None and left <= 0:
        text = "Job was active longer than specified deadline"
        return new_condition("FailureTarget", "DeadlineExceeded", text, known.now)
    return None


def deadline_in(known: Known, found: Judgement) -> float | None:
    """Returns the seconds until a job has been active for too long, None where it may be."""
    allowed = known.job.spec.active_deadline_seconds
    if allowed is None or known.job.spec.suspend or found.started is None:
        return None
    return found.started + allowed - known.now


def _restarted_too_often(known: Known) -> bool:
    limit = known.job.spec.backoff_limit
    restarts = sum(
        container.restart_count
        for pod in known.pods
        if pod.spec.restart_policy == "OnFailure" and pod.status.phase in ("Running", "Pending")
        for container in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )
    return restarts >= max(limit, 1)


def _of_indexes(known: Known, found: Judgement) -> Judgement:
    job = known.job
    completions = job.spec.completions or 0
    before = job_index.parse(job.status.completed_indexes, completions)
    ended = [it for it in _fresh(known, ()) if it.status.phase == "Succeeded"]
    done = before | job_index.indexes_of(ended)
    found = msgspec.structs.replace(found, succeeded=len(done), before=before, done=done)
    if job.spec.backoff_limit_per_index is not None:
        lost = job_index.parse(job.status.failed_indexes or "", completions)
        lost |= job_index.indexes_of(it for it in _fresh(known, ()) if _lost(job, it))
        verdict = found.verdict or _lost_too_many(known, lost, done)
        delayed = _delayed(known, done | lost)
        found = msgspec.structs.replace(found, lost=lost, verdict=verdict, delayed=delayed)
    text = job_policy.succeeded(job.spec.success_policy, completions, done)
    if text and found.verdict is None:
        met = new_condition("SuccessCriteriaMet", "SuccessPolicy", text, known.now)
        return msgspec.structs.replace(found, verdict=met)
    return found


def _lost(job: Job, pod: Pod) -> bool:
    """Says whether the index of a pod has failed for good with it."""
    if not is_failed(job, pod):
        return False
    matched = job_policy.match(job.spec.pod_failure_policy, pod)
    limit = job.spec.backoff_limit_per_index or 0
    return matched.action == "FailIndex" or (matched.counts and job_index.failures_of(pod) >= limit)


def _lost_too_many(known: Known, lost: Indexes, done: Indexes) -> Document | None:
    most = known.job.spec.max_failed_indexes
    if most is not None and len(lost) > most:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return new_condition("FailureTarget", "MaxFailedIndexesExceeded", text, known.now)
    if lost and len(lost) + len(done) >= (known.job.spec.completions or 0):
        return new_condition("FailureTarget", "FailedIndexes", "Job has failed indexes", known.now)
    return None


def _delayed(known: Known, settled: Indexes) -> dict[int, Pod]:
    """Returns the newest failed pod of every index that has neither ended nor an active pod."""
    closed = settled | job_index.indexes_of(known.active)
    newest: dict[int, Pod] = {}
    for pod in _fresh(known, ()):
        index = job_index.index_of(pod)
        if index is None or index in closed or not is_failed(known.job, pod):
            continue
        if index not in newest or _age(pod) >= _age(newest[index]):
            newest[index] = pod
    return newest


def _age(pod: Pod) -> tuple[int, float]:
    count = job_index.failures_of(pod) + job_index.ignored_of(pod)
    return (count, job_backoff.finished_at(pod))


def plan(known: Known, found: Judgement) -> Steps:
    """Decides which pods go and which come; never both at once."""
    job, active = known.job, known.active
    if found.verdict is not None:
        return Steps(delete=active)
    if job.metadata.deletion_timestamp is not None:
        return Steps()
    if job.spec.suspend:
        return Steps(delete=active, spared=True)
    wanted = _wanted(job, found, len(active))
    doomed = _doomed(job, active, max(0, len(active) - wanted))
    if doomed:
        return Steps(delete=doomed[:BURST], spared=True)
    ending = sum(map(pods.is_going, known.pods)) if replaces_failed_only(job) else 0
    missing = min(wanted - ending - len(active), BURST)
    return _creation(known, found, missing) if missing > 0 else Steps()


def _wanted(job: Job, found: Judgement, active: int) -> int:
    parallelism = 1 if job.spec.parallelism is None else job.spec.parallelism
    if job.spec.completions is None:
        return active if found.succeeded else parallelism
    return max(0, min(job.spec.completions - found.succeeded, parallelism))


def _doomed(job: Job, active: Sequence[Pod], surplus: int) -> list[Pod]:
    """Returns the active pods that go: those of no valid or of a repeated index, then more."""
    ordered = sorted(active, key=pods.removal_order)
    if not is_indexed(job):
        return ordered[:surplus]
    keep: dict[int, Pod] = {}
    for pod in ordered:  # the last one of an index is the one to be kept
        index = job_index.index_of(pod)
        if index is not None and within(job, index):
            keep[index] = pod
    kept = {pod.metadata.uid for pod in keep.values()}
    doomed = [pod for pod in ordered if pod.metadata.uid not in kept]
    left = [pod for pod in ordered if pod.metadata.uid in kept]
    return doomed + left[: max(0, surplus - len(doomed))]


def _creation(known: Known, found: Judgement, missing: int) -> Steps:
    job = known.job
    per_index = job.spec.backoff_limit_per_index is not None
    wait = 0.0 if per_index else found.failures.remaining(known.now)
    if wait > 0:
        return Steps(wait=wait)
    if not is_indexed(job):
        return Steps(create=(_new_pod(job),) * missing)
    taken = found.done | (found.lost or NONE) | job_index.indexes_of(known.active)
    if replaces_failed_only(job):
        taken |= job_index.indexes_of(filter(pods.is_going, known.pods))
    waits = {
        index: job_backoff.of_index(found.delayed.get(index), known.now)
        for index in job_index.pending(taken, missing, job.spec.completions or 0)
    }
    create = tuple(_indexed(job, index, found) for index, wait in waits.items() if not wait)
    held = min((wait for wait in waits.values() if wait), default=None)
    return Steps(create=create, wait=None if create else held)


def _new_pod(job: Job, template: Document | None = None, prefix: str = "", **spec: Any) -> Create:
    template = msgspec.json.decode(job.spec.template) if template is None else template
    about = template.get("metadata") or {}
    finalizers = [it for it in about.get("finalizers") or () if it != FINALIZER]
    return pods.from_template(
        {**template, "metadata": {**about, "finalizers": [*finalizers, FINALIZER]}},
        namespace=job.metadata.namespace,
        prefix=prefix or f"{job.metadata.name}-",
        owner=ownership.reference(job, JOB),
        **spec,
    )


def _indexed(job: Job, index: int, found: Judgement) -> Create:
    template: Document = msgspec.json.decode(job.spec.template)
    about = template.get("metadata") or {}
    annotations = {**(about.get("annotations") or {}), INDEX: str(index)}
    if job.spec.backoff_limit_per_index is not None:
        annotations |= _inherited(job, found.delayed.get(index))
    labels = {**(about.get("labels") or {}), INDEX: str(index)}
    about = {**about, "annotations": annotations, "labels": labels}
    spec = template.get("spec") or {}
    told = {
        name: [_told(container) for container in spec[name]]
        for name in ("initContainers", "containers")
        if spec.get(name)
    }
    name = job.metadata.name
    return _new_pod(
        job,
        {**template, "metadata": about},
        job_index.prefix(name, index),
        hostname=f"{name}-{index}",
        **told,
    )


def _inherited(job: Job, replaced: Pod | None) -> dict[str, str]:
    """Returns the counts of failures of an index that its new pod carries on."""
    if replaced is None:
        return {FAILURES: "0"}
    counts = job_policy.match(job.spec.pod_failure_policy, replaced).counts
    failures = job_index.failures_of(replaced) + counts
    ignored = job_index.ignored_of(replaced) + (not counts)
    return {FAILURES: str(failures), **({IGNORED: str(ignored)} if ignored else {})}


def _told(container: Document) -> Document:
    """Returns a container that finds its index in the environment."""
    present = container.get("env") or []
    if any(it.get("name") == VARIABLE for it in present):
        return container
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    return {**container, "env": [*present, {"name": VARIABLE, "valueFrom": source}]}
