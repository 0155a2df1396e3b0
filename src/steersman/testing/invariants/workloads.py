"""What must hold of jobs and stateful sets after every commit, whatever was lost or late.

Jobs: never more active pods than may run at once, every pod counts once, no more counted than
ended. Stateful sets: no ordinal twice, none before those below it were ready.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.testing.invariants.rollouts import PODS, Broken, is_active, is_ready

JOBS = Resource("batch", "jobs")
SETS = Resource("apps", "statefulsets")
FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"


def owner_of(pod: Document) -> tuple[str, str]:
    """Returns kind and uid of a pod's owner."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return owner["kind"], owner["uid"]
    return "", ""


class WorkloadInvariants:
    """Sees every commit and keeps what it needs to judge the next."""

    def __init__(self) -> None:
        self.commits = 0
        self._pods: dict[str, Document] = {}
        self._jobs: dict[str, Document] = {}
        self._sets: dict[str, Document] = {}
        self._most: dict[str, int] = {}  # the largest parallelism a job ever had
        self._ready: set[str] = set()  # uids of pods that were ready once
        # Names of pods that were ready and are gone: of each, one birth may not know yet
        self._gone: set[str] = set()
        self._ended: dict[str, dict[str, set[str]]] = {}  # job uid -> phase -> pod uids

    def see(self, resource: Resource, namespace: str, name: str, new: Document | None) -> None:
        """Judges one write."""
        self.commits += 1
        if resource == PODS:
            self._see_pod(name, new)
        elif resource == JOBS and new is not None:
            self._see_job(new)
        elif resource == SETS and new is not None:
            self._sets[new["metadata"]["uid"]] = new

    def _see_pod(self, name: str, new: Document | None) -> None:
        old = self._pods.pop(name, None)
        if new is None:
            if old is not None and old["metadata"]["uid"] in self._ready:
                self._gone.add(name)
        else:
            self._pods[name] = new
            self._gone.discard(name)
            if is_ready(new):
                self._ready.add(new["metadata"]["uid"])
        pod: Any = new if new is not None else old
        kind, uid = owner_of(pod)
        if kind == "Job" and new is not None:
            self._judge_job_pods(uid, new)
        if kind == "StatefulSet" and old is None:
            self._judge_birth(uid, pod)

    def _judge_job_pods(self, uid: str, pod: Document) -> None:
        phase = (pod.get("status") or {}).get("phase")
        ended = self._ended.setdefault(uid, {"Succeeded": set(), "Failed": set()})
        if phase in ended:
            ended[phase].add(pod["metadata"]["uid"])
        mine = [it for it in self._pods.values() if owner_of(it) == ("Job", uid)]
        active = [it for it in mine if is_active(it)]
        if len(active) > self._most.get(uid, 0):
            raise Broken(f"{len(active)} pods are active, at most {self._most.get(uid)} may be")
        indexes = Counter(it["metadata"].get("annotations", {}).get(INDEX) for it in active)
        indexes.pop(None, None)
        if repeated := [index for index, count in indexes.items() if count > 1]:
            raise Broken(f"indexes {repeated} run twice")

    def _see_job(self, new: Document) -> None:
        uid = new["metadata"]["uid"]
        self._most[uid] = max(new["spec"]["parallelism"], self._most.get(uid, 0))
        old = self._jobs.get(uid)
        self._jobs[uid] = new
        self._judge_counts(uid, new)
        for name in ("succeeded", "failed"):
            before = ((old or {}).get("status") or {}).get(name, 0)
            if (new.get("status") or {}).get(name, 0) < before:
                raise Broken(f"status.{name} went down from {before}")

    def _judge_counts(self, uid: str, job: Document) -> None:
        status = job.get("status") or {}
        uncounted = status.get("uncountedTerminatedPods") or {}
        ended = self._ended.get(uid, {"Succeeded": set(), "Failed": set()})
        named = [*uncounted.get("succeeded", ()), *uncounted.get("failed", ())]
        if len(named) != len(set(named)):
            raise Broken(f"a pod is named twice: {named}")
        done = status.get("succeeded", 0)
        if job["spec"].get("completionMode") != "Indexed":
            done += len(uncounted.get("succeeded", ()))
        if done > len(ended["Succeeded"]):
            raise Broken(f"{done} successes are counted, {len(ended['Succeeded'])} pods had one")

    def _judge_birth(self, uid: str, pod: Document) -> None:
        found = self._sets.get(uid)
        if found is None or found["spec"].get("podManagementPolicy") == "Parallel":
            return
        name, _, ordinal = pod["metadata"]["name"].rpartition("-")
        for below in range(int(ordinal)):
            other = self._pods.get(f"{name}-{below}")
            # That it is so no more nobody can know in time: its container may end meanwhile, or
            # the pod go while who makes this one waits for the answer
            if other is None:
                if f"{name}-{below}" not in self._gone:
                    raise Broken(f"{pod['metadata']['name']} came before {name}-{below}")
                self._gone.discard(f"{name}-{below}")
                continue
            ready = other["metadata"]["uid"] in self._ready
            if other["metadata"].get("deletionTimestamp") is None and not ready:
                raise Broken(f"{pod['metadata']['name']} came before {name}-{below} was ready")

    def unended(self, name: str) -> str:
        """Returns what is wrong with a job that has come to its end, empty where every pod that
        ended is counted, once, and free."""
        job = next(it for it in self._jobs.values() if it["metadata"]["name"] == name)
        status, wanted = job["status"], job["spec"]["completions"]
        ended = self._ended[job["metadata"]["uid"]]
        held = [name for name, it in self._pods.items() if FINALIZER in _finalizers(it)]
        if held or status.get("uncountedTerminatedPods"):
            return f"nobody freed {held}, not counted: {status['uncountedTerminatedPods']}"
        if status["succeeded"] < wanted or len(ended["Succeeded"]) < wanted:
            return f"{status['succeeded']} of {wanted} succeeded, in truth {ended['Succeeded']}"
        return ""


def _finalizers(pod: Document) -> list[str]:
    return pod["metadata"].get("finalizers") or []
