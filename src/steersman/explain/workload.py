"""Why a workload has not the pods that it wants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from steersman.explain.cause import Cause, alike
from steersman.explain.objects import Objects, about, condition, name_of, namespace_of
from steersman.explain.pod import of_pod
from steersman.model.kind import Document, Kind
from steersman.model.kinds.cronjob import CRONJOB
from steersman.model.kinds.daemonset import DAEMONSET
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.job import JOB
from steersman.model.kinds.pod import POD
from steersman.model.kinds.printing import at
from steersman.model.kinds.replicaset import REPLICASET
from steersman.model.kinds.service import SERVICE
from steersman.model.kinds.statefulset import STATEFULSET

REVISION: Final = "deployment.kubernetes.io/revision"
_REFUSED: Final = ("FailedCreate", "FailedDaemonPod")
_RUNS_NOT: Final = "see whether its controller runs (kube-controller-manager's log)"


def of_deployment(objects: Objects, deployment: Document) -> Cause:
    """Returns what is the matter with a Deployment."""
    name, wanted = about(DEPLOYMENT, name_of(deployment)), _wanted(deployment)
    if _stale(deployment):
        return Cause(name, "has not been looked at since it was changed", helps=(_RUNS_NOT,))
    status = at(deployment, "status") or {}
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if status.get("replicas", 0) == updated == available == wanted:
        return Cause(name, f"has its {wanted} replicas, all of its template", sound=True)
    if at(deployment, "spec", "paused"):
        return Cause(
            name,
            f"is paused with {updated} of {wanted} replicas of its template",
            helps=(f"kubectl rollout resume deployment/{name_of(deployment)}",),
        )
    details = [f"{updated} of {wanted} are of its template, {available} are available"]
    progressing = condition(deployment, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        details.append(f"it is given up: {progressing.get('message')}")
    sets = sorted(objects.owned(REPLICASET, deployment), key=_revision)
    causes = [of_replicas(objects, it, REPLICASET) for it in sets[-1:]]
    return Cause(
        name,
        "has not rolled out yet",
        details=tuple(details),
        causes=tuple(cause for cause in causes if not cause.sound),
    )


def _revision(found: Document) -> int:
    text = (at(found, "metadata", "annotations") or {}).get(REVISION, "0")
    return int(text) if str(text).isdigit() else 0


def _wanted(document: Document) -> int:
    found = at(document, "spec", "replicas")
    return 1 if found is None else int(found)


def _stale(document: Document) -> bool:
    generation = at(document, "metadata", "generation") or 0
    return bool((at(document, "status", "observedGeneration") or 0) < generation)


def of_replicas(objects: Objects, document: Document, kind: Kind) -> Cause:
    """Returns what is the matter with a ReplicaSet or a ReplicationController."""
    name, wanted = about(kind, name_of(document)), _wanted(document)
    ready = at(document, "status", "readyReplicas") or 0
    pods = objects.owned(POD, document)
    refused = _refused(objects, document) if len(pods) < wanted else ()
    if refused:
        return Cause(
            name,
            f"cannot make its pods: there are {len(pods)} of {wanted}",
            causes=refused,
        )
    if ready == wanted:
        return Cause(name, f"has its {wanted} replicas, all ready", sound=True)
    return Cause(name, f"has {ready} of {wanted} replicas ready", causes=_of_pods(objects, pods))


def _of_pods(objects: Objects, pods: Iterable[Document]) -> tuple[Cause, ...]:
    """Returns what is the matter with those pods that are not well, alike ones together."""
    return alike(cause for pod in pods if not (cause := of_pod(objects, pod)).sound)


def _refused(objects: Objects, owner: Document) -> tuple[Cause, ...]:
    """Returns why an owner's pods are refused, as the latest event tells it."""
    told = [str(it.get("message", "")) for it in objects.events(owner, *_REFUSED)[:1]]
    failure = condition(owner, "ReplicaFailure")
    if failure.get("status") == "True" and failure.get("message"):
        told = [str(failure["message"])]
    return tuple(Cause("the API server", f"refuses them: {it}", helps=_help(it)) for it in told)


def _help(message: str) -> tuple[str, ...]:
    """Returns what would help against a refusal, as far as its text tells."""
    known = {
        "exceeded quota": "raise the quota, free what it counts, or ask for less",
        "must specify": "give each container the requests and limits that the quota counts",
        "maximum": "ask for less, or change the LimitRange",
        "minimum": "ask for more, or change the LimitRange",
        "denied the request": "see what the webhook that denied it asks for",
        "failed calling webhook": "mend the webhook or what serves it, or its failurePolicy",
        "violates PodSecurity": "have the pod keep the namespace's level, or change its label",
        "serviceaccount": "create the ServiceAccount",
        "ValidatingAdmissionPolicy": "have the pod keep the policy",
    }
    return tuple(help for text, help in known.items() if text in message)[:1]


