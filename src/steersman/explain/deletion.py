"""Why an object that is being deleted is still there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from steersman.explain.cause import Cause, bounded
from steersman.explain.claim import users_of
from steersman.explain.objects import Objects, about, name_of
from steersman.model import builtin
from steersman.model.kind import Document, Kind
from steersman.model.kinds.namespace import NAMESPACE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.printing import at

FOREGROUND: Final = "foregroundDeletion"
# finalizer -> what it waits for
_KNOWN: Final = {
    FOREGROUND: "waits until what it owns is gone",
    "orphan": "waits until what it owns has been let go",
    "kubernetes": "waits until the namespace is empty",
    "kubernetes.io/pvc-protection": "waits until no pod uses the claim",
    "kubernetes.io/pv-protection": "waits until no claim is bound to the volume",
    "batch.kubernetes.io/job-tracking": "waits until the Job controller has counted the pod",
    "service.kubernetes.io/load-balancer-cleanup": "waits until the load balancer is removed",
}


def of_deletion(objects: Objects, kind: Kind, document: Document) -> Cause:
    """Returns what holds an object that is being deleted."""
    since = at(document, "metadata", "deletionTimestamp")
    finding = f"is being deleted since {since}"
    if kind is NAMESPACE:
        return _of_namespace(objects, document, finding)
    finalizers = [str(it) for it in at(document, "metadata", "finalizers") or ()]
    causes = tuple(_of_finalizer(objects, kind, document, it) for it in finalizers)
    details: tuple[str, ...] = ()
    if kind is POD and not finalizers:
        seconds = at(document, "metadata", "deletionGracePeriodSeconds")
        details = (f"its containers have {seconds} s from then on to end",)
    return Cause(about(kind, name_of(document)), finding, details=details, causes=causes)


def _of_finalizer(objects: Objects, kind: Kind, document: Document, finalizer: str) -> Cause:
    meaning = _KNOWN.get(finalizer, "waits for the controller that set it")
    helps: tuple[str, ...] = ()
    if finalizer not in _KNOWN:
        helps = (
            "see whether that controller runs; who removes a finalizer by hand skips its work",
        )
    details: tuple[str, ...] = ()
    if finalizer == FOREGROUND:
        details = bounded(_blocking(objects, document), "objects")
    if finalizer == "kubernetes.io/pvc-protection":
        users = users_of(objects, document)
        details = bounded((f"{about(POD, name_of(pod))} uses it" for pod in users), "pods")
    return Cause(f"finalizer {finalizer}", meaning, details=details, helps=helps)


def _blocking(objects: Objects, owner: Document) -> Iterable[str]:
    uid = at(owner, "metadata", "uid")
    for kind in builtin.all():
        for found in objects.all(kind) if objects.knows(kind) else ():
            references = at(found, "metadata", "ownerReferences") or ()
            if any(it.get("uid") == uid and it.get("blockOwnerDeletion") for it in references):
                yield f"{about(kind, name_of(found))} is still there"


def _of_namespace(objects: Objects, namespace: Document, finding: str) -> Cause:
    """Reads what the namespace controller wrote into the status."""
    told = [
        str(it.get("message"))
        for it in at(namespace, "status", "conditions") or ()
        if it.get("status") == "True" and it.get("message")
    ]
    held = [
        Cause(about(kind, name_of(it)), f"has the finalizers {', '.join(finalizers)}")
        for kind in builtin.all()
        if kind.namespaced and objects.knows(kind)
        for it in objects.all(kind, name_of(namespace))
        if (finalizers := at(it, "metadata", "finalizers"))
    ]
    return Cause(
        about(NAMESPACE, name_of(namespace)),
        finding,
        details=tuple(told) or ("what is in it is being deleted",),
        causes=tuple(held),
    )