def of_stateful(objects: Objects, document: Document) -> Cause:
    """Returns what is the matter with a StatefulSet."""
    name, wanted = about(STATEFULSET, name_of(document)), _wanted(document)
    if _stale(document):
        return Cause(name, "has not been looked at since it was changed", helps=(_RUNS_NOT,))
    status = at(document, "status") or {}
    ready = status.get("readyReplicas", 0)
    current = status.get("currentRevision") == status.get("updateRevision")
    if ready == wanted and current:
        return Cause(name, f"has its {wanted} replicas, all ready", sound=True)
    details = [f"{ready} of {wanted} are ready"]
    if not current:
        details.append(f"{status.get('updatedReplicas', 0)} are of its template")
    if at(document, "spec", "podManagementPolicy") != "Parallel":
        details.append("its pods come one after another: one that is not ready holds up the rest")
    service = at(document, "spec", "serviceName")
    if service and not objects.get(SERVICE, namespace_of(document), service):
        details.append(f"its Service {service} does not exist: its pods have no names in DNS")
    pods = objects.owned(POD, document)
    refused = _refused(objects, document) if len(pods) < wanted else ()
    causes = (*refused, *_of_pods(objects, pods))
    return Cause(name, "has not all of its pods", details=tuple(details), causes=causes)


def of_daemons(objects: Objects, document: Document) -> Cause:
    """Returns what is the matter with a DaemonSet."""
    name, status = about(DAEMONSET, name_of(document)), at(document, "status") or {}
    if _stale(document):
        return Cause(name, "has not been looked at since it was changed", helps=(_RUNS_NOT,))
    wanted, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    if not wanted:
        return Cause(
            name,
            "has no pods: no node is one that it runs on",
            details=(f"it asks for nodes with {at(document, *_SELECTOR) or 'no special labels'}",),
            helps=("label a node as its template's nodeSelector asks, or tolerate its taints",),
        )
    if available == wanted == status.get("updatedNumberScheduled", 0):
        return Cause(name, f"runs on its {wanted} nodes", sound=True)
    refused = _refused(objects, document) if status.get("currentNumberScheduled") != wanted else ()
    causes = (*refused, *_of_pods(objects, objects.owned(POD, document)))
    return Cause(name, f"is available on {available} of {wanted} nodes", causes=causes)


_SELECTOR: Final = ("spec", "template", "spec", "nodeSelector")


def of_job(objects: Objects, document: Document) -> Cause:
    """Returns what is the matter with a Job."""
    name, status = about(JOB, name_of(document)), at(document, "status") or {}
    if condition(document, "Complete").get("status") == "True":
        return Cause(name, "is complete", sound=True)
    failed = condition(document, "Failed")
    if failed.get("status") == "True":
        finding = f"has failed ({failed.get('reason')}): {failed.get('message')}"
        helps = ("a failed Job does not run again: make it anew",)
        return Cause(name, finding, helps=helps, causes=_of_pods(objects, _pods(objects, document)))
    if at(document, "spec", "suspend"):
        return Cause(name, "is suspended", helps=("set spec.suspend to false",))
    wanted = at(document, "spec", "completions") or 1
    counts = (
        f"{status.get('succeeded', 0)} of {wanted} completions, {status.get('active', 0)} pods "
        f"run, {status.get('failed', 0)} failed of at most "
        f"{_backoff_limit(document)} that may"
    )
    pods = _pods(objects, document)
    refused = _refused(objects, document) if not status.get("active") else ()
    causes = (*refused, *_of_pods(objects, pods))
    return Cause(name, "is not complete", details=(counts,), causes=causes)


def _backoff_limit(document: Document) -> int:
    found = at(document, "spec", "backoffLimit")
    return 6 if found is None else int(found)


def _pods(objects: Objects, job: Document) -> list[Document]:
    return objects.owned(POD, job)


def of_cron_job(objects: Objects, document: Document) -> Cause:
    """Returns what is the matter with a CronJob."""
    name, spec = about(CRONJOB, name_of(document)), at(document, "spec") or {}
    if spec.get("suspend"):
        return Cause(name, "is suspended", helps=("set spec.suspend to false",))
    running = [it.get("name") for it in at(document, "status", "active") or ()]
    jobs = objects.owned(JOB, document)
    causes = tuple(cause for it in jobs if not (cause := of_job(objects, it)).sound)
    if running and spec.get("concurrencyPolicy") == "Forbid":
        finding = f"starts nothing before {', '.join(map(str, running))} has ended"
        return Cause(name, finding, causes=causes)
    last = at(document, "status", "lastScheduleTime")
    zone = spec.get("timeZone") or "UTC"
    finding = f"runs at {spec.get('schedule')!r} ({zone}), last at {last or 'no time yet'}"
    latest = objects.events(document)[:1]
    told = objects.told(document) if latest and latest[0].get("type") == "Warning" else ()
    return Cause(name, finding, details=told, causes=causes, sound=not causes and not told)
